//! Label names and values, each kept once and numbered; sets of labels, each kept once.

use std::sync::Arc;

use hashbrown::HashMap;

/// The number of a text.
pub(crate) type Symbol = u32;
/// Labels by symbol, in the order of their names.
pub(crate) type LabelSet = Arc<[(Symbol, Symbol)]>;

type FastMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// All texts and label sets of a store.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    texts: Vec<Option<(Arc<str>, u32)>>,
    ids: FastMap<Arc<str>, Symbol>,
    free: Vec<Symbol>,
    /// With how many series have them.
    sets: FastMap<LabelSet, u32>,
    heap: usize,
}

/// What a text costs besides its bytes: two pointers to it, its counts, its number.
const TEXT_COST: usize = 80;
/// The same of a label set.
const SET_COST: usize = 40;

impl Symbols {
    /// The text of a number.
    pub(crate) fn text(&self, symbol: Symbol) -> &Arc<str> {
        // Numbers are handed out by this table alone, and kept alive by the sets that hold them.
        static EMPTY: std::sync::OnceLock<Arc<str>> = std::sync::OnceLock::new();
        match self.texts.get(symbol as usize) {
            Some(Some((text, _))) => text,
            _ => EMPTY.get_or_init(|| "".into()),
        }
    }

    /// The number of a text that is known.
    pub(crate) fn find(&self, text: &str) -> Option<Symbol> {
        self.ids.get(text).copied()
    }

    /// The number of a text, held once more until [`Symbols::release`].
    pub(crate) fn hold(&mut self, text: &str) -> Symbol {
        if let Some(id) = self.ids.get(text) {
            if let Some(Some((_, held))) = self.texts.get_mut(*id as usize) {
                *held += 1;
            }
            return *id;
        }
        let text: Arc<str> = text.into();
        self.heap += text.len() + TEXT_COST;
        let entry = Some((Arc::clone(&text), 1));
        let id = match self.free.pop() {
            Some(id) => {
                self.texts[id as usize] = entry;
                id
            }
            None => {
                self.texts.push(entry);
                u32::try_from(self.texts.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.ids.insert(text, id);
        id
    }

    /// Lets go of a text; the last to do so removes it.
    pub(crate) fn release(&mut self, symbol: Symbol) {
        let Some(slot) = self.texts.get_mut(symbol as usize) else { return };
        let Some((text, held)) = slot else { return };
        *held -= 1;
        if *held == 0 {
            self.heap -= text.len() + TEXT_COST;
            self.ids.remove(&**text);
            *slot = None;
            self.free.push(symbol);
        }
    }

    /// The one copy of a set of labels, which must be in order and without doubles.
    pub(crate) fn set(&mut self, labels: &[(&str, &str)]) -> LabelSet {
        let symbols: Vec<(Symbol, Symbol)> =
            labels.iter().map(|(name, value)| (self.hold(name), self.hold(value))).collect();
        if let Some((known, held)) = self.sets.get_key_value_mut(&*symbols) {
            *held += 1;
            let known = Arc::clone(known);
            for (name, value) in symbols {
                self.release(name);
                self.release(value);
            }
            return known;
        }
        let set: LabelSet = symbols.into();
        self.heap += set.len() * 8 + SET_COST;
        self.sets.insert(Arc::clone(&set), 1);
        set
    }

    /// Lets go of a set of labels; the last to do so removes it.
    pub(crate) fn release_set(&mut self, set: &LabelSet) {
        let Some(held) = self.sets.get_mut(set) else { return };
        *held -= 1;
        if *held == 0 {
            self.sets.remove(set);
            self.heap -= set.len() * 8 + SET_COST;
            for (name, value) in set.iter() {
                self.release(*name);
                self.release(*value);
            }
        }
    }

    /// Bytes on the heap, about.
    pub(crate) fn heap(&self) -> usize {
        self.heap
    }

    #[cfg(test)]
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.ids.len(), self.sets.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_holds_is_gone() {
        let mut symbols = Symbols::default();
        let a = symbols.set(&[("app", "cart"), ("version", "v1")]);
        let b = symbols.set(&[("app", "cart"), ("version", "v1")]);
        let c = symbols.set(&[("app", "cart"), ("version", "v2")]);
        assert!(Arc::ptr_eq(&a, &b));
        assert_eq!(symbols.counts(), (5, 2));
        symbols.release_set(&a);
        assert_eq!(symbols.counts(), (5, 2));
        symbols.release_set(&b);
        assert_eq!(symbols.counts(), (4, 1));
        symbols.release_set(&c);
        assert_eq!((symbols.counts(), symbols.heap()), ((0, 0), 0));
        assert_eq!(symbols.find("app"), None);
    }
}
