//! Clusters.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tulle_proto::envoy::{cluster as pb, core, endpoint as pbendpoint};

use super::context::{At, Context, UNSUPPORTED};
use super::endpoint::{Names, endpoint_set};
use super::health::health_checks;
use super::lb::{LbFields, lb};
use super::matcher::header_key;
use super::outlier::{breakers, outlier};
use super::upstream::{OldFields, upstream};
use super::value::{config_source, fields, metadata, named, number, provenance, text};
use super::{forward_proxy, net, proxy_protocol};
use crate::runtime::cluster::{
    Cluster, Discovery, DnsFamily, DnsSettings, LbPolicy, OriginalDst, ServiceMeta, TransportMatch,
};
use crate::runtime::endpoint::EndpointSet;
use crate::runtime::metadata::{Metadata, Value};
use crate::runtime::net::{Address, HappyEyeballs};

const FIVE_SECONDS: Duration = Duration::from_secs(5);

/// Names every field: those that [`cluster`] does not read are refused or noted here.
fn account(cx: &mut Context<'_>, at: &At<'_>, message: &pb::Cluster) {
    let pb::Cluster {
        transport_socket_matches: _,
        transport_socket_matcher,
        name: _,
        alt_stat_name: _,
        stats_matcher,
        eds_cluster_config: _,
        connect_timeout: _,
        per_connection_buffer_limit_bytes: _,
        per_connection_buffer_high_watermark_timeout,
        lb_policy: _,
        load_assignment: _,
        health_checks: _,
        max_requests_per_connection: _,
        circuit_breakers: _,
        upstream_http_protocol_options: _,
        common_http_protocol_options: _,
        http_protocol_options: _,
        http2_protocol_options: _,
        typed_extension_protocol_options: _,
        dns_refresh_rate: _,
        dns_jitter: _,
        dns_failure_refresh_rate: _,
        respect_dns_ttl: _,
        dns_lookup_family: _,
        dns_resolvers,
        use_tcp_for_dns_lookups,
        dns_resolution_config,
        typed_dns_resolver_config,
        wait_for_warm_on_init,
        outlier_detection: _,
        cleanup_interval: _,
        upstream_bind_config: _,
        lb_subset_config,
        common_lb_config: _,
        transport_socket: _,
        metadata: _,
        protocol_selection: _,
        upstream_connection_options: _,
        close_connections_on_host_health_failure: _,
        ignore_health_on_host_removal: _,
        filters,
        load_balancing_policy: _,
        lrs_server,
        lrs_report_endpoint_metrics,
        track_timeout_budgets,
        upstream_config,
        track_cluster_stats,
        preconnect_policy,
        connection_pool_per_downstream_connection: _,
        queuing_policies,
        cluster_discovery_type: _,
        lb_config: _,
    } = message;
    refuse!(cx, at,
        transport_socket_matcher: UNSUPPORTED,
        lb_subset_config: "subsets of endpoints are not supported; use a cluster for each",
        filters: UNSUPPORTED,
        upstream_config: UNSUPPORTED,
        queuing_policies: UNSUPPORTED,
        dns_resolvers: "is not supported: the system's resolvers are asked",
        dns_resolution_config: "is not supported: the system's resolvers are asked",
    );
    no_effect!(cx, at,
        stats_matcher: "statistics are those of the metric contract",
        per_connection_buffer_high_watermark_timeout: "full buffers wait for the idle timeout",
        use_tcp_for_dns_lookups: "the system's resolvers are asked",
        typed_dns_resolver_config: "the system's resolvers are asked",
        wait_for_warm_on_init: "a cluster takes traffic as soon as it has endpoints",
        lrs_server: "load is not reported",
        lrs_report_endpoint_metrics: "load is not reported",
        track_timeout_budgets: "statistics are those of the metric contract",
        track_cluster_stats: "statistics are those of the metric contract",
        preconnect_policy: "connections are made when they are needed",
    );
}

pub(super) fn cluster(cx: &mut Context<'_>, at: &At<'_>, message: &pb::Cluster) -> Option<Cluster> {
    account(cx, at, message);
    if message.name.is_empty() {
        cx.refuse(&at.field("name"), "must not be empty");
    }
    let meta = metadata(cx, &at.field("metadata"), message.metadata.as_ref());
    let dns = dns(
        cx,
        at,
        &DnsFields {
            refresh: message.dns_refresh_rate.as_ref(),
            jitter: message.dns_jitter.as_ref(),
            failure: message.dns_failure_refresh_rate.as_ref(),
            respect_ttl: message.respect_dns_ttl,
            family: message.dns_lookup_family,
        },
    );
    let discovery = discovery(
        cx,
        at,
        &DiscoveryFields {
            name: &message.name,
            kind: message.cluster_discovery_type.as_ref(),
            eds: message.eds_cluster_config.as_ref(),
            assignment: message.load_assignment.as_ref(),
            lb_config: message.lb_config.as_ref(),
            cleanup: message.cleanup_interval.as_ref(),
            dns,
        },
    );
    let insecure = match &message.cluster_discovery_type {
        Some(pb::cluster::ClusterDiscoveryType::ClusterType(custom)) => forward_proxy::takes_insecure(custom),
        _ => false,
    };
    let lb = lb(
        cx,
        at,
        &LbFields {
            policy: message.lb_policy,
            config: message.lb_config.as_ref(),
            extension: message.load_balancing_policy.as_ref(),
            common: message.common_lb_config.as_ref(),
        },
    );
    let connect_timeout = match &message.connect_timeout {
        Some(_) => cx.positive(&at.field("connect_timeout"), message.connect_timeout.as_ref()),
        None => Some(FIVE_SECONDS),
    };
    let transports = transports(cx, at, &message.transport_socket_matches, message.transport_socket.as_ref());
    let old = old_http_fields(cx, at, message);
    let upstream = upstream(cx, at, &message.typed_extension_protocol_options, &old);
    let sources =
        source_addresses(cx, &at.field("upstream_bind_config"), message.upstream_bind_config.as_ref());
    let breakers = breakers(cx, &at.field("circuit_breakers"), message.circuit_breakers.as_ref());
    let health_check = health_checks(cx, &at.field("health_checks"), &message.health_checks);
    let outlier = match &message.outlier_detection {
        Some(message) => Some(outlier(cx, &at.field("outlier_detection"), message)?),
        None => None,
    };
    let (keepalive, happy_eyeballs) = connection_options(
        cx,
        &at.field("upstream_connection_options"),
        message.upstream_connection_options.as_ref(),
    );
    let (discovery, (policy, lb_common)) = (discovery?, lb?);
    let by_itself = matches!(discovery, Discovery::OriginalDst(_) | Discovery::Forward(_));
    if by_itself != (policy == LbPolicy::ClusterProvided) {
        let message =
            "CLUSTER_PROVIDED and type ORIGINAL_DST or envoy.clusters.dynamic_forward_proxy belong together";
        cx.refuse(&at.field("lb_policy"), message);
    }
    let (protocol, http, errors) = upstream?;
    if matches!(discovery, Discovery::Forward(_)) && !insecure && !(http.auto_sni && http.auto_san_validation)
    {
        let message =
            "a forward proxy needs auto_sni and auto_san_validation, or allow_insecure_cluster_options";
        cx.refuse(&at.field("upstream_http_protocol_options"), message);
    }
    let (circuit_breakers, circuit_breakers_high, per_host_max_connections) = breakers?;
    let (services, external) = istio_metadata(&meta);
    Some(Cluster {
        name: text(&message.name),
        stat_name: text(if message.alt_stat_name.is_empty() {
            &message.name
        } else {
            &message.alt_stat_name
        }),
        discovery,
        lb: policy,
        lb_common,
        connect_timeout: connect_timeout?,
        buffer_limit: number(message.per_connection_buffer_limit_bytes.as_ref(), 1 << 20),
        transports: transports?,
        protocol,
        http,
        source_addresses: sources?,
        happy_eyeballs,
        circuit_breakers,
        circuit_breakers_high,
        per_host_max_connections,
        outlier,
        errors,
        health_check: health_check.map(Arc::new),
        keepalive,
        close_on_unhealthy: message.close_connections_on_host_health_failure,
        ignore_health_on_removal: message.ignore_health_on_host_removal,
        pool_per_downstream: message.connection_pool_per_downstream_connection,
        services,
        external,
        provenance: provenance(&meta),
        metadata: (!meta.is_empty()).then(|| Arc::new(meta)),
    })
}

/// The fields that `typed_extension_protocol_options` replaces.
fn old_http_fields<'m>(cx: &mut Context<'_>, at: &At<'_>, message: &'m pb::Cluster) -> OldFields<'m> {
    let use_downstream = cx.choice::<pb::cluster::ClusterProtocolSelection>(
        &at.field("protocol_selection"),
        message.protocol_selection,
    ) == Some(pb::cluster::ClusterProtocolSelection::UseDownstreamProtocol);
    OldFields {
        upstream: message.upstream_http_protocol_options.as_ref(),
        common: message.common_http_protocol_options.as_ref(),
        http1: message.http_protocol_options.as_ref(),
        http2: message.http2_protocol_options.as_ref(),
        use_downstream,
        names_by_host: matches!(
            message.cluster_discovery_type,
            Some(pb::cluster::ClusterDiscoveryType::ClusterType(_))
        ),
        max_requests_per_connection: message.max_requests_per_connection.as_ref().map(|v| v.value),
    }
}

struct DiscoveryFields<'m> {
    name: &'m str,
    kind: Option<&'m pb::cluster::ClusterDiscoveryType>,
    eds: Option<&'m pb::cluster::EdsClusterConfig>,
    assignment: Option<&'m pbendpoint::ClusterLoadAssignment>,
    lb_config: Option<&'m pb::cluster::LbConfig>,
    cleanup: Option<&'m tulle_proto::envoy::google::Duration>,
    dns: Option<DnsSettings>,
}

fn discovery(cx: &mut Context<'_>, at: &At<'_>, fields: &DiscoveryFields<'_>) -> Option<Discovery> {
    use pb::cluster::{ClusterDiscoveryType, DiscoveryType};
    let kind = match fields.kind {
        None => DiscoveryType::Static,
        Some(ClusterDiscoveryType::Type(value)) => cx.choice(&at.field("type"), *value)?,
        Some(ClusterDiscoveryType::ClusterType(custom)) => {
            if fields.assignment.is_some() {
                cx.refuse(&at.field("load_assignment"), "a forward proxy has no endpoints of its own");
            }
            return forward_proxy::cluster(cx, at, custom).map(Discovery::Forward);
        }
    };
    match kind {
        DiscoveryType::Static => {
            Some(Discovery::Static(Arc::new(assignment(cx, at, fields, Names::Refused)?)))
        }
        DiscoveryType::StrictDns => {
            Some(Discovery::StrictDns(Arc::new(assignment(cx, at, fields, Names::Allowed)?), fields.dns?))
        }
        DiscoveryType::LogicalDns => {
            let set = assignment(cx, at, fields, Names::Allowed)?;
            if set.endpoints.len() != 1 {
                cx.refuse(&at.field("load_assignment"), "a LOGICAL_DNS cluster has exactly one endpoint");
            }
            Some(Discovery::LogicalDns(Arc::new(set), fields.dns?))
        }
        DiscoveryType::Eds => {
            let at = at.field("eds_cluster_config");
            let pb::cluster::EdsClusterConfig { eds_config, service_name } = cx.required(&at, fields.eds)?;
            config_source(cx, &at.field("eds_config"), eds_config.as_ref());
            let name = if service_name.is_empty() { fields.name } else { service_name };
            Some(Discovery::Eds(text(name)))
        }
        DiscoveryType::OriginalDst => original_dst(cx, at, fields).map(Discovery::OriginalDst),
    }
}

fn assignment(
    cx: &mut Context<'_>,
    at: &At<'_>,
    fields: &DiscoveryFields<'_>,
    names: Names,
) -> Option<EndpointSet> {
    let at = at.field("load_assignment");
    let empty =
        pbendpoint::ClusterLoadAssignment { cluster_name: fields.name.to_owned(), ..Default::default() };
    endpoint_set(cx, &at, fields.assignment.unwrap_or(&empty), names)
}

fn original_dst(cx: &mut Context<'_>, at: &At<'_>, fields: &DiscoveryFields<'_>) -> Option<OriginalDst> {
    if fields.assignment.is_some() {
        cx.refuse(&at.field("load_assignment"), "an ORIGINAL_DST cluster has no endpoints of its own");
    }
    let empty = pb::cluster::OriginalDstLbConfig::default();
    let config = match fields.lb_config {
        Some(pb::cluster::LbConfig::OriginalDstLbConfig(config)) => config,
        _ => &empty,
    };
    let pb::cluster::OriginalDstLbConfig {
        use_http_header,
        http_header_name,
        upstream_port_override,
        metadata_key,
    } = config;
    let inner = at.field("original_dst_lb_config");
    refuse!(cx, inner, metadata_key: UNSUPPORTED);
    let header = match (use_http_header, http_header_name.as_str()) {
        (false, _) => None,
        (true, "") => Some(header_key(cx, &inner, "x-envoy-original-dst-host")?),
        (true, name) => Some(header_key(cx, &inner.field("http_header_name"), name)?),
    };
    let port = match upstream_port_override {
        Some(port) => Some(cx.port(&inner.field("upstream_port_override"), port.value)?),
        None => None,
    };
    let cleanup = match fields.cleanup {
        Some(_) => cx.positive(&at.field("cleanup_interval"), fields.cleanup)?,
        None => FIVE_SECONDS,
    };
    Some(OriginalDst { header, port, cleanup })
}

struct DnsFields<'m> {
    refresh: Option<&'m tulle_proto::envoy::google::Duration>,
    jitter: Option<&'m tulle_proto::envoy::google::Duration>,
    failure: Option<&'m pb::cluster::RefreshRate>,
    respect_ttl: bool,
    family: i32,
}

fn dns(cx: &mut Context<'_>, at: &At<'_>, fields: &DnsFields<'_>) -> Option<DnsSettings> {
    let refresh = match fields.refresh {
        Some(_) => cx.positive(&at.field("dns_refresh_rate"), fields.refresh)?,
        None => FIVE_SECONDS,
    };
    let (failure_base, failure_max) =
        failure_rate(cx, &at.field("dns_failure_refresh_rate"), fields.failure, refresh)?;
    let family = dns_family(cx, &at.field("dns_lookup_family"), fields.family)?;
    let jitter = cx.duration(&at.field("dns_jitter"), fields.jitter).unwrap_or_default();
    Some(DnsSettings { refresh, respect_ttl: fields.respect_ttl, failure_base, failure_max, jitter, family })
}

/// First and longest wait after a failure; both `otherwise` where nothing is said.
pub(super) fn failure_rate(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&pb::cluster::RefreshRate>,
    otherwise: Duration,
) -> Option<(Duration, Duration)> {
    let Some(pb::cluster::RefreshRate { base_interval, max_interval }) = message else {
        return Some((otherwise, otherwise));
    };
    let base_at = at.field("base_interval");
    cx.required(&base_at, base_interval.as_ref())?;
    let base = cx.positive(&base_at, base_interval.as_ref())?;
    let max = match max_interval {
        Some(_) => cx.positive(&at.field("max_interval"), max_interval.as_ref())?,
        None => base.saturating_mul(10),
    };
    Some((base, max.max(base)))
}

/// Which addresses are wanted of DNS.
pub(super) fn dns_family(cx: &mut Context<'_>, at: &At<'_>, value: i32) -> Option<DnsFamily> {
    use pb::cluster::DnsLookupFamily;
    Some(match cx.choice(at, value)? {
        DnsLookupFamily::Auto => DnsFamily::V6Preferred,
        DnsLookupFamily::V4Only => DnsFamily::V4Only,
        DnsLookupFamily::V6Only => DnsFamily::V6Only,
        DnsLookupFamily::V4Preferred => DnsFamily::V4Preferred,
        DnsLookupFamily::All => DnsFamily::All,
    })
}

/// The transport sockets by match, and the default one at the end.
fn transports(
    cx: &mut Context<'_>,
    at: &At<'_>,
    matches: &[pb::cluster::TransportSocketMatch],
    default: Option<&core::TransportSocket>,
) -> Option<Vec<TransportMatch>> {
    let list_at = at.field("transport_socket_matches");
    let mut transports = Vec::with_capacity(matches.len() + 1);
    for (i, message) in matches.iter().enumerate() {
        let at = list_at.index(i);
        let pb::cluster::TransportSocketMatch { name, r#match, transport_socket } = message;
        let criteria =
            r#match.as_ref().map(|message| fields(cx, &at.field("match"), message)).unwrap_or_default();
        let socket_at = at.field("transport_socket");
        let (transport, proxy_protocol) =
            proxy_protocol::upstream(cx, &socket_at, transport_socket.as_ref())?;
        let name = named(cx, &at.field("name"), name);
        transports.push(TransportMatch { name, criteria, transport, proxy_protocol });
    }
    let (transport, proxy_protocol) = proxy_protocol::upstream(cx, &at.field("transport_socket"), default)?;
    let criteria = Default::default();
    transports.push(TransportMatch { name: text(""), criteria, transport, proxy_protocol });
    Some(transports)
}

/// The addresses to connect from, the main one first; `None` is a problem.
fn source_addresses(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&core::BindConfig>,
) -> Option<Vec<SocketAddr>> {
    let Some(core::BindConfig {
        source_address,
        freebind,
        socket_options,
        extra_source_addresses,
        additional_source_addresses,
        local_address_selector,
        validate_network_namespaces,
    }) = message
    else {
        return Some(Vec::new());
    };
    refuse!(cx, at,
        socket_options: UNSUPPORTED,
        additional_source_addresses: "is deprecated; use extra_source_addresses",
        local_address_selector: UNSUPPORTED,
    );
    no_effect!(cx, at,
        freebind: "addresses are bound as they are there",
        validate_network_namespaces: "namespaces are not changed",
    );
    let extra_at = at.field("extra_source_addresses");
    let Some(main) = source_address else {
        if !extra_source_addresses.is_empty() {
            cx.refuse(&extra_at, "needs source_address beside it");
        }
        return Some(Vec::new());
    };
    let mut out: Vec<SocketAddr> = Vec::new();
    let main_at = at.field("source_address");
    if let Address::Ip(ip) = net::socket_address(cx, &main_at, main, Names::Refused)? {
        out.push(ip);
    }
    for (i, core::ExtraSourceAddress { address, socket_options }) in extra_source_addresses.iter().enumerate()
    {
        let at = extra_at.index(i);
        refuse!(cx, at, socket_options: UNSUPPORTED);
        let Some(address) = address else {
            cx.refuse(&at.field("address"), "is required");
            continue;
        };
        if let Some(Address::Ip(ip)) = net::socket_address(cx, &at.field("address"), address, Names::Refused)
        {
            if out.iter().any(|o| o.is_ipv4() == ip.is_ipv4()) {
                cx.refuse(&at.field("address"), "must be of the other family than source_address");
            }
            out.push(ip);
        }
    }
    Some(out)
}

fn connection_options(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&pb::UpstreamConnectionOptions>,
) -> (Option<crate::runtime::net::TcpKeepalive>, HappyEyeballs) {
    let Some(pb::UpstreamConnectionOptions {
        tcp_keepalive,
        set_local_interface_name_on_upstream_connections,
        happy_eyeballs_config,
    }) = message
    else {
        return (None, HappyEyeballs::default());
    };
    no_effect!(cx, at,
        set_local_interface_name_on_upstream_connections: "nothing reads it",
    );
    let at = at.field("happy_eyeballs_config");
    let eyeballs = happy_eyeballs_config.as_ref().and_then(|message| happy_eyeballs(cx, &at, message));
    (tcp_keepalive.as_ref().map(net::keepalive), eyeballs.unwrap_or_default())
}

fn happy_eyeballs(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::upstream_connection_options::HappyEyeballsConfig,
) -> Option<HappyEyeballs> {
    use pb::upstream_connection_options::FirstAddressFamilyVersion as First;
    let pb::upstream_connection_options::HappyEyeballsConfig {
        first_address_family_version,
        first_address_family_count,
    } = message;
    let first = cx.choice(&at.field("first_address_family_version"), *first_address_family_version)?;
    let first_is_v6 = match first {
        First::Default => None,
        First::V4 => Some(false),
        First::V6 => Some(true),
        First::Pipe | First::Internal => {
            cx.refuse(&at.field("first_address_family_version"), UNSUPPORTED);
            return None;
        }
    };
    let first_count = number(first_address_family_count.as_ref(), 1);
    cx.between(&at.field("first_address_family_count"), first_count, 1, u32::MAX)?;
    Some(HappyEyeballs { first_is_v6, first_count })
}

/// What `filter_metadata["istio"]` says of a cluster: its services, and whether it is outside the mesh.
fn istio_metadata(metadata: &Metadata) -> (Vec<ServiceMeta>, bool) {
    let Some(istio) = metadata.get("istio") else { return (Vec::new(), false) };
    let part = |fields: &crate::runtime::metadata::Fields, name: &str| {
        fields.get(name).and_then(Value::as_str).map(text).unwrap_or_default()
    };
    let services = match istio.get("services") {
        Some(Value::List(list)) => list
            .iter()
            .filter_map(|item| match item {
                Value::Struct(fields) => Some(ServiceMeta {
                    host: part(fields, "host"),
                    name: part(fields, "name"),
                    namespace: part(fields, "namespace"),
                }),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    (services, istio.get("external") == Some(&Value::Bool(true)))
}
