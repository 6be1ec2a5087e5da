//! What queries get: the series that fit, with their samples, finest resolution first.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use regex::Regex;

use super::TIERS;
use super::series::Series;
use super::state::State;
use super::symbols::LabelSet;
use super::value::{Kind, Value};

/// The name of the label that holds a metric's name.
pub const NAME: &str = "__name__";
/// The name of the label that holds the upper bound of a histogram's bucket.
pub const LE: &str = "le";

/// A condition on a label. One that is not there is empty.
#[derive(Clone, Debug)]
pub struct Matcher {
    /// The label's name.
    pub label: String,
    /// What its value must be.
    pub test: Test,
}

/// What a label's value must be.
#[derive(Clone, Debug)]
pub enum Test {
    /// This.
    Is(String),
    /// Not this.
    IsNot(String),
    /// What the expression matches; it is anchored at both ends.
    Matches(Regex),
    /// What it does not match.
    MatchesNot(Regex),
}

impl Matcher {
    /// Whether a value fits.
    pub fn fits(&self, value: &str) -> bool {
        match &self.test {
            Test::Is(wanted) => wanted == value,
            Test::IsNot(other) => other != value,
            Test::Matches(regex) => regex.is_match(value),
            Test::MatchesNot(regex) => !regex.is_match(value),
        }
    }
}

/// What to select.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// All must fit.
    pub matchers: &'a [Matcher],
    /// First moment, included; milliseconds since 1970.
    pub from: i64,
    /// Last moment, included.
    pub to: i64,
    /// Whether samples are wanted, not just which series have some.
    pub samples: bool,
    /// The most series.
    pub max_series: usize,
    /// The most samples in all.
    pub max_samples: usize,
}

/// Why nothing was selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Selection {
    /// More series than allowed.
    #[error("more than {0} series fit; narrow the selector")]
    Series(usize),
    /// More samples than allowed.
    #[error("more than {0} samples would be read; narrow the selector or shorten the range")]
    Samples(usize),
}

/// A label's name and value.
pub type Label = (Arc<str>, Arc<str>);

/// One series with what was found of it.
#[derive(Clone, Debug)]
pub struct Selected {
    /// Its name: of a histogram with `_bucket`, `_sum` or `_count`.
    pub name: Arc<str>,
    /// Its other labels, but for `le`. Series of the same labels share them.
    pub labels: Arc<[Label]>,
    /// The bound of a bucket, as text.
    pub le: Option<Arc<str>>,
    /// What it is.
    pub kind: Kind,
    /// Time and value, in order of time; a stale mark is [`STALE`].
    pub samples: Vec<(i64, f64)>,
    /// From when on there are samples of finer resolutions than the last, and than the one before.
    pub finer: [i64; 2],
}

/// Stands for: there is no value any more. The bits are Prometheus'.
pub const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Whether it is [`STALE`], which no comparison tells.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE.to_bits()
}

impl Selected {
    /// How far apart samples are around `time`, in milliseconds; 0 where they are as they came.
    pub fn every(&self, time: i64) -> i64 {
        let [quarters, minutes] = self.finer;
        match time {
            t if t >= minutes => TIERS[0].every,
            t if t >= quarters => TIERS[1].every,
            _ => TIERS[2].every,
        }
    }
}

/// What is known of a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

/// The parts of a histogram, by which it is read.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

impl State {
    pub(super) fn select(&self, wanted: &Wanted<'_>) -> Result<Vec<Selected>, Selection> {
        let mut picked = Picked { wanted, labels: HashMap::new(), out: Vec::new(), samples: 0 };
        for (name, indexes) in &self.by_name {
            let name = self.symbols.text(*name);
            let plain = picked.named(name);
            let parts = PARTS.map(|part| {
                let whole = format!("{name}{part}");
                picked.named(&whole).then(|| Arc::from(whole))
            });
            if !plain && parts.iter().all(Option::is_none) {
                continue;
            }
            for series in indexes.iter().filter_map(|i| self.series(*i)) {
                if !wanted.overlaps(series) || !self.fits(series, wanted.matchers) {
                    continue;
                }
                let labels = picked.labels(self, &series.labels);
                match series.kind {
                    Kind::Histogram => picked.histogram(series, &parts, &labels)?,
                    Kind::Counter | Kind::Gauge if plain => picked.number(series, name, labels)?,
                    Kind::Counter | Kind::Gauge => {}
                }
            }
        }
        Ok(picked.out)
    }

    fn fits(&self, series: &Series, matchers: &[Matcher]) -> bool {
        matchers.iter().all(|matcher| {
            if matcher.label == NAME || (matcher.label == LE && series.kind == Kind::Histogram) {
                return true;
            }
            let value = self
                .symbols
                .find(&matcher.label)
                .and_then(|name| series.labels.iter().find(|(n, _)| *n == name))
                .map_or("", |(_, value)| self.symbols.text(*value));
            matcher.fits(value)
        })
    }

    pub(super) fn metadata(&self) -> Vec<Meta> {
        let all: BTreeMap<&str, Kind> = self
            .by_name
            .iter()
            .filter_map(|(name, indexes)| {
                let series = indexes.first().and_then(|i| self.series(*i))?;
                Some((&**self.symbols.text(*name), series.kind))
            })
            .collect();
        all.into_iter().map(|(name, kind)| Meta { name: name.to_owned(), kind }).collect()
    }
}

impl Wanted<'_> {
    fn overlaps(&self, series: &Series) -> bool {
        let firsts = series.tiers.iter().filter_map(|t| t.first_time()).min();
        let lasts = series.tiers.iter().filter_map(|t| t.last_time()).max();
        firsts.is_some_and(|t| t <= self.to) && lasts.is_some_and(|t| t >= self.from)
    }
}

struct Picked<'a> {
    wanted: &'a Wanted<'a>,
    labels: HashMap<LabelSet, Arc<[Label]>>,
    out: Vec<Selected>,
    samples: usize,
}

impl Picked<'_> {
    fn named(&self, name: &str) -> bool {
        self.wanted.matchers.iter().filter(|m| m.label == NAME).all(|m| m.fits(name))
    }

    fn labels(&mut self, state: &State, set: &LabelSet) -> Arc<[Label]> {
        let make = || {
            let text = |symbol| Arc::clone(state.symbols.text(symbol));
            set.iter().map(|(n, v)| (text(*n), text(*v))).collect()
        };
        Arc::clone(self.labels.entry(Arc::clone(set)).or_insert_with(make))
    }

    fn number(&mut self, series: &Series, name: &Arc<str>, labels: Arc<[Label]>) -> Result<(), Selection> {
        let mut samples = Vec::new();
        if self.wanted.samples {
            read(series, self.wanted, |time, value| {
                samples.push((time, if let Some(Value::Number(value)) = value { *value } else { STALE }));
            });
        }
        self.add(series, Arc::clone(name), labels, None, samples)
    }

    /// Cumulative buckets, sum and count, as far as they are wanted.
    fn histogram(
        &mut self,
        series: &Series,
        parts: &[Option<Arc<str>>; 3],
        labels: &Arc<[Label]>,
    ) -> Result<(), Selection> {
        let les: Vec<Arc<str>> =
            series.bounds.iter().copied().map(bound_text).chain(["+Inf".into()]).collect();
        let fits = |le: &str| self.wanted.matchers.iter().filter(|m| m.label == LE).all(|m| m.fits(le));
        let buckets: Vec<usize> = match parts[0] {
            Some(_) => (0..les.len()).filter(|i| fits(&les[*i])).collect(),
            None => Vec::new(),
        };
        let (sum, count) = (parts[1].is_some() && fits(""), parts[2].is_some() && fits(""));
        let columns = buckets.len() + usize::from(sum) + usize::from(count);
        let mut samples: Vec<Vec<(i64, f64)>> = vec![Vec::new(); columns];
        if self.wanted.samples && columns > 0 {
            read(series, self.wanted, |time, value| {
                let Some(Value::Histogram(value)) = value else {
                    samples.iter_mut().for_each(|s| s.push((time, STALE)));
                    return;
                };
                let mut total = 0_u64;
                let mut next = buckets.iter().zip(0..).peekable();
                #[allow(clippy::cast_precision_loss, reason = "Prometheus' numbers are floats")]
                for (bucket, n) in value.counts.iter().enumerate() {
                    total = total.saturating_add(*n);
                    if let Some((_, column)) = next.next_if(|(wanted, _)| **wanted == bucket) {
                        samples[column].push((time, total as f64));
                    }
                }
                let mut column = buckets.len();
                if sum {
                    samples[column].push((time, value.sum));
                    column += 1;
                }
                #[allow(clippy::cast_precision_loss, reason = "as above")]
                if count {
                    samples[column].push((time, total as f64));
                }
            });
        }
        let les = buckets.iter().map(|b| (0, Some(Arc::clone(&les[*b]))));
        let rest =
            [(1, sum), (2, count)].into_iter().filter(|(_, wanted)| *wanted).map(|(part, _)| (part, None));
        for ((part, le), samples) in les.chain(rest).zip(samples) {
            if let Some(name) = &parts[part] {
                self.add(series, Arc::clone(name), Arc::clone(labels), le, samples)?;
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        series: &Series,
        name: Arc<str>,
        labels: Arc<[Label]>,
        le: Option<Arc<str>>,
        samples: Vec<(i64, f64)>,
    ) -> Result<(), Selection> {
        if self.wanted.samples && samples.is_empty() {
            return Ok(());
        }
        self.samples += samples.len();
        if self.out.len() >= self.wanted.max_series {
            return Err(Selection::Series(self.wanted.max_series));
        }
        if self.samples > self.wanted.max_samples {
            return Err(Selection::Samples(self.wanted.max_samples));
        }
        let finer = finer(series);
        self.out.push(Selected { name, labels, le, kind: series.kind, samples, finer });
        Ok(())
    }
}

/// From when on samples are of the two finer resolutions, and of the finest; always, where nothing coarser reaches further back.
fn finer(series: &Series) -> [i64; 2] {
    let [full, minutes, quarters] = [0, 1, 2].map(|tier| series.tiers[tier].first_time().unwrap_or(i64::MAX));
    let both = full.min(minutes);
    [
        if quarters < both { both } else { i64::MIN },
        if minutes.min(quarters) < full { full } else { i64::MIN },
    ]
}

/// What there is from `from` to `to`: each moment at the finest resolution that reaches back to it.
fn read(series: &Series, wanted: &Wanted<'_>, mut each: impl FnMut(i64, Option<&Value>)) {
    let mut until = [wanted.to; TIERS.len()];
    for tier in 1..TIERS.len() {
        let finer = series.tiers[tier - 1].first_time().map_or(i64::MAX, |t| t - 1);
        until[tier] = until[tier - 1].min(finer);
    }
    for (tier, until) in series.tiers.iter().zip(until).rev() {
        tier.read(wanted.from, until, &mut each);
    }
}

/// A bound as our own exposition writes it.
fn bound_text(bound: f64) -> Arc<str> {
    bound.to_string().into()
}
