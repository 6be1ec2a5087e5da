//! Names that several resources may need: which are needed now, and what changed since somebody last looked.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Names with the number of resources that need each.
#[derive(Debug, Default)]
pub(crate) struct CountedNames {
    counts: HashMap<Arc<str>, u32>,
    touched: BTreeSet<Arc<str>>,
    told: BTreeSet<Arc<str>>,
}

/// What changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct NameChanges {
    /// Needed now and not before.
    pub(crate) added: Vec<String>,
    /// Not needed any more.
    pub(crate) dropped: Vec<String>,
}

impl CountedNames {
    /// One more resource needs `name`.
    pub(crate) fn add(&mut self, name: &Arc<str>) {
        *self.counts.entry(Arc::clone(name)).or_default() += 1;
        self.touched.insert(Arc::clone(name));
    }

    /// One resource less needs `name`; true if it was the last.
    pub(crate) fn remove(&mut self, name: &Arc<str>) -> bool {
        let Some(count) = self.counts.get_mut(name) else { return false };
        *count -= 1;
        let last = *count == 0;
        if last {
            self.counts.remove(name);
            self.touched.insert(Arc::clone(name));
        }
        last
    }

    /// Whether `name` is needed.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.counts.contains_key(name)
    }

    /// What changed since the last call; names that came and went in between are not mentioned.
    pub(crate) fn take_changes(&mut self) -> NameChanges {
        let mut changes = NameChanges::default();
        for name in std::mem::take(&mut self.touched) {
            let needed = self.contains(&name);
            if needed && self.told.insert(Arc::clone(&name)) {
                changes.added.push(name.to_string());
            } else if !needed && self.told.remove(&name) {
                changes.dropped.push(name.to_string());
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_and_the_last_are_told() {
        let mut names = CountedNames::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        names.add(&a);
        names.add(&a);
        names.add(&b);
        names.remove(&b);
        assert_eq!(names.take_changes().added, ["a"]);
        assert!(!names.remove(&a));
        assert_eq!(names.take_changes(), NameChanges::default());
        assert!(names.remove(&a));
        assert_eq!(names.take_changes().dropped, ["a"]);
        assert!(!names.remove(&a));
    }
}
