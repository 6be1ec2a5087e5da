//! `dynamic_forward_proxy`: the cluster, its filters, and the cache of names that they have in common.

use std::sync::Arc;
use std::time::Duration;

use tulle_proto::envoy::{
    cluster as pbcluster, dns_cache as pb, forward_proxy, forward_proxy_cluster, matcher as pbmatcher,
    sni_forward_proxy, xds_core,
};
use tulle_proto::{Any, type_url};

use super::cluster::{dns_family, failure_rate};
use super::context::{At, Context, UNSUPPORTED};
use super::matcher::header_key;
use super::net;
use super::value::{number, text};
use crate::runtime::forward_proxy::{DnsCache, ForwardHost, Refused, SniForward};

const REFRESH: Duration = Duration::from_secs(60);
const UNUSED: Duration = Duration::from_secs(300);
const TIMEOUT: Duration = Duration::from_secs(5);
const MOST: u32 = 1024;
const NO_SUB_CLUSTERS: &str = "clusters of clusters are not supported; use dns_cache_config";

fn dns_cache(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&pb::DnsCacheConfig>,
) -> Option<Arc<DnsCache>> {
    let pb::DnsCacheConfig {
        name,
        dns_lookup_family,
        dns_refresh_rate,
        dns_min_refresh_rate,
        host_ttl,
        max_hosts,
        disable_dns_refresh_on_failure,
        dns_failure_refresh_rate,
        dns_cache_circuit_breaker,
        use_tcp_for_dns_lookups,
        dns_resolution_config,
        typed_dns_resolver_config,
        preresolve_hostnames,
        dns_query_timeout,
        key_value_config,
        resolved_address_filter,
    } = cx.required(at, message)?;
    refuse!(cx, at,
        dns_resolution_config: "is not supported: the system's resolvers are asked",
        key_value_config: UNSUPPORTED,
    );
    no_effect!(cx, at,
        dns_min_refresh_rate: "the system's resolvers do not tell how long an answer lives: names are asked for again after dns_refresh_rate",
        use_tcp_for_dns_lookups: "the system's resolvers are asked",
        typed_dns_resolver_config: "the system's resolvers are asked",
        preresolve_hostnames: "names are asked for when they are needed",
    );
    if name.is_empty() {
        cx.refuse(&at.field("name"), "must not be empty");
    }
    let refresh = or(cx, &at.field("dns_refresh_rate"), dns_refresh_rate.as_ref(), REFRESH);
    let unused = or(cx, &at.field("host_ttl"), host_ttl.as_ref(), UNUSED);
    let family = dns_family(cx, &at.field("dns_lookup_family"), *dns_lookup_family);
    let failure_at = at.field("dns_failure_refresh_rate");
    let failure = failure_rate(cx, &failure_at, dns_failure_refresh_rate.as_ref(), refresh?);
    let pending = dns_cache_circuit_breaker.as_ref().and_then(|b| b.max_pending_requests.as_ref());
    let refused = match resolved_address_filter {
        Some(message) => refused(cx, &at.field("resolved_address_filter"), message),
        None => Refused::Local,
    };
    let (failure_base, failure_max) =
        if *disable_dns_refresh_on_failure { Default::default() } else { failure? };
    Some(Arc::new(DnsCache {
        name: text(name),
        family: family?,
        refresh: refresh?,
        failure_base,
        failure_max,
        unused: unused?,
        max_hosts: number(max_hosts.as_ref(), MOST).max(1),
        max_pending: number(pending, MOST),
        timeout: cx.limit(&at.field("dns_query_timeout"), dns_query_timeout.as_ref(), Some(TIMEOUT)),
        refused,
    }))
}

fn or(
    cx: &mut Context<'_>,
    at: &At<'_>,
    value: Option<&tulle_proto::envoy::google::Duration>,
    default: Duration,
) -> Option<Duration> {
    match value {
        Some(_) => cx.positive(at, value),
        None => Some(default),
    }
}

fn refused(cx: &mut Context<'_>, at: &At<'_>, message: &pbmatcher::AddressMatcher) -> Refused {
    let pbmatcher::AddressMatcher { ranges, invert_match } = message;
    let at = at.field("ranges");
    let range = |(i, range): (usize, &xds_core::CidrRange)| {
        let xds_core::CidrRange { address_prefix, prefix_len } = range;
        let same = tulle_proto::envoy::core::CidrRange {
            address_prefix: address_prefix.clone(),
            prefix_len: *prefix_len,
        };
        net::cidr(cx, &at.index(i), &same)
    };
    Refused::Ranges { ranges: ranges.iter().enumerate().filter_map(range).collect(), inverted: *invert_match }
}

/// The names of a cluster whose requests say where they go.
pub(super) fn cluster(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pbcluster::cluster::CustomClusterType,
) -> Option<Arc<DnsCache>> {
    use forward_proxy_cluster::cluster_config::ClusterImplementationSpecifier as Kind;
    let pbcluster::cluster::CustomClusterType { name, typed_config } = message;
    let at = at.field("cluster_type");
    let Some(any) = typed_config.as_ref().filter(|any| any.type_url == type_url::FORWARD_PROXY_CLUSTER)
    else {
        cx.refuse(&at, format!("{name:?} is not supported"));
        return None;
    };
    let at = at.field("typed_config");
    let forward_proxy_cluster::ClusterConfig {
        allow_insecure_cluster_options: _whether_names_must_be_checked,
        allow_coalesced_connections,
        cluster_implementation_specifier,
    } = cx.unpack(&at, any)?;
    let allow_coalesced_connections = &allow_coalesced_connections;
    no_effect!(cx, at, allow_coalesced_connections: "connections are for one host");
    match &cluster_implementation_specifier {
        Some(Kind::DnsCacheConfig(message)) => dns_cache(cx, &at.field("dns_cache_config"), Some(message)),
        Some(Kind::SubClustersConfig(_)) => {
            cx.refuse(&at.field("sub_clusters_config"), NO_SUB_CLUSTERS);
            None
        }
        None => dns_cache(cx, &at.field("dns_cache_config"), None),
    }
}

/// Whether a cluster of that type takes options that leave names unchecked.
pub(super) fn takes_insecure(message: &pbcluster::cluster::CustomClusterType) -> bool {
    let config = message.typed_config.as_ref();
    let unpacked = config.and_then(|any: &Any| tulle_proto::unpack(any).ok());
    unpacked.is_some_and(|c: forward_proxy_cluster::ClusterConfig| c.allow_insecure_cluster_options)
}

/// The names of the HTTP filter.
pub(super) fn http(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &forward_proxy::FilterConfig,
) -> Option<Arc<DnsCache>> {
    use forward_proxy::filter_config::ImplementationSpecifier as Kind;
    let forward_proxy::FilterConfig {
        save_upstream_address,
        allow_dynamic_host_from_filter_state,
        implementation_specifier,
    } = message;
    refuse!(cx, at, allow_dynamic_host_from_filter_state: UNSUPPORTED);
    no_effect!(cx, at, save_upstream_address: "addresses are refused by resolved_address_filter");
    match implementation_specifier {
        Some(Kind::DnsCacheConfig(message)) => dns_cache(cx, &at.field("dns_cache_config"), Some(message)),
        Some(Kind::SubClusterConfig(_)) => {
            cx.refuse(&at.field("sub_cluster_config"), NO_SUB_CLUSTERS);
            None
        }
        None => dns_cache(cx, &at.field("dns_cache_config"), None),
    }
}

/// The host that a route names.
pub(super) fn per_route(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &forward_proxy::PerRouteConfig,
) -> Option<ForwardHost> {
    use forward_proxy::per_route_config::HostRewriteSpecifier as Kind;
    let forward_proxy::PerRouteConfig { host_rewrite_specifier } = message;
    match host_rewrite_specifier {
        Some(Kind::HostRewriteLiteral(host)) if !host.is_empty() => Some(ForwardHost::Literal(text(host))),
        Some(Kind::HostRewriteHeader(name)) => {
            header_key(cx, &at.field("host_rewrite_header"), name).map(ForwardHost::Header)
        }
        Some(Kind::HostRewriteLiteral(_)) | None => {
            cx.refuse(at, "needs host_rewrite_literal or host_rewrite_header");
            None
        }
    }
}

/// The network filter.
pub(super) fn by_sni(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &sni_forward_proxy::FilterConfig,
) -> Option<Arc<SniForward>> {
    use sni_forward_proxy::filter_config::PortSpecifier;
    let sni_forward_proxy::FilterConfig { dns_cache_config, save_upstream_address, port_specifier } = message;
    no_effect!(cx, at, save_upstream_address: "addresses are refused by resolved_address_filter");
    let names = dns_cache(cx, &at.field("dns_cache_config"), dns_cache_config.as_ref());
    let port = match port_specifier {
        Some(PortSpecifier::PortValue(port)) => {
            let at = at.field("port_value");
            cx.between(&at, *port, 1, 65_535)?;
            cx.port(&at, *port)?
        }
        None => 443,
    };
    Some(Arc::new(SniForward { names: names?, port }))
}
