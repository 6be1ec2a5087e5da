//! The mesh on one machine, through the command alone: it comes up, can be looked into, and leaves nothing behind.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test ends at the first surprise and says why it was skipped"
)]

mod api;
mod leftovers;
mod machine;
mod pods;
mod refusals;
