//! Bytes in and out: sockets, TLS streams and the buffers between them.

pub(crate) mod buffer;
pub(crate) mod connect;
pub(crate) mod original_dst;
pub(crate) mod outbox;
pub(crate) mod proxy_header;
pub(crate) mod stream;
