//! `/clusters`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};
use tulle_engine::runtime::cluster::{CircuitBreakers, Cluster};

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
