//! Selectors of the parser as conditions of the store.

use promql_parser::label::{MatchOp, Matcher as Parsed};
use promql_parser::parser::{Expr, VectorSelector};

use super::{QueryLimits, guard};
use crate::store::{Matcher, NAME, Test};

/// Why a text is no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// It is no query.
    #[error("{0}")]
    Parse(String),
    /// It is another query.
    #[error("{0:?} is no series selector")]
    Other(String),
}

/// The conditions of a selector such as `a{b="c"}`, as `match[]` names series.
///
/// # Errors
/// [`SelectorError`].
pub fn selectors(text: &str) -> Result<Vec<Vec<Matcher>>, SelectorError> {
    let limits = QueryLimits::default();
    guard::check(text, &limits).map_err(SelectorError::Parse)?;
    // Nothing long is a selector, so that the depth of the parser's recursion does not matter.
    if text.len() > 8192 {
        return Err(SelectorError::Parse("a selector of more than 8192 bytes".to_owned()));
    }
    match promql_parser::parser::parse(text).map_err(SelectorError::Parse)? {
        Expr::VectorSelector(selector) => Ok(of(&selector)),
        _ => Err(SelectorError::Other(text.chars().take(80).collect())),
    }
}

/// The conditions of a selector: one list, or several of which one must fit.
pub(super) fn of(selector: &VectorSelector) -> Vec<Vec<Matcher>> {
    let name = selector.name.as_ref().map(|n| Matcher { label: NAME.to_owned(), test: Test::Is(n.clone()) });
    let list = |all: &[Parsed]| name.iter().cloned().chain(all.iter().map(one)).collect::<Vec<_>>();
    let parsed = &selector.matchers;
    if parsed.or_matchers.is_empty() {
        vec![list(&parsed.matchers)]
    } else {
        parsed.or_matchers.iter().map(|all| list(all)).collect()
    }
}

fn one(parsed: &Parsed) -> Matcher {
    let test = match &parsed.op {
        MatchOp::Equal => Test::Is(parsed.value.clone()),
        MatchOp::NotEqual => Test::IsNot(parsed.value.clone()),
        MatchOp::Re(regex) => Test::Matches(regex.clone()),
        MatchOp::NotRe(regex) => Test::MatchesNot(regex.clone()),
    };
    Matcher { label: parsed.name.clone(), test }
}
