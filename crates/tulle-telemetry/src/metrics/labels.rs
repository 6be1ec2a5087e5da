//! The labels of Istio's standard metrics, in the groups in which they are known.

use std::sync::Arc;

/// What is not known.
pub const UNKNOWN: &str = "unknown";
/// The canonical revision of a workload without one.
pub const LATEST: &str = "latest";

/// Who tells of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reporter {
    /// The client's sidecar, or a gateway.
    Source,
    /// The server's sidecar.
    Destination,
    /// A waypoint.
    Waypoint,
}

/// The protocol of a request (`request_protocol`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Protocol {
    /// HTTP of any version.
    Http,
    /// gRPC.
    Grpc,
    /// Anything else.
    Tcp,
}

/// How the connection was secured (`connection_security_policy`). For the source it is that to the endpoint, where Istio always says
/// `unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum SecurityPolicy {
    /// Not known on this side.
    Unknown,
    /// Both sides showed certificates.
    MutualTls,
    /// They did not.
    None,
}

impl Reporter {
    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Destination => "destination",
            Self::Waypoint => "waypoint",
        }
    }
}

impl Protocol {
    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::Tcp => "tcp",
        }
    }
}

impl SecurityPolicy {
    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => UNKNOWN,
            Self::MutualTls => "mutual_tls",
            Self::None => "none",
        }
    }
}

/// What is known of one end: the labels `source_*` or `destination_*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerLabels {
    /// Workload (`..._workload`).
    pub workload: Arc<str>,
    /// Namespace (`..._workload_namespace`).
    pub namespace: Arc<str>,
    /// SPIFFE URI (`..._principal`).
    pub principal: Arc<str>,
    /// Label `app` (`..._app`).
    pub app: Arc<str>,
    /// Label `version` (`..._version`).
    pub version: Arc<str>,
    /// Canonical service (`..._canonical_service`).
    pub canonical_service: Arc<str>,
    /// Canonical revision (`..._canonical_revision`).
    pub canonical_revision: Arc<str>,
    /// Cluster (`..._cluster`).
    pub cluster: Arc<str>,
}

impl Default for PeerLabels {
    /// Nothing is known: `unknown` everywhere, `latest` as revision.
    fn default() -> Self {
        let unknown: Arc<str> = UNKNOWN.into();
        Self {
            workload: Arc::clone(&unknown),
            namespace: Arc::clone(&unknown),
            principal: Arc::clone(&unknown),
            app: Arc::clone(&unknown),
            version: Arc::clone(&unknown),
            canonical_service: Arc::clone(&unknown),
            canonical_revision: LATEST.into(),
            cluster: unknown,
        }
    }
}

/// The service that was called: the labels `destination_service*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceLabels {
    /// Host name (`destination_service`).
    pub host: Arc<str>,
    /// Short name, or a special one such as `PassthroughCluster` (`destination_service_name`).
    pub name: Arc<str>,
    /// Namespace (`destination_service_namespace`).
    pub namespace: Arc<str>,
}

impl Default for ServiceLabels {
    fn default() -> Self {
        let unknown: Arc<str> = UNKNOWN.into();
        Self { host: Arc::clone(&unknown), name: Arc::clone(&unknown), namespace: unknown }
    }
}
