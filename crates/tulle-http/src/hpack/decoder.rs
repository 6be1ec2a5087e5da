//! Field blocks read (RFC 7541 sections 3 and 6).

use super::static_table::{STATIC, STATIC_KNOWN};
use super::table::Table;
use super::{HuffmanError, huffman_decode, integer};
use crate::{HeaderList, Known, Limits};

/// Reads field blocks in the order of the connection.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// What our SETTINGS allow the peer's encoder to use.
    allowed: usize,
}

/// Why a block cannot be read. The state shared with the peer is lost: the connection ends with COMPRESSION_ERROR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HpackError {
    /// The block ends in the middle of a field.
    #[error("field block ends too early")]
    Truncated,
    /// An integer beyond 2^28.
    #[error("integer out of range")]
    Integer,
    /// An index that is 0 or beyond the tables.
    #[error("index out of range")]
    Index,
    /// The block expands to eight times the limit and more; where it ends is not looked for.
    #[error("field block expands without end")]
    Expansion,
    /// A bad Huffman string.
    #[error(transparent)]
    Huffman(#[from] HuffmanError),
    /// A table size beyond what was allowed, or an update behind a field (RFC 7541 section 4.2).
    #[error("invalid table size update")]
    SizeUpdate,
}

/// How a block fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// All fields are in the list.
    Complete,
    /// The fields are over the limits; the list holds those before. The connection is in order.
    TooLarge,
}

/// Where a field's name comes from.
#[derive(Clone, Copy)]
enum Name {
    Static(usize),
    Dynamic(usize),
    Literal,
}

impl Decoder {
    /// A decoder whose peer may use a dynamic table of `allowed` bytes (SETTINGS_HEADER_TABLE_SIZE, default 4096).
    #[must_use]
    pub fn new(allowed: usize) -> Self {
        Self { table: Table::new(allowed), allowed }
    }

    /// Adds the fields of `block` to `list`, pseudo-header fields included, in order and as they are: nothing is checked
    /// but the encoding. Work and memory are bounded by the block's length and by `limits`, whatever it expands to.
    ///
    /// # Errors
    /// [`HpackError`]; the connection must end.
    pub fn decode(
        &mut self,
        block: &[u8],
        limits: &Limits,
        list: &mut HeaderList,
    ) -> Result<Decoded, HpackError> {
        let mut input = block;
        let mut size = 0;
        let mut updates_allowed = true;
        let mut too_large = false;
        while let Some(first) = input.first() {
            if first & 0xe0 == 0x20 {
                let size = integer::decode(&mut input, 5)?;
                if !updates_allowed || size > self.allowed {
                    return Err(HpackError::SizeUpdate);
                }
                self.table.resize(size);
                continue;
            }
            updates_allowed = false;
            let start = list.arena().len();
            let (name_len, known, sensitive) = if first & 0x80 != 0 {
                self.indexed(&mut input, list.arena())?
            } else {
                self.literal(*first, &mut input, list.arena())?
            };
            let value_len = list.arena().len() - start - name_len - 4;
            size += name_len + value_len + 32;
            if size > limits.head_bytes.saturating_mul(8) {
                return Err(HpackError::Expansion);
            }
            too_large |= size > limits.head_bytes || list.len() >= limits.headers;
            if too_large {
                list.arena().truncate(start);
            } else {
                list.push_adopted(start, name_len, value_len, known, sensitive);
            }
        }
        Ok(if too_large { Decoded::TooLarge } else { Decoded::Complete })
    }

    fn name_at(&self, index: usize) -> Result<Name, HpackError> {
        match index.checked_sub(1) {
            None => Err(HpackError::Index),
            Some(at) if at < STATIC.len() => Ok(Name::Static(at)),
            Some(at) if at - STATIC.len() < self.table.len() => Ok(Name::Dynamic(at - STATIC.len())),
            Some(_) => Err(HpackError::Index),
        }
    }

    /// Section 6.1: the whole field from a table.
    fn indexed(
        &mut self,
        input: &mut &[u8],
        arena: &mut Vec<u8>,
    ) -> Result<(usize, Option<Known>, bool), HpackError> {
        match self.name_at(integer::decode(input, 7)?)? {
            Name::Static(at) => {
                let (name, value) = STATIC[at];
                arena.extend_from_slice(name.as_bytes());
                arena.extend_from_slice(b": ");
                arena.extend_from_slice(value.as_bytes());
                arena.extend_from_slice(b"\r\n");
                Ok((name.len(), STATIC_KNOWN[at], false))
            }
            Name::Dynamic(age) => {
                let entry = self.table.get(age).ok_or(HpackError::Index)?;
                arena.extend_from_slice(&entry.line);
                Ok((entry.name_len, entry.known, false))
            }
            Name::Literal => Err(HpackError::Index),
        }
    }

    /// Section 6.2: with incremental indexing (01), without (0000), never indexed (0001).
    fn literal(
        &mut self,
        first: u8,
        input: &mut &[u8],
        arena: &mut Vec<u8>,
    ) -> Result<(usize, Option<Known>, bool), HpackError> {
        let insert = first & 0x40 != 0;
        let sensitive = !insert && first & 0x10 != 0;
        let index = integer::decode(input, if insert { 6 } else { 4 })?;
        let name = if index == 0 { Name::Literal } else { self.name_at(index)? };
        let start = arena.len();
        let known = match name {
            Name::Static(at) => {
                arena.extend_from_slice(STATIC[at].0.as_bytes());
                STATIC_KNOWN[at]
            }
            Name::Dynamic(age) => {
                let entry = self.table.get(age).ok_or(HpackError::Index)?;
                arena.extend_from_slice(entry.name());
                entry.known
            }
            Name::Literal => {
                string(input, arena)?;
                Known::from_bytes(&arena[start..])
            }
        };
        let name_len = arena.len() - start;
        arena.extend_from_slice(b": ");
        string(input, arena)?;
        arena.extend_from_slice(b"\r\n");
        if insert {
            self.table.insert(&arena[start..], name_len, known);
        }
        Ok((name_len, known, sensitive))
    }
}

/// Appends a string literal (section 5.2).
fn string(input: &mut &[u8], out: &mut Vec<u8>) -> Result<(), HpackError> {
    let huffman = input.first().is_some_and(|b| b & 0x80 != 0);
    let len = integer::decode(input, 7)?;
    if len > input.len() {
        return Err(HpackError::Truncated);
    }
    let (text, rest) = input.split_at(len);
    *input = rest;
    if huffman {
        huffman_decode(text, out)?;
    } else {
        out.extend_from_slice(text);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    fn check(decoder: &mut Decoder, block: &str, fields: &[(&str, &str)], size: usize) {
        let mut list = HeaderList::new();
        assert_eq!(decoder.decode(&hex(block), &Limits::default(), &mut list), Ok(Decoded::Complete));
        let got: Vec<_> = list.iter().map(|h| (h.name_str(), h.value_str().unwrap())).collect();
        assert_eq!(got, fields);
        assert_eq!(decoder.table.size(), size);
    }

    #[test]
    fn rfc7541_c_2_single_fields() {
        let literal = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
        check(&mut Decoder::new(4096), literal, &[("custom-key", "custom-header")], 55);
        check(&mut Decoder::new(4096), "040c 2f73 616d 706c 652f 7061 7468", &[(":path", "/sample/path")], 0);
        check(
            &mut Decoder::new(4096),
            "1008 7061 7373 776f 7264 0673 6563 7265 74",
            &[("password", "secret")],
            0,
        );
        check(&mut Decoder::new(4096), "82", &[(":method", "GET")], 0);
    }

    const FIRST: [(&str, &str); 4] =
        [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")];

    fn requests(blocks: [&str; 3]) {
        let mut decoder = Decoder::new(4096);
        check(&mut decoder, blocks[0], &FIRST, 57);
        let second = [FIRST[0], FIRST[1], FIRST[2], FIRST[3], ("cache-control", "no-cache")];
        check(&mut decoder, blocks[1], &second, 110);
        let third = [
            FIRST[0],
            (":scheme", "https"),
            (":path", "/index.html"),
            FIRST[3],
            ("custom-key", "custom-value"),
        ];
        check(&mut decoder, blocks[2], &third, 164);
    }

    #[test]
    fn rfc7541_c_3_and_c_4_requests() {
        requests([
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ]);
        requests([
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
            "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ]);
    }

    fn responses(blocks: [&str; 3]) {
        let mut decoder = Decoder::new(256);
        let date = ("date", "Mon, 21 Oct 2013 20:13:21 GMT");
        let location = ("location", "https://www.example.com");
        let private = ("cache-control", "private");
        check(&mut decoder, blocks[0], &[(":status", "302"), private, date, location], 222);
        check(&mut decoder, blocks[1], &[(":status", "307"), private, date, location], 222);
        let third = [
            (":status", "200"),
            private,
            ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
            location,
            ("content-encoding", "gzip"),
            ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
        ];
        check(&mut decoder, blocks[2], &third, 215);
    }

    #[test]
    fn rfc7541_c_5_and_c_6_responses_with_eviction() {
        responses([
            "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 \
             474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "4803 3330 37c1 c0bf",
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 \
             666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 \
             3630 303b 2076 6572 7369 6f6e 3d31",
        ]);
        responses([
            "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 \
             63c7 8f0b 97c8 e9ae 82ae 43d3",
            "4883 640e ffc1 c0bf",
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 \
             b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
        ]);
    }

    #[test]
    fn bad_blocks_are_refused() {
        use HpackError as E;
        let cases = [
            ("80", E::Index),
            ("be", E::Index),
            ("ff8000", E::Index),
            ("ff80808080808000", E::Integer),
            ("40", E::Truncated),
            ("400a61", E::Truncated),
            ("4001", E::Truncated),
            ("40 01 61 81 00", E::Huffman(HuffmanError)),
            ("3fe21f", E::SizeUpdate),
            ("8220", E::SizeUpdate),
        ];
        for (block, error) in cases {
            let result = Decoder::new(4096).decode(&hex(block), &Limits::default(), &mut HeaderList::new());
            assert_eq!(result, Err(error), "{block}");
        }
        check(&mut Decoder::new(4096), "203f e11f 82", &[(":method", "GET")], 0);
    }

    #[test]
    fn a_bomb_stays_small_and_the_table_in_step() {
        let mut decoder = Decoder::new(4096);
        let mut block = vec![0x40, 1, b'a', 0x7f, 0xf9, 0x1e];
        block.extend([b'x'; 0x79 + 127 + 0xf00 - 128]);
        let long = block.len() - 6;
        block[4] = ((long - 127) % 128) as u8 | 0x80;
        block[5] = ((long - 127) / 128) as u8;
        block.extend([0xbe; 100]);
        let limits = Limits { headers: 1_000_000, ..Limits::default() };
        let mut list = HeaderList::new();
        assert_eq!(decoder.decode(&block, &limits, &mut list), Ok(Decoded::TooLarge));
        assert!(list.len() <= 16 && list.arena().capacity() < 256 * 1024);
        let mut list = HeaderList::new();
        assert_eq!(decoder.decode(&[0xbe], &limits, &mut list), Ok(Decoded::Complete));
        assert_eq!(list.get("a").map(<[u8]>::len), Some(long));
        let endless = decoder.decode(&[0xbe; 50_000], &limits, &mut HeaderList::new());
        assert_eq!(endless, Err(HpackError::Expansion));
    }
}
