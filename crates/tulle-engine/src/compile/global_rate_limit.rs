//! Global rate limits.

use std::time::Duration;

use tulle_proto::envoy::{core, http_ratelimit as pb, kind, ratelimit_service};

use super::context::{At, Context, UNSUPPORTED};
use super::grpc_service::grpc_service;
use super::headers::adds;
use super::rate_limit;
use super::value::{api_version, runtime_fraction, text};
use crate::runtime::global_rate_limit::{GlobalRateLimit, GlobalRateLimitChange, RequestKind};
use crate::runtime::headers::HeaderOps;
use crate::runtime::matcher::Fraction;
use crate::runtime::rate_limit::VirtualHostRules;

/// How long a call may take where nothing is said, as Envoy's.
const TIMEOUT: Duration = Duration::from_millis(20);
/// Under which name the metadata of answers is kept where nothing is said.
const NAMESPACE: &str = "envoy.filters.http.ratelimit";

pub(super) fn rate_limit(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::RateLimit,
) -> Option<GlobalRateLimit> {
    let pb::RateLimit {
        domain,
        stage,
        request_type,
        timeout,
        failure_mode_deny,
        rate_limited_as_resource_exhausted,
        rate_limit_service,
        enable_x_ratelimit_headers,
        disable_x_envoy_ratelimited_header,
        rate_limited_status,
        response_headers_to_add,
        status_on_error,
        stat_prefix,
        filter_enabled,
        filter_enforced,
        failure_mode_deny_percent,
        rate_limits,
        metadata_namespace,
        enable_retry_after_header,
    } = message;
    no_effect!(cx, at, stat_prefix: "statistics are those of the metric contract");
    let found = cx.problems();
    if domain.is_empty() {
        cx.refuse(&at.field("domain"), "must not be empty");
    }
    cx.between(&at.field("stage"), *stage, 0, 10);
    let requests = match request_type.as_str() {
        "" | "both" => RequestKind::Both,
        "internal" => RequestKind::Internal,
        "external" => RequestKind::External,
        other => {
            cx.refuse(&at.field("request_type"), format!("{other:?} must be internal, external or both"));
            RequestKind::Both
        }
    };
    let timeout = cx.limit(&at.field("timeout"), timeout.as_ref(), Some(TIMEOUT));
    let service = service(cx, &at.field("rate_limit_service"), rate_limit_service.as_ref(), timeout);
    let deny = if *failure_mode_deny { Fraction::ALWAYS } else { Fraction::ZERO };
    let enabled = fraction(cx, &at.field("filter_enabled"), filter_enabled.as_ref(), Fraction::ALWAYS);
    let enforced = fraction(cx, &at.field("filter_enforced"), filter_enforced.as_ref(), Fraction::ALWAYS);
    let deny_at = at.field("failure_mode_deny_percent");
    let deny_on_error = fraction(cx, &deny_at, failure_mode_deny_percent.as_ref(), deny);
    let added = adds(cx, &at.field("response_headers_to_add"), response_headers_to_add);
    let rules = rate_limit::rules(cx, &at.field("rate_limits"), rate_limits, rate_limit::Of::GlobalFilter);
    use pb::rate_limit::XRateLimitHeadersRfcVersion as Version;
    let version: Version = cx.choice(&at.field("enable_x_ratelimit_headers"), *enable_x_ratelimit_headers)?;
    let built = GlobalRateLimit {
        domain: text(domain),
        stage: *stage,
        requests,
        service: service?,
        rules,
        enabled,
        enforced,
        deny_on_error,
        status: status(cx, &at.field("rate_limited_status"), rate_limited_status.as_ref(), 429),
        error_status: status(cx, &at.field("status_on_error"), status_on_error.as_ref(), 500),
        response_headers: HeaderOps { add: added, remove: Vec::new() },
        marks_limited: !disable_x_envoy_ratelimited_header,
        headers: version == Version::DraftVersion03,
        retry_after: *enable_retry_after_header,
        as_resource_exhausted: *rate_limited_as_resource_exhausted,
        metadata_namespace: text(if metadata_namespace.is_empty() { NAMESPACE } else { metadata_namespace }),
    };
    (cx.problems() == found).then_some(built)
}

fn fraction(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&core::RuntimeFractionalPercent>,
    default: Fraction,
) -> Fraction {
    message.map_or(default, |message| runtime_fraction(cx, at, message).unwrap_or(default))
}

fn service(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&ratelimit_service::RateLimitServiceConfig>,
    timeout: Option<Duration>,
) -> Option<crate::runtime::grpc_service::GrpcService> {
    let ratelimit_service::RateLimitServiceConfig { grpc_service: service, transport_api_version } =
        cx.required(at, message)?;
    api_version(cx, &at.field("transport_api_version"), *transport_api_version);
    grpc_service(cx, &at.field("grpc_service"), service.as_ref(), Some(timeout))
}

/// A status that refuses: what is below 400 stands for the default.
fn status(cx: &mut Context<'_>, at: &At<'_>, message: Option<&kind::HttpStatus>, default: u16) -> u16 {
    match message {
        None => default,
        Some(kind::HttpStatus { code: 0 }) => {
            cx.refuse(&at.field("code"), "must not be 0");
            default
        }
        Some(kind::HttpStatus { code }) => {
            u16::try_from(*code).ok().filter(|code| (400..600).contains(code)).unwrap_or(default)
        }
    }
}

pub(super) fn per_route(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::RateLimitPerRoute,
) -> Option<GlobalRateLimitChange> {
    use pb::rate_limit_per_route::{OverrideOptions, VhRateLimitsOptions};
    let pb::RateLimitPerRoute { vh_rate_limits, override_option, rate_limits, domain } = message;
    let option_at = at.field("override_option");
    if cx.choice::<OverrideOptions>(&option_at, *override_option)? != OverrideOptions::Default {
        cx.refuse(&option_at, UNSUPPORTED);
    }
    let virtual_host_rules = match cx.choice(&at.field("vh_rate_limits"), *vh_rate_limits)? {
        VhRateLimitsOptions::Override => VirtualHostRules::Override,
        VhRateLimitsOptions::Include => VirtualHostRules::Include,
        VhRateLimitsOptions::Ignore => VirtualHostRules::Ignore,
    };
    let rules_at = at.field("rate_limits");
    Some(GlobalRateLimitChange {
        virtual_host_rules,
        rules: rate_limit::rules(cx, &rules_at, rate_limits, rate_limit::Of::GlobalFilter),
        domain: text(domain),
    })
}
