//! `/clusters`.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};
use tulle_engine::decide::outlier::State as Circuit;
use tulle_engine::runtime::cluster::{CircuitBreakers, Cluster};
use tulle_telemetry::metrics::{Extra, ExtraKind};

use super::http::{Asked, Reply};
use crate::boot::Main;
use crate::worker::EndpointStatus;

/// Every cluster with its endpoints, summed over the workers.
pub(super) async fn clusters(main: &Main, asked: &Asked) -> Reply {
    let endpoints = merge(main.remote.endpoints().await);
    let mut clusters: Vec<Arc<Cluster>> = main.clusters();
    clusters.sort_by(|a, b| a.name.cmp(&b.name));
    if asked.parameter("format") == Some("json") {
        return Reply::json(&as_json(&clusters, &endpoints));
    }
    let mut out = String::new();
    for cluster in &clusters {
        write_limits(&mut out, cluster, "default", &cluster.circuit_breakers);
        write_limits(&mut out, cluster, "high", &cluster.circuit_breakers_high);
        for endpoint in endpoints.values().filter(|e| e.cluster == cluster.name) {
            write_endpoint(&mut out, endpoint);
        }
    }
    Reply::text(out)
}

/// Endpoints of which the control plane is told on one stream, at most.
const TOLD: usize = 4_000;
/// Clusters and endpoints that were told of: their series stay for as long as the stream.
pub(crate) type Told = HashSet<(Arc<str>, std::net::SocketAddr)>;

/// What of endpoints the control plane is told: of those that were used or are left out, requests, failures, connections, and where
/// outlier detection has their circuit (0 closed, 1 half-open, 2 open).
pub(crate) async fn told(main: &Main, told: &mut Told) -> Vec<Extra> {
    let merged = merge(main.remote.endpoints().await);
    let outbound = merged.values().filter(|e| e.cluster.starts_with("outbound|"));
    let used = outbound.filter(|e| e.requests_total > 0 || e.ejected);
    let mut out = Vec::new();
    for endpoint in used {
        let key = (Arc::clone(&endpoint.cluster), endpoint.address);
        if !told.contains(&key) && (told.len() >= TOLD || !told.insert(key)) {
            continue;
        }
        let circuit = match endpoint.circuit {
            Some(_) if endpoint.ejected => 2.0,
            Some(Circuit::HalfOpen) => 1.0,
            _ => 0.0,
        };
        #[allow(clippy::cast_precision_loss, reason = "counts")]
        let all = [
            ("rq_total", ExtraKind::Counter, endpoint.requests_total as f64),
            ("rq_error", ExtraKind::Counter, endpoint.requests_error as f64),
            ("cx_active", ExtraKind::Gauge, endpoint.connections as f64),
            ("circuit", ExtraKind::Gauge, circuit),
        ];
        out.extend(all.map(|(name, kind, value)| {
            Extra::metric(format!("envoy_cluster_endpoint_{name}"), kind, value)
                .with("cluster_name", &*endpoint.cluster)
                .with("endpoint_address", endpoint.address.to_string())
        }));
    }
    out
}

type Key = (Arc<str>, std::net::SocketAddr);

/// The workers' views of one endpoint become one: numbers add up, out on one worker is out.
fn merge(all: Vec<EndpointStatus>) -> BTreeMap<Key, EndpointStatus> {
    let mut merged: BTreeMap<Key, EndpointStatus> = BTreeMap::new();
    for status in all {
        let key = (Arc::clone(&status.cluster), status.address);
        match merged.get_mut(&key) {
            Some(sum) => {
                sum.healthy &= status.healthy;
                sum.ejected |= status.ejected;
                sum.failed_check |= status.failed_check;
                sum.active_requests += status.active_requests;
                sum.connections += status.connections;
                sum.requests_total += status.requests_total;
                sum.requests_error += status.requests_error;
            }
            None => {
                merged.insert(key, status);
            }
        }
    }
    merged
}

fn write_limits(out: &mut String, cluster: &Cluster, priority: &str, limits: &CircuitBreakers) {
    let name = &cluster.name;
    for (what, value) in [
        ("max_connections", limits.max_connections),
        ("max_pending_requests", limits.max_pending),
        ("max_requests", limits.max_requests),
        ("max_retries", limits.max_retries),
    ] {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{name}::{priority}_priority::{what}::{value}");
    }
}

fn write_endpoint(out: &mut String, endpoint: &EndpointStatus) {
    let EndpointStatus {
        cluster,
        address,
        healthy: _, // Part of the flags.
        ejected: _,
        failed_check: _,
        circuit,
        ejections,
        active_requests,
        connections,
        requests_total,
        requests_error,
        weight,
        priority,
        locality,
    } = endpoint;
    let mut line = |what: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(out, "{cluster}::{address}::{what}::{value}");
    };
    line("cx_active", connections);
    line("rq_active", active_requests);
    line("rq_error", requests_error);
    line("rq_success", &requests_total.saturating_sub(*requests_error));
    line("rq_total", requests_total);
    line("health_flags", &health(endpoint));
    line("weight", weight);
    line("region", &locality.region);
    line("zone", &locality.zone);
    line("sub_zone", &locality.sub_zone);
    line("priority", priority);
    // Envoy has no word for these: where outlier detection has the endpoint's circuit, and how often it was open.
    if let Some(circuit) = circuit {
        line("circuit", &circuit.as_str());
        line("ejections", ejections);
    }
}

fn health(endpoint: &EndpointStatus) -> &'static str {
    if endpoint.failed_check && endpoint.ejected {
        "/failed_active_hc/failed_outlier_check"
    } else if endpoint.failed_check {
        "/failed_active_hc"
    } else if endpoint.ejected {
        "/failed_outlier_check"
    } else if endpoint.healthy {
        "healthy"
    } else {
        "/failed_eds_health"
    }
}

fn as_json(clusters: &[Arc<Cluster>], endpoints: &BTreeMap<Key, EndpointStatus>) -> Value {
    let statuses: Vec<Value> = clusters
        .iter()
        .map(|cluster| {
            let hosts: Vec<Value> = endpoints
                .values()
                .filter(|e| e.cluster == cluster.name)
                .map(|e| {
                    json!({
                        "address": { "socket_address": { "address": e.address.ip().to_string(), "port_value": e.address.port() } },
                        "stats": [
                            { "name": "cx_active", "type": "GAUGE", "value": e.connections.to_string() },
                            { "name": "rq_active", "type": "GAUGE", "value": e.active_requests.to_string() },
                            { "name": "rq_error", "value": e.requests_error.to_string() },
                            { "name": "rq_total", "value": e.requests_total.to_string() },
                        ],
                        "health_status": {
                            "eds_health_status": if e.healthy { "HEALTHY" } else { "UNHEALTHY" },
                            "failed_active_health_check": e.failed_check,
                            "failed_outlier_check": e.ejected,
                        },
                        "weight": e.weight,
                        "priority": e.priority,
                        "locality": {
                            "region": e.locality.region, "zone": e.locality.zone, "sub_zone": e.locality.sub_zone,
                        },
                        "circuit": e.circuit.map(|state| state.as_str()),
                        "ejections": e.ejections,
                    })
                })
                .collect();
            json!({ "name": &*cluster.name, "host_statuses": hosts })
        })
        .collect();
    json!({ "cluster_statuses": statuses })
}
