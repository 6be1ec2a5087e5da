//! What a worker's store held at one moment, with its labels as text; snapshots of several workers add up.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::flags::ResponseFlags;
use crate::metrics::gauge_set::Extra;
use crate::metrics::labels::{PeerLabels, Protocol, Reporter, SecurityPolicy, ServiceLabels};
use crate::metrics::proxy::{
    ClusterStats, CollectorStats, HttpStats, ListenerStats, LocalRateLimitStats, LogServiceStats,
    PolicyStats, StatBlock, StatInfo, StatKind, TcpStats,
};
use crate::metrics::routes::Routes;
use crate::metrics::rules::Tags;
use crate::metrics::store::{MessageSeries, Packed, RequestSeries, Store, TcpSeries};

/// All labels of one series.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SeriesLabels {
    pub(crate) reporter: Reporter,
    pub(crate) source: Arc<PeerLabels>,
    pub(crate) destination: Arc<PeerLabels>,
    pub(crate) service: Arc<ServiceLabels>,
    pub(crate) protocol: Protocol,
    pub(crate) response_code: u16,
    pub(crate) grpc_status: Option<u32>,
    pub(crate) flags: u32,
    pub(crate) security: SecurityPolicy,
    pub(crate) tags: Option<Arc<Tags>>,
}

/// The numbers of one kind of block, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blocks(pub(crate) BTreeMap<Arc<str>, Vec<u64>>);

/// The state of one or more stores.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(crate) requests: HashMap<SeriesLabels, RequestSeries>,
    pub(crate) messages: HashMap<SeriesLabels, MessageSeries>,
    pub(crate) tcp: HashMap<SeriesLabels, TcpSeries>,
    pub(crate) routes: Routes,
    pub(crate) clusters: Blocks,
    pub(crate) http: Blocks,
    pub(crate) tcp_proxies: Blocks,
    pub(crate) policies: Blocks,
    pub(crate) collectors: Blocks,
    pub(crate) log_services: Blocks,
    pub(crate) local_rate_limits: Blocks,
    pub(crate) listeners: Blocks,
    pub(crate) extras: Vec<Extra>,
    pub(crate) overflow: u64,
}

/// The kinds of blocks with what belongs to each: prefix of Envoy's names (empty where the name itself comes first), label in Prometheus text, numbers.
pub(crate) struct BlockKind<'a> {
    pub(crate) prefix: &'static str,
    pub(crate) label: &'static str,
    pub(crate) stats: &'static [StatInfo],
    pub(crate) blocks: &'a Blocks,
}

impl Store {
    /// What the store holds now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            requests: self.requests.iter().map(|(k, v)| (self.labels(*k), (**v).clone())).collect(),
            messages: self.messages.iter().map(|(k, v)| (self.labels(*k), *v)).collect(),
            tcp: self.tcp.iter().map(|(k, v)| (self.labels(*k), *v)).collect(),
            routes: self.routes.clone(),
            clusters: Blocks(self.proxy.clusters.values()),
            http: Blocks(self.proxy.http.values()),
            tcp_proxies: Blocks(self.proxy.tcp.values()),
            policies: Blocks(self.proxy.policies.values()),
            collectors: Blocks(self.proxy.collectors.values()),
            log_services: Blocks(self.proxy.log_services.values()),
            local_rate_limits: Blocks(self.proxy.local_rate_limits.values()),
            listeners: Blocks(self.proxy.listeners.values()),
            extras: Vec::new(),
            overflow: self.overflow,
        }
    }

    pub(crate) fn labels(&self, key: Packed) -> SeriesLabels {
        let key = key.unpack();
        SeriesLabels {
            reporter: key.traffic.reporter,
            source: self.peers.get(key.traffic.source.index()),
            destination: self.peers.get(key.traffic.destination.index()),
            service: self.services.get(key.traffic.service.index()),
            protocol: key.protocol,
            response_code: key.response_code,
            grpc_status: key.grpc_status,
            flags: key.flags.bits(),
            security: key.security,
            tags: self.tags.get(key.traffic.tags),
        }
    }
}

impl SeriesLabels {
    pub(crate) fn flags(&self) -> ResponseFlags {
        ResponseFlags::from_bits(self.flags)
    }
}

impl Snapshot {
    /// Adds what another worker counted.
    pub fn merge(&mut self, other: Self) {
        let Self {
            requests,
            messages,
            tcp,
            routes,
            clusters,
            http,
            tcp_proxies,
            policies,
            collectors,
            log_services,
            local_rate_limits,
            listeners,
            extras,
            overflow,
        } = other;
        for (labels, theirs) in requests {
            self.requests.entry(labels).or_default().add(&theirs);
        }
        for (labels, theirs) in messages {
            self.messages.entry(labels).or_default().add(&theirs);
        }
        for (labels, theirs) in tcp {
            self.tcp.entry(labels).or_default().add(&theirs);
        }
        for (rule, theirs) in routes {
            self.routes.entry(rule).or_default().add(&theirs);
        }
        self.clusters.merge(clusters, ClusterStats::STATS);
        self.http.merge(http, HttpStats::STATS);
        self.tcp_proxies.merge(tcp_proxies, TcpStats::STATS);
        self.policies.merge(policies, PolicyStats::STATS);
        self.collectors.merge(collectors, CollectorStats::STATS);
        self.log_services.merge(log_services, LogServiceStats::STATS);
        self.local_rate_limits.merge(local_rate_limits, LocalRateLimitStats::STATS);
        self.listeners.merge(listeners, ListenerStats::STATS);
        self.extras.extend(extras);
        self.overflow += overflow;
    }

    /// Adds a single value.
    pub fn push(&mut self, extra: Extra) {
        self.extras.push(extra);
    }

    /// All Envoy statistics under their own names (`cluster.NAME.upstream_rq_total`), for `/stats`; sorted by name.
    pub fn envoy_stats(&self) -> Vec<(String, u64)> {
        let mut all = Vec::new();
        for kind in self.block_kinds() {
            for (name, values) in &kind.blocks.0 {
                for (info, value) in kind.stats.iter().zip(values) {
                    let dot = if kind.prefix.is_empty() { "" } else { "." };
                    all.push((format!("{}{dot}{name}.{}", kind.prefix, info.name), *value));
                }
            }
        }
        for extra in &self.extras {
            if let Some(name) = &extra.envoy_name {
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "statistics are whole numbers from 0 on"
                )]
                all.push((name.clone(), extra.value as u64));
            }
        }
        all.sort();
        all
    }

    /// One number of one cluster, such as `upstream_rq_total`; `None` if there is no such cluster or number.
    pub fn cluster_stat(&self, cluster: &str, stat: &str) -> Option<u64> {
        let index = ClusterStats::STATS.iter().position(|info| info.name == stat)?;
        self.clusters.0.get(cluster).map(|values| values[index])
    }

    pub(crate) fn block_kinds(&self) -> [BlockKind<'_>; 8] {
        [
            BlockKind {
                prefix: "cluster",
                label: "cluster_name",
                stats: ClusterStats::STATS,
                blocks: &self.clusters,
            },
            BlockKind {
                prefix: "http",
                label: "http_conn_manager_prefix",
                stats: HttpStats::STATS,
                blocks: &self.http,
            },
            BlockKind {
                prefix: "tcp",
                label: "tcp_prefix",
                stats: TcpStats::STATS,
                blocks: &self.tcp_proxies,
            },
            BlockKind {
                prefix: "rbac.policy",
                label: "policy",
                stats: PolicyStats::STATS,
                blocks: &self.policies,
            },
            BlockKind {
                prefix: "tracing",
                label: "collector",
                stats: CollectorStats::STATS,
                blocks: &self.collectors,
            },
            BlockKind {
                prefix: "access_logs",
                label: "access_logger",
                stats: LogServiceStats::STATS,
                blocks: &self.log_services,
            },
            BlockKind {
                prefix: "",
                label: "local_http_ratelimit_prefix",
                stats: LocalRateLimitStats::STATS,
                blocks: &self.local_rate_limits,
            },
            BlockKind {
                prefix: "listener",
                label: "listener_address",
                stats: ListenerStats::STATS,
                blocks: &self.listeners,
            },
        ]
    }
}

impl Blocks {
    fn merge(&mut self, other: Self, stats: &[StatInfo]) {
        for (name, theirs) in other.0 {
            let mine = self.0.entry(name).or_insert_with(|| vec![0; stats.len()]);
            for ((mine, theirs), info) in mine.iter_mut().zip(theirs).zip(stats) {
                *mine = match info.kind {
                    StatKind::Counter | StatKind::Gauge => *mine + theirs,
                    StatKind::Level => (*mine).max(theirs),
                };
            }
        }
    }
}

/// Values of several series that become one.
pub(crate) trait Sum: Clone {
    /// Takes in what `other` counted.
    fn add(&mut self, other: &Self);
}

impl Sum for RequestSeries {
    fn add(&mut self, other: &Self) {
        let Self { count, touched, exemplars, duration_ms, request_bytes, response_bytes } = other;
        self.count += count;
        self.touched = self.touched.max(*touched);
        self.duration_ms.merge(duration_ms);
        self.request_bytes.merge(request_bytes);
        self.response_bytes.merge(response_bytes);
        for theirs in exemplars {
            match self.exemplars.iter_mut().find(|mine| mine.bucket == theirs.bucket) {
                Some(mine) if mine.at < theirs.at => *mine = *theirs,
                Some(_) => {}
                None => self.exemplars.push(*theirs),
            }
        }
    }
}

impl Sum for MessageSeries {
    fn add(&mut self, other: &Self) {
        let Self { touched, requests, responses } = other;
        self.touched = self.touched.max(*touched);
        self.requests += requests;
        self.responses += responses;
    }
}

impl Sum for TcpSeries {
    fn add(&mut self, other: &Self) {
        let Self { touched, opened, closed, sent, received } = other;
        self.touched = self.touched.max(*touched);
        self.opened += opened;
        self.closed += closed;
        self.sent += sent;
        self.received += received;
    }
}
