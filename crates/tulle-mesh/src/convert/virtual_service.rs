//! VirtualService to routes.

mod extras;
mod l4;
pub mod own;

use std::time::Duration;

use tulle_api::Object;
use tulle_api::istio as api;

use super::cx::{Cx, count};
use crate::config::MeshConfig;
use crate::meta::NsName;
use crate::routing::{
    Body, Destination, DirectResponse, Forward, GatewayRef, HeaderOps, HttpAction, HttpMatch, HttpRoute,
    Mirror, Redirect, RedirectPort, RegexRewrite, Retry, Rewrite, RouteSet, Semantics, StringMatch,
    WeightedDestination,
};
use crate::visibility::ExportTo;
use extras::{cors, fault_of};
use l4::{tcp_route, tls_route};

/// The routes of a VirtualService.
pub(super) fn routes(
    cx: &mut Cx<'_>,
    object: &Object,
    spec: &api::VirtualService,
    mesh: &MeshConfig,
) -> RouteSet {
    let api::VirtualService { hosts, gateways, http, tls, tcp, export_to, retries, timeout } = spec;
    let default_retry = retries.as_ref().map(retry);
    let default_timeout = timeout.as_ref().map(api_duration);
    let gateways = if gateways.is_empty() {
        vec![GatewayRef::Mesh]
    } else {
        gateways.iter().map(|g| cx.gateway(g)).collect()
    };
    let mut set = RouteSet {
        meta: cx.meta.clone(),
        hosts: hosts.iter().map(|h| cx.fqdn(h)).collect(),
        gateways,
        export_to: ExportTo::parse_or(
            export_to.iter().map(String::as_str),
            &mesh.routes_export_to,
            cx.meta.namespace(),
        ),
        exports_by_default: export_to.is_empty(),
        http: http
            .iter()
            .enumerate()
            .map(|(i, r)| http_route(cx, i, r, default_retry.as_ref(), default_timeout))
            .collect(),
        tls: tls.iter().enumerate().map(|(i, r)| tls_route(cx, i, r)).collect(),
        tcp: tcp.iter().enumerate().map(|(i, r)| tcp_route(cx, i, r)).collect(),
        semantics: Semantics::Istio,
    };
    let (expires, sticky) = (own::fault_expires(cx, object), own::sticky_split(cx, object));
    for rule in &mut set.http {
        if let Some(fault) = &mut rule.fault {
            fault.expires = expires;
        }
        if let HttpAction::Forward(forward) = &mut rule.action {
            forward.sticky.clone_from(&sticky);
        }
    }
    set
}

pub(super) fn api_duration(written: &tulle_api::value::WrittenDuration) -> Duration {
    written.get()
}

fn http_route(
    cx: &mut Cx<'_>,
    index: usize,
    route: &api::HttpRoute,
    default_retry: Option<&Retry>,
    default_timeout: Option<Duration>,
) -> HttpRoute {
    let api::HttpRoute {
        name,
        matches,
        route: destinations,
        redirect,
        direct_response,
        delegate,
        rewrite,
        timeout,
        retries,
        fault,
        mirror,
        mirrors,
        mirror_percent,
        mirror_percentage,
        cors_policy,
        headers,
    } = route;
    let rule = format!("http[{index}]");
    let forward = |cx: &mut Cx<'_>| Forward {
        destinations: destinations.iter().enumerate().map(|(i, d)| weighted(cx, &rule, i, d)).collect(),
        sticky: None,
        session: None,
        timeout: timeout.as_ref().map(api_duration).or(default_timeout),
        retries: retries.as_ref().map(retry).or_else(|| default_retry.cloned()),
        rewrite: rewrite.as_ref().map(rewrite_of),
        mirrors: mirrors_of(
            cx,
            &rule,
            mirror.as_ref(),
            share_of(mirror_percentage.as_ref(), *mirror_percent),
            mirrors,
        ),
    };
    let action = if let Some(r) = redirect {
        HttpAction::Redirect(redirect_of(cx, &rule, r))
    } else if let Some(d) = direct_response {
        HttpAction::Direct(direct(d))
    } else if let Some(api::Delegate { name, namespace }) = delegate {
        let namespace = if namespace.is_empty() { cx.meta.namespace() } else { namespace };
        HttpAction::Delegate { to: NsName::new(namespace, name.clone()), defaults: forward(cx) }
    } else {
        HttpAction::Forward(forward(cx))
    };
    HttpRoute {
        name: name.clone(),
        matches: matches.iter().enumerate().map(|(i, m)| http_match(cx, &rule, i, m)).collect(),
        action,
        fault: fault.as_ref().and_then(|f| fault_of(cx, &rule, f)),
        cors: cors_policy.as_ref().map(cors),
        headers: headers.as_ref().map(header_ops).unwrap_or_default(),
        external_auth: Vec::new(),
        rule,
    }
}

/// Share of the requests that the one mirror gets, in percent; all by default.
fn share_of(percentage: Option<&api::Percent>, percent: Option<u32>) -> f64 {
    match (percentage, percent) {
        (Some(api::Percent { value }), _) => value.unwrap_or(0.0),
        (None, Some(p)) => f64::from(p),
        (None, None) => 100.0,
    }
}

fn mirrors_of(
    cx: &mut Cx<'_>,
    rule: &str,
    mirror: Option<&api::Destination>,
    share: f64,
    mirrors: &[api::HttpMirrorPolicy],
) -> Vec<Mirror> {
    let mut out = Vec::new();
    if let Some(d) = mirror {
        out.push(Mirror { destination: destination(cx, d, &format!("spec.{rule}.mirror")), percent: share });
    }
    for (i, api::HttpMirrorPolicy { destination: d, percentage }) in mirrors.iter().enumerate() {
        out.push(Mirror {
            destination: destination(cx, d, &format!("spec.{rule}.mirrors[{i}].destination")),
            percent: percentage.as_ref().map_or(100.0, |p| p.value.unwrap_or(0.0)),
        });
    }
    out.retain(|m| m.percent > 0.0);
    out
}

fn weighted(cx: &mut Cx<'_>, rule: &str, index: usize, d: &api::HttpRouteDestination) -> WeightedDestination {
    let api::HttpRouteDestination { destination: to, weight, headers } = d;
    WeightedDestination {
        destination: destination(cx, to, &format!("spec.{rule}.route[{index}].destination")),
        weight: count(*weight).unwrap_or(0),
        headers: headers.as_ref().map(header_ops).unwrap_or_default(),
    }
}

pub(super) fn destination(cx: &mut Cx<'_>, d: &api::Destination, path: &str) -> Destination {
    let api::Destination { host, subset, port } = d;
    let number = port.as_ref().and_then(|api::PortSelector { number }| *number);
    Destination {
        host: cx.fqdn(host),
        subset: subset.clone(),
        port: cx.port(number, &format!("{path}.port.number")),
    }
}

fn http_match(cx: &mut Cx<'_>, rule: &str, index: usize, m: &api::HttpMatchRequest) -> HttpMatch {
    let api::HttpMatchRequest {
        name,
        uri,
        scheme,
        method,
        authority,
        headers,
        port,
        source_labels,
        gateways,
        query_params,
        ignore_uri_case,
        without_headers,
        source_namespace,
        stat_prefix,
    } = m;
    let named = |map: &std::collections::BTreeMap<String, api::StringMatch>| {
        map.iter().map(|(k, v)| (k.clone(), header_match(v))).collect()
    };
    HttpMatch {
        name: name.clone(),
        uri: uri.as_ref().and_then(string_match),
        ignore_uri_case: ignore_uri_case.unwrap_or(false),
        scheme: scheme.as_ref().and_then(string_match),
        method: method.as_ref().and_then(string_match),
        authority: authority.as_ref().and_then(string_match),
        headers: named(headers),
        without_headers: named(without_headers),
        query: named(query_params),
        port: cx.port(*port, &format!("spec.{rule}.match[{index}].port")),
        source_labels: source_labels.clone(),
        source_namespace: Some(source_namespace.clone()).filter(|n| !n.is_empty()),
        gateways: gateways.iter().map(|g| cx.gateway(g)).collect(),
        stat_prefix: stat_prefix.clone(),
    }
}

/// A text condition; one that is empty is none.
fn string_match(m: &api::StringMatch) -> Option<StringMatch> {
    match m {
        api::StringMatch::Exact(s) => Some(StringMatch::Exact(s.clone())),
        api::StringMatch::Prefix(s) => Some(StringMatch::Prefix(s.clone())),
        api::StringMatch::Regex(s) => Some(StringMatch::Regex(s.clone())),
        api::StringMatch::Any => None,
    }
}

/// A condition on a header or query parameter: an empty one, and the expression `*`, ask that it is there.
fn header_match(m: &api::StringMatch) -> StringMatch {
    match string_match(m) {
        None => StringMatch::Present,
        Some(StringMatch::Regex(r)) if r == "*" => StringMatch::Present,
        Some(m) => m,
    }
}

fn header_ops(headers: &api::Headers) -> HeaderOps {
    let api::Headers { request, response } = headers;
    let mut out = HeaderOps::default();
    let pairs = |map: &std::collections::BTreeMap<String, String>| {
        map.iter().map(|(k, v)| (k.clone(), v.clone())).collect::<Vec<_>>()
    };
    if let Some(api::HeaderOperations { set, add, remove }) = request {
        (out.request_set, out.request_add, out.request_remove) = (pairs(set), pairs(add), remove.clone());
    }
    if let Some(api::HeaderOperations { set, add, remove }) = response {
        (out.response_set, out.response_add, out.response_remove) = (pairs(set), pairs(add), remove.clone());
    }
    out
}

/// Retries as documents write them, here and in destination rules.
pub(super) fn retry(r: &api::HttpRetry) -> Retry {
    let api::HttpRetry {
        attempts,
        per_try_timeout,
        retry_on,
        retry_remote_localities,
        retry_ignore_previous_hosts,
        backoff,
    } = r;
    Retry {
        // A block without `attempts` turns retries off in Istio: its value is then 0.
        attempts: count(*attempts).unwrap_or(0),
        per_try_timeout: per_try_timeout.as_ref().map(api_duration),
        retry_on: retry_on.clone(),
        remote_localities: retry_remote_localities.unwrap_or(false),
        ignore_previous_hosts: *retry_ignore_previous_hosts,
        backoff: backoff.as_ref().map(api_duration),
    }
}

fn rewrite_of(r: &api::HttpRewrite) -> Rewrite {
    let api::HttpRewrite { uri, authority, uri_regex_rewrite } = r;
    let written = |s: &String| Some(s.clone()).filter(|s| !s.is_empty());
    Rewrite {
        uri: written(uri),
        authority: written(authority),
        regex: uri_regex_rewrite.as_ref().map(|api::RegexRewrite { pattern, rewrite }| RegexRewrite {
            pattern: pattern.clone(),
            substitution: rewrite.clone(),
        }),
    }
}

fn redirect_of(cx: &mut Cx<'_>, rule: &str, r: &api::HttpRedirect) -> Redirect {
    let api::HttpRedirect { uri, authority, scheme, redirect_code, prefix_rewrite, redirect_port } = r;
    let port = match redirect_port {
        Some(api::RedirectPort::Port(n)) => {
            cx.port(Some(*n), &format!("spec.{rule}.redirect.port")).map(RedirectPort::Number)
        }
        Some(api::RedirectPort::DerivePort(api::DerivePort::FromRequestPort)) => {
            Some(RedirectPort::FromRequest)
        }
        Some(api::RedirectPort::DerivePort(api::DerivePort::FromProtocolDefault)) | None => None,
    };
    Redirect {
        uri: uri.clone(),
        prefix_rewrite: prefix_rewrite.clone(),
        regex: None,
        authority: authority.clone(),
        scheme: scheme.clone(),
        port,
        code: redirect_code.and_then(|c| u16::try_from(c).ok()).filter(|c| *c != 0).unwrap_or(301),
    }
}

fn direct(d: &api::HttpDirectResponse) -> DirectResponse {
    let api::HttpDirectResponse { status, body } = d;
    let specifier = body.as_ref().and_then(|api::HttpBody { specifier }| specifier.as_ref());
    DirectResponse {
        status: u16::try_from(*status).unwrap_or(500),
        body: specifier.map(|s| match s {
            api::HttpBodySpecifier::String(text) => Body::Text(text.clone()),
            api::HttpBodySpecifier::Bytes(bytes) => Body::Bytes(bytes.0.clone()),
        }),
    }
}
