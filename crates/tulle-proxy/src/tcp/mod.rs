//! Raw TCP: [`proxy`] decides where a connection goes, [`relay`] moves its bytes.

pub(crate) mod admission;
pub(crate) mod proxy;
pub(crate) mod relay;
mod tunnel;
