//! What a store knows: symbols, series, sources. Who may have a place, and who has to go.

use std::path::PathBuf;
use std::sync::Arc;

use hashbrown::HashMap;

use super::Limits;
use super::files::Files;
use super::series::{Description, Series, SeriesRef, Source, SourceRef, Written};
use super::symbols::{LabelSet, Symbol, Symbols};
use super::value::Kind;

pub(super) type FastMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// The most bounds that a histogram may have.
const MAX_BOUNDS: usize = 256;
/// Of the limit of series, what is evicted at a time.
const EVICT: usize = 64;

/// Why something was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// As many series as there may be, and none of them idle.
    #[error("the store is full: as many series as it may hold, and all of them change")]
    Full,
    /// A label that is too long or not allowed, or too many of them.
    #[error("labels that are not taken: too many, too long, twice the same name, or no metric name")]
    Labels,
    /// Bounds that do not ascend, or too many.
    #[error("bounds that are not taken: more than 256, not ascending, or of something that is no histogram")]
    Bounds,
    /// The same labels come from another source that is alive.
    #[error("another source that is alive sends a series of the same name and labels")]
    Taken,
    /// A series has made room for others, or the clock was set back: describe everything again.
    #[error("a series has made room for others, or the clock was set back; describe everything again")]
    Evicted,
    /// A moment not after the last one.
    #[error("a moment that is not after the last one of its source")]
    Late,
}

/// What was lost, and why. Counts only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Series that were not taken ([`Refusal::Full`]).
    pub full: u64,
    /// Series that were not taken for what they say ([`Refusal::Labels`], [`Refusal::Bounds`], [`Refusal::Taken`]).
    pub refused: u64,
    /// Series that made room for others.
    pub evicted: u64,
    /// Values not taken: late, or of series that are gone.
    pub values: u64,
    /// Samples dropped because the clock was set back behind them.
    pub cut: u64,
    /// Chunks dropped before their time to keep to the limit of memory.
    pub chunks: u64,
    /// Records that could not be written to the files, or were dropped from them before their time.
    pub records: u64,
}

/// What a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Series.
    pub series: usize,
    /// Sources.
    pub sources: usize,
    /// Bytes in memory, counted at the last sweep.
    pub memory: usize,
    /// Bytes of its files.
    pub disk: u64,
    /// Time of the last tick, in milliseconds since 1970.
    pub latest: i64,
    /// What was lost.
    pub losses: Losses,
}

#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) generation: u32,
    pub(super) series: Option<Box<Series>>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) limits: Limits,
    pub(super) symbols: Symbols,
    pub(super) slots: Vec<Slot>,
    free: Vec<u32>,
    by_key: FastMap<(Symbol, LabelSet), u32>,
    pub(super) by_name: FastMap<Symbol, Vec<u32>>,
    pub(super) sources: Vec<Source>,
    source_ids: FastMap<Arc<str>, u32>,
    bounds: Vec<Arc<[f64]>>,
    /// The latest moment known.
    pub(super) latest: i64,
    /// Bytes of the series at the last sweep.
    pub(super) memory: usize,
    /// Whether the last search found nothing to evict; until the next sweep there is none.
    pub(super) packed: bool,
    pub(super) losses: Losses,
    pub(super) files: Option<Files>,
}

impl State {
    pub(super) fn new(limits: Limits, files: Option<Files>) -> Self {
        Self {
            limits,
            symbols: Symbols::default(),
            slots: Vec::new(),
            free: Vec::new(),
            by_key: FastMap::default(),
            by_name: FastMap::default(),
            sources: Vec::new(),
            source_ids: FastMap::default(),
            bounds: Vec::new(),
            latest: 0,
            memory: 0,
            packed: false,
            losses: Losses::default(),
            files,
        }
    }

    pub(super) fn open(limits: Limits, folder: PathBuf, now: i64) -> std::io::Result<(Self, Vec<String>)> {
        let mut files = Files::open(folder, limits.disk)?;
        let mut state = Self::new(limits, None);
        let messages = files.closed().iter_mut().filter_map(|file| state.replay(file)).collect();
        state.files = Some(files);
        // What is in the files may be from a clock that was ahead.
        if state.latest > now + super::tick::STEP_BACK {
            state.step_back(now);
        }
        state.sweep(now);
        Ok((state, messages))
    }

    pub(super) fn series(&self, index: u32) -> Option<&Series> {
        self.slots.get(index as usize)?.series.as_deref()
    }

    pub(super) fn series_mut(&mut self, index: u32) -> Option<&mut Series> {
        self.slots.get_mut(index as usize)?.series.as_deref_mut()
    }

    pub(super) fn resolve(&self, series: SeriesRef) -> Option<u32> {
        let slot = self.slots.get(series.index as usize)?;
        (slot.generation == series.generation && slot.series.is_some()).then_some(series.index)
    }

    pub(super) fn series_of(&mut self, series: SeriesRef) -> Option<&mut Series> {
        let index = self.resolve(series)?;
        self.series_mut(index)
    }

    pub(super) fn resolve_source(&self, source: SourceRef) -> Option<usize> {
        let known = self.sources.get(source.index as usize)?;
        (known.generation == source.generation).then_some(source.index as usize)
    }

    pub(super) fn source(&mut self, name: &str) -> SourceRef {
        if let Some(index) = self.source_ids.get(name) {
            return SourceRef { index: *index, generation: self.sources[*index as usize].generation };
        }
        let name: Arc<str> = name.into();
        let fresh = |generation| Source {
            generation,
            name: Arc::clone(&name),
            series: Vec::new(),
            last: i64::MIN,
            live: false,
            anew: false,
            written: [Written::default(); super::TIERS.len()],
        };
        // Sources come and go with pods; an old one without series gives its place.
        let quiet = self.latest - self.limits.idle;
        let old = self.sources.iter().position(|s| !s.live && s.series.is_empty() && s.last < quiet);
        let index = match old.filter(|_| self.sources.len() > 1024) {
            Some(index) => {
                self.source_ids.remove(&self.sources[index].name);
                let generation = self.sources[index].generation.wrapping_add(1);
                self.sources[index] = fresh(generation);
                index
            }
            None => {
                self.sources.push(fresh(0));
                self.sources.len() - 1
            }
        };
        let generation = self.sources[index].generation;
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        self.source_ids.insert(name, index);
        SourceRef { index, generation }
    }

    pub(super) fn define(
        &mut self,
        source: SourceRef,
        described: &Description<'_>,
    ) -> Result<SeriesRef, Refusal> {
        let owner = self.resolve_source(source).ok_or(Refusal::Evicted)?;
        let made = self.labels_of(described).and_then(|labels| {
            check_bounds(described)?;
            self.place(owner, described, &labels)
        });
        match made {
            Ok(index) => Ok(SeriesRef { index, generation: self.slots[index as usize].generation }),
            Err(refusal) => {
                match refusal {
                    Refusal::Full => self.losses.full += 1,
                    _ => self.losses.refused += 1,
                }
                Err(refusal)
            }
        }
    }

    /// The labels in order, without empty ones.
    fn labels_of<'a>(&self, described: &Description<'a>) -> Result<Vec<(&'a str, &'a str)>, Refusal> {
        let Limits { label, labels: most, .. } = self.limits;
        let mut labels: Vec<(&str, &str)> =
            described.labels.iter().filter(|(_, value)| !value.is_empty()).copied().collect();
        labels.sort_unstable();
        let long = |text: &str| text.len() > label;
        let doubled = labels.windows(2).any(|pair| pair[0].0 == pair[1].0);
        let reserved = labels.iter().any(|(name, _)| matches!(*name, "" | "__name__" | "le"));
        let named = !described.name.is_empty() && !long(described.name);
        if !named
            || reserved
            || doubled
            || labels.len() > most
            || labels.iter().any(|(n, v)| long(n) || long(v))
        {
            return Err(Refusal::Labels);
        }
        Ok(labels)
    }

    /// The series of these labels, made if it is not there.
    fn place(
        &mut self,
        owner: usize,
        described: &Description<'_>,
        labels: &[(&str, &str)],
    ) -> Result<u32, Refusal> {
        let name = self.symbols.hold(described.name);
        let set = self.symbols.set(labels);
        let key = (name, set);
        let known = self.by_key.get(&key).copied();
        let outcome = match known {
            Some(index) => self.take_over(index, owner, described),
            None if self.slots.len() - self.free.len() < self.limits.series || self.make_room() => {
                return Ok(self.insert(owner, key, described));
            }
            None => Err(Refusal::Full),
        };
        self.symbols.release(key.0);
        self.symbols.release_set(&key.1);
        match outcome {
            // It was something else before: that is over.
            Ok(None) => self.place(owner, described, labels),
            Ok(Some(index)) => Ok(index),
            Err(refusal) => Err(refusal),
        }
    }

    /// Gives a series that is there to its owner, or to a new one if the old one is gone. `None`: it was of another kind and had to
    /// go.
    fn take_over(
        &mut self,
        index: u32,
        owner: usize,
        described: &Description<'_>,
    ) -> Result<Option<u32>, Refusal> {
        let Some(series) = self.series(index) else { return Err(Refusal::Evicted) };
        let old = series.source as usize;
        let same = series.kind == described.kind && *series.bounds == *described.bounds;
        if old != owner && self.sources[old].live && series.is_live() {
            return Err(Refusal::Taken);
        }
        if !same {
            self.remove(index);
            return Ok(None);
        }
        if old != owner {
            self.sources[old].series.retain(|s| *s != index);
            self.sources[owner].series.push(index);
            if let Some(series) = self.series_mut(index) {
                series.source = u32::try_from(owner).unwrap_or(u32::MAX);
                series.written = [Written::default(); super::TIERS.len()];
            }
        }
        Ok(Some(index))
    }

    fn insert(&mut self, owner: usize, key: (Symbol, LabelSet), described: &Description<'_>) -> u32 {
        let bounds = match self.bounds.iter().find(|b| ***b == *described.bounds) {
            Some(known) => Arc::clone(known),
            None => {
                let new: Arc<[f64]> = described.bounds.into();
                // Few are in use; a source that invents many gets copies of its own.
                if self.bounds.len() < 64 {
                    self.bounds.push(Arc::clone(&new));
                }
                new
            }
        };
        let source = u32::try_from(owner).unwrap_or(u32::MAX);
        let series = Series::new(source, key.0, Arc::clone(&key.1), described.kind, bounds);
        self.memory += series.heap();
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.slots.push(Slot::default());
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.slots[index as usize].series = Some(Box::new(series));
        self.by_name.entry(key.0).or_default().push(index);
        self.by_key.insert(key, index);
        self.sources[owner].series.push(index);
        index
    }

    /// Removes a series and everything that leads to it.
    pub(super) fn remove(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        let Some(series) = slot.series.take() else { return };
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        self.memory = self.memory.saturating_sub(series.heap());
        if let Some(same) = self.by_name.get_mut(&series.name) {
            same.retain(|i| *i != index);
            if same.is_empty() {
                self.by_name.remove(&series.name);
            }
        }
        if let Some(source) = self.sources.get_mut(series.source as usize) {
            source.series.retain(|i| *i != index);
        }
        self.symbols.release(series.name);
        self.symbols.release_set(&series.labels);
        self.by_key.remove(&(series.name, series.labels));
    }

    /// Removes those that have not changed for longest, if they are idle.
    fn make_room(&mut self) -> bool {
        if self.packed {
            return false;
        }
        let evicted = self.evict_idle((self.limits.series / EVICT).max(1));
        self.packed = evicted == 0;
        evicted > 0
    }

    /// Evicts up to `most` idle series, those first that have not changed for longest; returns how many.
    pub(super) fn evict_idle(&mut self, most: usize) -> usize {
        let before = self.latest.saturating_sub(self.limits.idle);
        let mut idle: Vec<(i64, u32)> = self
            .slots
            .iter()
            .zip(0..)
            .filter_map(|(slot, index)| Some((slot.series.as_ref()?.changed, index)))
            .filter(|(changed, _)| *changed < before)
            .collect();
        idle.sort_unstable();
        idle.truncate(most);
        for (_, index) in &idle {
            self.evict(*index);
        }
        idle.len()
    }

    /// Removes a series before its time.
    pub(super) fn evict(&mut self, index: u32) {
        if let Some(series) = self.series(index)
            && series.is_live()
        {
            // In the files it would go on otherwise.
            self.record_end(series.source as usize, self.latest + 1, &[index]);
        }
        self.remove(index);
        self.losses.evicted += 1;
    }

    pub(super) fn stats(&self) -> Stats {
        Stats {
            series: self.slots.len() - self.free.len(),
            sources: self.sources.len(),
            memory: self.memory + self.symbols.heap(),
            disk: self.files.as_ref().map_or(0, Files::size),
            latest: self.latest,
            losses: self.losses,
        }
    }

    pub(super) fn sources(&self) -> Vec<(String, i64, bool)> {
        self.sources.iter().map(|s| (s.name.to_string(), s.last, s.live)).collect()
    }
}

fn check_bounds(described: &Description<'_>) -> Result<(), Refusal> {
    let bounds = described.bounds;
    let ascending = bounds.windows(2).all(|pair| pair[0] < pair[1]) && bounds.iter().all(|b| b.is_finite());
    let allowed = match described.kind {
        Kind::Histogram => bounds.len() <= MAX_BOUNDS && ascending,
        Kind::Counter | Kind::Gauge => bounds.is_empty(),
    };
    if allowed { Ok(()) } else { Err(Refusal::Bounds) }
}
