//! What clients of the API see, one file per behaviour.

mod auth;
mod bad_input;
mod discovery;
mod objects;
mod paging;
mod support;
mod watching;
