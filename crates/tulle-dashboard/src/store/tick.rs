//! One moment of one source: what changed, what did not, and what the coarser resolutions keep of it.

use super::TIERS;
use super::series::{SeriesRef, SourceRef};
use super::state::{Refusal, State};
use super::value::{Kind, Value};

/// A moment this much before the latest means that the clock was set back; milliseconds.
pub(super) const STEP_BACK: i64 = 2_000;
/// The last moment that is taken: some 280,000 years after 1970.
pub(super) const LAST_TIME: i64 = 1 << 53;

/// The values of one moment.
#[derive(Clone, Debug)]
pub struct Tick<'a> {
    /// Milliseconds since 1970.
    pub time: i64,
    /// What changed; all other series of the source that are alive are as they were.
    pub changed: &'a [(SeriesRef, Value)],
}

impl State {
    pub(super) fn tick(&mut self, source: SourceRef, tick: &Tick<'_>) -> Result<(), Refusal> {
        let owner = self.resolve_source(source).ok_or(Refusal::Evicted)?;
        let time = tick.time;
        if time < self.latest.saturating_sub(STEP_BACK) && time > 0 {
            self.step_back(time);
        }
        if time <= self.sources[owner].last || !(0..LAST_TIME).contains(&time) {
            self.losses.values += tick.changed.len() as u64;
            return Err(Refusal::Late);
        }
        self.close_windows(owner, time);
        let anew = std::mem::take(&mut self.sources[owner].anew);
        let mut outcome = if anew { Err(Refusal::Evicted) } else { Ok(()) };
        let mut written = Vec::with_capacity(tick.changed.len());
        for (series, value) in tick.changed {
            match self.resolve(*series).filter(|i| self.owns(owner, *i)) {
                Some(index) if self.take(index, time, value) => written.push(index),
                Some(_) => self.losses.values += 1,
                None => {
                    self.losses.values += 1;
                    outcome = Err(Refusal::Evicted);
                }
            }
        }
        self.repeat(owner, time, &mut written);
        self.sources[owner].last = time;
        self.sources[owner].live = true;
        self.latest = self.latest.max(time);
        self.record(0, owner, time, &written, false);
        outcome
    }

    fn owns(&self, owner: usize, index: u32) -> bool {
        self.series(index).is_some_and(|s| s.source as usize == owner)
    }

    /// Takes one value at full resolution. Where a counter begins anew, the coarser resolutions keep both sides of that, so that no
    /// increase is lost in them.
    fn take(&mut self, index: u32, time: i64, value: &Value) -> bool {
        let Some(series) = self.series_mut(index) else { return false };
        let (last, ended) = series.tiers[0].last();
        let grows = series.kind != Kind::Gauge;
        let anew = !ended && grows && last.reset_by(value);
        let peak = anew.then(|| last.clone());
        let before = series.tiers[0].last_time();
        if ended || !value.same(last) {
            series.changed = time;
        }
        if !series.tiers[0].push(time, Some(value), TIERS[0].span()) {
            return false;
        }
        let owner = series.source as usize;
        if let (Some(peak), Some(before)) = (peak, before) {
            self.keep(index, before, &peak);
            self.note(owner, before, index);
        }
        if ended || anew {
            self.keep(index, time, value);
            self.note(owner, time, index);
        }
        true
    }

    /// Takes a value at the coarser resolutions.
    fn keep(&mut self, index: u32, time: i64, value: &Value) {
        let Some(series) = self.series_mut(index) else { return };
        for (tier, rate) in series.tiers.iter_mut().zip(TIERS).skip(1) {
            tier.push(time, Some(value), rate.span());
        }
    }

    /// Records what [`State::keep`] took.
    fn note(&mut self, owner: usize, time: i64, index: u32) {
        for tier in 1..TIERS.len() {
            if self.series(index).is_some_and(|s| s.tiers[tier].last_time() == Some(time)) {
                self.record(tier, owner, time, &[index], true);
            }
        }
    }

    /// What did not change is as it was. In a new file it has to be said nevertheless.
    fn repeat(&mut self, owner: usize, time: i64, written: &mut Vec<u32>) {
        let file = self.files.as_ref().map(|f| f.number(0));
        let all = std::mem::take(&mut self.sources[owner].series);
        for index in &all {
            let Some(series) = self.series_mut(*index) else { continue };
            if series.tiers[0].last_time() == Some(time) || !series.is_live() {
                continue;
            }
            let value = series.tiers[0].last().0.clone();
            series.tiers[0].push(time, Some(&value), TIERS[0].span());
            if file.is_some_and(|f| f != series.written[0].file) {
                written.push(*index);
            }
        }
        self.sources[owner].series = all;
    }

    /// Ends the windows of the coarser resolutions that `time` is behind: the last value in each is kept.
    fn close_windows(&mut self, owner: usize, time: i64) {
        let last = self.sources[owner].last;
        if last < 0 {
            return;
        }
        for (tier, rate) in TIERS.into_iter().enumerate().skip(1) {
            if last.div_euclid(rate.every) != time.div_euclid(rate.every) {
                self.close_window(tier, owner, last);
            }
        }
    }

    fn close_window(&mut self, tier: usize, owner: usize, last: i64) {
        let all = std::mem::take(&mut self.sources[owner].series);
        let file = self.files.as_ref().map(|f| f.number(tier));
        let mut written = Vec::new();
        for index in &all {
            let Some(series) = self.series_mut(*index) else { continue };
            let [first, rest @ ..] = &mut series.tiers;
            let (value, ended) = first.last();
            if ended || first.last_time() != Some(last) {
                continue;
            }
            let column = &mut rest[tier - 1];
            let same = column.last().0.same(value) && !column.last().1;
            if column.push(last, Some(value), TIERS[tier].span())
                && (!same || file.is_some_and(|f| f != series.written[tier].file))
            {
                written.push(*index);
            }
        }
        self.sources[owner].series = all;
        self.record(tier, owner, last, &written, false);
    }

    pub(super) fn end(&mut self, source: SourceRef, time: i64, series: &[SeriesRef]) {
        let Some(owner) = self.resolve_source(source) else { return };
        let indexes: Vec<u32> =
            series.iter().filter_map(|s| self.resolve(*s)).filter(|i| self.owns(owner, *i)).collect();
        self.end_series(owner, time, &indexes);
    }

    /// Ends series: their last value goes to the coarser resolutions, then there is none.
    pub(super) fn end_series(&mut self, owner: usize, time: i64, indexes: &[u32]) {
        let mut ended = Vec::new();
        for index in indexes {
            let Some(series) = self.series_mut(*index) else { continue };
            if !series.is_live() {
                continue;
            }
            ended.push(*index);
            let value = series.tiers[0].last().0.clone();
            if let Some(last) = series.tiers[0].last_time() {
                self.keep(*index, last, &value);
                self.note(owner, last, *index);
            }
            let Some(series) = self.series_mut(*index) else { continue };
            for (tier, rate) in series.tiers.iter_mut().zip(TIERS) {
                tier.push(time, None, rate.span());
            }
        }
        self.record_end(owner, time, &ended);
    }

    /// The clock was set back to `now`: what lies behind that did not happen.
    pub(super) fn step_back(&mut self, now: i64) {
        for tier in 0..TIERS.len() {
            self.cut(tier, now - 1);
        }
        self.record_cut(now - 1);
        self.turn_back(now - 1);
        self.sources.iter_mut().for_each(|s| s.anew = true);
    }

    /// The latest moments are not behind `time` any more.
    pub(super) fn turn_back(&mut self, time: i64) {
        for source in &mut self.sources {
            source.last = source.last.min(time);
        }
        self.latest = self.latest.min(time);
    }

    /// Drops what lies behind `time` at one resolution.
    pub(super) fn cut(&mut self, tier: usize, time: i64) {
        let mut lost = 0;
        for slot in &mut self.slots {
            if let Some(series) = &mut slot.series {
                lost += series.tiers[tier].cut(time, TIERS[tier].span());
                series.written[tier] = Default::default();
                series.changed = series.changed.min(time);
            }
        }
        self.losses.cut += lost;
    }
}
