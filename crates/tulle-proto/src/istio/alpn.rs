//! `istio.envoy.config.filter.http.alpn.v2alpha1`: which ALPN `istio.alpn` offers upstream, by the protocol of the request.

/// Configuration of `istio.alpn`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FilterConfig {
    /// What to offer for each protocol.
    #[prost(message, repeated, tag = "1")]
    pub alpn_override: Vec<AlpnOverride>,
}
super::named!(FilterConfig, "istio.envoy.config.filter.http.alpn.v2alpha1", "FilterConfig");

/// What to offer for one protocol.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AlpnOverride {
    /// The protocol spoken upstream.
    #[prost(enumeration = "Protocol", tag = "1")]
    pub upstream_protocol: i32,
    /// The ALPN list, most wanted first.
    #[prost(string, repeated, tag = "2")]
    pub alpn_override: Vec<String>,
}
super::named!(AlpnOverride, "istio.envoy.config.filter.http.alpn.v2alpha1", "FilterConfig.AlpnOverride");

/// HTTP versions as this filter numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Protocol {
    /// HTTP/1.0.
    Http10 = 0,
    /// HTTP/1.1.
    Http11 = 1,
    /// HTTP/2.
    Http2 = 2,
}
