//! Who may see a resource: `exportTo`.

use std::collections::BTreeSet;

/// The namespaces a resource is exported to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub enum ExportTo {
    /// Every namespace: the default, and what `*` among others means (traps 15).
    #[default]
    All,
    /// Nobody (`~`).
    Nobody,
    /// These namespaces; `.` is already the resource's own.
    Namespaces(BTreeSet<String>),
}

impl ExportTo {
    /// Reads the list as written in a resource of `namespace`: `*` cancels every other entry, an empty list is everyone.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>, namespace: &str) -> Self {
        let mut namespaces = BTreeSet::new();
        let mut any = false;
        for entry in entries {
            any = true;
            match entry {
                "*" => return Self::All,
                "." => {
                    namespaces.insert(namespace.to_owned());
                }
                "~" => {}
                other => {
                    namespaces.insert(other.to_owned());
                }
            }
        }
        match (any, namespaces.is_empty()) {
            (false, _) => Self::All,
            (true, true) => Self::Nobody,
            (true, false) => Self::Namespaces(namespaces),
        }
    }

    /// The same; where nothing is written, `default` says who (an empty one says everyone).
    pub fn parse_or<'a>(
        entries: impl IntoIterator<Item = &'a str>,
        default: &'a [String],
        namespace: &str,
    ) -> Self {
        let mut entries = entries.into_iter().peekable();
        if entries.peek().is_some() {
            return Self::parse(entries, namespace);
        }
        Self::parse(default.iter().map(String::as_str), namespace)
    }

    /// Whether a client in `namespace` may see it.
    pub fn visible_to(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Nobody => false,
            Self::Namespaces(set) => set.contains(namespace),
        }
    }

    /// How near it is to a client of `namespace` that lives in `own`: private first, then exported to it, then public
    /// (the order of traps 5). `None` when the client may not see it.
    pub fn nearness(&self, own: &str, namespace: &str) -> Option<u8> {
        match self {
            Self::All => Some(2),
            Self::Nobody => None,
            Self::Namespaces(set) if !set.contains(namespace) => None,
            Self::Namespaces(set) if set.len() == 1 && own == namespace => Some(0),
            Self::Namespaces(_) => Some(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_cancels_the_rest_and_a_tilde_hides() {
        assert_eq!(ExportTo::parse(["*", "a"], "x"), ExportTo::All);
        assert_eq!(ExportTo::parse([], "x"), ExportTo::All);
        assert_eq!(ExportTo::parse(["~"], "x"), ExportTo::Nobody);
        let own = ExportTo::parse(["."], "x");
        assert!(own.visible_to("x") && !own.visible_to("y"));
        assert_eq!(own.nearness("x", "x"), Some(0));
        assert_eq!(ExportTo::parse(["y", "."], "x").nearness("x", "y"), Some(1));
        assert_eq!(ExportTo::All.nearness("x", "y"), Some(2));
    }
}
