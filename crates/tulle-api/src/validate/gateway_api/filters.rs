//! Rules about filters of routes: the field that `type` names must be there, and no other.

use super::{port, within};
use crate::gateway_api::{
    ExternalAuthFilter, GrpcRouteFilter, HttpPathModifier, HttpPathModifierType, HttpRouteFilter,
    HttpRouteFilterType, RequestMirrorFilter, RequestRedirectFilter,
};
use crate::schema::At;
use crate::validate::common::at_most;
use crate::validate::rules::Rules;

/// Checks the filters of an HTTP rule.
pub(super) fn http(given: &[HttpRouteFilter], prefix: bool, at: &At<'_>, rules: &mut Rules) {
    at_most(given.len(), 16, at, rules);
    for (i, filter) in given.iter().enumerate() {
        let here = at.index(i);
        let Some(kind) = filter.filter_type else { continue };
        let fields = [
            ("RequestHeaderModifier", "requestHeaderModifier", filter.request_header_modifier.is_some()),
            ("ResponseHeaderModifier", "responseHeaderModifier", filter.response_header_modifier.is_some()),
            ("RequestMirror", "requestMirror", filter.request_mirror.is_some()),
            ("RequestRedirect", "requestRedirect", filter.request_redirect.is_some()),
            ("URLRewrite", "urlRewrite", filter.url_rewrite.is_some()),
            ("CORS", "cors", filter.cors.is_some()),
            ("ExternalAuth", "externalAuth", filter.external_auth.is_some()),
            ("ExtensionRef", "extensionRef", filter.extension_ref.is_some()),
        ];
        union(kind.as_str(), &fields, &here, rules);
        if let Some(mirror) = &filter.request_mirror {
            check_mirror(mirror, &here.field("requestMirror"), rules);
        }
        if let Some(auth) = &filter.external_auth {
            check_auth(auth, &here.field("externalAuth"), rules);
        }
        if let Some(redirect) = &filter.request_redirect {
            check_redirect(redirect, prefix, &here.field("requestRedirect"), rules);
        }
        if let Some(path) = filter.url_rewrite.as_ref().and_then(|r| r.path.as_ref()) {
            check_path(path, prefix, &here.field("urlRewrite").field("path"), rules);
        }
    }
    let once = given.iter().enumerate().filter_map(|(i, f)| Some((i, f.filter_type?)));
    let once: Vec<_> = once
        .filter(|(_, k)| !matches!(k, HttpRouteFilterType::RequestMirror | HttpRouteFilterType::ExtensionRef))
        .collect();
    for (n, (i, kind)) in once.iter().enumerate() {
        if once[..n].iter().any(|(_, k)| k == kind) {
            rules.error(&at.index(*i), format!("{} is given twice", kind.as_str()), "keep one");
        }
    }
    let has = |kind| given.iter().any(|f| f.filter_type == Some(kind));
    if has(HttpRouteFilterType::RequestRedirect) && has(HttpRouteFilterType::UrlRewrite) {
        rules.error(at, "RequestRedirect and URLRewrite exclude each other", "keep one of them");
    }
}

/// Checks the filters of a gRPC rule.
pub(super) fn grpc(given: &[GrpcRouteFilter], at: &At<'_>, rules: &mut Rules) {
    at_most(given.len(), 16, at, rules);
    for (i, filter) in given.iter().enumerate() {
        let here = at.index(i);
        let Some(kind) = filter.filter_type else { continue };
        let fields = [
            ("RequestHeaderModifier", "requestHeaderModifier", filter.request_header_modifier.is_some()),
            ("ResponseHeaderModifier", "responseHeaderModifier", filter.response_header_modifier.is_some()),
            ("RequestMirror", "requestMirror", filter.request_mirror.is_some()),
            ("ExtensionRef", "extensionRef", filter.extension_ref.is_some()),
        ];
        union(kind.as_str(), &fields, &here, rules);
        if let Some(mirror) = &filter.request_mirror {
            check_mirror(mirror, &here.field("requestMirror"), rules);
        }
    }
}

fn union(kind: &str, fields: &[(&str, &str, bool)], at: &At<'_>, rules: &mut Rules) {
    for (name, field, there) in fields {
        if *name == kind && !there {
            rules.error(&at.field(field), format!("is required for type {kind}"), "");
        } else if *name != kind && *there {
            rules.error(&at.field(field), format!("does not go with type {kind}"), "remove it");
        }
    }
}

fn check_mirror(given: &RequestMirrorFilter, at: &At<'_>, rules: &mut Rules) {
    rules.exclusive(at, &[("percent", given.percent.is_some()), ("fraction", given.fraction.is_some())]);
    within(given.percent, 0, 100, &at.field("percent"), rules);
    if let Some(fraction) = &given.fraction {
        let (above, below) = (fraction.numerator, fraction.denominator.unwrap_or(100));
        if below < 1 || above < 0 || above > below {
            let message = format!("{above} of {below} is not a share");
            rules.error(&at.field("fraction"), message, "write a numerator from 0 to the denominator");
        }
    }
    super::routes::backend(
        given.backend_ref.group.as_deref(),
        &given.backend_ref.kind,
        given.backend_ref.port,
        &at.field("backendRef"),
        rules,
    );
}

fn check_auth(given: &ExternalAuthFilter, at: &At<'_>, rules: &mut Rules) {
    let ExternalAuthFilter { protocol, backend_ref, grpc, http, forward_body: _ } = given;
    let fields = [("GRPC", "grpc", grpc.is_some()), ("HTTP", "http", http.is_some())];
    if let Some(kind) = protocol {
        union(kind.as_str(), &fields, at, rules);
    }
    let to = (backend_ref.group.as_deref(), &backend_ref.kind);
    super::routes::backend(to.0, to.1, backend_ref.port, &at.field("backendRef"), rules);
}

fn check_redirect(given: &RequestRedirectFilter, prefix: bool, at: &At<'_>, rules: &mut Rules) {
    port(given.port, &at.field("port"), rules);
    if !matches!(given.scheme.as_str(), "" | "http" | "https") {
        let message = format!("must be http or https but is {:?}", given.scheme);
        rules.error(&at.field("scheme"), message, "");
    }
    if let Some(code) = given.status_code.filter(|c| ![301, 302, 303, 307, 308].contains(c)) {
        let message = format!("must be 301, 302, 303, 307 or 308 but is {code}");
        rules.error(&at.field("statusCode"), message, "");
    }
    if let Some(path) = &given.path {
        check_path(path, prefix, &at.field("path"), rules);
    }
}

fn check_path(given: &HttpPathModifier, prefix: bool, at: &At<'_>, rules: &mut Rules) {
    let Some(kind) = given.modifier_type else { return };
    let fields = [
        ("ReplaceFullPath", "replaceFullPath", given.replace_full_path.is_some()),
        ("ReplacePrefixMatch", "replacePrefixMatch", given.replace_prefix_match.is_some()),
    ];
    union(kind.as_str(), &fields, at, rules);
    if kind == HttpPathModifierType::ReplacePrefixMatch && !prefix {
        let message = "needs a rule with exactly one match, of a path by PathPrefix";
        rules.error(&at.field("type"), message, "split the rule, or write ReplaceFullPath");
    }
}
