//! What goes into a new snapshot, and what it says has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tulle_base::{Host, ResourceRef};

use crate::envoy_filter::Patched;
use crate::meta::NsName;
use crate::policy::{Fetched, KeySource};

/// One change of the store.
#[derive(Clone, Debug)]
pub enum Change {
    /// A document is there, new or changed.
    Put(Arc<tulle_api::Object>),
    /// A document is gone.
    Delete(ResourceRef),
    /// The time of day, in seconds after 1970-01-01T00:00:00Z: faults end.
    Time(i64),
    /// Keys were fetched, or could not be.
    Keys(KeySource, Fetched),
}

/// What differs between two snapshots, by key: what a proxy must be told again is found from this alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangedKeys {
    /// Hosts whose service changed: ports, addresses, visibility; also a changed set of identities or of mutual TLS
    /// behind it, and the endpoints of headless services: clusters, listeners, routes and names depend on these.
    pub services: BTreeSet<Host>,
    /// Hosts whose endpoints changed.
    pub endpoints: BTreeSet<Host>,
    /// Hosts (as written, maybe wildcards) whose routes changed.
    pub routes: BTreeSet<Host>,
    /// Hosts (as written, maybe wildcards) whose destination policy changed.
    pub destinations: BTreeSet<Host>,
    /// Gateways that changed, or whose routes did.
    pub gateways: BTreeSet<NsName>,
    /// Namespaces whose authentication or authorization policies changed; the root namespace stands for all.
    pub policies: BTreeSet<String>,
    /// Namespaces whose Sidecar resources changed; the root namespace stands for all.
    pub scopes: BTreeSet<String>,
    /// Namespaces whose EnvoyFilters changed, and what these may patch; the root namespace stands for all.
    pub patches: BTreeMap<String, Patched>,
    /// Namespaces whose RateLimits changed, or the number of proxies that share one; the root namespace stands for all.
    pub limits: BTreeSet<String>,
    /// Namespaces whose Telemetries changed; the root namespace stands for all.
    pub telemetry: BTreeSet<String>,
    /// Pods whose workload changed.
    pub workloads: BTreeSet<NsName>,
    /// The mesh's settings changed: everything depends on them.
    pub mesh: bool,
}

impl ChangedKeys {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes in what `other` says as well, for changes that are sent together.
    pub fn merge(&mut self, other: Self) {
        let Self {
            services,
            endpoints,
            routes,
            destinations,
            gateways,
            policies,
            scopes,
            patches,
            limits,
            telemetry,
            workloads,
            mesh,
        } = other;
        self.services.extend(services);
        self.endpoints.extend(endpoints);
        self.routes.extend(routes);
        self.destinations.extend(destinations);
        self.gateways.extend(gateways);
        self.policies.extend(policies);
        self.scopes.extend(scopes);
        for (namespace, patched) in patches {
            self.patches.entry(namespace).or_default().merge(patched);
        }
        self.limits.extend(limits);
        self.telemetry.extend(telemetry);
        self.workloads.extend(workloads);
        self.mesh |= mesh;
    }
}
