//! Patches for what no proxy of the mesh gets: filters of another name, clusters and virtual hosts of unknown services, ports
//! that nobody has.

use std::collections::BTreeSet;

use tulle_api::istio::{
    EnvoyClusterMatch, EnvoyListenerMatch, EnvoyObjectTypes, EnvoyPatchContext, EnvoyRouteConfigurationMatch,
    Gateway,
};
use tulle_base::nearest::nearest;
use tulle_base::{FieldPath, Host, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::hosts::near_host;
use crate::reason::patches::{PatchAt, known_filters, patches};
use crate::whole::Whole;

/// A patch of an EnvoyFilter matches nothing that proxies get.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0214",
    name: "EnvoyFilterMatchesNothing",
    severity: Severity::Warning,
    about: "A patch of an EnvoyFilter is for a filter, cluster, virtual host or port that no proxy gets",
    check,
};

/// What there is to match.
struct Known<'a> {
    filters: BTreeSet<&'a str>,
    service_ports: BTreeSet<u32>,
    gateway_ports: BTreeSet<u32>,
}

/// A condition that nothing meets: the field, what is not there, and the way out.
type Miss = (FieldPath, String, String);

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let services = whole.snapshot().services();
    let servers = whole.all::<Gateway>().flat_map(|(_, g)| &g.servers);
    let known = Known {
        filters: known_filters(whole),
        service_ports: services.flat_map(|s| &s.ports).map(|p| u32::from(p.number)).collect(),
        gateway_ports: servers.filter_map(|s| s.port.number).collect(),
    };
    for at in patches(whole) {
        let context = at.patch.matches.as_ref().and_then(|m| m.context);
        let object = at.patch.matches.as_ref().and_then(|m| m.object_types.as_ref());
        let miss = match object {
            Some(EnvoyObjectTypes::Listener(listener)) => filters(&known, &at, listener),
            Some(EnvoyObjectTypes::Cluster(cluster)) => of_cluster(whole, &at, cluster),
            Some(EnvoyObjectTypes::RouteConfiguration(routes)) => {
                of_routes(whole, &known, &at, context, routes)
            }
            Some(EnvoyObjectTypes::Waypoint(_)) | None => None,
        };
        if let Some((path, message, fix)) = miss {
            out.report(at.object, path, format!("matches nothing: {message}"), fix);
        }
    }
}

fn filters(known: &Known<'_>, at: &PatchAt<'_>, listener: &EnvoyListenerMatch) -> Option<Miss> {
    let filter = listener.filter_chain.as_ref()?.filter.as_ref()?;
    let below = filter.sub_filter.as_ref().map(|s| (s.name.as_str(), "filter.subFilter.name"));
    let names = std::iter::once((filter.name.as_str(), "filter.name")).chain(below);
    let (name, field) = names.into_iter().find(|(n, _)| !n.is_empty() && !known.filters.contains(n))?;
    let fix = match nearest(name, known.filters.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None => {
            let last = name.rsplit('.').next().unwrap_or(name);
            let same = known.filters.iter().find(|k| k.rsplit('.').next() == Some(last));
            same.map_or_else(String::new, |k| format!("did you mean {k}?"))
        }
    };
    Some((
        at.path(&format!("match.listener.filterChain.{field}")),
        format!("no proxy has a filter {name}"),
        fix,
    ))
}

fn of_cluster(whole: &Whole<'_>, at: &PatchAt<'_>, cluster: &EnvoyClusterMatch) -> Option<Miss> {
    // Names of clusters are `DIRECTION|PORT|SUBSET|HOST`.
    let outbound = cluster.name.starts_with("outbound|");
    let named = outbound.then(|| (cluster.name.rsplit('|').next().unwrap_or_default(), "name"));
    let given = (!cluster.service.is_empty()).then_some((cluster.service.as_str(), "service"));
    let (host, field) = given.or(named).filter(|(host, _)| !host.is_empty())?;
    unknown_host(whole, host, at.path(&format!("match.cluster.{field}")))
}

fn of_routes(
    whole: &Whole<'_>,
    known: &Known<'_>,
    at: &PatchAt<'_>,
    context: Option<EnvoyPatchContext>,
    routes: &EnvoyRouteConfigurationMatch,
) -> Option<Miss> {
    let at_path = |field: &str| at.path(&format!("match.routeConfiguration.{field}"));
    let ports = match context {
        Some(EnvoyPatchContext::Gateway) => Some(&known.gateway_ports),
        Some(EnvoyPatchContext::SidecarOutbound) => Some(&known.service_ports),
        _ => None,
    };
    if let (Some(number), Some(ports)) = (routes.port_number.filter(|n| *n != 0), ports)
        && !ports.is_empty()
        && !ports.contains(&number)
    {
        let known: Vec<String> = ports.iter().take(8).map(ToString::to_string).collect();
        let whose = if context == Some(EnvoyPatchContext::Gateway) { "gateway" } else { "service" };
        let message = format!("no {whose} has a port {number}");
        return Some((at_path("portNumber"), message, format!("ports are {}", known.join(", "))));
    }
    let vhost = routes.vhost.as_ref()?;
    let (host, port) = vhost.name.rsplit_once(':')?;
    let concrete =
        context == Some(EnvoyPatchContext::SidecarOutbound) && port.bytes().all(|b| b.is_ascii_digit());
    if concrete { unknown_host(whole, host, at_path("vhost.name")) } else { None }
}

fn unknown_host(whole: &Whole<'_>, host: &str, path: FieldPath) -> Option<Miss> {
    let (snapshot, wanted) = (whole.snapshot(), Host::new(host));
    let routed = !snapshot.routes_of(&wanted).is_empty();
    if routed
        || whole.fronts().of_host(&wanted).is_some()
        || whole.fronts().wildcards().any(|w| w.covers(&wanted))
    {
        return None;
    }
    // Patches name hosts in full.
    let fix = near_host(snapshot, host, "").map_or_else(
        || "write the full name of a service".to_owned(),
        |near| format!("did you mean {near}?"),
    );
    Some((path, format!("no service has the host {host}"), fix))
}
