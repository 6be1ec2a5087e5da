//! How load is spread over priorities (Envoy's priority levels, panic threshold and degraded endpoints).

/// Load of each priority in percent.
#[derive(Clone, Debug, Default)]
pub(super) struct PriorityLoads {
    healthy: Vec<u32>,
    degraded: Vec<u32>,
    panic: Vec<bool>,
    /// How much each could take, in percent: healthy and degraded.
    could: Vec<[u32; 2]>,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) priority: usize,
    pub(super) degraded: bool,
    pub(super) panic: bool,
}

impl PriorityLoads {
    /// `counts` holds for each priority: healthy, degraded, all. `factor` is the overprovisioning factor, `threshold`
    /// the panic threshold, both in percent.
    pub(super) fn new(counts: &[[u64; 3]], factor: u32, threshold: f64) -> Self {
        let part = |some: u64, all: u64| -> u32 {
            let percent = (u64::from(factor) * some).checked_div(all).unwrap_or(0).min(100);
            u32::try_from(percent).unwrap_or(100)
        };
        let health: Vec<u32> = counts.iter().map(|[h, _, all]| part(*h, *all)).collect();
        let degraded: Vec<u32> = counts.iter().map(|[_, d, all]| part(*d, *all)).collect();
        let total = health.iter().chain(&degraded).sum::<u32>().min(100);
        if total == 0 {
            return Self::in_total_panic(counts, threshold);
        }
        let panic = counts.iter().map(|c| total < 100 && in_panic(c, threshold)).collect();
        let could = health.into_iter().zip(degraded).map(|(h, d)| [h, d]).collect();
        Self::spread(could, total, panic)
    }

    /// Gives each priority as much as it could take of what is left, the first ones first.
    fn spread(could: Vec<[u32; 2]>, total: u32, panic: Vec<bool>) -> Self {
        let mut left = 100;
        let mut take = |part: u32| {
            let load = (part * 100 / total.max(1)).min(left);
            left -= load;
            load
        };
        let mut healthy: Vec<u32> = could.iter().map(|[h, _]| take(*h)).collect();
        let mut degraded: Vec<u32> = could.iter().map(|[_, d]| take(*d)).collect();
        // What rounding left over goes to the first priority that takes anything.
        if let Some(first) = healthy.iter_mut().chain(degraded.iter_mut()).find(|load| **load > 0) {
            *first += left;
        }
        Self { healthy, degraded, panic, could }
    }

    /// The loads without the priorities that were tried (Envoy's `previous_priorities`); `None` where the others cannot
    /// take anything, for then all count again.
    pub(super) fn without(&self, tried: &[u32]) -> Option<Self> {
        let mut could = self.could.clone();
        for priority in tried {
            if let Some(part) = could.get_mut(*priority as usize) {
                *part = [0, 0];
            }
        }
        let total = could.iter().flatten().sum::<u32>().min(100);
        (total > 0).then(|| Self::spread(could, total, self.panic.clone()))
    }

    /// No endpoint is available: load follows the number of endpoints, unless panic is switched off.
    fn in_total_panic(counts: &[[u64; 3]], threshold: f64) -> Self {
        let all: u64 = counts.iter().map(|c| c[2]).sum();
        if threshold <= 0.0 || all == 0 {
            return Self::default();
        }
        let mut healthy: Vec<u32> =
            counts.iter().map(|c| u32::try_from(c[2] * 100 / all).unwrap_or(100)).collect();
        let left = 100 - healthy.iter().sum::<u32>();
        if let Some(first) = healthy.iter_mut().find(|load| **load > 0) {
            *first += left;
        }
        Self { degraded: vec![0; counts.len()], panic: vec![true; counts.len()], could: Vec::new(), healthy }
    }

    /// Where a request goes, by a uniform number.
    pub(super) fn choose(&self, random: u64) -> Option<Choice> {
        let mut at = u32::try_from(random % 100).unwrap_or(0);
        for (loads, degraded) in [(&self.healthy, false), (&self.degraded, true)] {
            for (priority, load) in loads.iter().enumerate() {
                if at < *load {
                    return Some(Choice { priority, degraded, panic: self.panic[priority] });
                }
                at -= load;
            }
        }
        None
    }
}

#[allow(clippy::cast_precision_loss, reason = "numbers of endpoints are far below 2^52")]
fn in_panic([healthy, degraded, all]: &[u64; 3], threshold: f64) -> bool {
    *all > 0 && ((healthy + degraded) as f64) * 100.0 / (*all as f64) < threshold
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(counts: &[[u64; 3]], healthy: &[u32], degraded: &[u32]) {
        let loads = PriorityLoads::new(counts, 140, 50.0);
        assert_eq!((loads.healthy.as_slice(), loads.degraded.as_slice()), (healthy, degraded));
    }

    /// The tables of Envoy's documentation ("Priority levels", "Degraded endpoints").
    #[test]
    fn loads_of_the_documentation() {
        check(&[[100, 0, 100], [100, 0, 100]], &[100, 0], &[0, 0]);
        check(&[[72, 0, 100], [72, 0, 100]], &[100, 0], &[0, 0]);
        check(&[[71, 0, 100], [71, 0, 100]], &[99, 1], &[0, 0]);
        check(&[[50, 0, 100], [60, 0, 100]], &[70, 30], &[0, 0]);
        check(&[[0, 0, 100], [100, 0, 100]], &[0, 100], &[0, 0]);
        check(&[[25, 0, 100], [25, 0, 100]], &[50, 50], &[0, 0]);
        check(&[[70, 30, 100]], &[98], &[2]);
        check(&[[0, 100, 100]], &[0], &[100]);
    }

    #[test]
    fn nothing_left_spreads_over_all_in_panic() {
        check(&[[0, 0, 1], [0, 0, 3]], &[25, 75], &[0, 0]);
        assert_eq!(PriorityLoads::new(&[[0, 0, 1]], 140, 0.0).choose(0), None);
        assert_eq!(PriorityLoads::new(&[[0, 0, 0]], 140, 50.0).choose(0), None);
    }
}
