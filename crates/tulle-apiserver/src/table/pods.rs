//! Pods.

use serde_json::{Value, json};

use super::read::{condition, list, number, since_creation, text, text_or_none};
use super::{AGE, View, age, text as column, wide};

pub(super) const POD: View = View {
    columns: &[
        column("Ready", "How many containers are ready, of how many."),
        column("Status", "Where the pod is in its life, or why it does not get on."),
        column("Restarts", "How often containers were started again, and when last."),
        AGE,
        wide("IP", "Address of the pod."),
        wide("Node", "Node of the pod."),
        wide("Nominated Node", "Node that is cleared for the pod."),
        wide("Readiness Gates", "What else must hold before the pod is ready."),
    ],
    cells,
};

fn cells(pod: &Value, now: i64) -> Vec<Value> {
    let running = containers(pod);
    let restarts = match running.last_restart {
        Some(moment) if running.restarts > 0 => format!("{} ({} ago)", running.restarts, age(moment, now)),
        _ => running.restarts.to_string(),
    };
    let gates = list(pod, "/spec/readinessGates");
    let met = gates
        .iter()
        .filter(|g| condition(pod, text(g, "/conditionType")).is_some_and(|c| c["status"] == "True"));
    let gates =
        if gates.is_empty() { json!("<none>") } else { json!(format!("{}/{}", met.count(), gates.len())) };
    vec![
        json!(format!("{}/{}", running.ready, running.total)),
        json!(status(pod, running.reason)),
        json!(restarts),
        since_creation(pod, now),
        text_or_none(pod, "/status/podIP"),
        text_or_none(pod, "/spec/nodeName"),
        text_or_none(pod, "/status/nominatedNodeName"),
        gates,
    ]
}

struct Containers<'v> {
    ready: usize,
    total: usize,
    restarts: i64,
    last_restart: Option<&'v str>,
    /// Why the pod does not get on; empty if nothing is to be said.
    reason: String,
}

fn containers(pod: &Value) -> Containers<'_> {
    let inits = list(pod, "/spec/initContainers");
    let lasting = |name: &str| inits.iter().any(|c| c["name"] == name && c["restartPolicy"] == "Always");
    let (own, first) = (list(pod, "/status/containerStatuses"), list(pod, "/status/initContainerStatuses"));
    let sidecars: Vec<&Value> = first.iter().filter(|c| lasting(text(c, "/name"))).collect();
    let counted = own.iter().chain(sidecars.iter().copied());
    let declared = list(pod, "/spec/containers").len().max(own.len());
    let total = declared + inits.iter().filter(|c| c["restartPolicy"] == "Always").count();
    let ready = counted.clone().filter(|c| c["ready"] == true && !c["state"]["running"].is_null()).count();
    let initializing = initializing(first, inits.len(), lasting);
    let mut with_restarts: Vec<&Value> =
        if initializing.is_some() { first.iter().collect() } else { Vec::new() };
    if initializing.is_none() {
        with_restarts.extend(counted);
    }
    Containers {
        ready,
        total,
        restarts: with_restarts.iter().map(|c| number(c, "/restartCount")).sum(),
        last_restart: with_restarts
            .iter()
            .map(|c| text(c, "/lastState/terminated/finishedAt"))
            .filter(|t| !t.is_empty())
            .max(),
        reason: initializing.unwrap_or_else(|| trouble(pod, own)),
    }
}

/// What the first init container that is not done says.
fn initializing(statuses: &[Value], total: usize, lasting: impl Fn(&str) -> bool) -> Option<String> {
    for (index, status) in statuses.iter().enumerate() {
        let state = &status["state"];
        let ended = &state["terminated"];
        if !ended.is_null() && number(ended, "/exitCode") == 0 {
            continue;
        }
        if lasting(text(status, "/name")) && status["started"] == true {
            continue;
        }
        if !ended.is_null() {
            return Some(format!("Init:{}", ending(ended)));
        }
        return Some(match text(state, "/waiting/reason") {
            "" | "PodInitializing" => format!("Init:{index}/{total}"),
            reason => format!("Init:{reason}"),
        });
    }
    None
}

/// What the first container with something to say says.
fn trouble(pod: &Value, statuses: &[Value]) -> String {
    let mut reason = String::new();
    let mut runs = false;
    for status in statuses.iter().rev() {
        let state = &status["state"];
        let waiting = text(state, "/waiting/reason");
        if !waiting.is_empty() {
            reason = waiting.to_owned();
        } else if !state["terminated"].is_null() {
            reason = ending(&state["terminated"]);
        } else if status["ready"] == true && !state["running"].is_null() {
            runs = true;
        }
    }
    if reason == "Completed" && runs {
        let ready = condition(pod, "Ready").is_some_and(|c| c["status"] == "True");
        return if ready { "Running" } else { "NotReady" }.to_owned();
    }
    reason
}

fn ending(terminated: &Value) -> String {
    match (text(terminated, "/reason"), number(terminated, "/signal")) {
        ("", 0) => format!("ExitCode:{}", number(terminated, "/exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn status(pod: &Value, reason: String) -> String {
    if !text(pod, "/metadata/deletionTimestamp").is_empty() {
        return "Terminating".to_owned();
    }
    if !reason.is_empty() {
        return reason;
    }
    match (text(pod, "/status/reason"), text(pod, "/status/phase")) {
        ("", "") => "Pending".to_owned(),
        ("", phase) => phase.to_owned(),
        (reason, _) => reason.to_owned(),
    }
}
