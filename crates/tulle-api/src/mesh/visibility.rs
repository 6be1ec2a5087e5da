//! Parts of `MeshConfig` that select by namespace and label.

use crate::kubernetes::PodSelector;
use crate::schema::{enumeration, oneof, record};

record! {
    /// Which services are seen by other clusters.
    pub struct ServiceScopeConfig {
        /// Namespaces of the services.
        pub namespace_selector: Option<PodSelector> = "namespaceSelector",
        /// Labels of the services.
        pub services_selector: Option<PodSelector> = "servicesSelector",
        /// Who sees them; LOCAL by default.
        pub scope: Option<ServiceScope> = "scope",
    }
}

enumeration! {
    /// Who sees a service.
    pub enum ServiceScope {
        /// Its own cluster.
        Local = "LOCAL",
        /// Every cluster.
        Global = "GLOBAL",
    }
}

record! {
    /// Who sees ServiceEntries.
    pub struct ServiceEntryVisibility {
        /// Where no policy matches; PUBLIC by default.
        pub default_visibility: Option<Visibility> = "defaultVisibility",
        /// Whether it holds for sidecars too; false by default.
        pub apply_to_sidecars: Option<bool> = "applyToSidecars",
        /// Policies, the first of which matches wins.
        pub policies: Vec<VisibilityPolicy> = "policies",
    }
}

enumeration! {
    /// Who sees a ServiceEntry.
    pub enum Visibility {
        /// As the default.
        Unspecified = "VISIBILITY_UNSPECIFIED",
        /// Nobody.
        None = "NONE",
        /// Its own namespace.
        Namespace = "NAMESPACE",
        /// Everybody.
        Public = "PUBLIC",
    }
}

record! {
    /// A policy about visibility.
    pub struct VisibilityPolicy {
        /// Who sees what matches.
        pub visibility: Option<Visibility> = "visibility",
        /// Rules, all of which must hold.
        pub matching_rules: Vec<VisibilityRule> = "matchingRules",
    }
}

record! {
    /// A rule about ServiceEntries.
    pub struct VisibilityRule {
    }
    oneof {
        /// What it asks.
        pub matcher: VisibilityMatcher,
    }
}

oneof! {
    /// What a rule about ServiceEntries asks.
    pub enum VisibilityMatcher {
        /// Labels of its namespace.
        NamespaceSelector(PodSelector) = "namespaceSelector",
    }
}
