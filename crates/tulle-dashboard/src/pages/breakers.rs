//! What clients say of the services that they call: connections, retries, breakers, endpoints.
//!
//! Each proxy counts by itself. What is open anywhere is open here: the worst of all clients is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;
use regex::Regex;
use serde::Serialize;

use crate::graph::rate_of;
use crate::store::{Kind, Matcher, NAME, Selected, Selection, Store, Test, Wanted, is_stale};

/// How old the last sample of a proxy may be; milliseconds.
const FRESH: i64 = 20_000;
/// The metrics.
const METRICS: &str = "^(?:up|envoy_cluster_(?:upstream_cx_active|upstream_rq_active|upstream_rq_retry|upstream_rq_timeout|\
     upstream_rq_pending_overflow|circuit_breakers_default_(?:cx|rq|rq_pending|rq_retry)_open|\
     outlier_detection_ejections_active|membership_total|membership_healthy|\
     endpoint_(?:rq_total|rq_error|cx_active|circuit)))$";

/// Where a breaker is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerState {
    /// None is configured.
    #[default]
    None,
    /// Requests pass.
    Closed,
    /// Some endpoints are left out, or one is tried after it was.
    HalfOpen,
    /// A limit is reached, or every endpoint is left out.
    Open,
}

/// The breaker of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Breaker {
    /// Where it is.
    pub state: BreakerState,
    /// Endpoints that are left out, as the client sees it that leaves out most.
    pub ejected: u64,
    /// Endpoints that clients know.
    pub endpoints: u64,
    /// Limits that are reached: `cx`, `rq`, `rq_pending`, `rq_retry`.
    pub open: BTreeSet<String>,
    /// Whether one is configured.
    pub configured: bool,
}

/// What clients say of a host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Host {
    /// Connections that are open.
    pub connections: f64,
    /// Requests under way.
    pub active: f64,
    /// Retries a second.
    pub retries: f64,
    /// Requests a second that took too long.
    pub timeouts: f64,
    /// Requests a second that a limit refused.
    pub overflows: f64,
    ejected: u64,
    on_trial: bool,
    endpoints: u64,
    open: BTreeSet<String>,
    /// Its endpoints by address.
    pub by_endpoint: BTreeMap<String, Endpoint>,
}

/// What clients say of an endpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Endpoint {
    /// Requests a second.
    pub rate: f64,
    /// Those that failed.
    pub errors: f64,
    /// Connections that are open.
    pub connections: f64,
    /// The worst circuit.
    pub circuit: BreakerState,
    /// Pods whose proxies leave it out.
    pub ejected_by: BTreeSet<String>,
}

/// All hosts, and who calls them: hosts by the pod that counted, as `NAMESPACE/POD`.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    /// By fully qualified host.
    pub hosts: BTreeMap<String, Host>,
    /// By client pod and host.
    pub by_pod: BTreeMap<(String, String), Host>,
}

impl Host {
    /// The state of its breaker.
    pub fn breaker(&self, configured: bool) -> Breaker {
        let all_out = self.endpoints > 0 && self.ejected >= self.endpoints;
        let state = match configured {
            false if self.ejected == 0 => BreakerState::None,
            _ if !self.open.is_empty() || all_out => BreakerState::Open,
            _ if self.ejected > 0 || self.on_trial => BreakerState::HalfOpen,
            _ => BreakerState::Closed,
        };
        Breaker {
            state,
            ejected: self.ejected,
            endpoints: self.endpoints,
            open: if configured { self.open.clone() } else { BTreeSet::new() },
            configured,
        }
    }

    fn take(&mut self, series: &Selected, endpoint: Option<&str>, client: &str, span: (i64, i64)) {
        let last = || series.samples.last().map(|(_, v)| *v).filter(|v| !is_stale(*v)).unwrap_or(0.0);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small counts")]
        let count = |value: f64| value.max(0.0) as u64;
        let rate = || if series.kind == Kind::Counter { rate_of(&series.samples, span) } else { 0.0 };
        let name = series.name.strip_prefix("envoy_cluster_").unwrap_or(&series.name);
        if let (Some(what), Some(address)) = (name.strip_prefix("endpoint_"), endpoint) {
            let endpoint = self.by_endpoint.entry(address.to_owned()).or_default();
            match what {
                "rq_total" => endpoint.rate += rate(),
                "rq_error" => endpoint.errors += rate(),
                "cx_active" => endpoint.connections += last(),
                _ => {
                    let circuit = match count(last()) {
                        0 => BreakerState::Closed,
                        1 => BreakerState::HalfOpen,
                        _ => BreakerState::Open,
                    };
                    self.on_trial |= circuit == BreakerState::HalfOpen;
                    endpoint.circuit = endpoint.circuit.max(circuit);
                    if circuit == BreakerState::Open {
                        endpoint.ejected_by.insert(client.to_owned());
                    }
                }
            }
            return;
        }
        match name {
            "upstream_cx_active" => self.connections += last(),
            "upstream_rq_active" => self.active += last(),
            "upstream_rq_retry" => self.retries += rate(),
            "upstream_rq_timeout" => self.timeouts += rate(),
            "upstream_rq_pending_overflow" => self.overflows += rate(),
            "outlier_detection_ejections_active" => self.ejected = self.ejected.max(count(last())),
            "membership_total" => self.endpoints = self.endpoints.max(count(last())),
            _ => {
                let limit =
                    name.strip_prefix("circuit_breakers_default_").and_then(|n| n.strip_suffix("_open"));
                if let Some(limit) = limit.filter(|_| last() > 0.0) {
                    self.open.insert(limit.to_owned());
                }
            }
        }
    }
}

impl Clients {
    /// What was said in the window that ends at `time`.
    ///
    /// # Errors
    /// More series than `max_series`.
    pub fn read(store: &Store, time: i64, window: i64, max_series: usize) -> Result<Self, Selection> {
        // It is a constant that compiles.
        let Ok(names) = Regex::new(METRICS) else { return Ok(Self::default()) };
        let matchers = [Matcher { label: NAME.to_owned(), test: Test::Matches(names) }];
        let wanted = Wanted {
            matchers: &matchers,
            from: time - window - 2 * FRESH,
            to: time,
            samples: true,
            max_series,
            max_samples: 20_000_000,
        };
        let all = store.select(&wanted)?;
        let mut spans: HashMap<String, (i64, i64)> = HashMap::new();
        for up in all.iter().filter(|s| &*s.name == "up") {
            let times: Vec<i64> = up.samples.iter().filter(|(_, v)| !is_stale(*v)).map(|(t, _)| *t).collect();
            let Some(&to) = times.last().filter(|t| **t >= time - FRESH) else { continue };
            let before = times.iter().rev().find(|t| **t <= to - window);
            spans.insert(pod_of(up), (before.or(times.first()).copied().unwrap_or(to), to));
        }
        let mut clients = Self::default();
        for series in all.iter().filter(|s| &*s.name != "up") {
            let pod = pod_of(series);
            let Some(span) = spans.get(&pod) else { continue };
            let Some(host) = label(series, "cluster_name").and_then(|c| outbound_host(&c).map(str::to_owned))
            else {
                continue;
            };
            let endpoint = label(series, "endpoint_address");
            let endpoint = endpoint.as_deref();
            clients.hosts.entry(host.clone()).or_default().take(series, endpoint, &pod, *span);
            clients.by_pod.entry((pod.clone(), host)).or_default().take(series, endpoint, &pod, *span);
        }
        Ok(clients)
    }
}

fn label(series: &Selected, name: &str) -> Option<Arc<str>> {
    series.labels.iter().find(|(n, _)| &**n == name).map(|(_, value)| Arc::clone(value))
}

fn pod_of(series: &Selected) -> String {
    let get = |name: &str| label(series, name).unwrap_or_else(|| "".into());
    format!("{}/{}", get("namespace"), get("pod"))
}

/// The host of `outbound|PORT|SUBSET|HOST`.
fn outbound_host(cluster: &str) -> Option<&str> {
    cluster.strip_prefix("outbound|")?.splitn(3, '|').nth(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_are_named_as_istio_names_them() {
        assert_eq!(
            outbound_host("outbound|9080|v1|reviews.default.svc.cluster.local"),
            Some("reviews.default.svc.cluster.local")
        );
        assert_eq!(outbound_host("inbound|9080||"), None);
        assert_eq!(outbound_host("PassthroughCluster"), None);
    }

    #[test]
    fn a_breaker_is_as_its_worst_client_sees_it() {
        let mut host = Host { endpoints: 3, ..Host::default() };
        assert_eq!(host.breaker(true).state, BreakerState::Closed);
        assert_eq!(host.breaker(false).state, BreakerState::None);
        host.ejected = 1;
        assert_eq!(host.breaker(true).state, BreakerState::HalfOpen);
        host.ejected = 3;
        assert_eq!(host.breaker(true).state, BreakerState::Open);
        host.ejected = 0;
        host.open.insert("rq".to_owned());
        assert_eq!(host.breaker(true).state, BreakerState::Open);
    }
}
