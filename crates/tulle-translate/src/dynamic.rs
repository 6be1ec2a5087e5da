//! Hosts that requests and connections name themselves (`resolution: DYNAMIC_DNS`).

use std::net::IpAddr;
use std::time::Duration;

use tulle_base::nearby;
use tulle_mesh::service::{Resolution, Service};
use tulle_proto::envoy::cluster::cluster::{
    ClusterDiscoveryType, CustomClusterType, DnsLookupFamily, RefreshRate,
};
use tulle_proto::envoy::dns_cache::DnsCacheConfig;
use tulle_proto::envoy::forward_proxy_cluster::{
    ClusterConfig, cluster_config::ClusterImplementationSpecifier,
};
use tulle_proto::envoy::listener::Filter;
use tulle_proto::envoy::matcher::AddressMatcher;
use tulle_proto::envoy::sni_forward_proxy::{FilterConfig, filter_config::PortSpecifier};
use tulle_proto::envoy::xds_core::CidrRange;

use crate::filters::network;
use crate::pb::{duration, pack, u32v};

/// The kind of the cluster.
const KIND: &str = "envoy.clusters.dynamic_forward_proxy";
/// A name that is not found is asked for again after this time, and then after longer and longer ones.
const FIRST: Duration = Duration::from_secs(1);
/// The longest of them.
const LONGEST: Duration = Duration::from_secs(10);

/// Addresses that no name may lead to: a client that picks the name would reach what trusts its neighbours, as the proxy's own admin
/// port or a cloud's metadata service. Our proxy refuses these by itself; others are told.
/// IPv4 addresses count as such where they are mapped into IPv6, too.
fn refused() -> Vec<CidrRange> {
    let range = |prefix: String, len: u8| CidrRange { address_prefix: prefix, prefix_len: u32v(len.into()) };
    let all = nearby::RANGES.iter().flat_map(|&(net, len)| {
        let mapped = match net {
            IpAddr::V4(v4) => Some(range(v4.to_ipv6_mapped().to_string(), 96 + len)),
            IpAddr::V6(_) => None,
        };
        [Some(range(net.to_string(), len)), mapped]
    });
    all.flatten().collect()
}

/// Whether the hosts of `service` are named by requests.
pub(crate) fn is(service: &Service) -> bool {
    service.resolution == Resolution::DynamicDns
}

/// The names of a service's hosts, the same for all its ports.
fn names(service: &Service) -> DnsCacheConfig {
    DnsCacheConfig {
        name: format!("dns_{}", service.hostname.as_str()),
        dns_lookup_family: DnsLookupFamily::V4Preferred as i32,
        dns_failure_refresh_rate: Some(RefreshRate {
            base_interval: Some(duration(FIRST)),
            max_interval: Some(duration(LONGEST)),
        }),
        resolved_address_filter: Some(AddressMatcher { ranges: refused(), invert_match: false }),
        ..DnsCacheConfig::default()
    }
}

/// The type of the cluster. `unchecked`: server name and certificate are not those of the host.
pub(crate) fn cluster_type(service: &Service, unchecked: bool) -> ClusterDiscoveryType {
    let config = ClusterConfig {
        allow_insecure_cluster_options: unchecked,
        cluster_implementation_specifier: Some(ClusterImplementationSpecifier::DnsCacheConfig(names(
            service,
        ))),
        ..ClusterConfig::default()
    };
    ClusterDiscoveryType::ClusterType(CustomClusterType {
        name: KIND.to_owned(),
        typed_config: Some(pack(&config)),
    })
}

/// The filter that finds the host that the server name of TLS names, at `port`.
pub(crate) fn by_sni(service: &Service, port: u16) -> Filter {
    let config = FilterConfig {
        dns_cache_config: Some(names(service)),
        port_specifier: Some(PortSpecifier::PortValue(port.into())),
        ..FilterConfig::default()
    };
    network("envoy.filters.network.sni_dynamic_forward_proxy", &config)
}
