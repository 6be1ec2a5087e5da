//! CORS policies.

use tulle_proto::envoy::{cors, route};

use super::context::{At, Context};
use super::matcher;
use super::value::{flag, runtime_fraction, text};
use crate::runtime::cors::CorsPolicy;
use crate::runtime::matcher::Fraction;

/// The policy of one level. What it leaves open is taken from `outer`, the policy of the level around it.
pub(super) fn policy(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &cors::CorsPolicy,
    outer: Option<&CorsPolicy>,
) -> Option<CorsPolicy> {
    let cors::CorsPolicy {
        allow_origin_string_match,
        allow_methods,
        allow_headers,
        expose_headers,
        max_age,
        allow_credentials,
        filter_enabled,
        shadow_enabled,
        allow_private_network_access,
        forward_not_matching_preflights,
    } = message;
    let origins_at = at.field("allow_origin_string_match");
    let mut allow_origins = Vec::with_capacity(allow_origin_string_match.len());
    for (i, message) in allow_origin_string_match.iter().enumerate() {
        allow_origins.push(matcher::string(cx, &origins_at.index(i), message)?);
    }
    if allow_origins.is_empty() {
        allow_origins = outer.map(|outer| outer.allow_origins.clone()).unwrap_or_default();
    }
    let enabled = match filter_enabled {
        Some(fraction) => runtime_fraction(cx, &at.field("filter_enabled"), fraction)?,
        None => outer.map_or(Fraction::ALWAYS, |outer| outer.enabled),
    };
    let shadow = match shadow_enabled {
        Some(fraction) => runtime_fraction(cx, &at.field("shadow_enabled"), fraction)?,
        None => outer.map_or(Fraction::ZERO, |outer| outer.shadow),
    };
    let or_outer = |own: &str, theirs: fn(&CorsPolicy) -> &std::sync::Arc<str>| match outer {
        Some(outer) if own.is_empty() => std::sync::Arc::clone(theirs(outer)),
        _ => text(own),
    };
    Some(CorsPolicy {
        allow_origins,
        allow_methods: or_outer(allow_methods, |o| &o.allow_methods),
        allow_headers: or_outer(allow_headers, |o| &o.allow_headers),
        expose_headers: or_outer(expose_headers, |o| &o.expose_headers),
        max_age: or_outer(max_age, |o| &o.max_age),
        allow_credentials: flag(allow_credentials.as_ref(), outer.is_some_and(|o| o.allow_credentials)),
        allow_private_network: flag(
            allow_private_network_access.as_ref(),
            outer.is_some_and(|o| o.allow_private_network),
        ),
        forward_not_matching_preflights: flag(
            forward_not_matching_preflights.as_ref(),
            outer.is_none_or(|o| o.forward_not_matching_preflights),
        ),
        enabled,
        shadow,
    })
}

/// The older form, a field of virtual hosts and routes, as the newer message.
pub(super) fn modern(message: &route::CorsPolicy) -> cors::CorsPolicy {
    use route::cors_policy::EnabledSpecifier;
    let route::CorsPolicy {
        allow_origin_string_match,
        allow_methods,
        allow_headers,
        expose_headers,
        max_age,
        allow_credentials,
        shadow_enabled,
        allow_private_network_access,
        forward_not_matching_preflights,
        enabled_specifier,
    } = message.clone();
    cors::CorsPolicy {
        allow_origin_string_match,
        allow_methods,
        allow_headers,
        expose_headers,
        max_age,
        allow_credentials,
        filter_enabled: enabled_specifier.map(|EnabledSpecifier::FilterEnabled(fraction)| fraction),
        shadow_enabled,
        allow_private_network_access,
        forward_not_matching_preflights,
    }
}
