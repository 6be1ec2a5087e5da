//! Rules about the http routes of a `VirtualService`.

use super::common::{
    self, destination, duration_or_zero, headers, is_authority, percent, regex, string_match,
};
use super::fault::fault;
use super::names;
use super::retry::retry;
use super::rules::Rules;
use super::virtual_service::gateway_names;
use crate::istio::{
    CorsPolicy, HttpBodySpecifier, HttpDirectResponse, HttpMatchRequest, HttpMirrorPolicy, HttpRedirect,
    HttpRewrite, HttpRoute, HttpRouteDestination, RedirectPort, RegexRewrite, StringMatch,
};
use crate::schema::At;

const CORS_METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*"];
/// Largest body of a direct response.
const MAX_BODY: usize = 1 << 20;
/// Body from which a direct response weighs on every proxy.
const LARGE_BODY: usize = 100 << 10;

/// Checks one http route.
pub(super) fn check(route: &HttpRoute, in_delegate: bool, at: &At<'_>, rules: &mut Rules) {
    conflicts(route, in_delegate, at, rules);
    for (i, matched) in route.matches.iter().enumerate() {
        let list = at.field("match");
        check_match(matched, &list.index(i), rules);
    }
    destinations(&route.route, &at.field("route"), rules);
    if let Some(given) = &route.redirect {
        redirect(given, &route.matches, &at.field("redirect"), rules);
    }
    if let Some(given) = &route.direct_response {
        direct_response(given, &at.field("directResponse"), rules);
    }
    if let Some(given) = &route.rewrite {
        rewrite(given, &at.field("rewrite"), rules);
    }
    duration_or_zero(route.timeout.as_ref(), &at.field("timeout"), rules);
    if route.timeout.as_ref().is_some_and(|t| t.get().is_zero()) {
        let message = "0s is not portable: read as no timeout, also where a default is set; Istio refuses it";
        rules.note(&at.field("timeout"), message, "");
    }
    retry(route.retries.as_ref(), &at.field("retries"), rules);
    if let Some(given) = &route.fault {
        fault(given, &at.field("fault"), rules);
    }
    mirrors(route, at, rules);
    if let Some(given) = &route.cors_policy {
        cors(given, &at.field("corsPolicy"), rules);
    }
    headers(route.headers.as_ref(), &at.field("headers"), rules);
    one_authority(route, at, rules);
}

/// Whether a rule matches every request, so that those below are never used.
pub(super) fn matches_everything(route: &HttpRoute) -> bool {
    let everything = |m: &HttpMatchRequest| {
        let any_path = match &m.uri {
            None => true,
            Some(StringMatch::Prefix(p)) => p == "/" || p.is_empty(),
            Some(StringMatch::Regex(r)) => r == "*" || r == ".*",
            Some(_) => false,
        };
        any_path
            && HttpMatchRequest {
                name: m.name.clone(),
                uri: m.uri.clone(),
                stat_prefix: m.stat_prefix.clone(),
                ..HttpMatchRequest::default()
            } == *m
    };
    route.matches.is_empty() || route.matches.iter().any(everything)
}

/// Whether a header stands for a claim of a token: `@request.auth.claims.NAME` or `@request.auth.claims[NAME]`.
pub(super) fn is_claim(name: &str) -> bool {
    let rest = name.strip_prefix("@request.auth.claims");
    rest.is_some_and(|r| {
        (r.starts_with('.') && r.len() > 1) || (r.starts_with('[') && r.ends_with(']') && r.len() > 2)
    })
}

fn conflicts(route: &HttpRoute, in_delegate: bool, at: &At<'_>, rules: &mut Rules) {
    let routed = !route.route.is_empty();
    if route.delegate.is_some() {
        if in_delegate {
            rules.error(&at.field("delegate"), "a delegate cannot delegate further", "put the routes here");
        }
        for (field, set) in [
            ("route", routed),
            ("redirect", route.redirect.is_some()),
            ("directResponse", route.direct_response.is_some()),
        ] {
            if set {
                rules.error(&at.field(field), "cannot be set together with delegate", "keep one of them");
            }
        }
        return;
    }
    if !routed && route.redirect.is_none() && route.direct_response.is_none() {
        rules.error(at, "does nothing with the request", "give route, redirect or directResponse");
    }
    rules.exclusive(
        at,
        &[
            ("redirect", route.redirect.is_some()),
            ("directResponse", route.direct_response.is_some()),
            ("route", routed),
        ],
    );
    for (answer, set) in
        [("redirect", route.redirect.is_some()), ("directResponse", route.direct_response.is_some())]
    {
        for (field, other) in [("fault", route.fault.is_some()), ("rewrite", route.rewrite.is_some())] {
            if set && other {
                rules.error(
                    &at.field(field),
                    format!("cannot be set together with {answer}"),
                    "keep one of them",
                );
            }
        }
    }
    rules.exclusive(at, &[("mirror", route.mirror.is_some()), ("mirrors", !route.mirrors.is_empty())]);
}

fn check_match(matched: &HttpMatchRequest, at: &At<'_>, rules: &mut Rules) {
    for (field, headers) in [("headers", &matched.headers), ("withoutHeaders", &matched.without_headers)] {
        for (name, value) in headers {
            let list = at.field(field);
            let here = list.field(name);
            if !is_claim(name)
                && !matches!(name.as_str(), ":method" | ":scheme" | ":authority" | ":path" | ":status")
            {
                rules.check(&here, names::header_name(name));
            }
            // `*` is not a regular expression, but as one that must not match Istio reads it as "is there".
            if field != "withoutHeaders" || *value != StringMatch::Regex("*".into()) {
                string_match(value, false, &here, rules);
            }
        }
    }
    let texts = [
        ("uri", &matched.uri),
        ("scheme", &matched.scheme),
        ("method", &matched.method),
        ("authority", &matched.authority),
    ];
    for (field, given) in texts {
        if let Some(given) = given {
            string_match(given, field == "uri", &at.field(field), rules);
        }
    }
    for (name, value) in &matched.query_params {
        string_match(value, false, &at.field("queryParams").field(name), rules);
    }
    if matched.ignore_uri_case == Some(true) && matches!(matched.uri, Some(StringMatch::Regex(_))) {
        rules.warn(
            &at.field("ignoreUriCase"),
            "has no effect on a regular expression",
            "begin the expression with (?i)",
        );
    }
    common::port(matched.port, &at.field("port"), rules);
    common::labels(&matched.source_labels, &at.field("sourceLabels"), rules);
    gateway_names(&matched.gateways, &at.field("gateways"), rules);
    if !matched.source_namespace.is_empty() {
        rules.check(&at.field("sourceNamespace"), names::dns_label(&matched.source_namespace));
    }
}

fn destinations(given: &[HttpRouteDestination], at: &At<'_>, rules: &mut Rules) {
    for (i, HttpRouteDestination { destination: to, weight, headers: changes }) in given.iter().enumerate() {
        let here = at.index(i);
        destination(to, &here.field("destination"), rules);
        common::not_negative(*weight, &here.field("weight"), rules);
        headers(changes.as_ref(), &here.field("headers"), rules);
    }
    total_weight(given.iter().map(|d| d.weight), at, rules);
}

/// Of several destinations one must have a weight.
pub(super) fn total_weight(
    weights: impl ExactSizeIterator<Item = Option<i32>>,
    at: &At<'_>,
    rules: &mut Rules,
) {
    let count = weights.len();
    let total: i64 = weights.map(|w| i64::from(w.unwrap_or(0))).sum();
    if count > 1 && total == 0 {
        rules.error(
            at,
            "all weights are 0, so that no destination is ever chosen",
            "give each destination its weight",
        );
    } else if total > i64::from(u32::MAX) {
        rules.error(
            at,
            format!("the weights add up to {total}, more than 4294967295"),
            "use smaller weights",
        );
    }
}

fn redirect(given: &HttpRedirect, matches: &[HttpMatchRequest], at: &At<'_>, rules: &mut Rules) {
    let HttpRedirect { uri, authority, scheme, redirect_code, prefix_rewrite, redirect_port } = given;
    rules.exclusive(at, &[("uri", !uri.is_empty()), ("prefixRewrite", !prefix_rewrite.is_empty())]);
    let prefixes_only = matches.iter().all(|m| matches!(m.uri, None | Some(StringMatch::Prefix(_))));
    if !prefix_rewrite.is_empty() && !prefixes_only {
        rules.error(&at.field("prefixRewrite"), "needs a prefix in every uri match of this route", "");
    }
    if uri.is_empty()
        && prefix_rewrite.is_empty()
        && authority.is_empty()
        && scheme.is_empty()
        && redirect_port.is_none()
    {
        rules.error(at, "leads to where the request is already", "give uri, authority, scheme or port");
    }
    if let Some(code) = redirect_code.filter(|c| *c != 0 && !(300..=399).contains(c)) {
        rules.error(&at.field("redirectCode"), format!("must be between 300 and 399 but is {code}"), "");
    }
    if !matches!(scheme.as_str(), "" | "http" | "https") {
        rules.error(&at.field("scheme"), format!("must be http or https but is {scheme:?}"), "");
    }
    if let Some(RedirectPort::Port(number)) = redirect_port {
        common::port(Some(*number), &at.field("port"), rules);
    }
}

fn direct_response(given: &HttpDirectResponse, at: &At<'_>, rules: &mut Rules) {
    let HttpDirectResponse { status, body } = given;
    if !(200..=599).contains(status) {
        rules.error(&at.field("status"), format!("must be between 200 and 599 but is {status}"), "");
    }
    let size = match body.as_ref().and_then(|b| b.specifier.as_ref()) {
        Some(HttpBodySpecifier::String(text)) => text.len(),
        Some(HttpBodySpecifier::Bytes(bytes)) => bytes.0.len(),
        None => 0,
    };
    if size > MAX_BODY {
        rules.error(&at.field("body"), format!("has {size} bytes, more than 1 MiB"), "serve it by a service");
    } else if size > LARGE_BODY {
        let message = format!("has {size} bytes, which every proxy that sees this route keeps in memory");
        rules.warn(&at.field("body"), message, "serve it by a service");
    }
}

fn rewrite(given: &HttpRewrite, at: &At<'_>, rules: &mut Rules) {
    let HttpRewrite { uri, authority, uri_regex_rewrite } = given;
    rules.exclusive(at, &[("uri", !uri.is_empty()), ("uriRegexRewrite", uri_regex_rewrite.is_some())]);
    if uri.is_empty() && authority.is_empty() && uri_regex_rewrite.is_none() {
        rules.error(at, "changes nothing", "give uri, uriRegexRewrite or authority");
    }
    if let Some(RegexRewrite { pattern, rewrite }) = uri_regex_rewrite {
        let here = at.field("uriRegexRewrite");
        regex(pattern, &here.field("match"), rules);
        if rewrite.is_empty() {
            rules.error(&here.field("rewrite"), "must be given", "");
        }
    }
}

fn mirrors(route: &HttpRoute, at: &At<'_>, rules: &mut Rules) {
    if let Some(to) = &route.mirror {
        destination(to, &at.field("mirror"), rules);
    }
    if let Some(share) = route.mirror_percent.filter(|s| *s > 100) {
        rules.error(&at.field("mirrorPercent"), format!("must be between 0 and 100 but is {share}"), "");
    }
    percent(route.mirror_percentage.as_ref(), &at.field("mirrorPercentage"), rules);
    if route.mirror.is_none() && (route.mirror_percentage.is_some() || route.mirror_percent.is_some()) {
        rules.warn(&at.field("mirrorPercentage"), "has no effect without mirror", "give mirror");
    }
    for (i, HttpMirrorPolicy { destination: to, percentage }) in route.mirrors.iter().enumerate() {
        let list = at.field("mirrors");
        let here = list.index(i);
        destination(to, &here.field("destination"), rules);
        percent(percentage.as_ref(), &here.field("percentage"), rules);
    }
}

fn cors(given: &CorsPolicy, at: &At<'_>, rules: &mut Rules) {
    for (i, origin) in given.allow_origins.iter().enumerate() {
        let list = at.field("allowOrigins");
        let empty = matches!(origin, StringMatch::Exact(t) | StringMatch::Prefix(t) if t.is_empty());
        if empty || *origin == StringMatch::Any {
            rules.error(&list.index(i), "allows no origin", "give exact, prefix or regex");
        }
        string_match(origin, true, &list.index(i), rules);
    }
    for (i, method) in given.allow_methods.iter().enumerate() {
        if !CORS_METHODS.contains(&method.as_str()) {
            let message = format!("{method:?} is not a method");
            rules.error(&at.field("allowMethods").index(i), message, "methods are written in capitals");
        }
    }
    for (field, names) in [("allowHeaders", &given.allow_headers), ("exposeHeaders", &given.expose_headers)] {
        for (i, name) in names.iter().enumerate().filter(|(_, n)| *n != "*") {
            rules.check(&at.field(field).index(i), names::header_name(name));
        }
    }
    common::duration(given.max_age.as_ref(), &at.field("maxAge"), rules);
    if given.max_age.as_ref().is_some_and(|age| age.get().subsec_nanos() > 0) {
        rules.error(&at.field("maxAge"), "must be a whole number of seconds", "");
    }
}

/// The authority can be set in one place only.
fn one_authority(route: &HttpRoute, at: &At<'_>, rules: &mut Rules) {
    let rewritten = route.rewrite.as_ref().is_some_and(|r| !r.authority.is_empty());
    let Some(changes) = route.headers.as_ref().and_then(|h| h.request.as_ref()) else { return };
    let in_headers = changes.set.keys().chain(changes.add.keys()).filter(|n| is_authority(n)).count();
    if in_headers + usize::from(rewritten) > 1 {
        rules.error(
            &at.field("headers").field("request"),
            "the authority is set more than once",
            "use rewrite.authority alone",
        );
    }
}
