//! `io.istio.http.peer_metadata`: how `istio.peer_metadata` learns and tells who the peer is.

/// Configuration of `istio.peer_metadata`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Config {
    /// How the client's metadata is found; the first that succeeds wins.
    #[prost(message, repeated, tag = "1")]
    pub downstream_discovery: Vec<DiscoveryMethod>,
    /// How the endpoint's metadata is found; the first that succeeds wins.
    #[prost(message, repeated, tag = "2")]
    pub upstream_discovery: Vec<DiscoveryMethod>,
    /// How our metadata is told to the client.
    #[prost(message, repeated, tag = "3")]
    pub downstream_propagation: Vec<PropagationMethod>,
    /// How our metadata is told to the endpoint.
    #[prost(message, repeated, tag = "4")]
    pub upstream_propagation: Vec<PropagationMethod>,
    /// Whether it is shared with internal upstream connections.
    #[prost(bool, tag = "5")]
    pub shared_with_upstream: bool,
    /// Further labels to tell.
    #[prost(string, repeated, tag = "6")]
    pub additional_labels: Vec<String>,
}
super::named!(Config, "io.istio.http.peer_metadata", "Config");

/// One way to find a peer's metadata.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DiscoveryMethod {
    /// Which.
    #[prost(oneof = "discovery_method::MethodSpecifier", tags = "1, 2, 3")]
    pub method_specifier: Option<discovery_method::MethodSpecifier>,
}
super::named!(DiscoveryMethod, "io.istio.http.peer_metadata", "Config.DiscoveryMethod");

/// The ways of [`DiscoveryMethod`].
pub mod discovery_method {
    /// Which.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum MethodSpecifier {
        /// The `baggage` header.
        #[prost(message, tag = "1")]
        Baggage(super::Baggage),
        /// The workload API, by address.
        #[prost(message, tag = "2")]
        WorkloadDiscovery(super::WorkloadDiscovery),
        /// `x-envoy-peer-metadata` and `x-envoy-peer-metadata-id`, removed once read.
        #[prost(message, tag = "3")]
        IstioHeaders(super::IstioHeaders),
    }
}

/// One way to tell our metadata.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PropagationMethod {
    /// Which.
    #[prost(oneof = "propagation_method::MethodSpecifier", tags = "1, 2")]
    pub method_specifier: Option<propagation_method::MethodSpecifier>,
}
super::named!(PropagationMethod, "io.istio.http.peer_metadata", "Config.PropagationMethod");

/// The ways of [`PropagationMethod`].
pub mod propagation_method {
    /// Which.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum MethodSpecifier {
        /// `x-envoy-peer-metadata` and `x-envoy-peer-metadata-id`.
        #[prost(message, tag = "1")]
        IstioHeaders(super::IstioHeaders),
        /// The `baggage` header.
        #[prost(message, tag = "2")]
        Baggage(super::Baggage),
    }
}

/// The `baggage` header.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Baggage {}
super::named!(Baggage, "io.istio.http.peer_metadata", "Config.Baggage");

/// The workload API.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct WorkloadDiscovery {}
super::named!(WorkloadDiscovery, "io.istio.http.peer_metadata", "Config.WorkloadDiscovery");

/// Istio's two headers.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct IstioHeaders {
    /// Do not tell clusters marked `external` in their `istio` metadata.
    #[prost(bool, tag = "1")]
    pub skip_external_clusters: bool,
}
super::named!(IstioHeaders, "io.istio.http.peer_metadata", "Config.IstioHeaders");
