//! Field names and which bytes may stand in names and values (RFC 9110 section 5).

use super::Known;
use std::fmt;

/// A field name that configuration asked for: checked, in lower case, its number looked up once.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HeaderName {
    text: Box<str>,
    known: Option<Known>,
}

/// The text is empty or holds a byte that no field name may hold (RFC 9110 section 5.1).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no field name: use letters, digits and any of !#$%&'*+-.^_`|~")]
pub struct InvalidName(pub String);

impl HeaderName {
    /// The name written `text`, in any case.
    ///
    /// # Errors
    /// [`InvalidName`] when it is no token.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        if !is_token(text.as_bytes()) {
            return Err(InvalidName(text.to_owned()));
        }
        Ok(Self { text: text.to_ascii_lowercase().into(), known: Known::from_bytes(text.as_bytes()) })
    }

    /// The name in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its number, if it has one.
    #[must_use]
    pub fn known(&self) -> Option<Known> {
        self.known
    }
}

impl fmt::Debug for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A field name to look up or to write: text and number. Made from [`Known`], [`&HeaderName`](HeaderName), `&str` or
/// bytes; the last two look the number up on the way.
#[derive(Clone, Copy, Debug)]
pub struct NameRef<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) known: Option<Known>,
}

impl From<Known> for NameRef<'_> {
    fn from(known: Known) -> Self {
        Self { text: known.as_str().as_bytes(), known: Some(known) }
    }
}

impl<'a> From<&'a HeaderName> for NameRef<'a> {
    fn from(name: &'a HeaderName) -> Self {
        Self { text: name.text.as_bytes(), known: name.known }
    }
}

impl<'a> From<&'a str> for NameRef<'a> {
    fn from(text: &'a str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl<'a> From<&'a [u8]> for NameRef<'a> {
    fn from(text: &'a [u8]) -> Self {
        Self { text, known: Known::from_bytes(text) }
    }
}

/// Non-empty and only token characters (RFC 9110 section 5.6.2).
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| TOKEN[usize::from(*b)])
}

/// A token without upper case, as names in HTTP/2 must be (RFC 9113 section 8.2.1).
pub(crate) fn is_lower_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| TOKEN[usize::from(*b)] && !b.is_ascii_uppercase())
}

/// No control character but tab (RFC 9110 section 5.5); bytes from 0x80 pass.
pub(crate) fn is_value(text: &[u8]) -> bool {
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    // Values are rarely bad: without a way out in the middle many bytes are checked at once.
    let fine = match text.len() {
        0..8 => return !text.iter().any(|b| is_bad_in_value(*b)),
        8..64 => {
            let words = text.chunks_exact(8).map(word).chain([word(&text[text.len() - 8..])]);
            words.fold(0, |marks, word| marks | controls(word)) == 0
        }
        // A plain loop over bytes is what compilers make vectors of.
        _ => text.iter().fold(0, |bad, b| bad | u8::from(is_bad_in_value(*b))) == 0,
    };
    // Words mark tabs, too.
    fine || !text.iter().any(|b| is_bad_in_value(*b))
}

#[inline]
fn is_bad_in_value(byte: u8) -> bool {
    ((byte < 0x20) & (byte != b'\t')) | (byte == 0x7f)
}

/// Which byte of a little-endian word is the first control character (below 0x20, tab included, or 0x7f).
pub(crate) fn first_control(word: u64) -> Option<usize> {
    let marks = controls(word);
    (marks != 0).then(|| marks.trailing_zeros() as usize / 8)
}

/// The highest bit of each byte that is a control character (below 0x20, tab included, or 0x7f); bytes behind the first may be marked
/// in vain, those before it are not.
fn controls(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let below_20 = word.wrapping_sub(ONES * 0x20) & !word;
    let del = word ^ (ONES * 0x7f);
    let is_del = del.wrapping_sub(ONES) & !del;
    (below_20 | is_del) & HIGH
}

/// Fields that frame, route, authenticate or change the processing of a message (RFC 9110 section 6.5.1).
pub(crate) fn forbidden_in_trailers(known: Known) -> bool {
    matches!(
        known,
        Known::Authorization
            | Known::CacheControl
            | Known::Connection
            | Known::ContentEncoding
            | Known::ContentLength
            | Known::ContentRange
            | Known::ContentType
            | Known::Cookie
            | Known::Expect
            | Known::Host
            | Known::KeepAlive
            | Known::ProxyAuthorization
            | Known::ProxyConnection
            | Known::Range
            | Known::SetCookie
            | Known::Te
            | Known::Trailer
            | Known::TransferEncoding
            | Known::Upgrade
    )
}

/// Which bytes are token characters.
pub(crate) static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        table[at] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_lower_cased() {
        let name = HeaderName::new("X-Request-ID").unwrap();
        assert_eq!((name.as_str(), name.known()), ("x-request-id", Some(Known::XRequestId)));
        for bad in ["", "a b", "a:", ":path", "a\r\n", "\u{e9}"] {
            assert!(HeaderName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn values_hold_no_controls() {
        assert!(is_value(b"a\tb \x80\xff"));
        assert!(is_value(b"") && is_value(b"12345678\t\x80\xff 12345678"));
        for at in 0..70 {
            for bad in [0, b'\r', b'\n', 0x1f, 0x7f] {
                let mut text = [b'a'; 70];
                text[at] = bad;
                assert!(!is_value(&text));
            }
        }
        for bad in [&b"a\rb"[..], b"a\nb", b"\0", b"\x7f", b"\x1f"] {
            assert!(!is_value(bad));
        }
    }
}
