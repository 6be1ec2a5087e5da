//! Finding out what a connection speaks from its first bytes, before anyone consumes them.

use std::{future::poll_fn, io, net::SocketAddr, time::Duration};

use super::client_hello::{ClientHello, Look, look};
use super::proxy_protocol::{self, Found};
use crate::net::stream::Tcp;

/// The HTTP/2 connection preface (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The most that is read in search of the end of a request line.
const MAX_REQUEST_LINE: usize = 64 * 1024;
/// No method in use is longer; a word beyond this is not HTTP.
const MAX_METHOD: usize = 32;

/// What a listener wants to know of its connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Look for a TLS ClientHello.
    pub(crate) tls: bool,
    /// Look for HTTP where there is no TLS.
    pub(crate) http: bool,
    /// Read a header of the PROXY protocol first.
    pub(crate) proxy: Option<Preamble>,
    /// How long to wait; `None` waits for as long as the peer stays.
    pub(crate) timeout: Option<Duration>,
    /// Whether the connection goes on, undetected, when the time is over.
    pub(crate) continue_on_timeout: bool,
}

/// Which headers of the PROXY protocol are taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Preamble {
    /// None as well.
    pub(crate) optional: bool,
    /// Version 1.
    pub(crate) v1: bool,
    /// Version 2.
    pub(crate) v2: bool,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sniffed {
    /// Whose connection it is and where it was going, if a load balancer said so.
    pub(crate) addresses: Option<(SocketAddr, SocketAddr)>,
    /// A TLS ClientHello.
    pub(crate) hello: Option<ClientHello>,
    /// HTTP in the clear.
    pub(crate) http: Option<Http>,
}

/// The versions of HTTP that can be told from the first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Http {
    /// HTTP/1.0
    V10,
    /// HTTP/1.1
    V11,
    /// HTTP/2 with prior knowledge
    V2,
}

impl Http {
    /// As filter chains name it among their application protocols.
    pub(crate) fn alpn(self) -> &'static [u8] {
        match self {
            Self::V10 => b"http/1.0",
            Self::V11 => b"http/1.1",
            Self::V2 => b"h2c",
        }
    }
}

/// Why a connection ends before it began.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SniffError {
    /// The peer closed in the middle of a TLS hello.
    #[error("the peer closed in the middle of a TLS hello")]
    HalfHello,
    /// A TLS record that holds no readable ClientHello.
    #[error("not a readable TLS hello")]
    BrokenHello,
    /// The PROXY protocol's header is broken, missing, or of a version that is not taken.
    #[error("PROXY protocol: {0}")]
    Preamble(&'static str),
    /// The peer closed without a word.
    #[error("the peer closed without sending anything")]
    Silent,
    /// The time of the listener filters is over.
    #[error("the first bytes did not arrive in time")]
    Timeout,
    /// The socket failed.
    #[error("reading the first bytes: {0}")]
    Io(#[from] io::Error),
}

/// Reads ahead on `tcp` until `plan` is satisfied.
///
/// # Errors
/// [`SniffError`]: what is to be counted and logged; the connection is then reset.
pub(crate) async fn sniff(tcp: &mut Tcp, plan: Plan) -> Result<Sniffed, SniffError> {
    if !plan.tls && !plan.http && plan.proxy.is_none() {
        return Ok(Sniffed::default());
    }
    match plan.timeout {
        None => read_ahead(tcp, plan).await,
        Some(limit) => match tokio::time::timeout(limit, read_ahead(tcp, plan)).await {
            Ok(found) => found,
            // Who says nothing in time has not said whose connection it is either.
            Err(_) if plan.continue_on_timeout && plan.proxy.is_none_or(|p| p.optional) => {
                Ok(Sniffed::default())
            }
            Err(_) => Err(SniffError::Timeout),
        },
    }
}

async fn read_ahead(tcp: &mut Tcp, plan: Plan) -> Result<Sniffed, SniffError> {
    let addresses = match plan.proxy {
        Some(allowed) => preamble(tcp, allowed).await?,
        None => None,
    };
    let found = if plan.tls || plan.http { protocol(tcp, plan).await? } else { Sniffed::default() };
    Ok(Sniffed { addresses, ..found })
}

/// Takes the PROXY protocol's header off the connection.
async fn preamble(tcp: &mut Tcp, allowed: Preamble) -> Result<Option<(SocketAddr, SocketAddr)>, SniffError> {
    loop {
        match proxy_protocol::look(tcp.seen()) {
            Found::Header { version, len, addresses } => {
                if !(if version == 1 { allowed.v1 } else { allowed.v2 }) {
                    return Err(SniffError::Preamble("this version is not allowed"));
                }
                tcp.skip(len);
                return Ok(addresses);
            }
            Found::Absent if allowed.optional => return Ok(None),
            Found::Absent => return Err(SniffError::Preamble("there is no header")),
            Found::Broken(why) => return Err(SniffError::Preamble(why)),
            Found::More => {}
        }
        if poll_fn(|cx| tcp.poll_look(cx)).await? == 0 {
            return match tcp.seen() {
                [] => Err(SniffError::Silent),
                _ if allowed.optional => Ok(None),
                _ => Err(SniffError::Preamble("the peer closed in the middle of the header")),
            };
        }
    }
}

async fn protocol(tcp: &mut Tcp, plan: Plan) -> Result<Sniffed, SniffError> {
    loop {
        match judge(tcp.seen(), plan) {
            Verdict::Found(found) => return Ok(found),
            Verdict::Broken => return Err(SniffError::BrokenHello),
            Verdict::More => {}
        }
        if poll_fn(|cx| tcp.poll_look(cx)).await? == 0 {
            return match tcp.seen() {
                [] => Err(SniffError::Silent),
                [22, 3, ..] if plan.tls => Err(SniffError::HalfHello),
                // Something short that is neither TLS nor HTTP, and half-closed: let TCP have it.
                _ => Ok(Sniffed::default()),
            };
        }
    }
}

/// What the bytes so far allow to say.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Found(Sniffed),
    More,
    Broken,
}

fn judge(bytes: &[u8], plan: Plan) -> Verdict {
    if bytes.is_empty() {
        return Verdict::More;
    }
    if plan.tls {
        match look(bytes) {
            Look::More => return Verdict::More,
            Look::Broken => return Verdict::Broken,
            Look::Hello(hello) => {
                return Verdict::Found(Sniffed { hello: Some(hello), ..Sniffed::default() });
            }
            Look::NotTls => {}
        }
    }
    match if plan.http { judge_http(bytes) } else { Some(None) } {
        Some(http) => Verdict::Found(Sniffed { http, ..Sniffed::default() }),
        None => Verdict::More,
    }
}

/// `None`: cannot say yet. `Some(None)`: not HTTP.
fn judge_http(bytes: &[u8]) -> Option<Option<Http>> {
    let common = bytes.len().min(PREFACE.len());
    if bytes[..common] == PREFACE[..common] {
        return (common == PREFACE.len()).then_some(Some(Http::V2));
    }
    // Empty lines before a request line are to be ignored (RFC 9112 section 2.2).
    let line = &bytes[bytes.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(bytes.len())..];
    let method = line.iter().position(|&b| b == b' ').unwrap_or(line.len());
    if method > MAX_METHOD
        || !line[..method].iter().all(|b| b.is_ascii_uppercase() || matches!(b, b'-' | b'_'))
    {
        return Some(None);
    }
    let Some(end) = memchr::memchr(b'\n', line) else {
        return (bytes.len() > MAX_REQUEST_LINE).then_some(None);
    };
    let line = line[..end].strip_suffix(b"\r").unwrap_or(&line[..end]);
    Some(if line.ends_with(b" HTTP/1.1") {
        Some(Http::V11)
    } else if line.ends_with(b" HTTP/1.0") {
        Some(Http::V10)
    } else {
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines() {
        let cases: [(&[u8], Option<Option<Http>>); 9] = [
            (b"GET / HTTP/1.1\r\n", Some(Some(Http::V11))),
            (b"\r\nGET / HTTP/1.0\r\n", Some(Some(Http::V10))),
            (b"GET / HT", None),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Some(Http::V2))),
            (b"PRI * HTTP/2", None),
            (b"PROPFIND /x HTTP/1.1\n", Some(Some(Http::V11))),
            (b"hello\r\n", Some(None)),
            (b"EHLO there\r\n", Some(None)),
            (&[0, 1, 2, 3], Some(None)),
        ];
        for (bytes, expected) in cases {
            assert_eq!(judge_http(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
