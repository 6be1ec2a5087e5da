//! What applies to a service or workload, and which resource says so.

use tulle_dashboard::plane::{Applied, Reference, Route};
use tulle_mesh::Snapshot;
use tulle_mesh::destination::{
    Algorithm, ClientTlsMode, ConnectionPool, DestinationRule, LoadBalancer, Outlier,
};
use tulle_mesh::policy::Action;
use tulle_mesh::service::Service;
use tulle_mesh::workload::Workload;

use super::model::{mode_name, reference};
use super::routes::time_words;

/// What a client is told about a service, in the order in which a request meets it.
pub(super) fn of_service(
    service: &Service,
    routes: &[Route],
    rule: Option<&DestinationRule>,
    port: u16,
) -> Vec<Applied> {
    let mut out = Vec::new();
    if !service.exports_by_default {
        out.push(Applied {
            what: "Visibility",
            value: format!("{:?}", service.export_to),
            why: "exportTo".to_owned(),
            resource: Some(reference(&service.meta.resource)),
            rule: None,
        });
    }
    for route in routes {
        of_route(route, &mut out);
    }
    if routes.is_empty() {
        out.push(default("Routing", "to every endpoint", "no route is for this host"));
    }
    if !routes.iter().any(|r| r.timeout.is_some()) {
        out.push(default("Timeout", "none", "no route sets one"));
    }
    if !routes.iter().any(|r| r.retries.is_some())
        && rule.is_none_or(|r| r.effective("", port).retries.is_none())
    {
        out.push(default(
            "Retries",
            "2 on connect-failure, refused-stream, unavailable, cancelled",
            "the default of the mesh",
        ));
    }
    let Some(rule) = rule else {
        out.push(default("Load balancer", "LEAST_REQUEST", "the default of the mesh"));
        out.push(default(
            "Connection pool",
            "without limits of its own",
            "no DestinationRule is for this host",
        ));
        out.push(default("Outlier detection", "off", "no DestinationRule is for this host"));
        return out;
    };
    of_rule(rule, port, &mut out);
    out
}

fn of_route(route: &Route, out: &mut Vec<Applied>) {
    let mut add = |what, value: String, field: &str| {
        let why = if field.is_empty() { route.name.clone() } else { format!("{}.{field}", route.name) };
        out.push(Applied { what, value, why, resource: route.resource.clone(), rule: Some(route.rule) });
    };
    let matched =
        if route.matches.is_empty() { "every request".to_owned() } else { route.matches.join(", or ") };
    let to: Vec<String> = (route.destinations.iter())
        .map(|d| {
            let subset = if d.subset.is_empty() { String::new() } else { format!(" subset {}", d.subset) };
            format!("{}{subset} {} %", d.host, d.weight)
        })
        .collect();
    let to = route.action.clone().unwrap_or_else(|| to.join(", "));
    add("Routing", format!("{matched}: {to}"), "");
    if let Some(fault) = &route.fault {
        let abort = fault.abort.as_ref().map(|a| format!("status {} for {} %", a.status, a.percentage));
        let delay = fault.delay.as_ref().map(|d| format!("{} s later for {} %", d.seconds, d.percentage));
        add("Fault", abort.into_iter().chain(delay).collect::<Vec<_>>().join("; "), "fault");
    }
    if let Some(timeout) = route.timeout {
        add("Timeout", format!("{timeout} s"), "timeout");
    }
    if let Some(retries) = &route.retries {
        let each = retries.per_try_timeout.map(|t| format!(", {t} s each")).unwrap_or_default();
        let on = if retries.on.is_empty() { String::new() } else { format!(" on {}", retries.on) };
        add("Retries", format!("{}{on}{each}", retries.attempts), "retries");
    }
    if let Some(mirror) = &route.mirror {
        add(
            "Mirror",
            format!("{} % to {} {}", mirror.percentage, mirror.destination.host, mirror.destination.subset),
            "mirror",
        );
    }
}

fn of_rule(rule: &DestinationRule, port: u16, out: &mut Vec<Applied>) {
    let whole = rule.effective("", port);
    let mut parts = vec![(String::new(), whole)];
    // What a subset has otherwise.
    for subset in &rule.subsets {
        let policy = rule.effective(&subset.name, port);
        if policy != whole {
            parts.push((subset.name.clone(), policy));
        }
    }
    for (subset, policy) in parts {
        let of = if subset.is_empty() { String::new() } else { format!("subset {subset}: ") };
        let field = if subset.is_empty() {
            "spec.trafficPolicy".to_owned()
        } else {
            format!("spec.subsets[{subset}].trafficPolicy")
        };
        let mut add = |what, value: Option<String>, name: &str, missing: &str| {
            let (value, why) = match value {
                Some(value) => (value, format!("{field}.{name}")),
                None if subset.is_empty() => (missing.to_owned(), "not set".to_owned()),
                None => return,
            };
            out.push(Applied {
                what,
                value: format!("{of}{value}"),
                why,
                resource: Some(reference(&rule.meta.resource)),
                rule: None,
            });
        };
        let retries = policy.retries.map(|r| format!("{} on {}", r.attempts, r.retry_on));
        if retries.is_some() {
            add("Retries", retries, "retries", "");
        }
        add("Load balancer", policy.load_balancer.map(balancer), "loadBalancer", "LEAST_REQUEST");
        add(
            "Connection pool",
            policy.connection_pool.map(pool),
            "connectionPool",
            "without limits of its own",
        );
        add("Outlier detection", policy.outlier.map(outlier), "outlierDetection", "off");
        let tls = policy.tls.map(|tls| match tls.mode {
            ClientTlsMode::Disable => "DISABLE".to_owned(),
            ClientTlsMode::Simple => "SIMPLE".to_owned(),
            ClientTlsMode::Mutual => "MUTUAL".to_owned(),
            ClientTlsMode::IstioMutual => "ISTIO_MUTUAL".to_owned(),
        });
        add("TLS to it", tls, "tls", "mutual TLS where the server can");
    }
}

/// What a server does with requests before its application sees them.
pub(super) fn of_workload(snapshot: &Snapshot, pod: &Workload) -> Vec<Applied> {
    let (namespace, labels) = (pod.namespace(), &pod.labels);
    let modes = snapshot.peer_modes(namespace, labels);
    let decided = modes.decided_by.as_ref().map(|meta| reference(&meta.resource));
    let why = if decided.is_some() { "spec.mtls.mode" } else { "the default of the mesh" };
    let mut out = vec![Applied {
        what: "mTLS accepted",
        value: mode_name(modes.mode).to_owned(),
        why: why.to_owned(),
        resource: decided,
        rule: None,
    }];
    for tokens in snapshot.tokens_of(namespace, labels) {
        let issuers: Vec<&str> = tokens.rules.iter().map(|r| r.issuer.as_str()).collect();
        out.push(of(
            "Authentication",
            format!("tokens of {}", issuers.join(", ")),
            reference(&tokens.meta.resource),
        ));
    }
    for policy in snapshot.authorizations(namespace, labels) {
        let action = action_name(&policy.action);
        let rules = match policy.rules.len() {
            1 => "1 rule".to_owned(),
            n => format!("{n} rules"),
        };
        let tried = if policy.dry_run { ", tried only" } else { "" };
        out.push(of("Authorization", format!("{action}: {rules}{tried}"), reference(&policy.meta.resource)));
    }
    for limit in snapshot.rate_limits(namespace, labels) {
        let each = limit
            .limits
            .iter()
            .map(|l| format!("{}: {} in {}", l.name, l.rate.requests, time_words(l.rate.unit)));
        out.push(of("Rate limit", each.collect::<Vec<_>>().join("; "), reference(&limit.meta.resource)));
    }
    if let Some(sidecar) = snapshot.sidecar(namespace, labels) {
        out.push(of("Sidecar", "limits what its proxy knows".to_owned(), reference(&sidecar.meta.resource)));
    }
    out
}

/// The policies for a workload.
pub(super) fn policies_of(snapshot: &Snapshot, pod: &Workload) -> Vec<Reference> {
    let all = snapshot.authorizations(pod.namespace(), &pod.labels);
    all.into_iter().map(|policy| reference(&policy.meta.resource)).collect()
}

pub(super) fn action_name(action: &Action) -> &'static str {
    match action {
        Action::Allow => "ALLOW",
        Action::Deny => "DENY",
        Action::Audit => "AUDIT",
        Action::Custom(_) => "CUSTOM",
    }
}

fn of(what: &'static str, value: String, resource: Reference) -> Applied {
    Applied { what, value, why: "it selects the workload".to_owned(), resource: Some(resource), rule: None }
}

fn default(what: &'static str, value: &str, why: &str) -> Applied {
    Applied { what, value: value.to_owned(), why: why.to_owned(), resource: None, rule: None }
}

fn balancer(balancer: &LoadBalancer) -> String {
    match &balancer.algorithm {
        None | Some(Algorithm::LeastRequest) => "LEAST_REQUEST".to_owned(),
        Some(Algorithm::RoundRobin) => "ROUND_ROBIN".to_owned(),
        Some(Algorithm::Random) => "RANDOM".to_owned(),
        Some(Algorithm::Passthrough) => "PASSTHROUGH".to_owned(),
        Some(Algorithm::Consistent(hash)) => format!("consistent hash of {:?}", hash.key),
    }
}

fn pool(pool: &ConnectionPool) -> String {
    let number = |name: &str, value: Option<u32>| value.map(|v| format!("{name} {v}"));
    let time =
        |name: &str, value: Option<std::time::Duration>| value.map(|v| format!("{name} {}", time_words(v)));
    let all = [
        number("maxConnections", pool.max_connections),
        number("http1MaxPendingRequests", pool.http1_max_pending),
        number("http2MaxRequests", pool.http2_max_requests),
        number("maxRequestsPerConnection", pool.max_requests_per_connection),
        number("maxRetries", pool.max_retries),
        time("connectTimeout", pool.connect_timeout),
        time("idleTimeout", pool.http_idle_timeout.or(pool.tcp_idle_timeout)),
    ];
    let all: Vec<String> = all.into_iter().flatten().collect();
    if all.is_empty() { "without limits of its own".to_owned() } else { all.join(", ") }
}

fn outlier(outlier: &Outlier) -> String {
    let mut all = vec![format!("{} errors 5xx in a row", outlier.consecutive_5xx.unwrap_or(5))];
    all.extend(
        outlier.consecutive_gateway.filter(|n| *n > 0).map(|n| format!("{n} of 502, 503, 504 in a row")),
    );
    all.extend(outlier.interval.map(|t| format!("looked at every {}", time_words(t))));
    all.extend(outlier.base_ejection.map(|t| format!("left out for {}", time_words(t))));
    all.push(format!("{} % at most", outlier.max_ejection_percent.unwrap_or(10)));
    all.join(", ")
}
