//! `/api/overview`: what somebody looks at first.

use serde_json::{Value, json};

use super::Seen;
use super::checks::checks;
use super::golden::Golden;
use super::health::Health;
use super::services::{Order, rows};
use crate::plane::{Certificates, Change, Proxies, ResourceRow};
use crate::store::Stats;

/// Rows of a list at most.
const MOST: usize = 50;

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
