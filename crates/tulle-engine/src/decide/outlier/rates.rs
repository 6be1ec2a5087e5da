//! Ejection by rates, compared at each sweep.

use std::time::Duration;

use super::{Cause, Detector};
use crate::runtime::cluster::{FailurePercentage, SuccessRate};

/// One endpoint with its requests since the last sweep.
struct Rate {
    index: u32,
    successes: u32,
    total: u32,
}

impl Rate {
    fn percent(&self) -> f64 {
        f64::from(self.successes) * 100.0 / f64::from(self.total)
    }
}

/// Ejects endpoints by the rates of their answers, then by those of reaching them. Those that are out do not count.
pub(super) fn compare(detector: &Detector, now: Duration, random: u64) -> Vec<(u32, Cause)> {
    let taken: Vec<_> =
        detector.monitors.iter().map(|monitor| [monitor.answers.take(), monitor.local.take()]).collect();
    let mut ejected = Vec::new();
    for (which, causes, random) in [
        (0, [Cause::SuccessRate, Cause::FailurePercentage], random),
        (1, [Cause::LocalOriginSuccessRate, Cause::LocalOriginFailurePercentage], random >> 32),
    ] {
        let rates: Vec<Rate> = taken
            .iter()
            .zip(0..)
            .filter(|(_, index)| !detector.is_ejected(*index))
            .map(|(taken, index)| Rate { index, successes: taken[which].0, total: taken[which].1 })
            .collect();
        let mut sort_out = |indices: Vec<u32>, enforcing: [u32; 2], cause: Cause, random: u64| {
            let hit = |index: &u32| random.rotate_left(*index) % 100 < u64::from(enforcing[which]);
            let out = |index: &u32| detector.eject(&detector.monitors[*index as usize], now, random);
            ejected.extend(indices.into_iter().filter(hit).filter(out).map(|index| (index, cause)));
        };
        let [by_rate, by_percentage] = causes;
        if let Some(config) = &detector.config.success_rate {
            let enforcing = [config.enforcing, config.enforcing_local_origin];
            sort_out(far_below(&rates, config), enforcing, by_rate, random);
        }
        if let Some(config) = &detector.config.failure_percentage {
            let enforcing = [config.enforcing, config.enforcing_local_origin];
            sort_out(failing(&rates, config), enforcing, by_percentage, random >> 16);
        }
    }
    ejected
}

/// Those whose rate is more than so many standard deviations below the mean.
fn far_below(rates: &[Rate], config: &SuccessRate) -> Vec<u32> {
    let enough: Vec<(u32, f64)> = rates
        .iter()
        .filter(|r| r.total >= config.request_volume && r.total > 0)
        .map(|r| (r.index, r.percent()))
        .collect();
    if enough.is_empty() || enough.len() < config.minimum_hosts as usize {
        return Vec::new();
    }
    let count = f64::from(u32::try_from(enough.len()).unwrap_or(u32::MAX));
    let mean = enough.iter().map(|(_, rate)| rate).sum::<f64>() / count;
    let variance = enough.iter().map(|(_, rate)| (rate - mean).powi(2)).sum::<f64>() / count;
    let threshold = mean - variance.sqrt() * f64::from(config.stdev_factor) / 1000.0;
    enough.iter().filter(|(_, rate)| *rate < threshold).map(|(index, _)| *index).collect()
}

/// Those that fail at least so often.
fn failing(rates: &[Rate], config: &FailurePercentage) -> Vec<u32> {
    let enough: Vec<&Rate> =
        rates.iter().filter(|r| r.total >= config.request_volume && r.total > 0).collect();
    if enough.is_empty() || enough.len() < config.minimum_hosts as usize {
        return Vec::new();
    }
    let bad = |r: &&Rate| {
        u64::from(r.total - r.successes) * 100 >= u64::from(config.threshold) * u64::from(r.total)
    };
    enough.into_iter().filter(bad).map(|r| r.index).collect()
}
