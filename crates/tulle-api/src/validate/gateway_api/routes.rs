//! Rules about routes.

use std::collections::HashSet;

use super::{duration, filters, hostname, port, within};
use crate::gateway_api::{
    CookieLifetime, GrpcRouteSpec, HttpPathMatch, HttpRouteFilterType, HttpRouteMatch, HttpRouteRule,
    HttpRouteSpec, L4RouteRule, ParentReference, PathMatchType, SessionPersistence, SessionPersistenceType,
    ValueMatchType,
};
use crate::schema::At;
use crate::validate::common::{at_most, regex};
use crate::validate::names;
use crate::validate::rules::Rules;

/// Checks an HTTPRoute.
pub(super) fn check_http(given: &HttpRouteSpec, at: &At<'_>, rules: &mut Rules) {
    parents(&given.parent_refs, at, rules);
    hostnames(&given.hostnames, 16, at, rules);
    let list = at.field("rules");
    at_most(given.rules.len(), 16, &list, rules);
    once(given.rules.iter().map(|r| r.name.as_str()), &list, rules);
    for (i, rule) in given.rules.iter().enumerate() {
        check_http_rule(rule, &list.index(i), rules);
    }
}

fn check_http_rule(rule: &HttpRouteRule, at: &At<'_>, rules: &mut Rules) {
    let list = at.field("matches");
    at_most(rule.matches.len(), 64, &list, rules);
    for (i, matched) in rule.matches.iter().enumerate() {
        check_match(matched, &list.index(i), rules);
    }
    // Without matches the rule has one: every path, by prefix.
    let path = rule.matches.first().and_then(|m| m.path.as_ref());
    let by_prefix = path.is_none_or(|p| p.match_type.is_none_or(|t| t == PathMatchType::PathPrefix));
    let prefix = rule.matches.len() <= 1 && by_prefix;
    filters::http(&rule.filters, prefix, &at.field("filters"), rules);
    let redirects = rule.filters.iter().any(|f| f.filter_type == Some(HttpRouteFilterType::RequestRedirect));
    let list = at.field("backendRefs");
    if redirects && !rule.backend_refs.is_empty() {
        rules.error(&list, "a rule that redirects goes nowhere", "remove them, or the redirect");
    }
    at_most(rule.backend_refs.len(), 16, &list, rules);
    for (i, to) in rule.backend_refs.iter().enumerate() {
        let here = list.index(i);
        backend(to.group.as_deref(), &to.kind, to.port, &here, rules);
        within(to.weight, 0, 1_000_000, &here.field("weight"), rules);
        filters::http(&to.filters, prefix, &here.field("filters"), rules);
    }
    if let Some(timeouts) = &rule.timeouts {
        let here = at.field("timeouts");
        duration(timeouts.request.as_ref(), &here.field("request"), rules);
        duration(timeouts.backend_request.as_ref(), &here.field("backendRequest"), rules);
        if let (Some(whole), Some(one)) = (&timeouts.request, &timeouts.backend_request)
            && !whole.get().is_zero()
            && one.get() > whole.get()
        {
            let message = format!("{one} is longer than the {whole} of the whole request");
            rules.error(&here.field("backendRequest"), message, "");
        }
    }
    if let Some(retry) = &rule.retry {
        let here = at.field("retry");
        within(retry.attempts, 1, i32::MAX, &here.field("attempts"), rules);
        duration(retry.backoff.as_ref(), &here.field("backoff"), rules);
        for (i, code) in retry.codes.iter().enumerate() {
            within(Some(*code), 400, 599, &here.field("codes").index(i), rules);
        }
    }
    if let Some(persistence) = &rule.session_persistence {
        session(persistence, &at.field("sessionPersistence"), rules);
    }
}

fn check_match(given: &HttpRouteMatch, at: &At<'_>, rules: &mut Rules) {
    if let Some(path) = &given.path {
        check_path(path, &at.field("path"), rules);
    }
    let list = at.field("headers");
    at_most(given.headers.len(), 16, &list, rules);
    for (i, header) in given.headers.iter().enumerate() {
        rules.check(&list.index(i).field("name"), names::header_name(&header.name));
        value(header.match_type, &header.value, &list.index(i), rules);
    }
    let list = at.field("queryParams");
    at_most(given.query_params.len(), 16, &list, rules);
    for (i, parameter) in given.query_params.iter().enumerate() {
        value(parameter.match_type, &parameter.value, &list.index(i), rules);
    }
}

fn value(kind: Option<ValueMatchType>, text: &str, at: &At<'_>, rules: &mut Rules) {
    if kind == Some(ValueMatchType::RegularExpression) {
        regex(text, &at.field("value"), rules);
    }
}

fn check_path(given: &HttpPathMatch, at: &At<'_>, rules: &mut Rules) {
    let (text, here) = (given.value.as_str(), at.field("value"));
    if given.match_type == Some(PathMatchType::RegularExpression) {
        regex(text, &here, rules);
        return;
    }
    if text.is_empty() {
        return;
    }
    if !text.starts_with('/') {
        rules.error(&here, format!("{text:?} does not begin with /"), "");
    }
    let lower = text.to_ascii_lowercase();
    let never = ["//", "/./", "/../", "%2f", "#"].into_iter().find(|n| lower.contains(n));
    let end = ["/..", "/."].into_iter().find(|n| lower.ends_with(n));
    if let Some(part) = never.or(end) {
        rules.error(&here, format!("{text:?} has {part:?}, which no path has once it is normalized"), "");
    }
}

/// Checks a GRPCRoute.
pub(super) fn check_grpc(given: &GrpcRouteSpec, at: &At<'_>, rules: &mut Rules) {
    parents(&given.parent_refs, at, rules);
    hostnames(&given.hostnames, 16, at, rules);
    let list = at.field("rules");
    at_most(given.rules.len(), 16, &list, rules);
    once(given.rules.iter().map(|r| r.name.as_str()), &list, rules);
    for (i, rule) in given.rules.iter().enumerate() {
        let here = list.index(i);
        let matches = here.field("matches");
        at_most(rule.matches.len(), 64, &matches, rules);
        for (k, matched) in rule.matches.iter().enumerate() {
            let place = matches.index(k);
            if matched.method.as_ref().is_some_and(|m| m.service.is_empty() && m.method.is_empty()) {
                rules.error(&place.field("method"), "names neither service nor method", "give one of them");
            }
            for (h, header) in matched.headers.iter().enumerate() {
                let header_place = place.field("headers");
                value(header.match_type, &header.value, &header_place.index(h), rules);
            }
        }
        filters::grpc(&rule.filters, &here.field("filters"), rules);
        let backends = here.field("backendRefs");
        for (k, to) in rule.backend_refs.iter().enumerate() {
            let place = backends.index(k);
            backend(to.group.as_deref(), &to.kind, to.port, &place, rules);
            within(to.weight, 0, 1_000_000, &place.field("weight"), rules);
            filters::grpc(&to.filters, &place.field("filters"), rules);
        }
    }
}

/// Checks the rules of a route of connections.
pub(super) fn l4(given: &[L4RouteRule], at: &At<'_>, rules: &mut Rules) {
    let list = at.field("rules");
    at_most(given.len(), 1, &list, rules);
    for (i, rule) in given.iter().enumerate() {
        let here = list.index(i);
        let backends = here.field("backendRefs");
        at_most(rule.backend_refs.len(), 16, &backends, rules);
        for (k, to) in rule.backend_refs.iter().enumerate() {
            let place = backends.index(k);
            backend(to.group.as_deref(), &to.kind, to.port, &place, rules);
            within(to.weight, 0, 1_000_000, &place.field("weight"), rules);
        }
    }
}

/// Checks what a route is attached to.
pub(super) fn parents(given: &[ParentReference], at: &At<'_>, rules: &mut Rules) {
    let list = at.field("parentRefs");
    at_most(given.len(), 32, &list, rules);
    let mut seen = HashSet::new();
    for (i, parent) in given.iter().enumerate() {
        let here = list.index(i);
        port(parent.port, &here.field("port"), rules);
        let ParentReference { group, kind, namespace, name, section_name, port } = parent;
        if !seen.insert((group, kind, namespace, name, section_name, port)) {
            rules.error(
                &here,
                format!("{name:?} is given twice"),
                "keep one, or tell them apart by sectionName",
            );
        }
    }
}

/// Checks host names of a route.
pub(super) fn hostnames(given: &[String], most: usize, at: &At<'_>, rules: &mut Rules) {
    let list = at.field("hostnames");
    at_most(given.len(), most, &list, rules);
    for (i, name) in given.iter().enumerate() {
        hostname(name, &list.index(i), rules);
    }
}

/// Checks a destination: a Service needs a port.
pub(super) fn backend(group: Option<&str>, kind: &str, given: Option<i32>, at: &At<'_>, rules: &mut Rules) {
    port(given, &at.field("port"), rules);
    let service = matches!(group, None | Some("")) && matches!(kind, "" | "Service");
    if service && given.is_none() {
        rules.error(&at.field("port"), "is required for a Service", "");
    }
}

/// Checks session persistence.
pub(super) fn session(given: &SessionPersistence, at: &At<'_>, rules: &mut Rules) {
    duration(given.absolute_timeout.as_ref(), &at.field("absoluteTimeout"), rules);
    let header = given.persistence_type == Some(SessionPersistenceType::Header);
    if header && given.cookie.is_some() {
        rules.error(&at.field("cookie"), "does not go with type Header", "remove it");
    }
    if header != given.header.is_some() {
        let message = if header { "is required for type Header" } else { "does not go with type Cookie" };
        rules.error(&at.field("header"), message, "");
    }
    let permanent = given.cookie.as_ref().and_then(|c| c.lifetime_type) == Some(CookieLifetime::Permanent);
    if permanent && given.absolute_timeout.is_none() {
        rules.error(&at.field("absoluteTimeout"), "is required for a permanent cookie", "");
    }
}

fn once<'a>(names: impl Iterator<Item = &'a str>, at: &At<'_>, rules: &mut Rules) {
    let mut seen = HashSet::new();
    for (i, name) in names.enumerate().filter(|(_, n)| !n.is_empty()) {
        if !seen.insert(name) {
            rules.error(&at.index(i).field("name"), format!("{name:?} is given twice"), "give each its own");
        }
    }
}
