//! Listeners: from an accepted socket to a filter chain.

pub(crate) mod accept;
pub mod bind;
pub(crate) mod chain;
pub(crate) mod client_hello;
pub(crate) mod connection;
pub(crate) mod facts;
pub mod limits;
pub(crate) mod proxy_protocol;
pub(crate) mod registry;
pub(crate) mod sniff;
