//! What routes do.

use std::time::Duration;

use tulle_mesh::Snapshot;
use tulle_mesh::destination::{Algorithm, Effective, HashKey};
use tulle_mesh::port::Protocol;
use tulle_mesh::routing::{
    Body, Cors, Destination, DirectResponse, Fault, FaultStatus, HeaderOps, Mirror, Redirect, RedirectPort,
    Retry, Session,
};
use tulle_proto::envoy::core::{
    DataSource, HeaderValue, HeaderValueOption, RuntimeFractionalPercent, TypedExtensionConfig, data_source,
    header_value_option::HeaderAppendAction,
};
use tulle_proto::envoy::cors::CorsPolicy;
use tulle_proto::envoy::fault::{FaultAbort, HttpFault, fault_abort};
use tulle_proto::envoy::fault_common::{FaultDelay, fault_delay};
use tulle_proto::envoy::http_type::Cookie;
use tulle_proto::envoy::matcher::RegexMatchAndSubstitute;
use tulle_proto::envoy::retry_host::PreviousHostsPredicate;
use tulle_proto::envoy::retry_priority::PreviousPrioritiesConfig;
use tulle_proto::envoy::route::{
    Decorator, DirectResponseAction, RedirectAction, RetryPolicy, Route, RouteAction, redirect_action,
    retry_policy, route, route_action,
};

use tulle_proto::envoy::session_cookie::{CookieBasedSessionState, OF_BROWSER};
use tulle_proto::envoy::session_header::HeaderBasedSessionState;
use tulle_proto::envoy::stateful_session::stateful_session_per_route::Override;
use tulle_proto::envoy::stateful_session::{StatefulSession, StatefulSessionPerRoute};

use super::matching::{route_match, string};
use crate::names::{ClusterName, NOWHERE};
use crate::pb::{boolv, duration, inline, pack, percent, regex, u32v};
use crate::view::View;

/// When requests are tried again by default (traps 3): an upstream 503 is not, for no code is listed.
const RETRY_ON: &str = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";

/// The cluster of a destination, for requests that arrive on `port`: the destination's port, or the only one of its
/// service, or the one of the request.
pub(crate) fn cluster_of(view: &View, destination: &Destination, port: u16) -> String {
    let Destination { host, subset, port: written } = destination;
    if destination.is_nowhere() {
        return NOWHERE.to_owned();
    }
    let only = || match view.service(host).map(|s| s.ports.as_slice()) {
        Some([only]) => Some(only.number),
        _ => None,
    };
    let number = written.or_else(only).unwrap_or(port);
    ClusterName::outbound(host, number, subset).to_string()
}

/// The destination policy for a cluster.
pub(crate) fn with_policy<T>(
    snapshot: &Snapshot,
    view: &View,
    cluster: &str,
    f: impl FnOnce(&Effective<'_>) -> T,
) -> Option<T> {
    let name = ClusterName::parse(cluster)?;
    let host = name.host.as_str().into();
    let service_namespace = view.service(&host).map(|s| s.namespace());
    let rule = snapshot.destination_rule(&host, &view.namespace, service_namespace, &view.labels)?;
    Some(f(&rule.effective(&name.subset, name.port)))
}

/// Timeouts: none by default (traps 4). A gRPC client's own may be as long as the route's.
///
/// Beside a `max_stream_duration`, whatever it says, Envoy takes no `timeout`: the older field is the one that goes with it.
#[allow(deprecated, reason = "its successor puts the route's timeout out of force")]
pub(super) fn timeouts(action: &mut RouteAction, timeout: Option<Duration>) {
    let timeout = duration(timeout.unwrap_or(Duration::ZERO));
    action.timeout = Some(timeout);
    action.max_grpc_timeout = Some(timeout);
}

/// Retries: the route's, else the destination's (ours), else the mesh's, else the built-in ones.
pub(super) fn retries(
    snapshot: &Snapshot,
    view: &View,
    route: Option<&Retry>,
    cluster: &str,
    hashing: bool,
) -> Option<RetryPolicy> {
    let of_destination = || with_policy(snapshot, view, cluster, |p| p.retries.cloned()).flatten();
    let written = route.cloned().or_else(of_destination).or_else(|| snapshot.mesh().default_retries.clone());
    retry_policy_of(written.as_ref(), hashing)
}

fn retry_policy_of(written: Option<&Retry>, hashing: bool) -> Option<RetryPolicy> {
    let mut out = RetryPolicy {
        num_retries: u32v(2),
        retry_on: RETRY_ON.to_owned(),
        host_selection_retry_max_attempts: 5,
        ..RetryPolicy::default()
    };
    let mut avoid_previous = !hashing;
    if let Some(retry) = written {
        if retry.attempts == 0 {
            return None;
        }
        out.num_retries = u32v(retry.attempts);
        if !retry.retry_on.is_empty() {
            (out.retry_on, out.retriable_status_codes) = conditions(&retry.retry_on);
        }
        out.per_try_timeout = retry.per_try_timeout.map(duration);
        out.retry_back_off = retry
            .backoff
            .map(|b| retry_policy::RetryBackOff { base_interval: Some(duration(b)), max_interval: None });
        avoid_previous = retry.ignore_previous_hosts.unwrap_or(avoid_previous);
        out.retry_priority = retry.remote_localities.then(|| retry_policy::RetryPriority {
            name: "envoy.retry_priorities.previous_priorities".into(),
            config_type: Some(retry_policy::retry_priority::ConfigType::TypedConfig(pack(
                &PreviousPrioritiesConfig { update_frequency: 2 },
            ))),
        });
    }
    if avoid_previous {
        out.retry_host_predicate.push(retry_policy::RetryHostPredicate {
            name: "envoy.retry_host_predicates.previous_hosts".into(),
            config_type: Some(retry_policy::retry_host_predicate::ConfigType::TypedConfig(pack(
                &PreviousHostsPredicate {},
            ))),
        });
    }
    Some(out)
}

/// Splits conditions from status codes; codes need `retriable-status-codes`.
fn conditions(text: &str) -> (String, Vec<u32>) {
    let (mut words, mut codes) = (Vec::new(), Vec::new());
    for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        match part.parse::<u32>() {
            Ok(code) if (100..600).contains(&code) => codes.push(code),
            _ => words.push(part),
        }
    }
    if !codes.is_empty() && !words.contains(&"retriable-status-codes") {
        words.push("retriable-status-codes");
    }
    (words.join(","), codes)
}

/// What is hashed for balancing toward a cluster.
pub(super) fn hash_policy(
    snapshot: &Snapshot,
    view: &View,
    cluster: &str,
) -> Option<route_action::HashPolicy> {
    let key = with_policy(snapshot, view, cluster, |p| match p.load_balancer?.algorithm.as_ref()? {
        Algorithm::Consistent(hash) => Some(hash.key.clone()),
        _ => None,
    })
    .flatten()?;
    Some(hash_by(key))
}

/// A request is hashed by `key`.
pub(super) fn hash_by(key: HashKey) -> route_action::HashPolicy {
    use route_action::hash_policy::{self, PolicySpecifier};
    let specifier = match key {
        HashKey::Header(header_name) => {
            PolicySpecifier::Header(hash_policy::Header { header_name, ..Default::default() })
        }
        HashKey::Cookie { name, path, ttl, attributes } => PolicySpecifier::Cookie(hash_policy::Cookie {
            name,
            path,
            ttl: ttl.map(duration),
            attributes: attributes
                .into_iter()
                .map(|(name, value)| hash_policy::CookieAttribute { name, value })
                .collect(),
        }),
        HashKey::SourceIp => {
            PolicySpecifier::ConnectionProperties(hash_policy::ConnectionProperties { source_ip: true })
        }
        HashKey::QueryParameter(name) => {
            PolicySpecifier::QueryParameter(hash_policy::QueryParameter { name })
        }
    };
    route_action::HashPolicy { terminal: false, policy_specifier: Some(specifier) }
}

/// A copy of the traffic.
pub(super) fn mirror(view: &View, mirror: &Mirror, port: u16) -> route_action::RequestMirrorPolicy {
    route_action::RequestMirrorPolicy {
        cluster: cluster_of(view, &mirror.destination, port),
        runtime_fraction: Some(RuntimeFractionalPercent {
            default_value: Some(percent(mirror.percent)),
            ..RuntimeFractionalPercent::default()
        }),
        trace_sampled: boolv(false),
        ..Default::default()
    }
}

/// A redirect on a listener of `port`. The default port of the scheme is not written.
pub(super) fn redirect(r: &Redirect, port: u16, tls: bool) -> route::Action {
    let default = match (r.scheme.as_str(), tls) {
        ("https", _) | ("", true) => 443,
        _ => 80,
    };
    let number = match r.port {
        Some(RedirectPort::Number(n)) => n,
        Some(RedirectPort::FromRequest) => port,
        None => 0,
    };
    let code = match r.code {
        302 => redirect_action::RedirectResponseCode::Found,
        303 => redirect_action::RedirectResponseCode::SeeOther,
        307 => redirect_action::RedirectResponseCode::TemporaryRedirect,
        308 => redirect_action::RedirectResponseCode::PermanentRedirect,
        _ => redirect_action::RedirectResponseCode::MovedPermanently,
    };
    let path = if let Some(by) = &r.regex {
        Some(redirect_action::PathRewriteSpecifier::RegexRewrite(RegexMatchAndSubstitute {
            pattern: Some(regex(by.pattern.clone())),
            substitution: by.substitution.clone(),
        }))
    } else if !r.prefix_rewrite.is_empty() {
        Some(redirect_action::PathRewriteSpecifier::PrefixRewrite(r.prefix_rewrite.clone()))
    } else if !r.uri.is_empty() {
        Some(redirect_action::PathRewriteSpecifier::PathRedirect(r.uri.clone()))
    } else {
        None
    };
    let scheme = (!r.scheme.is_empty())
        .then(|| redirect_action::SchemeRewriteSpecifier::SchemeRedirect(r.scheme.clone()));
    route::Action::Redirect(RedirectAction {
        host_redirect: r.authority.clone(),
        port_redirect: if number == default { 0 } else { u32::from(number) },
        response_code: code as i32,
        scheme_rewrite_specifier: scheme,
        path_rewrite_specifier: path,
        ..RedirectAction::default()
    })
}

/// An answer without upstream.
pub(super) fn direct(d: &DirectResponse) -> route::Action {
    route::Action::DirectResponse(DirectResponseAction {
        status: u32::from(d.status),
        body: d.body.as_ref().map(|b| match b {
            Body::Text(text) => inline(text.clone()),
            Body::Bytes(bytes) => DataSource {
                specifier: Some(data_source::Specifier::InlineBytes(bytes.clone())),
                ..DataSource::default()
            },
        }),
        ..DirectResponseAction::default()
    })
}

/// Faults of a route.
pub(super) fn fault(f: &Fault) -> HttpFault {
    HttpFault {
        delay: f.delay.as_ref().map(|d| FaultDelay {
            percentage: Some(percent(d.percent)),
            fault_delay_secifier: Some(fault_delay::FaultDelaySecifier::FixedDelay(duration(d.fixed))),
        }),
        abort: f.abort.as_ref().map(|a| FaultAbort {
            percentage: a.percent.map(percent),
            error_type: Some(match a.status {
                FaultStatus::Http(code) => fault_abort::ErrorType::HttpStatus(u32::from(code)),
                FaultStatus::Grpc(code) => fault_abort::ErrorType::GrpcStatus(code),
            }),
            ..FaultAbort::default()
        }),
        ..HttpFault::default()
    }
}

/// What keeps sessions at their endpoints. In a stock Envoy cookies last as long as their sessions.
pub(super) fn session(s: &Session, stock: bool) -> StatefulSessionPerRoute {
    let (name, typed_config) = match s {
        Session::Header(name) => {
            let state = HeaderBasedSessionState { name: name.clone() };
            ("envoy.http.stateful_session.header", pack(&state))
        }
        Session::Cookie { name, path, ttl, browser } => {
            let (name, path) = (name.clone(), path.clone());
            let cookie = Cookie { name, path, ttl: ttl.map(duration), attributes: Vec::new() };
            let own = !stock && *browser && ttl.is_some();
            let kind = if own { OF_BROWSER } else { "envoy.http.stateful_session.cookie" };
            (kind, pack(&CookieBasedSessionState { cookie: Some(cookie) }))
        }
    };
    let state = TypedExtensionConfig { name: name.to_owned(), typed_config: Some(typed_config) };
    let session = StatefulSession { session_state: Some(state), ..StatefulSession::default() };
    StatefulSessionPerRoute { r#override: Some(Override::StatefulSession(session)) }
}

/// Cross-origin policy of a route.
pub(super) fn cors(c: &Cors) -> CorsPolicy {
    CorsPolicy {
        allow_origin_string_match: c.allow_origins.iter().filter_map(string).collect(),
        allow_methods: c.allow_methods.join(","),
        allow_headers: c.allow_headers.join(","),
        expose_headers: c.expose_headers.join(","),
        max_age: c.max_age.map(|d| d.as_secs().to_string()).unwrap_or_default(),
        allow_credentials: c.allow_credentials.and_then(boolv),
        filter_enabled: Some(RuntimeFractionalPercent {
            default_value: Some(percent(100.0)),
            ..RuntimeFractionalPercent::default()
        }),
        forward_not_matching_preflights: boolv(c.forward_unmatched_preflights),
        ..CorsPolicy::default()
    }
}

/// Header changes as Envoy takes them, and the authority that they set.
pub(super) struct EnvoyHeaders {
    pub(super) request_add: Vec<HeaderValueOption>,
    pub(super) request_remove: Vec<String>,
    pub(super) response_add: Vec<HeaderValueOption>,
    pub(super) response_remove: Vec<String>,
    pub(super) authority: Option<String>,
}

/// Translates header changes. `:authority` and `host` become a rewrite, other pseudo headers are left alone.
pub(super) fn headers(ops: &HeaderOps) -> EnvoyHeaders {
    let internal = |name: &str| name.starts_with(':') || name.eq_ignore_ascii_case("host");
    let options = |all: &[(String, String)], action: HeaderAppendAction| {
        let mut out: Vec<HeaderValueOption> = all
            .iter()
            .filter(|(name, _)| !internal(name))
            .map(|(name, value)| HeaderValueOption {
                header: Some(HeaderValue {
                    key: name.clone(),
                    value: value.clone(),
                    ..HeaderValue::default()
                }),
                append_action: action as i32,
                ..HeaderValueOption::default()
            })
            .collect();
        out.sort_by(|a, b| a.header.as_ref().map(|h| &h.key).cmp(&b.header.as_ref().map(|h| &h.key)));
        out
    };
    let both = |set: &[(String, String)], add: &[(String, String)]| {
        let mut out = options(set, HeaderAppendAction::OverwriteIfExistsOrAdd);
        out.extend(options(add, HeaderAppendAction::AppendIfExistsOrAdd));
        out
    };
    let is_authority =
        |name: &str| name.eq_ignore_ascii_case(":authority") || name.eq_ignore_ascii_case("host");
    let authority = ops.request_set.iter().chain(&ops.request_add).find(|(name, _)| is_authority(name));
    let removable = |all: &[String]| all.iter().filter(|n| !internal(n)).cloned().collect();
    EnvoyHeaders {
        request_add: both(&ops.request_set, &ops.request_add),
        request_remove: removable(&ops.request_remove),
        response_add: both(&ops.response_set, &ops.response_add),
        response_remove: removable(&ops.response_remove),
        authority: authority.map(|(_, value)| value.clone()),
    }
}

/// The route of a sidecar toward its application.
pub(crate) fn inbound(cluster: &str, operation: String, protocol: Protocol) -> Route {
    let zero = Some(duration(Duration::ZERO));
    let retry = (protocol != Protocol::Grpc).then(|| RetryPolicy {
        num_retries: u32v(2),
        retry_on: "reset-before-request".into(),
        ..RetryPolicy::default()
    });
    Route {
        name: "default".into(),
        r#match: Some(route_match(None)),
        decorator: Some(Decorator { operation, ..Decorator::default() }),
        action: Some(route::Action::Route(RouteAction {
            cluster_specifier: Some(route_action::ClusterSpecifier::Cluster(cluster.to_owned())),
            timeout: zero,
            max_stream_duration: Some(route_action::MaxStreamDuration {
                max_stream_duration: zero,
                grpc_timeout_header_max: zero,
                ..Default::default()
            }),
            retry_policy: retry,
            ..RouteAction::default()
        })),
        ..Route::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_bring_their_condition() {
        assert_eq!(conditions("5xx, reset,503"), ("5xx,reset,retriable-status-codes".into(), vec![503]));
        assert_eq!(conditions("gateway-error"), ("gateway-error".into(), vec![]));
    }

    #[test]
    fn retries_are_on_by_default_and_zero_attempts_turn_them_off() {
        let default = retry_policy_of(None, false).unwrap();
        assert_eq!(default.num_retries, u32v(2));
        assert_eq!(default.retry_on, RETRY_ON);
        assert_eq!(default.retry_host_predicate.len(), 1);
        assert!(default.retriable_status_codes.is_empty());
        assert!(retry_policy_of(None, true).unwrap().retry_host_predicate.is_empty());
        let off = Retry {
            attempts: 0,
            per_try_timeout: None,
            retry_on: String::new(),
            remote_localities: false,
            ignore_previous_hosts: None,
            backoff: None,
        };
        assert!(retry_policy_of(Some(&off), false).is_none());
    }
}
