//! Statistics about the proxy itself, under Envoy's names.
//!
//! Each cluster, connection manager, TCP proxy and listener has a block of counters. The worker keeps the block in an `Rc` beside
//! the thing it counts, so counting is one addition; a block that was removed lives as long as somebody counts in it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// One number of one worker.
#[derive(Debug, Default)]
pub struct Stat(Cell<u64>);

impl Stat {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.set(self.0.get().wrapping_add(n));
    }

    /// Takes one away (gauges); stays at 0.
    pub fn dec(&self) {
        self.0.set(self.0.get().saturating_sub(1));
    }

    /// Sets it (levels).
    pub fn set(&self, value: u64) {
        self.0.set(value);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// How the numbers of several workers become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatKind {
    /// Only grows; summed.
    Counter,
    /// Goes up and down; summed.
    Gauge,
    /// The same on every worker; the largest counts.
    Level,
}

/// What a number is called and means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatInfo {
    /// Envoy's name within the block, such as `upstream_rq_total`.
    pub name: &'static str,
    /// How workers' numbers are put together.
    pub kind: StatKind,
    /// What it counts.
    pub help: &'static str,
}

/// A block of numbers.
pub trait StatBlock: Default {
    /// What the numbers are, in the order of [`StatBlock::values`].
    const STATS: &'static [StatInfo];

    /// The numbers now.
    fn values(&self) -> Vec<u64>;
}

macro_rules! stat_block {
    ($(#[$doc:meta])* $block:ident { $(#[doc = $help:literal] $field:ident: $kind:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub struct $block {
            $(#[doc = $help] pub $field: Stat,)*
        }

        impl StatBlock for $block {
            const STATS: &'static [StatInfo] =
                &[$(StatInfo { name: $name, kind: StatKind::$kind, help: $help }),*];

            fn values(&self) -> Vec<u64> {
                vec![$(self.$field.get()),*]
            }
        }
    };
}

stat_block! {
    /// `cluster.NAME.*`.
    ClusterStats {
        /// Connections opened.
        upstream_cx_total: Counter = "upstream_cx_total",
        /// Connections open now.
        upstream_cx_active: Gauge = "upstream_cx_active",
        /// HTTP/1.1 connections opened.
        upstream_cx_http1_total: Counter = "upstream_cx_http1_total",
        /// HTTP/2 connections opened.
        upstream_cx_http2_total: Counter = "upstream_cx_http2_total",
        /// Connection attempts that failed.
        upstream_cx_connect_fail: Counter = "upstream_cx_connect_fail",
        /// Connection attempts that took too long.
        upstream_cx_connect_timeout: Counter = "upstream_cx_connect_timeout",
        /// Times the connection limit was reached.
        upstream_cx_overflow: Counter = "upstream_cx_overflow",
        /// Connections closed because they had served their number of requests.
        upstream_cx_max_requests: Counter = "upstream_cx_max_requests",
        /// Connections closed.
        upstream_cx_destroy: Counter = "upstream_cx_destroy",
        /// Connections closed by the endpoint.
        upstream_cx_destroy_remote: Counter = "upstream_cx_destroy_remote",
        /// Connections closed by the endpoint while a request was under way.
        upstream_cx_destroy_with_active_rq: Counter = "upstream_cx_destroy_with_active_rq",
        /// Connections closed because they were idle.
        upstream_cx_idle_timeout: Counter = "upstream_cx_idle_timeout",
        /// Connections on which the endpoint spoke malformed HTTP.
        upstream_cx_protocol_error: Counter = "upstream_cx_protocol_error",
        /// Bytes received from endpoints.
        upstream_cx_rx_bytes_total: Counter = "upstream_cx_rx_bytes_total",
        /// Bytes sent to endpoints.
        upstream_cx_tx_bytes_total: Counter = "upstream_cx_tx_bytes_total",
        /// Requests sent.
        upstream_rq_total: Counter = "upstream_rq_total",
        /// Requests under way now.
        upstream_rq_active: Gauge = "upstream_rq_active",
        /// Requests that waited for a connection.
        upstream_rq_pending_total: Counter = "upstream_rq_pending_total",
        /// Requests that wait for a connection now.
        upstream_rq_pending_active: Gauge = "upstream_rq_pending_active",
        /// Requests refused because too many waited or were under way.
        upstream_rq_pending_overflow: Counter = "upstream_rq_pending_overflow",
        /// Requests that failed because their connection failed.
        upstream_rq_pending_failure_eject: Counter = "upstream_rq_pending_failure_eject",
        /// Requests given up before a connection was there.
        upstream_rq_cancelled: Counter = "upstream_rq_cancelled",
        /// Requests answered.
        upstream_rq_completed: Counter = "upstream_rq_completed",
        /// Requests answered 1xx.
        upstream_rq_1xx: Counter = "upstream_rq_1xx",
        /// Requests answered 2xx.
        upstream_rq_2xx: Counter = "upstream_rq_2xx",
        /// Requests answered 3xx.
        upstream_rq_3xx: Counter = "upstream_rq_3xx",
        /// Requests answered 4xx.
        upstream_rq_4xx: Counter = "upstream_rq_4xx",
        /// Requests answered 5xx.
        upstream_rq_5xx: Counter = "upstream_rq_5xx",
        /// Requests whose route's time ran out.
        upstream_rq_timeout: Counter = "upstream_rq_timeout",
        /// Attempts whose time ran out.
        upstream_rq_per_try_timeout: Counter = "upstream_rq_per_try_timeout",
        /// Attempts that were silent for too long.
        upstream_rq_per_try_idle_timeout: Counter = "upstream_rq_per_try_idle_timeout",
        /// Requests reset by the endpoint.
        upstream_rq_rx_reset: Counter = "upstream_rq_rx_reset",
        /// Requests reset by us.
        upstream_rq_tx_reset: Counter = "upstream_rq_tx_reset",
        /// Requests that found no endpoint.
        upstream_cx_none_healthy: Counter = "upstream_cx_none_healthy",
        /// Retries sent.
        upstream_rq_retry: Counter = "upstream_rq_retry",
        /// Retries that succeeded.
        upstream_rq_retry_success: Counter = "upstream_rq_retry_success",
        /// Retries not sent because too many were under way.
        upstream_rq_retry_overflow: Counter = "upstream_rq_retry_overflow",
        /// Requests out of attempts.
        upstream_rq_retry_limit_exceeded: Counter = "upstream_rq_retry_limit_exceeded",
        /// Retries that waited for their back-off.
        upstream_rq_retry_backoff_exponential: Counter = "upstream_rq_retry_backoff_exponential",
        /// 1 while the connection breaker is open.
        circuit_breakers_cx_open: Level = "circuit_breakers.default.cx_open",
        /// 1 while the breaker of waiting requests is open.
        circuit_breakers_rq_pending_open: Level = "circuit_breakers.default.rq_pending_open",
        /// 1 while the request breaker is open.
        circuit_breakers_rq_open: Level = "circuit_breakers.default.rq_open",
        /// 1 while the retry breaker is open.
        circuit_breakers_rq_retry_open: Level = "circuit_breakers.default.rq_retry_open",
        /// Endpoints that are out now.
        outlier_ejections_active: Level = "outlier_detection.ejections_active",
        /// Ejections.
        outlier_ejections_enforced_total: Counter = "outlier_detection.ejections_enforced_total",
        /// Ejections for consecutive 5xx.
        outlier_ejections_enforced_consecutive_5xx: Counter =
            "outlier_detection.ejections_enforced_consecutive_5xx",
        /// Ejections for consecutive gateway failures.
        outlier_ejections_enforced_consecutive_gateway_failure: Counter =
            "outlier_detection.ejections_enforced_consecutive_gateway_failure",
        /// Ejections for consecutive failures to connect.
        outlier_ejections_enforced_consecutive_local_origin_failure: Counter =
            "outlier_detection.ejections_enforced_consecutive_local_origin_failure",
        /// Ejections for a low rate of success.
        outlier_ejections_enforced_success_rate: Counter = "outlier_detection.ejections_enforced_success_rate",
        /// Ejections for a high percentage of failures.
        outlier_ejections_enforced_failure_percentage: Counter =
            "outlier_detection.ejections_enforced_failure_percentage",
        /// Ejections for a low rate of connections made.
        outlier_ejections_enforced_local_origin_success_rate: Counter =
            "outlier_detection.ejections_enforced_local_origin_success_rate",
        /// Ejections for a high percentage of connections that failed.
        outlier_ejections_enforced_failure_percentage_local_origin: Counter =
            "outlier_detection.ejections_enforced_local_origin_failure_percentage",
        /// Health checks.
        health_check_attempt: Counter = "health_check.attempt",
        /// Health checks answered well.
        health_check_success: Counter = "health_check.success",
        /// Health checks not answered well.
        health_check_failure: Counter = "health_check.failure",
        /// Health checks whose endpoint could not be reached.
        health_check_network_failure: Counter = "health_check.network_failure",
        /// Endpoints that are healthy by their checks.
        health_check_healthy: Level = "health_check.healthy",
        /// Ejections refused by the largest percentage allowed.
        outlier_ejections_overflow: Counter = "outlier_detection.ejections_overflow",
        /// Endpoints.
        membership_total: Level = "membership_total",
        /// Endpoints that are healthy.
        membership_healthy: Level = "membership_healthy",
        /// Endpoints that are degraded.
        membership_degraded: Level = "membership_degraded",
        /// Changes of the endpoints.
        membership_change: Level = "membership_change",
        /// Choices made while too few endpoints were healthy.
        lb_healthy_panic: Counter = "lb_healthy_panic",
        /// Requests of routes to it that the rate limit service let pass.
        ratelimit_ok: Counter = "ratelimit.ok",
        /// Requests of routes to it that the rate limit service found over a limit.
        ratelimit_over_limit: Counter = "ratelimit.over_limit",
        /// Requests of routes to it that the rate limit service did not answer for.
        ratelimit_error: Counter = "ratelimit.error",
        /// Of these, those that went on.
        ratelimit_failure_mode_allowed: Counter = "ratelimit.failure_mode_allowed",
        /// TLS handshakes done.
        ssl_handshake: Counter = "ssl.handshake",
        /// Of these, those that resumed a session.
        ssl_session_reused: Counter = "ssl.session_reused",
        /// TLS handshakes failed.
        ssl_connection_error: Counter = "ssl.connection_error",
        /// Endpoints whose certificate carried another name.
        ssl_fail_verify_san: Counter = "ssl.fail_verify_san",
        /// Endpoints whose certificate was refused for another reason.
        ssl_fail_verify_error: Counter = "ssl.fail_verify_error",
    }
}

stat_block! {
    /// `http.PREFIX.*`, of a connection manager.
    HttpStats {
        /// Connections taken.
        downstream_cx_total: Counter = "downstream_cx_total",
        /// Connections open now.
        downstream_cx_active: Gauge = "downstream_cx_active",
        /// HTTP/1.1 connections taken.
        downstream_cx_http1_total: Counter = "downstream_cx_http1_total",
        /// HTTP/2 connections taken.
        downstream_cx_http2_total: Counter = "downstream_cx_http2_total",
        /// TLS connections taken.
        downstream_cx_ssl_total: Counter = "downstream_cx_ssl_total",
        /// Connections upgraded (WebSocket, CONNECT).
        downstream_cx_upgrades_total: Counter = "downstream_cx_upgrades_total",
        /// Connections on which the client spoke malformed HTTP.
        downstream_cx_protocol_error: Counter = "downstream_cx_protocol_error",
        /// Connections closed because they were idle.
        downstream_cx_idle_timeout: Counter = "downstream_cx_idle_timeout",
        /// Connections closed because they lived for too long.
        downstream_cx_max_duration_reached: Counter = "downstream_cx_max_duration_reached",
        /// Connections closed because we stop or the configuration changed.
        downstream_cx_drain_close: Counter = "downstream_cx_drain_close",
        /// Connections closed for a flood of empty frames.
        downstream_cx_flood: Counter = "downstream_cx_flood",
        /// Bytes received from clients.
        downstream_cx_rx_bytes_total: Counter = "downstream_cx_rx_bytes_total",
        /// Bytes sent to clients.
        downstream_cx_tx_bytes_total: Counter = "downstream_cx_tx_bytes_total",
        /// Requests received.
        downstream_rq_total: Counter = "downstream_rq_total",
        /// Requests under way now.
        downstream_rq_active: Gauge = "downstream_rq_active",
        /// HTTP/1.1 requests received.
        downstream_rq_http1_total: Counter = "downstream_rq_http1_total",
        /// HTTP/2 requests received.
        downstream_rq_http2_total: Counter = "downstream_rq_http2_total",
        /// Requests answered.
        downstream_rq_completed: Counter = "downstream_rq_completed",
        /// Requests answered 1xx.
        downstream_rq_1xx: Counter = "downstream_rq_1xx",
        /// Requests answered 2xx.
        downstream_rq_2xx: Counter = "downstream_rq_2xx",
        /// Requests answered 3xx.
        downstream_rq_3xx: Counter = "downstream_rq_3xx",
        /// Requests answered 4xx.
        downstream_rq_4xx: Counter = "downstream_rq_4xx",
        /// Requests answered 5xx.
        downstream_rq_5xx: Counter = "downstream_rq_5xx",
        /// Requests reset by the client.
        downstream_rq_rx_reset: Counter = "downstream_rq_rx_reset",
        /// Requests reset by us.
        downstream_rq_tx_reset: Counter = "downstream_rq_tx_reset",
        /// Requests whose head or body was too large.
        downstream_rq_too_large: Counter = "downstream_rq_too_large",
        /// Requests that took too long to arrive.
        downstream_rq_timeout: Counter = "downstream_rq_timeout",
        /// Requests whose head took too long to arrive.
        downstream_rq_header_timeout: Counter = "downstream_rq_header_timeout",
        /// Streams that were idle for too long.
        downstream_rq_idle_timeout: Counter = "downstream_rq_idle_timeout",
        /// Streams that lived for too long.
        downstream_rq_max_duration_reached: Counter = "downstream_rq_max_duration_reached",
        /// Requests without route.
        no_route: Counter = "no_route",
        /// Requests whose cluster does not exist.
        no_cluster: Counter = "no_cluster",
        /// Requests redirected by their route.
        rq_redirect: Counter = "rq_redirect",
        /// Requests answered by their route.
        rq_direct_response: Counter = "rq_direct_response",
        /// Requests that authorization let pass.
        rbac_allowed: Counter = "rbac.allowed",
        /// Requests that authorization refused.
        rbac_denied: Counter = "rbac.denied",
        /// Requests that a dry-run policy would let pass.
        rbac_shadow_allowed: Counter = "rbac.shadow_allowed",
        /// Requests that a dry-run policy would refuse.
        rbac_shadow_denied: Counter = "rbac.shadow_denied",
        /// Requests that change something and come from their own origin or an allowed one.
        csrf_request_valid: Counter = "csrf.request_valid",
        /// Requests that change something and come from another origin.
        csrf_request_invalid: Counter = "csrf.request_invalid",
        /// Requests that change something and do not say where they come from.
        csrf_missing_source_origin: Counter = "csrf.missing_source_origin",
        /// Requests whose tokens are what is required.
        jwt_allowed: Counter = "jwt_authn.allowed",
        /// Requests refused for their tokens.
        jwt_denied: Counter = "jwt_authn.denied",
        /// Requests that the authorization service let pass.
        ext_authz_ok: Counter = "ext_authz.ok",
        /// Requests that the authorization service refused.
        ext_authz_denied: Counter = "ext_authz.denied",
        /// Requests about which the authorization service did not answer, or did not know.
        ext_authz_error: Counter = "ext_authz.error",
        /// Of these, those that went on.
        ext_authz_failure_mode_allowed: Counter = "ext_authz.failure_mode_allowed",
        /// Requests refused because the service's answer cannot be followed.
        ext_authz_invalid: Counter = "ext_authz.invalid",
        /// Requests about which the authorization service was not asked.
        ext_authz_disabled: Counter = "ext_authz.disabled",
        /// Requests traced by chance.
        tracing_random_sampling: Counter = "tracing.random_sampling",
        /// Requests traced because a service asked for it.
        tracing_service_forced: Counter = "tracing.service_forced",
        /// Requests traced because a client asked for it.
        tracing_client_enabled: Counter = "tracing.client_enabled",
        /// Requests that are not traced.
        tracing_not_traceable: Counter = "tracing.not_traceable",
        /// Delays injected.
        fault_delays_injected: Counter = "fault.delays_injected",
        /// Aborts injected.
        fault_aborts_injected: Counter = "fault.aborts_injected",
        /// Responses slowed down.
        fault_response_rl_injected: Counter = "fault.response_rl_injected",
        /// Requests without a fault because there are as many under one as may be.
        fault_faults_overflow: Counter = "fault.faults_overflow",
        /// Requests under a fault now.
        fault_active_faults: Gauge = "fault.active_faults",
    }
}

stat_block! {
    /// `tracing.KIND.*`, of collectors of spans (`opentelemetry`, `zipkin`).
    CollectorStats {
        /// Spans that a collector has taken.
        sent: Counter = "spans_sent",
        /// Those that are lost: the buffer was full, or the collector did not answer.
        lost: Counter = "spans_lost",
        /// Those that a collector says it refused.
        refused: Counter = "spans_refused",
        /// Messages that a collector has taken.
        reports_sent: Counter = "reports_sent",
        /// Messages that were lost.
        reports_failed: Counter = "reports_failed",
    }
}

stat_block! {
    /// `access_logs.KIND.*`, of services that take access logs (`grpc_access_log`, `open_telemetry_access_log`, with a prefix if one is
    /// configured).
    LogServiceStats {
        /// Entries that a service has taken.
        written: Counter = "logs_written",
        /// Entries that are lost: the buffer was full, or the service did not answer.
        dropped: Counter = "logs_dropped",
        /// Entries that a service says it refused.
        refused: Counter = "logs_refused",
        /// Messages that a service has taken.
        reports_sent: Counter = "reports_sent",
        /// Messages that were lost.
        reports_failed: Counter = "reports_failed",
    }
}

stat_block! {
    /// `PREFIX.http_local_rate_limit.*`, of local rate limits.
    LocalRateLimitStats {
        /// Requests that asked the buckets.
        enabled: Counter = "http_local_rate_limit.enabled",
        /// Requests within the limit.
        ok: Counter = "http_local_rate_limit.ok",
        /// Requests over the limit.
        rate_limited: Counter = "http_local_rate_limit.rate_limited",
        /// Requests over the limit that were refused.
        enforced: Counter = "http_local_rate_limit.enforced",
        /// Requests over a limit that is only counted.
        shadow_mode: Counter = "http_local_rate_limit.shadow_mode",
    }
}

stat_block! {
    /// `tcp.PREFIX.*`, of a TCP proxy.
    TcpStats {
        /// Connections taken.
        downstream_cx_total: Counter = "downstream_cx_total",
        /// Connections without route.
        downstream_cx_no_route: Counter = "downstream_cx_no_route",
        /// Bytes received from clients.
        downstream_cx_rx_bytes_total: Counter = "downstream_cx_rx_bytes_total",
        /// Bytes sent to clients.
        downstream_cx_tx_bytes_total: Counter = "downstream_cx_tx_bytes_total",
        /// Connections closed because they were idle.
        idle_timeout: Counter = "idle_timeout",
        /// Connections closed because they lived for too long.
        max_downstream_connection_duration: Counter = "max_downstream_connection_duration",
        /// Connections that authorization let pass.
        rbac_allowed: Counter = "rbac.allowed",
        /// Connections that authorization refused.
        rbac_denied: Counter = "rbac.denied",
        /// Connections that the authorization service let pass.
        ext_authz_ok: Counter = "ext_authz.ok",
        /// Connections that the authorization service refused.
        ext_authz_denied: Counter = "ext_authz.denied",
        /// Connections about which the authorization service did not answer.
        ext_authz_error: Counter = "ext_authz.error",
        /// Of these, those that went on.
        ext_authz_failure_mode_allowed: Counter = "ext_authz.failure_mode_allowed",
    }
}

stat_block! {
    /// `rbac.policy.NAME.*`, of one rule of an authorization policy.
    PolicyStats {
        /// Requests and connections that it let pass.
        allowed: Counter = "allowed",
        /// Requests and connections that it refused.
        denied: Counter = "denied",
        /// Requests and connections that it would let pass, tried without effect.
        dry_run_allowed: Counter = "dry_run_allowed",
        /// Requests and connections that it would refuse, tried without effect.
        dry_run_denied: Counter = "dry_run_denied",
        /// Requests and connections that it records.
        audited: Counter = "audited",
        /// Requests and connections about which it has a provider asked.
        asked: Counter = "asked",
    }
}

stat_block! {
    /// `listener.ADDRESS.*`.
    ListenerStats {
        /// Connections taken.
        downstream_cx_total: Counter = "downstream_cx_total",
        /// Connections closed.
        downstream_cx_destroy: Counter = "downstream_cx_destroy",

        /// Connections open now.
        downstream_cx_active: Gauge = "downstream_cx_active",
        /// Connections refused because the proxy had too many.
        downstream_global_cx_overflow: Counter = "downstream_global_cx_overflow",
        /// Connections refused because the listener had too many.
        downstream_cx_overflow: Counter = "downstream_cx_overflow",
        /// Connections closed because their first bytes took too long.
        downstream_pre_cx_timeout: Counter = "downstream_pre_cx_timeout",
        /// Connections closed because their TLS handshake took too long.
        downstream_cx_transport_socket_connect_timeout: Counter =
            "downstream_cx_transport_socket_connect_timeout",
        /// Connections closed because of a broken or missing header of the PROXY protocol.
        downstream_cx_proxy_proto_error: Counter = "downstream_cx_proxy_proto_error",
        /// Connections without filter chain.
        no_filter_chain_match: Counter = "no_filter_chain_match",
        /// TLS handshakes done.
        ssl_handshake: Counter = "ssl.handshake",
        /// Of these, those that resumed a session.
        ssl_session_reused: Counter = "ssl.session_reused",
        /// TLS handshakes failed.
        ssl_connection_error: Counter = "ssl.connection_error",
        /// Clients without the certificate that is required.
        ssl_fail_verify_no_cert: Counter = "ssl.fail_verify_no_cert",
        /// Clients whose certificate has none of the names that are accepted.
        ssl_fail_verify_san: Counter = "ssl.fail_verify_san",
        /// Clients whose certificate was refused for another reason.
        ssl_fail_verify_error: Counter = "ssl.fail_verify_error",
    }
}

/// The blocks of one kind, by name.
#[derive(Debug)]
pub struct Group<T>(BTreeMap<Arc<str>, Rc<T>>);

impl<T> Default for Group<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: StatBlock> Group<T> {
    /// The block of `name`, made at the first call. Keep the `Rc` beside the thing that is counted.
    pub fn get(&mut self, name: &str) -> Rc<T> {
        if let Some(block) = self.0.get(name) {
            return Rc::clone(block);
        }
        Rc::clone(self.0.entry(Arc::from(name)).or_default())
    }

    /// Forgets the block of something that is gone.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// All numbers now.
    pub(crate) fn values(&self) -> BTreeMap<Arc<str>, Vec<u64>> {
        self.0.iter().map(|(name, block)| (Arc::clone(name), block.values())).collect()
    }
}

/// All blocks of one worker.
#[derive(Debug, Default)]
pub struct ProxyStats {
    /// By cluster name.
    pub clusters: Group<ClusterStats>,
    /// By `stat_prefix`.
    pub http: Group<HttpStats>,
    /// By `stat_prefix`.
    pub tcp: Group<TcpStats>,
    /// By policy and rule, as Istio names them in RBAC filters.
    pub policies: Group<PolicyStats>,
    /// By kind.
    pub collectors: Group<CollectorStats>,
    /// By kind.
    pub log_services: Group<LogServiceStats>,
    /// By `stat_prefix`.
    pub local_rate_limits: Group<LocalRateLimitStats>,
    /// By address (`0.0.0.0_15006`) or `stat_prefix`.
    pub listeners: Group<ListenerStats>,
}

impl ClusterStats {
    /// Counts an answer by the class of its status.
    pub fn count_status(&self, status: u16) {
        self.upstream_rq_completed.inc();
        match status {
            100..200 => self.upstream_rq_1xx.inc(),
            200..300 => self.upstream_rq_2xx.inc(),
            300..400 => self.upstream_rq_3xx.inc(),
            400..500 => self.upstream_rq_4xx.inc(),
            500..600 => self.upstream_rq_5xx.inc(),
            _ => {}
        }
    }
}

impl HttpStats {
    /// Counts an answer by the class of its status.
    pub fn count_status(&self, status: u16) {
        self.downstream_rq_completed.inc();
        match status {
            100..200 => self.downstream_rq_1xx.inc(),
            200..300 => self.downstream_rq_2xx.inc(),
            300..400 => self.downstream_rq_3xx.inc(),
            400..500 => self.downstream_rq_4xx.inc(),
            500..600 => self.downstream_rq_5xx.inc(),
            _ => {}
        }
    }
}
