//! The table of kinds.

use serde_json::Value;

use crate::istio;
use crate::kubernetes as k8s;
use crate::node::Node;
use crate::schema::{At, Context, Field, Record, RecordInfo};

/// What is known about a kind.
#[derive(Clone, Copy, Debug)]
pub struct KindInfo {
    /// The kind.
    pub kind: &'static str,
    /// API group, empty for the core group.
    pub group: &'static str,
    /// Served versions, the preferred one first.
    pub versions: &'static [&'static str],
    /// Name in API paths.
    pub plural: &'static str,
    /// Short names for command lines.
    pub short: &'static [&'static str],
    /// Whether objects belong to a namespace.
    pub namespaced: bool,
    /// Where the fields stand.
    pub body: Body,
    /// Table of the fields.
    pub record: &'static RecordInfo,
}

/// Where the fields of a kind stand in its documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Below `spec`.
    Spec,
    /// At the top, beside `metadata`.
    Top,
}

impl KindInfo {
    /// Group and preferred version as documents write them.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.versions[0].to_owned()
        } else {
            format!("{}/{}", self.group, self.versions[0])
        }
    }
}

/// A type that is the content of a kind.
pub trait Resource: Record {
    /// The kind.
    const KIND: Kind;

    /// Wraps it.
    fn into_spec(self) -> Spec;

    /// Unwraps it, if `spec` is of this kind.
    fn from_spec(spec: &Spec) -> Option<&Self>;
}

/// One line per kind makes [`Kind`], [`Spec`] and the [`Resource`]s.
macro_rules! kinds {
    ($(
        $(#[doc = $doc:literal])+
        $kind:ident ( $ty:ty ) {
            group: $group:literal, versions: $versions:expr, plural: $plural:literal, short: $short:expr,
            namespaced: $namespaced:literal, body: $body:ident
        }
    )+) => {
        /// A kind that is read.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind {
            $( $(#[doc = $doc])+ $kind, )+
        }

        /// The content of an object, by kind.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Spec {
            $( $(#[doc = $doc])+ $kind(Box<$ty>), )+
        }

        impl Kind {
            /// Every kind, in the order of the table.
            pub const ALL: &'static [Kind] = &[ $( Kind::$kind ),+ ];

            /// What is known about the kind.
            pub fn info(self) -> &'static KindInfo {
                match self {
                    $( Kind::$kind => const { &KindInfo {
                        kind: stringify!($kind), group: $group, versions: &$versions, plural: $plural, short: &$short,
                        namespaced: $namespaced, body: Body::$body, record: &<$ty as Record>::INFO,
                    } }, )+
                }
            }
        }

        impl Spec {
            /// The kind.
            pub fn kind(&self) -> Kind {
                match self { $( Spec::$kind(_) => Kind::$kind, )+ }
            }

            /// Reads the content of `kind`.
            pub fn decode(kind: Kind, node: &Node, at: &At<'_>, cx: &mut Context) -> Option<Self> {
                match kind {
                    $( Kind::$kind => <$ty as Field>::decode(node, at, cx).map(|s| Spec::$kind(Box::new(s))), )+
                }
            }

            /// The content as JSON.
            pub fn encode(&self) -> Value {
                match self { $( Spec::$kind(spec) => spec.encode(), )+ }
            }
        }

        $(
        impl Resource for $ty {
            const KIND: Kind = Kind::$kind;

            fn into_spec(self) -> Spec {
                Spec::$kind(Box::new(self))
            }

            fn from_spec(spec: &Spec) -> Option<&Self> {
                match spec { Spec::$kind(spec) => Some(spec), _ => None }
            }
        }
        )+
    };
}

kinds! {
    /// Routing.
    VirtualService(istio::VirtualService) {
        group: "networking.istio.io", versions: ["v1", "v1beta1", "v1alpha3"], plural: "virtualservices", short: ["vs"],
        namespaced: true, body: Spec
    }
    /// Policy towards a host.
    DestinationRule(istio::DestinationRule) {
        group: "networking.istio.io", versions: ["v1", "v1beta1", "v1alpha3"], plural: "destinationrules", short: ["dr"],
        namespaced: true, body: Spec
    }
    /// Ports of gateway proxies.
    Gateway(istio::Gateway) {
        group: "networking.istio.io", versions: ["v1", "v1beta1", "v1alpha3"], plural: "gateways", short: ["gw"],
        namespaced: true, body: Spec
    }
    /// A service that is not in the registry.
    ServiceEntry(istio::ServiceEntry) {
        group: "networking.istio.io", versions: ["v1", "v1beta1", "v1alpha3"], plural: "serviceentries", short: ["se"],
        namespaced: true, body: Spec
    }
    /// An endpoint that is not in the registry.
    WorkloadEntry(istio::WorkloadEntry) {
        group: "networking.istio.io", versions: ["v1", "v1beta1", "v1alpha3"], plural: "workloadentries", short: ["we"],
        namespaced: true, body: Spec
    }
    /// What sidecars listen on and know.
    Sidecar(istio::Sidecar) {
        group: "networking.istio.io", versions: ["v1", "v1beta1", "v1alpha3"], plural: "sidecars", short: [],
        namespaced: true, body: Spec
    }
    /// Accepted mutual TLS.
    PeerAuthentication(istio::PeerAuthentication) {
        group: "security.istio.io", versions: ["v1", "v1beta1"], plural: "peerauthentications", short: ["pa"],
        namespaced: true, body: Spec
    }
    /// Accepted tokens.
    RequestAuthentication(istio::RequestAuthentication) {
        group: "security.istio.io", versions: ["v1", "v1beta1"], plural: "requestauthentications", short: ["ra"],
        namespaced: true, body: Spec
    }
    /// Who may do what.
    AuthorizationPolicy(istio::AuthorizationPolicy) {
        group: "security.istio.io", versions: ["v1", "v1beta1"], plural: "authorizationpolicies", short: ["ap"],
        namespaced: true, body: Spec
    }
    /// Traces, metrics and logs.
    Telemetry(istio::Telemetry) {
        group: "telemetry.istio.io", versions: ["v1", "v1alpha1"], plural: "telemetries", short: ["telemetry"],
        namespaced: true, body: Spec
    }
    /// A namespace.
    Namespace(k8s::Namespace) {
        group: "", versions: ["v1"], plural: "namespaces", short: ["ns"], namespaced: false, body: Spec
    }
    /// An identity.
    ServiceAccount(k8s::ServiceAccount) {
        group: "", versions: ["v1"], plural: "serviceaccounts", short: ["sa"], namespaced: true, body: Top
    }
    /// A name for pods.
    Service(k8s::Service) {
        group: "", versions: ["v1"], plural: "services", short: ["svc"], namespaced: true, body: Spec
    }
    /// Processes.
    Pod(k8s::PodSpec) {
        group: "", versions: ["v1"], plural: "pods", short: ["po"], namespaced: true, body: Spec
    }
    /// Configuration.
    ConfigMap(k8s::ConfigMap) {
        group: "", versions: ["v1"], plural: "configmaps", short: ["cm"], namespaced: true, body: Top
    }
    /// Confidential configuration.
    Secret(k8s::Secret) {
        group: "", versions: ["v1"], plural: "secrets", short: [], namespaced: true, body: Top
    }
    /// Endpoints of a service.
    EndpointSlice(k8s::EndpointSlice) {
        group: "discovery.k8s.io", versions: ["v1"], plural: "endpointslices", short: [], namespaced: true, body: Top
    }
    /// Equal pods, replaced step by step.
    Deployment(k8s::Deployment) {
        group: "apps", versions: ["v1"], plural: "deployments", short: ["deploy"], namespaced: true, body: Spec
    }
    /// Equal pods.
    ReplicaSet(k8s::ReplicaSet) {
        group: "apps", versions: ["v1"], plural: "replicasets", short: ["rs"], namespaced: true, body: Spec
    }
    /// Numbered pods.
    StatefulSet(k8s::StatefulSet) {
        group: "apps", versions: ["v1"], plural: "statefulsets", short: ["sts"], namespaced: true, body: Spec
    }
    /// A pod on every node.
    DaemonSet(k8s::DaemonSet) {
        group: "apps", versions: ["v1"], plural: "daemonsets", short: ["ds"], namespaced: true, body: Spec
    }
    /// Pods that end.
    Job(k8s::Job) {
        group: "batch", versions: ["v1"], plural: "jobs", short: [], namespaced: true, body: Spec
    }
}

impl Kind {
    /// The kind of a document, by its group and kind; whatever its version.
    pub fn find(group: &str, kind: &str) -> Option<Kind> {
        Self::ALL.iter().copied().find(|k| k.info().group == group && k.info().kind == kind)
    }

    /// Whether the control plane reads resources of this kind: the mesh's own, and those of Kubernetes that say what runs.
    pub fn is_read_by_the_mesh(self) -> bool {
        let group = self.info().group;
        group.ends_with(".istio.io")
            || group == "gateway.networking.k8s.io"
            || matches!(
                self,
                Self::Namespace
                    | Self::ServiceAccount
                    | Self::Service
                    | Self::Pod
                    | Self::ConfigMap
                    | Self::Secret
                    | Self::EndpointSlice
            )
    }
}
