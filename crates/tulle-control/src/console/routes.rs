//! Rules of routes, in the dashboard's words.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tulle_base::Labels;
use tulle_dashboard::plane::{Abort, Delay, Fault, Mirror, Retries, Route, Target};
use tulle_mesh::Snapshot;
use tulle_mesh::routing::{
    Destination, FaultStatus, Forward, GatewayRef, HttpAction, HttpMatch, HttpRoute, L4Match, L4Route,
    RouteSet, StringMatch,
};

use super::model::{ByService, id_of, reference, workloads_with};

/// Every rule, by the services that it is for or leads to.
pub(super) fn by_service(snapshot: &Snapshot) -> ByService {
    let mut out = ByService::new();
    let mut seen: HashSet<*const RouteSet> = HashSet::new();
    let gateways = snapshot.gateways().flat_map(|g| snapshot.routes_of_gateway(&g.name).iter());
    let all = snapshot.routes().map(|(_, set)| set).chain(gateways);
    let mut sets: Vec<&Arc<RouteSet>> = all.filter(|set| seen.insert(Arc::as_ptr(set))).collect();
    sets.sort_by(|a, b| a.meta.by_age(&b.meta));
    let mut told = HashSet::new();
    for set in sets {
        let namespace = set.meta.namespace();
        let hosts: BTreeSet<String> =
            set.hosts.iter().filter_map(|h| snapshot.service(h, namespace)).map(|s| id_of(s)).collect();
        for route in of_set(snapshot, set) {
            // One document may be the routes of several listeners.
            if !told.insert((route.id.clone(), hosts.clone())) {
                continue;
            }
            let mut services = hosts.clone();
            services.extend(route.destinations.iter().filter_map(|d| d.service.clone()));
            for service in services {
                out.entry(service).or_default().push(route.clone());
            }
        }
    }
    out
}

fn of_set(snapshot: &Snapshot, set: &RouteSet) -> Vec<Route> {
    let resource = reference(&set.meta.resource);
    let gateways: Vec<String> = set
        .gateways
        .iter()
        .map(|g| match g {
            GatewayRef::Mesh => "mesh".to_owned(),
            GatewayRef::Named(name) => name.to_string(),
        })
        .collect();
    let hosts: Vec<String> = set.hosts.iter().map(ToString::to_string).collect();
    let base = |index: usize, rule: &str, name: &str| Route {
        id: format!("{}#{}", resource.id, if rule.is_empty() { index.to_string() } else { rule.to_owned() }),
        name: if name.is_empty() { rule.to_owned() } else { name.to_owned() },
        resource: Some(resource.clone()),
        rule: index,
        hosts: hosts.clone(),
        gateways: gateways.clone(),
        ..Route::default()
    };
    let http = set
        .http
        .iter()
        .enumerate()
        .map(|(i, rule)| http(snapshot, set, rule, base(i, &rule.rule, &rule.name)));
    let l4 = set
        .tls
        .iter()
        .chain(&set.tcp)
        .enumerate()
        .map(|(i, rule)| l4(snapshot, set, rule, base(i, &rule.rule, "")));
    http.chain(l4).collect()
}

fn http(snapshot: &Snapshot, set: &RouteSet, rule: &HttpRoute, mut route: Route) -> Route {
    route.matches = rule
        .matches
        .iter()
        .filter(|m| !m.is_catch_all())
        .map(match_words)
        .filter(|w| !w.is_empty())
        .collect();
    route.fault =
        rule.fault.as_ref().filter(|f| f.expires.is_none_or(|end| end > snapshot.now())).map(|fault| Fault {
            abort: fault.abort.as_ref().map(|abort| Abort {
                status: match abort.status {
                    FaultStatus::Http(status) => status.to_string(),
                    FaultStatus::Grpc(status) => format!("gRPC {status}"),
                },
                percentage: abort.percent.unwrap_or(0.0),
            }),
            delay: fault
                .delay
                .as_ref()
                .map(|delay| Delay { seconds: delay.fixed.as_secs_f64(), percentage: delay.percent }),
        });
    match &rule.action {
        HttpAction::Forward(forward) => forwarded(snapshot, set, forward, &mut route),
        HttpAction::Redirect(redirect) => {
            route.action =
                Some(format!("redirects ({}) to {}{}", redirect.code, redirect.authority, redirect.uri));
        }
        HttpAction::Direct(direct) => route.action = Some(format!("answers {}", direct.status)),
        HttpAction::Delegate { to, .. } => route.action = Some(format!("delegates to {to}")),
    }
    route
}

fn forwarded(snapshot: &Snapshot, set: &RouteSet, forward: &Forward, route: &mut Route) {
    let only = forward.destinations.len() == 1;
    route.destinations = (forward.destinations.iter())
        // A single one takes everything whatever its weight.
        .map(|d| target(snapshot, set, &d.destination, if only { 100 } else { d.weight }))
        .collect();
    route.timeout = forward.timeout.filter(|t| !t.is_zero()).map(|t| t.as_secs_f64());
    route.retries = forward.retries.as_ref().map(|retry| Retries {
        attempts: retry.attempts,
        per_try_timeout: retry.per_try_timeout.map(|t| t.as_secs_f64()),
        on: retry.retry_on.clone(),
    });
    route.mirror = forward.mirrors.first().map(|mirror| Mirror {
        destination: target(snapshot, set, &mirror.destination, 0),
        percentage: mirror.percent,
    });
}

fn l4(snapshot: &Snapshot, set: &RouteSet, rule: &L4Route, mut route: Route) -> Route {
    let only = rule.destinations.len() == 1;
    route.matches = rule.matches.iter().map(l4_words).filter(|w| !w.is_empty()).collect();
    route.destinations = (rule.destinations.iter())
        .map(|d| target(snapshot, set, &d.destination, if only { 100 } else { d.weight }))
        .collect();
    route
}

fn target(snapshot: &Snapshot, set: &RouteSet, destination: &Destination, weight: u32) -> Target {
    let namespace = set.meta.namespace();
    let service = snapshot.service(&destination.host, namespace);
    let labels = match (service, destination.subset.as_str()) {
        (Some(service), name) if !name.is_empty() => {
            let of = Some(service.namespace());
            let rule = snapshot.destination_rule(&destination.host, namespace, of, &Labels::new());
            rule.and_then(|r| r.subsets.iter().find(|s| s.name == name)).map(|s| s.labels.clone())
        }
        _ => Some(Labels::new()),
    };
    Target {
        service: service.map(|s| id_of(s)),
        host: destination.host.to_string(),
        subset: destination.subset.clone(),
        port: destination.port,
        weight,
        // A subset that nobody defines has nobody in it.
        workloads: service
            .zip(labels)
            .map(|(s, labels)| workloads_with(snapshot, s, &labels))
            .unwrap_or_default(),
    }
}

/// A match in words: all of its conditions.
fn match_words(m: &HttpMatch) -> String {
    let mut all = Vec::new();
    let mut text = |what: &str, how: &Option<StringMatch>| {
        if let Some(how) = how {
            all.push(format!("{what} {}", string_words(how)));
        }
    };
    text("path", &m.uri);
    text("method", &m.method);
    text("scheme", &m.scheme);
    text("host", &m.authority);
    all.extend(m.headers.iter().map(|(name, how)| format!("header {name} {}", string_words(how))));
    all.extend(
        m.without_headers.iter().map(|(name, how)| format!("not header {name} {}", string_words(how))),
    );
    all.extend(m.query.iter().map(|(name, how)| format!("query {name} {}", string_words(how))));
    all.extend(m.port.map(|port| format!("port {port}")));
    all.extend(m.source_namespace.as_ref().map(|ns| format!("from namespace {ns}")));
    all.extend(m.source_labels.iter().map(|(k, v)| format!("from workloads with {k}={v}")));
    all.join(" and ")
}

fn l4_words(m: &L4Match) -> String {
    let mut all: Vec<String> = m.sni_hosts.iter().map(|h| format!("server name {h}")).collect();
    all.extend(m.destination_subnets.iter().map(|s| format!("to {s}")));
    all.extend(m.port.map(|port| format!("port {port}")));
    all.extend(m.source_namespace.as_ref().map(|ns| format!("from namespace {ns}")));
    all.extend(m.source_labels.iter().map(|(k, v)| format!("from workloads with {k}={v}")));
    all.join(" and ")
}

fn string_words(how: &StringMatch) -> String {
    match how {
        StringMatch::Exact(text) => format!("= {text}"),
        StringMatch::Prefix(text) => format!("begins with {text}"),
        StringMatch::Segments(text) => format!("is or is below {text}"),
        StringMatch::Regex(text) => format!("matches {text}"),
        StringMatch::Present => "is there".to_owned(),
    }
}

/// A duration as people write it.
pub(super) fn time_words(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 1.0 { format!("{:.0} ms", seconds * 1000.0) } else { format!("{seconds} s") }
}
