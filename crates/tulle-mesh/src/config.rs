//! What holds for the whole mesh.

use std::time::Duration;

use tulle_api::kubernetes::PodSelector;

use crate::destination::{ConnectionPool, Keepalive, LocalityLb, Outlier};
use crate::ingress::IngressMode;
use crate::network::Network;
use crate::provider::ExtensionProvider;
use crate::proxies::ProxySettings;
use crate::routing::Retry;

/// The mesh's own settings (Istio's MeshConfig, as far as it is read).
#[derive(Clone, Debug, PartialEq)]
pub struct MeshConfig {
    /// Trust domain of the mesh's identities.
    pub trust_domain: String,
    /// The namespace whose policies hold for everyone.
    pub root_namespace: String,
    /// DNS domain of Kubernetes services.
    pub domain: String,
    /// Cluster id of this cluster.
    pub cluster_id: String,
    /// Where traffic to unknown destinations goes.
    pub outbound: OutboundPolicy,
    /// Time for an upstream connection to open.
    pub connect_timeout: Duration,
    /// How long sniffing waits for the first bytes; zero waits for ever.
    pub protocol_detection_timeout: Duration,
    /// File of the access log; empty is none.
    pub access_log_file: String,
    /// Format of the access log.
    pub access_log_encoding: AccessLogEncoding,
    /// Retries of routes that set none; `None` is the built-in default (traps 3).
    pub default_retries: Option<Retry>,
    /// Preference by locality where a DestinationRule says nothing; acts only with outlier detection (traps 15).
    pub locality: LocalityLb,
    /// How paths are normalised before they are matched.
    pub path_normalization: PathNormalization,
    /// Format of the access log, of the encoding that is set; empty is Istio's.
    pub access_log_format: String,
    /// Whether connections that no filter chain takes are logged.
    pub listener_log: bool,
    /// Other trust domains whose identities count as the mesh's own.
    pub trust_domain_aliases: Vec<String>,
    /// Further roots, beside those of the control plane.
    pub anchors: Vec<TrustAnchors>,
    /// Whether clients use mutual TLS wherever the other side can and no rule says otherwise.
    pub auto_mtls: bool,
    /// TLS between workloads of the mesh, as servers accept it.
    pub mesh_mtls: TlsBounds,
    /// TLS toward everything else.
    pub tls_defaults: TlsBounds,
    /// Whether clients check certificates of servers against the system's authorities where a rule names none.
    pub verify_certificate_at_client: bool,
    /// Keepalive of connections to upstreams, where no rule says anything.
    pub tcp_keepalive: Option<Keepalive>,
    /// Whether HTTP/1.1 becomes HTTP/2 on the way to other workloads, where no rule says anything.
    pub h2_upgrade: bool,
    /// Limits where no rule sets any.
    pub connection_pool: Option<ConnectionPool>,
    /// Ejection where no rule says anything.
    pub outlier: Option<Outlier>,
    /// Time between look-ups of the names of clusters.
    pub dns_refresh_rate: Duration,
    /// How applications are reached.
    pub inbound: InboundPolicy,
    /// Name of inbound clusters in statistics; empty for the cluster's.
    pub inbound_stat_name: String,
    /// Name of outbound clusters in statistics; empty for the cluster's.
    pub outbound_stat_name: String,
    /// `exportTo` of services that set none; empty is everyone.
    pub service_export_to: Vec<String>,
    /// `exportTo` of VirtualServices that set none; empty is everyone.
    pub routes_export_to: Vec<String>,
    /// `exportTo` of DestinationRules that set none; empty is everyone.
    pub destination_export_to: Vec<String>,
    /// Whether requests are traced where no Telemetry says anything.
    pub enable_tracing: bool,
    /// Providers of traces where a Telemetry names none; the first is used.
    pub default_tracing: Vec<String>,
    /// Whether access logs go to the service of the proxies' settings where no Telemetry says anything.
    pub log_service: bool,
    /// Providers of access logs where a Telemetry names none; none: `access_log_file`.
    pub default_logging: Vec<String>,
    /// Services that policies name.
    pub providers: Vec<ExtensionProvider>,
    /// Providers of metrics where no Telemetry names any.
    pub default_metrics: Vec<String>,
    /// What stands before gateways.
    pub topology: GatewayTopology,
    /// The class of Ingresses that are read.
    pub ingress_class: String,
    /// Which Ingresses are read.
    pub ingress_mode: IngressMode,
    /// Name of the Service, in the root namespace, of the gateway for Ingresses.
    pub ingress_service: String,
    /// Label `istio` of its pods; empty for the one that goes with the Service.
    pub ingress_selector: String,
    /// What HTTP of proxies is like.
    pub proxies: ProxySettings,
    /// The namespaces that are read: those that one of these selects; all if there is none.
    pub discovery: Vec<PodSelector>,
    /// Networks, and how they are reached from others.
    pub networks: Vec<Network>,
}

/// What stands before gateways. `None` is not written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct GatewayTopology {
    /// Proxies in front whose X-Forwarded-For is trusted; 0 by default.
    pub trusted_proxies: Option<u32>,
    /// What becomes of X-Forwarded-Client-Cert; `SanitizeSet` by default.
    pub client_cert: Option<ClientCert>,
    /// Connections begin with the PROXY protocol.
    pub proxy_protocol: Option<bool>,
}

impl GatewayTopology {
    /// What is written here, else there.
    #[must_use]
    pub fn or(self, weaker: Self) -> Self {
        Self {
            trusted_proxies: self.trusted_proxies.or(weaker.trusted_proxies),
            client_cert: self.client_cert.or(weaker.client_cert),
            proxy_protocol: self.proxy_protocol.or(weaker.proxy_protocol),
        }
    }
}

/// What becomes of X-Forwarded-Client-Cert (Envoy's `forward_client_cert_details`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientCert {
    /// It is removed.
    Sanitize,
    /// It is forwarded on mutual TLS connections.
    ForwardOnly,
    /// The client is appended on mutual TLS connections.
    AppendForward,
    /// It is replaced by the client on mutual TLS connections.
    SanitizeSet,
    /// It is forwarded always.
    AlwaysForwardOnly,
}

/// Bounds of TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsBounds {
    /// TLS 1.3 is the least; 1.2 otherwise.
    pub only_1_3: bool,
    /// Cipher suites of TLS 1.2; empty for all that are spoken.
    pub cipher_suites: Vec<String>,
    /// Curves; empty for all that are spoken.
    pub curves: Vec<String>,
}

/// How applications are reached by their sidecars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InboundPolicy {
    /// At the pod's address.
    Passthrough,
    /// At 127.0.0.1, as before Istio 1.10.
    Localhost,
}

/// Where unknown traffic goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutboundPolicy {
    /// To where it was going.
    AllowAny,
    /// Nowhere.
    RegistryOnly,
}

/// Formats of the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccessLogEncoding {
    /// A line of text.
    Text,
    /// A JSON object.
    Json,
}

/// Path normalisation (Istio's `pathNormalization`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PathNormalization {
    /// None.
    None,
    /// RFC 3986.
    Base,
    /// And slashes merged.
    MergeSlashes,
    /// And `%2F` decoded first.
    DecodeAndMergeSlashes,
}

/// Roots that somebody else made, and for whom they speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustAnchors {
    /// The trust domains; empty is our own.
    pub trust_domains: Vec<String>,
    /// Where they are.
    pub source: AnchorSource,
}

/// Where roots are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AnchorSource {
    /// Written down, PEM.
    Pem(String),
    /// At the address of a SPIFFE bundle.
    SpiffeBundle(String),
}

impl Default for MeshConfig {
    fn default() -> Self {
        Self {
            trust_domain: "cluster.local".into(),
            root_namespace: "istio-system".into(),
            domain: "cluster.local".into(),
            cluster_id: "Kubernetes".into(),
            outbound: OutboundPolicy::AllowAny,
            connect_timeout: Duration::from_secs(10),
            protocol_detection_timeout: Duration::ZERO,
            access_log_file: "/dev/stdout".into(),
            access_log_encoding: AccessLogEncoding::Text,
            default_retries: None,
            locality: LocalityLb::default(),
            path_normalization: PathNormalization::Base,
            access_log_format: String::new(),
            listener_log: true,
            trust_domain_aliases: Vec::new(),
            anchors: Vec::new(),
            auto_mtls: true,
            mesh_mtls: TlsBounds::default(),
            tls_defaults: TlsBounds::default(),
            verify_certificate_at_client: true,
            tcp_keepalive: None,
            h2_upgrade: false,
            connection_pool: None,
            outlier: None,
            dns_refresh_rate: Duration::from_secs(60),
            inbound: InboundPolicy::Passthrough,
            inbound_stat_name: String::new(),
            outbound_stat_name: String::new(),
            service_export_to: Vec::new(),
            routes_export_to: Vec::new(),
            destination_export_to: Vec::new(),
            enable_tracing: true,
            default_tracing: Vec::new(),
            log_service: false,
            default_logging: Vec::new(),
            providers: Vec::new(),
            default_metrics: vec!["prometheus".into()],
            topology: GatewayTopology::default(),
            ingress_class: "istio".into(),
            ingress_mode: IngressMode::default(),
            ingress_service: "istio-ingressgateway".into(),
            ingress_selector: String::new(),
            proxies: ProxySettings::default(),
            discovery: Vec::new(),
            networks: Vec::new(),
        }
    }
}
