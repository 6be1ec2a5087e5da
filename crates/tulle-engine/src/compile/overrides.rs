//! What routes change about filters (`typed_per_filter_config`).

use std::collections::HashMap;
use std::sync::Arc;

use tulle_proto::envoy::{
    buffer, compressor, cors as pbcors, csrf, ext_authz as pbauthz, fault as pbfault,
    forward_proxy as pbforward, google, header_mutation, http_ratelimit, http_rbac, jwt_authn,
    local_ratelimit, route, set_metadata, stateful_session,
};
use tulle_proto::{Any, type_url};

use super::context::{At, Context};
use super::{
    compression, cors, ext_authz, fault, forward_proxy, global_rate_limit, header_mutation as mutation, jwt,
    local_rate_limit, rbac, session, small_filters,
};
use crate::runtime::cors::CorsPolicy;
use crate::runtime::filter::{FilterOverride, FilterOverrides};

/// The name under which the older `cors` field is kept.
pub(super) const CORS_FILTER: &str = "envoy.filters.http.cors";

const KNOWN: &[&str] = &[
    type_url::HTTP_RBAC_PER_ROUTE,
    type_url::HTTP_FAULT,
    type_url::CORS_POLICY,
    type_url::LOCAL_RATE_LIMIT,
    type_url::HEADER_MUTATION_PER_ROUTE,
    type_url::SET_METADATA,
    type_url::BUFFER_PER_ROUTE,
    type_url::CSRF,
    type_url::COMPRESSOR_PER_ROUTE,
    type_url::RATE_LIMIT_PER_ROUTE,
    type_url::JWT_AUTHN_PER_ROUTE,
    type_url::EXT_AUTHZ_PER_ROUTE,
    type_url::STATEFUL_SESSION_PER_ROUTE,
    type_url::FORWARD_PROXY_PER_ROUTE,
    type_url::ROUTE_FILTER_CONFIG,
];

/// The changes of one level laid over those of the level around it. `old_cors` is the older form of the CORS policy.
pub(super) fn overrides(
    cx: &mut Context<'_>,
    at: &At<'_>,
    configs: &HashMap<String, google::Any>,
    old_cors: Option<(&At<'_>, &route::CorsPolicy)>,
    outer: &FilterOverrides,
) -> FilterOverrides {
    let mut merged = outer.clone();
    if let Some((at, message)) = old_cors {
        let message = cors::modern(message);
        if let Some(policy) = cors::policy(cx, at, &message, outer_cors(outer, CORS_FILTER)) {
            put(&mut merged, CORS_FILTER, FilterOverride::Cors(Arc::new(policy)));
        }
    }
    let mut names: Vec<&String> = configs.keys().collect();
    names.sort();
    for name in names {
        if let Some(change) = one(cx, &at.field(name), name, &configs[name], outer) {
            put(&mut merged, name, change);
        }
    }
    merged
}

fn put(merged: &mut FilterOverrides, name: &str, change: FilterOverride) {
    match merged.0.iter_mut().find(|(known, _)| **known == *name) {
        Some((_, old)) => *old = change,
        None => merged.0.push((name.into(), change)),
    }
}

fn outer_cors<'o>(outer: &'o FilterOverrides, name: &str) -> Option<&'o CorsPolicy> {
    match outer.get(name) {
        Some(FilterOverride::Cors(policy)) => Some(policy),
        _ => None,
    }
}

fn one(
    cx: &mut Context<'_>,
    at: &At<'_>,
    name: &str,
    any: &Any,
    outer: &FilterOverrides,
) -> Option<FilterOverride> {
    match any.type_url.as_str() {
        type_url::HTTP_RBAC_PER_ROUTE => {
            let message: http_rbac::RbacPerRoute = cx.unpack(at, any)?;
            rbac::per_route(cx, at, &message).map(|filter| FilterOverride::Rbac(Arc::new(filter)))
        }
        type_url::HTTP_FAULT => {
            let message: pbfault::HttpFault = cx.unpack(at, any)?;
            fault::fault(cx, at, &message).map(|fault| FilterOverride::Fault(Arc::new(fault)))
        }
        type_url::CORS_POLICY => {
            let message: pbcors::CorsPolicy = cx.unpack(at, any)?;
            let policy = cors::policy(cx, at, &message, outer_cors(outer, name))?;
            Some(FilterOverride::Cors(Arc::new(policy)))
        }
        type_url::LOCAL_RATE_LIMIT => {
            let message: local_ratelimit::LocalRateLimit = cx.unpack(at, any)?;
            let limit = local_rate_limit::local_rate_limit(cx, at, &message, local_rate_limit::Place::Route)?;
            Some(FilterOverride::LocalRateLimit(Arc::new(limit)))
        }
        type_url::HEADER_MUTATION_PER_ROUTE => {
            let message: header_mutation::HeaderMutationPerRoute = cx.unpack(at, any)?;
            let mut all = match outer.get(name) {
                Some(FilterOverride::HeaderMutation(outer)) => outer.clone(),
                _ => Vec::new(),
            };
            all.push(Arc::new(mutation::per_route(cx, at, &message)));
            Some(FilterOverride::HeaderMutation(all))
        }
        type_url::FORWARD_PROXY_PER_ROUTE => {
            let message: pbforward::PerRouteConfig = cx.unpack(at, any)?;
            let host = forward_proxy::per_route(cx, at, &message)?;
            Some(FilterOverride::ForwardHost(Arc::new(host)))
        }
        type_url::SET_METADATA => {
            let message: set_metadata::Config = cx.unpack(at, any)?;
            Some(FilterOverride::SetMetadata(Arc::new(mutation::set_metadata(cx, at, &message))))
        }
        type_url::BUFFER_PER_ROUTE => {
            let message: buffer::BufferPerRoute = cx.unpack(at, any)?;
            let limit = small_filters::buffer_per_route(cx, at, &message)?;
            Some(limit.map_or(FilterOverride::Disabled, FilterOverride::Buffer))
        }
        type_url::CSRF => {
            let message: csrf::CsrfPolicy = cx.unpack(at, any)?;
            small_filters::csrf(cx, at, &message).map(|policy| FilterOverride::Csrf(Arc::new(policy)))
        }
        type_url::COMPRESSOR_PER_ROUTE => {
            let message: compressor::CompressorPerRoute = cx.unpack(at, any)?;
            let change = compression::per_route(cx, at, &message)?;
            Some(change.map_or(FilterOverride::Disabled, FilterOverride::Compressor))
        }
        type_url::RATE_LIMIT_PER_ROUTE => {
            let message: http_ratelimit::RateLimitPerRoute = cx.unpack(at, any)?;
            let change = global_rate_limit::per_route(cx, at, &message)?;
            Some(FilterOverride::GlobalRateLimit(Arc::new(change)))
        }
        type_url::JWT_AUTHN_PER_ROUTE => {
            let message: jwt_authn::PerRouteConfig = cx.unpack(at, any)?;
            let name = jwt::per_route(cx, at, &message)?;
            Some(name.map_or(FilterOverride::Disabled, FilterOverride::Jwt))
        }
        type_url::STATEFUL_SESSION_PER_ROUTE => {
            let message: stateful_session::StatefulSessionPerRoute = cx.unpack(at, any)?;
            let change = session::per_route(cx, at, &message)?;
            Some(change.map_or(FilterOverride::Disabled, FilterOverride::StatefulSession))
        }
        type_url::EXT_AUTHZ_PER_ROUTE => {
            let message: pbauthz::ExtAuthzPerRoute = cx.unpack(at, any)?;
            ext_authz::per_route(cx, at, &message, outer.get(name))
        }
        type_url::ROUTE_FILTER_CONFIG => {
            let route::FilterConfig { config, is_optional, disabled } = cx.unpack(at, any)?;
            if disabled {
                return Some(FilterOverride::Disabled);
            }
            let Some(inner) = config else { return Some(FilterOverride::Enabled) };
            let at = at.field("config");
            if is_optional && !KNOWN.contains(&inner.type_url.as_str()) {
                cx.note(&at, format!("the filter is optional, and {} is not known here", inner.type_url));
                return None;
            }
            cx.deeper(&at, |cx| one(cx, &at, name, &inner, outer))
        }
        _ => {
            cx.unknown_extension(at, any, "filter configuration", KNOWN);
            None
        }
    }
}
