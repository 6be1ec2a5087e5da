//! Series and sources, and the references by which their owners know them.

use std::sync::Arc;

use super::TIERS;
use super::column::Column;
use super::symbols::{LabelSet, Symbol};
use super::value::{Kind, Value};

/// What a series is called and is.
#[derive(Clone, Debug)]
pub struct Description<'a> {
    /// Name of the metric; of a histogram without `_bucket`.
    pub name: &'a str,
    /// What it is.
    pub kind: Kind,
    /// Labels; in any order, those without value are left out. `le` is not among them.
    pub labels: &'a [(&'a str, &'a str)],
    /// Upper bounds of the buckets, ascending, without `+Inf`; only of histograms.
    pub bounds: &'a [f64],
}

/// A series, as its source refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeriesRef {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// A source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceRef {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// Number of a file, and the number that something has in it. File 0 does not exist.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    pub(crate) file: u64,
    pub(crate) id: u64,
}

/// One series.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) source: u32,
    pub(crate) name: Symbol,
    pub(crate) labels: LabelSet,
    pub(crate) kind: Kind,
    pub(crate) bounds: Arc<[f64]>,
    pub(crate) tiers: [Column; TIERS.len()],
    /// Where it is described in each tier's file: there, differences go on.
    pub(crate) written: [Written; TIERS.len()],
    /// The last value in that file.
    pub(crate) told: [Option<Value>; TIERS.len()],
    /// When its value changed last.
    pub(crate) changed: i64,
}

impl Series {
    pub(crate) fn new(source: u32, name: Symbol, labels: LabelSet, kind: Kind, bounds: Arc<[f64]>) -> Self {
        let zero = Value::zero(kind, bounds.len());
        let column = || Column::new(zero.clone());
        Self {
            source,
            name,
            labels,
            kind,
            bounds,
            tiers: [column(), column(), column()],
            written: [Written::default(); TIERS.len()],
            told: [const { None }; TIERS.len()],
            changed: i64::MIN,
        }
    }

    /// Whether it has a value that has not ended.
    pub(crate) fn is_live(&self) -> bool {
        !self.tiers[0].last().1
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tiers.iter().all(|t| t.last_time().is_none())
    }

    pub(crate) fn heap(&self) -> usize {
        // The slot, its two look-ups and its place in its source's list.
        let told: usize = self.told.iter().flatten().map(Value::heap).sum();
        size_of::<Self>() + 64 + told + self.tiers.iter().map(Column::heap).sum::<usize>()
    }
}

/// Who sends.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) generation: u32,
    pub(crate) name: Arc<str>,
    pub(crate) series: Vec<u32>,
    /// Time of the last tick.
    pub(crate) last: i64,
    /// Whether its series have not been ended.
    pub(crate) live: bool,
    /// Whether it has to say everything again: the clock was set back.
    pub(crate) anew: bool,
    /// Where it is described in each tier's file.
    pub(crate) written: [Written; TIERS.len()],
}
