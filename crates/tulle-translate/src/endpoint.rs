//! Endpoints (EDS).

use std::collections::HashMap;

use tulle_base::Labels;
use tulle_mesh::Snapshot;
use tulle_mesh::endpoint::{Endpoint, Health, ServiceEndpoints};
use tulle_mesh::port::Protocol;
use tulle_mesh::service::Service;
use tulle_proto::envoy::cluster::cluster::DiscoveryType;
use tulle_proto::envoy::core::{Address, HealthStatus, Locality as LocalityPb, Metadata};
use tulle_proto::envoy::endpoint::{
    ClusterLoadAssignment, Endpoint as EndpointPb, LbEndpoint, LocalityLbEndpoints,
    endpoint::AdditionalAddress, lb_endpoint::HostIdentifier,
};
use tulle_proto::type_url;

use crate::discovery::discovery;
use crate::locality::{Group, Preference, group, preference};
use crate::names::{ClusterName, Direction};
use crate::network;
use crate::pb::{address, pipe, structure, text, u32v};
use crate::resource::Resource;
use crate::sources::Sources;
use crate::view::View;

/// The endpoints of the cluster `name`; `None` when the view has no such EDS cluster.
pub(crate) fn assignment(snapshot: &Snapshot, view: &View, name: &str) -> Option<Resource> {
    let parsed = ClusterName::parse(name).filter(|n| n.direction == Direction::Outbound)?;
    let service = view.service(&parsed.host.as_str().into())?;
    let port = service.port(parsed.port)?;
    if discovery(view.kind, service) != DiscoveryType::Eds || port.protocol == Protocol::Udp {
        return None;
    }
    let rule = snapshot.destination_rule(
        &service.hostname,
        &view.namespace,
        Some(service.namespace()),
        &view.labels,
    );
    let labels = if parsed.subset.is_empty() {
        None
    } else {
        Some(&rule?.subsets.iter().find(|s| s.name == parsed.subset)?.labels)
    };
    let mut policy = rule.map(|r| r.effective(&parsed.subset, port.number)).unwrap_or_default();
    policy.outlier = policy.outlier.or(snapshot.mesh().outlier.as_ref());
    let preference = preference(snapshot, service, &policy);
    if parsed.by_sni && !view.passes_to(service) {
        return None;
    }
    let endpoints = snapshot.endpoints(service);
    let asked = Asked {
        service,
        port: port.number,
        labels,
        preference: preference.as_ref(),
        only_mtls: parsed.by_sni,
        mutual: network::may_pass(snapshot, service, &policy),
    };
    let mut message = load_assignment(snapshot, view, name, &endpoints, &asked);
    let mut sources = Sources::default();
    sources.add(&service.meta);
    if let Some(rule) = rule.filter(|_| labels.is_some() || preference.is_some()) {
        sources.add_rule(snapshot, rule);
        stamp(&mut message, &rule.meta.provenance(""));
    } else {
        stamp(&mut message, &service.meta.provenance(""));
    }
    Some(Resource::new(name, type_url::CLUSTER_LOAD_ASSIGNMENT, &message, sources))
}

/// Says on each locality which resource chose its endpoints.
fn stamp(message: &mut ClusterLoadAssignment, made_by: &tulle_base::Provenance) {
    for locality in &mut message.endpoints {
        locality.metadata = crate::pb::provenance(made_by);
    }
}

/// The names of all EDS clusters of a view.
pub(crate) fn names(snapshot: &Snapshot, view: &View) -> Vec<String> {
    let mut out = Vec::new();
    for service in view.services().filter(|s| discovery(view.kind, s) == DiscoveryType::Eds) {
        let rule = snapshot.destination_rule(
            &service.hostname,
            &view.namespace,
            Some(service.namespace()),
            &view.labels,
        );
        let passes = view.passes_to(service);
        let subsets = || rule.iter().flat_map(|r| &r.subsets).map(|s| s.name.as_str());
        for port in service.ports.iter().filter(|p| p.protocol != Protocol::Udp) {
            for subset in std::iter::once("").chain(subsets()) {
                let name = ClusterName::outbound(&service.hostname, port.number, subset);
                out.extend(passes.then(|| name.sni()));
                out.push(name.to_string());
            }
        }
    }
    out.sort();
    out
}

/// Which endpoints of a service are asked for.
pub(crate) struct Asked<'a> {
    pub(crate) service: &'a Service,
    pub(crate) port: u16,
    /// Labels that they have; `None` for all.
    pub(crate) labels: Option<&'a Labels>,
    pub(crate) preference: Option<&'a Preference<'a>>,
    /// Only those that take mutual TLS: nothing else passes by server name.
    pub(crate) only_mtls: bool,
    /// Clients speak the mesh's mutual TLS with those that can.
    pub(crate) mutual: bool,
}

/// The endpoints that are asked for, grouped by locality and ranked for the client of the view.
pub(crate) fn load_assignment(
    snapshot: &Snapshot,
    view: &View,
    name: &str,
    endpoints: &ServiceEndpoints,
    asked: &Asked<'_>,
) -> ClusterLoadAssignment {
    let Asked { service, port, labels, preference, only_mtls, mutual } = asked;
    let wanted = |e: &&Endpoint| {
        labels.is_none_or(|l| l.iter().all(|(k, v)| e.labels.get(k) == Some(v)))
            && (!service.node_local || e.node == view.client.node)
            && (!only_mtls || e.mtls_ready)
    };
    // What passes through a gateway of this network ends in it.
    let pass = *mutual && !only_mtls;
    let chosen = endpoints.of_port(*port).iter().filter(wanted);
    let chosen = network::reached(snapshot, &view.client.network, pass, chosen);
    let groups = group(snapshot, chosen.iter().map(AsRef::as_ref), &view.client, *preference);
    let localities =
        groups.into_iter().map(|Group { locality, priority, weight, endpoints }| LocalityLbEndpoints {
            locality: Some(LocalityPb {
                region: locality.region.clone(),
                zone: locality.zone.clone(),
                sub_zone: locality.sub_zone.clone(),
            }),
            load_balancing_weight: u32v(weight),
            lb_endpoints: network::merged(endpoints)
                .into_iter()
                .map(|(e, weight)| lb_endpoint(snapshot, view, e, weight))
                .collect(),
            priority,
            ..LocalityLbEndpoints::default()
        });
    ClusterLoadAssignment {
        cluster_name: name.to_owned(),
        endpoints: localities.collect(),
        ..ClusterLoadAssignment::default()
    }
}

/// An assignment of one address.
pub(crate) fn single(name: &str, address: Address) -> ClusterLoadAssignment {
    let endpoint = LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(EndpointPb {
            address: Some(address),
            ..EndpointPb::default()
        })),
        ..LbEndpoint::default()
    };
    let locality = LocalityLbEndpoints { lb_endpoints: vec![endpoint], ..LocalityLbEndpoints::default() };
    ClusterLoadAssignment {
        cluster_name: name.to_owned(),
        endpoints: vec![locality],
        ..ClusterLoadAssignment::default()
    }
}

fn lb_endpoint(snapshot: &Snapshot, view: &View, e: &Endpoint, weight: u32) -> LbEndpoint {
    let place = |at: &str| match at.strip_prefix("unix://") {
        Some(path) => pipe(path),
        None => address(at, e.port),
    };
    let mut all = view.families.reachable(e.addresses()).into_iter().map(|at| Some(place(at)));
    let health = match e.health {
        Health::Healthy => HealthStatus::Healthy,
        Health::Draining => HealthStatus::Draining,
    };
    LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(EndpointPb {
            address: all.next().flatten(),
            additional_addresses: all.map(|address| AdditionalAddress { address }).collect(),
            ..EndpointPb::default()
        })),
        health_status: health as i32,
        metadata: metadata(snapshot, e),
        load_balancing_weight: u32v(weight),
    }
}

/// `envoy.transport_socket_match.tlsMode`, and `istio.workload` = `NAME;NAMESPACE;CANONICAL;REVISION;CLUSTER`.
fn metadata(snapshot: &Snapshot, e: &Endpoint) -> Option<Metadata> {
    let mut all = HashMap::new();
    if e.mtls_ready {
        all.insert("envoy.transport_socket_match".to_owned(), structure([("tlsMode", text("istio"))]));
    }
    if let Some(w) = &e.workload {
        let workload = format!(
            "{};{};{};{};{}",
            w.workload_name,
            w.namespace(),
            w.canonical_name,
            w.canonical_revision,
            snapshot.mesh().cluster_id
        );
        all.insert("istio".to_owned(), structure([("workload", text(workload))]));
    }
    (!all.is_empty()).then(|| Metadata { filter_metadata: all, ..Metadata::default() })
}
