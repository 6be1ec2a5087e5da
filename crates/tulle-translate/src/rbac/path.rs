//! Paths of authorization policies.

use tulle_proto::envoy::matcher::{PathMatcher, StringMatcher, path_matcher, string_matcher::MatchPattern};

use super::values::{quote, string};
use crate::pb::{matcher, regex};

/// The matcher of a path: `*` at the start or the end; `{*}` one segment and `{**}` any number of them inside; and, as
/// the mission writes it, a segment that is `*` inside stands for one segment.
pub(super) fn path(value: &str) -> PathMatcher {
    PathMatcher { rule: Some(path_matcher::Rule::Path(path_string(value))) }
}

fn path_string(value: &str) -> StringMatcher {
    let template = value.contains("{*}") || value.contains("{**}");
    let inner_star = value
        .split('/')
        .enumerate()
        .any(|(i, segment)| segment == "*" && i > 0 && i + 1 < value.split('/').count());
    if !template && !inner_star {
        return string(value);
    }
    let segments: Vec<&str> = value.split('/').collect();
    let last = segments.len() - 1;
    let mut out = String::new();
    for (i, segment) in segments.iter().enumerate() {
        if i > 0 {
            out.push('/');
        }
        match *segment {
            "{**}" => out.push_str(".*"),
            "{*}" => out.push_str("[^/]+"),
            "*" if i == 0 || i == last => out.push_str(".*"),
            "*" => out.push_str("[^/]+"),
            _ if i == 0 && segment.starts_with('*') => {
                out.push_str(".*");
                out.push_str(&quote(&segment[1..]));
            }
            _ if i == last && segment.ends_with('*') => {
                out.push_str(&quote(&segment[..segment.len() - 1]));
                out.push_str(".*");
            }
            literal => out.push_str(&quote(literal)),
        }
    }
    matcher(MatchPattern::SafeRegex(regex(out)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, wanted: MatchPattern) {
        assert_eq!(path_string(value).match_pattern, Some(wanted), "{value}");
    }

    #[test]
    fn stars_and_templates() {
        let by = |r: &str| MatchPattern::SafeRegex(regex(r));
        check("/api/*", MatchPattern::Prefix("/api/".into()));
        check("*.json", MatchPattern::Suffix(".json".into()));
        check("/a", MatchPattern::Exact("/a".into()));
        check("/a/*/b", by("/a/[^/]+/b"));
        check("/a/*/b/*", by("/a/[^/]+/b/.*"));
        check("*/a/*/b", by(".*/a/[^/]+/b"));
        check("*x/*/b", by(".*x/[^/]+/b"));
        check("/a/{*}/b", by("/a/[^/]+/b"));
        check("/a.b/{**}", by(r"/a\.b/.*"));
        check("/a/x*y/b", MatchPattern::Exact("/a/x*y/b".into()));
    }
}
