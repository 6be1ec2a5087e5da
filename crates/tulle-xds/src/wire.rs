//! The messages of `envoy.service.discovery.v3` as this crate reads and writes them.
//!
//! Wire-compatible with Envoy's `discovery.proto`; what this crate only passes on (resources, the node, error details) is
//! declared as bytes, so that it is neither decoded nor copied. Fields that are left out here are skipped when read.

use bytes::Bytes;

/// gRPC path of the delta variant.
pub const DELTA_PATH: &str =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
/// gRPC path of the state-of-the-world variant.
pub const SOTW_PATH: &str =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";
/// gRPC service that both belong to.
pub const SERVICE: &str = "envoy.service.discovery.v3.AggregatedDiscoveryService";

/// `DeltaDiscoveryRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeltaDiscoveryRequest {
    /// `envoy.config.core.v3.Node`, encoded; required in the first request of a stream only.
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub node: Option<Bytes>,
    /// Which type this request is about.
    #[prost(string, tag = "2")]
    pub type_url: String,
    /// Names to add; `*` is everything, and so is an empty list in the first request of a type.
    #[prost(string, repeated, tag = "3")]
    pub resource_names_subscribe: Vec<String>,
    /// Names to drop.
    #[prost(string, repeated, tag = "4")]
    pub resource_names_unsubscribe: Vec<String>,
    /// What the client has from an earlier stream: name to version. First request of a type only.
    #[prost(btree_map = "string, string", tag = "5")]
    pub initial_resource_versions: std::collections::BTreeMap<String, String>,
    /// Nonce of the response that this acknowledges; empty when it acknowledges nothing.
    #[prost(string, tag = "6")]
    pub response_nonce: String,
    /// Set when that response is refused.
    #[prost(message, optional, tag = "7")]
    pub error_detail: Option<Status>,
}

/// `DeltaDiscoveryResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeltaDiscoveryResponse {
    /// For people only.
    #[prost(string, tag = "1")]
    pub system_version_info: String,
    /// Each a [`WireResource`], encoded.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub resources: Vec<Bytes>,
    /// Type of every resource here.
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// To be repeated by the acknowledgement.
    #[prost(string, tag = "5")]
    pub nonce: String,
    /// Names that no longer exist, or that were asked for and never did.
    #[prost(string, repeated, tag = "6")]
    pub removed_resources: Vec<String>,
    /// Who answers.
    #[prost(message, optional, tag = "7")]
    pub control_plane: Option<ControlPlane>,
}

/// `DiscoveryRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DiscoveryRequest {
    /// Version last accepted; empty at first.
    #[prost(string, tag = "1")]
    pub version_info: String,
    /// `envoy.config.core.v3.Node`, encoded; required in the first request of a stream only.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub node: Option<Bytes>,
    /// All names wanted; empty (never having been otherwise) is everything.
    #[prost(string, repeated, tag = "3")]
    pub resource_names: Vec<String>,
    /// Which type this request is about.
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// Nonce of the response that this acknowledges.
    #[prost(string, tag = "5")]
    pub response_nonce: String,
    /// Set when that response is refused.
    #[prost(message, optional, tag = "6")]
    pub error_detail: Option<Status>,
}

/// `DiscoveryResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DiscoveryResponse {
    /// Version of the set.
    #[prost(string, tag = "1")]
    pub version_info: String,
    /// Each a `google.protobuf.Any`, encoded.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub resources: Vec<Bytes>,
    /// Type of every resource here.
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// To be repeated by the acknowledgement.
    #[prost(string, tag = "5")]
    pub nonce: String,
    /// Who answers.
    #[prost(message, optional, tag = "6")]
    pub control_plane: Option<ControlPlane>,
}

/// `envoy.service.discovery.v3.Resource`, without the fields that mean nothing here (aliases, cache control, locators).
#[derive(Clone, PartialEq, prost::Message)]
pub struct WireResource {
    /// Version of this resource.
    #[prost(string, tag = "1")]
    pub version: String,
    /// The payload; absent when the resource does not exist (a heartbeat).
    #[prost(message, optional, tag = "2")]
    pub resource: Option<Any>,
    /// Name within its type.
    #[prost(string, tag = "3")]
    pub name: String,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Any {
    /// Type of the value.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The message, encoded.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Status {
    /// A `google.rpc.Code`.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// For people.
    #[prost(string, tag = "2")]
    pub message: String,
    /// For programs.
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// `envoy.config.core.v3.ControlPlane`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ControlPlane {
    /// Name of the instance.
    #[prost(string, tag = "1")]
    pub identifier: String,
}

/// `envoy.service.discovery.v3.ResourceError`, used here inside [`Status::details`] of a refusal.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WireResourceError {
    /// The resource.
    #[prost(message, optional, tag = "1")]
    pub resource_name: Option<WireResourceName>,
    /// What is wrong with it.
    #[prost(message, optional, tag = "2")]
    pub error_detail: Option<Status>,
}

/// `envoy.service.discovery.v3.ResourceName`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WireResourceName {
    /// The name.
    #[prost(string, tag = "1")]
    pub name: String,
}
