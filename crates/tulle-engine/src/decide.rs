//! The decisions: pure functions of compiled configuration, a view of the connection or request, time and randomness.
//!
//! Nothing here blocks, reads a clock or draws a random number: the caller passes them. What the data path does and
//! what `explain` tells come from the same functions.

pub mod authorize;
pub mod balance;
pub mod breaker;
pub mod client;
pub mod compression;
pub mod cors;
pub mod csrf;
pub mod descriptor;
pub mod ext_authz;
pub mod fault;
pub mod filter_chain;
pub mod format;
pub mod global_rate_limit;
pub mod hash;
pub mod header_mutation;
pub mod header_ops;
pub mod health;
pub mod jwt;
pub mod local_rate_limit;
pub mod matcher;
pub mod metadata;
pub mod names;
pub mod outlier;
pub mod path;
pub mod retry;
pub mod rewrite;
pub mod route;
pub mod session;
pub mod throttle;
pub mod timeout;
pub mod token_bucket;
pub mod view;
