//! Endpoints.

use std::net::SocketAddr;
use std::sync::Arc;

use tulle_base::Locality;
use tulle_proto::envoy::{core, endpoint as pb};

use super::context::{At, Context, UNSUPPORTED};
pub(super) use super::net::Names;
use super::net::address;
use super::value::{fraction, metadata, number, provenance, text};
use crate::runtime::endpoint::{
    Endpoint, EndpointCheck, EndpointSet, Health, LocalityEndpoints, WorkloadMeta,
};
use crate::runtime::metadata::Metadata;
use crate::runtime::net::Address;

/// More endpoints than this in one assignment are refused.
const MAX_ENDPOINTS: usize = 1 << 20;

/// More further addresses than this of one endpoint are refused.
const MAX_ADDRESSES: usize = 64;

pub(super) fn endpoint_set(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::ClusterLoadAssignment,
    names: Names,
) -> Option<EndpointSet> {
    use pb::cluster_load_assignment::Policy;
    let pb::ClusterLoadAssignment { cluster_name, endpoints, named_endpoints, policy } = message;
    refuse!(cx, at, named_endpoints: UNSUPPORTED);
    let policy_at = at.field("policy");
    let default = Policy::default();
    let Policy { drop_overloads, overprovisioning_factor, endpoint_stale_after, weighted_priority_health } =
        policy.as_ref().unwrap_or(&default);
    no_effect!(cx, policy_at, endpoint_stale_after: "endpoints stay until the control plane says otherwise");
    let factor = number(overprovisioning_factor.as_ref(), 140);
    cx.between(&policy_at.field("overprovisioning_factor"), factor, 1, 10_000);
    let drops = drops(cx, &policy_at.field("drop_overloads"), drop_overloads);
    let mut set = EndpointSet {
        name: text(cluster_name),
        endpoints: Vec::new(),
        localities: Vec::new(),
        priorities: 0,
        overprovisioning_factor: factor,
        weighted_priority_health: *weighted_priority_health,
        drops,
        provenance: None,
    };
    let list_at = at.field("endpoints");
    for (i, message) in endpoints.iter().enumerate() {
        locality(cx, &list_at.index(i), message, names, &mut set);
    }
    let mut seen: Vec<u32> = set.localities.iter().map(|l| l.priority).collect();
    seen.sort_unstable();
    seen.dedup();
    if seen.iter().zip(0..).any(|(priority, index)| *priority != index) {
        cx.refuse(&list_at, "priorities must begin at 0 and leave none out");
    }
    set.priorities = u32::try_from(seen.len()).unwrap_or(u32::MAX);
    Some(set)
}

fn drops(
    cx: &mut Context<'_>,
    at: &At<'_>,
    list: &[pb::cluster_load_assignment::policy::DropOverload],
) -> Vec<(Arc<str>, u32)> {
    use pb::cluster_load_assignment::policy::DropOverload;
    list.iter()
        .enumerate()
        .map(|(i, DropOverload { category, drop_percentage })| {
            let at = at.index(i);
            let share = drop_percentage
                .as_ref()
                .map_or(0, |p| fraction(cx, &at.field("drop_percentage"), p).per_million());
            (text(category), share)
        })
        .collect()
}

fn locality(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::LocalityLbEndpoints,
    names: Names,
    set: &mut EndpointSet,
) {
    use pb::locality_lb_endpoints::{LbConfig, LbEndpointList};
    let pb::LocalityLbEndpoints {
        locality,
        metadata: meta,
        lb_endpoints,
        load_balancing_weight,
        priority,
        proximity,
        lb_config,
    } = message;
    no_effect!(cx, at, proximity: "localities are chosen by priority and weight");
    let lb_endpoints = match lb_config {
        None => lb_endpoints,
        Some(LbConfig::LoadBalancerEndpoints(LbEndpointList { lb_endpoints })) => lb_endpoints,
        Some(LbConfig::LedsClusterLocalityConfig(_)) => {
            cx.refuse(&at.field("leds_cluster_locality_config"), UNSUPPORTED);
            return;
        }
    };
    if *priority > 128 {
        cx.refuse(&at.field("priority"), format!("{priority} must be between 0 and 128"));
        return;
    }
    let meta = metadata(cx, &at.field("metadata"), meta.as_ref());
    if set.provenance.is_none() {
        set.provenance = provenance(&meta);
    }
    let empty = core::Locality::default();
    let core::Locality { region, zone, sub_zone } = locality.as_ref().unwrap_or(&empty);
    let locality =
        Arc::new(Locality { region: region.clone(), zone: zone.clone(), sub_zone: sub_zone.clone() });
    let list_at = at.field("lb_endpoints");
    let mut members = Vec::with_capacity(lb_endpoints.len());
    for (i, message) in lb_endpoints.iter().enumerate() {
        if set.endpoints.len() >= MAX_ENDPOINTS {
            cx.refuse(&list_at, format!("more than {MAX_ENDPOINTS} endpoints"));
            break;
        }
        if let Some(endpoint) = endpoint(cx, &list_at.index(i), message, names, &locality, *priority) {
            members.push(u32::try_from(set.endpoints.len()).unwrap_or(u32::MAX));
            set.endpoints.push(Arc::new(endpoint));
        }
    }
    let weight = load_balancing_weight.as_ref().map_or(0, |w| w.value);
    set.localities.push(LocalityEndpoints { locality, priority: *priority, weight, endpoints: members });
}

fn endpoint(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::LbEndpoint,
    names: Names,
    locality: &Arc<Locality>,
    priority: u32,
) -> Option<Endpoint> {
    use pb::lb_endpoint::HostIdentifier;
    let pb::LbEndpoint { health_status, metadata: meta, load_balancing_weight, host_identifier } = message;
    let inner = match host_identifier {
        Some(HostIdentifier::Endpoint(inner)) => inner,
        Some(HostIdentifier::EndpointName(_)) => {
            cx.refuse(&at.field("endpoint_name"), UNSUPPORTED);
            return None;
        }
        None => {
            cx.refuse(at, "needs an endpoint");
            return None;
        }
    };
    let health = match cx.choice(&at.field("health_status"), *health_status)? {
        core::HealthStatus::Unknown | core::HealthStatus::Healthy => Health::Healthy,
        core::HealthStatus::Degraded => Health::Degraded,
        core::HealthStatus::Unhealthy | core::HealthStatus::Timeout => Health::Unhealthy,
        core::HealthStatus::Draining => Health::Draining,
    };
    let weight = number(load_balancing_weight.as_ref(), 1);
    cx.between(&at.field("load_balancing_weight"), weight, 1, u32::MAX)?;
    let mut meta = metadata(cx, &at.field("metadata"), meta.as_ref());
    let at = at.field("endpoint");
    let pb::Endpoint {
        address: main,
        health_check_config,
        hostname,
        additional_addresses,
        observability_name,
    } = inner;
    no_effect!(cx, at,
        observability_name: "endpoints are named by their address",
    );
    let check = health_check_config.as_ref();
    let check = check.and_then(|message| self::check(cx, &at.field("health_check_config"), message));
    Some(Endpoint {
        address: address(cx, &at.field("address"), main.as_ref(), names)?,
        additional_addresses: more_addresses(cx, &at.field("additional_addresses"), additional_addresses),
        hostname: text(hostname),
        weight,
        health,
        locality: Arc::clone(locality),
        priority,
        transport_socket_match: meta.remove("envoy.transport_socket_match").unwrap_or_default(),
        lb: meta.remove("envoy.lb").unwrap_or_default(),
        workload: workload(&meta),
        metadata: Arc::new(meta),
        check: check.map(Arc::new),
    })
}

/// How an endpoint is asked whether it is well; `None` where it is as all others are.
fn check(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::endpoint::HealthCheckConfig,
) -> Option<EndpointCheck> {
    let pb::endpoint::HealthCheckConfig { port_value, hostname, address: own, disable_active_health_check } =
        message;
    let port = cx.between(&at.field("port_value"), *port_value, 0, u32::from(u16::MAX))?;
    let address = match own {
        None => None,
        Some(own) => {
            let at = at.field("address");
            match address(cx, &at, Some(own), Names::Refused)? {
                Address::Ip(ip) => Some(ip),
                Address::Name(..) | Address::Pipe(_) => {
                    cx.refuse(&at, "must be an IP address");
                    return None;
                }
            }
        }
    };
    let check = EndpointCheck {
        disabled: *disable_active_health_check,
        address,
        port: u16::try_from(port).ok().filter(|port| *port > 0),
        hostname: text(hostname),
    };
    (check != EndpointCheck::default()).then_some(check)
}

/// Other addresses of one endpoint; only IP addresses can take turns.
fn more_addresses(
    cx: &mut Context<'_>,
    at: &At<'_>,
    list: &[pb::endpoint::AdditionalAddress],
) -> Vec<SocketAddr> {
    if list.len() > MAX_ADDRESSES {
        cx.refuse(at, format!("more than {MAX_ADDRESSES} addresses of one endpoint"));
        return Vec::new();
    }
    let mut out = Vec::with_capacity(list.len());
    for (i, pb::endpoint::AdditionalAddress { address: one }) in list.iter().enumerate() {
        let at = at.index(i);
        let at = at.field("address");
        match address(cx, &at, one.as_ref(), Names::Refused) {
            Some(Address::Ip(ip)) => out.push(ip),
            Some(Address::Name(..) | Address::Pipe(_)) => cx.refuse(&at, "must be an IP address"),
            None => {}
        }
    }
    out
}

/// `istio.workload`: `NAME;NAMESPACE;CANONICAL_NAME;CANONICAL_REVISION;CLUSTER`, trailing parts may be missing.
fn workload(metadata: &Metadata) -> Option<Arc<WorkloadMeta>> {
    let source = metadata.get("istio")?.get("workload")?.as_str()?;
    let mut parts = source.split(';').map(text);
    let mut next = || parts.next().unwrap_or_default();
    Some(Arc::new(WorkloadMeta {
        name: next(),
        namespace: next(),
        canonical_name: next(),
        canonical_revision: next(),
        cluster: next(),
    }))
}
