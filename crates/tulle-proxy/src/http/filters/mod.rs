//! The filters in front of the router: [`run`] shows them the request in the order of the configuration, [`respond`] the response
//! in the opposite order.

mod buffer;
mod compression;
mod csrf;
mod ext_authz;
mod fault;
mod forward_proxy;
mod global_rate_limit;
pub(crate) mod grpc_web;
mod header_mutation;
mod health_check;
mod jwt;
mod local_rate_limit;
mod session;

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll};

use smallvec::SmallVec;
use tulle_engine::{
    decide::{
        authorize::{self, AuthInput},
        cors::{self, CorsVerdict},
        ext_authz::answer::ResponseChanges,
        route::{self, Found},
        token_bucket::TokenBucket,
    },
    runtime::{
        HttpFilter, HttpFilterKind,
        cors::CorsPolicy,
        filter::{FilterOverride, FilterOverrides},
        metadata::Value,
        rbac::RbacFilter,
        route::Action,
    },
};
use tulle_http::HeaderList;
use tulle_telemetry::details as d;

use super::{attempt::Late, exchange::Exchange, reply::Reply, side::Length};

/// What filters are still to do with the response to a request that they have let through or answered.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// Fields of the cross-origin policy are to be added.
    cors: bool,
    /// Numbers of compressors whose encoding the client takes.
    accepts: SmallVec<[usize; 2]>,
    /// Fields that services want added, by the number of the filter in the chain.
    headers: Vec<(usize, HeaderList)>,
    /// What services that decide want changed, by the number of the filter in the chain.
    authorized: Vec<(usize, ResponseChanges)>,
    /// The client speaks gRPC-Web.
    web: Option<grpc_web::Web>,
    /// The session of the request.
    pub(crate) session: Option<Box<session::Kept>>,
    /// Buckets that the client is told of, by the number of the filter in the chain.
    buckets: SmallVec<[(usize, Arc<TokenBucket>); 1]>,
    /// The request is under a fault.
    fault: Option<Box<fault::Active>>,
}

impl Left {
    fn is_empty(&self) -> bool {
        !self.cors
            && self.web.is_none()
            && self.session.is_none()
            && self.buckets.is_empty()
            && self.headers.is_empty()
            && self.authorized.is_empty()
    }
}

/// Asks every filter. An answer ends the request here.
pub(crate) async fn run(x: &mut Exchange<'_>) -> Option<Reply> {
    let manager = std::rc::Rc::clone(x.manager);
    let mut changed = x.found.map(|found| changes(x, &found));
    for (number, filter) in manager.config.filters.iter().enumerate() {
        let change = changed.and_then(|changes| changes.get(&filter.name));
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
                let found = x.found;
                fault::inject(x, found.as_ref(), fault).await
            }
            HttpFilterKind::Cors => match change {
                Some(FilterOverride::Cors(policy)) if forwards(x) => cross_origin(x, policy),
                _ => None,
            },
            HttpFilterKind::LocalRateLimit(own) => {
                let limit = match change {
                    Some(FilterOverride::LocalRateLimit(limit)) => limit,
                    _ => own,
                };
                local_rate_limit::ask(x, number, limit)
            }
            HttpFilterKind::HeaderMutation(filter) => {
                header_mutation::request(x, filter, change);
                None
            }
            HttpFilterKind::SetMetadata(own) => {
                let values = match change {
                    Some(FilterOverride::SetMetadata(values)) => values,
                    _ => own,
                };
                header_mutation::set_metadata(x, values);
                None
            }
            HttpFilterKind::Buffer(own) => {
                let limit = match change {
                    Some(FilterOverride::Buffer(limit)) => limit,
                    _ => own,
                };
                // Boxed, as everything that few requests wait for: others need no room for it.
                Box::pin(buffer::hold(x, *limit)).await
            }
            HttpFilterKind::HealthCheck(filter) => health_check::ask(x, filter),
            HttpFilterKind::Csrf(own) => {
                let policy = match change {
                    Some(FilterOverride::Csrf(policy)) => policy,
                    _ => own,
                };
                csrf::ask(x, policy)
            }
            HttpFilterKind::GrpcWeb => grpc_web::request(x),
            HttpFilterKind::Compressor(filter) => compression::compress_request(x, number, filter, change),
            HttpFilterKind::Decompressor(filter) => compression::decompress_request(x, filter),
            HttpFilterKind::GlobalRateLimit(limit) => {
                Box::pin(global_rate_limit::ask(x, number, limit, change)).await
            }
            HttpFilterKind::Jwt(filter) => {
                let reply = jwt::ask(x, filter, change);
                // The route may be another one now.
                changed = x.found.map(|found| changes(x, &found));
                reply
            }
            HttpFilterKind::ExtAuthz(filter) => {
                let reply = Box::pin(ext_authz::ask(x, number, filter, change)).await;
                changed = x.found.map(|found| changes(x, &found));
                reply
            }
            HttpFilterKind::ForwardProxy(_) => Box::pin(forward_proxy::find(x, number, change)).await,
            HttpFilterKind::StatefulSession(own) => {
                let policy = match change {
                    Some(FilterOverride::StatefulSession(policy)) => policy,
                    _ => own,
                };
                if let Some(policy) = policy {
                    session::ask(x, policy);
                }
                None
            }
            // These act on the way upstream or at the end.
            HttpFilterKind::GrpcStats(_)
            | HttpFilterKind::IstioStats(_)
            | HttpFilterKind::PeerMetadata(_)
            | HttpFilterKind::IstioAlpn(_)
            | HttpFilterKind::Router(_) => None,
        };
        if let Some(reply) = &reply {
            refused(x, filter, reply);
        }
        if reply.is_some() {
            return reply;
        }
    }
    None
}

/// Notes that a policy which is no authorization rule refused the request.
fn refused(x: &mut Exchange<'_>, filter: &HttpFilter, reply: &Reply) {
    let decides = matches!(
        filter.kind,
        HttpFilterKind::Jwt(_)
            | HttpFilterKind::ExtAuthz(_)
            | HttpFilterKind::LocalRateLimit(_)
            | HttpFilterKind::GlobalRateLimit(_)
            | HttpFilterKind::Csrf(_)
    );
    if decides {
        let told = || {
            vec![
                ("verdict", "deny".to_owned()),
                ("policy", filter.name.to_string()),
                ("reason", reply.details.to_string()),
            ]
        };
        x.record.trouble("policy", told);
    }
}

/// Shows the response's head to every filter, the last one first, before the client sees it; whether it is the upstream's or ours.
/// `length` is that of its body.
pub(crate) fn respond(x: &mut Exchange<'_>, length: Length) {
    crate::trace::begin::respond(x);
    if !x.manager.encodes && x.left.is_empty() {
        return;
    }
    let manager = std::rc::Rc::clone(x.manager);
    let changes = x.found.map(|found| changes(x, &found));
    for (number, filter) in manager.config.filters.iter().enumerate().rev() {
        let change = changes.and_then(|changes| changes.get(&filter.name));
        if !is_on(filter, change) {
            continue;
        }
        match &filter.kind {
            HttpFilterKind::Cors => {
                if let (true, Some(FilterOverride::Cors(policy))) = (x.left.cors, change) {
                    cors::allow(policy, &x.s.request, &mut x.s.response);
                }
            }
            HttpFilterKind::LocalRateLimit(_) => local_rate_limit::respond(x, number),
            HttpFilterKind::GlobalRateLimit(_) => global_rate_limit::respond(x, number),
            HttpFilterKind::ExtAuthz(_) => ext_authz::respond(x, number),
            HttpFilterKind::StatefulSession(_) => session::respond(x),
            HttpFilterKind::HeaderMutation(filter) => header_mutation::response(x, filter, change),
            HttpFilterKind::HealthCheck(filter) => health_check::respond(x, filter),
            HttpFilterKind::Compressor(filter) => {
                compression::compress_response(x, number, filter, change, length);
            }
            HttpFilterKind::Decompressor(filter) => compression::decompress_response(x, filter, length),
            HttpFilterKind::GrpcWeb => grpc_web::respond(x, length),
            HttpFilterKind::Rbac(_)
            | HttpFilterKind::Fault(_)
            | HttpFilterKind::Jwt(_)
            | HttpFilterKind::SetMetadata(_)
            | HttpFilterKind::Buffer(_)
            | HttpFilterKind::Csrf(_)
            | HttpFilterKind::ForwardProxy(_)
            | HttpFilterKind::GrpcStats(_)
            | HttpFilterKind::IstioStats(_)
            | HttpFilterKind::PeerMetadata(_)
            | HttpFilterKind::IstioAlpn(_)
            | HttpFilterKind::Router(_) => {}
        }
    }
}

/// What the route, or the weighted cluster that is picked on it, changes about filters.
fn changes<'t>(x: &Exchange<'_>, found: &Found<'t>) -> &'t FilterOverrides {
    route::filters(found.route, &x.s.request, x.record.random)
}

fn is_on(filter: &HttpFilter, change: Option<&FilterOverride>) -> bool {
    match change {
        Some(FilterOverride::Disabled) => false,
        Some(_) => true,
        None => !filter.disabled,
    }
}

/// Where authorization rules write what shadow rules say.
const RBAC: &str = "envoy.filters.http.rbac";
/// Where they write whether the request is to be logged (action LOG), and under which key.
const COMMON: &str = "envoy.common";
const ACCESS_LOG_HINT: &str = "access_log_hint";

fn rbac(x: &mut Exchange<'_>, rules: &RbacFilter) -> Option<Reply> {
    let principal = x.conn.identity().and_then(|peer| peer.principal());
    let state = [("io.istio.peer_principal", principal.map_or("", |p| p))];
    let input = AuthInput {
        head: Some(&x.s.request),
        connection: &x.view,
        metadata: x.metadata.as_deref(),
        filter_state: if principal.is_some() { &state } else { &[] },
    };
    let verdict = authorize::filter(rules, &input);
    x.conn.worker.telemetry.count_policies(rules, &verdict);
    let stats = &x.manager.stats;
    if let Some(shadow) = verdict.shadow {
        if shadow.allowed { stats.rbac_shadow_allowed.inc() } else { stats.rbac_shadow_denied.inc() }
    }
    let policy = verdict.enforced.policy.map(|p| std::sync::Arc::clone(&p.name));
    let events = &mut x.record;
    let told = |verdict: &str| {
        vec![("verdict", verdict.to_owned()), ("policy", policy.as_deref().unwrap_or("none").to_owned())]
    };
    let reply = if rules.rules.is_none() {
        None
    } else if verdict.enforced.allowed {
        stats.rbac_allowed.inc();
        events.noted("policy", || told("allow"));
        None
    } else {
        stats.rbac_denied.inc();
        events.trouble("policy", || told("deny"));
        Some(Reply::denied(verdict.enforced.policy.map(|p| &*p.name)))
    };
    let (noted, hint) = (authorize::noted(rules, &verdict), verdict.log);
    if hint == Some(true) && x.record.audited.is_none() {
        x.record.audited = verdict.enforced.policy.map(|p| Arc::clone(&p.name));
    }
    if let Some(noted) = noted {
        x.metadata.get_or_insert_default().entry(RBAC.into()).or_default().extend(noted);
    }
    if let Some(hint) = hint {
        let hint = (Arc::from(ACCESS_LOG_HINT), Value::Bool(hint));
        x.metadata.get_or_insert_default().entry(COMMON.into()).or_default().extend([hint]);
    }
    reply
}

/// Waits for something, unless the client goes away meanwhile or time runs out: then the request ends here.
pub(crate) async fn meanwhile<T>(x: &mut Exchange<'_>, work: impl Future<Output = T>) -> Result<T, Reply> {
    let mut work = pin!(work);
    let (down, clocks, complete) = (&mut *x.down, &mut x.s.clocks, x.flow.done);
    let end = poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(done));
        }
        if complete && down.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(None));
        }
        clocks.poll(cx).map(|late| Err(Some(late)))
    })
    .await;
    end.map_err(|late| match late {
        None => {
            super::forward::client_gone(x);
            Reply::new(0, "", d::DOWNSTREAM_REMOTE_DISCONNECT)
        }
        Some(Late::Request) => super::forward::too_slow(x),
        Some(_) => super::forward::idle(x),
    })
}

/// Whether the route sends the request on: only then is it asked about its origin.
fn forwards(x: &Exchange<'_>) -> bool {
    x.found.is_some_and(|found| matches!(found.route.action, Action::Forward(_)))
}

fn cross_origin(x: &mut Exchange<'_>, policy: &CorsPolicy) -> Option<Reply> {
    match cors::request(policy, &x.s.request, x.record.random) {
        CorsVerdict::Pass => None,
        CorsVerdict::Allowed => {
            x.left.cors = true;
            None
        }
        CorsVerdict::Answer(head) => {
            let mut reply = Reply::new(head.status, "", "cors_response");
            reply.headers = Some(Box::new(head));
            Some(reply)
        }
    }
}
