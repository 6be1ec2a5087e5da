//! The filters in front of the router, in the order of the configuration.

use std::{future::poll_fn, sync::Arc, task::Poll, time::Instant};

use tulle_engine::{
    decide::{
        authorize::{self, AuthInput},
        cors::{self, CorsVerdict},
        fault,
        route::{Found, pick_cluster},
    },
    runtime::{
        HttpFilter, HttpFilterKind, cors::CorsPolicy, fault::Fault, filter::FilterOverride, rbac::RbacFilter,
        route::Action,
    },
};
use tulle_telemetry::{ResponseFlag, details as d};

use super::{
    attempt::{ClientFault, Late},
    exchange::Exchange,
    reply::Reply,
};

/// Asks every filter. An answer ends the request here.
pub(crate) async fn run(x: &mut Exchange<'_>, found: Option<&Found<'_>>) -> Option<Reply> {
    let manager = std::rc::Rc::clone(x.manager);
    for filter in &manager.config.filters {
        let change = found.and_then(|f| f.route.filters.get(&filter.name));
        if !is_on(filter, change) {
            continue;
        }
        let reply = match &filter.kind {
            HttpFilterKind::Rbac(own) => {
                let rules = match change {
                    Some(FilterOverride::Rbac(rules)) => rules,
                    _ => own,
                };
                rbac(x, rules)
            }
            HttpFilterKind::Fault(own) => {
                let fault = match change {
                    Some(FilterOverride::Fault(fault)) => fault,
                    _ => own,
                };
                inject(x, found, fault).await
            }
            HttpFilterKind::Cors => match change {
                Some(FilterOverride::Cors(policy)) => cross_origin(x, policy),
                _ => None,
            },
            HttpFilterKind::LocalRateLimit(own) => {
                let limit = match change {
                    Some(FilterOverride::LocalRateLimit(limit)) => limit,
                    _ => own,
                };
                super::rate_limit::ask(x, limit)
            }
            // These act on the way upstream or at the end.
            HttpFilterKind::GrpcStats(_)
            | HttpFilterKind::IstioStats(_)
            | HttpFilterKind::PeerMetadata(_)
            | HttpFilterKind::IstioAlpn(_)
            | HttpFilterKind::Router(_) => None,
        };
        if reply.is_some() {
            return reply;
        }
    }
    None
}

fn is_on(filter: &HttpFilter, change: Option<&FilterOverride>) -> bool {
    match change {
        Some(FilterOverride::Disabled) => false,
        Some(_) => true,
        None => !filter.disabled,
    }
}

fn rbac(x: &mut Exchange<'_>, rules: &RbacFilter) -> Option<Reply> {
    let principal = x.conn.identity().and_then(|peer| peer.principal());
    let state = [("io.istio.peer_principal", principal.map_or("", |p| p))];
    let input = AuthInput {
        head: Some(&x.s.request),
        connection: &x.view,
        metadata: None,
        filter_state: if principal.is_some() { &state } else { &[] },
    };
    let verdict = authorize::filter(rules, &input);
    let stats = &x.manager.stats;
    if let Some(shadow) = verdict.shadow {
        if shadow.allowed { stats.rbac_shadow_allowed.inc() } else { stats.rbac_shadow_denied.inc() }
    }
    rules.rules.as_ref()?;
    if verdict.enforced.allowed {
        stats.rbac_allowed.inc();
        return None;
    }
    stats.rbac_denied.inc();
    Some(Reply::denied(verdict.enforced.policy.map(|p| &*p.name)))
}

async fn inject(x: &mut Exchange<'_>, found: Option<&Found<'_>>, fault: &Arc<Fault>) -> Option<Reply> {
    let cluster = match found.map(|f| &f.route.action) {
        Some(Action::Forward(to)) => pick_cluster(&to.cluster, &x.s.request, x.record.random, None).name,
        _ => "",
    };
    let worker = &x.conn.worker;
    let active = worker.faults.get();
    let faults = fault::decide(fault, &x.s.request, cluster, active, &mut || fastrand::u64(..));
    if faults.is_empty() {
        return None;
    }
    worker.faults.set(active + 1);
    let stats = &x.manager.stats;
    let mut gone = None;
    if let Some(delay) = faults.delay {
        stats.fault_delays_injected.inc();
        x.record.flags.insert(ResponseFlag::DelayInjected);
        gone = wait(x, delay).await;
    }
    x.conn.worker.faults.set(x.conn.worker.faults.get().saturating_sub(1));
    if gone.is_some() {
        return gone;
    }
    let abort = faults.abort?;
    x.manager.stats.fault_aborts_injected.inc();
    let mut reply = Reply::new(abort.http_status, abort.body.to_owned(), d::FAULT_FILTER_ABORT)
        .flag(ResponseFlag::FaultInjected);
    reply.grpc = abort.grpc_status;
    Some(reply)
}

/// Waits, unless the client goes away meanwhile or the stream has been idle for too long.
async fn wait(x: &mut Exchange<'_>, delay: std::time::Duration) -> Option<Reply> {
    x.s.clocks.per_try.set(Instant::now() + delay);
    let (down, clocks, complete) = (&mut *x.down, &mut x.s.clocks, x.flow.done);
    let end = poll_fn(|cx| {
        if complete && down.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(ClientFault::Gone));
        }
        clocks.poll(cx).map(Ok)
    })
    .await;
    match end {
        Ok(Late::Try) => {
            x.s.clocks.moved();
            None
        }
        Ok(_) => Some(super::forward::idle(x)),
        Err(_) => {
            super::forward::client_gone(x);
            Some(Reply::new(0, "", d::DOWNSTREAM_REMOTE_DISCONNECT))
        }
    }
}

fn cross_origin(x: &mut Exchange<'_>, policy: &CorsPolicy) -> Option<Reply> {
    match cors::request(policy, &x.s.request, x.record.random) {
        CorsVerdict::Pass => None,
        CorsVerdict::Allowed => {
            x.cors = true;
            None
        }
        CorsVerdict::Answer(head) => {
            let mut reply = Reply::new(head.status, "", "cors_response");
            reply.headers = Some(Box::new(head));
            Some(reply)
        }
    }
}
