//! Compiled data-plane configuration and every decision made from it, without sockets or clocks.
//!
//! * [`runtime`]: what runs. One compiled, immutable type per xDS resource, shared by `Arc`; nothing in it is left to
//!   be interpreted by the data path: defaults are filled in, regular expressions compiled, numbers checked.
//! * [`compile`]: one function per Envoy message, from what travels to what runs.
//! * [`decide`]: the decisions, pure functions of compiled configuration, a view of the request, time and randomness.

pub mod compile;
pub mod decide;
pub mod runtime;
