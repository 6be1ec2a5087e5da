//! `/api/services` and one of them.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::breakers::{Breaker, BreakerState, Host};
use super::golden::Golden;
use super::health::{Health, Judged, Reason};
use super::{Seen, quoted};
use crate::graph::{Routed, Rule};
use crate::plane::{Reference, Route, Service};

/// How services are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    /// What needs attention first.
    #[default]
    Worst,
    /// The busiest first.
    Rate,
    /// Those with most failures first.
    ErrorRate,
    /// The slowest first.
    P99,
    /// By namespace and name.
    Name,
}

impl Order {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "" | "worst" => Self::Worst,
            "rate" => Self::Rate,
            "errorRate" => Self::ErrorRate,
            "p99" => Self::P99,
            "name" => Self::Name,
            _ => return None,
        })
    }
}

/// A service with what was counted of it.
#[derive(Debug, Serialize)]
pub(super) struct Row<'a> {
    #[serde(flatten)]
    service: &'a Service,
    endpoints: Counted,
    #[serde(flatten)]
    judged: Judged,
    #[serde(flatten)]
    golden: Golden,
    connections: f64,
    active: f64,
    retries: f64,
    timeouts: f64,
    breaker: Breaker,
}

#[derive(Debug, Serialize)]
struct Counted {
    total: usize,
    healthy: usize,
}

impl Row<'_> {
    pub(super) fn health(&self) -> Health {
        self.judged.health
    }

    fn compare(&self, other: &Self, order: Order) -> Ordering {
        let (a, b) = (&self.golden, &other.golden);
        let by = match order {
            Order::Worst => (other.judged.health.cmp(&self.judged.health))
                .then(b.error_rate.total_cmp(&a.error_rate))
                .then(b.rate.total_cmp(&a.rate)),
            Order::Rate => b.rate.total_cmp(&a.rate),
            Order::ErrorRate => b.error_rate.total_cmp(&a.error_rate),
            Order::P99 => b.p99.unwrap_or(-1.0).total_cmp(&a.p99.unwrap_or(-1.0)),
            Order::Name => Ordering::Equal,
        };
        by.then_with(|| self.service.id.cmp(&other.service.id))
    }
}

/// All of them, sorted.
pub(super) fn rows(seen: &Seen, order: Order) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = seen.model.services.values().map(|s| row(seen, s)).collect();
    rows.sort_by(|a, b| a.compare(b, order));
    rows
}

fn row<'a>(seen: &'a Seen, service: &'a Service) -> Row<'a> {
    let golden = Golden::of(seen.calls_of(service));
    let host = seen.host_of(service);
    let breaker = host.breaker(service.breaks);
    let addresses: BTreeMap<&str, bool> =
        service.endpoints.iter().map(|e| (e.address.as_str(), e.ready)).collect();
    let counted =
        Counted { total: addresses.len(), healthy: addresses.values().filter(|ready| **ready).count() };
    let mut judged = Judged::of(&golden, seen.seconds()).with_breaker(&breaker);
    if service.kind == "service" && counted.healthy == 0 {
        let health = if golden.is_idle() { Health::Degraded } else { Health::Failing };
        judged.add(health, Reason::new("no-endpoints", "no endpoint is ready", 0.0, 1.0));
    }
    let Host { connections, active, retries, timeouts, .. } = host;
    Row { service, endpoints: counted, judged, golden, connections, active, retries, timeouts, breaker }
}

/// Those of a namespace (empty: all) with `part` in their name.
pub(crate) fn services(seen: &Seen, order: Order, namespace: &str, part: &str) -> Value {
    let wanted = |row: &&Row<'_>| {
        (namespace.is_empty() || row.service.namespace == namespace) && row.service.id.contains(part)
    };
    let rows = rows(seen, order);
    let rows: Vec<&Row<'_>> = rows.iter().filter(wanted).collect();
    json!({"time": seen.time(), "window": seen.seconds(), "services": rows})
}

/// One service; `None` if there is no such one.
pub(crate) fn service(seen: &Seen, id: &str) -> Option<Value> {
    let service = seen.model.services.get(id)?;
    let row = row(seen, service);
    let host = seen.host_of(service);
    let mut out = json!(row);
    out["time"] = json!(seen.time());
    out["window"] = json!(seen.seconds());
    out["routes"] = routes(seen, service);
    out["subsets"] = subsets(seen, service);
    let inbound = seen.peers(seen.calls_of(service), |key| &key.source);
    let outbound = service.workloads.iter().flat_map(|w| seen.outbound(w));
    out["peers"] = json!({"inbound": inbound, "outbound": seen.peers(outbound, |key| &key.target)});
    out["endpoints"]["list"] = endpoints(seen, service, &host);
    out["configuration"] = json!(service.configuration);
    out["queries"] = queries(&service.host, seen.seconds());
    if let Some(query) = query_of_routes(service, seen.seconds()) {
        out["queries"]["routes"] = json!(query);
    }
    out["commands"] = json!([
        format!("tulle top -n {}", service.namespace),
        format!("tulle get svc {} -n {} -o yaml", service.name, service.namespace),
    ]);
    Some(out)
}

/// Its routes, those of HTTP and gRPC with what came of the requests that they sent on.
fn routes(seen: &Seen, service: &Service) -> Value {
    let all = service.routes.iter().map(|route| {
        let mut out = json!(route);
        let Some(rule) = rule_of(route) else { return out };
        let Routed { calls, grpc } = seen.graph.rules.get(&rule).cloned().unwrap_or_default();
        let golden = json!(Golden::of_rule(&calls));
        if let (Some(out), Value::Object(golden)) = (out.as_object_mut(), golden) {
            out.extend(golden);
        }
        out["grpc"] = json!(grpc);
        out
    });
    json!(all.collect::<Vec<Value>>())
}

/// As whoever routes tells of the rule; `None` of connections, whose rules are not counted.
fn rule_of(route: &Route) -> Option<Rule> {
    let Reference { kind, namespace, name, .. } = route.resource.clone()?;
    let (_, rule) = route.id.rsplit_once('#')?;
    let counted = match kind.as_str() {
        "VirtualService" => rule.starts_with("http["),
        "HTTPRoute" | "GRPCRoute" => true,
        _ => false,
    };
    counted.then(|| Rule { kind, namespace, name, rule: rule.to_owned() })
}

/// Requests a second of its routes by rule and result, as PromQL; `None` if it has none that are counted.
fn query_of_routes(service: &Service, window: f64) -> Option<String> {
    let rules: std::collections::BTreeSet<(String, String)> =
        service.routes.iter().filter_map(rule_of).map(|rule| (rule.namespace, rule.name)).collect();
    let one = |(namespace, name): &(String, String)| {
        format!(
            r#"rate(tulle_route_requests_total{{route_namespace="{}",route_name="{}"}}[{window:.0}s])"#,
            quoted(namespace),
            quoted(name)
        )
    };
    let all: Vec<String> = rules.iter().map(one).collect();
    let by = "route_kind, route_namespace, route_name, route_rule, result";
    (!all.is_empty()).then(|| format!("sum by ({by}) ({})", all.join(" or ")))
}

fn subsets(seen: &Seen, service: &Service) -> Value {
    let of = |workloads: &std::collections::BTreeSet<String>| {
        Golden::of(seen.calls_of(service).filter(|(key, _)| workloads.contains(&key.target)))
    };
    let all = service.subsets.iter().map(|subset| {
        let mut out = json!(of(&subset.workloads));
        out["name"] = json!(subset.name);
        out["labels"] = json!(subset.labels);
        out["workloads"] = json!(subset.workloads);
        out
    });
    json!(all.collect::<Vec<Value>>())
}

fn endpoints(seen: &Seen, service: &Service, host: &Host) -> Value {
    let workload_of_pod = |pod: &str| {
        let (namespace, name) = pod.split_once('/')?;
        let of = seen
            .model
            .workloads
            .values()
            .find(|w| w.namespace == namespace && w.pods.iter().any(|p| p.name == name));
        of.map(|w| w.id.clone())
    };
    let all = service.endpoints.iter().map(|endpoint| {
        let mut out = json!(endpoint);
        let told = host.by_endpoint.get(&endpoint.address);
        let circuit = told.map_or(BreakerState::None, |t| t.circuit);
        let by: std::collections::BTreeSet<String> = told
            .into_iter()
            .flat_map(|t| &t.ejected_by)
            .map(|p| workload_of_pod(p).unwrap_or_else(|| p.clone()))
            .collect();
        out["breaker"] = json!(if service.breaks { circuit.max(BreakerState::Closed) } else { circuit });
        out["ejectedBy"] = json!(by);
        out["rate"] = json!(told.map(|t| t.rate));
        out["errors"] = json!(told.map(|t| t.errors));
        out["connections"] = json!(told.map(|t| t.connections));
        out
    });
    json!(all.collect::<Vec<Value>>())
}

/// The same numbers from a Prometheus, over a window of so many seconds.
fn queries(host: &str, window: f64) -> Value {
    let host = quoted(host);
    let selector = format!(r#"reporter=~"source|waypoint",destination_service="{host}""#);
    let sum = |more: &str| format!("sum(rate(istio_requests_total{{{selector}{more}}}[{window:.0}s]))");
    // As errors are counted: no answer, a status from 500 on, a gRPC status other than 0.
    let failed = format!(
        "(({} or vector(0)) + ({} or vector(0)))",
        sum(r#",response_code=~"0|5..""#),
        sum(r#",response_code!~"0|5..",grpc_response_status=~".+",grpc_response_status!="0""#)
    );
    let quantile = |q: &str| {
        format!(
            "histogram_quantile({q}, sum by (le) (rate(istio_request_duration_milliseconds_bucket{{{selector}}}[{window:.0}s])))"
        )
    };
    let clusters = format!(r#"{{cluster_name=~"outbound\\|.*\\|{}"}}"#, host.replace('.', r"\\."));
    json!({
        "rate": sum(""),
        "errorRate": format!("{failed} / {}", sum("")),
        "p50": quantile("0.5"), "p95": quantile("0.95"), "p99": quantile("0.99"),
        "connections": format!("sum(envoy_cluster_upstream_cx_active{clusters})"),
        "ejected": format!("max(envoy_cluster_outlier_detection_ejections_active{clusters})"),
        "endpoints": format!("max(envoy_cluster_membership_total{clusters})"),
    })
}
