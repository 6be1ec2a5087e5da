//! `envoy.tcp.metadataexchange.config`: peer metadata on plain TCP, by ALPN `istio-peer-exchange`.

/// Configuration of `istio.metadata_exchange`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MetadataExchange {
    /// The ALPN protocol that switches the exchange on.
    #[prost(string, tag = "1")]
    pub protocol: String,
    /// Whether workload discovery is used when the exchange tells nothing.
    #[prost(bool, tag = "2")]
    pub enable_discovery: bool,
    /// Further labels to exchange.
    #[prost(string, repeated, tag = "3")]
    pub additional_labels: Vec<String>,
}
super::named!(MetadataExchange, "envoy.tcp.metadataexchange.config", "MetadataExchange");
