//! What came of the requests that each rule of a resource (VirtualService, HTTPRoute, GRPCRoute) sent on.
//!
//! Told to the control plane alone: Istio's metrics have no label for it. Whoever routes counts, so each request counts once.

use std::borrow::Cow;
use std::sync::Arc;

use hashbrown::HashMap;
use tulle_base::resource::Provenance;

use super::delta::{Delta, Feed};
use super::histogram::Histogram;
use super::labels::Protocol;
use super::pairs::Pairs;
use super::snapshot::{Snapshot, Sum};
use super::store::{RequestKey, RequestSample, Store};

/// Rules that a worker counts at most; requests of further ones are counted as overflow and otherwise lost. Those that nobody uses any
/// more go as all idle series do ([`super::idle`]).
const MOST: usize = 512;
/// Requests by rule, protocol and result.
const REQUESTS: &str = "tulle_route_requests_total";
/// How long they took.
const DURATION: &str = "tulle_route_duration_milliseconds";
/// What became of a request, and its protocol, in the order of [`RouteSeries::counts`].
const COUNTED: [(&str, &str); 6] = [
    ("http", "ok"),
    ("http", "refused"),
    ("http", "failed"),
    ("grpc", "ok"),
    ("grpc", "refused"),
    ("grpc", "failed"),
];

/// Numbers of one rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RouteSeries {
    counts: [u64; COUNTED.len()],
    duration_ms: Histogram,
    /// When it was last added to, in seconds since the proxy started.
    pub(super) touched: u32,
}

/// The series of all rules.
pub(crate) type Routes = HashMap<Arc<Provenance>, RouteSeries, foldhash::fast::RandomState>;

/// Failed: no answer, a status from 500 on, a gRPC status other than 0. Refused: another status from 400 on.
fn counted(key: &RequestKey) -> usize {
    let result = match (key.response_code, key.grpc_status) {
        (0 | 500.., _) => 2,
        (_, Some(status)) if status != 0 => 2,
        (400..500, _) => 1,
        _ => 0,
    };
    if key.protocol == Protocol::Grpc { 3 + result } else { result }
}

impl Store {
    /// Counts a request that the rule `made_by` sent on. What no rule did is not counted.
    pub fn record_route(&mut self, made_by: &Arc<Provenance>, key: &RequestKey, sample: &RequestSample) {
        if made_by.rule.is_empty() {
            return;
        }
        let full = self.routes.len() >= MOST;
        let series = match self.routes.get_mut(made_by) {
            Some(series) => series,
            None if full => {
                self.overflow += 1;
                return;
            }
            None => self.routes.entry(Arc::clone(made_by)).or_default(),
        };
        series.counts[counted(key)] += 1;
        series.touched = sample.now;
        if let Some(duration) = sample.duration {
            series.duration_ms.observe(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
        }
    }
}

impl Sum for RouteSeries {
    fn add(&mut self, other: &Self) {
        let Self { counts, duration_ms, touched } = other;
        self.touched = self.touched.max(*touched);
        self.counts.iter_mut().zip(counts).for_each(|(mine, theirs)| *mine += theirs);
        self.duration_ms.merge(duration_ms);
    }
}

impl Feed {
    /// What is new of rules. `known` sets of labels are those of the rule alone, and with each of [`COUNTED`].
    pub(super) fn routes(&mut self, snapshot: &Snapshot, limit: u32, delta: &mut Delta) {
        for (made_by, series) in &snapshot.routes {
            let own = labels(made_by);
            for ((protocol, result), count) in COUNTED.iter().zip(series.counts).filter(|(_, n)| *n > 0) {
                let mut pairs = own.clone();
                pairs.push((Cow::Borrowed("request_protocol"), Cow::Borrowed(*protocol)));
                pairs.push((Cow::Borrowed("result"), Cow::Borrowed(*result)));
                if let Some(set) = self.changed_set(&pairs, limit, delta) {
                    self.counter(REQUESTS, set, count, delta);
                }
            }
            if let Some(set) = self.changed_set(&own, limit, delta) {
                self.histogram(DURATION, set, &series.duration_ms, delta);
            }
        }
    }
}

fn labels(made_by: &Provenance) -> Pairs<'_> {
    let Provenance { resource, version: _, rule } = made_by;
    [
        ("route_kind", &resource.kind),
        ("route_namespace", &resource.namespace),
        ("route_name", &resource.name),
        ("route_rule", rule),
    ]
    .map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value.as_str())))
    .into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tulle_base::resource::ResourceRef;

    use super::super::{
        PeerId, Reporter, SecurityPolicy, SeriesKind, ServiceId, TagsId, TrafficKey, prometheus,
    };
    use super::*;
    use crate::flags::ResponseFlags;

    fn rule(index: usize) -> Arc<Provenance> {
        let resource = ResourceRef::new("networking.istio.io", "VirtualService", "shop", "cart");
        Arc::new(Provenance { resource, version: "v1".to_owned(), rule: format!("http[{index}]") })
    }

    fn key(response_code: u16, grpc_status: Option<u32>) -> RequestKey {
        RequestKey {
            traffic: TrafficKey {
                reporter: Reporter::Source,
                source: PeerId::default(),
                destination: PeerId::default(),
                service: ServiceId::default(),
                tags: TagsId::default(),
            },
            protocol: if grpc_status.is_some() { Protocol::Grpc } else { Protocol::Http },
            response_code,
            grpc_status,
            flags: ResponseFlags::NONE,
            security: SecurityPolicy::MutualTls,
        }
    }

    #[test]
    fn rules_are_told_with_what_became_of_their_requests_and_shown_nowhere_else() {
        let (mut one, mut other) = (Store::new(10), Store::new(10));
        let sample = RequestSample { duration: Some(Duration::from_millis(7)), ..RequestSample::default() };
        for (code, grpc) in
            [(200, None), (404, None), (503, None), (0, None), (200, Some(14)), (200, Some(0))]
        {
            one.record_route(&rule(0), &key(code, grpc), &sample);
        }
        // Of another worker, and of the same rule as another push made it.
        other.record_route(&rule(0), &key(200, None), &sample);
        let mut snapshot = one.snapshot();
        snapshot.merge(other.snapshot());
        let delta = Feed::default().delta(&snapshot, 100);
        let text = |id: u32| delta.texts[id as usize].as_str();
        let told: Vec<String> = (delta.series.iter().zip(&delta.changes))
            .map(|(series, change)| {
                let labels: Vec<_> = delta.sets[series.set as usize].iter().map(|id| text(*id)).collect();
                let value = match series.kind {
                    SeriesKind::Histogram => change.counts.iter().sum::<u64>() as f64,
                    _ => change.number,
                };
                format!("{} {} {value}", text(series.name), labels.join(" "))
            })
            .collect();
        let of = "route_kind VirtualService route_namespace shop route_name cart route_rule http[0]";
        let count = |protocol: &str, result: &str, n: u32| {
            format!("{REQUESTS} {of} request_protocol {protocol} result {result} {n}")
        };
        let mut wanted = vec![
            count("http", "ok", 2),
            count("http", "refused", 1),
            count("http", "failed", 2),
            count("grpc", "ok", 1),
            count("grpc", "failed", 1),
        ];
        wanted.push(format!("{DURATION} {of} 7"));
        assert_eq!(told, wanted);
        assert!(!prometheus::render(&snapshot, prometheus::Exposure::All).contains("route"));
    }

    #[test]
    fn rules_that_are_idle_everywhere_make_room() {
        let (mut one, mut other) = (Store::new(10), Store::new(10));
        let at = |now| RequestSample { now, ..RequestSample::default() };
        for index in 0..MOST {
            one.record_route(&rule(index), &key(200, None), &at(5));
        }
        other.record_route(&rule(0), &key(200, None), &at(90));
        let mut all = one.snapshot();
        all.merge(other.snapshot());
        let idle = all.idle(50);
        assert_eq!(idle.len(), MOST - 1, "the first one is in use elsewhere");
        // Meanwhile one is used again.
        one.record_route(&rule(1), &key(200, None), &at(95));
        let retired = one.forget(&idle);
        assert_eq!((one.routes.len(), retired.routes.len()), (2, MOST - 2));
        assert!(!retired.is_empty());
        one.record_route(&rule(MOST + 1), &key(200, None), &at(96));
        assert_eq!((one.routes.len(), one.overflow()), (3, 0));
    }

    #[test]
    fn rules_are_bounded_and_what_no_rule_routes_is_not_counted() {
        let mut store = Store::new(10);
        let whole = Provenance { rule: String::new(), ..(*rule(0)).clone() };
        store.record_route(&Arc::new(whole), &key(200, None), &RequestSample::default());
        for index in 0..MOST + 3 {
            store.record_route(&rule(index), &key(200, None), &RequestSample::default());
        }
        store.record_route(&rule(0), &key(200, None), &RequestSample::default());
        assert_eq!((store.routes.len(), store.overflow()), (MOST, 3));
        assert_eq!(store.routes[&rule(0)].counts[0], 2);
        let told = Feed::default().delta(&store.snapshot(), 100);
        assert!(told.series.len() <= 101, "{}", told.series.len());
    }
}
