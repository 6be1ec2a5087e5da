//! Filter chains.

use std::sync::Arc;

use tulle_proto::envoy::{
    http_connection_manager, listener as pb, network_ext_authz, network_rbac, sni_forward_proxy,
    tcp_proxy as pbtcp,
};
use tulle_proto::istio::{metadata_exchange, stats};
use tulle_proto::type_url;

use super::context::{At, Context, UNSUPPORTED};
use super::value::{flag, metadata, named, provenance, text, texts};
use super::{ext_authz, forward_proxy, http_filter, http_manager, net, rbac, tcp_proxy, tls};
use crate::runtime::listener::{FilterChain, FilterChainMatch, NetworkFilter, SourceType, Terminal};

const KNOWN: &[&str] = &[
    type_url::HTTP_CONNECTION_MANAGER,
    type_url::TCP_PROXY,
    type_url::NETWORK_RBAC,
    type_url::NETWORK_EXT_AUTHZ,
    type_url::SNI_FORWARD_PROXY,
    type_url::ISTIO_STATS,
    type_url::METADATA_EXCHANGE,
];

pub(super) fn filter_chain(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::FilterChain,
) -> Option<FilterChain> {
    let pb::FilterChain {
        filter_chain_match,
        filters,
        use_proxy_proto,
        metadata: meta,
        transport_socket,
        transport_socket_connect_timeout,
        name,
    } = message;
    if flag(use_proxy_proto.as_ref(), false) {
        cx.refuse(&at.field("use_proxy_proto"), "proxy protocol is not supported");
    }
    let meta = metadata(cx, &at.field("metadata"), meta.as_ref());
    let matches = match filter_chain_match {
        Some(message) => chain_match(cx, &at.field("filter_chain_match"), message),
        None => Some(FilterChainMatch::default()),
    };
    let transport = tls::downstream(cx, &at.field("transport_socket"), transport_socket.as_ref());
    let handshake_timeout = cx.limit(
        &at.field("transport_socket_connect_timeout"),
        transport_socket_connect_timeout.as_ref(),
        None,
    );
    let (filters, terminal) = self::filters(cx, &at.field("filters"), filters)?;
    Some(FilterChain {
        name: text(name),
        matches: matches?,
        transport: transport?,
        handshake_timeout,
        filters,
        terminal,
        provenance: provenance(&meta),
    })
}

fn chain_match(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::FilterChainMatch,
) -> Option<FilterChainMatch> {
    use pb::filter_chain_match::ConnectionSourceType;
    let pb::FilterChainMatch {
        destination_port,
        prefix_ranges,
        address_suffix,
        suffix_len,
        direct_source_prefix_ranges,
        source_type,
        source_prefix_ranges,
        source_ports,
        server_names,
        transport_protocol,
        application_protocols,
    } = message;
    refuse!(cx, at, address_suffix: UNSUPPORTED, suffix_len: UNSUPPORTED);
    let destination_port = match destination_port {
        Some(port) => {
            let at = at.field("destination_port");
            cx.between(&at, port.value, 1, 65_535)?;
            Some(cx.port(&at, port.value)?)
        }
        None => None,
    };
    let ports_at = at.field("source_ports");
    let source_ports =
        source_ports.iter().enumerate().filter_map(|(i, port)| cx.port(&ports_at.index(i), *port)).collect();
    let names_at = at.field("server_names");
    for (i, name) in server_names.iter().enumerate() {
        if name.strip_prefix("*.").unwrap_or(name).contains('*') || name.is_empty() {
            cx.refuse(
                &names_at.index(i),
                format!("{name:?}: a wildcard may only be the first label, as in *.example.com"),
            );
        }
    }
    let source_type = match cx.choice(&at.field("source_type"), *source_type)? {
        ConnectionSourceType::Any => SourceType::Any,
        ConnectionSourceType::SameIpOrLoopback => SourceType::SameIpOrLoopback,
        ConnectionSourceType::External => SourceType::External,
    };
    Some(FilterChainMatch {
        destination_port,
        prefix_ranges: net::cidrs(cx, &at.field("prefix_ranges"), prefix_ranges),
        server_names: server_names.iter().map(|name| text(&name.to_ascii_lowercase())).collect(),
        transport_protocol: text(transport_protocol),
        application_protocols: texts(application_protocols),
        direct_source_prefix_ranges: net::cidrs(
            cx,
            &at.field("direct_source_prefix_ranges"),
            direct_source_prefix_ranges,
        ),
        source_type,
        source_prefix_ranges: net::cidrs(cx, &at.field("source_prefix_ranges"), source_prefix_ranges),
        source_ports,
    })
}

/// The filters of a chain: any number before the terminal one, which must be the last.
fn filters(cx: &mut Context<'_>, at: &At<'_>, list: &[pb::Filter]) -> Option<(Vec<NetworkFilter>, Terminal)> {
    let mut filters = Vec::new();
    let mut terminal = None;
    let mut broken = false;
    for (i, message) in list.iter().enumerate() {
        let at = at.index(i);
        let last = i + 1 == list.len();
        match filter(cx, &at, message) {
            Some(Found::Terminal(found)) if last => terminal = Some(found),
            Some(Found::Terminal(_)) => {
                cx.refuse(&at, "a terminal filter must be the last one");
                broken = true;
            }
            Some(Found::Filter(found)) => filters.push(found),
            None => broken = true,
        }
    }
    if terminal.is_none() && !broken {
        cx.refuse(at, "needs http_connection_manager or tcp_proxy as the last filter");
    }
    Some((filters, terminal?))
}

enum Found {
    Filter(NetworkFilter),
    Terminal(Terminal),
}

fn filter(cx: &mut Context<'_>, at: &At<'_>, message: &pb::Filter) -> Option<Found> {
    use pb::filter::ConfigType;
    let pb::Filter { name, config_type } = message;
    named(cx, &at.field("name"), name);
    let any = match config_type {
        Some(ConfigType::TypedConfig(any)) => any,
        Some(ConfigType::ConfigDiscovery(_)) => {
            cx.refuse(&at.field("config_discovery"), UNSUPPORTED);
            return None;
        }
        None => {
            cx.refuse(&at.field("typed_config"), "is required");
            return None;
        }
    };
    let at = at.field("typed_config");
    match any.type_url.as_str() {
        type_url::HTTP_CONNECTION_MANAGER => {
            let message: http_connection_manager::HttpConnectionManager = cx.unpack(&at, any)?;
            let manager = http_manager::http_manager(cx, &at, &message)?;
            Some(Found::Terminal(Terminal::Http(Arc::new(manager))))
        }
        type_url::TCP_PROXY => {
            let message: pbtcp::TcpProxy = cx.unpack(&at, any)?;
            let proxy = tcp_proxy::tcp_proxy(cx, &at, &message)?;
            Some(Found::Terminal(Terminal::Tcp(Arc::new(proxy))))
        }
        type_url::NETWORK_RBAC => {
            let message: network_rbac::Rbac = cx.unpack(&at, any)?;
            rbac::network(cx, &at, &message).map(|rbac| Found::Filter(NetworkFilter::Rbac(Arc::new(rbac))))
        }
        type_url::NETWORK_EXT_AUTHZ => {
            let message: network_ext_authz::ExtAuthz = cx.unpack(&at, any)?;
            let filter = ext_authz::network(cx, &at, &message)?;
            Some(Found::Filter(NetworkFilter::ExtAuthz(Arc::new(filter))))
        }
        type_url::SNI_FORWARD_PROXY => {
            let message: sni_forward_proxy::FilterConfig = cx.unpack(&at, any)?;
            let filter = forward_proxy::by_sni(cx, &at, &message)?;
            Some(Found::Filter(NetworkFilter::ForwardProxy(filter)))
        }
        type_url::ISTIO_STATS => {
            let message: stats::PluginConfig = cx.unpack(&at, any)?;
            let stats = http_filter::istio_stats(cx, &at, &message)?;
            Some(Found::Filter(NetworkFilter::IstioStats(Arc::new(stats))))
        }
        type_url::METADATA_EXCHANGE => {
            let metadata_exchange::MetadataExchange { protocol, enable_discovery, additional_labels } =
                cx.unpack(&at, any)?;
            let (enable_discovery, additional_labels) = (&enable_discovery, &additional_labels);
            no_effect!(cx, at,
                enable_discovery: "the endpoint's metadata and the certificate say who the peer is",
                additional_labels: "the labels told are those of the metric contract",
            );
            Some(Found::Filter(NetworkFilter::MetadataExchange { protocol: text(&protocol) }))
        }
        _ => {
            cx.unknown_extension(&at, any, "network filter", KNOWN);
            None
        }
    }
}
