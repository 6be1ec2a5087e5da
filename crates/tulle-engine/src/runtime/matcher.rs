//! Matchers over texts, headers, query parameters, metadata and chance. How they decide is in `decide::matcher`.

use std::sync::Arc;

use regex::bytes::Regex;
pub use tulle_http::HeaderName;

/// `envoy.type.matcher.v3.StringMatcher`, and its older spellings.
#[derive(Clone, Debug)]
pub enum StringMatcher {
    /// The whole text.
    Exact(Arc<str>),
    /// How the text begins.
    Prefix(Arc<str>),
    /// How the text ends.
    Suffix(Arc<str>),
    /// What the text has somewhere.
    Contains(Arc<str>),
    /// The whole text, ASCII case ignored; the pattern is lower case.
    ExactNoCase(Arc<str>),
    /// How the text begins, ASCII case ignored; the pattern is lower case.
    PrefixNoCase(Arc<str>),
    /// How the text ends, ASCII case ignored; the pattern is lower case.
    SuffixNoCase(Arc<str>),
    /// What the text has somewhere, ASCII case ignored; the pattern is lower case.
    ContainsNoCase(Arc<str>),
    /// The whole text by a regular expression (anchored at both ends).
    Regex(FullRegex),
}

/// A regular expression that must match the whole text, as RE2's `FullMatch`. Classes such as `\\w` are ASCII, as RE2's.
#[derive(Clone, Debug)]
pub struct FullRegex {
    /// The pattern as configured.
    pub source: Arc<str>,
    /// The pattern, anchored.
    pub regex: Regex,
}

/// A regular expression with the text that replaces each match (`RegexMatchAndSubstitute`).
#[derive(Clone, Debug)]
pub struct RegexSubstitution {
    /// The pattern as configured; not anchored.
    pub regex: Regex,
    /// The replacement, in pieces.
    pub replacement: Vec<ReplacementPart>,
}

/// A piece of a replacement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplacementPart {
    /// Text as it is.
    Text(Arc<str>),
    /// What group n caught; 0 is the whole match.
    Group(usize),
}

/// What a configuration means by a header name: a field, or a pseudo header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HeaderKey {
    /// `:method`.
    Method,
    /// `:path`, with query.
    Path,
    /// `:authority` or `host`.
    Authority,
    /// `:scheme`.
    Scheme,
    /// `:protocol` of an extended CONNECT.
    Protocol,
    /// `:status` of a response.
    Status,
    /// Any other.
    Field(HeaderName),
}

impl HeaderKey {
    /// Reads a name in any case.
    ///
    /// # Errors
    /// [`tulle_http::InvalidName`] when it is neither a token nor a known pseudo header.
    pub fn new(name: &str) -> Result<Self, tulle_http::InvalidName> {
        Ok(match name.to_ascii_lowercase().as_str() {
            ":method" => Self::Method,
            ":path" => Self::Path,
            ":authority" | "host" => Self::Authority,
            ":scheme" => Self::Scheme,
            ":protocol" => Self::Protocol,
            ":status" => Self::Status,
            _ => Self::Field(HeaderName::new(name)?),
        })
    }

    /// The name, lower case.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Method => ":method",
            Self::Path => ":path",
            Self::Authority => ":authority",
            Self::Scheme => ":scheme",
            Self::Protocol => ":protocol",
            Self::Status => ":status",
            Self::Field(name) => name.as_str(),
        }
    }
}

/// `envoy.config.route.v3.HeaderMatcher`.
#[derive(Clone, Debug)]
pub struct HeaderMatcher {
    /// The header concerned.
    pub name: HeaderKey,
    /// What is asked of it.
    pub predicate: HeaderPredicate,
    /// Whether the answer is turned round. A missing header does not match a value predicate either way.
    pub invert: bool,
    /// Whether a missing header counts as an empty one.
    pub missing_is_empty: bool,
}

/// What is asked of a header.
#[derive(Clone, Debug)]
pub enum HeaderPredicate {
    /// It is there.
    Present,
    /// It is not there (`present_match: false`).
    Absent,
    /// Some line of it matches.
    Value(StringMatcher),
    /// Some line of it is a decimal number in `start..end`.
    Range {
        /// First number that matches.
        start: i64,
        /// First number beyond.
        end: i64,
    },
}

/// `envoy.config.route.v3.QueryParameterMatcher`.
#[derive(Clone, Debug)]
pub struct QueryMatcher {
    /// Name of the parameter, as it is written in the URL.
    pub name: Arc<str>,
    /// What is asked of it; `None` asks only that it is there.
    pub value: Option<StringMatcher>,
}

/// `envoy.config.route.v3.CookieMatcher`.
#[derive(Clone, Debug)]
pub struct CookieMatcher {
    /// Name of the cookie.
    pub name: Arc<str>,
    /// What is asked of its value.
    pub value: StringMatcher,
    /// Whether the answer is turned round; a missing cookie then matches.
    pub invert: bool,
}

/// `envoy.type.matcher.v3.MetadataMatcher`.
#[derive(Clone, Debug)]
pub struct MetadataMatcher {
    /// Whose metadata.
    pub filter: Arc<str>,
    /// The way to the value; at least one step.
    pub path: Vec<Arc<str>>,
    /// What is asked of it.
    pub value: ValueMatcher,
    /// Whether the answer is turned round.
    pub invert: bool,
}

/// `envoy.type.matcher.v3.ValueMatcher`.
#[derive(Clone, Debug)]
pub enum ValueMatcher {
    /// It is `null`.
    Null,
    /// It is this number.
    Number(f64),
    /// It is a number in `start..end`.
    NumberRange {
        /// First number that matches.
        start: f64,
        /// First number beyond.
        end: f64,
    },
    /// It is a text that matches.
    String(StringMatcher),
    /// It is this boolean.
    Bool(bool),
    /// It is there, or (with `false`) it is not.
    Present(bool),
    /// It is a list with an element that matches.
    OneOf(Box<ValueMatcher>),
    /// One of these matches.
    Or(Vec<ValueMatcher>),
}

/// A chance in parts of a million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fraction(u32);

impl Fraction {
    /// Never.
    pub const ZERO: Self = Self(0);
    /// Always.
    pub const ALWAYS: Self = Self(1_000_000);

    /// `numerator` of `denominator` (100, 10 000 or 1 000 000), cut at always.
    pub fn new(numerator: u32, denominator: u32) -> Self {
        let parts = u64::from(numerator) * 1_000_000 / u64::from(denominator.max(1));
        Self(u32::try_from(parts).unwrap_or(u32::MAX).min(1_000_000))
    }

    /// Whether it happens, given a uniform `random`.
    pub fn hits(self, random: u64) -> bool {
        self.0 >= 1_000_000 || (self.0 > 0 && random % 1_000_000 < u64::from(self.0))
    }

    /// Parts of a million.
    pub fn per_million(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions() {
        assert_eq!(Fraction::new(50, 100).per_million(), 500_000);
        assert_eq!(Fraction::new(200, 100), Fraction::ALWAYS);
        assert!(!Fraction::ZERO.hits(0));
        assert!(Fraction::ALWAYS.hits(u64::MAX));
        assert!(Fraction::new(1, 1_000_000).hits(1_000_000));
        assert!(!Fraction::new(1, 1_000_000).hits(1));
    }
}
