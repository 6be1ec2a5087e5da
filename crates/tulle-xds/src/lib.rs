//! The xDS transport protocol (delta and state-of-the-world ADS, server and client), with payloads opaque.
//!
//! A resource is a type URL, a name, a version (the hash of its content) and bytes that were encoded once. Everything that
//! decides (who has what, who must be told what, in which order) is a state machine without sockets or clocks:
//! [`server::ServerCore`] and [`client::ClientCore`]. [`server::Hub`] and [`client::Client`] drive them over gRPC.

pub mod client;
pub mod nack;
pub mod resource;
pub mod server;
pub mod wire;

pub use nack::ResourceError;
pub use resource::{Resource, Version};
