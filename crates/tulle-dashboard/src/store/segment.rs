//! The format of the store's files: append-only, each readable without the others.
//!
//! ```text
//! file   = "TULLETS1" tier:u8 frame*
//! frame  = length:u32 crc32:u32 payload        (little-endian; the checksum is that of the payload)
//! payload = record*
//! record = 1 text                               the next text
//!        | 2 n (name value)*n                   the next set of labels, by the numbers of their texts
//!        | 3 name                               the next source
//!        | 4 source name set kind n bound:f64*n the next series
//!        | 5 source time partial n (series value)*n   a tick; unless partial, all others of the source are as they were
//!        | 6 source time n series*n             an end
//!        | 7 time                               the clock was set back: nothing behind this is true
//! ```
//!
//! Numbers are [varints](super::varint); things are numbered in the order of the file. Values are differences from the last of the
//! same series in the same file, the first from zero. What is behind damage cannot be read for that reason: a reader keeps what came
//! before and says so.

use std::sync::Arc;

use super::state::FastMap;
use super::symbols::LabelSet;
use super::value::{Kind, Value};
use super::varint::{Reader, put, put_signed, put_text};

pub(super) const MAGIC: &[u8; 8] = b"TULLETS1";
/// Bytes before the first frame.
pub(super) const HEADER: usize = MAGIC.len() + 1;
/// The largest payload that is believed.
const MAX_PAYLOAD: usize = 64 << 20;

const TEXT: u8 = 1;
const SET: u8 = 2;
const SOURCE: u8 = 3;
const SERIES: u8 = 4;
const TICK: u8 = 5;
const END: u8 = 6;
const CUT: u8 = 7;

/// What numbers a file has given, and the frame that is being made.
#[derive(Debug, Default)]
pub(super) struct Writer {
    texts: FastMap<Arc<str>, u64>,
    sets: FastMap<LabelSet, u64>,
    set_count: u64,
    sources: u64,
    series: u64,
    payload: Vec<u8>,
}

impl Writer {
    /// The number of a text, written if it is new.
    pub(super) fn text(&mut self, text: &Arc<str>) -> u64 {
        if let Some(id) = self.texts.get(text) {
            return *id;
        }
        let id = self.texts.len() as u64;
        self.payload.push(TEXT);
        put_text(&mut self.payload, text);
        self.texts.insert(Arc::clone(text), id);
        id
    }

    /// The number of a set of labels; `texts` looks up what its symbols mean. A set whose symbols mean something else by now must be
    /// another allocation, which the caller sees to by asking with the set that is alive.
    pub(super) fn set(&mut self, set: &LabelSet, labels: &[(Arc<str>, Arc<str>)]) -> u64 {
        let known = self.sets.get_key_value(set).filter(|(key, _)| Arc::ptr_eq(key, set));
        if let Some((_, id)) = known {
            return *id;
        }
        let pairs: Vec<(u64, u64)> = labels.iter().map(|(n, v)| (self.text(n), self.text(v))).collect();
        // Numbers go by the order of the file; a set that was replaced keeps its own.
        let id = self.next_set();
        self.payload.push(SET);
        put(&mut self.payload, pairs.len() as u64);
        for (name, value) in pairs {
            put(&mut self.payload, name);
            put(&mut self.payload, value);
        }
        self.sets.remove(set);
        self.sets.insert(Arc::clone(set), id);
        id
    }

    fn next_set(&mut self) -> u64 {
        let id = self.set_count;
        self.set_count += 1;
        id
    }

    pub(super) fn source(&mut self, name: &str) -> u64 {
        self.payload.push(SOURCE);
        put_text(&mut self.payload, name);
        self.sources += 1;
        self.sources - 1
    }

    pub(super) fn series(&mut self, source: u64, name: u64, set: u64, kind: Kind, bounds: &[f64]) -> u64 {
        self.payload.push(SERIES);
        put(&mut self.payload, source);
        put(&mut self.payload, name);
        put(&mut self.payload, set);
        self.payload.push(kind as u8);
        put(&mut self.payload, bounds.len() as u64);
        for bound in bounds {
            self.payload.extend_from_slice(&bound.to_le_bytes());
        }
        self.series += 1;
        self.series - 1
    }

    pub(super) fn tick(&mut self, source: u64, time: i64, partial: bool, entries: usize, values: &[u8]) {
        self.payload.push(TICK);
        put(&mut self.payload, source);
        put_signed(&mut self.payload, time);
        self.payload.push(u8::from(partial));
        put(&mut self.payload, entries as u64);
        self.payload.extend_from_slice(values);
    }

    pub(super) fn end(&mut self, source: u64, time: i64, series: &[u64]) {
        self.payload.push(END);
        put(&mut self.payload, source);
        put_signed(&mut self.payload, time);
        put(&mut self.payload, series.len() as u64);
        for id in series {
            put(&mut self.payload, *id);
        }
    }

    pub(super) fn cut(&mut self, time: i64) {
        self.payload.push(CUT);
        put_signed(&mut self.payload, time);
    }

    /// The frame so far, which begins anew.
    pub(super) fn frame(&mut self) -> Vec<u8> {
        let mut frame = Vec::with_capacity(self.payload.len() + 8);
        frame.extend_from_slice(&u32::try_from(self.payload.len()).unwrap_or(u32::MAX).to_le_bytes());
        frame.extend_from_slice(&crc32fast::hash(&self.payload).to_le_bytes());
        frame.append(&mut self.payload);
        frame
    }
}

/// What a reader tells.
#[derive(Debug)]
pub(super) enum Event<'a> {
    /// The next source.
    Source(&'a str),
    /// The next series.
    Series { source: usize, name: &'a str, labels: Vec<(&'a str, &'a str)>, kind: Kind, bounds: Vec<f64> },
    /// A moment.
    Tick { source: usize, time: i64, partial: bool, values: &'a [(usize, Value)] },
    /// An end.
    End { time: i64, series: &'a [usize] },
    /// Nothing behind this is true.
    Cut(i64),
}

/// Why a file was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The first bytes are others.
    #[error("it is none of ours")]
    Foreign,
    /// Shorter than a frame says: what was being written when the process ended.
    #[error("it ends within a record")]
    Torn,
    /// A checksum is wrong.
    #[error("a checksum is wrong")]
    Checksum,
    /// The checksum is right and the record is not.
    #[error("a record makes no sense")]
    Record,
}

/// Reads a file; `each` is called with everything that is whole. Returns the tier, and how far it is good.
pub(super) fn read(bytes: &[u8], each: &mut dyn FnMut(Event<'_>)) -> (Option<u8>, usize, Option<Damage>) {
    let Some(tier) = bytes.strip_prefix(MAGIC).and_then(|rest| rest.first()) else {
        return (None, 0, Some(Damage::Foreign));
    };
    let mut known = Known::default();
    let mut at = HEADER;
    while at < bytes.len() {
        let Some((length, sum)) = bytes.get(at..at + 8).and_then(|head| {
            let length = u32::from_le_bytes(head[..4].try_into().ok()?);
            Some((length as usize, u32::from_le_bytes(head[4..].try_into().ok()?)))
        }) else {
            return (Some(*tier), at, Some(Damage::Torn));
        };
        let Some(payload) = bytes.get(at + 8..at + 8 + length).filter(|_| length <= MAX_PAYLOAD) else {
            return (Some(*tier), at, Some(Damage::Torn));
        };
        if crc32fast::hash(payload) != sum {
            return (Some(*tier), at, Some(Damage::Checksum));
        }
        let mut reader = Reader::new(payload);
        while !reader.is_empty() {
            if known.record(&mut reader, each).is_none() {
                return (Some(*tier), at, Some(Damage::Record));
            }
        }
        at += 8 + length;
    }
    (Some(*tier), at, None)
}

/// What a file has numbered so far.
#[derive(Default)]
struct Known<'a> {
    texts: Vec<&'a str>,
    sets: Vec<Vec<(usize, usize)>>,
    sources: usize,
    /// Source and last value.
    series: Vec<(usize, Value)>,
}

impl<'a> Known<'a> {
    fn record(&mut self, reader: &mut Reader<'a>, each: &mut dyn FnMut(Event<'_>)) -> Option<()> {
        match reader.bytes(1)?[0] {
            TEXT => self.texts.push(reader.text()?),
            SET => {
                let n = reader.count()?;
                let mut set = Vec::with_capacity(n);
                for _ in 0..n {
                    let pair = (self.index(reader)?, self.index(reader)?);
                    set.push(pair);
                }
                self.sets.push(set);
            }
            SOURCE => {
                let name = reader.text()?;
                each(Event::Source(name));
                self.sources += 1;
            }
            SERIES => self.describe(reader, each)?,
            TICK => self.tick(reader, each)?,
            END => {
                let source = self.source(reader)?;
                let time = reader.signed()?;
                let n = reader.count()?;
                let mut series = Vec::with_capacity(n);
                for _ in 0..n {
                    series.push(self.one(reader, source)?);
                }
                each(Event::End { time, series: &series });
            }
            CUT => each(Event::Cut(reader.signed()?)),
            _ => return None,
        }
        Some(())
    }

    fn index(&self, reader: &mut Reader<'a>) -> Option<usize> {
        usize::try_from(reader.number()?).ok().filter(|i| *i < self.texts.len())
    }

    fn source(&self, reader: &mut Reader<'a>) -> Option<usize> {
        usize::try_from(reader.number()?).ok().filter(|i| *i < self.sources)
    }

    /// A series of that source.
    fn one(&self, reader: &mut Reader<'a>, source: usize) -> Option<usize> {
        let id = usize::try_from(reader.number()?).ok()?;
        (self.series.get(id)?.0 == source).then_some(id)
    }

    fn describe(&mut self, reader: &mut Reader<'a>, each: &mut dyn FnMut(Event<'_>)) -> Option<()> {
        let source = self.source(reader)?;
        let name = self.texts[self.index(reader)?];
        let set = self.sets.get(usize::try_from(reader.number()?).ok()?)?;
        let kind = match reader.bytes(1)?[0] {
            0 => Kind::Counter,
            1 => Kind::Gauge,
            2 => Kind::Histogram,
            _ => return None,
        };
        let n = reader.count()?;
        let bounds: Vec<f64> = (0..n).map(|_| reader.float()).collect::<Option<_>>()?;
        let labels = set.iter().map(|(n, v)| (self.texts[*n], self.texts[*v])).collect();
        self.series.push((source, Value::zero(kind, n)));
        each(Event::Series { source, name, labels, kind, bounds });
        Some(())
    }

    fn tick(&mut self, reader: &mut Reader<'a>, each: &mut dyn FnMut(Event<'_>)) -> Option<()> {
        let source = self.source(reader)?;
        let time = reader.signed()?;
        let partial = reader.bytes(1)?[0] != 0;
        let n = reader.count()?;
        let mut values = Vec::with_capacity(n);
        for _ in 0..n {
            let id = self.one(reader, source)?;
            let (_, value) = &mut self.series[id];
            value.read_after(reader)?;
            values.push((id, value.clone()));
        }
        each(Event::Tick { source, time, partial, values: &values });
        Some(())
    }
}
