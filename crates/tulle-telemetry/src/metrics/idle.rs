//! Series that nobody adds to any more.
//!
//! A series is a sum over workers, so it goes only when it is idle on all of them: whoever merges snapshots finds these
//! ([`Snapshot::idle`]), and each worker forgets its part ([`Store::forget`]). A worker that counted in the meantime keeps its part, and
//! what the others gave up is still part of the sum.

use std::hash::Hash;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use tulle_base::resource::Provenance;

use super::routes::RouteSeries;
use super::snapshot::{SeriesLabels, Snapshot};
use super::store::{Packed, Store};

/// Series that were idle on all workers.
#[derive(Debug, Default)]
pub struct Idle {
    requests: HashSet<SeriesLabels>,
    messages: HashSet<SeriesLabels>,
    tcp: HashSet<SeriesLabels>,
    routes: HashSet<Arc<Provenance>>,
    /// Those to which nothing was added since then; seconds since the proxy started.
    before: u32,
}

impl Idle {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.requests.len() + self.messages.len() + self.tcp.len() + self.routes.len()
    }
}

impl Snapshot {
    /// The series to which nothing was added since `before`. Connections that are open keep theirs.
    pub fn idle(&self, before: u32) -> Idle {
        Idle {
            requests: of(&self.requests, |s| s.touched < before),
            messages: of(&self.messages, |s| s.touched < before),
            tcp: of(&self.tcp, |s| s.touched < before && s.opened <= s.closed),
            routes: of(&self.routes, |s| s.touched < before),
            before,
        }
    }

    /// Whether it has no series of Istio's metrics, and none of routes.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.messages.is_empty() && self.tcp.is_empty() && self.routes.is_empty()
    }

    /// Keeps of these series only those that `other` has too: what some worker still counts.
    pub fn keep_known(&mut self, other: &Self) {
        self.requests.retain(|labels, _| other.requests.contains_key(labels));
        self.messages.retain(|labels, _| other.messages.contains_key(labels));
        self.tcp.retain(|labels, _| other.tcp.contains_key(labels));
        self.routes.retain(|rule, _| other.routes.contains_key(rule));
    }
}

fn of<K: Clone + Eq + Hash, V, S>(all: &HashMap<K, V, S>, idle: impl Fn(&V) -> bool) -> HashSet<K> {
    all.iter().filter(|(_, values)| idle(values)).map(|(key, _)| key.clone()).collect()
}

impl Store {
    /// Forgets series that are idle, and the values of labels that none has any more. Returns what they had counted.
    pub fn forget(&mut self, idle: &Idle) -> Snapshot {
        let mut out = Snapshot::default();
        let before = idle.before;
        let stale = |all: &HashSet<SeriesLabels>, labels: &SeriesLabels, touched: u32| {
            touched < before && all.contains(labels)
        };
        let requests: Vec<Packed> = self
            .requests
            .iter()
            .filter(|(key, values)| stale(&idle.requests, &self.labels(**key), values.touched))
            .map(|(key, _)| *key)
            .collect();
        let messages: Vec<Packed> = self
            .messages
            .iter()
            .filter(|(key, values)| stale(&idle.messages, &self.labels(**key), values.touched))
            .map(|(key, _)| *key)
            .collect();
        let tcp: Vec<Packed> = self
            .tcp
            .iter()
            .filter(|(key, values)| stale(&idle.tcp, &self.labels(**key), values.touched))
            .map(|(key, _)| *key)
            .collect();
        for key in requests {
            if let Some(values) = self.requests.remove(&key) {
                out.requests.insert(self.labels(key), *values);
            }
        }
        for key in messages {
            if let Some(values) = self.messages.remove(&key) {
                out.messages.insert(self.labels(key), values);
            }
        }
        for key in tcp {
            if let Some(values) = self.tcp.remove(&key) {
                out.tcp.insert(self.labels(key), values);
            }
        }
        let gone = |rule: &Arc<Provenance>, values: &mut RouteSeries| {
            values.touched < before && idle.routes.contains(rule)
        };
        out.routes.extend(self.routes.extract_if(gone));
        let keys = self.requests.keys().chain(self.messages.keys()).chain(self.tcp.keys());
        let used: HashSet<u32> = keys.map(|key| key.unpack().traffic.tags.0).collect();
        self.tags.keep(&used);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::ResponseFlags;
    use crate::metrics::{
        LabelRules, Metric, Protocol, Reporter, RequestKey, RequestSample, SecurityPolicy, TrafficKey,
    };

    fn count(store: &mut Store, code: u16, tenant: &str, now: u32) {
        let mut rules = LabelRules::default();
        rules.set(Metric::Requests, "tenant", 0);
        let id = store.rules(&rules);
        let tags = store.tags(id, &mut |_, out| out.push_str(tenant));
        let traffic = TrafficKey {
            reporter: Reporter::Source,
            source: Default::default(),
            destination: Default::default(),
            service: Default::default(),
            tags,
        };
        let key = RequestKey {
            traffic,
            protocol: Protocol::Http,
            response_code: code,
            grpc_status: None,
            flags: ResponseFlags::NONE,
            security: SecurityPolicy::Unknown,
        };
        store.record_request(&key, &RequestSample { now, ..RequestSample::default() });
    }

    fn counts(snapshot: &Snapshot) -> Vec<(u16, u64)> {
        let mut all: Vec<_> = snapshot.requests.iter().map(|(l, s)| (l.response_code, s.count)).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn what_is_idle_everywhere_goes_and_what_is_not_stays_whole() {
        let (mut a, mut b) = (Store::new(10), Store::new(10));
        count(&mut a, 200, "x", 5);
        count(&mut b, 200, "x", 90);
        count(&mut a, 404, "y", 5);
        count(&mut b, 503, "z", 5);
        let merged = |a: &Store, b: &Store| {
            let mut all = a.snapshot();
            all.merge(b.snapshot());
            all
        };
        let idle = merged(&a, &b).idle(50);
        assert_eq!(idle.len(), 2);
        // Meanwhile somebody asks again.
        count(&mut b, 503, "z", 95);
        let mut retired = a.forget(&idle);
        retired.merge(b.forget(&idle));
        assert_eq!(counts(&retired), [(404, 1)]);
        assert_eq!(counts(&merged(&a, &b)), [(200, 2), (503, 2)]);
        retired.keep_known(&merged(&a, &b));
        assert_eq!(counts(&retired), []);
    }
}
