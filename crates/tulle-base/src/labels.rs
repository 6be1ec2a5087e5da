//! Label sets and the equality selectors over them.

use std::collections::BTreeMap;

/// The labels of an object, sorted by key.
pub type Labels = BTreeMap<String, String>;

/// An equality selector (`matchLabels`): every pair must be there. An empty selector selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selector(pub Labels);

impl Selector {
    /// Whether `labels` has every pair of this selector.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|(k, v)| labels.get(k) == Some(v))
    }

    /// Whether this selects everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Selector {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(iter: T) -> Self {
        Self(iter.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_must_be_there() {
        let labels: Labels = [("app".into(), "cart".into()), ("version".into(), "v1".into())].into();
        assert!(Selector::default().matches(&labels));
        assert!(Selector::from_iter([("app", "cart")]).matches(&labels));
        assert!(!Selector::from_iter([("app", "cart"), ("version", "v2")]).matches(&labels));
    }
}
