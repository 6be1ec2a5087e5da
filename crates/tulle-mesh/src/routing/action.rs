//! What is done with a request that matched.

use std::time::Duration;

use tulle_base::Host;

use super::StringMatch;
use crate::destination::HashKey;
use crate::meta::NsName;

/// What happens to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum HttpAction {
    /// It goes to a destination.
    Forward(Forward),
    /// The client is sent elsewhere.
    Redirect(Redirect),
    /// It is answered at once.
    Direct(DirectResponse),
    /// Another document has the rules. Snapshots put those in its place ([`super::delegate`]), so nothing that asks a
    /// snapshot for routes meets this.
    Delegate {
        /// The document.
        to: NsName,
        /// What its rules take from here where they say nothing.
        defaults: Forward,
    },
}

/// Forwarding.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forward {
    /// Where to, by weight.
    pub destinations: Vec<WeightedDestination>,
    /// Whole time for the request with its retries; `None` or zero is no limit.
    pub timeout: Option<Duration>,
    /// Retries; `None` leaves it to the destination's default, then the mesh's.
    pub retries: Option<Retry>,
    /// Changes of path and authority.
    pub rewrite: Option<Rewrite>,
    /// Copies sent elsewhere; their answers are thrown away.
    pub mirrors: Vec<Mirror>,
    /// What keeps a user on one side of a split; `None` leaves it to chance.
    pub sticky: Option<HashKey>,
    /// What keeps the requests of a session at one endpoint; `None` for nothing.
    pub session: Option<Session>,
}

/// How the requests of a session are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Session {
    /// By a cookie.
    Cookie {
        /// Its name.
        name: String,
        /// Its path.
        path: String,
        /// When the session ends; `None` with the cookie.
        ttl: Option<Duration>,
        /// The cookie goes with the browser; otherwise it lasts as long as the session.
        browser: bool,
    },
    /// By a header, which the first response has.
    Header(String),
}

/// Whom a rule asks whether a request may pass.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExternalAuth {
    /// Who is asked.
    pub destination: Destination,
    /// How.
    pub protocol: AuthProtocol,
    /// Request headers that are sent along, lower case.
    pub headers: Vec<String>,
    /// Most bytes of the body that are sent along; `None` for nothing of it.
    pub body: Option<u16>,
}

/// How an authorization service is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AuthProtocol {
    /// By Envoy's service over gRPC. Without a list of headers it is told all.
    Grpc,
    /// By a request like the one that is asked about.
    Http {
        /// Put before the path.
        prefix: String,
        /// Headers of the answer that the request is given, lower case; empty for all.
        answered: Vec<String>,
    },
}

/// One destination.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// Fully qualified host.
    pub host: Host,
    /// Subset; empty for the whole service.
    pub subset: String,
    /// Port of the service; `None` means its only port, else the port on which the request arrived.
    pub port: Option<u16>,
}

impl Destination {
    /// A destination that does not exist: its share of the requests fails.
    pub fn nowhere() -> Self {
        Self { host: Host::new(""), subset: String::new(), port: None }
    }

    /// Whether it is [`Destination::nowhere`].
    pub fn is_nowhere(&self) -> bool {
        self.host.as_str().is_empty()
    }
}

/// A destination with its share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedDestination {
    /// Where to.
    pub destination: Destination,
    /// Share among the rule's destinations. A single one takes everything whatever its weight.
    pub weight: u32,
    /// Header changes for this destination.
    pub headers: HeaderOps,
}

/// Changes of headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderOps {
    /// Request headers to overwrite, sorted by name.
    pub request_set: Vec<(String, String)>,
    /// Request headers to append.
    pub request_add: Vec<(String, String)>,
    /// Request headers to remove.
    pub request_remove: Vec<String>,
    /// Response headers to overwrite.
    pub response_set: Vec<(String, String)>,
    /// Response headers to append.
    pub response_add: Vec<(String, String)>,
    /// Response headers to remove.
    pub response_remove: Vec<String>,
}

/// Retries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How often beyond the first try; 0 turns retries off.
    pub attempts: u32,
    /// Time for each try; `None` is the route's timeout.
    pub per_try_timeout: Option<Duration>,
    /// Conditions, comma-separated, with status codes among them; empty is the default list (traps 3).
    pub retry_on: String,
    /// Whether a retry may leave the locality.
    pub remote_localities: bool,
    /// Whether hosts already tried are avoided; `None` is yes unless hashing.
    pub ignore_previous_hosts: Option<bool>,
    /// Base of the back-off between tries; `None` is 25 ms.
    pub backoff: Option<Duration>,
}

/// Changes of path and authority before forwarding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// What replaces the matched path or prefix.
    pub uri: Option<String>,
    /// What replaces the authority.
    pub authority: Option<String>,
    /// A change of the path by expression; wins over `uri`.
    pub regex: Option<RegexRewrite>,
}

/// A change by expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegexRewrite {
    /// RE2 expression.
    pub pattern: String,
    /// What replaces it; `\1` is the first group.
    pub substitution: String,
}

/// A copy of the traffic.
#[derive(Clone, Debug, PartialEq)]
pub struct Mirror {
    /// Where the copies go.
    pub destination: Destination,
    /// Share of the requests copied, 0 to 100.
    pub percent: f64,
}

/// A redirect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redirect {
    /// Whole path; ignored beside `prefix_rewrite`.
    pub uri: String,
    /// What replaces the matched prefix.
    pub prefix_rewrite: String,
    /// A change of the path by expression; wins over the others.
    pub regex: Option<RegexRewrite>,
    /// Host.
    pub authority: String,
    /// Scheme.
    pub scheme: String,
    /// Port.
    pub port: Option<RedirectPort>,
    /// 301, 302, 303, 307 or 308.
    pub code: u16,
}

/// The port of a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectPort {
    /// This one.
    Number(u16),
    /// The one on which the request arrived.
    FromRequest,
}

/// An answer without any upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectResponse {
    /// Status.
    pub status: u16,
    /// Body.
    pub body: Option<Body>,
}

/// The body of a direct response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// Faults.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fault {
    /// Delay before forwarding.
    pub delay: Option<Delay>,
    /// Answering with an error.
    pub abort: Option<FaultAbort>,
    /// When it ends, in seconds after 1970-01-01T00:00:00Z; `None` for never.
    pub expires: Option<i64>,
}

/// An injected delay.
#[derive(Clone, Debug, PartialEq)]
pub struct Delay {
    /// How long.
    pub fixed: Duration,
    /// Share of the requests, 0 to 100.
    pub percent: f64,
}

/// An injected error.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultAbort {
    /// Which.
    pub status: FaultStatus,
    /// Share of the requests, 0 to 100; `None` is the default of the proxy's filter, which is none.
    pub percent: Option<f64>,
}

/// Which error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultStatus {
    /// An HTTP status.
    Http(u16),
    /// A gRPC status.
    Grpc(u32),
}

/// Cross-origin policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cors {
    /// Origins that may.
    pub allow_origins: Vec<StringMatch>,
    /// `access-control-allow-methods`.
    pub allow_methods: Vec<String>,
    /// `access-control-allow-headers`.
    pub allow_headers: Vec<String>,
    /// `access-control-expose-headers`.
    pub expose_headers: Vec<String>,
    /// `access-control-max-age`.
    pub max_age: Option<Duration>,
    /// `access-control-allow-credentials`.
    pub allow_credentials: Option<bool>,
    /// Whether preflights from other origins still go to the upstream (default yes).
    pub forward_unmatched_preflights: bool,
}
