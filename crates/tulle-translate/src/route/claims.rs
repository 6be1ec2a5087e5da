//! Claims of tokens that routes ask for as if they were headers: `@request.auth.claims.a.b` or `@request.auth.claims[a][b]`.

use tulle_mesh::routing::StringMatch;
use tulle_proto::envoy::matcher::{
    ListMatcher, MetadataMatcher, OrMatcher, ValueMatcher, list_matcher, metadata_matcher, value_matcher,
};

use super::matching::string;
use crate::jwt::{JWT, PAYLOAD};

/// The way to the claim that a header stands for.
pub(super) fn path(header: &str) -> Option<Vec<&str>> {
    let rest = header.strip_prefix("@request.auth.claims")?;
    if let Some(dotted) = rest.strip_prefix('.').filter(|d| !d.is_empty()) {
        return Some(dotted.split('.').collect());
    }
    let inner = rest.strip_prefix('[')?.strip_suffix(']').filter(|i| !i.is_empty())?;
    Some(inner.split("][").collect())
}

/// The matcher of a claim: the text itself, or some element of a list.
#[allow(deprecated, reason = "the field that Istio writes, and that every Envoy reads")]
pub(super) fn matcher(header: &str, m: &StringMatch, not: bool) -> Option<MetadataMatcher> {
    let claim = path(header)?;
    let segment = |key: &str| metadata_matcher::PathSegment {
        segment: Some(metadata_matcher::path_segment::Segment::Key(key.to_owned())),
    };
    let value = |pattern| ValueMatcher { match_pattern: Some(pattern) };
    let wanted = match string(m) {
        None => value(value_matcher::MatchPattern::PresentMatch(true)),
        Some(text) => {
            let text = value(value_matcher::MatchPattern::StringMatch(text));
            let one_of = list_matcher::MatchPattern::OneOf(Box::new(text.clone()));
            let list = ListMatcher { match_pattern: Some(one_of) };
            let list = value(value_matcher::MatchPattern::ListMatch(Box::new(list)));
            value(value_matcher::MatchPattern::OrMatch(OrMatcher { value_matchers: vec![text, list] }))
        }
    };
    Some(MetadataMatcher {
        filter: JWT.to_owned(),
        path: std::iter::once(PAYLOAD).chain(claim).map(segment).collect(),
        value: Some(wanted),
        invert: not,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_lead_to_a_claim() {
        assert_eq!(path("@request.auth.claims.role"), Some(vec!["role"]));
        assert_eq!(path("@request.auth.claims.realm.roles"), Some(vec!["realm", "roles"]));
        assert_eq!(
            path("@request.auth.claims[https://x.example/a][b.c]"),
            Some(vec!["https://x.example/a", "b.c"])
        );
        for none in ["@request.auth.claims", "@request.auth.claims.", "@request.auth.claims[]", "x-role"] {
            assert_eq!(path(none), None, "{none}");
        }
    }
}
