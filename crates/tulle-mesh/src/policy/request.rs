//! RequestAuthentication.

use std::sync::Arc;
use std::time::Duration;

use tulle_base::Labels;

use super::authorization::Target;
use crate::meta::Meta;

/// A RequestAuthentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestAuthentication {
    /// The document behind it.
    pub meta: Meta,
    /// Which workloads it is for.
    pub target: Target,
    /// Whose tokens are accepted.
    pub rules: Vec<JwtRule>,
}

/// The tokens of one issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtRule {
    /// The token's `iss`.
    pub issuer: String,
    /// One must be in the token's `aud`; empty takes any.
    pub audiences: Vec<String>,
    /// Where the keys come from.
    pub keys: KeySource,
    /// Time that fetching keys may take.
    pub timeout: Duration,
    /// Headers that carry the token, and what stands before it.
    pub from_headers: Vec<(String, String)>,
    /// Query parameters that carry the token.
    pub from_params: Vec<String>,
    /// Cookies that carry the token.
    pub from_cookies: Vec<String>,
    /// Header for the payload; empty is none.
    pub payload_header: String,
    /// Whether the token stays on the request.
    pub forward: bool,
    /// Headers for claims: header, claim.
    pub claim_headers: Vec<(String, String)>,
    /// Claims that are lists separated by blanks.
    pub space_delimited: Vec<String>,
}

/// Where the keys of an issuer come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeySource {
    /// Written down: what of it can be used.
    Inline(String),
    /// Fetched from this address.
    Address(String),
    /// Fetched from where the OpenID configuration of this issuer says.
    Discovered(String),
}

/// What fetching the keys of a source gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// A set as [`super::jwks::usable`] gives it; without one no token that it would check is accepted.
    pub keys: Option<Arc<str>>,
    /// Why the last attempt failed, if it did.
    pub problem: Option<Arc<str>>,
}

/// The policies for a workload of `namespace` with `labels`, oldest first: those of its namespace and of the root namespace
/// that select it. All of them hold (traps 13).
pub(crate) fn for_workload<'a>(
    policies: impl Iterator<Item = &'a RequestAuthentication>,
    root_namespace: &str,
    namespace: &str,
    labels: &Labels,
) -> Vec<&'a RequestAuthentication> {
    let mut out: Vec<_> = policies
        .filter(|p| p.meta.namespace() == namespace || p.meta.namespace() == root_namespace)
        .filter(|p| p.target.selects(labels, p.meta.namespace() == namespace))
        .collect();
    out.sort_by(|a, b| {
        let own = |p: &RequestAuthentication| p.meta.namespace() != root_namespace;
        own(a).cmp(&own(b)).then_with(|| a.meta.by_age(&b.meta))
    });
    out
}
