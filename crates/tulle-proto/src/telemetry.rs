//! `tulle.telemetry.v1`: what proxies tell the control plane they counted. Ours alone: a stock Envoy is scraped instead.
//!
//! A stream begins with everything and goes on with what changed, one tick after another. Things are numbered in the order in which
//! the stream first names them.

/// gRPC path of the only method: a stream of [`Push`], answered with [`PushReply`] when it ends.
pub const PUSH: &str = "/tulle.telemetry.v1.TelemetryService/Push";

/// What one proxy counted, as far as it changed since the last tick of the stream.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Push {
    /// Name of the pod; only in the first message. Its namespace is that of the certificate.
    #[prost(string, tag = "1")]
    pub pod: String,
    /// The label `app` of the pod; only in the first message.
    #[prost(string, tag = "2")]
    pub app: String,
    /// The next texts: names of metrics and labels, values of labels.
    #[prost(string, repeated, tag = "3")]
    pub texts: Vec<String>,
    /// The next sets of labels.
    #[prost(message, repeated, tag = "4")]
    pub sets: Vec<LabelSet>,
    /// The next series.
    #[prost(message, repeated, tag = "5")]
    pub series: Vec<Series>,
    /// Values that changed.
    #[prost(message, repeated, tag = "6")]
    pub changes: Vec<Change>,
    /// Series that are no more.
    #[prost(uint32, repeated, tag = "7")]
    pub ended: Vec<u32>,
    /// Whether the tick goes on in the next message.
    #[prost(bool, tag = "8")]
    pub more: bool,
    /// Spans of requests that are sampled or went wrong. They belong to no tick: a message with spans or records says `more`.
    #[prost(message, repeated, tag = "9")]
    pub spans: Vec<crate::otlp::Span>,
    /// Requests that went wrong, and some others.
    #[prost(message, repeated, tag = "10")]
    pub records: Vec<Record>,
    /// Spans that there was no room for.
    #[prost(uint64, tag = "11")]
    pub lost_spans: u64,
    /// Records that there was no room for.
    #[prost(uint64, tag = "12")]
    pub lost_records: u64,
}

impl prost::Name for Push {
    const NAME: &'static str = "Push";
    const PACKAGE: &'static str = "tulle.telemetry.v1";
}

/// A set of labels.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LabelSet {
    /// Names and values in turn, by the numbers of their texts.
    #[prost(uint32, repeated, tag = "1")]
    pub pairs: Vec<u32>,
}

/// A series.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Series {
    /// Name of the metric, by the number of its text.
    #[prost(uint32, tag = "1")]
    pub name: u32,
    /// Its labels, by the number of their set.
    #[prost(uint32, tag = "2")]
    pub set: u32,
    /// What it is.
    #[prost(enumeration = "Kind", tag = "3")]
    pub kind: i32,
    /// Upper bounds of a histogram's buckets, without infinity; empty: those of the histogram described last in the stream.
    #[prost(double, repeated, tag = "4")]
    pub bounds: Vec<f64>,
}

/// What a series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Kind {
    /// It only grows.
    Counter = 0,
    /// It goes up and down.
    Gauge = 1,
    /// Counts by size.
    Histogram = 2,
}

/// The value that a series has now.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Change {
    /// Which series.
    #[prost(uint32, tag = "1")]
    pub series: u32,
    /// The number; of a histogram the sum of all values.
    #[prost(double, tag = "2")]
    pub number: f64,
    /// How many values of a histogram fell into each bucket, infinity's last.
    #[prost(uint64, repeated, tag = "3")]
    pub counts: Vec<u64>,
}

/// One end of a request.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Party {
    /// Workload.
    #[prost(string, tag = "1")]
    pub workload: String,
    /// Namespace.
    #[prost(string, tag = "2")]
    pub namespace: String,
    /// SPIFFE URI.
    #[prost(string, tag = "3")]
    pub principal: String,
    /// Address, with its port.
    #[prost(string, tag = "4")]
    pub address: String,
}

/// A name and a value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Pair {
    /// The name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The value; `(redacted)` where it may say something about a person.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// Why a request is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Why {
    /// It failed or was refused.
    Error = 0,
    /// It was slow.
    Slow = 1,
    /// Its trace is sampled.
    Sampled = 2,
    /// By chance.
    Other = 3,
}

/// A request that has ended, as one of the two proxies on its way saw it. Neither bodies nor queries.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Record {
    /// Begin, in microseconds since 1970.
    #[prost(uint64, tag = "1")]
    pub time_us: u64,
    /// How long it took.
    #[prost(uint64, tag = "2")]
    pub duration_us: u64,
    /// When the endpoint answered, after the begin; 0 if it did not.
    #[prost(uint64, tag = "3")]
    pub upstream_us: u64,
    /// Whether the proxy is the client's.
    #[prost(bool, tag = "4")]
    pub outbound: bool,
    /// Who asked.
    #[prost(message, optional, tag = "5")]
    pub source: Option<Party>,
    /// Who answered.
    #[prost(message, optional, tag = "6")]
    pub destination: Option<Party>,
    /// Host of the service.
    #[prost(string, tag = "7")]
    pub service: String,
    /// Method.
    #[prost(string, tag = "8")]
    pub method: String,
    /// Path, without query.
    #[prost(string, tag = "9")]
    pub path: String,
    /// Host that the client asked for.
    #[prost(string, tag = "10")]
    pub authority: String,
    /// `HTTP/1.1`, `HTTP/2`.
    #[prost(string, tag = "11")]
    pub protocol: String,
    /// Status; 0 for none.
    #[prost(uint32, tag = "12")]
    pub status: u32,
    /// gRPC status.
    #[prost(int32, optional, tag = "13")]
    pub grpc_status: Option<i32>,
    /// Response flags, with commas.
    #[prost(string, tag = "14")]
    pub flags: String,
    /// Why that status.
    #[prost(string, tag = "15")]
    pub details: String,
    /// Route.
    #[prost(string, tag = "16")]
    pub route: String,
    /// Cluster.
    #[prost(string, tag = "17")]
    pub cluster: String,
    /// The resource and rule that made the route.
    #[prost(string, tag = "18")]
    pub rule: String,
    /// Attempts.
    #[prost(uint32, tag = "19")]
    pub attempts: u32,
    /// Bytes of the request's body.
    #[prost(uint64, tag = "20")]
    pub request_bytes: u64,
    /// Bytes of the response's body.
    #[prost(uint64, tag = "21")]
    pub response_bytes: u64,
    /// Whether both sides showed certificates.
    #[prost(bool, tag = "22")]
    pub mtls: bool,
    /// `x-request-id`.
    #[prost(string, tag = "23")]
    pub request_id: String,
    /// The trace; 16 bytes or none.
    #[prost(bytes = "vec", tag = "24")]
    pub trace_id: Vec<u8>,
    /// Why it is recorded.
    #[prost(enumeration = "Why", tag = "25")]
    pub why: i32,
    /// Request headers.
    #[prost(message, repeated, tag = "26")]
    pub headers: Vec<Pair>,
}

/// Says nothing.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct PushReply {}
