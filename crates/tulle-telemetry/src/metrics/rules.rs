//! What is done to the labels of each metric (`overrides` of Istio's Telemetry): compiled once, looked up by number.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::{BuildHasher as _, Hash as _, Hasher as _};

use crate::metrics::labels::UNKNOWN;

/// The longest value of a label that a request brings, in bytes; the rest is cut off and counted as lost.
pub const MAX_VALUE: usize = 256;
/// How many combinations of such values a worker keeps at a time. Requests with others are counted under [`OTHER`].
pub const MAX_TAGS: usize = 2_000;
/// What labels say of requests with too many different values.
pub const OTHER: &str = "other";

/// Istio's metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Metric {
    /// `istio_requests_total`
    Requests,
    /// `istio_request_duration_milliseconds`
    RequestDuration,
    /// `istio_request_bytes`
    RequestBytes,
    /// `istio_response_bytes`
    ResponseBytes,
    /// `istio_request_messages_total`
    RequestMessages,
    /// `istio_response_messages_total`
    ResponseMessages,
    /// `istio_tcp_connections_opened_total`
    TcpOpened,
    /// `istio_tcp_connections_closed_total`
    TcpClosed,
    /// `istio_tcp_sent_bytes_total`
    TcpSent,
    /// `istio_tcp_received_bytes_total`
    TcpReceived,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Requests,
        Self::RequestDuration,
        Self::RequestBytes,
        Self::ResponseBytes,
        Self::RequestMessages,
        Self::ResponseMessages,
        Self::TcpOpened,
        Self::TcpClosed,
        Self::TcpSent,
        Self::TcpReceived,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "istio_requests_total",
            Self::RequestDuration => "istio_request_duration_milliseconds",
            Self::RequestBytes => "istio_request_bytes",
            Self::ResponseBytes => "istio_response_bytes",
            Self::RequestMessages => "istio_request_messages_total",
            Self::ResponseMessages => "istio_response_messages_total",
            Self::TcpOpened => "istio_tcp_connections_opened_total",
            Self::TcpClosed => "istio_tcp_connections_closed_total",
            Self::TcpSent => "istio_tcp_sent_bytes_total",
            Self::TcpReceived => "istio_tcp_received_bytes_total",
        }
    }

    /// The metric of a name without `istio_`, as configurations write it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name().strip_prefix("istio_") == Some(name))
    }
}

/// What is done to one metric.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MetricRule {
    /// It is not reported.
    pub drop: bool,
    /// Labels that are left out.
    pub remove: Vec<Arc<str>>,
    /// Labels that are added or replaced: name, and which value of the request.
    pub set: Vec<(Arc<str>, usize)>,
}

/// What is done to each metric.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LabelRules {
    rules: [MetricRule; 10],
    /// How many values a request brings.
    values: usize,
}

impl LabelRules {
    /// The rule of a metric.
    pub fn of(&self, metric: Metric) -> &MetricRule {
        &self.rules[metric as usize]
    }

    /// Leaves a metric out.
    pub fn drop(&mut self, metric: Metric) {
        self.rules[metric as usize].drop = true;
    }

    /// Leaves a label of a metric out.
    pub fn remove(&mut self, metric: Metric, label: &str) {
        let rule = &mut self.rules[metric as usize];
        rule.set.retain(|(name, _)| **name != *label);
        rule.remove.push(label.into());
    }

    /// Makes a label of a metric show the value number `value` of each request.
    pub fn set(&mut self, metric: Metric, label: &str, value: usize) {
        self.values = self.values.max(value + 1);
        let rule = &mut self.rules[metric as usize];
        rule.remove.retain(|name| **name != *label);
        rule.set.retain(|(name, _)| **name != *label);
        rule.set.push((label.into(), value));
    }

    /// Whether nothing is done to any metric.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Rules, as a store numbers them. Number 0 does nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RulesId(pub(crate) u32);

/// Values for the labels of rules, as a store numbers them. Number 0 is no rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TagsId(pub(crate) u32);

/// Rules with the values of one request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Tags {
    pub(crate) rules: Arc<LabelRules>,
    pub(crate) values: Vec<Arc<str>>,
}

/// How many numbers there are at most; the bits above count how often a number was used again.
const INDEX_BITS: u32 = 20;

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    rules: u32,
    tags: Option<Arc<Tags>>,
}

/// The combinations of values that were seen.
#[derive(Debug, Default)]
pub(crate) struct TagTable {
    table: HashTable<u32>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    hasher: RandomState,
    /// The values of the request that is looked up.
    text: String,
    ends: Vec<usize>,
}

impl TagTable {
    /// The number of the values that `write` writes one after the other, and how many of them were cut or are too many.
    pub(crate) fn find(
        &mut self,
        id: RulesId,
        rules: &Arc<LabelRules>,
        write: &mut dyn FnMut(usize, &mut String),
    ) -> (TagsId, u64) {
        self.text.clear();
        self.ends.clear();
        let mut lost = 0;
        for index in 0..rules.values {
            let start = self.text.len();
            write(index, &mut self.text);
            if self.text.len() - start > MAX_VALUE {
                let end = (start..=start + MAX_VALUE).rev().find(|end| self.text.is_char_boundary(*end));
                self.text.truncate(end.unwrap_or(start));
                lost += 1;
            }
            if self.text.len() == start {
                self.text.push_str(UNKNOWN);
            }
            self.ends.push(self.text.len());
        }
        if let Some(found) = self.look_up(id) {
            return (found, lost);
        }
        if self.table.len() < MAX_TAGS {
            return (self.insert(id, rules), lost);
        }
        self.text.clear();
        self.ends.clear();
        for _ in 0..rules.values {
            self.text.push_str(OTHER);
            self.ends.push(self.text.len());
        }
        // There are no more of these than there are rules.
        let found = self.look_up(id).unwrap_or_else(|| self.insert(id, rules));
        (found, lost + 1)
    }

    fn hash(&self, rules: u32) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        rules.hash(&mut hasher);
        self.text.hash(&mut hasher);
        self.ends.hash(&mut hasher);
        hasher.finish()
    }

    fn values(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.text[start..*end])
    }

    fn look_up(&self, id: RulesId) -> Option<TagsId> {
        let same = |index: &u32| {
            let slot = &self.slots[*index as usize];
            slot.rules == id.0
                && slot.tags.as_ref().is_some_and(|tags| tags.values.iter().map(|v| &**v).eq(self.values()))
        };
        self.table.find(self.hash(id.0), same).map(|index| self.number(*index))
    }

    fn number(&self, index: u32) -> TagsId {
        // 0 is nothing.
        TagsId((self.slots[index as usize].generation << INDEX_BITS) | (index + 1))
    }

    fn insert(&mut self, id: RulesId, rules: &Arc<LabelRules>) -> TagsId {
        let values = self.values().map(Arc::from).collect();
        let tags = Some(Arc::new(Tags { rules: Arc::clone(rules), values }));
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).unwrap_or(0)
        });
        let slot = &mut self.slots[index as usize];
        (slot.rules, slot.tags) = (id.0, tags);
        let hash = self.hash(id.0);
        let Self { table, slots, hasher, .. } = self;
        table.insert_unique(hash, index, |index| rehash(hasher, &slots[*index as usize]));
        self.number(index)
    }

    /// The values of a number; nothing for those that were given up.
    pub(crate) fn get(&self, id: TagsId) -> Option<Arc<Tags>> {
        let index = (id.0 & ((1 << INDEX_BITS) - 1)).checked_sub(1)?;
        let slot = self.slots.get(index as usize).filter(|slot| slot.generation == id.0 >> INDEX_BITS)?;
        slot.tags.clone()
    }

    /// Gives up all numbers but those that `used` has; a number that somebody still holds means nothing from then on.
    pub(crate) fn keep(&mut self, used: &hashbrown::HashSet<u32>) {
        for index in 0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX) {
            if self.slots[index as usize].tags.is_none() || used.contains(&self.number(index).0) {
                continue;
            }
            let hash = rehash(&self.hasher, &self.slots[index as usize]);
            if let Ok(entry) = self.table.find_entry(hash, |other| *other == index) {
                entry.remove();
            }
            let slot = &mut self.slots[index as usize];
            slot.tags = None;
            slot.generation = (slot.generation + 1) & ((1 << (32 - INDEX_BITS)) - 1);
            self.free.push(index);
        }
    }
}

/// The hash of a slot, the same as that of what is looked up.
fn rehash(hasher: &RandomState, slot: &Slot) -> u64 {
    let mut state = hasher.build_hasher();
    slot.rules.hash(&mut state);
    let values = slot.tags.as_ref().map(|tags| tags.values.as_slice()).unwrap_or_default();
    let text: String = values.iter().map(|v| &**v).collect();
    let ends: Vec<usize> = values
        .iter()
        .scan(0, |end, value| {
            *end += value.len();
            Some(*end)
        })
        .collect();
    text.hash(&mut state);
    ends.hash(&mut state);
    state.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Arc<LabelRules> {
        let mut rules = LabelRules::default();
        rules.set(Metric::Requests, "a", 0);
        rules.set(Metric::Requests, "b", 1);
        Arc::new(rules)
    }

    fn find(table: &mut TagTable, rules: &Arc<LabelRules>, values: [&str; 2]) -> (TagsId, u64) {
        table.find(RulesId(1), rules, &mut |i, out| out.push_str(values[i]))
    }

    fn shown(table: &TagTable, id: TagsId) -> Vec<String> {
        table.get(id).map(|tags| tags.values.iter().map(ToString::to_string).collect()).unwrap_or_default()
    }

    #[test]
    fn equal_values_have_one_number_and_empty_ones_are_unknown() {
        let (mut table, rules) = (TagTable::default(), rules());
        let (first, _) = find(&mut table, &rules, ["ab", "c"]);
        let (other, _) = find(&mut table, &rules, ["a", "bc"]);
        assert_ne!(first, other);
        assert_eq!(find(&mut table, &rules, ["ab", "c"]), (first, 0));
        let (empty, _) = find(&mut table, &rules, ["", "x"]);
        assert_eq!(shown(&table, empty), ["unknown", "x"]);
        assert_eq!(table.get(TagsId::default()), None);
    }

    #[test]
    fn values_are_bounded_in_length_and_number() {
        let (mut table, rules) = (TagTable::default(), rules());
        let huge = "ä".repeat(1 << 19);
        let (id, lost) = find(&mut table, &rules, [&huge, "x"]);
        assert_eq!((shown(&table, id)[0].len(), lost), (MAX_VALUE, 1));
        let mut lost = 0;
        for i in 0..100_000 {
            lost += find(&mut table, &rules, [&i.to_string(), "x"]).1;
        }
        assert_eq!(lost, 100_000 - (MAX_TAGS as u64 - 1));
        assert_eq!(table.slots.len(), MAX_TAGS + 1);
        let (id, _) = find(&mut table, &rules, ["100000", "x"]);
        assert_eq!(shown(&table, id), [OTHER, OTHER]);
    }

    #[test]
    fn numbers_that_are_given_up_mean_nothing_and_are_used_again() {
        let (mut table, rules) = (TagTable::default(), rules());
        let (first, _) = find(&mut table, &rules, ["a", "b"]);
        let (kept, _) = find(&mut table, &rules, ["c", "d"]);
        table.keep(&[kept.0].into_iter().collect());
        assert_eq!((table.get(first), shown(&table, kept)), (None, vec!["c".to_owned(), "d".to_owned()]));
        let (next, _) = find(&mut table, &rules, ["e", "f"]);
        assert_eq!(table.slots.len(), 2);
        assert_ne!(next, first);
        assert_eq!(find(&mut table, &rules, ["c", "d"]).0, kept);
        assert_eq!(shown(&table, next), ["e", "f"]);
    }
}
