//! Sidecar and gateway: sockets, TLS, pools and the life of a request.

#![allow(dead_code, reason = "the protocols on top of these rooms come next")]
mod http;
pub mod listener;
mod net;
mod tcp;
mod tls;
pub mod worker;
