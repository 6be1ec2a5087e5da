//! The Huffman code of RFC 7541 appendix B.
//!
//! The code is canonical, so that its lengths say it all: codes of one length are consecutive in the order of their
//! symbols, and a longer code starts where the shorter ones end.

/// Length in bits of each symbol's code; the last is the end of string.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28,
    28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7,
    8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7,
    15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24,
    23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23,
    23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26,
    26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20,
    21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27,
    27, 27, 26, 30,
];

const EOS: u16 = 256;
const LONGEST: usize = 30;

/// What [`huffman_decode`] can meet: the end-of-string symbol, a padding of a byte or more, or one not all ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid Huffman code")]
pub struct HuffmanError;

/// Appends the decoded string to `out`: at most 8/5 of the input's length.
///
/// # Errors
/// [`HuffmanError`] (RFC 7541 section 5.2); what was decoded before it is in `out`.
pub fn huffman_decode(input: &[u8], out: &mut Vec<u8>) -> Result<(), HuffmanError> {
    out.reserve(input.len() * 8 / 5 + 1);
    // The next bits stand at the top of `bits`.
    let (mut bits, mut have, mut at) = (0u64, 0u32, 0);
    loop {
        if let Some(chunk) = input.get(at..at + 8) {
            let word = u64::from_be_bytes(chunk.try_into().expect("eight bytes"));
            bits |= word >> have;
            let taken = (63 - have) / 8;
            at += taken as usize;
            have += taken * 8;
            // Bits of the word beyond the bytes taken are dropped, to be read again.
            bits &= !(u64::MAX.checked_shr(have).unwrap_or(0));
        } else {
            while have <= 56 && at < input.len() {
                bits |= u64::from(input[at]) << (56 - have);
                at += 1;
                have += 8;
            }
        }
        let last = at == input.len();
        // Every code of up to 8 bits is decided by the next 8 bits.
        loop {
            let (symbol, len) = SHORT[(bits >> 56) as usize];
            let len = u32::from(len);
            if len == 0 || len > have {
                break;
            }
            out.push(symbol);
            bits <<= len;
            have -= len;
        }
        if have < LONGEST as u32 && !last {
            continue;
        }
        if have < 8 {
            let padding_ok = have == 0 || bits >> (64 - have) == (1 << have) - 1;
            return if padding_ok && last { Ok(()) } else { Err(HuffmanError) };
        }
        let (symbol, len) = long(bits);
        if symbol == EOS || len > have {
            return Err(HuffmanError);
        }
        out.push(symbol as u8);
        bits <<= len;
        have -= len;
    }
}

/// Symbol and length of a code of more than 8 bits at the top of `bits`.
fn long(bits: u64) -> (u16, u32) {
    for len in 9..=LONGEST {
        let code = (bits >> (64 - len)) as u32;
        let ordinal = code.wrapping_sub(CANONICAL.first_code[len]);
        if ordinal < CANONICAL.count[len] {
            return (CANONICAL.symbols[(CANONICAL.first_symbol[len] + ordinal) as usize], len as u32);
        }
    }
    (EOS, LONGEST as u32)
}

/// Length in bytes of the encoded string.
#[must_use]
pub fn huffman_len(text: &[u8]) -> usize {
    text.iter().map(|b| usize::from(LENGTHS[usize::from(*b)])).sum::<usize>().div_ceil(8)
}

/// Appends the encoded string to `out`.
pub fn huffman_encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut bits, mut have) = (0u64, 0u32);
    for byte in text {
        let len = u32::from(LENGTHS[usize::from(*byte)]);
        bits = bits << len | u64::from(CODES[usize::from(*byte)]);
        have += len;
        while have >= 8 {
            have -= 8;
            out.push((bits >> have) as u8);
        }
    }
    if have > 0 {
        // Padded with the first bits of the end of string: ones.
        out.push((bits << (8 - have)) as u8 | (0xff >> have));
    }
}

struct Canonical {
    /// Symbols by length, then by value.
    symbols: [u16; 257],
    first_symbol: [u32; LONGEST + 1],
    first_code: [u32; LONGEST + 1],
    count: [u32; LONGEST + 1],
}

static CANONICAL: Canonical = canonical();

const fn canonical() -> Canonical {
    let mut table = Canonical {
        symbols: [0; 257],
        first_symbol: [0; LONGEST + 1],
        first_code: [0; LONGEST + 1],
        count: [0; LONGEST + 1],
    };
    let (mut len, mut code, mut filled) = (1, 0u32, 0);
    while len <= LONGEST {
        code <<= 1;
        table.first_code[len] = code;
        table.first_symbol[len] = filled as u32;
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == len {
                table.symbols[filled] = symbol as u16;
                filled += 1;
                table.count[len] += 1;
                code += 1;
            }
            symbol += 1;
        }
        len += 1;
    }
    assert!(filled == 257 && code == 1 << LONGEST);
    table
}

static CODES: [u32; 256] = codes();

const fn codes() -> [u32; 256] {
    let table = canonical();
    let mut codes = [0; 256];
    let mut len = 1;
    while len <= LONGEST {
        let mut ordinal = 0;
        while ordinal < table.count[len] {
            let symbol = table.symbols[(table.first_symbol[len] + ordinal) as usize];
            if symbol != EOS {
                codes[symbol as usize] = table.first_code[len] + ordinal;
            }
            ordinal += 1;
        }
        len += 1;
    }
    codes
}

/// Symbol and length for each byte that begins with a whole code; length 0: the code is longer.
static SHORT: [(u8, u8); 256] = {
    let codes = codes();
    let mut short = [(0, 0); 256];
    let mut symbol = 0;
    while symbol < 256 {
        let len = LENGTHS[symbol];
        if len <= 8 {
            let mut rest = 0;
            while rest < 1 << (8 - len) {
                short[((codes[symbol] << (8 - len)) + rest) as usize] = (symbol as u8, len);
                rest += 1;
            }
        }
        symbol += 1;
    }
    short
};

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(input: &[u8]) -> Result<Vec<u8>, HuffmanError> {
        let mut out = Vec::new();
        huffman_decode(input, &mut out).map(|()| out)
    }

    #[test]
    fn rfc7541_appendix_c_strings() {
        let cases: [(&str, &[u8]); 4] = [
            ("www.example.com", b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"),
            ("no-cache", b"\xa8\xeb\x10\x64\x9c\xbf"),
            ("custom-value", b"\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf"),
            ("302", b"\x64\x02"),
        ];
        for (text, code) in cases {
            let mut out = Vec::new();
            huffman_encode(text.as_bytes(), &mut out);
            assert_eq!((out.as_slice(), huffman_len(text.as_bytes())), (code, code.len()), "{text}");
            assert_eq!(decode(code).unwrap(), text.as_bytes());
        }
    }

    #[test]
    fn every_symbol_round_trips() {
        let all: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
        for text in [&all[..], &[0xff; 5], &[b'a'; 100]] {
            let mut out = Vec::new();
            huffman_encode(text, &mut out);
            assert_eq!(decode(&out).unwrap(), text);
        }
    }

    #[test]
    fn padding_and_eos() {
        assert_eq!(decode(b""), Ok(vec![]));
        // `a` is 00011; then three ones.
        assert_eq!(decode(&[0b0001_1111]), Ok(b"a".to_vec()));
        assert_eq!(decode(&[0b0001_1110]), Err(HuffmanError));
        assert_eq!(decode(&[0b0001_1111, 0xff]), Err(HuffmanError));
        assert_eq!(decode(&[0xff]), Err(HuffmanError));
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff]), Err(HuffmanError));
    }
}
