//! Response code details: why a response has the status it has (Envoy's `%RESPONSE_CODE_DETAILS%`).

macro_rules! details {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $text;)*
    };
}

details! {
    /// The endpoint said so.
    VIA_UPSTREAM = "via_upstream";
    /// The route answers by itself.
    DIRECT_RESPONSE = "direct_response";
    /// No route matched.
    ROUTE_NOT_FOUND = "route_not_found";
    /// The route's cluster does not exist.
    CLUSTER_NOT_FOUND = "cluster_not_found";
    /// No endpoint to send to.
    NO_HEALTHY_UPSTREAM = "no_healthy_upstream";
    /// The route's time ran out before the response was complete.
    RESPONSE_TIMEOUT = "response_timeout";
    /// An attempt's time ran out, and it was the last.
    UPSTREAM_PER_TRY_TIMEOUT = "upstream_per_try_timeout";
    /// An attempt was silent for too long, and it was the last.
    UPSTREAM_PER_TRY_IDLE_TIMEOUT = "upstream_per_try_idle_timeout";
    /// The stream lived for too long.
    MAX_DURATION_TIMEOUT = "max_duration_timeout";
    /// Nothing moved for too long.
    STREAM_IDLE_TIMEOUT = "stream_idle_timeout";
    /// The request's head took too long.
    REQUEST_HEADER_TIMEOUT = "request_header_timeout";
    /// The whole request took too long.
    REQUEST_TIMEOUT = "request_overall_timeout";
    /// No connection to the endpoint.
    UPSTREAM_CONNECTION_FAILURE = "upstream_reset_before_response_started{connection_failure}";
    /// The connection attempt took too long.
    UPSTREAM_CONNECTION_TIMEOUT = "upstream_reset_before_response_started{connection_timeout}";
    /// The endpoint closed the connection before it answered.
    UPSTREAM_CONNECTION_TERMINATION = "upstream_reset_before_response_started{connection_termination}";
    /// The endpoint reset the stream before it answered.
    UPSTREAM_REMOTE_RESET = "upstream_reset_before_response_started{remote_reset}";
    /// The endpoint refused the stream.
    UPSTREAM_REFUSED_STREAM = "upstream_reset_before_response_started{remote_refused_stream_reset}";
    /// The endpoint spoke malformed HTTP before it answered.
    UPSTREAM_PROTOCOL_ERROR = "upstream_reset_before_response_started{protocol_error}";
    /// A circuit breaker is open.
    UPSTREAM_OVERFLOW = "upstream_reset_before_response_started{overflow}";
    /// The endpoint broke off in the middle of its answer.
    UPSTREAM_RESET_AFTER_RESPONSE = "upstream_reset_after_response_started{connection_termination}";
    /// The endpoint spoke malformed HTTP in the middle of its answer.
    UPSTREAM_PROTOCOL_ERROR_AFTER_RESPONSE = "upstream_reset_after_response_started{protocol_error}";
    /// The client went away.
    DOWNSTREAM_REMOTE_DISCONNECT = "downstream_remote_disconnect";
    /// The client reset the stream.
    DOWNSTREAM_REMOTE_RESET = "http2.remote_reset";
    /// An injected abort.
    FAULT_FILTER_ABORT = "fault_filter_abort";
    /// The local rate limit.
    LOCAL_RATE_LIMITED = "local_rate_limited";
    /// Too much in the head.
    REQUEST_HEADERS_TOO_LARGE = "request_headers_too_large";
    /// Too much in the endpoint's head.
    RESPONSE_HEADERS_TOO_LARGE = "response_headers_too_large";
    /// More body than may be kept.
    REQUEST_PAYLOAD_TOO_LARGE = "request_payload_too_large";
    /// An HTTP version that is not served.
    LOW_VERSION = "low_version";
    /// HTTP/1.1 without a host.
    MISSING_HOST = "missing_host_header";
    /// A path that cannot be normalised.
    PATH_NORMALIZATION_FAILED = "path_normalization_failed";
    /// An upgrade that is not allowed.
    UPGRADE_FAILED = "upgrade_failed";
    /// The cluster does not want this request.
    CLUSTER_MAINTENANCE = "maintenance_mode";
    /// The filter chain was told to refuse.
    OVERLOAD = "overload_error_{too_many_requests}";
}

/// Details of a refusal by authorization: `rbac_access_denied_matched_policy[POLICY]`, with `none` when no ALLOW policy matched.
/// White space in the name becomes `_`, as in Envoy.
pub fn rbac_denied(policy: Option<&str>) -> String {
    let name: String =
        policy.unwrap_or("none").chars().map(|c| if c.is_whitespace() { '_' } else { c }).collect();
    format!("rbac_access_denied_matched_policy[{name}]")
}
