//! Documents that claim the same: which one wins, and why.

use std::sync::Arc;

use tulle_base::{FieldPath, Host, ResourceRef, Selector};

use super::Snapshot;
use crate::destination::{DestinationRule, TrafficPolicy};
use crate::item::Item;
use crate::meta::Meta;
use crate::policy::{PeerAuthentication, Target};
use crate::routing::{GatewayRef, RouteSet};
use crate::service::{Registry, Service};
use crate::sidecar::Sidecar;
use crate::telemetry::Telemetry;
use crate::visibility::ExportTo;

/// One document in another's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The other document.
    pub other: ResourceRef,
    /// The field that claims what the other claims too.
    pub field: FieldPath,
    /// What becomes of this document.
    pub outcome: Outcome,
    /// What both claim, which wins and why; one sentence without a full stop.
    pub message: String,
}

/// What becomes of a document in a [`Conflict`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// What it says of this has no effect.
    Loses,
    /// Both have effect, in an order.
    Merged,
    /// The other's word has no effect.
    Wins,
}

/// The conflicts of one document with the rest of the snapshot, in the order of its fields.
pub(super) fn conflicts(snapshot: &Snapshot, item: &Item) -> Vec<Conflict> {
    match item {
        Item::Routes(routes) => of_routes(snapshot, routes),
        Item::Destination(rule) => of_rule(snapshot, rule),
        Item::Services(services) => services.iter().flat_map(|s| of_service(snapshot, s)).collect(),
        Item::Sidecar(sidecar) => of_sidecar(snapshot, sidecar),
        Item::Peer(policy) => of_peer(snapshot, policy),
        Item::Telemetry(telemetry) => of_telemetry(snapshot, telemetry),
        Item::KubeRoute(route) => of_kube_route(snapshot, &route.meta.resource),
        Item::Ingress(ingress) => super::ingress::conflicts(snapshot, ingress),
        Item::Slice(_)
        | Item::Workload(_)
        | Item::Node(_)
        | Item::Entry(_)
        | Item::Gateway(_)
        | Item::Authorization(_)
        | Item::Tokens(_)
        | Item::Class(_)
        | Item::KubeGateway(_)
        | Item::ListenerSet(_)
        | Item::Grant(_)
        | Item::Namespace(_)
        | Item::BackendTls(_)
        | Item::Authorities(_)
        | Item::Certificate(_)
        | Item::IngressClass(_)
        | Item::Patches(_)
        | Item::RateLimit(_)
        | Item::Settings(_) => Vec::new(),
    }
}

/// The conflict of `mine` with `other` about `what`; `first` says which wins by something else than age.
fn decided(mine: &Meta, other: &Meta, field: &str, what: &str, first: Option<(bool, &str)>) -> Conflict {
    let (wins, why) = first.unwrap_or_else(|| (mine.by_age(other).is_lt(), by_age(mine, other)));
    let (outcome, message) = if wins {
        (Outcome::Wins, format!("{what} too; this one wins, because it {why}: the other has no effect there"))
    } else {
        (Outcome::Loses, format!("{what} too and wins, because it {why}: this one has no effect there"))
    };
    let message = format!("{} {message}", other.resource);
    Conflict { other: other.resource.clone(), field: FieldPath::from(field), outcome, message }
}

fn by_age(a: &Meta, b: &Meta) -> &'static str {
    if a.created == b.created { "comes first by name, of two of one age" } else { "is older" }
}

fn of_routes(snapshot: &Snapshot, routes: &RouteSet) -> Vec<Conflict> {
    let mut out = Vec::new();
    for (i, host) in routes.hosts.iter().enumerate() {
        let field = format!("spec.hosts[{i}]");
        let others = snapshot.routes_of(host).iter().filter(|o| o.meta.resource != routes.meta.resource);
        for other in others.filter(|o| overlap(&o.export_to, &routes.export_to) && same_kind(o, routes)) {
            if other.is_kube() {
                out.extend(with_kube(snapshot, routes, other, host, &field));
                continue;
            }
            if routes.applies_to_mesh() && other.applies_to_mesh() {
                let what = format!("claims {host} for sidecars");
                let rank = |r: &RouteSet| rank(&r.export_to, r.meta.namespace());
                let (mine, theirs) = (rank(routes), rank(other));
                let first = (mine != theirs).then_some((
                    mine < theirs,
                    "is exported to fewer namespaces, among which the nearer wins",
                ));
                out.push(decided(&routes.meta, &other.meta, &field, &what, first));
            }
            out.extend(shared_gateways(routes, other, host, &field));
        }
    }
    out
}

/// A VirtualService and a route of the Gateway API for one service. The clients that a consumer route is for have it, whatever
/// others have; otherwise the rules for two VirtualServices hold.
fn with_kube(
    snapshot: &Snapshot,
    mine: &RouteSet,
    other: &RouteSet,
    host: &Host,
    field: &str,
) -> Option<Conflict> {
    let (written, kube) = if mine.is_kube() { (other, mine) } else { (mine, other) };
    let service = snapshot.service(host, kube.meta.namespace())?;
    let producer = service.namespace() == kube.meta.namespace();
    if !producer || !written.applies_to_mesh() {
        return None;
    }
    let public = rank(&written.export_to, written.meta.namespace()) == 2;
    let nearer = "is exported to fewer namespaces, among which the nearer wins";
    let first = (!public).then_some((!mine.is_kube(), nearer));
    let what = format!("claims {host} for sidecars");
    Some(decided(&mine.meta, &other.meta, field, &what, first))
}

fn of_kube_route(snapshot: &Snapshot, resource: &ResourceRef) -> Vec<Conflict> {
    let Some(state) = snapshot.route_states.get(resource) else { return Vec::new() };
    let mut out = Vec::new();
    for set in state.sets.iter().filter(|s| s.applies_to_mesh()) {
        for host in &set.hosts {
            let others = snapshot.routes_of(host).iter().filter(|o| !o.is_kube() && same_kind(o, set));
            out.extend(others.filter_map(|o| with_kube(snapshot, set, o, host, "spec.parentRefs")));
        }
    }
    out
}

/// At gateways the rules of several documents for one host are put one after the other.
fn shared_gateways(routes: &RouteSet, other: &RouteSet, host: &Host, field: &str) -> Vec<Conflict> {
    let shared = routes.gateways.iter().filter(|g| other.gateways.contains(g));
    let named = shared.filter_map(|g| match g {
        GatewayRef::Named(name) => Some(name),
        GatewayRef::Mesh => None,
    });
    let conflict = |name| {
        let first = routes.meta.by_age(&other.meta).is_lt();
        let order = if first { "those of this one" } else { "those of the other" };
        let why = by_age(&routes.meta, &other.meta);
        let message = format!(
            "{} has routes for {host} at Gateway {name} too; both are in force, {order} come first, because it {why}",
            other.meta.resource
        );
        let other = other.meta.resource.clone();
        Conflict { other, field: FieldPath::from(field), outcome: Outcome::Merged, message }
    };
    named.map(conflict).collect()
}

/// Whether some namespace sees both.
fn overlap(a: &ExportTo, b: &ExportTo) -> bool {
    match (a, b) {
        (ExportTo::Nobody, _) | (_, ExportTo::Nobody) => false,
        (ExportTo::All, _) | (_, ExportTo::All) => true,
        (ExportTo::Namespaces(a), ExportTo::Namespaces(b)) => !a.is_disjoint(b),
    }
}

/// Private, then exported, then public.
fn rank(export: &ExportTo, own: &str) -> u8 {
    match export {
        ExportTo::Namespaces(set) if set.len() == 1 && set.contains(own) => 0,
        ExportTo::Namespaces(_) => 1,
        ExportTo::All | ExportTo::Nobody => 2,
    }
}

/// Whether both have routes of one kind: those for HTTP do not meet those for TCP.
fn same_kind(a: &RouteSet, b: &RouteSet) -> bool {
    (!a.http.is_empty() && !b.http.is_empty())
        || (!a.tls.is_empty() && !b.tls.is_empty())
        || (!a.tcp.is_empty() && !b.tcp.is_empty())
}

fn of_rule(snapshot: &Snapshot, rule: &DestinationRule) -> Vec<Conflict> {
    let others = snapshot.rules_behind(rule).filter(|r| r.meta.resource != rule.meta.resource);
    let mut out = Vec::new();
    for other in others {
        let host = &rule.host;
        let both = rule.policy != TrafficPolicy::default() && other.policy != TrafficPolicy::default();
        if both {
            let what = format!("sets the traffic policy of {host}");
            out.push(decided(&rule.meta, &other.meta, "spec.trafficPolicy", &what, None));
        }
        for (i, subset) in rule.subsets.iter().enumerate() {
            if other.subsets.iter().any(|s| s.name == subset.name) {
                let what = format!("defines subset {} of {host}", subset.name);
                out.push(decided(&rule.meta, &other.meta, &format!("spec.subsets[{i}]"), &what, None));
            }
        }
        if !out.iter().any(|c| c.other == other.meta.resource) {
            let message = format!("{} is for {host} too; both are in force", other.meta.resource);
            out.push(Conflict {
                other: other.meta.resource.clone(),
                field: FieldPath::from("spec.host"),
                outcome: Outcome::Merged,
                message,
            });
        }
    }
    out
}

fn of_service(snapshot: &Snapshot, service: &Service) -> Vec<Conflict> {
    let all = snapshot.services.get(&service.hostname);
    let others = all.into_iter().flat_map(|a| a.iter());
    let others = others
        .filter(|o| o.meta.resource != service.meta.resource && overlap(&o.export_to, &service.export_to));
    others.map(|other| same_host(service, other)).collect()
}

fn same_host(service: &Service, other: &Service) -> Conflict {
    let host = &service.hostname;
    let what = if other.namespace() == service.namespace() {
        format!("defines {host}")
    } else {
        format!("defines {host} (for namespaces other than the two, each of which sees its own)")
    };
    let kubernetes = |s: &Service| s.registry == Registry::Kubernetes;
    let first = (kubernetes(service) != kubernetes(other))
        .then_some((kubernetes(service), "is a Kubernetes Service, which comes before a ServiceEntry"));
    decided(&service.meta, &other.meta, "spec.hosts", &what, first)
}

fn of_sidecar(snapshot: &Snapshot, sidecar: &Sidecar) -> Vec<Conflict> {
    let all = snapshot.sidecars_in.get(sidecar.meta.namespace());
    let others = all.into_iter().flat_map(|a| a.iter()).map(|o| (&o.meta, o.selector.as_ref()));
    selecting(snapshot, &sidecar.meta, sidecar.selector.as_ref(), "spec.workloadSelector", others)
}

fn of_peer(snapshot: &Snapshot, policy: &PeerAuthentication) -> Vec<Conflict> {
    let all = snapshot.peers_in.get(policy.meta.namespace());
    let others = all.into_iter().flat_map(|a| a.iter()).map(|o| (&o.meta, o.selector.as_ref()));
    selecting(snapshot, &policy.meta, policy.selector.as_ref(), "spec.selector", others)
}

fn of_telemetry(snapshot: &Snapshot, telemetry: &Telemetry) -> Vec<Conflict> {
    let all = snapshot.telemetry_in.get(telemetry.meta.namespace());
    let selector = |t: &'_ Telemetry| match &t.target {
        Target::Selector(selector) => Some(selector.clone()),
        Target::Gateways(_) => None,
    };
    // Those that name Gateways are for other proxies than those that select.
    let Some(mine) = selector(telemetry) else { return Vec::new() };
    let others: Vec<_> = all
        .into_iter()
        .flat_map(|a| a.iter())
        .filter_map(|other| Some((&other.meta, selector(other)?)))
        .collect();
    let others = others.iter().map(|(meta, selector)| (*meta, Some(selector)));
    selecting(snapshot, &telemetry.meta, Some(&mine), "spec.selector", others)
}

/// Of documents that select the same workloads, or the whole namespace, the oldest counts.
fn selecting<'a>(
    snapshot: &Snapshot,
    mine: &Meta,
    selector: Option<&Selector>,
    field: &str,
    others: impl Iterator<Item = (&'a Meta, Option<&'a Selector>)>,
) -> Vec<Conflict> {
    let selector = selector.filter(|s| !s.is_empty());
    let mut out = Vec::new();
    for (other, theirs) in others.filter(|(other, _)| other.resource != mine.resource) {
        let theirs = theirs.filter(|s| !s.is_empty());
        let what = match (selector, theirs) {
            (None, None) => format!("is for the whole namespace {}", mine.namespace()),
            (Some(a), Some(b)) if a == b => "selects the same workloads".to_owned(),
            (Some(a), Some(b)) => match both_select(snapshot, mine.namespace(), a, b) {
                Some(pod) => format!("selects pod {pod}"),
                None => continue,
            },
            // The one with a selector is nearer to its workloads: that is no conflict.
            _ => continue,
        };
        out.push(decided(mine, other, field, &what, None));
    }
    out
}

fn both_select(snapshot: &Snapshot, namespace: &str, a: &Selector, b: &Selector) -> Option<String> {
    let pods = snapshot.pods_in.get(namespace)?;
    let all = pods.iter().filter_map(|pod| snapshot.workloads.get(pod)).map(Arc::as_ref);
    let mut both = all.filter(|w| a.matches(&w.labels) && b.matches(&w.labels));
    both.next().map(|w| w.pod.to_string())
}
