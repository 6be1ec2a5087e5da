//! HTTP: messages, exchanges and what is decided about them.

pub(crate) mod h1;
pub(crate) mod side;
