//! The parts of a request target: authority and path (RFC 3986, RFC 9110 section 4.2).

/// Whether `text` is a host with an optional port, as `Host` and `:authority` must be (RFC 9110 section 7.2): no user
/// information, a port of at most five digits and 65535, a bracketed IPv6 literal or a registered name. A port may be
/// empty (`host:`), as RFC 3986 allows.
#[must_use]
pub fn is_authority(text: &[u8]) -> bool {
    let (host_ok, port) = match text {
        [b'[', rest @ ..] => match memchr::memchr(b']', rest) {
            Some(end) => {
                let literal = &rest[..end];
                let ok =
                    !literal.is_empty() && literal.iter().all(|b| HOST_CHARS[usize::from(*b)] || *b == b':');
                match &rest[end + 1..] {
                    [] => (ok, None),
                    [b':', port @ ..] => (ok, Some(port)),
                    _ => (false, None),
                }
            }
            None => (false, None),
        },
        _ => {
            let (host, port) = match memchr::memchr(b':', text) {
                Some(at) => (&text[..at], Some(&text[at + 1..])),
                None => (text, None),
            };
            (!host.is_empty() && host.iter().all(|b| HOST_CHARS[usize::from(*b)]), port)
        }
    };
    host_ok && port.is_none_or(|port| port.is_empty() || parse_port(port).is_some())
}

/// Whether `text` may stand as path and query of a request: starts with `/`, only visible ASCII, no `#`.
///
/// Characters that RFC 3986 wants percent-encoded but that clients send (`"<>\^{}|` and the back quote) pass.
#[must_use]
pub fn is_path(text: &[u8]) -> bool {
    text.first() == Some(&b'/') && text.iter().all(|b| (0x21..0x7f).contains(b) && *b != b'#')
}

/// Splits an authority into host (IPv6 literals with their brackets) and port; no port when there is none, it is empty
/// or it is no port number.
#[must_use]
pub fn split_port(authority: &str) -> (&str, Option<u16>) {
    let bytes = authority.as_bytes();
    match memchr::memrchr(b':', bytes) {
        Some(at) if memchr::memchr(b']', &bytes[at..]).is_none() => {
            (&authority[..at], parse_port(&bytes[at + 1..]))
        }
        _ => (authority, None),
    }
}

fn parse_port(text: &[u8]) -> Option<u16> {
    if text.is_empty() || text.len() > 5 {
        return None;
    }
    let mut port = 0u32;
    for byte in text {
        if !byte.is_ascii_digit() {
            return None;
        }
        port = port * 10 + u32::from(byte - b'0');
    }
    u16::try_from(port).ok()
}

/// unreserved, pct-encoded and sub-delims of RFC 3986 section 3.2.2.
static HOST_CHARS: [bool; 256] = {
    let mut table = [false; 256];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        table[at] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'-' | b'.'
                    | b'_'
                    | b'~'
                    | b'%'
                    | b'!'
                    | b'$'
                    | b'&'
                    | b'\''
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b','
                    | b';'
                    | b'='
            );
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities() {
        for good in
            ["a", "a.b:80", "a:", "[::1]", "[::1]:443", "10.0.0.1:65535", "reviews.default.svc_x", "%41"]
        {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "", ":80", "a:b", "a:65536", "a:000080", "user@a", "a b", "a/b", "[::1", "[]", "[::1]x",
            "a:80:81", "a\x7f",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn paths() {
        for good in ["/", "/a?b", "/a%20b", "/{x}|\"<>"] {
            assert!(is_path(good.as_bytes()), "{good}");
        }
        for bad in ["", "a", "/a b", "/a#b", "/\u{e9}", "/\x7f", "/\0"] {
            assert!(!is_path(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn ports() {
        assert_eq!(split_port("a:80"), ("a", Some(80)));
        assert_eq!(split_port("a:"), ("a", None));
        assert_eq!(split_port("[::1]"), ("[::1]", None));
        assert_eq!(split_port("[::1]:1"), ("[::1]", Some(1)));
    }
}
