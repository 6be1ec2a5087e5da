//! Which answers count as errors.

use tulle_http::ResponseHead;

use super::Outcome;
use crate::decide::matcher;
use crate::runtime::error_matcher::ErrorMatcher;

/// What an answer counts as: its own status, or with a matcher 500 where it holds and 200 elsewhere (as in Envoy).
pub fn counts_as(answer: &ResponseHead, errors: Option<&ErrorMatcher>) -> Outcome {
    Outcome::Status(match errors {
        None => answer.status,
        Some(errors) if holds(errors, answer) => 500,
        Some(_) => 200,
    })
}

fn holds(errors: &ErrorMatcher, answer: &ResponseHead) -> bool {
    match errors {
        ErrorMatcher::Never => false,
        ErrorMatcher::Always => true,
        ErrorMatcher::Headers(all) => all.iter().all(|want| matcher::header(want, answer)),
        ErrorMatcher::Not(inner) => !holds(inner, answer),
        ErrorMatcher::And(all) => all.iter().all(|inner| holds(inner, answer)),
        ErrorMatcher::Or(some) => some.iter().any(|inner| holds(inner, answer)),
    }
}
