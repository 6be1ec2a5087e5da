//! A store on a unix socket.
//!
//! One JSON value per line, in both directions. A client sends a request and reads the answer: zero or more objects, and
//! one line that ends it. A watch takes its connection for itself: after the line `{"watching":true}` come changes until
//! either side closes. Objects travel as the Kubernetes API writes them and are read again at the other end.

mod client;
mod lines;
pub(crate) mod messages;
mod server;

pub use client::RemoteStore;
pub use server::serve;
