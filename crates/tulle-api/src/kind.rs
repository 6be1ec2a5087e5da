//! The table of kinds.

use serde_json::Value;

use crate::gateway_api;
use crate::istio;
use crate::kubernetes as k8s;
use crate::mesh;
use crate::node::Node;
use crate::policy;
use crate::schema::{At, Context, Field, Notice, Record, RecordInfo};

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
    /// What to say when an object of the kind is written: nothing for kinds that have an effect.
    pub notice: Notice,
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

/// The name of a kind in documents: that of the variant, unless another one is given.
macro_rules! kind_name {
    ($kind:ident) => {
        stringify!($kind)
    };
    ($kind:ident $name:literal) => {
        $name
    };
}

/// What to say about a kind: nothing, unless something is given.
macro_rules! kind_notice {
    () => {
        Notice::None
    };
    ($notice:expr) => {
        $notice
    };
}

/// One line per kind makes [`Kind`], [`Spec`] and the [`Resource`]s.
macro_rules! kinds {
    ($(
        $(#[doc = $doc:literal])+
        $kind:ident ( $ty:ty ) $(as $name:literal)? {
            group: $group:literal, versions: $versions:expr, plural: $plural:literal, short: $short:expr,
            namespaced: $namespaced:literal, body: $body:ident $(, notice: $notice:expr)?
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
                        kind: kind_name!($kind $($name)?), group: $group, versions: &$versions, plural: $plural,
                        short: &$short, namespaced: $namespaced, body: Body::$body, record: <$ty as Record>::INFO,
                        notice: kind_notice!($($notice)?),
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

/// What is on trial in the Gateway API and can be said in kinds that are not.
const X_BACKEND: Notice = Notice::NoEffect("it is on trial in the Gateway API; a ServiceEntry says the same");
const X_TRAFFIC: Notice = Notice::NoEffect(
    "it is on trial in the Gateway API; retryBudget of a DestinationRule and sessionPersistence of routes say the same",
);
const X_MESH: Notice =
    Notice::NoEffect("it is on trial in the Gateway API, and there is one mesh, which nothing chooses");

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
    /// Endpoints outside of the cluster that register themselves.
    WorkloadGroup(istio::WorkloadGroup) {
        group: "networking.istio.io", versions: ["v1", "v1beta1", "v1alpha3"], plural: "workloadgroups", short: ["wg"],
        namespaced: true, body: Spec
    }
    /// Patches of what proxies are told.
    EnvoyFilter(istio::EnvoyFilter) {
        group: "networking.istio.io", versions: ["v1alpha3", "v1beta1", "v1"], plural: "envoyfilters", short: [],
        namespaced: true, body: Spec
    }
    /// How many requests workloads take.
    RateLimit(policy::RateLimit) {
        group: "policy.tulle.dev", versions: ["v1alpha1"], plural: "ratelimits", short: ["rl"],
        namespaced: true, body: Spec
    }
    /// How proxies are run.
    ProxyConfig(istio::ProxyConfig) {
        group: "networking.istio.io", versions: ["v1beta1"], plural: "proxyconfigs", short: [],
        namespaced: true, body: Spec
    }
    /// A WebAssembly filter.
    WasmPlugin(istio::WasmPlugin) {
        group: "extensions.istio.io", versions: ["v1alpha1"], plural: "wasmplugins", short: [],
        namespaced: true, body: Spec, notice: Notice::Planned("WebAssembly modules are not loaded")
    }
    /// A filter of the user's.
    TrafficExtension(istio::TrafficExtension) {
        group: "extensions.istio.io", versions: ["v1alpha1"], plural: "trafficextensions", short: [],
        namespaced: true, body: Spec, notice: Notice::Planned("WebAssembly modules and Lua scripts are not loaded")
    }
    /// An installation of Istio.
    IstioOperator(mesh::IstioOperator) {
        group: "install.istio.io", versions: ["v1alpha1"], plural: "istiooperators", short: ["iop", "io"],
        namespaced: true, body: Spec
    }
    /// Who makes gateways of a class.
    GatewayClass(gateway_api::GatewayClassSpec) {
        group: "gateway.networking.k8s.io", versions: ["v1", "v1beta1"], plural: "gatewayclasses", short: ["gc"],
        namespaced: false, body: Spec
    }
    /// Ports of gateways, as the Gateway API has them.
    GatewayApiGateway(gateway_api::GatewaySpec) as "Gateway" {
        group: "gateway.networking.k8s.io", versions: ["v1", "v1beta1"], plural: "gateways", short: ["gtw"],
        namespaced: true, body: Spec
    }
    /// More listeners for a gateway.
    ListenerSet(gateway_api::ListenerSetSpec) {
        group: "gateway.networking.k8s.io", versions: ["v1"], plural: "listenersets", short: ["lset"],
        namespaced: true, body: Spec
    }
    /// Routing of HTTP.
    HttpRoute(gateway_api::HttpRouteSpec) as "HTTPRoute" {
        group: "gateway.networking.k8s.io", versions: ["v1", "v1beta1"], plural: "httproutes", short: [],
        namespaced: true, body: Spec
    }
    /// Routing of gRPC.
    GrpcRoute(gateway_api::GrpcRouteSpec) as "GRPCRoute" {
        group: "gateway.networking.k8s.io", versions: ["v1", "v1alpha2"], plural: "grpcroutes", short: [],
        namespaced: true, body: Spec
    }
    /// Routing of TLS connections.
    TlsRoute(gateway_api::TlsRouteSpec) as "TLSRoute" {
        group: "gateway.networking.k8s.io", versions: ["v1", "v1alpha3", "v1alpha2"], plural: "tlsroutes", short: [],
        namespaced: true, body: Spec
    }
    /// Routing of TCP connections.
    TcpRoute(gateway_api::TcpRouteSpec) as "TCPRoute" {
        group: "gateway.networking.k8s.io", versions: ["v1", "v1alpha2"], plural: "tcproutes", short: [],
        namespaced: true, body: Spec
    }
    /// Routing of UDP datagrams.
    UdpRoute(gateway_api::UdpRouteSpec) as "UDPRoute" {
        group: "gateway.networking.k8s.io", versions: ["v1", "v1alpha2"], plural: "udproutes", short: [],
        namespaced: true, body: Spec, notice: Notice::NoEffect("only TCP is forwarded, so no listener takes it")
    }
    /// Who may refer to objects of a namespace.
    ReferenceGrant(gateway_api::ReferenceGrantSpec) {
        group: "gateway.networking.k8s.io", versions: ["v1", "v1beta1"], plural: "referencegrants", short: ["refgrant"],
        namespaced: true, body: Spec
    }
    /// TLS towards backends.
    BackendTlsPolicy(gateway_api::BackendTlsPolicySpec) as "BackendTLSPolicy" {
        group: "gateway.networking.k8s.io", versions: ["v1", "v1alpha3"], plural: "backendtlspolicies", short: ["btlspolicy"],
        namespaced: true, body: Spec
    }
    /// A destination outside of the cluster.
    XBackend(gateway_api::XBackendSpec) {
        group: "gateway.networking.x-k8s.io", versions: ["v1alpha1"], plural: "xbackends", short: ["xbackend"],
        namespaced: true, body: Spec, notice: X_BACKEND
    }
    /// Retries and sessions of destinations.
    XBackendTrafficPolicy(gateway_api::XBackendTrafficPolicySpec) {
        group: "gateway.networking.x-k8s.io", versions: ["v1alpha1"], plural: "xbackendtrafficpolicies", short: ["xbtrafficpolicy"],
        namespaced: true, body: Spec, notice: X_TRAFFIC
    }
    /// Who runs the mesh.
    XMesh(gateway_api::XMeshSpec) {
        group: "gateway.networking.x-k8s.io", versions: ["v1alpha1"], plural: "xmeshes", short: ["mesh"],
        namespaced: false, body: Spec, notice: X_MESH
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
    /// A machine.
    Node(k8s::Node) {
        group: "", versions: ["v1"], plural: "nodes", short: ["no"], namespaced: false, body: Spec,
        notice: Notice::NoEffect("there is one machine")
    }
    /// Something that happened to an object.
    Event(k8s::Event) {
        group: "", versions: ["v1"], plural: "events", short: ["ev"], namespaced: true, body: Top
    }
    /// Endpoints of a service in their old form.
    Endpoints(k8s::Endpoints) {
        group: "", versions: ["v1"], plural: "endpoints", short: ["ep"], namespaced: true, body: Top,
        notice: Notice::NoEffect("use an EndpointSlice")
    }
    /// Routing from outside in its old form.
    Ingress(k8s::Ingress) {
        group: "networking.k8s.io", versions: ["v1"], plural: "ingresses", short: ["ing"], namespaced: true, body: Spec
    }
    /// Who serves ingresses of a class.
    IngressClass(k8s::IngressClass) {
        group: "networking.k8s.io", versions: ["v1"], plural: "ingressclasses", short: [], namespaced: false, body: Spec
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
            || matches!(group, "gateway.networking.k8s.io" | "gateway.networking.x-k8s.io")
            || group == policy::GROUP
            || matches!(
                self,
                Self::Namespace
                    | Self::ServiceAccount
                    | Self::Service
                    | Self::Node
                    | Self::Pod
                    | Self::ConfigMap
                    | Self::Secret
                    | Self::EndpointSlice
                    | Self::Ingress
                    | Self::IngressClass
            )
    }
}
