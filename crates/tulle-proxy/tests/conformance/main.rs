//! What RFC 9110, 9112 and 9113 say that a proxy must do, asked of ours from both sides: as a server by raw clients, as a client
//! by raw upstreams, and by peers that others have written. `docs/conformance.md` says which test answers which requirement.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a failed unwrap is a failed test, which says what it was about; a skipped one says so"
)]

#[path = "../common/mod.rs"]
mod common;

mod bounds;
mod grpc;
mod h1_connections;
mod h1_framing;
mod h1_requests;
mod h1_upstreams;
mod h2_connections;
mod h2_floods;
mod h2_messages;
mod h2_streams;
mod h2_upstreams;
mod memory;
mod peers;
mod table;
mod timeouts;
mod tunnels;
mod wire;
mod wire_h2;
