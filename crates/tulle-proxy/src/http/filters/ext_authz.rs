//! `envoy.filters.http.ext_authz`.

use std::{rc::Rc, sync::Arc, time::Instant};

use tulle_engine::{
    decide::{
        ext_authz::{
            self as decide, Question,
            answer::{self, Answer, Denial, Verdict},
        },
        header_ops,
    },
    runtime::{
        ext_authz::{AuthService, ExtAuthz, ExtAuthzChange, HttpAuth},
        filter::FilterOverride,
        metadata::Value,
    },
};
use tulle_http::{Method, ResponseHead};
use tulle_proto::envoy::auth::CheckResponse;
use tulle_telemetry::ResponseFlag;

use super::{buffer, meanwhile};
use crate::http::{
    call::{self, Keep},
    context,
    exchange::Exchange,
    grpc,
    reply::{Body, Reply},
};

/// The method of the service.
const METHOD: &str = "/envoy.service.auth.v3.Authorization/Check";
/// Where metadata of answers is kept.
const NAMESPACE: &str = "envoy.filters.http.ext_authz";
/// The most that an HTTP server may answer.
const MAX_ANSWER: usize = 1024 * 1024;

/// What is sent of the request's body.
enum Sent {
    /// Nothing, because there is none or none is wanted.
    Nothing,
    /// All that is held.
    Whole,
    /// The beginning.
    Beginning(Vec<u8>),
}

impl Sent {
    fn bytes<'b>(&'b self, held: Option<&'b Vec<u8>>) -> Option<(&'b [u8], bool)> {
        match self {
            Self::Nothing => None,
            Self::Whole => held.map(|held| (held.as_slice(), false)),
            Self::Beginning(bytes) => Some((bytes, true)),
        }
    }
}

/// Asks the service about a request.
pub(super) async fn ask(
    x: &mut Exchange<'_>,
    number: usize,
    filter: &ExtAuthz,
    change: Option<&FilterOverride>,
) -> Option<Reply> {
    x.found?;
    let change = match change {
        Some(FilterOverride::ExtAuthz(change)) => Some(&**change),
        _ => None,
    };
    if !decide::is_enabled(filter, x.metadata.as_deref(), fastrand::u64(..)) {
        x.manager.stats.ext_authz_disabled.inc();
        return filter
            .deny_at_disable
            .then(|| refusal(filter, Denial::default(), filter.error_status, "ext_authz_error"));
    }
    let sent = match body(x, filter, change).await {
        Ok(sent) => sent,
        Err(reply) => return Some(reply),
    };
    let begin = Instant::now();
    let service = change.and_then(|change| change.service.as_ref()).unwrap_or(&filter.service);
    let answer = match service {
        AuthService::Grpc(service) => {
            let message = decide::check_request(filter, change, &question(x, &sent));
            let worker = Rc::clone(&x.conn.worker);
            let call = grpc::unary::<_, CheckResponse>(&worker, service, METHOD, &message);
            match meanwhile(x, call).await {
                Ok(Ok(message)) => answer::of_grpc(&message),
                Ok(Err(fault)) => unknown(&service.cluster, &fault.to_string()),
                Err(reply) => return Some(reply),
            }
        }
        AuthService::Http(service) => match over_http(x, filter, service, &sent).await {
            Ok(answer) => answer,
            Err(reply) => return Some(reply),
        },
    };
    obey(x, number, filter, answer, begin)
}

/// Takes as much of the body as the service is to see.
async fn body(
    x: &mut Exchange<'_>,
    filter: &ExtAuthz,
    change: Option<&ExtAuthzChange>,
) -> Result<Sent, Reply> {
    let upgrade = x.incoming.upgrade || x.s.request.method == Method::Connect;
    let Some(settings) = decide::body_settings(filter, change).filter(|_| !upgrade) else {
        return Ok(Sent::Nothing);
    };
    Ok(match buffer::gather(x, settings.limit, settings.partial).await? {
        Some(beginning) => Sent::Beginning(beginning),
        None if x.held.is_some() => Sent::Whole,
        None => Sent::Nothing,
    })
}

fn question<'q>(x: &'q Exchange<'_>, sent: &'q Sent) -> Question<'q> {
    Question {
        head: &x.s.request,
        connection: &x.view,
        body: sent.bytes(x.held.as_ref()),
        size: x.flow.bytes,
        id: x.record.random,
        start: x.record.wall,
        metadata: x.metadata.as_deref(),
        route_metadata: x.found.and_then(|found| found.route.metadata.as_deref()),
    }
}

async fn over_http(
    x: &mut Exchange<'_>,
    filter: &ExtAuthz,
    service: &HttpAuth,
    sent: &Sent,
) -> Result<Answer, Reply> {
    let question = question(x, sent);
    let mut head = decide::http_head(filter, service, &question);
    let body = question.body.map_or_else(Vec::new, |(bytes, _)| bytes.to_vec());
    let format = context::of(x, x.found.map_or("", |found| &found.route.name));
    header_ops::apply_to_request(&service.headers, &mut head, &format, &mut String::new());
    let worker = Rc::clone(&x.conn.worker);
    let call = call::by_name(&worker, &service.cluster, &head, &body, Keep::UpTo(MAX_ANSWER));
    Ok(match meanwhile(x, call::within(service.timeout, call)).await? {
        Some(Ok(called)) => answer::of_http(service, &called.head, called.body),
        Some(Err(fault)) => unknown(&service.cluster, &fault.to_string()),
        None => unknown(&service.cluster, "no answer in time"),
    })
}

fn unknown(cluster: &str, fault: &str) -> Answer {
    tracing::debug!(cluster, fault, "the authorization service does not answer");
    Answer { verdict: Verdict::Failed(Box::default()), metadata: Default::default() }
}

fn obey(
    x: &mut Exchange<'_>,
    number: usize,
    filter: &ExtAuthz,
    Answer { verdict, mut metadata }: Answer,
    begin: Instant,
) -> Option<Reply> {
    if filter.takes_metadata && !metadata.is_empty() {
        if matches!(verdict, Verdict::Allowed(_)) {
            let took = u32::try_from(begin.elapsed().as_millis()).unwrap_or(u32::MAX);
            metadata.insert(Arc::from("ext_authz_duration"), Value::Number(took.into()));
        }
        x.metadata.get_or_insert_default().entry(NAMESPACE.into()).or_default().extend(metadata);
    }
    let stats = &x.manager.stats;
    match verdict {
        Verdict::Allowed(changes) => {
            stats.ext_authz_ok.inc();
            changes.apply(&mut x.s.request);
            if filter.clear_route_cache && !changes.is_empty() {
                x.found = x.table.and_then(|table| x.find(table));
            }
            if !changes.response.is_empty() {
                x.left.authorized.push((number, changes.response));
            }
            None
        }
        Verdict::Denied(denial) => {
            stats.ext_authz_denied.inc();
            Some(refusal(filter, *denial, 403, "ext_authz_denied"))
        }
        Verdict::Invalid => {
            stats.ext_authz_invalid.inc();
            Some(refusal(filter, Denial::default(), 500, "ext_authz_invalid"))
        }
        Verdict::Failed(denial) => {
            stats.ext_authz_error.inc();
            if !filter.failure_allow {
                return Some(refusal(filter, *denial, filter.error_status, "ext_authz_error"));
            }
            stats.ext_authz_failure_mode_allowed.inc();
            if filter.failure_header {
                x.s.request.headers.append("x-envoy-auth-failure-mode-allowed", b"true");
            }
            None
        }
    }
}

fn refusal(filter: &ExtAuthz, denial: Denial, default: u16, details: &'static str) -> Reply {
    let (status, denial) = answer::finished(filter, denial, default);
    let mut reply = Reply::new(status, "", details).flag(ResponseFlag::UnauthorizedExternalService);
    reply.body = Body::Bytes(denial.body.into());
    if !denial.headers.is_empty() {
        let mut head = Box::new(ResponseHead::new(status));
        head.headers = denial.headers;
        reply.headers = Some(head);
    }
    reply
}

/// Changes a response as the service wants.
pub(super) fn respond(x: &mut Exchange<'_>, number: usize) {
    for (_, changes) in x.left.authorized.iter().filter(|(of, _)| *of == number) {
        changes.apply(&mut x.s.response.headers);
    }
}
