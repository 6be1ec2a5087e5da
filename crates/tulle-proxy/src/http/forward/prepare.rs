//! What changes about a request before its first try.

use std::time::{Duration, Instant};

use tulle_engine::{
    decide::{header_ops, rewrite, timeout},
    runtime::route::{Forward, HostRewrite, PathRewrite},
};
use tulle_http::Known;
use tulle_telemetry::details as d;

use super::Plan;
use crate::http::{context, digits::Digits, exchange::Exchange, reply::Reply};

/// Whether the request is an upgrade that the configuration lets pass; others are refused as Envoy does. CONNECT must be let
/// pass as well, but is no upgrade.
pub(super) fn wants_upgrade(x: &mut Exchange<'_>, to: &Forward) -> Result<bool, Reply> {
    let request = &mut x.s.request;
    let connect = request.is_connect();
    let kind = if connect {
        "connect".to_owned()
    } else if x.incoming.upgrade {
        request.headers.get_str(Known::Upgrade).unwrap_or_default().to_ascii_lowercase()
    } else if !request.protocol.is_empty() {
        request.protocol.to_ascii_lowercase()
    } else {
        return Ok(false);
    };
    if kind.split(',').any(|k| k.trim() == "h2c") {
        // An offer that may be declined by answering in HTTP/1.1 (RFC 9110 section 7.8).
        request.headers.remove(Known::Upgrade);
        return Ok(false);
    }
    let of_route = to.upgrades.iter().find(|(name, _)| **name == *kind).map(|(_, on)| *on);
    let of_manager = || x.manager.config.upgrades.iter().find(|u| *u.kind == *kind).map(|u| u.enabled);
    if of_route.or_else(of_manager).unwrap_or(false) {
        return Ok(!connect);
    }
    Err(Reply::new(403, "", d::UPGRADE_FAILED))
}

/// Tells the upstream how long we wait for it: the time of a try, or what `elapsed` since the end of the request left.
pub(super) fn tell_deadline(x: &mut Exchange<'_>, plan: &Plan<'_>, elapsed: Duration) {
    if !x.manager.router.suppress_envoy_headers
        && let Some(millis) = timeout::expected_millis(&plan.times, elapsed)
    {
        let digits = Digits::of(millis);
        x.s.request.headers.set(Known::XEnvoyExpectedRqTimeoutMs, digits.text());
    }
}

/// What an internal request may ask of this proxy, and nobody behind it. Others have lost these already.
const CONSUMED: &[&str] = &[
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-retriable-header-names",
    "x-envoy-retriable-status-codes",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-upstream-rq-timeout-alt-response",
];

/// Changes the request as the route says, once for all tries.
pub(super) fn prepare(x: &mut Exchange<'_>, plan: &Plan<'_>) {
    let Plan {
        table,
        found,
        to,
        weighted,
        cluster: _,
        priority: _,
        times,
        upgrade: _,
        terminates: _,
        hash: _,
    } = *plan;
    let suppress = x.manager.router.suppress_envoy_headers;
    let levels = header_ops::levels(table, found.virtual_host, found.route, weighted, false);
    let rewrites_host = !matches!(to.host_rewrite, HostRewrite::None | HostRewrite::FromEndpoint)
        || weighted.is_some_and(|w| !w.host_rewrite.is_empty());
    let changes = levels.iter().flatten().any(|ops| !ops.is_empty());
    if changes || rewrites_host || !matches!(to.path_rewrite, PathRewrite::None) {
        let mut request = std::mem::take(&mut x.s.request);
        let mut text = std::mem::take(&mut x.s.text);
        let cx = context::of(x, &found.route.name);
        for ops in levels.into_iter().flatten().filter(|ops| !ops.is_empty()) {
            header_ops::apply_to_request(ops, &mut request, &cx, &mut text);
        }
        rewrite::rewrite_path(to, &found.route.matches.path, &mut request, &cx, suppress);
        if rewrites_host {
            rewrite::rewrite_host(to, weighted, &mut request, &cx, None, suppress);
        }
        x.s.request = request;
        x.s.text = text;
    }
    for name in [Known::XEnvoyRetryOn, Known::XEnvoyRetryGrpcOn, Known::XEnvoyMaxRetries] {
        x.s.request.headers.remove(name);
    }
    if x.record.trusted {
        CONSUMED.iter().for_each(|name| {
            x.s.request.headers.remove(*name);
        });
    }
    tell_deadline(x, plan, Duration::ZERO);
    let outside = plan.cluster.config.external && x.manager.peer_metadata.skip_external;
    if x.manager.peer_metadata.write_to_request && !outside {
        x.conn.worker.telemetry.card.write(&mut x.s.request.headers);
    }
    let clocks = &mut x.s.clocks;
    clocks.route_timeout = times.global;
    clocks.idle_timeout = times.stream_idle.unwrap_or_default();
    clocks.moved();
    if let Some(max) = times.max_stream {
        clocks.life.set(x.record.start + max);
    }
    // What follows the head of an upgrade is no part of the request.
    if x.flow.done || plan.upgrade {
        clocks.request_complete(Instant::now());
    }
    x.let_body_come();
}
