//! RateLimit.

use std::collections::BTreeMap;
use std::time::Duration;

use tulle_base::Selector;

use crate::meta::Meta;

/// A RateLimit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// The document behind it.
    pub meta: Meta,
    /// Workloads of its namespace (of every namespace, from the root).
    pub selector: Selector,
    /// The limits.
    pub limits: Vec<Limit>,
    /// Status of answers to requests above a limit.
    pub status: u16,
    /// Whether every answer tells of the limit.
    pub headers: bool,
    /// Whether refused requests are told when to come again.
    pub retry_after: bool,
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Its name.
    pub name: String,
    /// Which requests count.
    pub matches: LimitMatch,
    /// What they are told apart by.
    pub per: Vec<LimitKey>,
    /// How many.
    pub rate: Rate,
    /// Whether all proxies share it; else each has it.
    pub mesh_wide: bool,
    /// Other numbers for some values; `None` is any value.
    pub overrides: Vec<(Vec<Option<String>>, Rate)>,
    /// Whether requests that lack a value share a limit; else they do not count.
    pub counts_without_value: bool,
    /// How many values have a limit at once.
    pub max_values: u32,
    /// Requests above it pass.
    pub dry_run: bool,
}

/// How many requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// In one unit.
    pub requests: u32,
    /// The unit.
    pub unit: Duration,
    /// At once.
    pub burst: u32,
}

/// Which requests count; what is empty is no condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitMatch {
    /// Any of these, `*` at the end for any rest.
    pub paths: Vec<String>,
    /// Any of these.
    pub methods: Vec<String>,
    /// Any of these, `*.` at the beginning for any labels.
    pub hosts: Vec<String>,
    /// All of these, `*` for any value.
    pub headers: BTreeMap<String, String>,
}

/// What requests are told apart by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitKey {
    /// A header.
    Header(String),
    /// A query parameter.
    QueryParameter(String),
    /// The client's identity.
    Principal,
    /// The client's address.
    Address,
    /// Which of the paths of the match it is.
    Path,
    /// The method.
    Method,
    /// The host.
    Host,
    /// The route's name.
    Route,
}

impl RateLimit {
    /// Whether any of its limits is shared by all proxies.
    pub fn is_mesh_wide(&self) -> bool {
        self.limits.iter().any(|l| l.mesh_wide)
    }
}
