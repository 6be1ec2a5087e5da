//! Encoded messages as lists of fields, for what must be done to messages without knowing their types.

/// One field as it stands in the bytes.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// Its number.
    pub number: u64,
    /// The whole field, tag included.
    pub raw: &'a [u8],
    /// The content of a length-delimited field.
    pub content: Option<&'a [u8]>,
}

impl<'a> Field<'a> {
    /// Takes the next field off `rest`; `None` when the bytes are no message (groups are not read).
    pub fn read(rest: &mut &'a [u8]) -> Option<Self> {
        let start = *rest;
        let tag = varint(rest)?;
        let mut content = None;
        match tag & 7 {
            0 => drop(varint(rest)?),
            1 => *rest = rest.get(8..)?,
            2 => {
                let length = usize::try_from(varint(rest)?).ok()?;
                content = Some(rest.get(..length)?);
                *rest = &rest[length..];
            }
            5 => *rest = rest.get(4..)?,
            _ => return None,
        }
        Some(Self { number: tag >> 3, raw: &start[..start.len() - rest.len()], content })
    }
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Writes a length-delimited field.
pub fn put(number: u64, content: &[u8], out: &mut Vec<u8>) {
    put_varint(number << 3 | 2, out);
    put_varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        #[allow(clippy::cast_possible_truncation, reason = "the low seven bits are meant")]
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    #[allow(clippy::cast_possible_truncation, reason = "below 0x80")]
    out.push(value as u8);
}
