//! Listeners.

use std::sync::Arc;
use std::time::Duration;

use tulle_proto::envoy::{core, listener as pb, listener_filters};
use tulle_proto::type_url;

use super::access_log;
use super::context::{At, Context, UNSUPPORTED};
use super::filter_chain::filter_chain;
use super::net::{keepalive, listen_address};
use super::value::{flag, metadata, number, provenance, text};
use crate::runtime::listener::{
    Direction, FilterChain, FilterChainMatch, Listener, ListenerFilter, ListenerFilterKind, PortPredicate,
};

/// Names every field: those that [`listener`] does not read are refused or noted here.
fn account(cx: &mut Context<'_>, at: &At<'_>, message: &pb::Listener) {
    let pb::Listener {
        name: _,
        address: _,
        additional_addresses: _,
        stat_prefix: _,
        stats_matcher,
        filter_chains: _,
        fcds_config,
        filter_chain_matcher,
        use_original_dst: _,
        default_filter_chain: _,
        per_connection_buffer_limit_bytes: _,
        per_connection_buffer_high_watermark_timeout,
        metadata: _,
        deprecated_v1: _,
        drain_type,
        listener_filters: _,
        listener_filters_timeout: _,
        continue_on_listener_filters_timeout: _,
        transparent: _,
        freebind,
        socket_options,
        tcp_fast_open_queue_length,
        traffic_direction: _,
        udp_listener_config,
        api_listener,
        connection_balance_config,
        reuse_port,
        enable_reuse_port,
        access_log: _,
        tcp_backlog_size: _,
        max_connections_to_accept_per_socket_event,
        bind_to_port: _,
        enable_mptcp,
        ignore_global_conn_limit,
        bypass_overload_manager,
        tcp_keepalive: _,
        listener_specifier,
    } = message;
    refuse!(cx, at,
        fcds_config: UNSUPPORTED,
        filter_chain_matcher: UNSUPPORTED,
        udp_listener_config: "UDP is not supported",
        api_listener: UNSUPPORTED,
        listener_specifier: "internal listeners are not supported",
        enable_mptcp: UNSUPPORTED,
        socket_options: UNSUPPORTED,
    );
    no_effect!(cx, at,
        stats_matcher: "statistics are those of the metric contract",
        per_connection_buffer_high_watermark_timeout: "full buffers wait for the idle timeout",
        drain_type: "listeners drain when they change or go",
        freebind: "addresses are bound as they are there",
        tcp_fast_open_queue_length: "TCP fast open is not used",
        connection_balance_config: "the kernel spreads connections over the workers' sockets",
        reuse_port: "every worker has a socket of its own",
        enable_reuse_port: "every worker has a socket of its own",
        max_connections_to_accept_per_socket_event: "workers accept as many as there are",
        ignore_global_conn_limit: "there is no global connection limit",
        bypass_overload_manager: "there is no overload manager",
    );
}

pub(super) fn listener(cx: &mut Context<'_>, at: &At<'_>, message: &pb::Listener) -> Option<Listener> {
    account(cx, at, message);
    if flag(message.transparent.as_ref(), false) {
        cx.refuse(&at.field("transparent"), "is not supported: use redirection instead of TPROXY");
    }
    let meta = metadata(cx, &at.field("metadata"), message.metadata.as_ref());
    let mut addresses = Vec::with_capacity(1 + message.additional_addresses.len());
    addresses.extend(listen_address(cx, &at.field("address"), message.address.as_ref()));
    let more_at = at.field("additional_addresses");
    for (i, message) in message.additional_addresses.iter().enumerate() {
        let at = more_at.index(i);
        let pb::AdditionalAddress { address: one, socket_options, tcp_keepalive } = message;
        refuse!(cx, at, socket_options: UNSUPPORTED, tcp_keepalive: UNSUPPORTED);
        addresses.extend(listen_address(cx, &at.field("address"), one.as_ref()));
    }
    let old_bind = message.deprecated_v1.as_ref().and_then(|old| old.bind_to_port.as_ref());
    let direction = match cx.choice(&at.field("traffic_direction"), message.traffic_direction)? {
        core::TrafficDirection::Unspecified => Direction::Unspecified,
        core::TrafficDirection::Inbound => Direction::Inbound,
        core::TrafficDirection::Outbound => Direction::Outbound,
    };
    let filters = listener_filters_of(cx, &at.field("listener_filters"), &message.listener_filters);
    let chains_at = at.field("filter_chains");
    let chains: Vec<Arc<FilterChain>> = message
        .filter_chains
        .iter()
        .enumerate()
        .filter_map(|(i, message)| filter_chain(cx, &chains_at.index(i), message).map(Arc::new))
        .collect();
    refuse_twins(cx, &chains_at, &chains);
    let default_chain = match &message.default_filter_chain {
        Some(message) => filter_chain(cx, &at.field("default_filter_chain"), message).map(Arc::new),
        None => None,
    };
    if message.filter_chains.is_empty() && message.default_filter_chain.is_none() {
        cx.refuse(at, "needs filter_chains or default_filter_chain");
    }
    let stat_prefix = match (message.stat_prefix.as_str(), addresses.first()) {
        ("", Some(first)) => text(&first.address.to_string()),
        (prefix, _) => text(prefix),
    };
    Some(Listener {
        name: text(&message.name),
        addresses,
        bind_to_port: flag(message.bind_to_port.as_ref(), flag(old_bind, true)),
        use_original_dst: flag(message.use_original_dst.as_ref(), false),
        filters,
        inspect_timeout: cx.limit(
            &at.field("listener_filters_timeout"),
            message.listener_filters_timeout.as_ref(),
            Some(Duration::from_secs(15)),
        ),
        continue_on_timeout: message.continue_on_listener_filters_timeout,
        direction,
        chains,
        default_chain,
        buffer_limit: number(message.per_connection_buffer_limit_bytes.as_ref(), 1 << 20),
        access_logs: access_log::access_logs(cx, &at.field("access_log"), &message.access_log),
        backlog: message.tcp_backlog_size.as_ref().map(|v| v.value),
        keepalive: message.tcp_keepalive.as_ref().map(keepalive),
        stat_prefix,
        provenance: provenance(&meta),
    })
}

fn listener_filters_of(
    cx: &mut Context<'_>,
    at: &At<'_>,
    list: &[pb::ListenerFilter],
) -> Vec<ListenerFilter> {
    list.iter().enumerate().filter_map(|(i, message)| listener_filter(cx, &at.index(i), message)).collect()
}

fn listener_filter(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::ListenerFilter,
) -> Option<ListenerFilter> {
    use pb::listener_filter::ConfigType;
    let pb::ListenerFilter { name, filter_disabled, config_type } = message;
    let disabled = match filter_disabled {
        Some(message) => predicate(cx, &at.field("filter_disabled"), message)?,
        None => PortPredicate::Never,
    };
    let tls_default = ListenerFilterKind::TlsInspector { max_client_hello: MAX_CLIENT_HELLO };
    let kind = match config_type {
        Some(ConfigType::TypedConfig(any)) => {
            let at = at.field("typed_config");
            match any.type_url.as_str() {
                type_url::ORIGINAL_DST => {
                    let listener_filters::OriginalDst {} = cx.unpack(&at, any)?;
                    ListenerFilterKind::OriginalDst
                }
                type_url::HTTP_INSPECTOR => {
                    let listener_filters::HttpInspector {} = cx.unpack(&at, any)?;
                    ListenerFilterKind::HttpInspector
                }
                type_url::TLS_INSPECTOR => {
                    let message: listener_filters::TlsInspector = cx.unpack(&at, any)?;
                    tls_inspector(cx, &at, &message)
                }
                type_url::PROXY_PROTOCOL => {
                    let message: listener_filters::ProxyProtocol = cx.unpack(&at, any)?;
                    proxy_protocol(cx, &at, &message)?
                }
                _ => {
                    let known = [
                        type_url::ORIGINAL_DST,
                        type_url::TLS_INSPECTOR,
                        type_url::HTTP_INSPECTOR,
                        type_url::PROXY_PROTOCOL,
                    ];
                    cx.unknown_extension(&at, any, "listener filter", &known);
                    return None;
                }
            }
        }
        Some(ConfigType::ConfigDiscovery(_)) => {
            cx.refuse(&at.field("config_discovery"), UNSUPPORTED);
            return None;
        }
        None => match name.as_str() {
            "envoy.filters.listener.original_dst" => ListenerFilterKind::OriginalDst,
            "envoy.filters.listener.tls_inspector" => tls_default,
            "envoy.filters.listener.http_inspector" => ListenerFilterKind::HttpInspector,
            _ => {
                cx.refuse(&at.field("typed_config"), "is required");
                return None;
            }
        },
    };
    Some(ListenerFilter { kind, disabled })
}

const MAX_CLIENT_HELLO: u32 = 16 * 1024;

fn proxy_protocol(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &listener_filters::ProxyProtocol,
) -> Option<ListenerFilterKind> {
    use core::proxy_protocol_config::Version;
    let listener_filters::ProxyProtocol {
        rules,
        allow_requests_without_proxy_protocol,
        pass_through_tlvs,
        disallowed_versions,
        stat_prefix,
        tlv_location,
    } = message;
    refuse!(cx, at, rules: "extensions (TLV) are not read");
    no_effect!(cx, at,
        pass_through_tlvs: "extensions (TLV) are not passed on",
        tlv_location: "extensions (TLV) are not read",
        stat_prefix: "statistics are those of the metric contract",
    );
    let (mut v1, mut v2) = (true, true);
    let list_at = at.field("disallowed_versions");
    for (i, version) in disallowed_versions.iter().enumerate() {
        match cx.choice(&list_at.index(i), *version)? {
            Version::V1 => v1 = false,
            Version::V2 => v2 = false,
        }
    }
    if !v1 && !v2 {
        cx.refuse(&list_at, "leaves no version");
        return None;
    }
    Some(ListenerFilterKind::ProxyProtocol { optional: *allow_requests_without_proxy_protocol, v1, v2 })
}

fn tls_inspector(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &listener_filters::TlsInspector,
) -> ListenerFilterKind {
    let listener_filters::TlsInspector {
        enable_ja3_fingerprinting,
        enable_ja4_fingerprinting,
        initial_read_buffer_size,
        close_connection_on_client_hello_parsing_errors,
        max_client_hello_size,
    } = message;
    no_effect!(cx, at,
        enable_ja3_fingerprinting: "fingerprints are not made",
        enable_ja4_fingerprinting: "fingerprints are not made",
        initial_read_buffer_size: "buffers grow as needed",
        close_connection_on_client_hello_parsing_errors: "a broken hello is not taken for TLS",
    );
    let size = number(max_client_hello_size.as_ref(), MAX_CLIENT_HELLO);
    ListenerFilterKind::TlsInspector { max_client_hello: size.clamp(256, 64 * 1024) }
}

fn predicate(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::ListenerFilterChainMatchPredicate,
) -> Option<PortPredicate> {
    use pb::listener_filter_chain_match_predicate::{MatchSet, Rule};
    let pb::ListenerFilterChainMatchPredicate { rule } = message;
    let list = |cx: &mut Context<'_>, at: &At<'_>, rules: &[pb::ListenerFilterChainMatchPredicate]| {
        rules
            .iter()
            .enumerate()
            .map(|(i, message)| predicate(cx, &at.index(i), message))
            .collect::<Option<Vec<_>>>()
    };
    cx.deeper(at, |cx| match rule {
        Some(Rule::AnyMatch(true)) => Some(PortPredicate::Always),
        Some(Rule::AnyMatch(false)) => Some(PortPredicate::Never),
        Some(Rule::OrMatch(MatchSet { rules })) => {
            list(cx, &at.field("or_match").field("rules"), rules).map(PortPredicate::Or)
        }
        Some(Rule::AndMatch(MatchSet { rules })) => {
            list(cx, &at.field("and_match").field("rules"), rules).map(PortPredicate::And)
        }
        Some(Rule::NotMatch(inner)) => {
            predicate(cx, &at.field("not_match"), inner).map(|p| PortPredicate::Not(Box::new(p)))
        }
        Some(Rule::DestinationPortRange(tulle_proto::envoy::kind::Int32Range { start, end })) => {
            match (u16::try_from(*start), u32::try_from(*end)) {
                (Ok(start), Ok(end)) if end <= 65_536 => Some(PortPredicate::Range { start, end }),
                _ => {
                    cx.refuse(&at.field("destination_port_range"), "must be within 0 and 65536");
                    None
                }
            }
        }
        None => {
            cx.refuse(at, "needs a rule");
            None
        }
    })
}

/// Two chains that would take the same connection are refused, as Envoy does.
fn refuse_twins(cx: &mut Context<'_>, at: &At<'_>, chains: &[Arc<FilterChain>]) {
    for (i, chain) in chains.iter().enumerate() {
        if let Some(twin) = chains[..i].iter().position(|other| collide(&other.matches, &chain.matches)) {
            cx.refuse(
                &at.index(i).field("filter_chain_match"),
                format!("matches the same connections as filter_chains[{twin}]"),
            );
        }
    }
}

/// Whether some connection meets both in every criterion with the very same value.
fn collide(a: &FilterChainMatch, b: &FilterChainMatch) -> bool {
    fn common<T: PartialEq>(a: &[T], b: &[T]) -> bool {
        (a.is_empty() && b.is_empty()) || a.iter().any(|one| b.contains(one))
    }
    a.destination_port == b.destination_port
        && a.transport_protocol == b.transport_protocol
        && a.source_type == b.source_type
        && common(&a.application_protocols, &b.application_protocols)
        && common(&a.server_names, &b.server_names)
        && common(&a.prefix_ranges, &b.prefix_ranges)
        && common(&a.direct_source_prefix_ranges, &b.direct_source_prefix_ranges)
        && common(&a.source_prefix_ranges, &b.source_prefix_ranges)
        && common(&a.source_ports, &b.source_ports)
}
