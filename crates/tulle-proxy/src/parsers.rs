//! What the proxy makes of bytes that strangers send first, as functions: fuzzers call them, and nobody else from outside.

use crate::{
    dns,
    listener::{
        client_hello::{self, Look},
        proxy_protocol::{self, Found},
    },
};

/// What the beginning of a connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum First {
    /// More bytes are needed to say.
    More,
    /// Something else.
    Other,
    /// It, but it cannot be read.
    Broken,
    /// It: how many bytes it has where that is known, and everything that it says.
    Read(Option<usize>, String),
}

/// Looks for a TLS ClientHello, as a listener does that chooses its chain by server name or protocol.
pub fn client_hello(bytes: &[u8]) -> First {
    match client_hello::look(bytes) {
        Look::NotTls => First::Other,
        Look::More => First::More,
        Look::Broken => First::Broken,
        Look::Hello(hello) => First::Read(None, format!("{hello:?}")),
    }
}

/// Looks for a header of the PROXY protocol.
pub fn proxy_protocol(bytes: &[u8]) -> First {
    match proxy_protocol::look(bytes) {
        Found::Absent => First::Other,
        Found::More => First::More,
        Found::Broken(_) => First::Broken,
        Found::Header { version, len, addresses } => {
            First::Read(Some(len), format!("{version} {addresses:?}"))
        }
    }
}

/// What the proxy's DNS answers to a packet with `names` of the mesh, each with its addresses; `None`: nothing, or somebody else
/// is asked.
pub fn dns(names: &[(&str, &[&str])], packet: &[u8], udp: bool) -> Option<Vec<u8>> {
    dns::answer_with(names, packet, udp)
}
