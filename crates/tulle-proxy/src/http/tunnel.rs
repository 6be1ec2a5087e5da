//! Tunnels between versions of HTTP: `Upgrade` in HTTP/1 is extended CONNECT in HTTP/2 (RFC 8441).
//!
//! Seldom used, so heads are copied rather than changed back and forth. `sec-websocket-key` and its answer travel along, so that
//! the far side can speak HTTP/1 again.

use tulle_http::{Known, Method, RequestHead, ResponseHead};

/// An HTTP/1 upgrade as it is asked for in HTTP/2.
pub(crate) fn to_connect(head: &RequestHead) -> RequestHead {
    let mut out = head.clone();
    out.protocol = head.headers.get_str(Known::Upgrade).unwrap_or_default().to_ascii_lowercase();
    out.method = Method::Connect;
    out.headers.remove(Known::Upgrade);
    out.headers.remove(Known::Connection);
    out.headers.remove(Known::ContentLength);
    out
}

/// An extended CONNECT as it is asked for in HTTP/1.
pub(crate) fn to_upgrade(head: &RequestHead) -> RequestHead {
    let mut out = head.clone();
    out.method = Method::Get;
    out.headers.set(Known::Upgrade, head.protocol.as_bytes());
    out.protocol.clear();
    out
}

/// Makes an extended CONNECT that carries an HTTP/1 upgrade that upgrade again, for routes and policies to see.
pub(crate) fn restore_upgrade(head: &mut RequestHead) {
    head.method = Method::Get;
    let protocol = std::mem::take(&mut head.protocol);
    head.headers.set(Known::Upgrade, protocol.as_bytes());
}

/// The head that accepts a tunnel in HTTP/2.
pub(crate) fn accepted(head: &ResponseHead) -> ResponseHead {
    let mut out = head.clone();
    out.status = 200;
    out.headers.remove(Known::Upgrade);
    out.headers.remove(Known::Connection);
    out
}

/// The head that accepts a tunnel of that kind in HTTP/1.
pub(crate) fn switched(head: &ResponseHead, kind: &str) -> ResponseHead {
    let mut out = head.clone();
    out.status = 101;
    if !out.headers.contains(Known::Upgrade) {
        out.headers.set(Known::Upgrade, kind.as_bytes());
    }
    out
}
