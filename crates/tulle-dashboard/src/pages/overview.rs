//! `/api/overview`: what somebody looks at first.

use serde::Serialize;
use serde_json::{Value, json};

use super::Seen;
use super::golden::Golden;
use super::health::Health;
use super::services::{Order, rows};
use crate::plane::{Certificates, Change, Proxies, ResourceRow};
use crate::store::Stats;

/// Rows of a list at most.
const MOST: usize = 50;
/// How long before its end a root is to be replaced; seconds.
const ROOT_SOON: f64 = 30.0 * 86_400.0;

/// What is looked at besides traffic.
pub(crate) struct About<'a> {
    pub(crate) proxies: &'a Proxies,
    pub(crate) certificates: &'a Certificates,
    pub(crate) resources: &'a [ResourceRow],
    pub(crate) changes: Vec<Change>,
    pub(crate) stats: Stats,
    /// Clients of events that did not read.
    pub(crate) events_cut: u64,
    /// What the control plane says of itself.
    pub(crate) control: &'a Value,
}

/// One thing that is looked after.
#[derive(Debug, Serialize)]
struct Check {
    id: &'static str,
    /// `ok`, `warn`, `fail` or `unknown`.
    status: &'static str,
    title: String,
    detail: String,
    fix: Option<String>,
    command: Option<&'static str>,
    link: Option<&'static str>,
}

pub(crate) fn overview(seen: &Seen, about: &About<'_>) -> Value {
    let rows = rows(seen, Order::Worst);
    let count = |health: Health| rows.iter().filter(|r| r.health() == health).count();
    let mut totals = json!(Golden::of(&seen.graph.edges));
    let entering = seen.graph.edges.iter().filter(|(key, _)| is_entrance(seen, &key.source));
    totals["entering"] = json!(Golden::of(entering).rate);
    let known: (f64, f64) =
        seen.graph.edges.values().fold((0.0, 0.0), |(mtls, all), e| (mtls + e.mtls, all + e.mtls + e.plain));
    let plain = seen.graph.edges.values().filter(|e| e.plain > 0.0).count();
    let state = |state: &str| about.proxies.proxies.iter().filter(|p| p.state == state).count();
    let resources = |state: &str| about.resources.iter().filter(|r| r.state == state).count();
    let pending = about.resources.iter().filter(|r| r.programmed.state == "pending").count();
    let soonest = about.certificates.workloads.iter().min_by(|a, b| a.expires.total_cmp(&b.expires));
    json!({
        "time": seen.time(), "window": seen.seconds(),
        "mesh": {
            "version": about.control["version"], "uptime": about.control["uptime"],
            "trustDomain": seen.model.trust_domain, "rootNamespace": seen.model.root_namespace,
        },
        "checks": checks(seen, about),
        "totals": totals,
        "health": {
            "healthy": count(Health::Healthy), "degraded": count(Health::Degraded),
            "failing": count(Health::Failing), "idle": count(Health::Idle),
        },
        "services": rows.iter().take(MOST).collect::<Vec<_>>(), "servicesTotal": rows.len(),
        "proxies": {
            "connected": about.proxies.proxies.len(), "synced": state("SYNCED"), "stale": state("STALE"),
            "rejecting": state("ERROR"), "unconnected": about.proxies.unconnected.len(),
        },
        "encryption": {
            "share": (known.1 > 0.0).then(|| known.0 / known.1),
            "edges": seen.graph.edges.len(), "plaintextEdges": plain,
        },
        "certificates": {"rootExpires": about.certificates.signs_until, "soonest": soonest},
        "configuration": {
            "resources": about.resources.len(), "errors": resources("error"), "warnings": resources("warning"),
            "pending": pending,
        },
        "changes": about.changes.iter().take(MOST).collect::<Vec<_>>(),
    })
}

/// Whether requests of this node come from outside of the mesh: it is a gateway.
fn is_entrance(seen: &Seen, node: &str) -> bool {
    let gateway = crate::plane::Badge::Gateway;
    seen.model.workloads.get(node).is_some_and(|w| w.badges.contains(&gateway))
}

fn checks(seen: &Seen, about: &About<'_>) -> Vec<Check> {
    let mut all = Vec::new();
    let mut add =
        |id, bad: &str, ok: bool, title: (&str, String), fix: &str, link: (&'static str, &'static str)| {
            let status = match (ok, bad) {
                (true, _) => "ok",
                (false, "fail") => "fail",
                (false, _) => "warn",
            };
            let (title, detail) = title;
            all.push(Check {
                id,
                status,
                title: title.to_owned(),
                detail,
                fix: (!ok && !fix.is_empty()).then(|| fix.to_owned()),
                command: (!link.0.is_empty()).then_some(link.0),
                link: (!link.1.is_empty()).then_some(link.1),
            });
        };
    let ready = about.control["ready"] == true;
    let uptime = about.control["uptime"].as_f64().unwrap_or(0.0);
    add(
        "control-plane-ready",
        "fail",
        ready,
        ("The control plane knows the mesh", format!("up for {uptime:.0} s")),
        "look at its log for what the store says",
        ("tulle logs -n istio-system istiod", "/control-plane"),
    );
    let proxies = &about.proxies.proxies;
    let missing: Vec<String> =
        about.proxies.unconnected.iter().map(|u| format!("{}/{}", u.namespace, u.pod)).collect();
    add(
        "proxies-connected",
        "warn",
        missing.is_empty(),
        (
            "Every pod has a connected proxy",
            match missing.len() {
                0 => format!("{} proxies", proxies.len()),
                _ => format!("without: {}", first(&missing)),
            },
        ),
        "label the namespace istio-injection=enabled and start the pods again, or look at the proxy's log",
        ("tulle proxy-status", "/proxies"),
    );
    let named = |state: &str| -> Vec<String> {
        proxies.iter().filter(|p| p.state == state).map(|p| p.id.clone()).collect()
    };
    let (stale, refusing) = (named("STALE"), named("ERROR"));
    add(
        "proxies-synced",
        "warn",
        stale.is_empty(),
        ("Every proxy has what was sent", first(&stale)),
        "a proxy that stays behind is overloaded or cut off: look at its log",
        ("tulle proxy-status", "/proxies"),
    );
    add(
        "proxies-accept",
        "fail",
        refusing.is_empty(),
        ("No proxy refuses its configuration", first(&refusing)),
        "the resource's status names what was refused and why",
        ("tulle proxy-status", "/proxies"),
    );
    let wrong: Vec<String> =
        about.resources.iter().filter(|r| r.state == "error").map(|r| r.reference.id.clone()).collect();
    let warned = about.resources.iter().filter(|r| r.state == "warning").count();
    add(
        "configuration-valid",
        "fail",
        wrong.is_empty(),
        (
            "No resource has errors",
            match (wrong.is_empty(), warned) {
                (true, 0) => String::new(),
                (true, n) => format!("{n} with warnings"),
                _ => first(&wrong),
            },
        ),
        "open the resource: each finding says what to do",
        ("tulle analyze --live", "/config?state=error"),
    );
    add(
        "telemetry-arrives",
        "fail",
        proxies.is_empty() || about.stats.sources > 0,
        (
            "Proxies tell what they count",
            format!("{} sources, {} series", about.stats.sources, about.stats.series),
        ),
        "proxies tell on the connection of xDS: see that they reach port 15012",
        ("", "/control-plane"),
    );
    let losses = about.stats.losses;
    let lost = losses.full + losses.refused + losses.values;
    add(
        "telemetry-lost",
        "warn",
        lost == 0,
        (
            "Nothing that was counted is lost",
            match lost {
                0 => String::new(),
                n => format!("{n} series or values were not taken"),
            },
        ),
        "fewer labels, or fewer paths: see docs/telemetry-store.md",
        ("", "/control-plane"),
    );
    let empty: Vec<String> = (seen.model.services.values())
        .filter(|s| s.kind == "service" && !s.endpoints.iter().any(|e| e.ready))
        .map(|s| s.id.clone())
        .collect();
    add(
        "services-have-endpoints",
        "warn",
        empty.is_empty(),
        ("Every service has a ready endpoint", first(&empty)),
        "compare the service's selector with the pods' labels, and see why the pods are not ready",
        ("tulle status", "/services"),
    );
    let bare: Vec<String> = (seen.model.workloads.values())
        .filter(|w| w.badges.contains(&crate::plane::Badge::MissingSidecar))
        .map(|w| w.id.clone())
        .collect();
    add(
        "pods-injected",
        "warn",
        bare.is_empty(),
        ("Every workload has sidecars", first(&bare)),
        "label the namespace istio-injection=enabled and start the pods again",
        ("tulle status", "/proxies"),
    );
    let plain: Vec<String> = (seen.graph.edges.iter())
        .filter(|(_, e)| e.plain > 0.0)
        .map(|(k, _)| format!("{} → {}", k.source, k.target))
        .collect();
    add(
        "encryption",
        "warn",
        plain.is_empty(),
        ("All calls are encrypted", first(&plain)),
        "give the clients sidecars, then set PeerAuthentication to STRICT",
        ("", "/security"),
    );
    let left = about.certificates.signs_until - seen.time();
    add(
        "ca-root",
        "fail",
        left > ROOT_SOON,
        ("What signs certificates is valid for a month", format!("{:.0} days", left / 86_400.0)),
        "rotate it",
        ("tulle ca rotate", "/security/certificates"),
    );
    let old: Vec<String> = (about.certificates.workloads.iter())
        .filter(|c| c.state == "expired" || c.state == "due")
        .filter(|c| c.workload.is_some())
        .map(|c| c.identity.clone())
        .collect();
    add(
        "certificates-fresh",
        "warn",
        old.is_empty(),
        ("Certificates of workloads are renewed in time", first(&old)),
        "a proxy renews at half of its certificate's life: see that it reaches the CA on port 15012",
        ("tulle ca status", "/security/certificates"),
    );
    add(
        "events-lost",
        "warn",
        about.events_cut == 0,
        (
            "No browser was cut off for not reading",
            match about.events_cut {
                0 => String::new(),
                n => format!("{n} since the start"),
            },
        ),
        "reload pages that were in the background for long",
        ("", ""),
    );
    all
}

/// The first three, and how many more.
fn first(all: &[String]) -> String {
    let shown = all.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
    if all.len() > 3 { format!("{shown} and {} more", all.len() - 3) } else { shown }
}
