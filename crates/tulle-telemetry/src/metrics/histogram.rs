//! Histograms with Istio's default buckets.

/// Upper bounds of the buckets, ascending; one more bucket takes what is above (`+Inf`).
pub const BOUNDS: [f64; FINITE] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

/// How many finite bounds there are.
pub const FINITE: usize = 19;

/// A histogram of whole numbers (milliseconds, bytes).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    buckets: [u64; FINITE + 1],
    sum: u64,
}

impl Histogram {
    /// Adds one value.
    pub fn observe(&mut self, value: u64) {
        self.buckets[bucket_of(value)] += 1;
        self.sum = self.sum.saturating_add(value);
    }

    /// Adds everything that `other` has seen.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine += theirs;
        }
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// The sum of all values; sticks at the largest number there is.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// For each finite bound, how many values were not above it.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let mut total = 0;
        BOUNDS.iter().zip(self.buckets).map(move |(bound, n)| {
            total += n;
            (*bound, total)
        })
    }
}

#[allow(clippy::cast_precision_loss, reason = "exact far beyond the last bound")]
pub(crate) fn bucket_of(value: u64) -> usize {
    let value = value as f64;
    BOUNDS.partition_point(|bound| *bound < value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_land_in_the_bucket_whose_bound_they_do_not_exceed() {
        let mut h = Histogram::default();
        for v in [0, 1, 2, 5, 6, 3_600_000, 3_600_001, u64::MAX] {
            h.observe(v);
        }
        let got: Vec<u64> = h.cumulative().map(|(_, n)| n).collect();
        assert_eq!(got[..4], [1, 2, 4, 5]);
        assert_eq!((got[FINITE - 1], h.count(), h.sum()), (6, 8, u64::MAX));
    }
}
