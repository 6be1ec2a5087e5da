//! Which names a peer's certificate may carry (Envoy's `match_typed_subject_alt_names`).

use std::fmt;
use std::sync::Arc;

/// One kind of subject alternative name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SanKind {
    /// A host name. A certificate's `*.example.com` matches an exact `a.example.com`, as in Envoy.
    Dns,
    /// A URI, such as a SPIFFE id.
    Uri,
    /// An address, as text.
    Ip,
    /// An e-mail address.
    Email,
    /// Any of the above (Envoy's older untyped `match_subject_alt_names`).
    Any,
}

/// How a name must look.
#[derive(Clone)]
pub enum TextMatch {
    /// The whole name.
    Exact(String),
    /// Its beginning.
    Prefix(String),
    /// Its end.
    Suffix(String),
    /// Some part of it.
    Contains(String),
    /// Whatever the function says, such as a compiled regular expression.
    Custom(Arc<dyn Fn(&str) -> bool + Send + Sync>),
}

impl fmt::Debug for TextMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(s) => write!(f, "Exact({s:?})"),
            Self::Prefix(s) => write!(f, "Prefix({s:?})"),
            Self::Suffix(s) => write!(f, "Suffix({s:?})"),
            Self::Contains(s) => write!(f, "Contains({s:?})"),
            Self::Custom(_) => f.write_str("Custom"),
        }
    }
}

/// One allowed name; a certificate passes when any of its names matches any of the matchers.
#[derive(Clone, Debug)]
pub struct SanMatcher {
    /// Kind of name.
    pub kind: SanKind,
    /// How it must look.
    pub text: TextMatch,
    /// Whether ASCII case does not count (not for [`TextMatch::Custom`]).
    pub ignore_case: bool,
}

impl SanMatcher {
    /// Exactly this URI, such as a SPIFFE id.
    pub fn uri(uri: impl Into<String>) -> Self {
        Self { kind: SanKind::Uri, text: TextMatch::Exact(uri.into()), ignore_case: false }
    }

    /// Exactly this host name, or a wildcard in the certificate that covers it.
    pub fn dns(name: impl Into<String>) -> Self {
        Self { kind: SanKind::Dns, text: TextMatch::Exact(name.into()), ignore_case: true }
    }

    /// Whether a name of `kind` passes.
    pub fn matches(&self, kind: SanKind, name: &str) -> bool {
        if self.kind != SanKind::Any && self.kind != kind {
            return false;
        }
        if kind == SanKind::Dns
            && let (TextMatch::Exact(wanted), Some(suffix)) = (&self.text, name.strip_prefix("*."))
        {
            return wildcard_covers(suffix, wanted);
        }
        if self.ignore_case {
            return self.text.matches(&name.to_ascii_lowercase(), str::to_ascii_lowercase);
        }
        self.text.matches(name, str::to_owned)
    }
}

impl TextMatch {
    fn matches(&self, name: &str, fold: fn(&str) -> String) -> bool {
        match self {
            Self::Exact(s) => name == fold(s),
            Self::Prefix(s) => name.starts_with(&fold(s)),
            Self::Suffix(s) => name.ends_with(&fold(s)),
            Self::Contains(s) => name.contains(&fold(s)),
            Self::Custom(f) => f(name),
        }
    }
}

/// A wildcard stands for exactly one label on the left (RFC 6125 section 6.4.3).
fn wildcard_covers(suffix: &str, name: &str) -> bool {
    name.split_once('.').is_some_and(|(first, rest)| !first.is_empty() && rest.eq_ignore_ascii_case(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_forms() {
        let id = "spiffe://cluster.local/ns/shop/sa/cart";
        assert!(SanMatcher::uri(id).matches(SanKind::Uri, id));
        assert!(!SanMatcher::uri(id).matches(SanKind::Dns, id));
        let prefix = TextMatch::Prefix("spiffe://cluster.local/".into());
        assert!(
            SanMatcher { kind: SanKind::Any, text: prefix, ignore_case: false }.matches(SanKind::Uri, id)
        );
        let dns = SanMatcher::dns("A.example.com");
        assert!(dns.matches(SanKind::Dns, "a.example.com"));
        assert!(dns.matches(SanKind::Dns, "*.example.com"));
        assert!(!dns.matches(SanKind::Dns, "*.com"));
        assert!(!SanMatcher::dns("a.b.example.com").matches(SanKind::Dns, "*.example.com"));
    }
}
