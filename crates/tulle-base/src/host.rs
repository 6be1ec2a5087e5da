//! Host names with an optional leading wildcard, and the order in which they win.

use std::cmp::Ordering;
use std::fmt;

/// A DNS name in lower case without trailing dot: exact (`a.example.com`), a suffix wildcard (`*.example.com`,
/// `*example.com`) or everything (`*`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host(Box<str>);

impl Host {
    /// Normalises `name`: lower case, no trailing dot. Validation is the resource types' work.
    pub fn new(name: &str) -> Self {
        Self(name.trim_end_matches('.').to_ascii_lowercase().into_boxed_str())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this begins with `*`.
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with('*')
    }

    /// Whether every name that `other` stands for is covered by this one (Istio's `host.Name.SubsetOf`, turned round).
    pub fn covers(&self, other: &Host) -> bool {
        match self.0.strip_prefix('*') {
            None => self == other,
            Some(suffix) => match other.0.strip_prefix('*') {
                Some(theirs) => theirs.ends_with(suffix),
                None => other.0.ends_with(suffix),
            },
        }
    }

    /// Whether some name is covered by both.
    pub fn overlaps(&self, other: &Host) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// Whether the concrete `name` (already lower case) is covered.
    pub fn matches(&self, name: &str) -> bool {
        match self.0.strip_prefix('*') {
            None => *self.0 == *name,
            Some(suffix) => name.ends_with(suffix),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Host {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl PartialOrd for Host {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Most specific first: exact names before wildcards, longer before shorter, then by text.
impl Ord for Host {
    fn cmp(&self, other: &Self) -> Ordering {
        self.is_wildcard()
            .cmp(&other.is_wildcard())
            .then_with(|| other.0.len().cmp(&self.0.len()))
            .then_with(|| self.0.cmp(&other.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_comes_first() {
        let mut hosts: Vec<Host> =
            ["*", "*.com", "a.com", "*.example.com", "b.example.com"].map(Host::from).into();
        hosts.sort();
        let names: Vec<_> = hosts.iter().map(Host::as_str).collect();
        assert_eq!(names, ["b.example.com", "a.com", "*.example.com", "*.com", "*"]);
    }

    #[test]
    fn wildcards_cover_by_suffix() {
        assert!(Host::from("*.example.com").covers(&"a.example.com".into()));
        assert!(Host::from("*").covers(&"*.example.com".into()));
        assert!(!Host::from("*.example.com").covers(&"example.com".into()));
        assert!(Host::from("*.example.com").overlaps(&"*.com".into()));
        assert!(!Host::from("a.com").overlaps(&"b.com".into()));
    }
}
