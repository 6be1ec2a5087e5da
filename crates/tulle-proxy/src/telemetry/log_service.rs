//! Services that take access logs: Envoy's access log service, and OpenTelemetry's collectors.
//!
//! Entries are encoded where the request ends, and wait in the worker's outbox ([`crate::export`]); a report puts them together.
//! `access_logs.KIND.logs_written`, `logs_dropped` and so on count what becomes of them.

use std::{rc::Rc, sync::Arc};

use tulle_engine::runtime::{
    access_log::{LogService, LogServiceKind, OtlpLog},
    tracing::OtlpTarget,
};
use tulle_proto::{
    Message as _,
    envoy::{
        access_log_data::AccessLogCommon, access_log_service::stream_access_logs_message::Identifier, core,
    },
    otlp::{EXPORT_LOGS, ExportLogsServiceResponse, KeyValue, Resource, pair},
    wire,
};
use tulle_telemetry::{
    access_log::{FormatError, OtlpFormat, RequestRecord, http_entry, tcp_entry},
    metrics::proxy::LogServiceStats,
};

use crate::{
    export::{Collector, Counted, Limits, Outbox, Outboxes, Outcome, post},
    http::{grpc, headers::uuid},
    trace::{self, LocalTag, collector::from_environment},
    worker::Worker,
};

/// The method of Envoy's service.
const STREAM: &str = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs";
/// Bytes that wait at most.
const MOST: usize = 1024 * 1024;
/// Bytes after which a report ends: services take 4 MiB at most where they are not told otherwise.
const REPORT: usize = 256 * 1024;

/// The services of a worker.
pub(crate) type LogServices = Outboxes<ServiceCollector>;

/// A log that goes to a service, made ready.
#[derive(Debug)]
pub(crate) struct ServiceLog {
    outbox: Rc<Outbox<ServiceCollector>>,
    /// For OpenTelemetry.
    format: Option<OtlpFormat>,
    tags: Vec<LocalTag>,
}

/// One service.
#[derive(Debug)]
pub(crate) struct ServiceCollector {
    service: Arc<LogService>,
    /// What every report begins with: who we are.
    start: Vec<u8>,
    stats: Rc<LogServiceStats>,
}

impl ServiceLog {
    pub(crate) fn new(worker: &Worker, service: &Arc<LogService>) -> Result<Self, FormatError> {
        let format = match &service.kind {
            LogServiceKind::Otlp(log) => Some(OtlpFormat::new(log.body.as_ref(), &log.attributes)?),
            LogServiceKind::Als { .. } => None,
        };
        let new = || {
            let limits = Limits { most: MOST, batch: service.batch, report: REPORT, delay: service.interval };
            (ServiceCollector::new(worker, service), limits)
        };
        Ok(Self {
            outbox: worker.telemetry.log_services.get(|known| *known.service == **service, new),
            format,
            tags: trace::tags(worker, &service.tags),
        })
    }

    /// Whether an entry says anything of the trailers of the response.
    pub(crate) fn reads_trailers(&self) -> bool {
        match &self.outbox.collector.service.kind {
            LogServiceKind::Als { fields, .. } => !fields.trailers.is_empty(),
            LogServiceKind::Otlp(_) => self.format.as_ref().is_some_and(OtlpFormat::reads_trailers),
        }
    }

    pub(crate) fn write(&self, worker: &Rc<Worker>, line: &RequestRecord<'_>) {
        let tags = trace::values(&self.tags, line);
        let entry = match (&self.outbox.collector.service.kind, &self.format) {
            (_, Some(format)) => format.record(line, tags).to_wire(),
            (LogServiceKind::Als { tcp: true, .. }, _) => {
                let mut entry = tcp_entry(line, tags);
                name(entry.common_properties.as_mut());
                entry.to_wire()
            }
            (LogServiceKind::Als { fields, .. }, _) => {
                let mut entry = http_entry(line, fields, tags);
                name(entry.common_properties.as_mut());
                entry.to_wire()
            }
            (LogServiceKind::Otlp(_), None) => return,
        };
        self.outbox.take(worker, [entry]);
    }
}

/// What has no id gets one.
fn name(entry: Option<&mut AccessLogCommon>) {
    if let Some(entry) = entry.filter(|entry| entry.stream_id.is_empty()) {
        entry.stream_id = String::from_utf8_lossy(&uuid(fastrand::u128(..))).into_owned();
    }
}

impl ServiceCollector {
    fn new(worker: &Worker, service: &Arc<LogService>) -> Self {
        let (start, name) = match &service.kind {
            LogServiceKind::Als { .. } => {
                let node = Some(node(worker));
                let identifier = Identifier { node, log_name: service.name.to_string() };
                (identifier.to_wire(), "grpc_access_log".to_owned())
            }
            LogServiceKind::Otlp(log) => {
                let dot = if log.stat_prefix.is_empty() { "" } else { "." };
                let name = format!("open_telemetry_access_log{dot}{}", log.stat_prefix.trim_end_matches('.'));
                (Resource { attributes: resource(worker, service, log) }.to_wire(), name)
            }
        };
        let stats = worker.telemetry.store.borrow_mut().proxy.log_services.get(&name);
        Self { service: Arc::clone(service), start, stats }
    }

    /// A message for Envoy's service: who we are, and entries.
    fn stream_message(&self, tcp: bool, entries: &[Vec<u8>]) -> Vec<u8> {
        let mut list = Vec::new();
        entries.iter().for_each(|entry| wire::put(1, entry, &mut list));
        let mut out = Vec::with_capacity(list.len() + self.start.len() + 16);
        wire::put(1, &self.start, &mut out);
        wire::put(if tcp { 3 } else { 2 }, &list, &mut out);
        out
    }

    /// A message for OpenTelemetry's collectors: a resource, and records of one scope.
    fn export_message(&self, records: &[Vec<u8>]) -> Vec<u8> {
        let mut scope = Vec::new();
        records.iter().for_each(|record| wire::put(2, record, &mut scope));
        let mut logs = Vec::with_capacity(scope.len() + self.start.len() + 16);
        wire::put(1, &self.start, &mut logs);
        wire::put(2, &scope, &mut logs);
        let mut out = Vec::with_capacity(logs.len() + 8);
        wire::put(1, &logs, &mut out);
        out
    }
}

impl Collector for ServiceCollector {
    type Item = Vec<u8>;

    fn weight(&self, entry: &Vec<u8>) -> usize {
        entry.len()
    }

    async fn send(&self, worker: &Rc<Worker>, entries: Vec<Vec<u8>>) -> Outcome {
        match &self.service.kind {
            // A stream for each report, so that the end of the call tells whether the service took it.
            LogServiceKind::Als { to, tcp, .. } => {
                let message = self.stream_message(*tcp, &entries);
                grpc::call(worker, to, STREAM, &message).await.map(|_| 0).map_err(|e| e.to_string())
            }
            LogServiceKind::Otlp(log) => {
                let message = self.export_message(&entries);
                match &log.to {
                    OtlpTarget::Nobody => Ok(0),
                    OtlpTarget::Grpc(to) => {
                        let called = grpc::call(worker, to, EXPORT_LOGS, &message).await;
                        let answer = called.and_then(|called| grpc::answer(&called));
                        answer.map(|a| refused(&a)).map_err(|e| e.to_string())
                    }
                    OtlpTarget::Http(to) => {
                        let body = post(worker, to, "application/x-protobuf", &message).await?;
                        Ok(ExportLogsServiceResponse::from_wire(&body).map_or(0, |a| refused(&a)))
                    }
                }
            }
        }
    }

    fn count(&self, what: Counted) {
        let stats = &self.stats;
        match what {
            Counted::Full(count) => stats.dropped.add(count),
            Counted::Sent { taken, refused } => {
                stats.reports_sent.inc();
                stats.refused.add(refused);
                stats.written.add(taken);
            }
            Counted::Failed(count) => {
                stats.reports_failed.inc();
                stats.dropped.add(count);
            }
        }
    }
}

fn refused(answer: &ExportLogsServiceResponse) -> u64 {
    answer.partial_success.as_ref().map_or(0, |p| u64::try_from(p.rejected).unwrap_or(0))
}

/// Who we are, for Envoy's service.
fn node(worker: &Worker) -> core::Node {
    let settings = &worker.settings;
    if !settings.xds_node.id.is_empty() {
        return (*settings.xds_node).clone();
    }
    core::Node {
        id: settings.node_id.clone(),
        cluster: settings.service_cluster.clone(),
        user_agent_name: "tulle".to_owned(),
        ..core::Node::default()
    }
}

/// Who we are, for OpenTelemetry: what is written wins over what is detected, and that over labels that are always there.
fn resource(worker: &Worker, service: &LogService, log: &OtlpLog) -> Vec<KeyValue> {
    let settings = &worker.settings;
    let mut out: Vec<KeyValue> = Vec::new();
    let mut put = |entry: KeyValue| match out.iter_mut().find(|known| known.key == entry.key) {
        Some(known) => *known = entry,
        None => out.push(entry),
    };
    if log.labels {
        put(pair("log_name", &*service.name));
        put(pair("zone_name", settings.zone.as_str()));
        put(pair("cluster_name", settings.service_cluster.as_str()));
        put(pair("node_name", settings.node_id.as_str()));
    }
    if log.environment {
        from_environment(worker).for_each(|(name, value)| put(pair(name, value)));
    }
    for (name, value) in &log.detected {
        put(pair(&**name, &**value));
    }
    log.resource.iter().cloned().for_each(put);
    out
}
