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

/// Says nothing.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct PushReply {}
