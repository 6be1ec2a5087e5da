//! Access logs of a listener or connection manager, compiled for a worker.

use std::{borrow::Cow, rc::Rc, sync::Arc, time::Duration};

use smallvec::SmallVec;

use tulle_engine::{
    decide::matcher,
    runtime::{
        access_log::{AccessLog, Comparison, ComparisonOp, LogFilter, LogFormat, LogTarget},
        metadata::{self, Metadata, Value, lookup},
    },
};
use tulle_http::{HeaderList, RequestHead};
use tulle_proto::envoy::{core, google, google::value::Kind};
use tulle_telemetry::access_log::{
    AccessLogFormat, ENVOY_TEXT, FormatError, HeaderLookup, JsonFormat, MetadataForm, MetadataLookup,
    MetadataSource, RequestRecord,
};
use tulle_telemetry::{ResponseFlags, trace::Reason};

use super::{log_service::ServiceLog, sink::Sink};
use crate::worker::Worker;

/// One access log, ready to write.
#[derive(Debug)]
pub(crate) struct LocalLog {
    target: LocalTarget,
    filter: LogFilter,
}

/// Who gets it.
#[derive(Debug)]
enum LocalTarget {
    Lines(Rc<Sink>, AccessLogFormat),
    Service(ServiceLog),
}

/// Header fields as the log asks for them.
pub(crate) struct Fields<'a>(pub(crate) &'a HeaderList);

/// Metadata as the log asks for it.
pub(crate) struct Written<'a> {
    /// What filters have written.
    pub(crate) dynamic: Option<&'a Metadata>,
    /// The route's.
    pub(crate) route: Option<&'a Metadata>,
    /// The cluster's.
    pub(crate) cluster: Option<&'a Metadata>,
    /// The endpoint's.
    pub(crate) endpoint: Option<&'a Metadata>,
}

impl MetadataLookup for Written<'_> {
    fn write(
        &self,
        source: MetadataSource,
        namespace: &str,
        path: &[String],
        out: &mut Vec<u8>,
    ) -> Option<MetadataForm> {
        let metadata = match source {
            MetadataSource::Dynamic => self.dynamic,
            MetadataSource::Route => self.route,
            MetadataSource::Cluster => self.cluster,
            MetadataSource::UpstreamHost => self.endpoint,
            MetadataSource::FilterChain => None,
        };
        let all = metadata?;
        let path: SmallVec<[Arc<str>; 4]> = path.iter().map(|step| step.as_str().into()).collect();
        let found = if path.is_empty() {
            all.get(namespace).map(|fields| Cow::Owned(Value::Struct(fields.clone())))
        } else {
            lookup(all, namespace, &path).map(Cow::Borrowed)
        };
        match found.as_deref() {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => {
                out.extend_from_slice(text.as_bytes());
                Some(MetadataForm::Text)
            }
            Some(value) => {
                out.extend_from_slice(metadata::json(value).to_string().as_bytes());
                Some(MetadataForm::Json)
            }
        }
    }

    fn all(&self) -> Option<core::Metadata> {
        self.dynamic.filter(|all| !all.is_empty()).map(message)
    }
}

/// Metadata as a message.
fn message(metadata: &Metadata) -> core::Metadata {
    fn fields(list: &metadata::Fields) -> google::Struct {
        google::Struct { fields: list.iter().map(|(name, v)| (name.to_string(), value(v))).collect() }
    }
    fn value(written: &Value) -> google::Value {
        let kind = match written {
            Value::Null => Kind::NullValue(0),
            Value::Bool(b) => Kind::BoolValue(*b),
            Value::Number(n) => Kind::NumberValue(*n),
            Value::String(text) => Kind::StringValue(text.to_string()),
            Value::List(items) => {
                Kind::ListValue(google::ListValue { values: items.iter().map(value).collect() })
            }
            Value::Struct(list) => Kind::StructValue(fields(list)),
        };
        google::Value { kind: Some(kind) }
    }
    core::Metadata {
        filter_metadata: metadata.iter().map(|(name, list)| (name.to_string(), fields(list))).collect(),
        ..core::Metadata::default()
    }
}

impl HeaderLookup for Fields<'_> {
    fn header(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name)
    }

    fn bytes(&self) -> u64 {
        self.0.iter().map(|field| (field.name.len() + field.value.len()) as u64).sum()
    }
}

impl LocalLog {
    /// Makes every log of `configs` ready. One whose format has an unknown operator is left out with an error in our own log.
    pub(crate) fn all(worker: &Worker, configs: &[AccessLog]) -> Vec<Self> {
        let ready = |AccessLog { target, filter }: &AccessLog| {
            let target = match target {
                LogTarget::Lines { sink, format } => {
                    compile(format).map(|format| LocalTarget::Lines(worker.telemetry.sinks.get(sink), format))
                }
                LogTarget::Service(service) => ServiceLog::new(worker, service).map(LocalTarget::Service),
            };
            let left_out = |error: &FormatError| tracing::error!(%error, "access log left out");
            Some(Self { target: target.inspect_err(left_out).ok()?, filter: filter.clone() })
        };
        configs.iter().filter_map(ready).collect()
    }

    /// Whether a line says anything of the trailers of the response.
    pub(crate) fn reads_trailers(&self) -> bool {
        match &self.target {
            LocalTarget::Lines(_, format) => format.reads_trailers(),
            LocalTarget::Service(service) => service.reads_trailers(),
        }
    }

    /// Whether the filter wants no health checks, whatever else it wants.
    pub(crate) fn passes_over_health_checks(&self) -> bool {
        fn never(filter: &LogFilter) -> bool {
            match filter {
                LogFilter::NotHealthCheck => true,
                LogFilter::And(all) => all.iter().any(never),
                LogFilter::Or(any) => !any.is_empty() && any.iter().all(never),
                _ => false,
            }
        }
        never(&self.filter)
    }

    /// Whether the filter may want a request that ended so: most lines need not be made to see that nobody wants them.
    pub(crate) fn may_want(&self, ended: &Ended) -> bool {
        may_want(&self.filter, ended)
    }

    /// Writes a line if the filter wants it. `request` is the head as far as there was one; `random` the request's own.
    pub(crate) fn write(
        &self,
        worker: &Rc<Worker>,
        record: &RequestRecord<'_>,
        request: Option<&RequestHead>,
        random: u64,
    ) {
        if !wanted(&self.filter, record, request, random) {
            return;
        }
        match &self.target {
            LocalTarget::Lines(sink, format) => sink.write(|out| format.render(record, out)),
            LocalTarget::Service(service) => service.write(worker, record),
        }
    }
}

/// What filters ask for most, at hand without a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    /// Status of the response; 0 for none.
    pub(crate) status: u16,
    /// What happened beyond it.
    pub(crate) flags: ResponseFlags,
    /// How long it took.
    pub(crate) duration: Duration,
}

/// Whether a filter may want what ended so: `false` is certain, `true` is not.
fn may_want(filter: &LogFilter, ended: &Ended) -> bool {
    match filter {
        LogFilter::Status(c) => compare(*c, u64::from(ended.status)),
        LogFilter::Duration(c) => compare(*c, milliseconds(ended.duration)),
        LogFilter::ResponseFlags(names) => has_flag(ended.flags, names),
        LogFilter::And(all) => all.iter().all(|f| may_want(f, ended)),
        LogFilter::Or(any) => any.iter().any(|f| may_want(f, ended)),
        _ => true,
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whether one of the flags is named; without names, whether there is any.
fn has_flag(flags: ResponseFlags, names: &[Arc<str>]) -> bool {
    if names.is_empty() {
        return !flags.is_empty();
    }
    flags.iter().any(|flag| names.iter().any(|n| **n == *flag.short()))
}

/// Compiles a format.
pub(crate) fn compile(format: &LogFormat) -> Result<AccessLogFormat, FormatError> {
    match format {
        LogFormat::Default => AccessLogFormat::text(ENVOY_TEXT, false),
        LogFormat::Text(text) => AccessLogFormat::text(text, false),
        LogFormat::Json { template, omit_empty } => AccessLogFormat::json(&json(template), *omit_empty),
    }
}

fn json(value: &serde_json::Value) -> JsonFormat {
    use serde_json::Value;
    match value {
        Value::Null => JsonFormat::Null,
        Value::Bool(b) => JsonFormat::Bool(*b),
        Value::Number(n) => JsonFormat::Number(n.as_f64().unwrap_or_default()),
        Value::String(s) => JsonFormat::Format(s.clone()),
        Value::Array(list) => JsonFormat::List(list.iter().map(json).collect()),
        Value::Object(map) => JsonFormat::Object(map.iter().map(|(k, v)| (k.clone(), json(v))).collect()),
    }
}

/// Whether a filter wants a record. `request` is the head as far as there was one; `random` the request's own.
pub(crate) fn wanted(
    filter: &LogFilter,
    r: &RequestRecord<'_>,
    request: Option<&RequestHead>,
    random: u64,
) -> bool {
    match filter {
        LogFilter::Always => true,
        LogFilter::Status(c) => compare(*c, u64::from(r.response_code)),
        LogFilter::Duration(c) => compare(*c, r.duration.map_or(0, milliseconds)),
        // The caller passes over health checks.
        LogFilter::NotHealthCheck => true,
        LogFilter::Sampled(fraction) => fraction.hits(random),
        LogFilter::Header(header) => request.is_some_and(|head| matcher::header(header, head)),
        LogFilter::ResponseFlags(names) => has_flag(r.response_flags, names),
        LogFilter::GrpcStatus { statuses, exclude } => {
            let status = r.grpc_status.unwrap_or_else(|| crate::http::grpc_status_of(r.response_code).into());
            u32::try_from(status).is_ok_and(|status| statuses.contains(&status)) != *exclude
        }
        LogFilter::Traceable => {
            r.request_headers.header("x-request-id").is_some_and(|id| Reason::of(id) != Reason::None)
        }
        LogFilter::Expression(expression) => expression.holds(r),
        LogFilter::And(all) => all.iter().all(|f| wanted(f, r, request, random)),
        LogFilter::Or(any) => any.iter().any(|f| wanted(f, r, request, random)),
    }
}

fn compare(comparison: Comparison, value: u64) -> bool {
    let wanted = u64::from(comparison.value);
    match comparison.op {
        ComparisonOp::Equal => value == wanted,
        ComparisonOp::AtLeast => value >= wanted,
        ComparisonOp::AtMost => value <= wanted,
        ComparisonOp::NotEqual => value != wanted,
    }
}
