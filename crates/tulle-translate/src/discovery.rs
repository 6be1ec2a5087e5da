//! How proxies find the endpoints of a service.

use tulle_mesh::service::{Resolution, Service};
use tulle_proto::envoy::cluster::cluster::DiscoveryType;

use crate::proxy::Kind;

/// Which way the endpoints of `service` are found by proxies of `kind`. Gateways are nobody's original destination.
pub(crate) fn discovery(kind: Kind, service: &Service) -> DiscoveryType {
    match (service.resolution, kind) {
        (Resolution::Static, _) | (Resolution::Passthrough, Kind::Router) => DiscoveryType::Eds,
        (Resolution::Passthrough, Kind::Sidecar) => DiscoveryType::OriginalDst,
        (Resolution::Dns, _) => DiscoveryType::StrictDns,
        (Resolution::DnsRoundRobin, _) => DiscoveryType::LogicalDns,
        // No endpoints of its own: it becomes a cluster that forwards (`dynamic`).
        (Resolution::DynamicDns, _) => DiscoveryType::Static,
    }
}
