//! Least privilege from traffic: what proxies counted, held against what policies allow.
//!
//! [`observed`] asks a Prometheus for what was counted, [`live`] the API for what runs; the rest are functions of the two.

pub(crate) mod gap;
pub(crate) mod live;
pub(crate) mod observed;
pub(crate) mod ready;
pub(crate) mod suggest;

#[cfg(test)]
mod tests;
