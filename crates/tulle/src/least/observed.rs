//! What proxies counted in a window, asked for over Prometheus' API: by the mesh's own telemetry store or by any Prometheus that
//! scrapes the proxies.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Method;
use serde_json::Value;
use tokio::runtime::Runtime;
use tulle_apiserver::Client;
use tulle_local::host::client;
use tulle_mesh::NsName;

use crate::commands::mesh::{StateDir, failure};
use crate::outcome::Failure;

/// What metrics say of a thing that they do not know.
const UNKNOWN: &str = "unknown";
/// Where requests go whose port no service declares.
const PASSTHROUGH: &str = "InboundPassthroughCluster";
/// How many points the window is divided into, to find out how far back telemetry reaches.
const POINTS: u64 = 200;

/// What to ask, and of what time.
#[derive(Debug, clap::Args)]
pub(crate) struct Telemetry {
    /// A server with Prometheus' API that has the proxies' metrics; default: that of the mesh on this machine.
    #[arg(long, value_name = "URL", env = "TULLE_DASHBOARD")]
    telemetry: Option<String>,
    /// How far back to look, such as 30m or 24h.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = tulle_base::duration::parse)]
    window: Duration,
}

/// Who calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Caller {
    /// `TRUST_DOMAIN/ns/NAMESPACE/sa/ACCOUNT` of its certificate; empty in the clear.
    pub(crate) principal: String,
    /// Its workload, as it says itself; empty if it does not.
    pub(crate) workload: Option<NsName>,
}

/// Requests and connections of one caller at one workload. Parts of one are possible, since counts are extrapolated.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Count {
    /// Let pass, with a certificate.
    pub(crate) passed: f64,
    /// Let pass, without.
    pub(crate) plain: f64,
    /// Answered 401 or 403.
    pub(crate) refused: f64,
}

/// What was counted in a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Observed {
    /// Its end, and how many seconds before it telemetry begins: the window's length, or less.
    pub(crate) until: u64,
    pub(crate) reach: u64,
    /// By the workload that was called.
    pub(crate) flows: BTreeMap<NsName, BTreeMap<Caller, Count>>,
    /// Ports of each workload that were used. None where a port was used that no service declares, which is not counted.
    pub(crate) ports: BTreeMap<NsName, Option<BTreeSet<u16>>>,
    /// Clients with a proxy that spoke to a workload in the clear, as they themselves say.
    pub(crate) plain_clients: BTreeMap<NsName, BTreeMap<NsName, f64>>,
    /// How often rules let something pass: namespace, policy, index of the rule.
    pub(crate) rules: BTreeMap<(NsName, usize), f64>,
}

impl Observed {
    /// The beginning of what is known, in seconds since 1970.
    pub(crate) fn since(&self) -> u64 {
        self.until.saturating_sub(self.reach)
    }
}

impl Telemetry {
    /// Asks for everything. The mesh on this machine is that of `state`.
    pub(crate) fn ask(&self, state: &StateDir) -> Result<Observed, Failure> {
        let url = match self.telemetry.as_deref().filter(|url| !url.is_empty()) {
            Some(url) => url.to_owned(),
            None => client::status(&state.paths()).map_err(failure)?.dashboard,
        };
        if url.is_empty() {
            return Err(Failure::unreachable(anyhow::anyhow!(
                "this mesh keeps no telemetry; name a Prometheus with --telemetry"
            )));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Failure::not_so(anyhow::anyhow!("start a runtime: {e}")))?;
        let client = Client::plain(&url).map_err(Failure::usage)?;
        let seconds = self.window.as_secs().max(1);
        Prometheus { runtime, client, url, window: format!("{seconds}s") }.observe(seconds)
    }
}

struct Prometheus {
    runtime: Runtime,
    client: Client,
    url: String,
    window: String,
}

impl Prometheus {
    fn observe(&self, seconds: u64) -> Result<Observed, Failure> {
        let until = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut all = Observed { until, reach: self.reach(until, seconds)?, ..Observed::default() };
        self.flows(&mut all)?;
        self.ports(&mut all)?;
        self.plain_clients(&mut all)?;
        let rules =
            self.gained(r#"tulle_authorization_total{result="allowed"}"#, "policy_namespace, policy, rule")?;
        for (labels, count) in rules {
            let policy = NsName::new(labels.text("policy_namespace"), labels.text("policy"));
            if let Ok(rule) = labels.text("rule").parse() {
                *all.rules.entry((policy, rule)).or_default() += count;
            }
        }
        Ok(all)
    }

    /// How far back telemetry reaches.
    fn reach(&self, until: u64, seconds: u64) -> Result<u64, Failure> {
        let step = (seconds / POINTS).max(5);
        let start = until.saturating_sub(seconds);
        let path = format!("/api/v1/query_range?query=count(up)&start={start}&end={until}&step={step}");
        let answer = self.get(&path)?;
        let first = answer["result"][0]["values"][0][0].as_f64();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds since 1970")]
        Ok(first.map_or(0, |first| until.saturating_sub(first as u64)))
    }

    fn flows(&self, all: &mut Observed) -> Result<(), Failure> {
        let by = "source_principal, source_workload, source_workload_namespace, destination_workload, \
                  destination_workload_namespace, connection_security_policy";
        let requests = self.gained(
            r#"istio_requests_total{reporter="destination"}"#,
            &format!("{by}, response_code, grpc_response_status"),
        )?;
        // A connection that is denied is not opened. One that was opened before the window still carries bytes.
        let opened = self.gained(r#"istio_tcp_connections_opened_total{reporter="destination"}"#, by)?;
        let carried = self.gained(r#"istio_tcp_received_bytes_total{reporter="destination"}"#, by)?;
        let carried = carried.into_iter().map(|(labels, _)| (labels, 0.0));
        for (labels, count) in requests.into_iter().chain(opened).chain(carried) {
            let Some(to) = labels.workload("destination") else { continue };
            let principal =
                labels.text("source_principal").strip_prefix("spiffe://").unwrap_or_default().to_owned();
            let mutual = labels.text("connection_security_policy") == "mutual_tls" && !principal.is_empty();
            let caller = Caller {
                principal: if mutual { principal } else { String::new() },
                workload: labels.workload("source"),
            };
            let seen = all.flows.entry(to).or_default().entry(caller).or_default();
            let refused = matches!(labels.text("response_code"), "401" | "403")
                || matches!(labels.text("grpc_response_status"), "7" | "16");
            match (refused, mutual) {
                (true, _) => seen.refused += count,
                // What is carried counts as one.
                (false, true) => seen.passed += if count > 0.0 { count } else { 1.0 },
                (false, false) => seen.plain += if count > 0.0 { count } else { 1.0 },
            }
        }
        Ok(())
    }

    fn ports(&self, all: &mut Observed) -> Result<(), Failure> {
        let mut workloads: BTreeMap<NsName, BTreeSet<NsName>> = BTreeMap::new();
        for metric in ["istio_requests_total", "istio_tcp_connections_opened_total"] {
            let by = "namespace, pod, destination_workload, destination_workload_namespace";
            let query = format!(
                "group by ({by}) (last_over_time({metric}{{reporter=\"destination\"}}[{}]))",
                self.window
            );
            for (labels, _) in self.query(&query)? {
                if let Some(workload) = labels.workload("destination") {
                    let pod = NsName::new(labels.text("namespace"), labels.text("pod"));
                    workloads.entry(pod).or_default().insert(workload);
                }
            }
        }
        for metric in ["envoy_cluster_upstream_rq_total", "envoy_cluster_upstream_cx_total"] {
            let inbound = format!(r#"{metric}{{cluster_name=~"inbound[|].*|{PASSTHROUGH}"}}"#);
            for (labels, _) in self.gained(&inbound, "namespace, pod, cluster_name")? {
                let pod = NsName::new(labels.text("namespace"), labels.text("pod"));
                let port = labels.text("cluster_name").split('|').nth(1).and_then(|port| port.parse().ok());
                for workload in workloads.get(&pod).into_iter().flatten() {
                    let ports = all.ports.entry(workload.clone()).or_insert_with(|| Some(BTreeSet::new()));
                    match (port, ports.as_mut()) {
                        (Some(port), Some(ports)) => drop(ports.insert(port)),
                        _ => *ports = None,
                    }
                }
            }
        }
        Ok(())
    }

    fn plain_clients(&self, all: &mut Observed) -> Result<(), Failure> {
        for metric in ["istio_requests_total", "istio_tcp_connections_opened_total"] {
            let sent = format!(r#"{metric}{{reporter="source",connection_security_policy="none"}}"#);
            let by = "source_workload, source_workload_namespace, destination_workload, destination_workload_namespace";
            for (labels, count) in self.gained(&sent, by)? {
                if let (Some(from), Some(to)) = (labels.workload("source"), labels.workload("destination")) {
                    *all.plain_clients.entry(to).or_default().entry(from).or_default() += count;
                }
            }
        }
        Ok(())
    }

    /// By how much counters grew in the window, by labels. A series that began in it grew by all that it has, which `increase` alone
    /// would not say.
    fn gained(&self, series: &str, by: &str) -> Result<Vec<(Labels, f64)>, Failure> {
        let w = &self.window;
        let grew = format!("increase({series}[{w}]) > 0");
        let began = format!("last_over_time({series}[{w}]) > 0 unless ({series} offset {w})");
        self.query(&format!("sum by ({by}) ({grew} or ({began}))"))
    }

    fn query(&self, query: &str) -> Result<Vec<(Labels, f64)>, Failure> {
        let encoded: String = query.bytes().map(|b| format!("%{b:02x}")).collect();
        let answer = self.get(&format!("/api/v1/query?query={encoded}"))?;
        let result = answer["result"].as_array().into_iter().flatten();
        Ok(result.map(|one| (Labels(one["metric"].clone()), number(&one["value"][1]))).collect())
    }

    fn get(&self, path: &str) -> Result<Value, Failure> {
        let json = "application/json";
        let asked = self.client.request(Method::GET, path, json, json, Vec::new());
        let reply = self.runtime.block_on(asked).map_err(Failure::unreachable)?;
        if reply.body["status"] == "success" {
            return Ok(reply.body["data"].clone());
        }
        let error = reply.body["error"].as_str().unwrap_or("it does not answer as Prometheus does");
        Err(Failure::unreachable(anyhow::anyhow!("{}: status {}: {error}", self.url, reply.code)))
    }
}

fn number(value: &Value) -> f64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or(0.0)
}

struct Labels(Value);

impl Labels {
    fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_default()
    }

    /// The workload that labels of one side name.
    fn workload(&self, side: &str) -> Option<NsName> {
        let (name, namespace) =
            (self.text(&format!("{side}_workload")), self.text(&format!("{side}_workload_namespace")));
        let known = |text: &str| !text.is_empty() && text != UNKNOWN;
        (known(name) && known(namespace)).then(|| NsName::new(namespace, name))
    }
}
