//! `envoy.filters.http.jwt_authn`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{AlgorithmFamily, DecodingKey};

use super::matcher::{HeaderName, StringMatcher};
use super::route::RouteMatch;

/// Checks tokens.
#[derive(Clone, Debug)]
pub struct JwtAuthn {
    /// Who gives tokens out.
    pub providers: Vec<JwtProvider>,
    /// What is required: the first rule that matches decides, and without one nothing is.
    pub rules: Vec<JwtRule>,
    /// Requirements that routes name.
    pub named: BTreeMap<Arc<str>, Requirement>,
    /// Whether cross-origin preflight requests pass.
    pub bypass_cors_preflight: bool,
    /// Whether a refusal does not say why.
    pub strip_failure: bool,
}

/// What is required of some requests.
#[derive(Clone, Debug)]
pub struct JwtRule {
    /// Which.
    pub matches: RouteMatch,
    /// What; `None` for nothing.
    pub requirement: Option<Requirement>,
}

/// What is required of a request.
#[derive(Clone, Debug)]
pub enum Requirement {
    /// A valid token of this provider (an index), perhaps for other audiences than its own.
    Provider(usize, Option<Vec<Arc<str>>>),
    /// One of these.
    Any(Vec<Requirement>),
    /// All of these.
    All(Vec<Requirement>),
    /// No token, or valid ones of any provider.
    AllowMissing,
    /// Nothing; valid tokens are taken note of.
    AllowMissingOrFailed,
}

/// Who gives tokens out, where they are found, and what becomes of them.
#[derive(Clone, Debug)]
pub struct JwtProvider {
    /// Its name.
    pub name: Arc<str>,
    /// Its issuer; empty for any.
    pub issuer: Arc<str>,
    /// Audiences, of which a token must have one; empty for any.
    pub audiences: Vec<Arc<str>>,
    /// Which subjects; `None` for any.
    pub subjects: Option<StringMatcher>,
    /// Whether a token must end at some time.
    pub require_expiration: bool,
    /// How long a token may live at most.
    pub max_lifetime: Option<Duration>,
    /// How far clocks may be apart. Default 60 s.
    pub clock_skew: Duration,
    /// Headers that hold a token, each behind a prefix.
    pub from_headers: Vec<(HeaderName, Arc<str>)>,
    /// Query parameters that hold a token.
    pub from_params: Vec<Arc<str>>,
    /// Cookies that hold a token.
    pub from_cookies: Vec<Arc<str>>,
    /// Whether the token is sent on.
    pub forward: bool,
    /// The header that gets the payload in base64url, and whether it is padded.
    pub payload_header: Option<(HeaderName, bool)>,
    /// Headers that get a claim: the way to it.
    pub claim_headers: Vec<(HeaderName, Vec<Arc<str>>)>,
    /// The key of the filter's metadata that gets the payload; empty for none.
    pub payload_in_metadata: Arc<str>,
    /// The same for the header of the token.
    pub header_in_metadata: Arc<str>,
    /// The same for why a token was refused.
    pub failure_in_metadata: Arc<str>,
    /// Claims that are lists in one text; in metadata they are lists.
    pub space_delimited: Vec<Arc<str>>,
    /// Whether the route is looked for again once the token is accepted.
    pub clear_route_cache: bool,
    /// Its keys.
    pub keys: Vec<JwtKey>,
}

/// A key that signatures are checked with.
#[derive(Clone)]
pub struct JwtKey {
    /// Its id; empty for none.
    pub id: String,
    /// The algorithm that it is for; empty for any of its kind.
    pub algorithm: String,
    /// Its kind.
    pub family: AlgorithmFamily,
    /// The key.
    pub key: DecodingKey,
}

impl std::fmt::Debug for JwtKey {
    /// Without the key, which may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JwtKey")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}
