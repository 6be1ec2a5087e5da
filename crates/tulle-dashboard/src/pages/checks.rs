//! What is looked after, one line each: what is wrong, and what to do about it.

use serde::Serialize;

use super::Seen;
use super::overview::About;
use crate::plane::Badge;

/// How long before its end a root is to be replaced; seconds.
const ROOT_SOON: f64 = 30.0 * 86_400.0;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    id: &'static str,
    /// `ok`, `warn` or `fail`.
    status: &'static str,
    title: &'static str,
    detail: String,
    fix: Option<&'static str>,
    command: Option<&'static str>,
    link: Option<&'static str>,
}

/// One thing to look at.
struct Rule {
    id: &'static str,
    /// What it is if it is not well: `warn` or `fail`.
    bad: &'static str,
    /// What holds if it is well.
    title: &'static str,
    fix: &'static str,
    command: Option<&'static str>,
    link: Option<&'static str>,
    look: fn(&Seen, &About<'_>) -> Found,
}

/// What was found.
struct Found {
    ok: bool,
    detail: String,
}

const RULES: &[Rule] = &[
    Rule {
        id: "control-plane-ready",
        bad: "fail",
        title: "The control plane knows the mesh",
        fix: "look at its log for what the store says",
        command: Some("tulle logs -n istio-system istiod"),
        link: Some("/control-plane"),
        look: control_plane_ready,
    },
    Rule {
        id: "proxies-connected",
        bad: "warn",
        title: "Every pod has a connected proxy",
        fix: "label the namespace istio-injection=enabled and start the pods again, or look at the proxy's log",
        command: Some("tulle proxy-status"),
        link: Some("/proxies"),
        look: proxies_connected,
    },
    Rule {
        id: "proxies-synced",
        bad: "warn",
        title: "Every proxy has what was sent",
        fix: "a proxy that stays behind is overloaded or cut off: look at its log",
        command: Some("tulle proxy-status"),
        link: Some("/proxies"),
        look: |_, about| none(&in_state(about, "STALE")),
    },
    Rule {
        id: "proxies-accept",
        bad: "fail",
        title: "No proxy refuses its configuration",
        fix: "the resource's status names what was refused and why",
        command: Some("tulle proxy-status"),
        link: Some("/proxies"),
        look: |_, about| none(&in_state(about, "ERROR")),
    },
    Rule {
        id: "configuration-valid",
        bad: "fail",
        title: "No resource has errors",
        fix: "open the resource: each finding says what to do",
        command: Some("tulle analyze --live"),
        link: Some("/config?state=error"),
        look: configuration_valid,
    },
    Rule {
        id: "telemetry-arrives",
        bad: "fail",
        title: "Proxies tell what they count",
        fix: "proxies tell on the connection of xDS: see that they reach port 15012",
        command: None,
        link: Some("/control-plane"),
        look: telemetry_arrives,
    },
    Rule {
        id: "telemetry-lost",
        bad: "warn",
        title: "Nothing that was counted is lost",
        fix: "fewer labels, or fewer paths: see docs/telemetry-store.md",
        command: None,
        link: Some("/control-plane"),
        look: telemetry_lost,
    },
    Rule {
        id: "services-have-endpoints",
        bad: "warn",
        title: "Every service has a ready endpoint",
        fix: "compare the service's selector with the pods' labels, and see why the pods are not ready",
        command: Some("tulle status"),
        link: Some("/services"),
        look: services_have_endpoints,
    },
    Rule {
        id: "pods-injected",
        bad: "warn",
        title: "Every workload has sidecars",
        fix: "label the namespace istio-injection=enabled and start the pods again",
        command: Some("tulle status"),
        link: Some("/proxies"),
        look: pods_injected,
    },
    Rule {
        id: "encryption",
        bad: "warn",
        title: "All calls are encrypted",
        fix: "give the clients sidecars, then set PeerAuthentication to STRICT",
        command: None,
        link: Some("/security"),
        look: encryption,
    },
    Rule {
        id: "ca-root",
        bad: "fail",
        title: "What signs certificates is valid for a month",
        fix: "rotate it",
        command: Some("tulle ca rotate"),
        link: Some("/security/certificates"),
        look: ca_root,
    },
    Rule {
        id: "certificates-fresh",
        bad: "warn",
        title: "Certificates of workloads are renewed in time",
        fix: "a proxy renews at half of its certificate's life: see that it reaches the CA on port 15012",
        command: Some("tulle ca status"),
        link: Some("/security/certificates"),
        look: certificates_fresh,
    },
    Rule {
        id: "events-lost",
        bad: "warn",
        title: "No browser was cut off for not reading",
        fix: "reload pages that were in the background for long",
        command: None,
        link: None,
        look: events_lost,
    },
];

/// Looks at everything.
pub(super) fn checks(seen: &Seen, about: &About<'_>) -> Vec<Check> {
    let check = |rule: &Rule| {
        let Rule { id, bad, title, fix, command, link, look } = *rule;
        let Found { ok, detail } = look(seen, about);
        let status = if ok { "ok" } else { bad };
        Check { id, status, title, detail, fix: (!ok).then_some(fix), command, link }
    };
    RULES.iter().map(check).collect()
}

/// Well if there are none of these.
fn none(wrong: &[String]) -> Found {
    Found { ok: wrong.is_empty(), detail: first(wrong) }
}

/// The first three, and how many more.
fn first(all: &[String]) -> String {
    let shown = all.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
    if all.len() > 3 { format!("{shown} and {} more", all.len() - 3) } else { shown }
}

fn in_state(about: &About<'_>, state: &str) -> Vec<String> {
    let all = about.proxies.proxies.iter();
    all.filter(|p| p.state == state).map(|p| p.id.clone()).collect()
}

fn control_plane_ready(_: &Seen, about: &About<'_>) -> Found {
    let uptime = about.control["uptime"].as_f64().unwrap_or(0.0);
    Found { ok: about.control["ready"] == true, detail: format!("up for {uptime:.0} s") }
}

fn proxies_connected(_: &Seen, about: &About<'_>) -> Found {
    let all = about.proxies.unconnected.iter();
    let missing: Vec<String> = all.map(|u| format!("{}/{}", u.namespace, u.pod)).collect();
    let detail = match missing.is_empty() {
        true => format!("{} proxies", about.proxies.proxies.len()),
        false => format!("without: {}", first(&missing)),
    };
    Found { ok: missing.is_empty(), detail }
}

fn configuration_valid(_: &Seen, about: &About<'_>) -> Found {
    let in_state = |state: &'static str| about.resources.iter().filter(move |r| r.state == state);
    let wrong: Vec<String> = in_state("error").map(|r| r.reference.id.clone()).collect();
    let detail = match (wrong.is_empty(), in_state("warning").count()) {
        (true, 0) => String::new(),
        (true, n) => format!("{n} with warnings"),
        _ => first(&wrong),
    };
    Found { ok: wrong.is_empty(), detail }
}

fn telemetry_arrives(_: &Seen, about: &About<'_>) -> Found {
    let (sources, series) = (about.stats.sources, about.stats.series);
    let ok = about.proxies.proxies.is_empty() || sources > 0;
    Found { ok, detail: format!("{sources} sources, {series} series") }
}

fn telemetry_lost(_: &Seen, about: &About<'_>) -> Found {
    let losses = about.stats.losses;
    counted(losses.full + losses.refused + losses.values, "series or values were not taken")
}

fn events_lost(_: &Seen, about: &About<'_>) -> Found {
    counted(about.events_cut, "since the start")
}

/// Well if it never happened.
fn counted(times: u64, what: &str) -> Found {
    Found { ok: times == 0, detail: if times == 0 { String::new() } else { format!("{times} {what}") } }
}

fn services_have_endpoints(seen: &Seen, _: &About<'_>) -> Found {
    let empty = |s: &&crate::plane::Service| s.kind == "service" && !s.endpoints.iter().any(|e| e.ready);
    none(&seen.model.services.values().filter(empty).map(|s| s.id.clone()).collect::<Vec<_>>())
}

fn pods_injected(seen: &Seen, _: &About<'_>) -> Found {
    let bare = seen.model.workloads.values().filter(|w| w.badges.contains(&Badge::MissingSidecar));
    none(&bare.map(|w| w.id.clone()).collect::<Vec<_>>())
}

fn encryption(seen: &Seen, _: &About<'_>) -> Found {
    let plain = seen.graph.edges.iter().filter(|(_, edge)| edge.plain > 0.0);
    none(&plain.map(|(key, _)| format!("{} → {}", key.source, key.target)).collect::<Vec<_>>())
}

fn ca_root(seen: &Seen, about: &About<'_>) -> Found {
    let left = about.certificates.signs_until - seen.time();
    Found { ok: left > ROOT_SOON, detail: format!("{:.0} days", left / 86_400.0) }
}

fn certificates_fresh(_: &Seen, about: &About<'_>) -> Found {
    let all = about.certificates.workloads.iter();
    let old = all.filter(|c| matches!(c.state, "expired" | "due") && c.workload.is_some());
    none(&old.map(|c| c.identity.clone()).collect::<Vec<_>>())
}
