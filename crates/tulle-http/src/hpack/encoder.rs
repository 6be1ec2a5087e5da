//! Field blocks written.
//!
//! A field is put into the dynamic table when it is met for the second time within a short memory: what recurs (the
//! authority, the user agent, metadata of the peer) costs one byte from then on, what is new each time (request ids,
//! trace ids) never pushes anything out. Lookups go through direct-mapped slots; a collision costs compression, never
//! correctness.

use super::static_table::{NAME_INDEX, STATIC};
use super::table::Table;
use super::{huffman_encode, huffman_len, integer};
use crate::{HeaderList, Known};

const SLOTS: usize = 256;

/// Writes field blocks in the order of the connection.
#[derive(Debug)]
pub struct Encoder {
    table: Table,
    /// Insertions so far: an entry's age is this less its number.
    inserted: u32,
    /// Number of the insertion (from 1) of a field, by hash of name and value.
    fields: Box<[u32; SLOTS]>,
    /// Number of the insertion of a field with a name, by hash of the name.
    names: Box<[u32; SLOTS]>,
    /// Hashes of fields met lately and not inserted; a hash of 0 may pass for one that was never met.
    met: Box<[u32; SLOTS]>,
    /// Table sizes to announce in the next block: the smallest in between and the last (RFC 7541 section 4.2).
    resize: Option<(usize, usize)>,
    most: usize,
    huffman: bool,
    line: Vec<u8>,
}

impl Encoder {
    /// An encoder that uses at most `most` bytes of dynamic table, and never more than the peer allows (4096 until it
    /// says otherwise). `huffman`: shorten strings by the Huffman code; it saves about a quarter of a literal's bytes and
    /// costs both sides a nanosecond or two for each.
    #[must_use]
    pub fn new(most: usize, huffman: bool) -> Self {
        let slots = || Box::new([0; SLOTS]);
        let size = most.min(4096);
        let resize = (size < 4096).then_some((size, size));
        let (fields, names, met) = (slots(), slots(), slots());
        Self {
            table: Table::new(size),
            inserted: 0,
            fields,
            names,
            met,
            resize,
            most,
            huffman,
            line: Vec::new(),
        }
    }

    /// The peer's SETTINGS_HEADER_TABLE_SIZE.
    pub fn set_allowed(&mut self, allowed: usize) {
        let size = allowed.min(self.most);
        let lowest = self.resize.map_or(size, |(lowest, _)| lowest.min(size));
        if size != self.table.max_size() || self.resize.is_some() {
            self.resize = Some((lowest, size));
            self.table.resize(lowest);
            self.table.resize(size);
        }
    }

    /// Begins a block: announces changes of the table's size. Call once for each block, before its first field.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        if let Some((lowest, last)) = self.resize.take() {
            if lowest < last {
                integer::encode(lowest, 5, 0x20, out);
            }
            integer::encode(last, 5, 0x20, out);
        }
    }

    /// Writes `:method`, or any other pseudo-header field whose value may be in the static table from `index` on.
    pub fn pseudo(&mut self, index: usize, value: &str, out: &mut Vec<u8>) {
        let name = STATIC[index - 1].0;
        let fixed = STATIC[index - 1..].iter().take_while(|(n, _)| *n == name).position(|(_, v)| *v == value);
        match fixed {
            Some(at) if !value.is_empty() => integer::encode(index + at, 7, 0x80, out),
            _ => self.recurring(name.as_bytes(), None, index, value.as_bytes(), out),
        }
    }

    /// Writes a pseudo-header field that the static table does not name (`:protocol`).
    pub fn extension_pseudo(&mut self, name: &str, value: &str, out: &mut Vec<u8>) {
        self.recurring(name.as_bytes(), None, 0, value.as_bytes(), out);
    }

    /// Writes every field of the list, names in lower case, without those that `skip` names.
    pub fn fields(&mut self, list: &HeaderList, skip: impl Fn(Known, &[u8]) -> bool, out: &mut Vec<u8>) {
        for field in list {
            let Some(known) = field.known else {
                self.unknown(field.name, field.value, field.sensitive, out);
                continue;
            };
            if skip(known, field.value) {
                continue;
            }
            let index = usize::from(NAME_INDEX[known as usize]);
            let name = known.as_str().as_bytes();
            if field.sensitive || is_secret(known, field.value) {
                self.never_indexed(name, Some(known), index, field.value, out);
            } else {
                self.recurring(name, Some(known), index, field.value, out);
            }
        }
    }

    fn unknown(&mut self, name: &[u8], value: &[u8], sensitive: bool, out: &mut Vec<u8>) {
        let lower: smallvec::SmallVec<[u8; 64]> = name.iter().map(u8::to_ascii_lowercase).collect();
        if sensitive {
            self.never_indexed(&lower, None, 0, value, out);
        } else {
            self.recurring(&lower, None, 0, value, out);
        }
    }

    /// One field that may come again. `index`: static index of its name, or 0.
    fn recurring(
        &mut self,
        name: &[u8],
        known: Option<Known>,
        index: usize,
        value: &[u8],
        out: &mut Vec<u8>,
    ) {
        let name_hash =
            known.map_or_else(|| hash(0, name), |known| u32::from(known as u8).wrapping_mul(0x9e37_79b9));
        let field_hash = hash(name_hash, value);
        let slot = field_hash as usize % SLOTS;
        if let Some(age) = self.age(self.fields[slot])
            && self.table.get(age).is_some_and(|entry| entry.name() == name && entry.value() == value)
        {
            integer::encode(STATIC.len() + 1 + age, 7, 0x80, out);
            return;
        }
        let index = if index == 0 { self.name_index(name_hash, name) } else { index };
        let line_len = name.len() + value.len() + 4;
        if self.met[slot] != field_hash || line_len > self.table.max_size() / 2 || !self.table.fits(line_len)
        {
            self.met[slot] = field_hash;
            self.literal(0x00, 4, index, name, value, out);
            return;
        }
        self.literal(0x40, 6, index, name, value, out);
        self.line.clear();
        self.line.extend_from_slice(name);
        self.line.extend_from_slice(b": ");
        self.line.extend_from_slice(value);
        self.line.extend_from_slice(b"\r\n");
        self.table.insert(&self.line, name.len(), known);
        self.inserted = self.inserted.wrapping_add(1);
        self.fields[slot] = self.inserted;
        self.names[name_hash as usize % SLOTS] = self.inserted;
    }

    /// A literal that no table on the way may keep (RFC 7541 section 7.1.3).
    fn never_indexed(
        &mut self,
        name: &[u8],
        known: Option<Known>,
        index: usize,
        value: &[u8],
        out: &mut Vec<u8>,
    ) {
        let index = if index == 0 && known.is_none() { self.name_index(hash(0, name), name) } else { index };
        self.literal(0x10, 4, index, name, value, out);
    }

    fn literal(&self, flags: u8, prefix: u32, index: usize, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        integer::encode(index, prefix, flags, out);
        if index == 0 {
            self.string(name, out);
        }
        self.string(value, out);
    }

    fn string(&self, text: &[u8], out: &mut Vec<u8>) {
        if self.huffman {
            let len = huffman_len(text);
            if len < text.len() {
                integer::encode(len, 7, 0x80, out);
                huffman_encode(text, out);
                return;
            }
        }
        integer::encode(text.len(), 7, 0, out);
        out.extend_from_slice(text);
    }

    /// The age of an insertion, if it is still in the table.
    fn age(&self, number: u32) -> Option<usize> {
        if number == 0 {
            return None;
        }
        let age = self.inserted.wrapping_sub(number) as usize;
        (age < self.table.len()).then_some(age)
    }

    fn name_index(&self, name_hash: u32, name: &[u8]) -> usize {
        match self.age(self.names[name_hash as usize % SLOTS]) {
            Some(age) if self.table.get(age).is_some_and(|entry| entry.name() == name) => {
                STATIC.len() + 1 + age
            }
            _ => 0,
        }
    }
}

/// Values that could be guessed by watching how they compress: credentials, and cookies short enough to try.
fn is_secret(known: Known, value: &[u8]) -> bool {
    match known {
        Known::Authorization | Known::ProxyAuthorization => true,
        Known::Cookie | Known::SetCookie => value.len() < 20,
        _ => false,
    }
}

/// Folded multiplication, eight bytes at a time; of a long text only both ends count. Slots are no place for an attack: they only
/// forget.
fn hash(seed: u32, text: &[u8]) -> u32 {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    /// Of a text longer than twice that many bytes, so many of either end count.
    const END: usize = 64;

    let fold = |state: u64, word: u64| {
        let product = u128::from(state ^ word) * u128::from(K);
        (product as u64) ^ (product >> 64) as u64
    };
    let through = |mut state: u64, text: &[u8]| {
        let mut chunks = text.chunks_exact(8);
        for chunk in &mut chunks {
            state = fold(state, u64::from_le_bytes(chunk.try_into().expect("eight bytes")));
        }
        let last = chunks.remainder().iter().fold(1, |word, byte| word << 8 | u64::from(*byte));
        fold(state, last)
    };
    let state = u64::from(seed) ^ (text.len() as u64).wrapping_mul(K);
    let state = match text.len() > 2 * END {
        true => through(through(state, &text[..END]), &text[text.len() - END..]),
        false => through(state, text),
    };
    (state >> 16) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;
    use crate::hpack::{Decoded, Decoder};

    fn encode(encoder: &mut Encoder, list: &HeaderList) -> Vec<u8> {
        let mut out = Vec::new();
        encoder.begin(&mut out);
        encoder.fields(list, |_, _| false, &mut out);
        out
    }

    fn check(encoder: &mut Encoder, decoder: &mut Decoder, list: &HeaderList) -> usize {
        let block = encode(encoder, list);
        let mut again = HeaderList::new();
        assert_eq!(decoder.decode(&block, &Limits::default(), &mut again), Ok(Decoded::Complete));
        assert_eq!(&again, list);
        block.len()
    }

    #[test]
    fn what_recurs_becomes_one_byte() {
        let (mut encoder, mut decoder) = (Encoder::new(4096, false), Decoder::new(4096));
        let list: HeaderList =
            [("User-Agent", "curl/8.5"), ("X-Custom", "something"), ("accept", "*/*")].into_iter().collect();
        let sizes: Vec<usize> = (0..3).map(|_| check(&mut encoder, &mut decoder, &list)).collect();
        assert!(sizes[0] > 30 && sizes[1] <= sizes[0] && sizes[2] == 3, "{sizes:?}");
    }

    #[test]
    fn what_is_new_each_time_pushes_nothing_out() {
        let (mut encoder, mut decoder) = (Encoder::new(4096, true), Decoder::new(4096));
        for i in 0..1000 {
            let id = format!("5b3f1d0c-{i:08x}");
            let list: HeaderList = [("x-request-id", id.as_str()), ("server", "tulle")].into_iter().collect();
            check(&mut encoder, &mut decoder, &list);
        }
        assert_eq!(encoder.table.len(), 1);
    }

    #[test]
    fn secrets_are_never_indexed() {
        let (mut encoder, mut decoder) = (Encoder::new(4096, false), Decoder::new(4096));
        let list: HeaderList = [("authorization", "Bearer x"), ("cookie", "a=b")].into_iter().collect();
        for _ in 0..3 {
            check(&mut encoder, &mut decoder, &list);
        }
        assert_eq!(encoder.table.len(), 0);
        let mut again = HeaderList::new();
        decoder.decode(&encode(&mut encoder, &list), &Limits::default(), &mut again).unwrap();
        assert!(again.iter().all(|h| h.sensitive));
    }

    #[test]
    fn sizes_of_the_table_follow_the_peer() {
        let (mut encoder, mut decoder) = (Encoder::new(4096, false), Decoder::new(4096));
        let list: HeaderList = [("a", "b"), ("c", "d")].into_iter().collect();
        check(&mut encoder, &mut decoder, &list);
        check(&mut encoder, &mut decoder, &list);
        encoder.set_allowed(0);
        encoder.set_allowed(100);
        assert_eq!(&encode(&mut encoder, &HeaderList::new()), &[0x20, 0x3f, 69]);
        encoder.set_allowed(0);
        check(&mut encoder, &mut decoder, &list);
        check(&mut encoder, &mut decoder, &list);
        assert_eq!(encoder.table.len(), 0);
        assert_eq!(encode(&mut Encoder::new(0, false), &HeaderList::new()), [0x20]);
    }

    #[test]
    fn pseudo_fields_use_the_static_table() {
        let mut encoder = Encoder::new(4096, false);
        let mut out = Vec::new();
        encoder.pseudo(2, "POST", &mut out);
        encoder.pseudo(8, "404", &mut out);
        encoder.pseudo(4, "/", &mut out);
        assert_eq!(out, [0x83, 0x8d, 0x84]);
        encoder.pseudo(8, "418", &mut out);
        assert_eq!(out[3..], [0x08, 3, b'4', b'1', b'8']);
    }
}
