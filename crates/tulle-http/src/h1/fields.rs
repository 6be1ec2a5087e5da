//! Field lines (RFC 9112 section 5), of heads and of trailers.

use super::error::FieldError;
use crate::headers::{TOKEN, first_control};
use crate::{HeaderList, Known};
use memchr::memmem::Finder;
use std::sync::LazyLock;

/// Which known names a block of fields held.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen(u128);

const _: () = assert!(Known::COUNT <= 128);

impl Seen {
    pub(super) fn has(self, known: Known) -> bool {
        self.0 & (1 << (known as u8)) != 0
    }

    fn add(&mut self, known: Known) {
        self.0 |= 1 << (known as u8);
    }
}

/// Who sent the block: responses may have white space before the colon, which a proxy removes (RFC 9112 section 5.1).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Client,
    Server,
}

/// Where the head ends in `input`: just behind the empty line.
pub(super) fn find_end(input: &[u8]) -> Option<usize> {
    static EMPTY_LINE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));
    EMPTY_LINE.find(input).map(|at| at + 4)
}

/// Whether `input`, in which no end was found, can still become a head: no LF without CR.
pub(super) fn check_line_ends(input: &[u8]) -> Result<(), FieldError> {
    for at in memchr::memchr_iter(b'\n', input) {
        if at == 0 || input[at - 1] != b'\r' {
            return Err(FieldError::LineEnd);
        }
    }
    Ok(())
}

/// Parses `block`, whole lines each ended by CR LF and no empty line, into `list`.
///
/// The block is copied once; lines in the usual form are only pointed at.
pub(super) fn parse(
    block: &[u8],
    list: &mut HeaderList,
    most: usize,
    from: From,
) -> Result<Seen, FieldError> {
    let base = list.adopt_block(block);
    let mut seen = Seen::default();
    let mut at = 0;
    let mut count = 0;
    while at < block.len() {
        count += 1;
        if count > most {
            return Err(FieldError::TooMany);
        }
        let (name_end, value_from) = scan_name(block, at, from)?;
        let value_end = scan_value(block, value_from)?;
        let value = trim(block, value_from, value_end);
        let name = &block[at..name_end];
        let known = Known::from_token(name);
        if let Some(known) = known {
            seen.add(known);
        }
        if value.start == name_end + 2 && value.end == value_end && block[name_end + 1] == b' ' {
            list.push_adopted(base + at, name.len(), value.len(), known, false);
        } else {
            list.push_line(name, known, &block[value], false);
        }
        at = value_end + 2;
    }
    Ok(seen)
}

/// The end of the name that starts at `at`, and where the value starts: behind the colon.
fn scan_name(block: &[u8], at: usize, from: From) -> Result<(usize, usize), FieldError> {
    let len = block[at..].iter().position(|b| !TOKEN[usize::from(*b)]).ok_or(FieldError::NoColon)?;
    let end = at + len;
    match block[end] {
        b':' if len > 0 => Ok((end, end + 1)),
        b' ' | b'\t' if len == 0 => Err(FieldError::Folded),
        b' ' | b'\t' => {
            let spaces = block[end..].iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
            match block.get(end + spaces) {
                Some(b':') if from == From::Server => Ok((end, end + spaces + 1)),
                Some(b':') => Err(FieldError::SpaceBeforeColon),
                _ => Err(FieldError::Name),
            }
        }
        b'\r' | b'\n' => Err(FieldError::NoColon),
        _ => Err(FieldError::Name),
    }
}

/// The end of the value that starts at `at`: the place of its CR LF.
fn scan_value(block: &[u8], mut at: usize) -> Result<usize, FieldError> {
    loop {
        // Eight bytes at a time up to the next control character.
        while let Some(word) = block.get(at..at + 8) {
            match first_control(u64::from_le_bytes(word.try_into().expect("eight bytes"))) {
                Some(found) => {
                    at += found;
                    break;
                }
                None => at += 8,
            }
        }
        match block.get(at) {
            Some(b'\r') if block.get(at + 1) == Some(&b'\n') => return Ok(at),
            Some(b'\r' | b'\n') | None => return Err(FieldError::LineEnd),
            Some(b) if (*b < 0x20 && *b != b'\t') || *b == 0x7f => return Err(FieldError::Value),
            Some(_) => at += 1,
        }
    }
}

fn trim(block: &[u8], mut start: usize, mut end: usize) -> std::ops::Range<usize> {
    while start < end && matches!(block[start], b' ' | b'\t') {
        start += 1;
    }
    while start < end && matches!(block[end - 1], b' ' | b'\t') {
        end -= 1;
    }
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(block: &[u8], from: From) -> Result<String, FieldError> {
        let mut list = HeaderList::new();
        parse(block, &mut list, 100, from)?;
        Ok(list.iter().map(|h| format!("{}={};", h.name_str(), String::from_utf8_lossy(h.value))).collect())
    }

    #[test]
    fn usual_and_unusual_white_space() {
        let block = b"Host: a\r\nA:b\r\nC:   d \t\r\nE:\r\nF: \r\nG: h i\r\n";
        assert_eq!(check(block, From::Client).unwrap(), "Host=a;A=b;C=d;E=;F=;G=h i;");
    }

    #[test]
    fn smuggling_shapes_are_refused() {
        use FieldError as E;
        let cases: [(&[u8], E); 13] = [
            (b"A b\r\n", E::Name),
            (b"A\r\n", E::NoColon),
            (b": b\r\n", E::Name),
            (b"A : b\r\n", E::SpaceBeforeColon),
            (b"A\t: b\r\n", E::SpaceBeforeColon),
            (b" A: b\r\n", E::Folded),
            (b"A: b\r\n c\r\n", E::Folded),
            (b"A: b\nC: d\r\n", E::LineEnd),
            (b"A: b\rC: d\r\n", E::LineEnd),
            (b"A: b\0\r\n", E::Value),
            (b"A: 12345678\x7f\r\n", E::Value),
            (b"A\xe9: b\r\n", E::Name),
            (b"A\0: b\r\n", E::Name),
        ];
        for (block, error) in cases {
            assert_eq!(check(block, From::Client), Err(error), "{}", block.escape_ascii());
        }
    }

    #[test]
    fn servers_may_put_space_before_the_colon() {
        assert_eq!(check(b"A : b\r\n", From::Server).unwrap(), "A=b;");
        assert_eq!(check(b"A  b\r\n", From::Server), Err(FieldError::Name));
    }

    #[test]
    fn bytes_over_0x80_pass_in_values() {
        assert!(check(b"A: \xff\xfe12345678\x80\r\n", From::Client).is_ok());
    }

    #[test]
    fn too_many() {
        let block = b"A: b\r\n".repeat(101);
        assert_eq!(check(&block, From::Client), Err(FieldError::TooMany));
    }

    #[test]
    fn ends() {
        assert_eq!(find_end(b"a\r\n\r\nrest"), Some(5));
        assert_eq!(find_end(b"a\n\r\nb\r\n\r\n"), Some(9));
        assert_eq!(find_end(b"\n\r\n"), None);
        assert_eq!(find_end(b"a\r\n\r"), None);
        assert!(check_line_ends(b"a\r\nb").is_ok());
        assert!(check_line_ends(b"a\n").is_err() && check_line_ends(b"\n").is_err());
    }
}
