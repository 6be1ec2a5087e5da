//! Sidecar and gateway: sockets, TLS, pools and the life of a request.

#![allow(dead_code, reason = "HTTP/2 comes next and uses the rest")]

mod admin;
pub mod boot;
mod cluster;
mod dns;
mod http;
pub mod listener;
mod net;
mod tcp;
mod telemetry;
mod tls;
pub mod worker;
