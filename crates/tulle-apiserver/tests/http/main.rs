//! What clients of the API see, one file per behaviour.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod auth;
mod bad_input;
mod discovery;
mod objects;
mod paging;
mod patching;
mod refusals;
mod scale;
mod support;
mod tables;
mod watching;
