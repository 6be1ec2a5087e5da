//! Certificates and policies.

use std::collections::BTreeSet;

use serde::Serialize;

use super::Reference;

/// What is known of certificates.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Certificates {
    /// Who signs.
    pub roots: Vec<Root>,
    /// `steady`, or the step of a rotation.
    pub phase: String,
    /// Until when what signs is valid; seconds since 1970.
    #[serde(rename = "signsUntil")]
    pub signs_until: f64,
    /// Those that were issued and are not over.
    pub workloads: Vec<Certificate>,
}

/// A root.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Root {
    /// Subject.
    pub subject: String,
    /// Fingerprint.
    pub fingerprint: String,
    /// When it ends; seconds since 1970.
    pub expires: f64,
    /// `signing`, `coming` or `going`.
    pub role: &'static str,
}

/// A certificate of a workload.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Certificate {
    /// Workload, if its pod is known.
    pub workload: Option<String>,
    /// Pod, as `NAMESPACE/NAME`.
    pub pod: Option<String>,
    /// Identity.
    pub identity: String,
    /// Serial number.
    pub serial: String,
    /// Fingerprint of the root.
    pub root: String,
    /// When it ends; seconds since 1970.
    pub expires: f64,
    /// `fresh`, `due` (in its last fifth), `expired`.
    pub state: &'static str,
}

/// An authorization policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Which.
    pub resource: Reference,
    /// `ALLOW`, `DENY`, `AUDIT` or `CUSTOM`.
    pub action: &'static str,
    /// Evaluated, not enforced.
    pub dry_run: bool,
    /// For whom.
    pub workloads: BTreeSet<String>,
    /// Its rules.
    pub rules: Vec<PolicyRule>,
}

/// A rule of a policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicyRule {
    /// From 0.
    pub index: usize,
    /// In words.
    pub text: String,
}

/// What a client may do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Grant {
    /// The client, `NAMESPACE/NAME`.
    pub from: String,
    /// The workload.
    pub to: String,
    /// `allowed`, `denied` or `partly`.
    pub verdict: &'static str,
    /// In words.
    pub why: String,
    /// Who says so.
    pub resource: Option<Reference>,
    /// What it depends on.
    pub conditions: Vec<String>,
}
