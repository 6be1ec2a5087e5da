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

/// Reads a line as every message that it could be, and what it is as one that is written and read again: for fuzzers, as
/// lines are no part of the interface.
///
/// # Panics
/// When a message that was read cannot be read again once written.
#[doc(hidden)]
pub fn read_any_message(line: &[u8]) {
    let Ok(value) = serde_json::from_slice(line) else { return };
    if let Ok(request) = messages::Request::from_json(&value) {
        assert!(messages::Request::from_json(&request.to_json()).is_ok(), "{value}");
    }
    if let Ok(change) = messages::change(&value) {
        assert!(messages::change(&messages::change_json(&change)).is_ok(), "{value}");
    }
    if let Err(error) = messages::check(&value) {
        assert!(messages::check(&messages::error_json(&error)).is_err(), "{value}");
    }
}
