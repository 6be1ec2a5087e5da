//! Rules that several kinds share.

use std::collections::HashSet;
use std::time::Duration;

use super::names;
use super::rules::Rules;
use crate::istio::{
    Destination, HeaderOperations, Headers, Percent, PolicyTargetReference, StringMatch, WorkloadSelector,
};
use crate::schema::At;
use crate::value::WrittenDuration;
use tulle_base::Labels;

/// Longest regular expression: Istio's limit.
const MAX_REGEX: usize = 1024;
/// Largest compiled regular expression, in bytes.
const MAX_REGEX_PROGRAM: usize = 4 << 20;

/// A duration that is given must be a whole number of milliseconds, one at least.
pub(super) fn duration(given: Option<&WrittenDuration>, at: &At<'_>, rules: &mut Rules) {
    let Some(written) = given else { return };
    if written.get() < Duration::from_millis(1) {
        rules.error(at, format!("must be 1ms or more but is {written}"), "");
    } else {
        precision(written, at, rules);
    }
}

/// As [`duration`], but zero stands for "none".
pub(super) fn duration_or_zero(given: Option<&WrittenDuration>, at: &At<'_>, rules: &mut Rules) {
    if given.is_some_and(|d| !d.get().is_zero()) {
        duration(given, at, rules);
    }
}

fn precision(written: &WrittenDuration, at: &At<'_>, rules: &mut Rules) {
    if !written.get().subsec_nanos().is_multiple_of(1_000_000) {
        rules.error(at, format!("must be a whole number of milliseconds but is {written}"), "");
    }
}

/// A share between 0 and 100; Envoy counts in millionths, so the smallest above zero is 0.0001.
pub(super) fn percent(given: Option<&Percent>, at: &At<'_>, rules: &mut Rules) {
    let Some(value) = given.and_then(|p| p.value) else { return };
    if !(0.0..=100.0).contains(&value) {
        rules.error(&at.field("value"), format!("must be between 0 and 100 but is {value}"), "");
    } else if value > 0.0 && value < 0.0001 {
        rules.error(
            &at.field("value"),
            format!("{value} is too small to have an effect"),
            "write 0 or at least 0.0001",
        );
    }
}

/// A whole number between 0 and 100.
pub(super) fn whole_percent(given: Option<i32>, at: &At<'_>, rules: &mut Rules) {
    if let Some(value) = given.filter(|v| !(0..=100).contains(v)) {
        rules.error(at, format!("must be between 0 and 100 but is {value}"), "");
    }
}

/// A number that may not be negative.
pub(super) fn not_negative(given: Option<i32>, at: &At<'_>, rules: &mut Rules) {
    if let Some(value) = given.filter(|v| *v < 0) {
        rules.error(at, format!("must be 0 or more but is {value}"), "");
    }
}

/// A port that is given.
pub(super) fn port(given: Option<u32>, at: &At<'_>, rules: &mut Rules) {
    if let Some(number) = given {
        rules.check(at, names::port(number.into()));
    }
}

/// A list or mapping that has at most `most` entries: Istio's limits, which keep single documents small.
pub(super) fn at_most(count: usize, most: usize, at: &At<'_>, rules: &mut Rules) {
    if count > most {
        rules.error(at, format!("has at most {most} entries, not {count}"), "split it");
    }
}

/// Text of at most `most` characters.
pub(super) fn length(text: &str, most: usize, at: &At<'_>, rules: &mut Rules) {
    let count = text.chars().count();
    if count > most {
        rules.error(at, format!("has {count} characters, at most {most} are allowed"), "");
    }
}

/// Labels that are given.
pub(super) fn labels(given: &Labels, at: &At<'_>, rules: &mut Rules) {
    for (key, value) in given {
        rules.check(&at.field(key), names::label_key(key));
        rules.check(&at.field(key), names::label_value(value));
    }
}

/// Where a resource is visible. `services` may hide themselves with `~`.
pub(super) fn export_to(given: &[String], namespace: &str, services: bool, at: &At<'_>, rules: &mut Rules) {
    let mut seen = HashSet::new();
    for (i, entry) in given.iter().enumerate() {
        let here = at.index(i);
        let key = if entry == "." { namespace } else { entry };
        if !seen.insert(key) {
            rules.error(&here, format!("{entry:?} is given twice"), "keep one");
        } else if !(key == "*" || services && key == "~") {
            let message = format!("{entry:?} is neither *, . nor the name of a namespace");
            rules.check(&here, names::dns_label(key).map_err(|_| message));
        }
    }
    for alone in ["*", "~"] {
        if seen.contains(alone) && given.len() > 1 {
            rules.error(
                at,
                format!("{alone:?} excludes every other entry"),
                format!("keep {alone:?} or the others"),
            );
        }
    }
}

/// A selector of workloads by labels.
pub(super) fn selector(given: Option<&WorkloadSelector>, at: &At<'_>, rules: &mut Rules) {
    if let Some(selector) = given {
        let WorkloadSelector { match_labels } = selector;
        selector_labels(match_labels, &at.field("matchLabels"), rules);
    }
}

/// The labels of a selector.
pub(super) fn selector_labels(given: &Labels, at: &At<'_>, rules: &mut Rules) {
    if given.is_empty() {
        rules.warn(
            at,
            "the selector has no labels and selects every workload",
            "name labels or remove the selector",
        );
    }
    at_most(given.len(), 4096, at, rules);
    for (key, value) in given {
        if key.is_empty() || key.contains('*') || value.contains('*') {
            rules.error(
                &at.field(key),
                format!("{key}={value}: a selector has no wildcards and no empty keys"),
                "",
            );
        } else {
            rules.check(&at.field(key), names::label_key(key));
            rules.check(&at.field(key), names::label_value(value));
        }
    }
}

/// Resources that a policy is attached to: services and Gateway API gateways of its namespace.
pub(super) fn target_refs(
    one: Option<&PolicyTargetReference>,
    many: &[PolicyTargetReference],
    at: &At<'_>,
    rules: &mut Rules,
) {
    if let Some(target) = one {
        target_ref(target, &at.field("targetRef"), rules);
    }
    let list = at.field("targetRefs");
    if many.len() > 16 {
        rules.error(&list, format!("has at most 16 entries, not {}", many.len()), "split the policy");
    }
    for (i, target) in many.iter().enumerate() {
        target_ref(target, &list.index(i), rules);
    }
}

fn target_ref(target: &PolicyTargetReference, at: &At<'_>, rules: &mut Rules) {
    let PolicyTargetReference { group, kind, name: _, namespace } = target;
    if !namespace.is_empty() {
        rules.error(
            &at.field("namespace"),
            "a policy can only be attached within its own namespace",
            "remove it",
        );
    }
    let known = matches!(
        (group.as_str(), kind.as_str()),
        ("" | "core", "Service")
            | ("networking.istio.io", "ServiceEntry")
            | ("gateway.networking.k8s.io", "Gateway" | "GatewayClass")
    );
    if !known {
        let message = format!("a policy cannot be attached to {kind} of group {group:?}");
        rules.error(
            &at.field("kind"),
            message,
            "attach it to a Service, ServiceEntry, Gateway or GatewayClass",
        );
    }
}

/// A comparison; `empty_prefix` says whether the empty prefix, which matches everything, is allowed.
pub(super) fn string_match(given: &StringMatch, empty_prefix: bool, at: &At<'_>, rules: &mut Rules) {
    match given {
        StringMatch::Prefix(text) if text.is_empty() && !empty_prefix => {
            rules.error(
                &at.field("prefix"),
                "is empty and matches everything",
                "write {} to ask only that it is there",
            );
        }
        StringMatch::Regex(text) => regex(text, &at.field("regex"), rules),
        StringMatch::Prefix(_) | StringMatch::Exact(_) | StringMatch::Any => {}
    }
}

/// A regular expression in RE2 syntax.
pub(super) fn regex(text: &str, at: &At<'_>, rules: &mut Rules) {
    if text.is_empty() {
        rules.error(at, "the regular expression is empty", "write .* to match everything");
    } else if text.len() > MAX_REGEX {
        rules.error(
            at,
            format!("the regular expression has {} characters, at most {MAX_REGEX} are allowed", text.len()),
            "",
        );
    } else if let Err(error) = regex::RegexBuilder::new(text).size_limit(MAX_REGEX_PROGRAM).build() {
        let reason = match error {
            regex::Error::CompiledTooBig(_) => "it is too large once compiled".to_owned(),
            other => last_line(&other.to_string()),
        };
        rules.error(at, format!("{text:?} is not a regular expression: {reason}"), "");
    }
}

fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// Where traffic goes.
pub(super) fn destination(given: &Destination, at: &At<'_>, rules: &mut Rules) {
    let Destination { host, subset, port: selector } = given;
    if host == "*" {
        rules.error(&at.field("host"), "traffic cannot be sent to *", "name a host");
    } else {
        rules.check(&at.field("host"), names::wildcard_domain(host));
    }
    if !subset.is_empty() {
        rules.check(&at.field("subset"), names::label(subset));
    }
    if let Some(selector) = selector {
        let here = at.field("port");
        port(Some(selector.number.unwrap_or(0)), &here.field("number"), rules);
    }
}

/// Changes to headers.
pub(super) fn headers(given: Option<&Headers>, at: &At<'_>, rules: &mut Rules) {
    let Some(Headers { request, response }) = given else { return };
    operations(request.as_ref(), true, &at.field("request"), rules);
    operations(response.as_ref(), false, &at.field("response"), rules);
}

fn operations(given: Option<&HeaderOperations>, authority: bool, at: &At<'_>, rules: &mut Rules) {
    let Some(HeaderOperations { set, add, remove }) = given else { return };
    for (operation, headers) in [("set", set), ("add", add)] {
        for (name, value) in headers {
            let (list, here) = (at.field(operation), name.as_str());
            changed_header(name, authority, &list.field(here), rules);
            rules.check(&list.field(here), header_value(value));
        }
    }
    for (i, name) in remove.iter().enumerate() {
        changed_header(name, false, &at.field("remove").index(i), rules);
    }
}

fn changed_header(name: &str, authority: bool, at: &At<'_>, rules: &mut Rules) {
    if is_authority(name) {
        if !authority {
            rules.error(at, format!("{name} cannot be changed here"), "use rewrite.authority");
        }
    } else if name.starts_with(':') {
        rules.error(at, format!("{name} is not a header that can be changed"), "use rewrite");
    } else {
        rules.check(at, names::header_name(name));
    }
}

/// Whether a header stands for the authority of a request.
pub(super) fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case("host") || name.eq_ignore_ascii_case(":authority")
}

/// A header value with Envoy's substitutions: `%NAME%` or `%NAME(ARGUMENT)%`, and `%%` for a percent sign.
fn header_value(value: &str) -> Result<(), String> {
    if value.bytes().any(|b| (b < 0x20 && b != b'\t') || b == 0x7f) {
        return Err("a header value has no control characters".into());
    }
    let mut rest = value;
    while let Some(start) = rest.find('%') {
        rest = &rest[start + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            rest = after;
            continue;
        }
        let name =
            rest.bytes().take_while(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_').count();
        let after = &rest[name..];
        let end = match after.strip_prefix('(') {
            Some(argument) => argument.find(")%").map(|at| &argument[at + 2..]),
            None => after.strip_prefix('%'),
        };
        rest = match end.filter(|_| name > 0) {
            Some(end) => end,
            None => {
                return Err(format!(
                    "{value:?}: a % begins a substitution such as %HOSTNAME%; write %% for a percent sign"
                ));
            }
        };
    }
    Ok(())
}

/// The protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PortProtocol {
    Http,
    Tls,
    Tcp,
}

/// Reads the name of a protocol, in either case.
pub(super) fn protocol(name: &str) -> Option<PortProtocol> {
    Some(match name.to_ascii_lowercase().as_str() {
        "http" | "http2" | "grpc" | "grpc-web" | "http_proxy" => PortProtocol::Http,
        "https" | "tls" => PortProtocol::Tls,
        "tcp" | "udp" | "mongo" | "redis" | "mysql" => PortProtocol::Tcp,
        _ => return None,
    })
}

/// Says that a protocol is not known.
pub(super) fn unknown_protocol(name: &str, at: &At<'_>, rules: &mut Rules) {
    let known = "HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, TCP and TLS";
    rules.error(at, format!("protocol {name:?} is not known"), format!("known are {known}"));
}

#[cfg(test)]
mod tests {
    use super::header_value;

    #[test]
    fn substitutions() {
        for good in ["foo", "%HOSTNAME%", "100%%", "a %REQ(x?y:z)% b", ""] {
            assert_eq!(header_value(good), Ok(()), "{good}");
        }
        for bad in ["abc%123", "%START_TIME%%", "%", "%a%", "a\nb"] {
            assert!(header_value(bad).is_err(), "{bad}");
        }
    }
}
