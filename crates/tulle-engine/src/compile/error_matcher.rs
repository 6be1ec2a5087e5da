//! Which answers count as errors.

use tulle_proto::envoy::common_matcher as pb;

use super::context::{At, Context};
use super::matcher;
use crate::runtime::error_matcher::ErrorMatcher;

pub(super) fn error_matcher(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::MatchPredicate,
) -> Option<ErrorMatcher> {
    use pb::match_predicate::{MatchSet, Rule};
    let pb::MatchPredicate { rule } = message;
    let list = |cx: &mut Context<'_>, at: &At<'_>, rules: &[pb::MatchPredicate]| {
        let at = at.field("rules");
        rules.iter().enumerate().map(|(i, m)| error_matcher(cx, &at.index(i), m)).collect::<Option<Vec<_>>>()
    };
    cx.deeper(at, |cx| match rule {
        Some(Rule::AnyMatch(true)) => Some(ErrorMatcher::Always),
        Some(Rule::AnyMatch(false)) => Some(ErrorMatcher::Never),
        Some(Rule::OrMatch(MatchSet { rules })) => {
            list(cx, &at.field("or_match"), rules).map(ErrorMatcher::Or)
        }
        Some(Rule::AndMatch(MatchSet { rules })) => {
            list(cx, &at.field("and_match"), rules).map(ErrorMatcher::And)
        }
        Some(Rule::NotMatch(inner)) => {
            error_matcher(cx, &at.field("not_match"), inner).map(|p| ErrorMatcher::Not(Box::new(p)))
        }
        Some(Rule::HttpResponseHeadersMatch(pb::HttpHeadersMatch { headers })) => {
            let at = at.field("http_response_headers_match");
            Some(ErrorMatcher::Headers(matcher::headers(cx, &at.field("headers"), headers)))
        }
        Some(
            Rule::HttpRequestHeadersMatch(_)
            | Rule::HttpRequestTrailersMatch(_)
            | Rule::HttpResponseTrailersMatch(_)
            | Rule::HttpRequestGenericBodyMatch(_)
            | Rule::HttpResponseGenericBodyMatch(_),
        ) => {
            cx.refuse(at, "only http_response_headers_match is supported here");
            None
        }
        None => {
            cx.refuse(at, "needs a rule");
            None
        }
    })
}
