//! Routes and their matchers.

use std::sync::Arc;

use tulle_proto::envoy::route as pb;

use super::context::{At, Context, UNSUPPORTED};
use super::overrides::overrides;
use super::route_table::{Inherited, buffer_limit};
use super::value::{flag, metadata, provenance, runtime_fraction, text};
use super::{action, headers, matcher, redirect};
use crate::runtime::route::{Action, PathMatcher, Route, RouteMatch, TlsMatch};

pub(super) fn route(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::Route,
    outer: &Inherited<'_>,
    body_limit: u32,
) -> Option<Route> {
    use pb::route::Action as Kind;
    let pb::Route {
        name,
        r#match,
        metadata: meta,
        decorator,
        typed_per_filter_config,
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
        tracing,
        per_request_buffer_limit_bytes,
        stat_prefix,
        request_body_buffer_limit,
        route_specifiers,
        action,
    } = message;
    refuse!(cx, at, route_specifiers: UNSUPPORTED);
    no_effect!(cx, at,
        stat_prefix: "statistics are those of the metric contract",
    );
    let meta = metadata(cx, &at.field("metadata"), meta.as_ref());
    let (operation, tells_operation) = match decorator {
        Some(pb::Decorator { operation, propagate }) => (operation.as_str(), flag(propagate.as_ref(), true)),
        None => ("", false),
    };
    let tracing = match tracing {
        Some(message) => Some(Arc::new(super::tracing::of_route(cx, &at.field("tracing"), message)?)),
        None => None,
    };
    let old_cors = match action {
        Some(Kind::Route(forward)) => forward.cors.as_ref(),
        _ => None,
    };
    let route_at = at.field("route");
    let cors_at = route_at.field("cors");
    let filters = overrides(
        cx,
        &at.field("typed_per_filter_config"),
        typed_per_filter_config,
        old_cors.map(|cors| (&cors_at, cors)),
        outer.filters,
    );
    let match_at = at.field("match");
    let matches = cx.required(&match_at, r#match.as_ref());
    let matches = matches.and_then(|message| route_match(cx, &match_at, message));
    let action = match action {
        Some(Kind::Route(message)) => {
            action::forward(cx, &route_at, message, outer, &filters).map(|f| Action::Forward(Box::new(f)))
        }
        Some(Kind::Redirect(message)) => {
            redirect::redirect(cx, &at.field("redirect"), message).map(|r| Action::Redirect(Box::new(r)))
        }
        Some(Kind::DirectResponse(message)) => {
            redirect::direct_response(cx, &at.field("direct_response"), message, body_limit)
                .map(|r| Action::DirectResponse(Box::new(r)))
        }
        Some(Kind::NonForwardingAction(pb::NonForwardingAction {})) => Some(Action::NotForwarded),
        Some(Kind::FilterAction(_)) => {
            cx.refuse(&at.field("filter_action"), UNSUPPORTED);
            None
        }
        None => {
            cx.refuse(at, "needs route, redirect or direct_response");
            None
        }
    };
    let request_headers = headers::ops(
        cx,
        (&at.field("request_headers_to_add"), request_headers_to_add),
        (&at.field("request_headers_to_remove"), request_headers_to_remove),
    );
    let response_headers = headers::ops(
        cx,
        (&at.field("response_headers_to_add"), response_headers_to_add),
        (&at.field("response_headers_to_remove"), response_headers_to_remove),
    );
    let own_limit = buffer_limit(per_request_buffer_limit_bytes.as_ref(), request_body_buffer_limit.as_ref());
    Some(Route {
        name: text(name),
        matches: matches?,
        action: action?,
        request_headers,
        response_headers,
        filters,
        buffer_limit: own_limit.or(outer.buffer_limit),
        operation: text(operation),
        tells_operation,
        tracing,
        provenance: provenance(&meta),
        metadata: (!meta.is_empty()).then(|| Arc::new(meta)),
    })
}

pub(super) fn route_match(cx: &mut Context<'_>, at: &At<'_>, message: &pb::RouteMatch) -> Option<RouteMatch> {
    use pb::route_match::{ConnectMatcher, GrpcRouteMatchOptions, PathSpecifier, TlsContextMatchOptions};
    let pb::RouteMatch {
        case_sensitive,
        runtime_fraction: fraction,
        headers,
        query_parameters,
        cookies,
        grpc,
        tls_context,
        dynamic_metadata,
        filter_state,
        path_specifier,
    } = message;
    refuse!(cx, at, filter_state: UNSUPPORTED);
    let ignore_case = !flag(case_sensitive.as_ref(), true);
    let path = match path_specifier {
        Some(PathSpecifier::Prefix(prefix)) => {
            Some(PathMatcher::Prefix { prefix: text(prefix), ignore_case })
        }
        Some(PathSpecifier::Path(path)) => Some(PathMatcher::Exact { path: text(path), ignore_case }),
        Some(PathSpecifier::SafeRegex(regex)) => {
            matcher::full_regex(cx, &at.field("safe_regex"), regex).map(PathMatcher::Regex)
        }
        Some(PathSpecifier::PathSeparatedPrefix(prefix)) => {
            if !prefix.starts_with('/') || prefix.ends_with('/') || prefix.contains(['?', '#']) {
                cx.refuse(
                    &at.field("path_separated_prefix"),
                    format!("{prefix:?} must begin with a slash, not end with one, and hold no ? or #"),
                );
            }
            Some(PathMatcher::SegmentPrefix { prefix: text(prefix), ignore_case })
        }
        Some(PathSpecifier::ConnectMatcher(ConnectMatcher {})) => Some(PathMatcher::Connect),
        Some(PathSpecifier::PathMatchPolicy(_)) => {
            cx.refuse(&at.field("path_match_policy"), UNSUPPORTED);
            None
        }
        None => {
            cx.refuse(at, "needs prefix, path, safe_regex, path_separated_prefix or connect_matcher");
            None
        }
    };
    let fraction = match fraction {
        Some(fraction) => Some(runtime_fraction(cx, &at.field("runtime_fraction"), fraction)?),
        None => None,
    };
    let tls = tls_context.as_ref().map(|TlsContextMatchOptions { presented, validated }| TlsMatch {
        presented: presented.as_ref().map(|v| v.value),
        validated: validated.as_ref().map(|v| v.value),
    });
    let grpc = matches!(grpc, Some(GrpcRouteMatchOptions {}));
    let headers = matcher::headers(cx, &at.field("headers"), headers);
    let list_at = at.field("query_parameters");
    let query = query_parameters
        .iter()
        .enumerate()
        .filter_map(|(i, message)| matcher::query(cx, &list_at.index(i), message))
        .collect();
    let list_at = at.field("cookies");
    let cookies = cookies
        .iter()
        .enumerate()
        .filter_map(|(i, message)| matcher::cookie(cx, &list_at.index(i), message))
        .collect();
    let list_at = at.field("dynamic_metadata");
    let metadata = dynamic_metadata
        .iter()
        .enumerate()
        .filter_map(|(i, message)| matcher::metadata(cx, &list_at.index(i), message))
        .collect();
    Some(RouteMatch { path: path?, headers, query, cookies, fraction, grpc, tls, metadata })
}
