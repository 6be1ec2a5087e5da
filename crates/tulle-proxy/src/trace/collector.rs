//! Collectors of spans: a bounded buffer for each, sent off by a task of the worker.
//!
//! No request waits for a collector. One that is down, slow or refuses costs spans, which are counted (`tracing.KIND.spans_lost`,
//! `spans_refused`): what comes while a report is under way waits, up to the tracer's limit.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tulle_engine::runtime::tracing::{HttpTarget, OtlpTarget, Tracer, TracerKind};
use tulle_http::{Known, Method, RequestHead};
use tulle_proto::{
    Message as _,
    otlp::{EXPORT_TRACES, ExportTraceServiceResponse},
};
use tulle_telemetry::{
    metrics::proxy::CollectorStats,
    trace::{Span, otlp, zipkin},
};

use super::leaves;
use crate::{
    http::{
        call::{self, Keep},
        grpc,
    },
    worker::Worker,
};

/// Spans of a report; a full one does not wait.
const BATCH: usize = 256;
/// The most that a collector may answer.
const MAX_ANSWER: usize = 64 * 1024;
/// How long is waited for collectors when the worker ends.
const LAST: Duration = Duration::from_secs(1);

/// The collectors of a worker.
#[derive(Debug, Default)]
pub(crate) struct Collectors(RefCell<Vec<Rc<Exporter>>>);

/// One collector.
#[derive(Debug)]
pub(crate) struct Exporter {
    tracer: Arc<Tracer>,
    resource: Vec<(String, String)>,
    endpoint: zipkin::Endpoint,
    stats: Rc<CollectorStats>,
    waiting: RefCell<Vec<Span>>,
    sending: Cell<bool>,
}

/// What became of a report: how many spans the collector refused, or why it did not take it.
type Outcome = Result<u64, String>;

impl Collectors {
    /// The collector of a tracer, shared by all who have the same; `None` if spans do not leave the mesh.
    pub(super) fn exporter(&self, worker: &Worker, tracer: &Arc<Tracer>) -> Option<Rc<Exporter>> {
        if !leaves(tracer) {
            return None;
        }
        let mut all = self.0.borrow_mut();
        // What no connection manager uses any more goes, once it has nothing left to send.
        all.retain(|e| Rc::strong_count(e) > 1 || !e.waiting.borrow().is_empty());
        if let Some(known) = all.iter().find(|e| *e.tracer == **tracer) {
            return Some(Rc::clone(known));
        }
        let new = Rc::new(Exporter::new(worker, tracer));
        all.push(Rc::clone(&new));
        Some(new)
    }

    /// Sends what waits, when the worker ends.
    pub(crate) async fn flush(&self, worker: &Rc<Worker>) {
        let all: Vec<Rc<Exporter>> = self.0.borrow().clone();
        let work = async {
            for exporter in all {
                while !exporter.waiting.borrow().is_empty() {
                    exporter.report(worker).await;
                }
            }
        };
        let _ = tokio::time::timeout(LAST, work).await;
    }
}

impl Exporter {
    fn new(worker: &Worker, tracer: &Arc<Tracer>) -> Self {
        let settings = &worker.settings;
        let kind = match tracer.kind {
            TracerKind::Otlp { .. } => "opentelemetry",
            TracerKind::Zipkin { .. } => "zipkin",
        };
        let service = service_of(worker, tracer);
        Self {
            resource: resource(worker, tracer),
            endpoint: zipkin::Endpoint { service, address: settings.node.ip.parse().ok() },
            stats: worker.telemetry.store.borrow_mut().proxy.collectors.get(kind),
            tracer: Arc::clone(tracer),
            waiting: RefCell::default(),
            sending: Cell::new(false),
        }
    }

    /// Takes spans, as far as there is room.
    pub(super) fn take(self: &Rc<Self>, worker: &Rc<Worker>, spans: Vec<Span>) {
        let mut waiting = self.waiting.borrow_mut();
        let room = self.tracer.most.saturating_sub(waiting.len());
        self.stats.lost.add(spans.len().saturating_sub(room) as u64);
        waiting.extend(spans.into_iter().take(room));
        drop(waiting);
        if !self.sending.replace(true) {
            let (exporter, worker) = (Rc::clone(self), Rc::clone(worker));
            tokio::task::spawn_local(async move { exporter.run(&worker).await });
        }
    }

    /// Sends until nothing waits.
    async fn run(&self, worker: &Rc<Worker>) {
        while !self.waiting.borrow().is_empty() {
            if self.waiting.borrow().len() < BATCH {
                tokio::time::sleep(worker.settings.report_delay).await;
            }
            self.report(worker).await;
        }
        self.sending.set(false);
    }

    /// Sends a batch.
    async fn report(&self, worker: &Rc<Worker>) {
        let spans: Vec<Span> = {
            let mut waiting = self.waiting.borrow_mut();
            let count = waiting.len().min(BATCH);
            waiting.drain(..count).collect()
        };
        if spans.is_empty() {
            return;
        }
        let (count, stats) = (spans.len() as u64, &self.stats);
        match self.send(worker, &spans).await {
            Ok(refused) => {
                let refused = refused.min(count);
                stats.reports_sent.inc();
                stats.refused.add(refused);
                stats.sent.add(count - refused);
            }
            Err(error) => {
                stats.reports_failed.inc();
                stats.lost.add(count);
                tracing::debug!(error, spans = count, "spans lost");
            }
        }
    }

    async fn send(&self, worker: &Rc<Worker>, spans: &[Span]) -> Outcome {
        match &self.tracer.kind {
            TracerKind::Otlp { to, scope, .. } => {
                let message = otlp::batch(&self.resource, *scope, spans);
                match to {
                    OtlpTarget::Nobody => Ok(0),
                    OtlpTarget::Grpc(service) => {
                        let answer = grpc::unary::<_, ExportTraceServiceResponse>(
                            worker,
                            service,
                            EXPORT_TRACES,
                            &message,
                        );
                        answer.await.map(|a| refused(&a)).map_err(|e| e.to_string())
                    }
                    OtlpTarget::Http(target) => {
                        let body = post(worker, target, "application/x-protobuf", &message.to_wire()).await?;
                        Ok(ExportTraceServiceResponse::from_wire(&body).map_or(0, |a| refused(&a)))
                    }
                }
            }
            TracerKind::Zipkin { to, .. } => {
                let body = zipkin::batch(&self.endpoint, spans);
                post(worker, to, "application/json", &body).await.map(|_| 0)
            }
        }
    }
}

fn refused(answer: &ExportTraceServiceResponse) -> u64 {
    answer.partial_success.as_ref().map_or(0, |p| u64::try_from(p.rejected).unwrap_or(0))
}

/// Sends a body; the answer's, if it is a success.
pub(crate) async fn post(
    worker: &Rc<Worker>,
    to: &HttpTarget,
    content_type: &str,
    body: &[u8],
) -> Result<Vec<u8>, String> {
    let mut head = RequestHead {
        method: Method::Post,
        path: to.path.to_string(),
        authority: to.authority.to_string(),
        ..RequestHead::default()
    };
    head.headers.append(Known::ContentType, content_type.as_bytes());
    head.headers.append(Known::ContentLength, body.len().to_string().as_bytes());
    for (name, value) in &to.headers {
        head.headers.append(name, value.as_bytes());
    }
    let work = call::by_name(worker, &to.cluster, &head, body, Keep::UpTo(MAX_ANSWER));
    match call::within(Some(to.timeout), work).await {
        None => Err("no answer in time".to_owned()),
        Some(Err(fault)) => Err(fault.to_string()),
        Some(Ok(called)) if (200..300).contains(&called.head.status) => Ok(called.body),
        Some(Ok(called)) => Err(format!("status {}", called.head.status)),
    }
}

/// Who we are, for OpenTelemetry.
fn resource(worker: &Worker, tracer: &Tracer) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    let TracerKind::Otlp { resource, environment, sdk, .. } = &tracer.kind else { return out };
    let mut put = |name: &str, value: &str| {
        out.retain(|(known, _)| known != name);
        out.push((name.to_owned(), value.to_owned()));
    };
    if *sdk {
        put("telemetry.sdk.language", "rust");
        put("telemetry.sdk.name", "tulle");
        put("telemetry.sdk.version", env!("CARGO_PKG_VERSION"));
    }
    if *environment {
        let written = worker.settings.environment.get("OTEL_RESOURCE_ATTRIBUTES");
        for (name, value) in
            written.iter().flat_map(|text| text.split(',')).filter_map(|pair| pair.split_once('='))
        {
            put(name.trim(), value.trim());
        }
    }
    for (name, value) in resource {
        put(name, value);
    }
    if !tracer.service.is_empty() {
        put("service.name", &service_of(worker, tracer));
    }
    out
}

/// The name of our service: what is configured, else that of the node (`APP.NAMESPACE` in the mesh).
fn service_of(worker: &Worker, tracer: &Tracer) -> String {
    match &*tracer.service {
        "" | "unknown_service:envoy" if !worker.settings.service_cluster.is_empty() => {
            worker.settings.service_cluster.clone()
        }
        named => named.to_owned(),
    }
}
