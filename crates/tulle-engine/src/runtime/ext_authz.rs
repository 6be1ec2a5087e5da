//! `envoy.filters.http.ext_authz`: asking a service whether a request may pass.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::grpc_service::GrpcService;
use super::headers::HeaderOps;
use super::matcher::{Fraction, MetadataMatcher, StringMatcher};

/// External authorization.
#[derive(Clone, Debug)]
pub struct ExtAuthz {
    /// Who is asked.
    pub service: AuthService,
    /// For how many requests it is asked.
    pub enabled: Fraction,
    /// Metadata that requests must have to be asked about.
    pub enabled_metadata: Option<MetadataMatcher>,
    /// Whether requests that are not asked about are refused.
    pub deny_at_disable: bool,
    /// Whether requests pass without an answer.
    pub failure_allow: bool,
    /// Whether those carry `x-envoy-auth-failure-mode-allowed: true`.
    pub failure_header: bool,
    /// Status of those that do not pass. Default 403.
    pub error_status: u16,
    /// How much of the body is sent along.
    pub body: Option<AuthBody>,
    /// Whether the route is looked up again after the service has changed the request.
    pub clear_route_cache: bool,
    /// Names of the fields that are sent; `None` for the default: all over gRPC, few over HTTP.
    pub allowed: Option<Vec<StringMatcher>>,
    /// Names of the fields that are not sent.
    pub disallowed: Vec<StringMatcher>,
    /// Metadata of the request that is sent along, by namespace.
    pub metadata: Vec<Arc<str>>,
    /// Metadata of the route that is sent along, by namespace.
    pub route_metadata: Vec<Arc<str>>,
    /// Whether the server name of the TLS hello is sent along.
    pub tls_session: bool,
    /// Whether metadata of answers is kept.
    pub takes_metadata: bool,
    /// The most bytes of a refusal's body that the client gets.
    pub max_denied_body: Option<usize>,
}

/// Who is asked.
#[derive(Clone, Debug)]
pub enum AuthService {
    /// `envoy.service.auth.v3.Authorization`.
    Grpc(GrpcService),
    /// A server that answers 200 for yes.
    Http(Box<HttpAuth>),
}

/// An HTTP server that is asked.
#[derive(Clone, Debug)]
pub struct HttpAuth {
    /// Its cluster.
    pub cluster: Arc<str>,
    /// How long it may take; `None` for no limit.
    pub timeout: Option<Duration>,
    /// Under which path it is asked.
    pub path: AuthPath,
    /// Further names of fields that are sent.
    pub allowed: Vec<StringMatcher>,
    /// Fields added to what is sent.
    pub headers: HeaderOps,
    /// Fields of a yes that replace those of the request.
    pub upstream: Vec<StringMatcher>,
    /// Fields of a yes that are added to the request.
    pub upstream_append: Vec<StringMatcher>,
    /// Fields of a no for the client; empty for all.
    pub client: Vec<StringMatcher>,
    /// Fields of a yes that are added to the response.
    pub client_on_success: Vec<StringMatcher>,
    /// Fields that become metadata.
    pub metadata: Vec<StringMatcher>,
}

/// The path of a question over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthPath {
    /// The request's own after this.
    Prefix(Arc<str>),
    /// Always this one.
    Fixed(Arc<str>),
}

/// How much of the body is sent along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthBody {
    /// The most bytes.
    pub limit: u32,
    /// Whether the beginning of a longer body is sent; otherwise such a request gets 413.
    pub partial: bool,
    /// Whether it is sent as bytes and not as text.
    pub as_bytes: bool,
}

/// What a route changes about it.
#[derive(Clone, Debug, Default)]
pub struct ExtAuthzChange {
    /// Said to the service beside the request; those of the levels around are in it.
    pub extensions: BTreeMap<Arc<str>, Arc<str>>,
    /// Another way with bodies; `Some(None)` sends none.
    pub body: Option<Option<AuthBody>>,
    /// Another service.
    pub service: Option<AuthService>,
}
