//! What the mesh's proxies count, kept for a while and answered to whoever asks.
//!
//! [`store`] keeps time series in bounded memory and files.

pub mod store;
