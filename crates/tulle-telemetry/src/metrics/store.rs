//! The store that one worker owns.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;

use crate::flags::ResponseFlags;
use crate::metrics::exemplar::{self, Exemplar, TraceId};
use crate::metrics::histogram::Histogram;
use crate::metrics::labels::{PeerLabels, Protocol, Reporter, SecurityPolicy, ServiceLabels};
use crate::metrics::proxy::ProxyStats;
use crate::metrics::routes::Routes;
use crate::metrics::rules::{LabelRules, RulesId, TagTable, TagsId};

type FastMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// How many series a worker keeps at most, by default. What comes on top is counted as overflow and otherwise lost.
pub const DEFAULT_MAX_SERIES: usize = 10_000;

/// One end of a connection, as this store numbers it. Number 0 is the unknown peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PeerId(u32);

/// A service, as this store numbers it. Number 0 is the unknown service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServiceId(u32);

impl PeerId {
    pub(crate) fn index(self) -> u32 {
        self.0
    }
}

impl ServiceId {
    pub(crate) fn index(self) -> u32 {
        self.0
    }
}

/// Who called what: the labels that all families share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrafficKey {
    /// Which side tells.
    pub reporter: Reporter,
    /// The caller.
    pub source: PeerId,
    /// The one called.
    pub destination: PeerId,
    /// The service called.
    pub service: ServiceId,
    /// What overrides say of it.
    pub tags: TagsId,
}

/// The labels of one HTTP or gRPC request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// Who called what.
    pub traffic: TrafficKey,
    /// HTTP or gRPC.
    pub protocol: Protocol,
    /// HTTP status; 0: none was sent.
    pub response_code: u16,
    /// gRPC status; `None` for plain HTTP. Above 254: 254.
    pub grpc_status: Option<u32>,
    /// What happened beyond the status.
    pub flags: ResponseFlags,
    /// How the connection was secured.
    pub security: SecurityPolicy,
}

/// The labels of one TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpKey {
    /// Who called what.
    pub traffic: TrafficKey,
    /// What happened.
    pub flags: ResponseFlags,
    /// How the connection was secured.
    pub security: SecurityPolicy,
}

/// What is measured of one request, at its end.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestSample {
    /// From first byte received to last byte sent; `None` if the request did not complete.
    pub duration: Option<Duration>,
    /// Bytes received from the client on the wire.
    pub request_bytes: u64,
    /// Bytes sent to the client on the wire.
    pub response_bytes: u64,
    /// When it ended: seconds since the proxy started, as all workers count them.
    pub now: u32,
    /// When it ended, in milliseconds after 1970.
    pub wall: u64,
}

/// Values of the HTTP family.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RequestSeries {
    pub(crate) count: u64,
    pub(crate) touched: u32,
    /// One for a bucket.
    pub(crate) exemplars: Vec<Exemplar>,
    pub(crate) duration_ms: Histogram,
    pub(crate) request_bytes: Histogram,
    pub(crate) response_bytes: Histogram,
}

/// Values of the gRPC message family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MessageSeries {
    pub(crate) touched: u32,
    pub(crate) requests: u64,
    pub(crate) responses: u64,
}

/// Values of the TCP family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TcpSeries {
    pub(crate) touched: u32,
    pub(crate) opened: u64,
    pub(crate) closed: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

/// A key squeezed into three words: cheap to hash and to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Packed([u64; 3]);

const NO_GRPC: u64 = 255;

impl Packed {
    fn new(
        traffic: TrafficKey,
        protocol: Protocol,
        code: u16,
        grpc: Option<u32>,
        flags: ResponseFlags,
        security: SecurityPolicy,
    ) -> Self {
        let grpc = grpc.map_or(NO_GRPC, |s| u64::from(s.min(254)));
        let small = u64::from(traffic.reporter as u8)
            | u64::from(protocol as u8) << 2
            | u64::from(security as u8) << 4
            | grpc << 6
            | u64::from(code) << 14
            | u64::from(flags.bits()) << 32;
        let peers = u64::from(traffic.source.0) | u64::from(traffic.destination.0) << 32;
        Self([small, peers, u64::from(traffic.service.0) | u64::from(traffic.tags.0) << 32])
    }

    fn of_traffic(traffic: TrafficKey) -> Self {
        Self::new(traffic, Protocol::Grpc, 0, None, ResponseFlags::NONE, SecurityPolicy::Unknown)
    }

    #[allow(clippy::cast_possible_truncation, reason = "takes apart what `new` put together")]
    pub(crate) fn unpack(self) -> RequestKey {
        let [small, peers, service] = self.0; // and tags
        let reporter = match small & 3 {
            0 => Reporter::Source,
            1 => Reporter::Destination,
            _ => Reporter::Waypoint,
        };
        let protocol = match small >> 2 & 3 {
            0 => Protocol::Http,
            1 => Protocol::Grpc,
            _ => Protocol::Tcp,
        };
        let security = match small >> 4 & 3 {
            0 => SecurityPolicy::Unknown,
            1 => SecurityPolicy::MutualTls,
            _ => SecurityPolicy::None,
        };
        let grpc = small >> 6 & 0xff;
        RequestKey {
            traffic: TrafficKey {
                reporter,
                source: PeerId(peers as u32),
                destination: PeerId((peers >> 32) as u32),
                service: ServiceId(service as u32),
                tags: TagsId((service >> 32) as u32),
            },
            protocol,
            response_code: (small >> 14) as u16,
            grpc_status: (grpc != NO_GRPC).then_some(grpc as u32),
            flags: ResponseFlags::from_bits((small >> 32) as u32),
            security,
        }
    }
}

/// Numbers for values that are equal. Number 0 is the default value.
#[derive(Debug)]
pub(crate) struct Interner<T> {
    ids: FastMap<Arc<T>, u32>,
    values: Vec<Arc<T>>,
}

impl<T: Default + Eq + std::hash::Hash + Clone> Interner<T> {
    fn new() -> Self {
        let mut new = Self { ids: FastMap::default(), values: Vec::new() };
        new.add(T::default());
        new
    }

    fn add(&mut self, value: T) -> u32 {
        let id = u32::try_from(self.values.len()).unwrap_or(0);
        let value = Arc::new(value);
        self.values.push(Arc::clone(&value));
        self.ids.insert(value, id);
        id
    }

    /// The number of `value`; `None` if it is new and there are `limit` already.
    fn intern(&mut self, value: &T, limit: usize) -> Option<u32> {
        if let Some(id) = self.ids.get(value) {
            return Some(*id);
        }
        (self.values.len() < limit).then(|| self.add(value.clone()))
    }

    pub(crate) fn get(&self, id: u32) -> Arc<T> {
        Arc::clone(&self.values[(id as usize).min(self.values.len() - 1)])
    }
}

/// All metrics of one worker.
#[derive(Debug)]
pub struct Store {
    pub(crate) peers: Interner<PeerLabels>,
    pub(crate) services: Interner<ServiceLabels>,
    rules: Interner<LabelRules>,
    pub(crate) tags: TagTable,
    pub(crate) requests: FastMap<Packed, Box<RequestSeries>>,
    pub(crate) messages: FastMap<Packed, MessageSeries>,
    pub(crate) tcp: FastMap<Packed, TcpSeries>,
    /// By rule of a resource.
    pub(crate) routes: Routes,
    pub(crate) overflow: u64,
    max_series: usize,
    /// Statistics about the proxy itself, in Envoy's names.
    pub proxy: ProxyStats,
}

impl Default for Store {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_SERIES)
    }
}

impl Store {
    /// An empty store that keeps at most `max_series` series of each family, and as many peers and services.
    pub fn new(max_series: usize) -> Self {
        Self {
            peers: Interner::new(),
            services: Interner::new(),
            rules: Interner::new(),
            tags: TagTable::default(),
            requests: FastMap::default(),
            messages: FastMap::default(),
            tcp: FastMap::default(),
            routes: Routes::default(),
            overflow: 0,
            max_series: max_series.max(1),
            proxy: ProxyStats::default(),
        }
    }

    /// The number of a peer. Ask once for a connection or an endpoint and keep the answer; beyond the limit it is the unknown peer.
    pub fn peer(&mut self, labels: &PeerLabels) -> PeerId {
        let id = self.peers.intern(labels, self.max_series);
        self.overflow += u64::from(id.is_none());
        PeerId(id.unwrap_or(0))
    }

    /// The number of a service. Ask once for a cluster and keep the answer; beyond the limit it is the unknown service.
    pub fn service(&mut self, labels: &ServiceLabels) -> ServiceId {
        let id = self.services.intern(labels, self.max_series);
        self.overflow += u64::from(id.is_none());
        ServiceId(id.unwrap_or(0))
    }

    /// The number of rules for labels. Ask once for a listener and keep the answer; beyond the limit nothing is done to labels.
    pub fn rules(&mut self, rules: &LabelRules) -> RulesId {
        let id = self.rules.intern(rules, self.max_series);
        self.overflow += u64::from(id.is_none());
        RulesId(id.unwrap_or(0))
    }

    /// The number of a request's values for the labels of `rules`. `write` writes each, as often as the rules want; what is too long
    /// is cut, what is too much is counted under `other`, and both are told as overflow.
    pub fn tags(&mut self, rules: RulesId, write: &mut dyn FnMut(usize, &mut String)) -> TagsId {
        if rules.0 == 0 {
            return TagsId::default();
        }
        let (id, lost) = self.tags.find(rules, &self.rules.get(rules.0), write);
        self.overflow += lost;
        id
    }

    /// The same with the trace that the request is part of, which is asked for when it may be shown.
    pub fn record_traced(
        &mut self,
        key: &RequestKey,
        sample: &RequestSample,
        trace: impl FnOnce() -> Option<TraceId>,
    ) {
        let Some(series) = self.count_request(key, sample) else { return };
        let Some(duration) = sample.duration else { return };
        let value = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let bucket = u8::try_from(crate::metrics::histogram::bucket_of(value)).unwrap_or(u8::MAX);
        let at = sample.wall;
        let old = series.exemplars.iter_mut().find(|e| e.bucket == bucket);
        if old.as_ref().is_some_and(|old| at.abs_diff(old.at) < exemplar::STAYS) {
            return;
        }
        let Some(trace) = trace() else { return };
        let new = Exemplar { bucket, trace, value, at };
        match old {
            Some(old) => *old = new,
            None => series.exemplars.push(new),
        }
    }

    /// The labels of a peer by its number.
    pub fn peer_labels(&self, id: PeerId) -> Arc<PeerLabels> {
        self.peers.get(id.0)
    }

    /// The labels of a service by its number.
    pub fn service_labels(&self, id: ServiceId) -> Arc<ServiceLabels> {
        self.services.get(id.0)
    }

    /// Counts one finished request: `istio_requests_total` and its three histograms.
    pub fn record_request(&mut self, key: &RequestKey, sample: &RequestSample) {
        self.count_request(key, sample);
    }

    fn count_request(&mut self, key: &RequestKey, sample: &RequestSample) -> Option<&mut RequestSeries> {
        let RequestKey { traffic, protocol, response_code, grpc_status, flags, security } = *key;
        let packed = Packed::new(traffic, protocol, response_code, grpc_status, flags, security);
        let series = entry(&mut self.requests, packed, self.max_series, &mut self.overflow)?;
        series.count += 1;
        series.touched = sample.now;
        if let Some(duration) = sample.duration {
            series.duration_ms.observe(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
        }
        series.request_bytes.observe(sample.request_bytes);
        series.response_bytes.observe(sample.response_bytes);
        Some(series)
    }

    /// Adds to `istio_request_messages_total` and `istio_response_messages_total`.
    /// `now` counts seconds since the proxy started.
    pub fn add_messages(&mut self, traffic: TrafficKey, requests: u64, responses: u64, now: u32) {
        let packed = Packed::of_traffic(traffic);
        if let Some(series) = entry(&mut self.messages, packed, self.max_series, &mut self.overflow) {
            series.touched = now;
            series.requests += requests;
            series.responses += responses;
        }
    }

    /// Counts a connection as opened.
    pub fn tcp_opened(&mut self, key: &TcpKey, now: u32) {
        self.with_tcp(key, now, |s| s.opened += 1);
    }

    /// Counts a connection as closed.
    pub fn tcp_closed(&mut self, key: &TcpKey, now: u32) {
        self.with_tcp(key, now, |s| s.closed += 1);
    }

    /// Adds bytes `sent` to the client and `received` from it, since the last call.
    pub fn tcp_bytes(&mut self, key: &TcpKey, sent: u64, received: u64, now: u32) {
        self.with_tcp(key, now, |s| {
            s.sent += sent;
            s.received += received;
        });
    }

    /// How many series and labels were refused because of the limit.
    pub fn overflow(&self) -> u64 {
        self.overflow
    }

    fn with_tcp(&mut self, key: &TcpKey, now: u32, count: impl FnOnce(&mut TcpSeries)) {
        let TcpKey { traffic, flags, security } = *key;
        let packed = Packed::new(traffic, Protocol::Tcp, 0, None, flags, security);
        if let Some(series) = entry(&mut self.tcp, packed, self.max_series, &mut self.overflow) {
            series.touched = now;
            count(series);
        }
    }
}

/// The series of `key`, made if there is room; else counts an overflow.
fn entry<'a, V: Default>(
    map: &'a mut FastMap<Packed, V>,
    key: Packed,
    limit: usize,
    overflow: &mut u64,
) -> Option<&'a mut V> {
    let full = map.len() >= limit;
    match map.entry(key) {
        hashbrown::hash_map::Entry::Occupied(entry) => Some(entry.into_mut()),
        hashbrown::hash_map::Entry::Vacant(entry) if !full => Some(entry.insert(V::default())),
        hashbrown::hash_map::Entry::Vacant(_) => {
            *overflow += 1;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::ResponseFlag;

    #[test]
    fn keys_survive_packing() {
        let key = RequestKey {
            traffic: TrafficKey {
                reporter: Reporter::Waypoint,
                source: PeerId(7),
                destination: PeerId(u32::MAX),
                service: ServiceId(3),
                tags: TagsId(u32::MAX),
            },
            protocol: Protocol::Grpc,
            response_code: 599,
            grpc_status: Some(14),
            flags: ResponseFlag::UnconditionalDropOverload.into(),
            security: SecurityPolicy::None,
        };
        let RequestKey { traffic, protocol, response_code, grpc_status, flags, security } = key;
        let packed = Packed::new(traffic, protocol, response_code, grpc_status, flags, security);
        assert_eq!(packed.unpack(), key);
    }

    #[test]
    fn a_full_store_counts_what_it_drops_and_keeps_counting_what_it_has() {
        let mut store = Store::new(2);
        let mut key = RequestKey {
            traffic: TrafficKey {
                reporter: Reporter::Source,
                source: PeerId(0),
                destination: PeerId(0),
                service: ServiceId(0),
                tags: TagsId(0),
            },
            protocol: Protocol::Http,
            response_code: 200,
            grpc_status: None,
            flags: ResponseFlags::NONE,
            security: SecurityPolicy::Unknown,
        };
        for code in [200, 201, 202, 200] {
            key.response_code = code;
            store.record_request(&key, &RequestSample::default());
        }
        assert_eq!((store.requests.len(), store.overflow()), (2, 1));
        let cart = PeerLabels { workload: "cart".into(), ..PeerLabels::default() };
        let web = PeerLabels { workload: "web".into(), ..PeerLabels::default() };
        assert_eq!(
            (store.peer(&cart), store.peer(&web), store.peer(&cart)),
            (PeerId(1), PeerId(0), PeerId(1))
        );
        assert_eq!(store.overflow(), 2);
    }
}
