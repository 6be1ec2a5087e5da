//! What holds for the whole mesh.

use std::time::Duration;

use crate::destination::LocalityLb;
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
        }
    }
}
