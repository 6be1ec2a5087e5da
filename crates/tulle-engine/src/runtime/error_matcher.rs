//! Which answers count as errors (`envoy.config.common.matcher.v3.MatchPredicate`, as far as it asks about answers).

use super::matcher::HeaderMatcher;

/// A predicate over an answer.
#[derive(Clone, Debug)]
pub enum ErrorMatcher {
    /// No answer.
    Never,
    /// Every answer.
    Always,
    /// Answers whose headers meet all of these; `:status` is one of them.
    Headers(Vec<HeaderMatcher>),
    /// Answers that the predicate does not hold for.
    Not(Box<ErrorMatcher>),
    /// Answers that every predicate holds for.
    And(Vec<ErrorMatcher>),
    /// Answers that some predicate holds for.
    Or(Vec<ErrorMatcher>),
}
