//! The HTTP connection manager.

use std::sync::Arc;
use std::time::Duration;

use super::access_log::{AccessLog, LogFilter, LogFormat};
use super::filter::HttpFilter;
use super::headers::HeaderAdd;
use super::matcher::Fraction;
use super::net::CidrRange;
use super::route::RouteTable;
use super::tracing::Tracing;

/// `envoy.filters.network.http_connection_manager`.
#[derive(Clone, Debug)]
pub struct HttpManager {
    /// The prefix of its statistics.
    pub stat_prefix: Arc<str>,
    /// Which protocol clients speak.
    pub codec: Codec,
    /// Where routes come from.
    pub routes: RouteSource,
    /// The filters in order; the last is [`super::HttpFilterKind::Router`].
    pub filters: Vec<HttpFilter>,
    /// Logs.
    pub access_logs: Vec<AccessLog>,
    /// Times.
    pub timeouts: HttpTimeouts,
    /// The `server` header of responses.
    pub server: ServerHeader,
    /// The `via` value added to both directions; empty for none.
    pub via: Arc<str>,
    /// How the client's address is found.
    pub remote_address: RemoteAddress,
    /// What becomes of `x-forwarded-client-cert`.
    pub client_cert: ForwardClientCert,
    /// How paths are cleaned before routes see them.
    pub path: PathHandling,
    /// How hosts are cleaned before routes see them.
    pub host: HostHandling,
    /// How the scheme is set.
    pub scheme: SchemeHandling,
    /// Upgrades, such as `websocket` and `CONNECT`.
    pub upgrades: Vec<Upgrade>,
    /// HTTP/1 towards clients.
    pub http1: Http1Options,
    /// HTTP/2 towards clients.
    pub http2: Http2Options,
    /// Limits on requests.
    pub limits: RequestLimits,
    /// Request ids.
    pub request_id: RequestIdOptions,
    /// Changes to responses that the proxy makes itself.
    pub local_replies: LocalReplies,
    /// Tracing; `None` for none.
    pub tracing: Option<Tracing>,
    /// Whether `user-agent` gets the cluster name where it is missing, and `x-envoy-downstream-service-cluster` is set.
    pub add_user_agent: bool,
    /// Whether `Expect: 100-continue` is passed on instead of being answered.
    pub proxy_100_continue: bool,
}

/// Which protocol clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// By ALPN, otherwise by the first bytes.
    Auto,
    /// HTTP/1.x.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Where routes come from.
#[derive(Clone, Debug)]
pub enum RouteSource {
    /// In the listener.
    Inline(Arc<RouteTable>),
    /// RDS, by name. Until the table is there, requests get 404.
    Rds(Arc<str>),
}

/// Times of an HTTP connection manager. `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpTimeouts {
    /// Until the whole request is there. Default none.
    pub request: Option<Duration>,
    /// Until the request's headers are there. Default none.
    pub request_headers: Option<Duration>,
    /// Longest silence of a stream. Default 5 min.
    pub stream_idle: Option<Duration>,
    /// Longest wait for the client to take what is left. Default as `stream_idle`.
    pub stream_flush: Option<Duration>,
    /// Longest time without a request on a connection. Default 1 h.
    pub idle: Option<Duration>,
    /// Longest life of a connection; a drain begins then. Default none.
    pub max_connection: Option<Duration>,
    /// Longest life of a stream. Default none.
    pub max_stream: Option<Duration>,
    /// Between the first GOAWAY and the last, or `Connection: close` and closing. Default 5 s.
    pub drain: Duration,
    /// How long a connection that was half closed by us waits for the client. Zero closes at once. Default 1 s.
    pub delayed_close: Duration,
}

/// The `server` header of responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerHeader {
    /// Its value; default `envoy`.
    pub name: Arc<str>,
    /// When it is written.
    pub mode: ServerHeaderMode,
}

/// When the `server` header is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerHeaderMode {
    /// Always.
    Overwrite,
    /// If the upstream sends none.
    AppendIfAbsent,
    /// Never.
    PassThrough,
}

/// How the client's address is found, and which clients are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteAddress {
    /// Whether the peer of the connection is the client (edge); it is appended to `x-forwarded-for`.
    pub use_remote_address: bool,
    /// How many proxies in front are trusted.
    pub xff_trusted_hops: u32,
    /// Whether `x-forwarded-for` is left as it is.
    pub skip_xff_append: bool,
    /// Whether `x-forwarded-port` is written.
    pub append_x_forwarded_port: bool,
    /// Which addresses are internal; by default none.
    pub internal: Vec<CidrRange>,
    /// Whether Unix sockets are internal.
    pub internal_unix_sockets: bool,
}

/// What becomes of `x-forwarded-client-cert`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardClientCert {
    /// What is done.
    pub mode: ForwardClientCertMode,
    /// Whether the subject is written.
    pub subject: bool,
    /// Whether the certificate is written.
    pub cert: bool,
    /// Whether the chain is written.
    pub chain: bool,
    /// Whether DNS names are written.
    pub dns: bool,
    /// Whether the URI is written.
    pub uri: bool,
}

/// What is done with `x-forwarded-client-cert`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardClientCertMode {
    /// Removed (default).
    Sanitize,
    /// Passed on if the connection is mTLS.
    ForwardOnly,
    /// Passed on with ours added if the connection is mTLS.
    AppendForward,
    /// Replaced by ours if the connection is mTLS, removed otherwise.
    SanitizeSet,
    /// Passed on.
    AlwaysForwardOnly,
}

/// How paths are cleaned before routes see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathHandling {
    /// Whether dot segments and backslashes are resolved (RFC 3986 section 5.2.4).
    pub normalize: bool,
    /// Whether neighbouring slashes become one.
    pub merge_slashes: bool,
    /// What happens to `%2f` and `%5c`.
    pub escaped_slashes: EscapedSlashes,
}

/// What happens to `%2f` and `%5c` in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EscapedSlashes {
    /// Nothing (default).
    Keep,
    /// The request is refused with 400.
    Reject,
    /// The client is redirected to the path with slashes (307).
    UnescapeAndRedirect,
    /// The path is changed.
    UnescapeAndForward,
}

/// How hosts are cleaned before routes see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostHandling {
    /// Which ports are removed.
    pub strip_port: StripPort,
    /// Whether a trailing dot is removed.
    pub strip_trailing_dot: bool,
}

/// Which ports are removed from hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StripPort {
    /// None (default).
    Never,
    /// The listener's own.
    Matching,
    /// Any.
    Any,
}

/// How the scheme is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemeHandling {
    /// As it came, otherwise by the connection.
    Keep,
    /// Always this.
    Overwrite(Arc<str>),
    /// By the upstream's transport.
    MatchUpstream,
}

/// An upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// Its name, lower case, such as `websocket` or `connect`.
    pub kind: Arc<str>,
    /// Whether it is on where a route says nothing.
    pub enabled: bool,
}

/// HTTP/1 options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http1Options {
    /// Whether absolute URLs in requests are taken apart. Default true.
    pub allow_absolute_url: bool,
    /// Whether HTTP/1.0 is answered.
    pub accept_http_10: bool,
    /// Host for HTTP/1.0 requests without one; empty refuses them.
    pub default_host_for_http_10: Arc<str>,
    /// How names are written.
    pub header_case: HeaderCase,
    /// Whether trailers are passed on.
    pub enable_trailers: bool,
    /// Whether content-length beside chunked is removed instead of refused.
    pub allow_chunked_length: bool,
    /// Whether unknown methods pass. Default false.
    pub allow_custom_methods: bool,
    /// Whether request lines carry the whole URL (upstream only).
    pub send_fully_qualified_url: bool,
    /// Whether an invalid message ends the stream only, where possible.
    pub stream_error_on_invalid: bool,
}

impl Default for Http1Options {
    fn default() -> Self {
        Self {
            allow_absolute_url: true,
            accept_http_10: false,
            default_host_for_http_10: "".into(),
            header_case: HeaderCase::Lower,
            enable_trailers: false,
            allow_chunked_length: false,
            allow_custom_methods: false,
            send_fully_qualified_url: false,
            stream_error_on_invalid: false,
        }
    }
}

/// How header names are written in HTTP/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderCase {
    /// Lower case (default).
    Lower,
    /// `Proper-Case-Words`.
    ProperWords,
    /// As they came (`preserve_case`).
    Preserve,
}

/// HTTP/2 options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http2Options {
    /// `SETTINGS_HEADER_TABLE_SIZE`. Default 4096.
    pub hpack_table_size: u32,
    /// `SETTINGS_MAX_CONCURRENT_STREAMS`. Default 1024.
    pub max_concurrent_streams: u32,
    /// `SETTINGS_INITIAL_WINDOW_SIZE`, 65 535 to 2^31 - 1. Default 16 MiB.
    pub initial_stream_window: u32,
    /// Window of the connection, 65 535 to 2^31 - 1. Default 24 MiB.
    pub initial_connection_window: u32,
    /// Whether extended CONNECT (RFC 8441) is offered.
    pub allow_connect: bool,
    /// Most outbound frames that wait. Default 10 000.
    pub max_outbound_frames: u32,
    /// Most outbound PING, SETTINGS and RST_STREAM frames that wait. Default 1000.
    pub max_outbound_control_frames: u32,
    /// Most inbound frames in a row with empty payload. Default 1.
    pub max_empty_frames: u32,
    /// Whether an invalid message ends the stream only.
    pub stream_error_on_invalid: bool,
    /// Pings that keep a connection alive; `None` for none.
    pub keepalive: Option<Http2Keepalive>,
    /// Whether values are Huffman coded. Default true.
    pub huffman: bool,
}

impl Default for Http2Options {
    fn default() -> Self {
        Self {
            hpack_table_size: 4096,
            max_concurrent_streams: 1024,
            initial_stream_window: 16 << 20,
            initial_connection_window: 24 << 20,
            allow_connect: false,
            max_outbound_frames: 10_000,
            max_outbound_control_frames: 1000,
            max_empty_frames: 1,
            stream_error_on_invalid: false,
            keepalive: None,
            huffman: true,
        }
    }
}

/// Pings that keep an HTTP/2 connection alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2Keepalive {
    /// Between pings; `None` pings only before a stream on an idle connection.
    pub interval: Option<Duration>,
    /// How long to wait for the answer.
    pub timeout: Duration,
    /// Random part added to the interval, as a part of it. Default 15 %.
    pub jitter: Fraction,
    /// A ping is sent before a new stream when the connection was idle as long as this.
    pub idle_interval: Option<Duration>,
}

/// Limits on requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Most bytes of headers. Default 60 KiB.
    pub max_headers_bytes: u32,
    /// Most headers. Default 100.
    pub max_headers: u32,
    /// Most requests on a connection; 0 for any number.
    pub max_requests_per_connection: u32,
    /// What happens to header names with underscores.
    pub underscores: UnderscoreAction,
}

/// What happens to header names with underscores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnderscoreAction {
    /// They pass (default).
    Allow,
    /// The request is refused with 400.
    Reject,
    /// They are dropped.
    Drop,
}

/// Request ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestIdOptions {
    /// Whether a missing `x-request-id` is made. Default true.
    pub generate: bool,
    /// Whether a client's is kept even from outside.
    pub preserve_external: bool,
    /// Whether responses carry it.
    pub always_in_response: bool,
    /// Whether it tells why the request is traced.
    pub pack: bool,
    /// Whether it decides what is sampled; otherwise all is, as far as headers do not say otherwise.
    pub decides: bool,
}

/// Changes to responses that the proxy makes itself.
#[derive(Clone, Debug, Default)]
pub struct LocalReplies {
    /// First that fits is applied.
    pub mappers: Vec<LocalReplyMapper>,
    /// How bodies look; `None` leaves them as they are.
    pub body_format: Option<BodyFormat>,
}

/// A change to some local replies.
#[derive(Clone, Debug)]
pub struct LocalReplyMapper {
    /// Which replies.
    pub filter: LogFilter,
    /// Another status.
    pub status: Option<u16>,
    /// Another body.
    pub body: Option<Arc<[u8]>>,
    /// Another format of the body.
    pub format: Option<BodyFormat>,
    /// Headers to add.
    pub headers: Vec<HeaderAdd>,
}

/// How the body of a local reply looks.
#[derive(Clone, Debug, PartialEq)]
pub struct BodyFormat {
    /// Text or JSON with `%OPERATORS%`, `%LOCAL_REPLY_BODY%` among them.
    pub format: LogFormat,
    /// Its content type.
    pub content_type: Arc<str>,
}
