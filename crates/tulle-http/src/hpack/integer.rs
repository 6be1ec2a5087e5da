//! Integers with a prefix (RFC 7541 section 5.1).

use super::HpackError;

/// Reads an integer whose first byte keeps `prefix` bits of it. Values from 2^28 on are refused: nothing is that long.
pub(super) fn decode(input: &mut &[u8], prefix: u32) -> Result<usize, HpackError> {
    let (first, mut rest) = input.split_first().ok_or(HpackError::Truncated)?;
    let mask = (1usize << prefix) - 1;
    let mut value = usize::from(*first) & mask;
    if value == mask {
        let mut shift = 0;
        loop {
            let (byte, after) = rest.split_first().ok_or(HpackError::Truncated)?;
            rest = after;
            if shift > 21 {
                return Err(HpackError::Integer);
            }
            value += usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *input = rest;
    Ok(value)
}

/// Appends an integer; `flags` are the bits of the first byte above the prefix.
pub(super) fn encode(value: usize, prefix: u32, flags: u8, out: &mut Vec<u8>) {
    let mask = (1usize << prefix) - 1;
    if value < mask {
        out.push(flags | value as u8);
        return;
    }
    out.push(flags | mask as u8);
    let mut value = value - mask;
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc7541_appendix_c_1() {
        for (value, prefix, bytes) in
            [(10, 5, &[0x0a][..]), (1337, 5, &[0x1f, 0x9a, 0x0a]), (42, 8, &[0x2a]), (31, 5, &[0x1f, 0x00])]
        {
            let mut out = Vec::new();
            encode(value, prefix, 0, &mut out);
            assert_eq!(out, bytes);
            let mut input = bytes;
            assert_eq!((decode(&mut input, prefix), input.len()), (Ok(value), 0));
        }
    }

    #[test]
    fn absurd_integers_are_refused() {
        assert_eq!(decode(&mut &[0x7f, 0xff, 0xff, 0xff, 0xff, 0x01][..], 7), Err(HpackError::Integer));
        assert_eq!(decode(&mut &[0x7f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80][..], 7), Err(HpackError::Integer));
        assert_eq!(decode(&mut &[0x7f, 0x80][..], 7), Err(HpackError::Truncated));
        assert_eq!(decode(&mut &[][..], 7), Err(HpackError::Truncated));
    }
}
