//! HTTP/1.1 and HTTP/2 codecs without I/O, and the types of a request that everything above them shares.
//!
//! Nothing in here opens a socket, reads a clock or spawns a task: bytes go in, events and bytes come out. Parsers fill
//! *reusable* heads ([`RequestHead`], [`ResponseHead`]): `clear` keeps their memory, so that a connection in its steady
//! state allocates nothing per request.
//!
//! * [`HeaderList`] holds fields in the order and with the name case in which they came.
//! * [`h1`] is HTTP/1.1: heads, body framing, keep-alive, upgrade.
//! * [`hpack`] and [`h2`] are HTTP/2: header compression and the connection.

pub mod h1;
pub mod h2;
mod head;
pub mod headers;
pub mod hpack;
mod limits;
mod method;
pub mod uri;

pub use head::{RequestHead, ResponseHead, Scheme, Version, reason_phrase};
pub use headers::{Header, HeaderList, HeaderName, InvalidName, Known, NameRef};
pub use limits::Limits;
pub use method::{ExtensionMethod, Method};
