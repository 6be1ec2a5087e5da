//! Expressions over the attributes of a request or connection: the part of CEL that Istio's Telemetry is written in.
//!
//! `tagOverrides` of metrics are such expressions (`request.headers['x-tenant-id']`), and so are filters of access logs
//! (`response.code >= 400`). An [`Expression`] is read once; what is not understood is refused by name ([`CelError`]). Evaluating
//! one allocates only for `+` and `string()`.
//!
//! Understood: texts, numbers, `true`, `false`, `null`, lists as the right side of `in`; `!`, `&&`, `||`, `? :`, `==`, `!=`, `<`,
//! `<=`, `>`, `>=`, `+`, `-`, `in`; `has()`, `size()`, `string()`, `int()`; `contains`, `startsWith`, `endsWith` and `matches` of texts;
//! the attributes of [`Attribute`]. As in CEL, what is not there is an error, and `&&` and `||` forgive one that does not matter.

mod attribute;
mod evaluate;
mod lex;
mod parse;
#[cfg(test)]
mod tests;

pub use attribute::{Attribute, Attributes, Nothing};
pub use evaluate::Value;

/// The longest expression that is read, in bytes.
pub const MAX_LENGTH: usize = 4096;

/// An expression, ready to be evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    root: parse::Node,
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// [`CelError`] says what is not understood, and where.
    pub fn parse(text: &str) -> Result<Self, CelError> {
        if text.len() > MAX_LENGTH {
            return Err(CelError::TooLong(text.len()));
        }
        parse::parse(text).map(|root| Self { root })
    }

    /// What it is for these attributes.
    pub fn evaluate<'a>(&'a self, of: &'a dyn Attributes) -> Value<'a> {
        evaluate::evaluate(&self.root, of)
    }

    /// Whether it is true; errors and everything that is no truth value are false.
    pub fn holds(&self, of: &dyn Attributes) -> bool {
        matches!(self.evaluate(of), Value::Bool(true))
    }

    /// Every attribute that it reads, in the order of the text.
    pub fn attributes(&self) -> Vec<&Attribute> {
        let mut out = Vec::new();
        self.root.visit(&mut |node| match node {
            parse::Node::Attribute(attribute) | parse::Node::Has(attribute) => out.push(attribute),
            _ => {}
        });
        out
    }
}

/// What is not understood of an expression. Positions count bytes from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CelError {
    /// It is longer than [`MAX_LENGTH`].
    #[error("is {0} bytes long; at most {MAX_LENGTH} are read")]
    TooLong(usize),
    /// It is nested too deeply.
    #[error("is nested too deeply")]
    TooDeep,
    /// Something is missing at the end.
    #[error("ends where {0} is expected")]
    Ends(&'static str),
    /// Something stands where something else is expected.
    #[error("has {found:?} at {at} where {expected} is expected")]
    Unexpected {
        /// What stands there.
        found: String,
        /// Where.
        at: usize,
        /// What is expected.
        expected: &'static str,
    },
    /// A text does not end, or has an escape that does not exist.
    #[error("has a broken text at {0}")]
    Text(usize),
    /// A number does not fit.
    #[error("has the number {0}, which does not fit")]
    Number(String),
    /// No such attribute.
    #[error("reads {name}, which is not known{near}")]
    Unknown {
        /// What is written.
        name: String,
        /// `; did you mean ...?`, or nothing.
        near: String,
    },
    /// An attribute that exists, but not here.
    #[error("reads {0}, which is not available here")]
    Unavailable(String),
    /// No such function.
    #[error(
        "calls {0}, which is not supported; has, size, string, int, contains, startsWith, endsWith and matches are"
    )]
    Function(String),
    /// A function with other arguments than it takes.
    #[error("calls {0} with other arguments than it takes")]
    Arguments(&'static str),
    /// A regular expression that cannot be used.
    #[error("matches a regular expression that cannot be used: {0}")]
    Regex(String),
}
