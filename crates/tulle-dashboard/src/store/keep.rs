//! Keeping to the limits: what has ended, what is too old, what has to make room.

use super::TIERS;
use super::series::Series;
use super::state::State;

/// In how many steps a resolution's time is shortened if memory is short.
const STEPS: i64 = 8;

impl State {
    pub(super) fn sweep(&mut self, now: i64) {
        self.packed = false;
        self.end_silent(now);
        self.forget_old();
        self.count();
        self.relieve();
        let latest = self.latest;
        if let Some(files) = &mut self.files {
            self.losses.records += files.sweep(latest);
        }
    }

    /// Sources that have not been heard of are taken to be gone.
    fn end_silent(&mut self, now: i64) {
        let silence = self.limits.silence;
        for owner in 0..self.sources.len() {
            let source = &self.sources[owner];
            if source.live && source.last < now - silence {
                let (last, all) = (source.last, source.series.clone());
                self.end_series(owner, last + silence, &all);
                self.sources[owner].live = false;
            }
        }
    }

    fn forget_old(&mut self) {
        let latest = self.latest;
        for (tier, rate) in TIERS.iter().enumerate() {
            self.trim(tier, latest - rate.keep);
        }
        let empty =
            self.indexes(|s| s.is_empty() && s.changed < latest - TIERS[0].keep && s.changed > i64::MIN);
        for index in empty {
            self.remove(index);
        }
    }

    fn trim(&mut self, tier: usize, before: i64) -> usize {
        let series = self.slots.iter_mut().filter_map(|s| s.series.as_mut());
        series.map(|s| s.tiers[tier].trim(before)).sum()
    }

    fn indexes(&self, fits: impl Fn(&Series) -> bool) -> Vec<u32> {
        let all = self.slots.iter().zip(0..);
        all.filter(|(slot, _)| slot.series.as_ref().is_some_and(|s| fits(s))).map(|(_, i)| i).collect()
    }

    fn count(&mut self) {
        self.memory = self.slots.iter().filter_map(|s| s.series.as_ref()).map(|s| s.heap()).sum();
    }

    fn is_over(&self) -> bool {
        self.memory + self.symbols.heap() > self.limits.memory
    }

    /// Idle series go first, then the oldest history of all, coarsest first; in the end whatever has not changed for longest.
    fn relieve(&mut self) {
        while self.is_over() && self.evict_idle((self.slots.len() / 16).max(16)) > 0 {}
        for tier in (0..TIERS.len()).rev() {
            for step in 1..STEPS {
                if !self.is_over() {
                    return;
                }
                let keep = TIERS[tier].keep / STEPS * (STEPS - step);
                self.losses.chunks += self.trim(tier, self.latest - keep) as u64;
                self.count();
            }
        }
        if self.is_over() {
            let mut all: Vec<(i64, u32)> = self
                .indexes(|_| true)
                .into_iter()
                .filter_map(|i| Some((self.series(i)?.changed, i)))
                .collect();
            all.sort_unstable();
            for (_, index) in all {
                if !self.is_over() {
                    return;
                }
                self.evict(index);
            }
        }
    }
}
