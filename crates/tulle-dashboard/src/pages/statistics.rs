//! How sure one can be of a share that was seen in a sample.

/// The number of standard deviations of 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// Wilson's interval of 95 % of a share of which `hits` were seen among `of`; from 0 to 1 without any.
///
/// E. B. Wilson, "Probable inference, the law of succession, and statistical inference" (1927). It holds for small samples and for
/// shares near 0 and 1, where the usual one does not.
pub(super) fn wilson(hits: f64, of: f64) -> (f64, f64) {
    if of <= 0.0 {
        return (0.0, 1.0);
    }
    let share = (hits / of).clamp(0.0, 1.0);
    let z2 = Z * Z;
    let denominator = 1.0 + z2 / of;
    let centre = share + z2 / (2.0 * of);
    let spread = Z * (share * (1.0 - share) / of + z2 / (4.0 * of * of)).sqrt();
    (((centre - spread) / denominator).max(0.0), ((centre + spread) / denominator).min(1.0))
}

/// The difference of two shares (the second less the first) and its interval of 95 %: Newcombe's, made of Wilson's.
///
/// R. G. Newcombe, "Interval estimation for the difference between independent proportions", method 10 (1998).
pub(super) fn newcombe(first: (f64, f64), second: (f64, f64)) -> Option<(f64, f64, f64)> {
    if first.1 <= 0.0 || second.1 <= 0.0 {
        return None;
    }
    let share = |(hits, of): (f64, f64)| (hits / of).clamp(0.0, 1.0);
    let (a, b) = (share(first), share(second));
    let ((low_a, high_a), (low_b, high_b)) = (wilson(first.0, first.1), wilson(second.0, second.1));
    let difference = b - a;
    let low = difference - ((b - low_b).powi(2) + (high_a - a).powi(2)).sqrt();
    let high = difference + ((high_b - b).powi(2) + (a - low_a).powi(2)).sqrt();
    Some((difference, low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: (f64, f64), wanted: (f64, f64)) {
        assert!((got.0 - wanted.0).abs() < 5e-4 && (got.1 - wanted.1).abs() < 5e-4, "{got:?} for {wanted:?}");
    }

    /// Newcombe's tables (1998).
    #[test]
    fn intervals_are_those_of_the_literature() {
        near(wilson(81.0, 263.0), (0.2553, 0.3662));
        near(wilson(15.0, 148.0), (0.0624, 0.1605));
        near(wilson(0.0, 20.0), (0.0, 0.1611));
        near(wilson(1.0, 29.0), (0.0061, 0.1718));
        let (difference, low, high) = newcombe((48.0, 80.0), (56.0, 70.0)).unwrap();
        assert!((difference - 0.2).abs() < 1e-9);
        near((low, high), (0.0524, 0.3339));
        near(wilson(0.0, 0.0), (0.0, 1.0));
        assert_eq!(newcombe((0.0, 0.0), (1.0, 2.0)), None);
    }

    /// The interval covers the truth in about 95 of 100 samples.
    #[test]
    fn nineteen_of_twenty_samples_are_covered() {
        let mut random = fastrand::Rng::with_seed(7);
        for share in [0.5, 0.9, 0.99] {
            let covered = (0..4_000).filter(|_| {
                let hits = (0..200).filter(|_| random.f64() < share).count();
                #[allow(clippy::cast_precision_loss, reason = "small")]
                let (low, high) = wilson(hits as f64, 200.0);
                low <= share && share <= high
            });
            let covered = covered.count();
            assert!((3_680..=3_920).contains(&covered), "{covered} of 4000 at {share}");
        }
    }
}
