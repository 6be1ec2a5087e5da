//! Proxies, and how far each is.

use std::collections::BTreeMap;

use serde::Serialize;

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Proxies {
    /// Connected ones.
    pub proxies: Vec<Proxy>,
    /// Pods that have none, or whose proxy is not connected.
    pub unconnected: Vec<Unconnected>,
}

/// A connected proxy.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Proxy {
    /// `POD.NAMESPACE`.
    pub id: String,
    /// Pod.
    pub pod: String,
    /// Namespace.
    pub namespace: String,
    /// `NAMESPACE/NAME` of its workload.
    pub workload: String,
    /// `sidecar` or `router`.
    pub kind: &'static str,
    /// Cluster.
    pub cluster: String,
    /// Its version, as it says.
    pub version: String,
    /// An Envoy that is not ours.
    pub stock_envoy: bool,
    /// Address.
    pub ip: String,
    /// Since when; seconds since 1970.
    pub connected_since: f64,
    /// By type: `cds`, `lds`, `eds`, `rds`, …
    pub types: BTreeMap<String, TypeState>,
    /// The worst of the types.
    pub state: &'static str,
    /// The version of the store up to which it has everything.
    pub acknowledged: u64,
    /// When it was last sent something; seconds since 1970.
    pub last_push: Option<f64>,
    /// When its certificate ends; seconds since 1970.
    pub certificate_expires: Option<f64>,
    /// Where to ask for what it was sent.
    pub dump: String,
}

/// How far a proxy is with one type.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TypeState {
    /// `SYNCED`, `STALE`, `ERROR` or `NOT SENT`.
    pub state: &'static str,
    /// What it refuses.
    pub refused: Vec<String>,
}

/// A pod without a connected proxy.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Unconnected {
    /// Pod.
    pub pod: String,
    /// Namespace.
    pub namespace: String,
    /// `NAMESPACE/NAME` of its workload.
    pub workload: String,
    /// Why, and the way out.
    pub reason: String,
}
