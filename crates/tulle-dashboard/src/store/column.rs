//! The samples of one series at one resolution: chunks of bytes, oldest first, of which the last is still written.
//!
//! A chunk is a list of steps, each a number whose two lowest bits say what it is:
//!
//! ```text
//! 0 REPEAT n        the last sample n times more, as far apart as the last two
//! 1 NEXT   value    as far from the last as that from its predecessor
//! 2 STEP   dt value dt milliseconds after the last (the first: after 1970)
//! 3 STALE  dt       from here on there is no value
//! ```
//!
//! Values are differences (`value.rs`), from zero in the first step. A series in which nothing happens takes no bytes at all.

use std::collections::VecDeque;

use super::value::Value;
use super::varint::{Reader, put, unzigzag, zigzag};

const REPEAT: u64 = 0;
const NEXT: u64 = 1;
const STEP: u64 = 2;
const STALE: u64 = 3;

/// A chunk larger than this is closed early, so that reading a few samples does not decode many.
const MAX_CHUNK: usize = 4096;

#[derive(Clone, Debug)]
struct Chunk {
    from: i64,
    to: i64,
    bytes: Vec<u8>,
    /// Repetitions at the end that are not among the bytes yet.
    repeats: u64,
}

/// Samples in order of time.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    chunks: VecDeque<Chunk>,
    /// Distance of the last two samples, as the open chunk counts it.
    dt: i64,
    last: Value,
    zero: Value,
    stale: bool,
}

impl Column {
    /// An empty column for values like `zero`.
    pub(crate) fn new(zero: Value) -> Self {
        Self { chunks: VecDeque::new(), dt: 0, last: zero.clone(), zero, stale: false }
    }

    /// Time of the last sample or stale mark.
    pub(crate) fn last_time(&self) -> Option<i64> {
        self.chunks.back().map(|c| c.to)
    }

    /// Time of the first sample that is still there.
    pub(crate) fn first_time(&self) -> Option<i64> {
        self.chunks.front().map(|c| c.from)
    }

    /// The last value, and whether there is none any more.
    pub(crate) fn last(&self) -> (&Value, bool) {
        (&self.last, self.stale || self.chunks.is_empty())
    }

    pub(crate) fn zero(&self) -> &Value {
        &self.zero
    }

    /// Adds a sample, or a stale mark. What does not come after the last, or does not fit, is refused with `false`.
    pub(crate) fn push(&mut self, time: i64, value: Option<&Value>, span: i64) -> bool {
        if self.last_time().is_some_and(|last| time <= last) || value.is_some_and(|v| !v.fits(&self.zero)) {
            return false;
        }
        if value.is_none() && (self.stale || self.chunks.is_empty()) {
            return false;
        }
        let open = self.chunks.back().is_some_and(|c| time - c.from < span && c.bytes.len() < MAX_CHUNK);
        if !open {
            self.close();
            self.chunks.push_back(Chunk { from: time, to: 0, bytes: Vec::new(), repeats: 0 });
            self.dt = 0;
        }
        let Some(chunk) = self.chunks.back_mut() else { return false };
        let dt = time - chunk.to;
        chunk.to = time;
        match value {
            Some(value) => {
                if open && !self.stale && dt == self.dt && value.same(&self.last) {
                    chunk.repeats += 1;
                    return true;
                }
                flush(chunk);
                if dt == self.dt && open {
                    put(&mut chunk.bytes, NEXT);
                } else {
                    put(&mut chunk.bytes, zigzag(dt) << 2 | STEP);
                }
                let base = if open { &self.last } else { &self.zero };
                value.write_after(base, &mut chunk.bytes);
                self.last.clone_from(value);
            }
            None => {
                flush(chunk);
                put(&mut chunk.bytes, zigzag(dt) << 2 | STALE);
                if !open {
                    self.last.clone_from(&self.zero);
                }
            }
        }
        self.dt = dt;
        self.stale = value.is_none();
        true
    }

    /// Calls `each` with what lies from `from` to `to`, both included; `None` is a stale mark.
    pub(crate) fn read(&self, from: i64, to: i64, mut each: impl FnMut(i64, Option<&Value>)) {
        for chunk in self.chunks.iter().filter(|c| c.to >= from && c.from <= to) {
            let whole = walk(chunk, &self.zero, &mut |time, value| {
                if time >= from && time <= to {
                    each(time, value);
                }
                time <= to
            });
            debug_assert!(whole.is_some(), "bytes that were not written here");
        }
    }

    /// Drops chunks that end before `time`; returns how many.
    pub(crate) fn trim(&mut self, time: i64) -> usize {
        let before = self.chunks.len();
        while self.chunks.front().is_some_and(|c| c.to < time) {
            self.chunks.pop_front();
        }
        before - self.chunks.len()
    }

    /// Drops everything after `time`; returns how many samples that was.
    pub(crate) fn cut(&mut self, time: i64, span: i64) -> u64 {
        if self.last_time().is_none_or(|last| last <= time) {
            return 0;
        }
        let mut kept = Self::new(self.zero.clone());
        let mut lost = 0;
        self.read(i64::MIN, i64::MAX, |t, value| {
            if t > time || !kept.push(t, value, span) {
                lost += 1;
            }
        });
        *self = kept;
        lost
    }

    /// Bytes on the heap, about.
    pub(crate) fn heap(&self) -> usize {
        let chunks: usize = self.chunks.iter().map(|c| c.bytes.capacity() + 16).sum();
        chunks + self.chunks.capacity() * size_of::<Chunk>() + self.last.heap() + self.zero.heap()
    }

    fn close(&mut self) {
        if let Some(chunk) = self.chunks.back_mut() {
            flush(chunk);
            chunk.bytes.shrink_to_fit();
        }
    }
}

fn flush(chunk: &mut Chunk) {
    if chunk.repeats > 0 {
        put(&mut chunk.bytes, chunk.repeats << 2 | REPEAT);
        chunk.repeats = 0;
    }
}

/// Calls `each` with every sample until it says `false`. `None` if the bytes are damaged.
fn walk(chunk: &Chunk, zero: &Value, each: &mut dyn FnMut(i64, Option<&Value>) -> bool) -> Option<()> {
    let mut reader = Reader::new(&chunk.bytes);
    let (mut time, mut dt, mut value) = (0_i64, 0_i64, zero.clone());
    while !reader.is_empty() {
        let step = reader.number()?;
        match step & 3 {
            REPEAT => {
                for _ in 0..step >> 2 {
                    time += dt;
                    if !each(time, Some(&value)) {
                        return Some(());
                    }
                }
                continue;
            }
            NEXT => value.read_after(&mut reader)?,
            STEP => {
                dt = unzigzag(step >> 2);
                value.read_after(&mut reader)?;
            }
            _ => {
                dt = unzigzag(step >> 2);
                time += dt;
                if !each(time, None) {
                    return Some(());
                }
                continue;
            }
        }
        time += dt;
        if !each(time, Some(&value)) {
            return Some(());
        }
    }
    for _ in 0..chunk.repeats {
        time += dt;
        if !each(time, Some(&value)) {
            return Some(());
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::value::Kind;
    use super::*;

    fn all(column: &Column) -> Vec<(i64, Option<f64>)> {
        let mut out = Vec::new();
        column.read(i64::MIN, i64::MAX, |t, v| {
            out.push((
                t,
                v.map(|v| match v {
                    Value::Number(n) => *n,
                    Value::Histogram(_) => f64::NAN,
                }),
            ));
        });
        out
    }

    #[test]
    fn what_was_pushed_is_read_and_idle_series_take_no_room() {
        let mut column = Column::new(Value::zero(Kind::Counter, 0));
        let mut expected = Vec::new();
        for i in 0..100 {
            let value = if i < 50 { 7.0 } else { f64::from(i) };
            assert!(column.push(
                i64::from(i) * 5000 + 1_700_000_000_000,
                Some(&Value::Number(value)),
                1 << 40
            ));
            expected.push((i64::from(i) * 5000 + 1_700_000_000_000, Some(value)));
        }
        assert_eq!(all(&column), expected);
        // 50 idle samples and 50 of two bytes each.
        assert!(column.chunks[0].bytes.len() < 120, "{}", column.chunks[0].bytes.len());
    }

    #[test]
    fn stale_marks_end_a_value_until_the_next() {
        let mut column = Column::new(Value::Number(0.0));
        assert!(!column.push(1, None, 100));
        assert!(column.push(10, Some(&Value::Number(1.0)), 100));
        assert!(column.push(20, None, 100));
        assert!(!column.push(30, None, 100));
        assert!(!column.push(20, Some(&Value::Number(1.0)), 100));
        assert!(column.push(40, Some(&Value::Number(1.0)), 100));
        assert_eq!(all(&column), [(10, Some(1.0)), (20, None), (40, Some(1.0))]);
        assert_eq!(column.cut(20, 100), 1);
        assert_eq!(all(&column), [(10, Some(1.0)), (20, None)]);
        assert!(column.last().1);
    }

    #[test]
    fn chunks_age_out_as_a_whole() {
        let mut column = Column::new(Value::Number(0.0));
        for t in 0..10 {
            column.push(t * 10, Some(&Value::Number(1.0)), 30);
        }
        assert_eq!((column.chunks.len(), column.trim(50)), (4, 1));
        assert_eq!(column.first_time(), Some(30));
    }
}
