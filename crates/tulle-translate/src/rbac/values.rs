//! Values of policies to matchers. `*` is a wildcard only at the start or the end (traps 9).

use tulle_proto::envoy::matcher::{StringMatcher, string_matcher::MatchPattern};
use tulle_proto::envoy::route::{HeaderMatcher, header_matcher::HeaderMatchSpecifier};

use crate::pb::{matcher, regex};

/// A matcher of a value: `*` for any that is not empty, `*x` for an end, `x*` for a beginning, else the whole text.
pub(super) fn string(value: &str) -> StringMatcher {
    with_prefix("", value)
}

/// The same on texts that begin with `prefix`.
pub(super) fn with_prefix(prefix: &str, value: &str) -> StringMatcher {
    matcher(match (value.strip_prefix('*'), value.strip_suffix('*')) {
        _ if value == "*" => MatchPattern::SafeRegex(regex(".+")),
        (Some(end), _) if prefix.is_empty() => MatchPattern::Suffix(end.to_owned()),
        (Some(end), _) => MatchPattern::SafeRegex(regex(format!("{prefix}.*{}", quote(end)))),
        (None, Some(start)) => MatchPattern::Prefix(format!("{prefix}{start}")),
        (None, None) => MatchPattern::Exact(format!("{prefix}{value}")),
    })
}

/// A matcher of a header; `*` asks only that it is there.
pub(super) fn header(name: &str, value: &str, ignore_case: bool) -> HeaderMatcher {
    let specifier = if value == "*" {
        HeaderMatchSpecifier::PresentMatch(true)
    } else {
        HeaderMatchSpecifier::StringMatch(StringMatcher { ignore_case, ..string(value) })
    };
    HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(specifier),
        ..HeaderMatcher::default()
    }
}

/// A matcher of the namespace in a SPIFFE id. A wildcard stays within it: `*a` is not a name that ends in `sa`, which would be any.
pub(super) fn namespace(value: &str) -> StringMatcher {
    let pattern = value.split('*').map(quote).collect::<Vec<_>>().join("[^/]*");
    matcher(MatchPattern::SafeRegex(regex(format!(".*/ns/{pattern}/.*"))))
}

/// A matcher of `NAMESPACE/NAME` in a SPIFFE id, whatever the trust domain.
pub(super) fn service_account(value: &str) -> StringMatcher {
    let (ns, name) = value.split_once('/').unwrap_or(("", value));
    matcher(MatchPattern::SafeRegex(regex(format!("spiffe://[^/]+/ns/{}/sa/{}", quote(ns), quote(name)))))
}

/// A matcher of the trust domain in a SPIFFE id.
pub(super) fn trust_domain(value: &str) -> StringMatcher {
    let pattern = value.split('*').map(quote).collect::<Vec<_>>().join("[^/]*");
    matcher(MatchPattern::SafeRegex(regex(format!("spiffe://{pattern}/.*"))))
}

/// The text as an expression that matches it literally.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_a_wildcard_at_the_ends_only() {
        let pattern = |v: &str| string(v).match_pattern.unwrap();
        assert_eq!(pattern("a*"), MatchPattern::Prefix("a".into()));
        assert_eq!(pattern("*a"), MatchPattern::Suffix("a".into()));
        assert_eq!(pattern("*"), MatchPattern::SafeRegex(regex(".+")));
        assert_eq!(pattern("a*b"), MatchPattern::Exact("a*b".into()));
        let principal = |v: &str| with_prefix("spiffe://", v).match_pattern.unwrap();
        assert_eq!(
            principal("cluster.local/ns/a/*"),
            MatchPattern::Prefix("spiffe://cluster.local/ns/a/".into())
        );
        assert_eq!(principal("*/sa/x.y"), MatchPattern::SafeRegex(regex(r"spiffe://.*/sa/x\.y")));
    }
}
