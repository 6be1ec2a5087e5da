//! Raw TCP.

pub(crate) mod relay;
