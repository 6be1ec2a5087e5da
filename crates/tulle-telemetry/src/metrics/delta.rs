//! What changed between two snapshots, with labels said once: what a proxy tells the control plane every few seconds.

use hashbrown::HashMap;

use crate::metrics::gauge_set::{Extra, ExtraKind};
use crate::metrics::histogram::{BOUNDS, Histogram};
use crate::metrics::labels::PeerLabels;
use crate::metrics::prometheus::{AUTHORIZATION, Exposure, policy_labels, sanitize};
use crate::metrics::proxy::{ClusterStats, PolicyStats, StatBlock, StatKind};
use crate::metrics::snapshot::{SeriesLabels, Snapshot};

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
    series: HashMap<(u32, &'static str), Known>,
    others: HashMap<String, (u32, f64)>,
    count: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Family {
    Requests,
    Messages,
    Tcp,
}

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
        for (labels, values) in &snapshot.requests {
            let Some(set) = self.traffic_set(labels, Family::Requests, limit, &mut delta) else { continue };
            self.counter("istio_requests_total", set, values.count, &mut delta);
            let histograms = [
                ("istio_request_duration_milliseconds", &values.duration_ms),
                ("istio_request_bytes", &values.request_bytes),
                ("istio_response_bytes", &values.response_bytes),
            ];
            for (name, histogram) in histograms {
                self.histogram(name, set, histogram, &mut delta);
            }
        }
        for (labels, values) in &snapshot.messages {
            let Some(set) = self.traffic_set(labels, Family::Messages, limit, &mut delta) else { continue };
            self.counter("istio_request_messages_total", set, values.requests, &mut delta);
            self.counter("istio_response_messages_total", set, values.responses, &mut delta);
        }
        for (labels, values) in &snapshot.tcp {
            let Some(set) = self.traffic_set(labels, Family::Tcp, limit, &mut delta) else { continue };
            self.counter("istio_tcp_connections_opened_total", set, values.opened, &mut delta);
            self.counter("istio_tcp_connections_closed_total", set, values.closed, &mut delta);
            self.counter("istio_tcp_sent_bytes_total", set, values.sent, &mut delta);
            self.counter("istio_tcp_received_bytes_total", set, values.received, &mut delta);
        }
        self.clusters(snapshot, limit, &mut delta);
        self.policies(snapshot, limit, &mut delta);
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

    fn counter(&mut self, name: &'static str, set: u32, value: u64, delta: &mut Delta) {
        let (number, new) = self.known(name, set, SeriesKind::Counter, value, delta);
        if new {
            #[allow(clippy::cast_precision_loss, reason = "Prometheus' numbers are floats")]
            delta.changes.push(Told { series: number, number: value as f64, counts: Vec::new() });
        }
    }

    fn histogram(&mut self, name: &'static str, set: u32, value: &Histogram, delta: &mut Delta) {
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
        if self.count >= limit {
            return None;
        }
        let (code, flags) = (labels.response_code.to_string(), labels.flags().to_string());
        let grpc = labels.grpc_status.map_or(String::new(), |s| s.to_string());
        let mut all: Vec<(&str, &str)> = vec![
            ("reporter", labels.reporter.as_str()),
            ("destination_service", &labels.service.host),
            ("destination_service_name", &labels.service.name),
            ("destination_service_namespace", &labels.service.namespace),
        ];
        all.extend(peer(&labels.source, SOURCE));
        all.extend(peer(&labels.destination, DESTINATION));
        if family != Family::Messages {
            all.push(("request_protocol", labels.protocol.as_str()));
            all.push(("response_flags", &flags));
            all.push(("connection_security_policy", labels.security.as_str()));
        }
        if family == Family::Requests {
            all.push(("response_code", &code));
            all.push(("grpc_response_status", &grpc));
        }
        all.retain(|(_, value)| !value.is_empty());
        let set = self.set(&all, delta);
        self.traffic.insert((labels.clone(), family), set);
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

/// Names of the labels of one side, in the order of [`peer`].
type SideNames = [&'static str; 8];

const SOURCE: SideNames = [
    "source_workload",
    "source_workload_namespace",
    "source_principal",
    "source_app",
    "source_version",
    "source_canonical_service",
    "source_canonical_revision",
    "source_cluster",
];

const DESTINATION: SideNames = [
    "destination_workload",
    "destination_workload_namespace",
    "destination_principal",
    "destination_app",
    "destination_version",
    "destination_canonical_service",
    "destination_canonical_revision",
    "destination_cluster",
];

fn peer(labels: &PeerLabels, names: SideNames) -> impl Iterator<Item = (&'static str, &str)> {
    let PeerLabels {
        workload,
        namespace,
        principal,
        app,
        version,
        canonical_service,
        canonical_revision,
        cluster,
    } = labels;
    let values =
        [workload, namespace, principal, app, version, canonical_service, canonical_revision, cluster];
    names.into_iter().zip(values.map(|v| &**v))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::flags::ResponseFlags;
    use crate::metrics::{
        PeerId, Protocol, Reporter, RequestKey, RequestSample, SecurityPolicy, ServiceId, Store, TrafficKey,
    };

    #[test]
    fn everything_is_told_once_and_then_what_changed() {
        let mut store = Store::new(10);
        let traffic = TrafficKey {
            reporter: Reporter::Source,
            source: PeerId::default(),
            destination: PeerId::default(),
            service: ServiceId::default(),
        };
        let mut key = RequestKey {
            traffic,
            protocol: Protocol::Http,
            response_code: 200,
            grpc_status: None,
            flags: ResponseFlags::NONE,
            security: SecurityPolicy::MutualTls,
        };
        let sample =
            RequestSample { duration: Some(Duration::from_millis(7)), request_bytes: 10, response_bytes: 20 };
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
