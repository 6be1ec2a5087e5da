//! Collectors of spans (`tracing.KIND.spans_lost`, `spans_refused`, … count what becomes of spans).

use std::{rc::Rc, sync::Arc};

use tulle_engine::runtime::tracing::{OtlpTarget, Tracer, TracerKind};
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
    export::{Collector, Counted, Limits, Outbox, Outboxes, Outcome, post},
    http::grpc,
    worker::Worker,
};

/// Spans of a report; a full one does not wait.
const BATCH: usize = 256;

/// The collectors of a worker.
pub(crate) type Collectors = Outboxes<SpanCollector>;
/// What waits for one of them.
pub(crate) type Exporter = Outbox<SpanCollector>;

/// One collector.
#[derive(Debug)]
pub(crate) struct SpanCollector {
    tracer: Arc<Tracer>,
    resource: Vec<(String, String)>,
    endpoint: zipkin::Endpoint,
    stats: Rc<CollectorStats>,
}

/// The collector of a tracer, shared by all who have the same; `None` if spans do not leave the mesh.
pub(super) fn exporter(worker: &Worker, tracer: &Arc<Tracer>) -> Option<Rc<Exporter>> {
    let new = || {
        let limits =
            Limits { most: tracer.most, batch: BATCH, report: BATCH, delay: worker.settings.report_delay };
        (SpanCollector::new(worker, tracer), limits)
    };
    leaves(tracer).then(|| worker.telemetry.collectors.get(|known| *known.tracer == **tracer, new))
}

impl SpanCollector {
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
        }
    }
}

impl Collector for SpanCollector {
    type Item = Span;

    fn weight(&self, _: &Span) -> usize {
        1
    }

    async fn send(&self, worker: &Rc<Worker>, spans: Vec<Span>) -> Outcome {
        match &self.tracer.kind {
            TracerKind::Otlp { to, scope, .. } => {
                let message = otlp::batch(&self.resource, *scope, &spans);
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
                let body = zipkin::batch(&self.endpoint, &spans);
                post(worker, to, "application/json", &body).await.map(|_| 0)
            }
        }
    }

    fn count(&self, what: Counted) {
        let stats = &self.stats;
        match what {
            Counted::Full(count) => stats.lost.add(count),
            Counted::Sent { taken, refused } => {
                stats.reports_sent.inc();
                stats.refused.add(refused);
                stats.sent.add(taken);
            }
            Counted::Failed(count) => {
                stats.reports_failed.inc();
                stats.lost.add(count);
            }
        }
    }
}

fn refused(answer: &ExportTraceServiceResponse) -> u64 {
    answer.partial_success.as_ref().map_or(0, |p| u64::try_from(p.rejected).unwrap_or(0))
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
        from_environment(worker).for_each(|(name, value)| put(name, value));
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

/// Attributes of the resource that the environment says.
pub(crate) fn from_environment(worker: &Worker) -> impl Iterator<Item = (&str, &str)> {
    let written = worker.settings.environment.get("OTEL_RESOURCE_ATTRIBUTES");
    let pairs = written.into_iter().flat_map(|text| text.split(',')).filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.trim(), value.trim()))
}
