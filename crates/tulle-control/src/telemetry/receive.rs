//! `tulle.telemetry.v1.TelemetryService`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tonic::body::Body;
use tonic::{Request, Response, Status, Streaming};
use tulle_ca::PeerCertificate;
use tulle_dashboard::store::{Buckets, Description, Kind, Refusal, SeriesRef, SourceRef, Store, Tick, Value};
use tulle_dashboard::traces::{Source, Traces};
use tulle_proto::telemetry::{self, PUSH, Push, PushReply};

use super::Clock;

/// Largest message that is read.
const MAX_MESSAGE: usize = 4 << 20;
/// How long a stream may be silent.
const SILENCE: Duration = Duration::from_secs(60);
/// How often proxies tell, in milliseconds, and how far a tick may be off to be taken for punctual.
const EVERY: i64 = 5_000;
const PUNCTUAL: i64 = 100;
/// What one stream may have numbered: texts, sets, series.
const MAX_NUMBERED: usize = 200_000;
/// Bytes of its texts.
const MAX_TEXT: usize = 32 << 20;

/// The service. Cheap to clone.
#[derive(Clone)]
pub(crate) struct TelemetryService {
    store: Arc<Store>,
    clock: Arc<Clock>,
    traces: Arc<Traces>,
}

impl TelemetryService {
    pub(crate) fn new(store: Arc<Store>, clock: Arc<Clock>, traces: Arc<Traces>) -> Self {
        Self { store, clock, traces }
    }

    /// Answers a request to the only method.
    pub(crate) async fn call(&self, request: http::Request<Body>) -> http::Response<Body> {
        if request.uri().path() != PUSH {
            return Status::unimplemented("no such method").into_http();
        }
        let codec: tonic_prost::ProstCodec<PushReply, Push> = tonic_prost::ProstCodec::default();
        let mut grpc = tonic::server::Grpc::new(codec).max_decoding_message_size(MAX_MESSAGE);
        grpc.client_streaming(Method(self.clone()), request).await
    }
}

struct Method(TelemetryService);

type Answer = Pin<Box<dyn Future<Output = Result<Response<PushReply>, Status>> + Send>>;

impl tonic::server::ClientStreamingService<Push> for Method {
    type Response = PushReply;
    type Future = Answer;

    fn call(&mut self, request: Request<Streaming<Push>>) -> Self::Future {
        let service = self.0.clone();
        Box::pin(async move { receive(service, request).await })
    }
}

async fn receive(
    service: TelemetryService,
    request: Request<Streaming<Push>>,
) -> Result<Response<PushReply>, Status> {
    let namespace = request
        .extensions()
        .get::<PeerCertificate>()
        .and_then(|peer| peer.0.spiffe.as_ref())
        .map(|id| id.namespace.to_string())
        .ok_or_else(|| Status::unauthenticated("telemetry is taken from workloads with a certificate"))?;
    let mut messages = request.into_inner();
    let Some(first) = next(&mut messages).await? else { return Ok(Response::new(PushReply {})) };
    if first.pod.is_empty() || first.pod.len() > 253 {
        return Err(Status::invalid_argument("the first message must name the pod"));
    }
    let mut stream = Stream::new(&service, &namespace, &first);
    let mut message = Some(first);
    while let Some(push) = message {
        stream.take(push)?;
        message = next(&mut messages).await?;
    }
    Ok(Response::new(PushReply {}))
}

async fn next(messages: &mut Streaming<Push>) -> Result<Option<Push>, Status> {
    tokio::time::timeout(SILENCE, messages.message())
        .await
        .unwrap_or_else(|_| Err(Status::deadline_exceeded("silent for too long")))
}

/// What one stream has said so far.
struct Stream {
    store: Arc<Store>,
    clock: Arc<Clock>,
    traces: Arc<Traces>,
    /// Who tells spans and records.
    teller: Arc<Source>,
    source: SourceRef,
    /// Labels of every series.
    own: [(&'static str, String); 5],
    texts: Vec<String>,
    text_bytes: usize,
    sets: Vec<Vec<u32>>,
    series: Vec<Option<SeriesRef>>,
    bounds: Vec<f64>,
    /// Values of the tick that is under way.
    pending: Vec<(SeriesRef, Value)>,
    ended: Vec<SeriesRef>,
    last: i64,
}

impl Stream {
    fn new(service: &TelemetryService, namespace: &str, first: &Push) -> Self {
        let TelemetryService { store, clock, traces } = service.clone();
        let app = if first.app.is_empty() { first.pod.as_str() } else { first.app.as_str() };
        let teller = Arc::new(Source {
            pod: first.pod.clone(),
            namespace: namespace.to_owned(),
            service: format!("{app}.{namespace}"),
        });
        let name = format!("{}.{namespace}", first.pod);
        let source = store.source(&name);
        let own = [
            ("namespace", namespace.to_owned()),
            ("pod", first.pod.clone()),
            ("instance", first.pod.clone()),
            ("app", first.app.clone()),
            ("job", "tulle-proxies".to_owned()),
        ];
        let mut stream = Self {
            store,
            clock,
            traces,
            teller,
            source,
            own,
            texts: Vec::new(),
            text_bytes: 0,
            sets: Vec::new(),
            series: Vec::new(),
            bounds: Vec::new(),
            pending: Vec::new(),
            ended: Vec::new(),
            last: 0,
        };
        if let Some(up) = stream.define("up", Kind::Gauge, &[], &[]) {
            stream.pending.push((up, Value::Number(1.0)));
        }
        stream
    }

    /// Takes a message, and with the last of a tick the tick.
    fn take(&mut self, push: Push) -> Result<(), Status> {
        let Push {
            pod: _,
            app: _,
            texts,
            sets,
            series,
            changes,
            ended,
            more,
            spans,
            records,
            lost_spans,
            lost_records,
        } = push;
        self.traces.spans(&self.teller, spans);
        self.traces.records(&self.teller, records);
        self.traces.lost(lost_spans, lost_records);
        let numbered = self.texts.len() + texts.len() + self.sets.len() + sets.len() + self.series.len();
        self.text_bytes += texts.iter().map(String::len).sum::<usize>();
        if numbered + series.len() > MAX_NUMBERED || self.text_bytes > MAX_TEXT {
            return Err(Status::resource_exhausted("more series than one proxy may have"));
        }
        self.texts.extend(texts.iter().cloned());
        self.sets.extend(sets.iter().map(|s| s.pairs.clone()));
        for described in &series {
            let known = self.describe(described)?;
            self.series.push(known);
        }
        for change in &changes {
            let known = self.series.get(change.series as usize).ok_or_else(unknown)?;
            // What the store refused is not missed: it counts refusals.
            let Some(series) = *known else { continue };
            let value = if change.counts.is_empty() {
                Value::Number(change.number)
            } else {
                Value::Histogram(Buckets { counts: change.counts.clone().into(), sum: change.number })
            };
            self.pending.push((series, value));
        }
        for series in &ended {
            self.ended.extend(self.series.get(*series as usize).copied().ok_or_else(unknown)?);
        }
        if self.pending.len() > MAX_NUMBERED {
            return Err(Status::resource_exhausted("a tick of more values than one proxy may have series"));
        }
        if more { Ok(()) } else { self.tick() }
    }

    fn describe(&mut self, described: &telemetry::Series) -> Result<Option<SeriesRef>, Status> {
        let telemetry::Series { name, set, kind: _, bounds } = described;
        let kind = match described.kind() {
            telemetry::Kind::Counter => Kind::Counter,
            telemetry::Kind::Gauge => Kind::Gauge,
            telemetry::Kind::Histogram => Kind::Histogram,
        };
        if !bounds.is_empty() {
            self.bounds.clone_from(bounds);
        }
        let name = self.texts.get(*name as usize).ok_or_else(unknown)?.clone();
        let pairs = self.sets.get(*set as usize).ok_or_else(unknown)?.clone();
        let text = |id: &u32| self.texts.get(*id as usize).cloned().ok_or_else(unknown);
        let mut labels = Vec::with_capacity(pairs.len() / 2);
        for pair in pairs.chunks_exact(2) {
            labels.push((text(&pair[0])?, text(&pair[1])?));
        }
        let labels: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let bounds = if kind == Kind::Histogram { self.bounds.clone() } else { Vec::new() };
        Ok(self.define(&name, kind, &labels, &bounds))
    }

    /// The series with our labels; theirs of the same name are left out.
    fn define(&self, name: &str, kind: Kind, labels: &[(&str, &str)], bounds: &[f64]) -> Option<SeriesRef> {
        let own = self.own.iter().map(|(n, v)| (*n, v.as_str()));
        let theirs = labels.iter().filter(|(n, _)| self.own.iter().all(|(own, _)| own != n)).copied();
        let labels: Vec<(&str, &str)> = own.chain(theirs).collect();
        let described = Description { name, kind, labels: &labels, bounds };
        let defined = self.store.define(self.source, &described);
        defined.inspect_err(|error| tracing::debug!(name, %error, "series not taken")).ok()
    }

    fn tick(&mut self) -> Result<(), Status> {
        let now = self.clock.now();
        // A tick that is punctual has the time that it should have: what does not change then costs nothing to keep.
        let due = self.last + EVERY;
        let time = if (now - due).abs() <= PUNCTUAL { due } else { now };
        self.last = time;
        let changed = std::mem::take(&mut self.pending);
        let outcome = self.store.tick(self.source, &Tick { time, changed: &changed });
        self.store.end(self.source, time + 1, &std::mem::take(&mut self.ended));
        match outcome {
            // Another stream of this proxy was here a moment ago; the next tick comes.
            Ok(()) | Err(Refusal::Late) => Ok(()),
            Err(refusal) => Err(Status::aborted(refusal.to_string())),
        }
    }
}

fn unknown() -> Status {
    Status::invalid_argument("a number that nothing was given")
}

#[cfg(test)]
mod tests {
    use tulle_dashboard::query::{Outcome, QueryLimits, instant};
    use tulle_dashboard::store::Limits;
    use tulle_proto::telemetry::{Change, LabelSet, Series};

    use super::*;

    fn begin() -> (TelemetryService, Stream) {
        let service = TelemetryService::new(
            Arc::new(Store::new(Limits::default())),
            Arc::new(Clock::new()),
            Arc::default(),
        );
        let hello = Push { pod: "cart-1".to_owned(), app: "cart".to_owned(), ..Push::default() };
        let stream = Stream::new(&service, "shop", &hello);
        (service, stream)
    }

    fn first() -> Push {
        let text = |t: &str| t.to_owned();
        Push {
            texts: ["requests", "reporter", "source", "namespace", "other", "duration"].map(text).to_vec(),
            // A namespace that it says itself does not count.
            sets: vec![LabelSet { pairs: vec![1, 2, 3, 4] }],
            series: vec![
                Series { name: 0, set: 0, kind: telemetry::Kind::Counter.into(), bounds: vec![] },
                Series { name: 5, set: 0, kind: telemetry::Kind::Histogram.into(), bounds: vec![1.0, 5.0] },
            ],
            changes: vec![
                Change { series: 0, number: 7.0, counts: vec![] },
                Change { series: 1, number: 9.0, counts: vec![1, 2, 0] },
            ],
            ..Push::default()
        }
    }

    fn value(service: &TelemetryService, query: &str) -> Option<f64> {
        let found = instant(&service.store, query, service.clock.now() + 1_000, &QueryLimits::default());
        match found {
            Ok(Outcome::Vector(_, all)) => all.first().map(|(_, value)| *value),
            _ => None,
        }
    }

    #[test]
    fn a_tick_is_in_the_store_with_the_labels_of_its_pod() {
        let (service, mut stream) = begin();
        let mut part = first();
        part.more = true;
        assert!(stream.take(part.clone()).is_ok());
        let query = r#"requests{namespace="shop",pod="cart-1",app="cart",reporter="source"}"#;
        assert_eq!(value(&service, query), None, "the tick goes on");
        assert!(stream.take(Push::default()).is_ok());
        assert_eq!(value(&service, query), Some(7.0));
        assert_eq!(value(&service, r#"duration_bucket{le="5"}"#), Some(3.0));
        assert_eq!(value(&service, r#"up{pod="cart-1"}"#), Some(1.0));
    }

    #[test]
    fn what_makes_no_sense_ends_the_stream() {
        for spoil in [
            (|p| p.changes[0].series = 99) as fn(&mut Push),
            |p| p.series[0].name = 99,
            |p| p.series[0].set = 99,
            |p| p.sets[0].pairs = vec![99, 99],
            |p| p.ended = vec![99],
            |p| p.texts = vec!["x".repeat(MAX_TEXT + 1)],
        ] {
            let (_, mut stream) = begin();
            let mut push = first();
            spoil(&mut push);
            assert!(stream.take(push).is_err());
        }
        // These are refused by the store, which counts them, and the stream goes on.
        for spoil in [
            (|p| p.series[1].bounds = vec![f64::NAN]) as fn(&mut Push),
            |p| p.changes[1].counts = vec![1; 40],
            |p| p.changes[0].counts = vec![1],
            |p| p.sets[0].pairs = vec![1, 2, 1],
            |p| p.texts[0] = String::new(),
        ] {
            let (_, mut stream) = begin();
            let mut push = first();
            spoil(&mut push);
            assert!(stream.take(push).is_ok());
        }
    }
}
