//! Labels while a query runs: texts numbered, sets as sorted lists of numbers.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::store::{LE, Label, NAME, Selected};

/// The number of a text in this query.
pub(crate) type Symbol = u32;
/// Labels by number, in the order of their names' numbers, without empty ones.
pub(crate) type Labels = Arc<[(Symbol, Symbol)]>;

type FastMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// `__name__`.
pub(crate) const NAME_SYMBOL: Symbol = 0;
/// `le`.
pub(crate) const LE_SYMBOL: Symbol = 1;

/// Labels of the store with their numbers.
type Met = (Arc<[Label]>, Vec<(Symbol, Symbol)>);

/// The texts of one query.
#[derive(Debug)]
pub(crate) struct Table {
    texts: Vec<Arc<str>>,
    ids: FastMap<Arc<str>, Symbol>,
    /// Label sets of the store that were met, by where they are; they are held so that none takes another's place.
    met: FastMap<usize, Met>,
}

impl Table {
    pub(crate) fn new() -> Self {
        let mut table = Self { texts: Vec::new(), ids: FastMap::default(), met: FastMap::default() };
        table.id(NAME);
        table.id(LE);
        table
    }

    pub(crate) fn id(&mut self, text: &str) -> Symbol {
        match self.ids.get(text) {
            Some(id) => *id,
            None => self.add(text.into()),
        }
    }

    fn id_of(&mut self, text: &Arc<str>) -> Symbol {
        match self.ids.get(text) {
            Some(id) => *id,
            None => self.add(Arc::clone(text)),
        }
    }

    fn add(&mut self, text: Arc<str>) -> Symbol {
        let id = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.push(Arc::clone(&text));
        self.ids.insert(text, id);
        id
    }

    pub(crate) fn text(&self, symbol: Symbol) -> &str {
        self.texts.get(symbol as usize).map_or("", |t| t)
    }

    /// All labels of a series of the store.
    pub(crate) fn labels(&mut self, selected: &Selected) -> Labels {
        let key = selected.labels.as_ptr() as usize;
        if !self.met.contains_key(&key) {
            let pairs = selected.labels.iter().map(|(n, v)| (self.id_of(n), self.id_of(v))).collect();
            self.met.insert(key, (Arc::clone(&selected.labels), pairs));
        }
        let name = self.id_of(&selected.name);
        let le = selected.le.as_ref().map(|le| self.id_of(le));
        let mut all = Vec::with_capacity(selected.labels.len() + 2);
        all.push((NAME_SYMBOL, name));
        all.extend(le.map(|le| (LE_SYMBOL, le)));
        all.extend(self.met.get(&key).into_iter().flat_map(|(_, pairs)| pairs).copied());
        all.sort_unstable();
        all.into()
    }

    /// A set from names and values; empty values are no labels.
    pub(crate) fn make(&mut self, labels: &[(String, String)]) -> Labels {
        let mut all: Vec<_> = labels
            .iter()
            .filter(|(_, v)| !v.is_empty())
            .map(|(n, v)| {
                let name = self.id(n);
                (name, self.id(v))
            })
            .collect();
        all.sort_unstable();
        all.dedup_by_key(|(n, _)| *n);
        all.into()
    }

    /// Names and values, by name.
    pub(crate) fn spell(&self, labels: &[(Symbol, Symbol)]) -> Vec<(String, String)> {
        let mut all: Vec<_> =
            labels.iter().map(|(n, v)| (self.text(*n).to_owned(), self.text(*v).to_owned())).collect();
        all.sort();
        all
    }
}

/// The value of a label.
pub(crate) fn get(labels: &[(Symbol, Symbol)], name: Symbol) -> Option<Symbol> {
    labels.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
}

/// The labels without their metric's name.
pub(crate) fn nameless(labels: &Labels) -> Labels {
    if labels.first().is_some_and(|(n, _)| *n == NAME_SYMBOL) {
        labels[1..].into()
    } else {
        Arc::clone(labels)
    }
}

/// The labels with one set, or, without value, removed.
pub(crate) fn with(labels: &[(Symbol, Symbol)], name: Symbol, value: Option<Symbol>) -> Labels {
    let mut all: Vec<_> = labels.iter().filter(|(n, _)| *n != name).copied().collect();
    all.extend(value.map(|v| (name, v)));
    all.sort_unstable();
    all.into()
}

/// Which labels count when series are grouped or matched.
#[derive(Clone, Debug)]
pub(crate) enum Which {
    /// These alone (`by`, `on`).
    Only(Vec<Symbol>),
    /// All but these and the metric's name (`without`, `ignoring`).
    Without(Vec<Symbol>),
}

impl Which {
    pub(crate) fn of(&self, labels: &[(Symbol, Symbol)]) -> Vec<(Symbol, Symbol)> {
        let counts = |name: Symbol| match self {
            Self::Only(names) => names.contains(&name),
            Self::Without(names) => name != NAME_SYMBOL && !names.contains(&name),
        };
        labels.iter().filter(|(n, _)| counts(*n)).copied().collect()
    }
}
