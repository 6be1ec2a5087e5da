//! Tulle's own resources (`policy.tulle.dev`).

mod rate_limit;

pub use rate_limit::*;

/// The group of these resources.
pub const GROUP: &str = "policy.tulle.dev";
