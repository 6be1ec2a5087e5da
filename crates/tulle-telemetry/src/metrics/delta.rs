//! What changed between two snapshots, with labels said once: what a proxy tells the control plane every few seconds.

use hashbrown::HashMap;

use crate::metrics::gauge_set::{Extra, ExtraKind};
use crate::metrics::histogram::{BOUNDS, Histogram};
use crate::metrics::pairs::{Family, Pairs, any_tagged, grouped, pairs};
use crate::metrics::prometheus::{AUTHORIZATION, Exposure, policy_labels, sanitize};
use crate::metrics::proxy::{ClusterStats, PolicyStats, StatBlock, StatKind};
use crate::metrics::rules::Metric;
use crate::metrics::snapshot::{SeriesLabels, Snapshot, Sum};
use crate::metrics::store::{MessageSeries, RequestSeries, TcpSeries};

/// What of a cluster is told, once the cluster was used: retries, timeouts, breakers, ejections, connections. All of it for all
/// clusters would be more than everything else.
const CLUSTER_STATS: &[&str] = &[
    "upstream_cx_total",
    "upstream_cx_active",
    "upstream_cx_connect_fail",
    "upstream_cx_overflow",
    "upstream_rq_total",
    "upstream_rq_active",
    "upstream_rq_pending_active",
    "upstream_rq_pending_overflow",
    "upstream_rq_timeout",
    "upstream_rq_per_try_timeout",
    "upstream_rq_retry",
    "upstream_rq_retry_success",
    "upstream_rq_retry_overflow",
    "upstream_rq_retry_limit_exceeded",
    "circuit_breakers.default.cx_open",
    "circuit_breakers.default.rq_pending_open",
    "circuit_breakers.default.rq_open",
    "circuit_breakers.default.rq_retry_open",
    "outlier_detection.ejections_active",
    "outlier_detection.ejections_enforced_total",
    "membership_total",
    "membership_healthy",
];

/// What says that a cluster was used.
const CLUSTER_USED: &[&str] =
    &["upstream_cx_total", "upstream_rq_pending_overflow", "upstream_cx_none_healthy"];

/// What a series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeriesKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Counts by size, with the bounds of [`BOUNDS`].
    Histogram,
}

/// A series that was not told of before; it gets the next number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Described {
    /// Name of the metric, by the number of its text.
    pub name: u32,
    /// Labels, by the number of their set.
    pub set: u32,
    /// What it is.
    pub kind: SeriesKind,
}

/// The value of a series now.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Which series.
    pub series: u32,
    /// The number; of a histogram the sum.
    pub number: f64,
    /// Counts of a histogram's buckets, infinity's last; empty for others.
    pub counts: Vec<u64>,
}

/// What changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delta {
    /// The next texts.
    pub texts: Vec<String>,
    /// The next sets of labels: names and values in turn, by the numbers of their texts.
    pub sets: Vec<Vec<u32>>,
    /// The next series.
    pub series: Vec<Described>,
    /// Values that changed.
    pub changes: Vec<Told>,
}

/// Remembers what one listener was told.
#[derive(Debug, Default)]
pub struct Feed {
    texts: HashMap<String, u32>,
    sets: u32,
    /// Sets of Istio's labels: those that all families share, those of requests, those of TCP.
    traffic: HashMap<(SeriesLabels, Family), u32>,
    known_sets: HashMap<String, u32>,
    series: HashMap<(u32, &'static str), Known>,
    others: HashMap<String, (u32, f64)>,
    count: u32,
}

/// A value of a series.
enum Number<'a> {
    Count(u64),
    Sizes(&'a Histogram),
}

/// Reads the value of one metric of a family.
type Read<V> = for<'a> fn(&'a V) -> Number<'a>;

const REQUESTS: &[(Metric, Read<RequestSeries>)] = &[
    (Metric::Requests, |s| Number::Count(s.count)),
    (Metric::RequestDuration, |s| Number::Sizes(&s.duration_ms)),
    (Metric::RequestBytes, |s| Number::Sizes(&s.request_bytes)),
    (Metric::ResponseBytes, |s| Number::Sizes(&s.response_bytes)),
];

const MESSAGES: &[(Metric, Read<MessageSeries>)] = &[
    (Metric::RequestMessages, |s| Number::Count(s.requests)),
    (Metric::ResponseMessages, |s| Number::Count(s.responses)),
];

const TCP: &[(Metric, Read<TcpSeries>)] = &[
    (Metric::TcpOpened, |s| Number::Count(s.opened)),
    (Metric::TcpClosed, |s| Number::Count(s.closed)),
    (Metric::TcpSent, |s| Number::Count(s.sent)),
    (Metric::TcpReceived, |s| Number::Count(s.received)),
];

#[derive(Debug)]
struct Known {
    number: u32,
    /// What says whether it changed: the value of a counter, the count of a histogram.
    seen: u64,
}

impl Feed {
    /// What is new in `snapshot` since the last call. At most `limit` series are ever told of.
    pub fn delta(&mut self, snapshot: &Snapshot, limit: u32) -> Delta {
        let mut delta = Delta::default();
        self.family(&snapshot.requests, Family::Requests, REQUESTS, limit, &mut delta);
        self.family(&snapshot.messages, Family::Messages, MESSAGES, limit, &mut delta);
        self.family(&snapshot.tcp, Family::Tcp, TCP, limit, &mut delta);
        self.clusters(snapshot, limit, &mut delta);
        self.policies(snapshot, limit, &mut delta);
        self.routes(snapshot, limit, &mut delta);
        for extra in &snapshot.extras {
            let shown = extra.envoy_name.as_deref().is_none_or(|name| Exposure::IstioDefault.shows(name));
            if shown {
                self.extra(extra, limit, &mut delta);
            }
        }
        if snapshot.overflow > 0 {
            #[allow(clippy::cast_precision_loss, reason = "a count of losses")]
            let lost =
                Extra::metric("tulle_metrics_overflow_total", ExtraKind::Counter, snapshot.overflow as f64);
            self.extra(&lost, limit, &mut delta);
        }
        delta
    }

    fn clusters(&mut self, snapshot: &Snapshot, limit: u32, delta: &mut Delta) {
        let index = |name: &&str| ClusterStats::STATS.iter().position(|info| info.name == *name);
        let used: Vec<usize> = CLUSTER_USED.iter().filter_map(index).collect();
        let told: Vec<usize> = CLUSTER_STATS.iter().filter_map(index).collect();
        for (cluster, values) in &snapshot.clusters.0 {
            if used.iter().all(|i| values[*i] == 0) {
                continue;
            }
            for i in &told {
                let info = &ClusterStats::STATS[*i];
                let kind = match info.kind {
                    StatKind::Counter => ExtraKind::Counter,
                    StatKind::Gauge | StatKind::Level => ExtraKind::Gauge,
                };
                #[allow(clippy::cast_precision_loss, reason = "counts")]
                let value = values[*i] as f64;
                let name = format!("envoy_cluster_{}", sanitize(info.name));
                let extra = Extra::metric(name, kind, value).with("cluster_name", &**cluster);
                self.extra(&extra, limit, delta);
            }
        }
    }

    /// What rules of authorization policies decided, of those that did.
    fn policies(&mut self, snapshot: &Snapshot, limit: u32, delta: &mut Delta) {
        for (name, values) in &snapshot.policies.0 {
            for (info, value) in PolicyStats::STATS.iter().zip(values).filter(|(_, value)| **value > 0) {
                #[allow(clippy::cast_precision_loss, reason = "counts")]
                let mut extra = Extra::metric(AUTHORIZATION, ExtraKind::Counter, *value as f64);
                for (key, value) in policy_labels(name).into_iter().filter(|(_, value)| !value.is_empty()) {
                    extra = extra.with(key, value);
                }
                self.extra(&extra.with("result", info.name), limit, delta);
            }
        }
    }

    /// All metrics of a family. Where overrides change labels, each metric has sets of its own.
    fn family<V: Sum>(
        &mut self,
        series: &HashMap<SeriesLabels, V>,
        family: Family,
        metrics: &[(Metric, Read<V>)],
        limit: u32,
        delta: &mut Delta,
    ) {
        if any_tagged(series) {
            for (metric, read) in metrics {
                for (pairs, values) in grouped(series, family, *metric) {
                    let Some(set) = self.changed_set(&pairs, limit, delta) else { continue };
                    self.value(metric.name(), set, read(&values), delta);
                }
            }
            return;
        }
        for (labels, values) in series {
            let Some(set) = self.traffic_set(labels, family, limit, delta) else { continue };
            for (metric, read) in metrics {
                self.value(metric.name(), set, read(values), delta);
            }
        }
    }

    fn value(&mut self, name: &'static str, set: u32, value: Number<'_>, delta: &mut Delta) {
        match value {
            Number::Count(count) => self.counter(name, set, count, delta),
            Number::Sizes(histogram) => self.histogram(name, set, histogram, delta),
        }
    }

    pub(super) fn counter(&mut self, name: &'static str, set: u32, value: u64, delta: &mut Delta) {
        let (number, new) = self.known(name, set, SeriesKind::Counter, value, delta);
        if new {
            #[allow(clippy::cast_precision_loss, reason = "Prometheus' numbers are floats")]
            delta.changes.push(Told { series: number, number: value as f64, counts: Vec::new() });
        }
    }

    pub(super) fn histogram(&mut self, name: &'static str, set: u32, value: &Histogram, delta: &mut Delta) {
        let (number, new) = self.known(name, set, SeriesKind::Histogram, value.count(), delta);
        if new {
            let mut before = 0;
            let mut counts: Vec<u64> = Vec::with_capacity(BOUNDS.len() + 1);
            for (_, total) in value.cumulative() {
                counts.push(total - before);
                before = total;
            }
            counts.push(value.count() - before);
            #[allow(clippy::cast_precision_loss, reason = "Prometheus' numbers are floats")]
            delta.changes.push(Told { series: number, number: value.sum() as f64, counts });
        }
    }

    /// The number of a series, and whether its value is another than the last that was told.
    fn known(
        &mut self,
        name: &'static str,
        set: u32,
        kind: SeriesKind,
        seen: u64,
        delta: &mut Delta,
    ) -> (u32, bool) {
        if let Some(known) = self.series.get_mut(&(set, name)) {
            let new = known.seen != seen;
            known.seen = seen;
            return (known.number, new);
        }
        let number = self.describe(name, set, kind, delta);
        self.series.insert((set, name), Known { number, seen });
        (number, true)
    }

    fn describe(&mut self, name: &str, set: u32, kind: SeriesKind, delta: &mut Delta) -> u32 {
        let name = self.text(name, delta);
        delta.series.push(Described { name, set, kind });
        self.count += 1;
        self.count - 1
    }

    fn extra(&mut self, extra: &Extra, limit: u32, delta: &mut Delta) {
        let mut key = extra.name.clone();
        for (name, value) in &extra.labels {
            key.push('\0');
            key.push_str(name);
            key.push('\0');
            key.push_str(value);
        }
        let number = match self.others.get_mut(&key) {
            Some((_, last)) if last.to_bits() == extra.value.to_bits() => return,
            Some((number, last)) => {
                *last = extra.value;
                *number
            }
            None if self.count >= limit => return,
            None => {
                let labels: Vec<(&str, &str)> = extra.labels.iter().map(|(n, v)| (*n, v.as_str())).collect();
                let set = self.set(&labels, delta);
                let kind = match extra.kind {
                    ExtraKind::Counter => SeriesKind::Counter,
                    ExtraKind::Gauge => SeriesKind::Gauge,
                };
                let number = self.describe(&extra.name, set, kind, delta);
                self.others.insert(key, (number, extra.value));
                number
            }
        };
        delta.changes.push(Told { series: number, number: extra.value, counts: Vec::new() });
    }

    /// The set of Istio's labels, unless it is one too many.
    fn traffic_set(
        &mut self,
        labels: &SeriesLabels,
        family: Family,
        limit: u32,
        delta: &mut Delta,
    ) -> Option<u32> {
        if let Some(set) = self.traffic.get(&(labels.clone(), family)) {
            return Some(*set);
        }
        let set = self.changed_set(&pairs(labels, family), limit, delta)?;
        self.traffic.insert((labels.clone(), family), set);
        Some(set)
    }

    /// The set of these labels, unless it is one too many.
    pub(super) fn changed_set(&mut self, pairs: &Pairs<'_>, limit: u32, delta: &mut Delta) -> Option<u32> {
        let all: Vec<(&str, &str)> =
            pairs.iter().map(|(n, v)| (&**n, &**v)).filter(|(_, value)| !value.is_empty()).collect();
        let mut key = String::with_capacity(768);
        for (name, value) in &all {
            key.extend([name, "\0", value, "\0"]);
        }
        if let Some(set) = self.known_sets.get(&key) {
            return Some(*set);
        }
        if self.count >= limit {
            return None;
        }
        let set = self.set(&all, delta);
        self.known_sets.insert(key, set);
        Some(set)
    }

    fn set(&mut self, labels: &[(&str, &str)], delta: &mut Delta) -> u32 {
        let mut pairs = Vec::with_capacity(labels.len() * 2);
        for (name, value) in labels {
            pairs.push(self.text(name, delta));
            pairs.push(self.text(value, delta));
        }
        delta.sets.push(pairs);
        self.sets += 1;
        self.sets - 1
    }

    fn text(&mut self, text: &str, delta: &mut Delta) -> u32 {
        if let Some(id) = self.texts.get(text) {
            return *id;
        }
        let id = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        delta.texts.push(text.to_owned());
        self.texts.insert(text.to_owned(), id);
        id
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::flags::ResponseFlags;
    use crate::metrics::{
        PeerId, Protocol, Reporter, RequestKey, RequestSample, SecurityPolicy, ServiceId, Store, TagsId,
        TrafficKey,
    };

    #[test]
    fn everything_is_told_once_and_then_what_changed() {
        let mut store = Store::new(10);
        let traffic = TrafficKey {
            reporter: Reporter::Source,
            source: PeerId::default(),
            destination: PeerId::default(),
            service: ServiceId::default(),
            tags: TagsId::default(),
        };
        let mut key = RequestKey {
            traffic,
            protocol: Protocol::Http,
            response_code: 200,
            grpc_status: None,
            flags: ResponseFlags::NONE,
            security: SecurityPolicy::MutualTls,
        };
        let sample = RequestSample {
            duration: Some(Duration::from_millis(7)),
            request_bytes: 10,
            response_bytes: 20,
            ..RequestSample::default()
        };
        store.record_request(&key, &sample);
        let mut feed = Feed::default();
        let first = feed.delta(&store.snapshot(), 100);
        assert_eq!((first.sets.len(), first.series.len(), first.changes.len()), (1, 4, 4));
        let text = |id: u32| first.texts[id as usize].as_str();
        assert_eq!(text(first.series[0].name), "istio_requests_total");
        let labels: Vec<_> = first.sets[0].chunks(2).map(|pair| (text(pair[0]), text(pair[1]))).collect();
        assert!(labels.contains(&("reporter", "source")) && labels.contains(&("response_code", "200")));
        assert!(labels.iter().all(|(name, _)| *name != "grpc_response_status"), "empty labels are none");
        let duration = &first.changes[1];
        assert_eq!((duration.number, duration.counts.len(), duration.counts[3]), (7.0, 20, 1));

        assert_eq!(feed.delta(&store.snapshot(), 100), Delta::default());
        store.record_request(&key, &sample);
        key.response_code = 503;
        store.record_request(&key, &sample);
        let next = feed.delta(&store.snapshot(), 100);
        assert_eq!((next.sets.len(), next.series.len(), next.changes.len()), (1, 4, 8));
        assert_eq!(next.texts, ["503"]);
        let counted: Vec<f64> = next.changes.iter().filter(|c| c.series == 0).map(|c| c.number).collect();
        assert_eq!(counted, [2.0]);
    }

    #[test]
    fn decisions_of_rules_are_told() {
        let mut store = Store::new(10);
        store.proxy.policies.get("ns[shop]-policy[callers]-rule[1]").allowed.inc();
        let delta = Feed::default().delta(&store.snapshot(), 100);
        let text = |id: u32| delta.texts[id as usize].as_str();
        assert_eq!((delta.series.len(), text(delta.series[0].name)), (1, AUTHORIZATION));
        let labels: Vec<_> = delta.sets[0].chunks(2).map(|pair| (text(pair[0]), text(pair[1]))).collect();
        let all = [("policy_namespace", "shop"), ("policy", "callers"), ("rule", "1"), ("result", "allowed")];
        assert_eq!(labels, all);
    }

    #[test]
    fn a_feed_is_bounded() {
        let mut feed = Feed::default();
        let mut snapshot = Snapshot::default();
        for i in 0..50 {
            snapshot.push(Extra::metric("m", ExtraKind::Gauge, 1.0).with("i", i.to_string()));
        }
        assert_eq!(feed.delta(&snapshot, 20).series.len(), 20);
        assert_eq!(feed.delta(&snapshot, 20), Delta::default());
    }
}
