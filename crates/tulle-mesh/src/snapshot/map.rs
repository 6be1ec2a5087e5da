//! Persistent ordered maps of any values over one tree for each type of keys.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use rpds::RedBlackTreeMapSync;

/// A persistent ordered map: clones share everything, and a change copies the path to the entry.
///
/// A snapshot has dozens of them. The tree holds its values behind a pointer of no particular type, so that it is compiled once for
/// a type of keys; that was a third of this crate.
pub(crate) struct Map<K: Ord, V> {
    tree: RedBlackTreeMapSync<K, Arc<dyn Any + Send + Sync>>,
    values: PhantomData<fn() -> V>,
}

impl<K: Ord, V: Send + Sync + 'static> Map<K, V> {
    /// The value at `key`.
    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.tree.get(key).and_then(typed)
    }

    /// Whether there is a value at `key`.
    pub(crate) fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: std::borrow::Borrow<Q>,
    {
        self.tree.contains_key(key)
    }

    /// Puts `value` at `key`, in place of what is there.
    pub(crate) fn insert_mut(&mut self, key: K, value: V) {
        self.tree.insert_mut(key, Arc::new(value));
    }

    /// Removes what is at `key`; whether something was.
    pub(crate) fn remove_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> bool
    where
        K: std::borrow::Borrow<Q>,
    {
        self.tree.remove_mut(key)
    }

    /// Number of entries.
    pub(crate) fn size(&self) -> usize {
        self.tree.size()
    }

    /// The entries, by key.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.tree.iter().filter_map(|(key, value)| Some((key, typed(value)?)))
    }

    /// The keys, in order.
    pub(crate) fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.tree.keys()
    }

    /// The values, by key.
    pub(crate) fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.tree.values().filter_map(typed)
    }
}

/// A value as what it is; all values of a map are of its type.
fn typed<V: 'static>(value: &Arc<dyn Any + Send + Sync>) -> Option<&V> {
    let typed = value.downcast_ref();
    debug_assert!(typed.is_some(), "a map holds values of one type");
    typed
}

impl<K: Ord, V> Default for Map<K, V> {
    fn default() -> Self {
        Self { tree: RedBlackTreeMapSync::default(), values: PhantomData }
    }
}

impl<K: Ord, V> Clone for Map<K, V> {
    fn clone(&self) -> Self {
        Self { tree: self.tree.clone(), values: PhantomData }
    }
}

impl<K: Ord, V: PartialEq + Send + Sync + 'static> PartialEq for Map<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.size() == other.size() && self.iter().eq(other.iter())
    }
}

impl<K: Ord + fmt::Debug, V: fmt::Debug + Send + Sync + 'static> fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_keep_what_they_saw() {
        let mut map = Map::default();
        map.insert_mut("b".to_owned(), 2);
        map.insert_mut("a".to_owned(), 1);
        let before = map.clone();
        map.insert_mut("a".to_owned(), 3);
        assert!(map.remove_mut("b") && !map.remove_mut("b"));
        assert_eq!(before.iter().map(|(k, v)| format!("{k}{v}")).collect::<Vec<_>>(), ["a1", "b2"]);
        assert_eq!((map.get("a"), map.get("b"), map.size()), (Some(&3), None, 1));
        assert_eq!(before.values().sum::<i32>(), 3);
    }
}
