//! Resources, their versions, and what is written.

use serde::Serialize;

use super::Reference;

/// A resource in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResourceRow {
    /// Which.
    #[serde(flatten)]
    pub reference: Reference,
    /// `valid`, `warning` or `error`.
    pub state: &'static str,
    /// How far it is in force.
    pub programmed: Programmed,
    /// How many findings there are.
    pub messages: usize,
    /// How many versions are kept.
    pub versions: usize,
    /// When it was last changed; seconds since 1970.
    pub changed: Option<f64>,
    /// By whom.
    pub who: String,
    /// Counts changes of its spec.
    pub generation: Option<i64>,
}

/// A kind in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KindRow {
    /// Kind.
    pub kind: &'static str,
    /// API group.
    pub group: &'static str,
    /// Group and preferred version.
    #[serde(rename = "apiVersion")]
    pub api_version: String,
    /// Name in API paths.
    pub plural: &'static str,
    /// Whether it belongs to a namespace.
    pub namespaced: bool,
    /// How many there are.
    pub count: usize,
    /// Whether the dashboard writes it.
    pub writable: bool,
}

/// How far a resource is in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Programmed {
    /// `programmed`, `pending`, `refused`, `idle` (it concerns no proxy) or `unknown`.
    pub state: &'static str,
    /// Proxies that have it.
    pub have: usize,
    /// Proxies that it concerns.
    pub of: usize,
}

/// A proxy that a resource concerns.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProxyStanding {
    /// `POD.NAMESPACE`.
    pub id: String,
    /// `has`, `waits` or `refuses`.
    pub state: &'static str,
    /// What it said.
    pub message: String,
}

/// One resource as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// What lists say of it.
    pub row: ResourceRow,
    /// As YAML, without what the store and others note of it.
    pub yaml: String,
    /// The same as a tree, for who changes a part of it.
    pub object: serde_json::Value,
    /// What the store counts.
    pub resource_version: String,
    /// As the status has them.
    pub conditions: serde_json::Value,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// The proxies that it concerns.
    pub proxies: Vec<ProxyStanding>,
    /// Its versions, newest first.
    pub versions: Vec<Version>,
    /// Whether the dashboard writes it.
    pub writable: bool,
}

/// One version of a resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// From 1.
    pub version: u64,
    /// When; seconds since 1970.
    pub time: f64,
    /// By whom: the field manager, the file, or whoever was logged in.
    pub who: String,
    /// How: `Apply`, `Update`, or empty.
    pub how: String,
    /// `create`, `update` or `delete`.
    pub operation: &'static str,
    /// `api`, `file` or `dashboard`.
    pub source: &'static str,
    /// What the store counted then.
    pub resource_version: String,
    /// What changed, shortly.
    pub summary: String,
}

/// A change of some resource.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Which.
    pub resource: Reference,
    /// What.
    #[serde(flatten)]
    pub version: Version,
}

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldChange {
    /// Such as `spec.http[0].route[0].weight`.
    pub path: String,
    /// What it was; null if it was not there.
    pub from: serde_json::Value,
    /// What it is; null if it is not there.
    pub to: serde_json::Value,
}

/// Something that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Finding {
    /// `error`, `warning` or `info`.
    pub severity: String,
    /// Stable code.
    pub code: Option<String>,
    /// The resource.
    pub resource: Option<Reference>,
    /// The field.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub fix: Option<String>,
    /// Line of the text that was sent, from 1.
    pub line: Option<u32>,
    /// Column, from 1.
    pub column: Option<u32>,
}

/// What a text would do.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Validation {
    /// Whether nothing is an error.
    pub valid: bool,
    /// The resources in it.
    pub resources: Vec<Reference>,
    /// What is wrong.
    pub diagnostics: Vec<Finding>,
}

/// What is to be written.
#[derive(Clone, Debug, PartialEq)]
pub enum Meant {
    /// These documents.
    Apply {
        /// As YAML.
        yaml: String,
        /// The one resource that it must be, and the version that it must have.
        only: Option<(String, Option<String>)>,
    },
    /// A resource goes.
    Delete(String),
    /// A resource becomes what it was.
    Revert {
        /// Which.
        id: String,
        /// Which version of it.
        version: u64,
    },
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Wrote {
    /// Each resource.
    pub applied: Vec<Written>,
    /// What is wrong.
    pub diagnostics: Vec<Finding>,
    /// Whether nothing was written.
    pub dry_run: bool,
}

/// One resource that was written.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    /// Which.
    pub resource: Reference,
    /// `create`, `update`, `unchanged` or `delete`.
    pub operation: &'static str,
    /// What the store counts now.
    pub resource_version: String,
}

/// Why nothing was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// There is no such resource, or version of it.
    NotFound(String),
    /// The dashboard does not write this kind.
    NotWritable(String),
    /// It is another by now.
    Conflict(String),
    /// It is not valid.
    Invalid(String, Vec<Finding>),
    /// The store did not take it.
    Failed(String),
}
