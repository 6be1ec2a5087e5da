//! Who still speaks in the clear, before STRICT is turned on.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tulle_mesh::NsName;
use tulle_mesh::policy::MtlsMode;

use super::live::Live;
use super::observed::Observed;

/// Whether a workload may be made STRICT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It is, on every port.
    Strict,
    /// Everybody who called it used mutual TLS.
    Ready,
    /// Somebody called it in the clear: that would be refused.
    Plaintext,
    /// Nobody called it, so nothing is known.
    Silent,
    /// It has no sidecar: STRICT changes nothing for it, and what reaches it is in the clear.
    NoSidecar,
}

impl State {
    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Ready => "ready",
            Self::Plaintext => "plaintext",
            Self::Silent => "no traffic",
            Self::NoSidecar => "no sidecar",
        }
    }
}

/// One workload.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Readiness {
    /// Which.
    pub(crate) workload: NsName,
    /// Whether it may be made STRICT.
    pub(crate) state: State,
    /// The mode in force, with ports that have another.
    pub(crate) mode: String,
    /// Requests and connections with mutual TLS, and without.
    pub(crate) mutual: f64,
    /// In the clear, by who told of it: the workload, or that it is not known.
    pub(crate) plain: BTreeMap<String, f64>,
}

impl Readiness {
    /// As JSON.
    pub(crate) fn json(&self) -> Value {
        let Self { workload, state, mode, mutual, plain } = self;
        let plain: BTreeMap<&String, u64> = plain.iter().map(|(who, count)| (who, whole(*count))).collect();
        json!({
            "namespace": workload.namespace, "workload": workload.name, "state": state.as_str(), "mode": mode,
            "mutualTls": whole(*mutual), "plaintext": plain,
        })
    }
}

/// A count, which is a fraction where it was extrapolated; what is not nothing is at least one.
pub(crate) fn whole(count: f64) -> u64 {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts are not negative, and saturate"
    )]
    let rounded = count.round() as u64;
    if count > 0.0 { rounded.max(1) } else { rounded }
}

/// What is to be said of every workload of `namespace`, or of all.
pub(crate) fn readiness(live: &Live, seen: &Observed, namespace: Option<&str>) -> Vec<Readiness> {
    let mut out = Vec::new();
    for (workload, running) in live.workloads() {
        if namespace.is_some_and(|ns| ns != workload.namespace) {
            continue;
        }
        let modes: Vec<_> =
            running.pods.iter().map(|labels| live.mesh.peer_modes(&workload.namespace, labels)).collect();
        let strict = modes
            .iter()
            .all(|m| m.mode == MtlsMode::Strict && m.ports.values().all(|mode| *mode == MtlsMode::Strict));
        let mode = modes.first().map_or_else(String::new, |m| {
            let ports = m.ports.iter().filter(|(_, mode)| **mode != m.mode);
            ports
                .fold(word(m.mode).to_owned(), |text, (port, mode)| format!("{text}, {port} {}", word(*mode)))
        });
        let (mut mutual, mut plain) = (0.0, BTreeMap::new());
        for (caller, count) in seen.flows.get(&workload).into_iter().flatten() {
            let who =
                caller.workload.as_ref().map_or_else(|| "unknown clients".to_owned(), ToString::to_string);
            mutual += count.passed;
            // Refused in the clear is in the clear.
            let refused = if caller.principal.is_empty() { count.refused } else { 0.0 };
            if caller.principal.is_empty() {
                *plain.entry(who).or_insert(0.0) += count.plain + refused;
            } else {
                mutual += count.refused;
            }
        }
        for (client, count) in seen.plain_clients.get(&workload).into_iter().flatten() {
            let told = plain.entry(client.to_string()).or_insert(0.0);
            *told = f64::max(*told, *count);
        }
        plain.retain(|_, count| *count > 0.0);
        let state = match (running.meshed, strict, plain.is_empty(), mutual > 0.0) {
            (false, ..) => State::NoSidecar,
            (_, true, ..) => State::Strict,
            (_, _, false, _) => State::Plaintext,
            (_, _, true, true) => State::Ready,
            (_, _, true, false) => State::Silent,
        };
        out.push(Readiness { workload, state, mode, mutual, plain });
    }
    out
}

fn word(mode: MtlsMode) -> &'static str {
    match mode {
        MtlsMode::Disable => "DISABLE",
        MtlsMode::Permissive => "PERMISSIVE",
        MtlsMode::Strict => "STRICT",
    }
}
