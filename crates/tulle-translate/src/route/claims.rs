//! Claims of tokens that routes ask for as if they were headers: `@request.auth.claims.a.b` or `@request.auth.claims[a][b]`.

use tulle_mesh::routing::StringMatch;
use tulle_proto::envoy::matcher::{MetadataMatcher, OrMatcher, value_matcher::MatchPattern};

use super::matching::string;
use crate::jwt;

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
pub(super) fn matcher(header: &str, m: &StringMatch, not: bool) -> Option<MetadataMatcher> {
    let wanted = match string(m) {
        None => jwt::value_of(MatchPattern::PresentMatch(true)),
        Some(text) => jwt::value_of(MatchPattern::OrMatch(OrMatcher {
            value_matchers: vec![jwt::is_text(text.clone()), jwt::has_text(text)],
        })),
    };
    Some(jwt::claim(path(header)?, wanted, not))
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
