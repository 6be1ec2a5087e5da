//! Whether a request comes from a page of its own origin.

use tulle_http::{Known, RequestHead};

use super::matcher;
use crate::runtime::csrf::CsrfPolicy;

/// What is found about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CsrfVerdict {
    /// It changes nothing, so it may come from anywhere.
    NotAsked,
    /// It comes from its own origin, or from one that is allowed.
    Valid,
    /// It does not say where it comes from.
    Missing,
    /// It comes from elsewhere.
    Invalid,
}

/// Compares where a request comes from (`origin`, without it `referer`) with where it goes, host and port each.
pub fn decide(policy: &CsrfPolicy, head: &RequestHead) -> CsrfVerdict {
    if !matches!(head.method.as_str(), "POST" | "PUT" | "DELETE" | "PATCH") {
        return CsrfVerdict::NotAsked;
    }
    let field = |name| head.headers.get_str(name).filter(|value| !value.is_empty());
    let source = match field(Known::Origin).or_else(|| field(Known::Referer)) {
        // A page without an origin, such as a file, says so.
        None | Some("null") => return CsrfVerdict::Missing,
        Some(value) => host_and_port(value),
    };
    let allowed = |origin: &_| matcher::string(origin, source.as_bytes());
    if source == host_and_port(&head.authority) || policy.additional_origins.iter().any(allowed) {
        CsrfVerdict::Valid
    } else {
        CsrfVerdict::Invalid
    }
}

/// Host and port of an absolute URL; any other text as it is.
fn host_and_port(text: &str) -> &str {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let Some(rest) = rest else { return text };
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use tulle_http::Method;

    use super::*;
    use crate::runtime::matcher::{Fraction, StringMatcher};

    #[test]
    fn origins_are_compared_as_a_stock_envoy_compares_them() {
        use CsrfVerdict::{Invalid, Missing, NotAsked, Valid};
        let policy = CsrfPolicy {
            enabled: Fraction::ALWAYS,
            shadow: Fraction::ZERO,
            additional_origins: vec![StringMatcher::Suffix("allowed.com".into())],
        };
        let referer = ("referer", "http://h:1/some/path?x");
        for (method, fields, want) in [
            ("POST", vec![], Missing),
            ("PATCH", vec![], Missing),
            ("GET", vec![("origin", "http://other")], NotAsked),
            ("POST", vec![("origin", "http://h:1")], Valid),
            ("POST", vec![("origin", "https://h:1")], Valid),
            ("POST", vec![("origin", "h:1")], Valid),
            ("POST", vec![("origin", "http://h")], Invalid),
            ("POST", vec![("origin", "http://h:80")], Invalid),
            ("POST", vec![("origin", "garbage/x")], Invalid),
            ("POST", vec![("origin", "null")], Missing),
            ("PUT", vec![("origin", "null"), referer], Missing),
            ("POST", vec![referer], Valid),
            ("DELETE", vec![("origin", ""), referer], Valid),
            ("POST", vec![("origin", "http://x.allowed.com/p")], Valid),
        ] {
            let head = RequestHead {
                method: Method::from_bytes(method.as_bytes()).unwrap(),
                authority: "h:1".into(),
                headers: fields.iter().copied().collect(),
                ..Default::default()
            };
            assert_eq!(decide(&policy, &head), want, "{method} {fields:?}");
        }
    }
}
