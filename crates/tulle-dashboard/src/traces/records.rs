//! Records of requests: which ones are asked for, and how they are told.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::broadcast;
use tulle_proto::telemetry::{Pair, Party, Record, Why};

use super::view::hex;
use super::{MAX_LIST, Source, Traces, cut};
use crate::http::Params;

/// A record with its number and who told it.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its number; they grow.
    pub seq: u64,
    source: Arc<Source>,
    record: Record,
}

impl Kept {
    pub(super) fn new(seq: u64, source: &Arc<Source>, mut record: Record) -> Self {
        let Record {
            time_us: _,
            duration_us: _,
            upstream_us: _,
            outbound: _,
            source: client,
            destination,
            service,
            method,
            path,
            authority,
            protocol,
            status: _,
            grpc_status: _,
            flags,
            details,
            route,
            cluster,
            rule,
            attempts: _,
            request_bytes: _,
            response_bytes: _,
            mtls: _,
            request_id,
            trace_id,
            why: _,
            headers,
        } = &mut record;
        for party in [client, destination].into_iter().flatten() {
            let Party { workload, namespace, principal, address } = party;
            [workload, namespace, principal, address].into_iter().for_each(cut);
        }
        for text in
            [service, method, path, authority, protocol, flags, details, route, cluster, rule, request_id]
        {
            cut(text);
        }
        // Whoever pushes may forget it; nobody sees a query here.
        path.truncate(path.find(['?', '#']).unwrap_or(path.len()));
        trace_id.truncate(16);
        headers.truncate(MAX_LIST);
        for Pair { name, value } in headers {
            cut(name);
            cut(value);
        }
        Self { seq, source: Arc::clone(source), record }
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let r = &self.record;
        let parties = [&r.source, &r.destination].into_iter().flatten();
        let parties: usize =
            parties.map(|p| p.workload.len() + p.namespace.len() + p.principal.len() + p.address.len()).sum();
        let texts = [&r.service, &r.method, &r.path, &r.authority, &r.details, &r.route, &r.cluster, &r.rule];
        let headers: usize = r.headers.iter().map(|h| 48 + h.name.len() + h.value.len()).sum();
        800 + parties + texts.iter().map(|t| t.len()).sum::<usize>() + headers
    }

    /// As `/api/requests` tells it.
    pub fn to_json(&self) -> Value {
        let Self { seq, source, record: r } = self;
        let party = |p: &Option<Party>| {
            let p = p.clone().unwrap_or_default();
            json!({"workload": p.workload, "namespace": p.namespace, "principal": p.principal, "address": p.address})
        };
        let mut destination = party(&r.destination);
        destination["service"] = json!(r.service);
        let mut headers = serde_json::Map::new();
        for Pair { name, value } in &r.headers {
            headers.entry(name.clone()).or_insert_with(|| json!(value));
        }
        json!({
            "seq": seq,
            "time": millis(r.time_us),
            "duration": millis(r.duration_us),
            "upstream_duration": (r.upstream_us > 0).then(|| millis(r.upstream_us)),
            "reporter": if r.outbound { "source" } else { "destination" },
            "pod": source.pod,
            "namespace": source.namespace,
            "source": party(&r.source),
            "destination": destination,
            "method": r.method,
            "path": r.path,
            "authority": r.authority,
            "protocol": r.protocol,
            "status": r.status,
            "grpc_status": r.grpc_status,
            "flags": if r.flags.is_empty() { "-" } else { &r.flags },
            "details": r.details,
            "route": r.route,
            "cluster": r.cluster,
            "rule": r.rule,
            "attempts": r.attempts,
            "request_bytes": r.request_bytes,
            "response_bytes": r.response_bytes,
            "mtls": r.mtls,
            "request_id": r.request_id,
            "trace_id": hex(&r.trace_id),
            "sampled": match r.why() {
                Why::Error => "error",
                Why::Slow => "slow",
                Why::Sampled => "head",
                Why::Other => "sample",
            },
            "headers": headers,
        })
    }
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds with three digits behind the point")]
fn millis(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

/// Which records are asked for: all that is set must fit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    source: Option<String>,
    destination: Option<String>,
    service: Option<String>,
    namespace: Option<String>,
    method: Option<String>,
    path: Option<String>,
    status: Option<(u32, u32)>,
    errors: bool,
    flags: Option<String>,
    min_duration: u64,
    outbound: Option<bool>,
    request_id: Option<String>,
    trace_id: Option<String>,
}

/// The names of the parameters.
pub(super) const PARAMETERS: &[&str] = &[
    "source",
    "destination",
    "service",
    "namespace",
    "method",
    "path",
    "status",
    "errors",
    "flags",
    "min_duration",
    "reporter",
    "direction",
    "request_id",
    "trace_id",
];

impl Filter {
    /// Reads the parameters of a request.
    ///
    /// # Errors
    /// Which parameter is wrong, and why.
    pub fn read(params: &Params) -> Result<Self, String> {
        let text = |name: &str| params.get(name).filter(|v| !v.is_empty()).map(str::to_owned);
        let outbound = match params.get("reporter").or_else(|| params.get("direction")) {
            None | Some("") => None,
            Some("source" | "outbound") => Some(true),
            Some("destination" | "inbound") => Some(false),
            Some(other) => return Err(format!("reporter: {other:?} is neither source nor destination")),
        };
        Ok(Self {
            source: text("source"),
            destination: text("destination"),
            service: text("service"),
            namespace: text("namespace"),
            method: text("method"),
            path: text("path"),
            status: text("status").map(|s| status(&s)).transpose()?,
            errors: super::answer::switch(params, "errors")?,
            flags: text("flags"),
            min_duration: super::answer::micros(params, "min_duration")?.unwrap_or(0),
            outbound,
            request_id: text("request_id"),
            trace_id: text("trace_id").map(|t| t.to_ascii_lowercase()),
        })
    }

    /// Whether a record fits.
    pub fn fits(&self, kept: &Kept) -> bool {
        let r = &kept.record;
        let party = |wanted: &Option<String>, party: &Option<Party>, service: &str| {
            wanted
                .as_ref()
                .is_none_or(|wanted| party.as_ref().is_some_and(|p| is(wanted, p)) || names(service, wanted))
        };
        let near = |p: &Option<Party>, ns: &str| p.as_ref().is_some_and(|p| p.namespace == ns);
        party(&self.source, &r.source, "")
            && party(&self.destination, &r.destination, &r.service)
            && self.service.as_ref().is_none_or(|s| names(&r.service, s))
            && self.namespace.as_ref().is_none_or(|ns| near(&r.source, ns) || near(&r.destination, ns))
            && self.method.as_ref().is_none_or(|m| r.method.eq_ignore_ascii_case(m))
            && self.path.as_ref().is_none_or(|p| r.path.starts_with(p.as_str()))
            && self.status.is_none_or(|(least, most)| (least..=most).contains(&r.status))
            && (!self.errors || r.why() == Why::Error)
            && self.flags.as_ref().is_none_or(|f| r.flags.split(',').any(|flag| flag == f))
            && r.duration_us >= self.min_duration
            && self.outbound.is_none_or(|o| o == r.outbound)
            && self.request_id.as_ref().is_none_or(|id| r.request_id == *id)
            && self.trace_id.as_ref().is_none_or(|id| hex(&r.trace_id) == *id)
    }
}

/// Whether a party is meant by `NAME`, `NAME.NAMESPACE` or `NAMESPACE/NAME`.
fn is(wanted: &str, party: &Party) -> bool {
    let Party { workload, namespace, .. } = party;
    let parts = wanted.split_once('/').map(|(ns, name)| (name, ns)).or_else(|| wanted.split_once('.'));
    *workload == wanted || parts.is_some_and(|(name, ns)| workload == name && namespace == ns)
}

/// Whether a host is meant by its whole name, or by the first of its labels.
fn names(host: &str, wanted: &str) -> bool {
    let host = host.split(':').next().unwrap_or(host);
    !host.is_empty()
        && (host == wanted || host.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('.')))
}

fn status(text: &str) -> Result<(u32, u32), String> {
    let wrong = || format!("status: {text:?} is neither a status such as 503 nor a class such as 5xx");
    if let Some(class) = text.strip_suffix("xx") {
        let class: u32 = class.parse().map_err(|_| wrong())?;
        return (1..=5).contains(&class).then_some((class * 100, class * 100 + 99)).ok_or_else(wrong);
    }
    let one = text.parse().map_err(|_| wrong())?;
    Ok((one, one))
}

/// Hears of records as they come.
#[derive(Debug)]
pub struct Listener {
    receiver: broadcast::Receiver<Arc<Kept>>,
    filter: Filter,
}

/// What a listener hears.
#[derive(Clone, Debug)]
pub enum Heard {
    /// A record.
    Record(Arc<Kept>),
    /// It was behind, and so many records passed it by.
    Lost(u64),
}

impl Traces {
    /// Listens from now on.
    pub fn listen(&self, filter: Filter) -> Listener {
        Listener { receiver: self.live.subscribe(), filter }
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.live.receiver_count()
    }
}

impl Listener {
    /// The next that fits; `None` when there will be none any more.
    pub async fn next(&mut self) -> Option<Heard> {
        loop {
            match self.receiver.recv().await {
                Ok(kept) if self.filter.fits(&kept) => return Some(Heard::Record(kept)),
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(count)) => return Some(Heard::Lost(count)),
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

impl Heard {
    /// As an event of a stream (SSE).
    pub fn to_event(&self) -> String {
        match self {
            Self::Record(kept) => format!("id: {}\nevent: request\ndata: {}\n\n", kept.seq, kept.to_json()),
            Self::Lost(count) => format!("event: lost\ndata: {{\"count\":{count}}}\n\n"),
        }
    }
}
