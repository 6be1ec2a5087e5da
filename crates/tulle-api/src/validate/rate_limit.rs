//! Rules about `RateLimit`.

use std::collections::HashSet;

use super::common::{at_most, selector};
use super::names;
use super::rules::Rules;
use crate::policy::{
    Limit, LimitAttribute, LimitKey, LimitKeyKind, LimitMatch, LimitOverride, LimitResponse, LimitScope,
    RateLimit,
};
use crate::schema::At;

/// Limits of one resource, and values of one limit that have numbers of their own.
const MOST: usize = 100;
/// Largest number of values that are told apart at once.
const MAX_VALUES: u32 = 1_000_000;
/// What one limit tells requests apart by.
const MAX_KEYS: usize = 4;

/// Checks a RateLimit.
pub(super) fn check(given: &RateLimit, at: &At<'_>, rules: &mut Rules) {
    let RateLimit { selector: given_selector, limits, response } = given;
    selector(given_selector.as_ref(), &at.field("selector"), rules);
    let here = at.field("limits");
    if limits.is_empty() {
        rules.error(&here, "needs at least one limit", "write name and requests");
    }
    at_most(limits.len(), MOST, &here, rules);
    let mut seen = HashSet::new();
    for (i, limit) in limits.iter().enumerate() {
        let here = here.index(i);
        if !seen.insert(limit.name.as_str()) {
            rules.error(
                &here.field("name"),
                format!("{:?} is there twice", limit.name),
                "give it another name",
            );
        }
        check_limit(limit, &here, rules);
    }
    if let Some(LimitResponse { status: Some(status), headers: _, retry_after: _ }) = response
        && !(400..=599).contains(status)
    {
        let response = at.field("response");
        rules.error(&response.field("status"), format!("must be between 400 and 599 but is {status}"), "");
    }
}

fn check_limit(given: &Limit, at: &At<'_>, rules: &mut Rules) {
    let Limit {
        name,
        matches,
        per,
        requests,
        unit: _,
        burst,
        scope,
        overrides,
        without_value,
        max_values,
        mode: _,
    } = given;
    rules.check(&at.field("name"), names::dns_label(name));
    numbers(*requests, *burst, at, rules);
    if let Some(matches) = matches {
        check_match(matches, &at.field("match"), rules);
    }
    let here = at.field("per");
    let mut seen = HashSet::new();
    for (i, LimitKey { kind }) in per.iter().enumerate() {
        let here = here.index(i);
        match kind {
            None => rules.error(&here, "says nothing", "write header, queryParameter or attribute"),
            Some(LimitKeyKind::Header(name)) => {
                rules.check(&here.field("header"), names::header_name(name));
            }
            Some(LimitKeyKind::QueryParameter(name)) if name.is_empty() => {
                rules.error(&here.field("queryParameter"), "must not be empty", "");
            }
            Some(LimitKeyKind::Attribute(LimitAttribute::Path))
                if matches.as_ref().is_none_or(|m| m.paths.is_empty()) =>
            {
                rules.error(&here.field("attribute"), "needs match.paths: each of them has a limit", "");
            }
            Some(_) => {}
        }
        if !seen.insert(format!("{kind:?}").to_ascii_lowercase()) {
            rules.error(&here, "is there twice", "keep one");
        }
    }
    at_most(per.len(), MAX_KEYS, &here, rules);
    check_overrides(overrides, per.len(), &at.field("overrides"), rules);
    if let Some(most) = max_values.filter(|m| !(1..=MAX_VALUES).contains(m)) {
        let here = at.field("maxValues");
        rules.error(&here, format!("must be between 1 and {MAX_VALUES} but is {most}"), "");
    }
    for (field, written) in [("withoutValue", without_value.is_some()), ("maxValues", max_values.is_some())] {
        if written && per.is_empty() {
            rules.warn(&at.field(field), "has no effect: without per there are no values", "");
        }
    }
    if *scope == Some(LimitScope::Mesh) && burst.unwrap_or(*requests) < 2 {
        let message = "each proxy may let one request pass at once, however many there are";
        rules.warn(&at.field("burst"), message, "write a burst of at least the number of pods");
    }
}

fn numbers(requests: u32, burst: Option<u32>, at: &At<'_>, rules: &mut Rules) {
    if requests == 0 {
        rules.error(
            &at.field("requests"),
            "must be 1 or more",
            "to refuse everything, use an AuthorizationPolicy",
        );
    }
    if burst == Some(0) {
        rules.error(&at.field("burst"), "must be 1 or more", "leave it out for as many as requests says");
    }
}

fn check_match(given: &LimitMatch, at: &At<'_>, rules: &mut Rules) {
    let LimitMatch { paths, methods, hosts, headers } = given;
    let lists = [("paths", paths), ("methods", methods), ("hosts", hosts)];
    for (field, list) in lists {
        at_most(list.len(), MOST, &at.field(field), rules);
        for (i, _) in list.iter().enumerate().filter(|(_, v)| v.is_empty()) {
            rules.error(&at.field(field).index(i), "must not be empty", "");
        }
    }
    for (i, path) in paths.iter().enumerate() {
        let list = at.field("paths");
        let here = list.index(i);
        let inner = path.strip_suffix('*').unwrap_or(path);
        if !path.is_empty() && !inner.starts_with('/') && path != "*" {
            rules.error(&here, format!("{path:?} does not begin with /"), "");
        } else if inner.contains(['*', '?', '#']) {
            rules.error(&here, format!("{path:?} may have * at its end only, and no query"), "");
        }
    }
    for (i, host) in hosts.iter().enumerate() {
        let inner = host.strip_prefix("*.").unwrap_or(host);
        if !host.is_empty() && host != "*" && (inner.contains('*') || inner.contains(':')) {
            let message = format!("{host:?} may have *. at its beginning only, and no port");
            rules.error(&at.field("hosts").index(i), message, "");
        }
    }
    for name in headers.keys() {
        rules.check(&at.field("headers").field(name), names::header_name(name));
    }
}

fn check_overrides(given: &[LimitOverride], keys: usize, at: &At<'_>, rules: &mut Rules) {
    at_most(given.len(), MOST, at, rules);
    let mut seen = HashSet::new();
    for (i, LimitOverride { values, requests, burst }) in given.iter().enumerate() {
        let here = at.index(i);
        numbers(*requests, *burst, &here, rules);
        let at_values = here.field("values");
        if keys == 0 {
            rules.error(&here, "needs per: without it there are no values", "write per, or take it away");
        } else if values.len() != keys {
            let message = format!("has {} values, but per has {keys}", values.len());
            rules.error(&at_values, message, "write one for each; * is any");
        }
        if values.iter().any(String::is_empty) {
            rules.error(&at_values, "must not hold an empty value", "write * for any");
        }
        if !values.is_empty() && values.iter().all(|v| v == "*") {
            rules.error(&at_values, "is for every value", "change requests of the limit instead");
        } else if !seen.insert(values) {
            rules.error(&at_values, "is there twice", "keep one");
        }
    }
}
