//! Filters that many listeners have.

use tulle_proto::Message;
use tulle_proto::envoy::cors::Cors;
use tulle_proto::envoy::fault::HttpFault;
use tulle_proto::envoy::grpc_stats::{FilterConfig as GrpcStats, filter_config::PerMethodStatSpecifier};
use tulle_proto::envoy::http_connection_manager::{HttpFilter, http_filter};
use tulle_proto::envoy::listener::{Filter, ListenerFilter, filter, listener_filter};
use tulle_proto::envoy::listener_filters::{HttpInspector, OriginalDst, ProxyProtocol, TlsInspector};
use tulle_proto::envoy::router::Router;
use tulle_proto::envoy::stateful_session::StatefulSession;
use tulle_proto::istio::alpn::{AlpnOverride, FilterConfig as Alpn, Protocol};
use tulle_proto::istio::peer_metadata::{
    Config as PeerMetadata, DiscoveryMethod, IstioHeaders, PropagationMethod, discovery_method,
    propagation_method,
};
use tulle_proto::istio::stats::PluginConfig;

use crate::pb::{boolv, pack};
use crate::tls::{alpn, strings};

/// Name of the fault filter.
pub(crate) const FAULT: &str = "envoy.filters.http.fault";
/// Name of the filter of sessions.
pub(crate) const SESSIONS: &str = "envoy.filters.http.stateful_session";
/// Name of the CORS filter.
pub(crate) const CORS: &str = "envoy.filters.http.cors";

/// An HTTP filter.
pub(crate) fn http<M: Message>(name: &str, config: &M) -> HttpFilter {
    HttpFilter {
        name: name.to_owned(),
        config_type: Some(http_filter::ConfigType::TypedConfig(pack(config))),
        ..HttpFilter::default()
    }
}

/// A network filter.
pub(crate) fn network<M: Message>(name: &str, config: &M) -> Filter {
    Filter { name: name.to_owned(), config_type: Some(filter::ConfigType::TypedConfig(pack(config))) }
}

/// A listener filter.
fn listener<M: Message>(name: &str, config: &M) -> ListenerFilter {
    ListenerFilter {
        name: name.to_owned(),
        config_type: Some(listener_filter::ConfigType::TypedConfig(pack(config))),
        ..ListenerFilter::default()
    }
}

/// Finds the original destination.
pub(crate) fn original_dst() -> ListenerFilter {
    listener("envoy.filters.listener.original_dst", &OriginalDst {})
}

/// Finds TLS, server name and ALPN.
pub(crate) fn tls_inspector() -> ListenerFilter {
    listener("envoy.filters.listener.tls_inspector", &TlsInspector::default())
}

/// Takes the addresses from the PROXY protocol, with which connections must begin.
pub(crate) fn proxy_protocol() -> ListenerFilter {
    listener("envoy.filters.listener.proxy_protocol", &ProxyProtocol::default())
}

/// Finds HTTP.
pub(crate) fn http_inspector() -> ListenerFilter {
    listener("envoy.filters.listener.http_inspector", &HttpInspector {})
}

/// Peer metadata of the client, and ours for it.
pub(crate) fn peer_metadata_inbound() -> HttpFilter {
    http(
        "istio.peer_metadata",
        &PeerMetadata {
            downstream_discovery: vec![discover()],
            downstream_propagation: vec![propagate()],
            ..PeerMetadata::default()
        },
    )
}

/// Peer metadata of the endpoint, and ours for it.
pub(crate) fn peer_metadata_outbound() -> HttpFilter {
    http(
        "istio.peer_metadata",
        &PeerMetadata {
            upstream_discovery: vec![discover()],
            upstream_propagation: vec![propagate()],
            ..PeerMetadata::default()
        },
    )
}

fn discover() -> DiscoveryMethod {
    let headers = IstioHeaders { skip_external_clusters: false };
    DiscoveryMethod { method_specifier: Some(discovery_method::MethodSpecifier::IstioHeaders(headers)) }
}

fn propagate() -> PropagationMethod {
    // Nobody outside the mesh is told what runs in it.
    let headers = IstioHeaders { skip_external_clusters: true };
    PropagationMethod { method_specifier: Some(propagation_method::MethodSpecifier::IstioHeaders(headers)) }
}

/// Counts gRPC messages.
pub(crate) fn grpc_stats() -> HttpFilter {
    http(
        "envoy.filters.http.grpc_stats",
        &GrpcStats {
            emit_filter_state: true,
            per_method_stat_specifier: Some(PerMethodStatSpecifier::StatsForAllMethods(
                boolv(false).unwrap_or_default(),
            )),
            ..GrpcStats::default()
        },
    )
}

/// Offers the ALPN that picks the right chain of the other side for each request.
pub(crate) fn istio_alpn() -> HttpFilter {
    let offer = |protocol: Protocol, all: &[&str]| AlpnOverride {
        upstream_protocol: protocol as i32,
        alpn_override: strings(all),
    };
    http(
        "istio.alpn",
        &Alpn {
            alpn_override: vec![
                offer(Protocol::Http10, &["istio-http/1.0", "istio", "http/1.0"]),
                offer(Protocol::Http11, &[alpn::OURS, "istio-http/1.1", "istio", "http/1.1"]),
                offer(Protocol::Http2, &["istio-h2", "istio", "h2"]),
            ],
        },
    )
}

/// Injects faults where a route says so.
pub(crate) fn fault() -> HttpFilter {
    http(FAULT, &HttpFault::default())
}

/// Cross-origin policy where a route says so.
pub(crate) fn cors() -> HttpFilter {
    http(CORS, &Cors {})
}

/// Keeps sessions at their endpoints where a route says so.
pub(crate) fn sessions() -> HttpFilter {
    http(SESSIONS, &StatefulSession::default())
}

/// `istio_*` metrics of HTTP.
pub(crate) fn stats_http(metrics: &PluginConfig, gateway: bool) -> HttpFilter {
    http("istio.stats", &PluginConfig { disable_host_header_fallback: gateway, ..metrics.clone() })
}

/// `istio_*` metrics of TCP.
pub(crate) fn stats_tcp(metrics: &PluginConfig) -> Filter {
    network("istio.stats", metrics)
}

/// Forwards.
pub(crate) fn router(debug_headers: bool) -> HttpFilter {
    http("envoy.filters.http.router", &Router { suppress_envoy_headers: !debug_headers, ..Router::default() })
}
