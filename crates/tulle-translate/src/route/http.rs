//! HTTP rules to routes.

use std::sync::Arc;

use tulle_mesh::Snapshot;
use tulle_mesh::destination::HashKey;
use tulle_mesh::routing::{
    DirectResponse, Fault, Forward, GatewayRef, HttpAction, HttpMatch, HttpRoute, RouteSet,
    WeightedDestination, precedence,
};
use tulle_mesh::service::{Service, ServicePort};
use tulle_proto::envoy::matcher::RegexMatchAndSubstitute;
use tulle_proto::envoy::route::{
    Decorator, Route, RouteAction, WeightedCluster, route, route_action,
    route_match::PathSpecifier,
    weighted_cluster::{
        ClusterWeight, RandomValueSpecifier, cluster_weight::HostRewriteSpecifier as WeightedRewrite,
    },
};

use super::action;
use super::matching::route_match;
use crate::external_auth;
use crate::filters;
use crate::names::ClusterName;
use crate::pb::{boolv, pack, provenance, regex, u32v};
use crate::view::View;

/// Where requests arrive.
pub(super) struct Arrival<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) view: &'a View,
    /// Sidecar, or which gateway.
    pub(super) gateway: &'a GatewayRef,
    /// The port as routes name it.
    pub(super) port: u16,
    /// Over TLS.
    pub(super) tls: bool,
}

/// The routes of a document for requests that arrive so; nothing after the first that takes everything (traps 4).
pub(super) fn routes(at: &Arrival<'_>, set: &RouteSet) -> Vec<Route> {
    let mut out = Vec::new();
    for rule in set.http.iter().filter(|r| !matches!(r.action, HttpAction::Delegate { .. })) {
        if rule.matches.is_empty() {
            out.push(route_of(at, set, rule, None));
            return out;
        }
        for block in &rule.matches {
            if block.applies(at.gateway, &at.view.namespace, &at.view.labels, at.port) {
                out.push(route_of(at, set, rule, Some(block)));
                if block.is_catch_all() {
                    return out;
                }
            }
        }
    }
    out
}

/// The routes of documents of the Gateway API for requests that arrive so, the most specific first.
pub(super) fn merged_routes(at: &Arrival<'_>, sets: &[&Arc<RouteSet>]) -> Vec<Route> {
    let mut out = Vec::new();
    for (set, rule) in precedence::merged(sets) {
        let block = rule.matches.first();
        if block.is_none_or(|b| b.applies(at.gateway, &at.view.namespace, &at.view.labels, at.port)) {
            out.push(route_of(at, set, rule, block));
            if block.is_none_or(HttpMatch::is_catch_all) {
                break;
            }
        }
    }
    out
}

/// Whether a route takes every request.
pub(super) fn is_catch_all(route: &Route) -> bool {
    let Some(m) = &route.r#match else { return false };
    let any_path = match &m.path_specifier {
        Some(PathSpecifier::Prefix(p)) => p == "/",
        Some(PathSpecifier::SafeRegex(r)) => r.regex == ".*",
        _ => false,
    };
    any_path && m.headers.is_empty() && m.query_parameters.is_empty() && m.dynamic_metadata.is_empty()
}

/// The route to a service that nobody wrote routes for.
pub(super) fn default_route(
    snapshot: &Snapshot,
    view: &View,
    service: &Service,
    port: &ServicePort,
) -> Route {
    let cluster = ClusterName::outbound(&service.hostname, port.number, "").to_string();
    let mut action = RouteAction::default();
    action::timeouts(&mut action, None);
    let hash = action::hash_policy(snapshot, view, &cluster);
    action.retry_policy = action::retries(snapshot, view, None, &cluster, hash.is_some());
    action.hash_policy.extend(hash);
    action.cluster_specifier = Some(route_action::ClusterSpecifier::Cluster(cluster));
    Route {
        name: "default".into(),
        r#match: Some(route_match(None)),
        decorator: decorator(format!("{}:{}/*", service.hostname, port.number)),
        metadata: provenance(&service.meta.provenance("")),
        action: Some(route::Action::Route(action)),
        ..Route::default()
    }
}

/// The name of a route's span.
pub(super) fn decorator(operation: String) -> Option<Decorator> {
    Some(Decorator { operation, ..Decorator::default() })
}

fn route_of(at: &Arrival<'_>, set: &RouteSet, rule: &HttpRoute, block: Option<&HttpMatch>) -> Route {
    let name = match block.map(|b| b.name.as_str()).filter(|n| !n.is_empty()) {
        Some(of_match) if rule.name.is_empty() => of_match.to_owned(),
        Some(of_match) => format!("{}.{of_match}", rule.name),
        None => rule.name.clone(),
    };
    let headers = action::headers(&rule.headers);
    let mut out = Route {
        name,
        r#match: Some(route_match(block)),
        metadata: provenance(&set.meta.provenance(rule.rule.clone())),
        stat_prefix: block.map(|b| b.stat_prefix.clone()).unwrap_or_default(),
        request_headers_to_add: headers.request_add,
        request_headers_to_remove: headers.request_remove,
        response_headers_to_add: headers.response_add,
        response_headers_to_remove: headers.response_remove,
        ..Route::default()
    };
    match &rule.action {
        HttpAction::Redirect(r) => out.action = Some(action::redirect(r, at.port, at.tls)),
        HttpAction::Direct(d) => out.action = Some(action::direct(d)),
        // Validation asks for a destination; without one there is nowhere to go.
        HttpAction::Forward(f) if f.destinations.is_empty() => {
            out.action = Some(action::direct(&DirectResponse { status: 503, body: None }));
        }
        HttpAction::Forward(f) => {
            forward(at, &mut out, f, headers.authority);
            if set.is_kube()
                && let Some(route::Action::Route(action)) = &mut out.action
            {
                action.cluster_not_found_response_code =
                    route_action::ClusterNotFoundResponseCode::InternalServerError as i32;
            }
        }
        // Snapshots have the delegate's rules in its place.
        HttpAction::Delegate { .. } => {}
    }
    for auth in &rule.external_auth {
        out.typed_per_filter_config.insert(external_auth::name(at.view, auth), pack(&external_auth::on()));
    }
    if let HttpAction::Forward(Forward { session: Some(session), .. }) = &rule.action {
        out.typed_per_filter_config
            .insert(filters::SESSIONS.into(), pack(&action::session(session, at.view.stock)));
    }
    let goes_on = |fault: &&Fault| fault.expires.is_none_or(|end| end > at.snapshot.now());
    if let Some(fault) = rule.fault.as_ref().filter(goes_on) {
        out.typed_per_filter_config.insert(filters::FAULT.into(), pack(&action::fault(fault)));
    }
    if let Some(cors) = &rule.cors {
        out.typed_per_filter_config.insert(filters::CORS.into(), pack(&action::cors(cors)));
    }
    out.decorator = decorator(operation(&out, set.meta.name(), at.port));
    out
}

/// `HOST:PORT` of a single destination, else `NAME:PORT` of the document, and the path.
fn operation(route: &Route, document: &str, port: u16) -> String {
    let path = match route.r#match.as_ref().and_then(|m| m.path_specifier.as_ref()) {
        Some(PathSpecifier::Prefix(p)) => format!("{p}*"),
        Some(PathSpecifier::PathSeparatedPrefix(p)) => format!("{p}/*"),
        Some(PathSpecifier::Path(p)) => p.clone(),
        Some(PathSpecifier::SafeRegex(r)) => r.regex.clone(),
        _ => "/*".into(),
    };
    let single = match &route.action {
        Some(route::Action::Route(RouteAction {
            cluster_specifier: Some(route_action::ClusterSpecifier::Cluster(c)),
            ..
        })) => ClusterName::parse(c),
        _ => None,
    };
    match single {
        Some(name) => format!("{}:{}{path}", name.host, name.port),
        None => format!("{document}:{port}{path}"),
    }
}

fn forward(at: &Arrival<'_>, out: &mut Route, f: &Forward, set_authority: Option<String>) {
    let mut action = RouteAction::default();
    action::timeouts(&mut action, f.timeout);
    let mut authority = set_authority;
    if let Some(rewrite) = &f.rewrite {
        if let Some(by) = &rewrite.regex {
            action.regex_rewrite = Some(RegexMatchAndSubstitute {
                pattern: Some(regex(by.pattern.clone())),
                substitution: by.substitution.clone(),
            });
        } else if let Some(uri) = &rewrite.uri {
            action.prefix_rewrite.clone_from(uri);
        }
        authority = rewrite.authority.clone().or(authority);
    }
    action.host_rewrite_specifier = authority.map(route_action::HostRewriteSpecifier::HostRewriteLiteral);
    action.request_mirror_policies = f.mirrors.iter().map(|m| action::mirror(at.view, m, at.port)).collect();
    let mut hashing = false;
    let first = match f.destinations.as_slice() {
        [single] => {
            let cluster = action::cluster_of(at.view, &single.destination, at.port);
            merge_headers(out, &mut action, single);
            let hash = action::hash_policy(at.snapshot, at.view, &cluster);
            hashing = hash.is_some();
            action.hash_policy.extend(hash);
            action.cluster_specifier = Some(route_action::ClusterSpecifier::Cluster(cluster.clone()));
            cluster
        }
        several => weighted(at, &mut action, several, f.sticky.as_ref()),
    };
    action.retry_policy = action::retries(at.snapshot, at.view, f.retries.as_ref(), &first, hashing);
    out.action = Some(route::Action::Route(action));
}

/// The header changes of a single destination are the route's.
fn merge_headers(out: &mut Route, action: &mut RouteAction, destination: &WeightedDestination) {
    let headers = action::headers(&destination.headers);
    out.request_headers_to_add.extend(headers.request_add);
    out.request_headers_to_remove.extend(headers.request_remove);
    out.response_headers_to_add.extend(headers.response_add);
    out.response_headers_to_remove.extend(headers.response_remove);
    if let (Some(authority), None) = (headers.authority, &action.host_rewrite_specifier) {
        action.host_rewrite_specifier =
            Some(route_action::HostRewriteSpecifier::HostRewriteLiteral(authority));
    }
}

/// Splits by weight; destinations of weight 0 get nothing, unless all have it, which means no preference. Gives back the
/// first cluster.
/// With `sticky`, what it says of a request decides instead of chance, and the endpoints of hashing balancers too.
fn weighted(
    at: &Arrival<'_>,
    action: &mut RouteAction,
    several: &[WeightedDestination],
    sticky: Option<&HashKey>,
) -> String {
    let mut clusters = Vec::new();
    let no_preference = several.iter().all(|d| d.weight == 0);
    for destination in several.iter().filter(|d| d.weight > 0 || no_preference) {
        let cluster = action::cluster_of(at.view, &destination.destination, at.port);
        let headers = action::headers(&destination.headers);
        if sticky.is_none() {
            action.hash_policy.extend(action::hash_policy(at.snapshot, at.view, &cluster));
        }
        clusters.push(ClusterWeight {
            name: cluster,
            weight: u32v(destination.weight.max(1)),
            request_headers_to_add: headers.request_add,
            request_headers_to_remove: headers.request_remove,
            response_headers_to_add: headers.response_add,
            response_headers_to_remove: headers.response_remove,
            host_rewrite_specifier: headers.authority.map(WeightedRewrite::HostRewriteLiteral),
            ..ClusterWeight::default()
        });
    }
    let first = clusters.first().map(|c| c.name.clone()).unwrap_or_default();
    action.hash_policy.extend(sticky.cloned().map(action::hash_by));
    action.cluster_specifier = Some(route_action::ClusterSpecifier::WeightedClusters(WeightedCluster {
        clusters,
        random_value_specifier: sticky.and(boolv(true)).map(RandomValueSpecifier::UseHashPolicy),
        ..WeightedCluster::default()
    }));
    first
}
