//! The response on its way to the client.

use std::{rc::Rc, time::Instant};

use tulle_engine::decide::header_ops;
use tulle_http::Known;
use tulle_telemetry::{ResponseFlag, details as d};

use super::{Plan, ends::client_gone};
use crate::{
    cluster::{PoolKey, local::Chosen},
    http::{
        attempt::{Answer, Late, UpstreamFault},
        context,
        deliver::{Delivery, DeliveryEnd, Rest},
        digits::Digits,
        exchange::Exchange,
        filters, headers, peer,
        side::Length,
        upstream::Upstream,
    },
    trace::Observe,
};

/// Passes the response on, and gives the upstream connection back.
pub(super) async fn deliver(
    x: &mut Exchange<'_>,
    plan: &Plan<'_>,
    mut up: Upstream,
    chosen: Chosen,
    key: PoolKey,
    answer: Answer,
    rest: Rest<'_>,
) {
    x.record.details = d::VIA_UPSTREAM.into();
    change_response(x, plan, answer.tunnel, answer.length);
    let changed = x.back.work.as_ref().is_some_and(|work| work.changes());
    let mut length = if changed { Length::Unknown } else { answer.length };
    if filters::grpc_web::becomes_message(x) {
        // Boxed: nobody else needs room for it.
        let Some(body) = Box::pin(filters::grpc_web::read(x, &mut up.side)).await else {
            x.keep = false;
            broke_off(x, plan, DeliveryEnd::Upstream(UpstreamFault::Closed));
            return;
        };
        filters::grpc_web::into_message(x, &body);
        x.back.done = true;
        length = Length::None;
    }
    let worker = Rc::clone(&x.conn.worker);
    x.record.status = x.s.response.status;
    x.record.details = d::VIA_UPSTREAM.into();
    x.record.grpc_status = headers::grpc_status(&x.s.response.headers);
    let request = (&x.s.request.method, x.s.request.version);
    if answer.tunnel {
        x.manager.stats.downstream_cx_upgrades_total.inc();
        x.keep = false;
        x.s.clocks.route.clear();
        x.flow.done = false;
        up.side.become_tunnel();
        let kind = match &*x.s.request.protocol {
            _ if x.s.request.is_connect() => "",
            "" => x.s.request.headers.get_str(Known::Upgrade).unwrap_or_default(),
            protocol => protocol,
        };
        x.down.write_tunnel(&x.s.response, kind);
    } else {
        x.keep = x.down.write_response(&x.s.response, length, request, x.keep);
    }
    x.answered = true;
    let mut delivery = Delivery {
        down: x.down,
        up: &mut up.side,
        rest,
        request: &mut x.flow,
        response: &mut x.back,
        clocks: &mut x.s.clocks,
        tunnel: answer.tunnel,
    };
    let end = delivery.run().await;
    let whole = delivery.rest.ended;
    if let Some(status) = headers::grpc_status(up.side.trailers()) {
        x.record.grpc_status = Some(status);
    }
    if x.manager.logs_trailers || x.record.observe == Observe::All {
        x.s.trailers.extend(up.side.trailers());
    }
    if let DeliveryEnd::Complete = end {
        x.record.completed = true;
        if !x.flow.done {
            // The response overtook the request: neither connection is at the start of a message.
            x.keep = false;
        } else if whole && answer.keep_alive && !answer.tunnel {
            up.give_back(&worker, &plan.cluster, &chosen.host, &key, Instant::now());
        }
        return;
    }
    x.keep = false;
    broke_off(x, plan, end);
}

fn broke_off(x: &mut Exchange<'_>, plan: &Plan<'_>, end: DeliveryEnd) {
    x.down.abort();
    match end {
        DeliveryEnd::Complete => {}
        DeliveryEnd::Client(_) => client_gone(x),
        DeliveryEnd::Upstream(UpstreamFault::Malformed) => {
            x.record.note(ResponseFlag::UpstreamProtocolError, d::UPSTREAM_PROTOCOL_ERROR_AFTER_RESPONSE);
        }
        DeliveryEnd::Upstream(UpstreamFault::Reset | UpstreamFault::Refused | UpstreamFault::GoneAway) => {
            x.record.note(
                ResponseFlag::UpstreamRemoteReset,
                "upstream_reset_after_response_started{remote_reset}",
            );
        }
        DeliveryEnd::Upstream(_) => {
            x.record.note(ResponseFlag::UpstreamConnectionTermination, d::UPSTREAM_RESET_AFTER_RESPONSE);
        }
        DeliveryEnd::Late(Late::Route) => {
            plan.cluster.stats.upstream_rq_timeout.inc();
            x.record.trouble("timeout", || vec![("cluster", plan.cluster.config.name.to_string())]);
            x.record.note(ResponseFlag::UpstreamRequestTimeout, d::RESPONSE_TIMEOUT);
        }
        DeliveryEnd::Late(Late::TryIdle) => {
            plan.cluster.stats.upstream_rq_per_try_idle_timeout.inc();
            x.record.note(ResponseFlag::UpstreamRequestTimeout, d::UPSTREAM_PER_TRY_IDLE_TIMEOUT);
        }
        DeliveryEnd::Late(Late::Duration) => x.record.details = d::MAX_DURATION_TIMEOUT.into(),
        DeliveryEnd::Late(_) => {
            x.manager.stats.downstream_rq_idle_timeout.inc();
            x.record.note(ResponseFlag::StreamIdleTimeout, d::STREAM_IDLE_TIMEOUT);
        }
    }
}

/// Adds the request's id to a response, where configured.
pub(crate) fn tell_request_id(x: &mut Exchange<'_>) {
    let forced = || x.record.trusted && x.s.request.headers.contains(Known::XEnvoyForceTrace);
    if (x.manager.config.request_id.always_in_response || forced())
        && let Some(id) = x.s.request.headers.get(Known::XRequestId)
    {
        x.s.response.headers.set(Known::XRequestId, id);
    }
}

/// Changes the response's head as configured before the client sees it.
fn change_response(x: &mut Exchange<'_>, plan: &Plan<'_>, tunnel: bool, length: Length) {
    headers::accept_response(&mut x.s.response, tunnel);
    peer::read_response(x);
    // How long the upstream took is counted from the end of the request.
    if x.flow.done && !tunnel && !x.manager.router.suppress_envoy_headers {
        let service = x.record.answered.unwrap_or_default();
        let digits = Digits::of(u64::try_from(service.as_millis()).unwrap_or(u64::MAX));
        x.s.response.headers.set(Known::XEnvoyUpstreamServiceTime, digits.text());
    }
    if plan.found.virtual_host.attempt_count_in_response {
        let digits = Digits::of(u64::from(x.record.attempts));
        x.s.response.headers.set(Known::XEnvoyAttemptCount, digits.text());
    }
    if let Some(cookie) = &plan.hash.set_cookie {
        x.s.response.headers.append(Known::SetCookie, cookie.as_bytes());
    }
    let levels =
        header_ops::levels(plan.table, plan.found.virtual_host, plan.found.route, plan.weighted, true);
    if levels.iter().flatten().any(|ops| !ops.is_empty()) {
        let mut response = std::mem::take(&mut x.s.response);
        let mut text = std::mem::take(&mut x.s.text);
        let cx = context::of(x, &plan.found.route.name);
        for ops in levels.into_iter().flatten().filter(|ops| !ops.is_empty()) {
            header_ops::apply_to_response(ops, &mut response, &x.s.request, &cx, &mut text);
        }
        x.s.response = response;
        x.s.text = text;
    }
    filters::respond(x, if tunnel { Length::None } else { length });
    headers::finish_response(&mut x.s.response, &x.manager.config, x.record.wall);
    tell_request_id(x);
}
