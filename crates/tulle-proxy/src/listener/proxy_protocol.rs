//! The PROXY protocol, by which a load balancer in front says whose connection it is
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).

use std::net::{IpAddr, SocketAddr};

/// What version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// What version 1 begins with.
const WORD: &[u8] = b"PROXY ";
/// Longest line of version 1, its end included.
const MAX_LINE: usize = 107;
/// Most that a header of version 2 may hold beside its first 16 bytes. The protocol allows 64 KiB; addresses and the extensions in use
/// are far below this.
const MAX_REST: usize = 4096;

/// What the first bytes of a connection say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Not enough bytes to tell.
    More,
    /// No header.
    Absent,
    /// A header.
    Header {
        /// Its version, 1 or 2.
        version: u8,
        /// How many bytes it has.
        len: usize,
        /// Whose connection it is, and where it was going; `None`: the balancer's own (a health check), or it does not say.
        addresses: Option<(SocketAddr, SocketAddr)>,
    },
    /// A header that cannot be read.
    Broken(&'static str),
}

/// Looks at the first bytes of a connection.
pub(crate) fn look(bytes: &[u8]) -> Found {
    if begins(bytes, SIGNATURE) {
        if bytes.len() < 16 { Found::More } else { version_2(bytes) }
    } else if begins(bytes, WORD) {
        version_1(bytes)
    } else {
        Found::Absent
    }
}

/// Whether `bytes` are the beginning of `word`, or the other way round.
fn begins(bytes: &[u8], word: &[u8]) -> bool {
    let common = bytes.len().min(word.len());
    bytes[..common] == word[..common]
}

fn version_1(bytes: &[u8]) -> Found {
    let window = &bytes[..bytes.len().min(MAX_LINE)];
    let Some(end) = memchr::memchr(b'\n', window) else {
        return if window.len() < MAX_LINE { Found::More } else { Found::Broken("the line is too long") };
    };
    let line = window[..end].strip_suffix(b"\r").and_then(|line| std::str::from_utf8(line).ok());
    let Some(line) = line else { return Found::Broken("the line does not end with CR LF, or is not text") };
    let mut words = line.split(' ').skip(1);
    let family = words.next();
    let addresses = match family {
        Some("UNKNOWN") => None,
        Some("TCP4" | "TCP6") => {
            let addresses = line_addresses(words, family == Some("TCP6"));
            if addresses.is_none() {
                return Found::Broken("the addresses cannot be read");
            }
            addresses
        }
        _ => return Found::Broken("the family is none of TCP4, TCP6 and UNKNOWN"),
    };
    Found::Header { version: 1, len: end + 1, addresses }
}

/// `SOURCE DESTINATION SOURCE-PORT DESTINATION-PORT`.
fn line_addresses<'a>(
    mut words: impl Iterator<Item = &'a str>,
    v6: bool,
) -> Option<(SocketAddr, SocketAddr)> {
    let mut ip = || words.next()?.parse::<IpAddr>().ok().filter(|ip| ip.is_ipv6() == v6);
    let (source, destination) = (ip()?, ip()?);
    let mut port = || words.next()?.parse::<u16>().ok();
    let pair = (SocketAddr::new(source, port()?), SocketAddr::new(destination, port()?));
    words.next().is_none().then_some(pair)
}

/// `bytes` begin with the signature and have at least the 16 bytes of the fixed part.
fn version_2(bytes: &[u8]) -> Found {
    let (version, command, family) = (bytes[12] >> 4, bytes[12] & 0x0f, bytes[13]);
    if version != 2 || command > 1 {
        return Found::Broken("the version is not 2, or the command is neither LOCAL nor PROXY");
    }
    let rest = usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    if rest > MAX_REST {
        return Found::Broken("the header is too long");
    }
    let Some(body) = bytes.get(16..16 + rest) else { return Found::More };
    let addresses = match (command, family) {
        (0, _) | (_, 0) => None,
        (_, 0x11) => body_addresses::<4>(body),
        (_, 0x21) => body_addresses::<16>(body),
        _ => return Found::Broken("only TCP over IPv4 and IPv6 is carried here"),
    };
    if command == 1 && family != 0 && addresses.is_none() {
        return Found::Broken("the addresses are cut off");
    }
    Found::Header { version: 2, len: 16 + rest, addresses }
}

/// Two addresses of `N` bytes and two ports; extensions follow and are passed over.
fn body_addresses<const N: usize>(body: &[u8]) -> Option<(SocketAddr, SocketAddr)>
where
    IpAddr: From<[u8; N]>,
{
    let (source, body) = body.split_first_chunk::<N>()?;
    let (destination, body) = body.split_first_chunk::<N>()?;
    let (ports, _) = body.split_first_chunk::<4>()?;
    let port = |i: usize| u16::from_be_bytes([ports[i], ports[i + 1]]);
    Some((
        SocketAddr::new(IpAddr::from(*source), port(0)),
        SocketAddr::new(IpAddr::from(*destination), port(2)),
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn header(version: u8, len: usize, addresses: Option<(&str, &str)>) -> Found {
        Found::Header { version, len, addresses: addresses.map(|(a, b)| (at(a), at(b))) }
    }

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut out = SIGNATURE.to_vec();
        out.extend([0x20 | command, family]);
        out.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        out.extend(body);
        out
    }

    #[test]
    fn lines_of_version_1() {
        let line = b"PROXY TCP4 192.0.2.1 10.0.0.2 56324 443\r\nGET / HTTP/1.1\r\n";
        assert_eq!(look(line), header(1, 41, Some(("192.0.2.1:56324", "10.0.0.2:443"))));
        let line = b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n";
        assert_eq!(look(line), header(1, 32, Some(("[2001:db8::1]:1", "[::1]:2"))));
        assert_eq!(look(b"PROXY UNKNOWN ffff::1 whatever\r\nx"), header(1, 32, None));
        assert_eq!(look(b"PROXY TCP4 192.0.2.1 10.0"), Found::More);
        for broken in [
            &b"PROXY TCP4 ::1 10.0.0.2 1 2\r\n"[..],
            b"PROXY TCP4 192.0.2.1 10.0.0.2 1\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.2 1 2 3\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.2 1 70000\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.2 1 2\n",
            b"PROXY UDP4 192.0.2.1 10.0.0.2 1 2\r\n",
            &[b"PROXY ", &[b'x'; 200][..]].concat(),
        ] {
            assert!(matches!(look(broken), Found::Broken(_)), "{:?}", String::from_utf8_lossy(broken));
        }
    }

    #[test]
    fn headers_of_version_2() {
        let four = [192, 0, 2, 1, 10, 0, 0, 2, 0xdc, 0x04, 0x01, 0xbb];
        let whole = v2(1, 0x11, &four);
        assert_eq!(look(&whole), header(2, 28, Some(("192.0.2.1:56324", "10.0.0.2:443"))));
        let extended = v2(1, 0x11, &[&four[..], &[1, 0, 2, b'h', b'2']].concat());
        assert_eq!(look(&extended), header(2, 33, Some(("192.0.2.1:56324", "10.0.0.2:443"))));
        let mut six = [0; 36];
        (six[15], six[31], six[33], six[35]) = (1, 2, 3, 4);
        assert_eq!(look(&v2(1, 0x21, &six)), header(2, 52, Some(("[::1]:3", "[::2]:4"))));
        assert_eq!(look(&v2(0, 0x11, &four)), header(2, 28, None), "LOCAL is the balancer's own");
        assert_eq!(look(&v2(1, 0, &[])), header(2, 16, None), "UNSPEC says nothing");
        (0..whole.len()).for_each(|n| assert_eq!(look(&whole[..n]), Found::More, "{n} bytes"));
        for broken in
            [v2(1, 0x11, &four[..11]), v2(1, 0x12, &four), v2(1, 0x31, &[0; 216]), v2(2, 0x11, &four)]
        {
            assert!(matches!(look(&broken), Found::Broken(_)), "{broken:?}");
        }
        assert!(matches!(look(&v2(1, 0x11, &[0; MAX_REST + 1])), Found::Broken(_)));
    }

    #[test]
    fn what_is_no_header() {
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01", b"PROXIED", b"\r\n\r\nGET"] {
            assert_eq!(look(bytes), Found::Absent);
        }
        assert_eq!(look(b"\r\n\r\n"), Found::More);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_no_header_is_longer_than_its_bytes(
            version in 0..3_u8,
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let begin: &[u8] = match version { 0 => b"", 1 => WORD, _ => SIGNATURE };
            let bytes = [begin, &bytes].concat();
            if let Found::Header { len, .. } = look(&bytes) {
                prop_assert!(len <= bytes.len());
            }
        }
    }
}
