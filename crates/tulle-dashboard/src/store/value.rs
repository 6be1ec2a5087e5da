//! What a series says at one moment, and how the next value is written as the difference from the last.

use super::varint::{Reader, put, unzigzag, zigzag};

/// What a series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// It only grows, and starts at 0 again when its process does.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Counts of values by size; all of them only grow. Read as `NAME_bucket{le}`, `NAME_sum` and `NAME_count`.
    Histogram,
}

impl Kind {
    /// Prometheus' word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of a counter or a gauge.
    Number(f64),
    /// Of a histogram.
    Histogram(Buckets),
}

/// One value of a histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets {
    /// How many values fell into each bucket, those of lower buckets not included; one more than there are bounds.
    pub counts: Box<[u64]>,
    /// The sum of all values.
    pub sum: f64,
}

impl Buckets {
    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }
}

impl Value {
    /// Zero, as `kind` writes it, with `bounds` bounds where it is a histogram.
    pub(crate) fn zero(kind: Kind, bounds: usize) -> Self {
        match kind {
            Kind::Counter | Kind::Gauge => Self::Number(0.0),
            Kind::Histogram => {
                Self::Histogram(Buckets { counts: vec![0; bounds + 1].into_boxed_slice(), sum: 0.0 })
            }
        }
    }

    /// Whether it is of the same make: a number, or a histogram of as many buckets.
    pub(crate) fn fits(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(_), Self::Number(_)) => true,
            (Self::Histogram(a), Self::Histogram(b)) => a.counts.len() == b.counts.len(),
            _ => false,
        }
    }

    /// Whether it is the same to the bit.
    pub(crate) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.to_bits() == b.to_bits(),
            (Self::Histogram(a), Self::Histogram(b)) => {
                a.counts == b.counts && a.sum.to_bits() == b.sum.to_bits()
            }
            _ => false,
        }
    }

    /// Whether a counter that said `self` and now says `next` has begun anew between.
    pub(crate) fn reset_by(&self, next: &Self) -> bool {
        match (self, next) {
            (Self::Number(a), Self::Number(b)) => b < a,
            (Self::Histogram(a), Self::Histogram(b)) => a.counts.iter().zip(&b.counts).any(|(a, b)| b < a),
            _ => false,
        }
    }

    /// Writes `self` as what became of `base`, which [fits](Self::fits).
    pub(crate) fn write_after(&self, base: &Self, out: &mut Vec<u8>) {
        match (base, self) {
            (Self::Number(base), Self::Number(value)) => write_number(*base, *value, out),
            (Self::Histogram(base), Self::Histogram(value)) => {
                let changed =
                    || base.counts.iter().zip(&value.counts).enumerate().filter(|(_, (a, b))| a != b);
                put(out, changed().count() as u64);
                let mut at = 0;
                for (index, (a, b)) in changed() {
                    put(out, (index - at) as u64);
                    put(out, b.wrapping_sub(*a));
                    at = index;
                }
                write_number(base.sum, value.sum, out);
            }
            // Its callers have seen to that.
            _ => debug_assert!(false, "values of different makes"),
        }
    }

    /// Becomes what [`Value::write_after`] wrote of it. `None` if these are other bytes.
    pub(crate) fn read_after(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        match self {
            Self::Number(value) => *value = read_number(*value, reader)?,
            Self::Histogram(value) => {
                let mut at = 0;
                for _ in 0..reader.count()? {
                    at += usize::try_from(reader.number()?).ok().filter(|n| *n <= value.counts.len())?;
                    let count = value.counts.get_mut(at)?;
                    *count = count.wrapping_add(reader.number()?);
                }
                value.sum = read_number(value.sum, reader)?;
            }
        }
        Some(())
    }

    /// Bytes on the heap.
    pub(crate) fn heap(&self) -> usize {
        match self {
            Self::Number(_) => 0,
            Self::Histogram(value) => value.counts.len() * 8,
        }
    }
}

/// The largest whole number whose neighbours are whole, too.
const WHOLE: f64 = 4_503_599_627_370_496.0;

#[allow(clippy::cast_possible_truncation, reason = "whole and far from the limits")]
fn whole(value: f64) -> Option<i64> {
    let negative_zero = value == 0.0 && value.is_sign_negative();
    (value.trunc() == value && value.abs() < WHOLE && !negative_zero).then_some(value as i64)
}

/// Whole numbers as their difference, others as they are.
fn write_number(base: f64, value: f64, out: &mut Vec<u8>) {
    match (whole(base), whole(value)) {
        (Some(base), Some(value)) => put(out, zigzag(value - base) << 1),
        _ => {
            put(out, 1);
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "whole numbers below 2^52, or damage")]
fn read_number(base: f64, reader: &mut Reader<'_>) -> Option<f64> {
    let tag = reader.number()?;
    if tag & 1 == 1 {
        return if tag == 1 { reader.float() } else { None };
    }
    Some(whole(base)?.checked_add(unzigzag(tag >> 1))? as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_to_the_bit() {
        let numbers = [0.0, 1.0, -0.0, 0.5, f64::NAN, f64::INFINITY, 1e300, WHOLE, WHOLE - 1.0, -17.0, 3.0];
        let mut now = Value::Number(0.0);
        for number in numbers {
            let mut out = Vec::new();
            let next = Value::Number(number);
            next.write_after(&now, &mut out);
            assert!(now.read_after(&mut Reader::new(&out)).is_some());
            assert!(now.same(&next), "{now:?} for {next:?}");
        }
        let mut now = Value::zero(Kind::Histogram, 3);
        for counts in [[0, 5, 0, 1], [0, 5, 0, 1], [9, 5, 0, u64::MAX], [0, 0, 1, 0]] {
            let next = Value::Histogram(Buckets { counts: counts.into(), sum: 1.5 });
            let mut out = Vec::new();
            next.write_after(&now, &mut out);
            assert!(now.read_after(&mut Reader::new(&out)).is_some());
            assert!(now.same(&next));
        }
    }
}
