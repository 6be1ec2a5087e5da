//! The built-in store of time series: bounded, on disk if wanted, read by `query`.
//!
//! Whoever sends values is a *source* (a proxy, the control plane). A source describes each series once and then *ticks*: at one
//! moment it tells the values that changed, and all its other series are taken to be as they were. A tick is one record in the
//! store's files (`segment.rs`), and a repetition costs nothing (`column.rs`).
//!
//! Each series is kept at three [resolutions](Tier). Time is an argument everywhere; nothing here looks at a clock.

mod column;
mod files;
mod keep;
mod read;
mod segment;
mod series;
mod state;
mod symbols;
mod tick;
mod value;
mod varint;

use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};

pub use files::{check_segment, framed};
pub use read::{LE, Label, Matcher, Meta, NAME, STALE, Selected, Selection, Test, Wanted, is_stale};
pub use segment::Damage;
pub use series::{Description, SeriesRef, SourceRef};
pub use state::{Losses, Refusal, Stats};
pub use tick::Tick;
pub use value::{Buckets, Kind, Value};

use state::State;

/// One resolution: how far apart samples are, and how long they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Milliseconds between two samples; 0: as they come.
    pub every: i64,
    /// Milliseconds after which a sample may go.
    pub keep: i64,
}

impl Tier {
    /// How long a chunk lasts: what ages out goes by chunks.
    pub(crate) fn span(self) -> i64 {
        (self.keep / 4).max(1)
    }
}

/// The resolutions, finest first.
///
/// A busy histogram takes about 14 bytes a sample, a counter 3. With 180 + 360 + 672 samples that makes 17 KB for the histogram, so
/// that 256 MiB hold the five families of some 5,000 busy pairs of (caller, service, code); a day of minutes would double that for
/// a resolution that a chart of a day (some 300 points across) does not show.
pub const TIERS: [Tier; 3] = [
    Tier { every: 0, keep: 15 * MINUTE },
    Tier { every: MINUTE, keep: 6 * 60 * MINUTE },
    Tier { every: 15 * MINUTE, keep: 7 * 24 * 60 * MINUTE },
];

const MINUTE: i64 = 60_000;

/// How much a store may hold.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Series; default 200,000. A histogram is one.
    pub series: usize,
    /// Bytes in memory, as it counts them; default 256 MiB.
    pub memory: usize,
    /// Bytes of its files; default 512 MiB.
    pub disk: u64,
    /// Bytes of one label's name or value; default 1,024. A series with a longer one is refused.
    pub label: usize,
    /// Labels of one series; default 64.
    pub labels: usize,
    /// Milliseconds without a change after which a series may make room for another; default 15 minutes.
    pub idle: i64,
    /// Milliseconds of silence after which the series of a source are taken to have ended; default 30 s.
    pub silence: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            series: 200_000,
            memory: 256 << 20,
            disk: 512 << 20,
            label: 1024,
            labels: 64,
            idle: 15 * MINUTE,
            silence: 30_000,
        }
    }
}

/// A store. Shared by all who write and read; writes take microseconds, reads copy what they need.
#[derive(Debug)]
pub struct Store {
    state: RwLock<State>,
}

impl Store {
    /// An empty store in memory.
    pub fn new(limits: Limits) -> Self {
        Self { state: RwLock::new(State::new(limits, None)) }
    }

    /// A store that keeps its files in `folder` and begins with what is there. Damage is reported as messages and costs what comes
    /// behind it in the same file. `now` is milliseconds since 1970.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(limits: Limits, folder: PathBuf, now: i64) -> std::io::Result<(Self, Vec<String>)> {
        let (state, messages) = State::open(limits, folder, now)?;
        Ok((Self { state: RwLock::new(state) }, messages))
    }

    /// The source of that name, and whether that is new. A source that was here before goes on with its series.
    pub fn source(&self, name: &str) -> SourceRef {
        self.write(|s| s.source(name))
    }

    /// The series so described.
    ///
    /// # Errors
    /// [`Refusal`]; it is counted.
    pub fn define(&self, source: SourceRef, description: &Description<'_>) -> Result<SeriesRef, Refusal> {
        self.write(|s| s.define(source, description))
    }

    /// Takes the values of one moment.
    ///
    /// # Errors
    /// [`Refusal`]: the moment is not after the last, or a series of it has made room for others. What could be taken was taken.
    pub fn tick(&self, source: SourceRef, tick: &Tick<'_>) -> Result<(), Refusal> {
        self.write(|s| s.tick(source, tick))
    }

    /// Ends series of a source at `time`: queries find nothing of them from then on.
    pub fn end(&self, source: SourceRef, time: i64, series: &[SeriesRef]) {
        self.write(|s| s.end(source, time, series));
    }

    /// Ends what has been silent, drops what is too old, keeps to the limits. To be called every few seconds.
    pub fn sweep(&self, now: i64) {
        self.write(|s| s.sweep(now));
    }

    /// Writes what is not in the files yet. Each tick is written at once; this is for the end.
    pub fn flush(&self) {
        self.write(State::flush);
    }

    /// The series that fit, with their samples.
    ///
    /// # Errors
    /// More than `wanted` allows.
    pub fn select(&self, wanted: &Wanted<'_>) -> Result<Vec<Selected>, Selection> {
        self.read(|s| s.select(wanted))
    }

    /// Name, kind and help of every metric.
    pub fn metadata(&self) -> Vec<Meta> {
        self.read(State::metadata)
    }

    /// What it holds and what it lost.
    pub fn stats(&self) -> Stats {
        self.read(State::stats)
    }

    /// The sources with the time of their last tick, and whether they still send.
    pub fn sources(&self) -> Vec<(String, i64, bool)> {
        self.read(State::sources)
    }

    fn write<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn read<T>(&self, work: impl FnOnce(&State) -> T) -> T {
        work(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}
