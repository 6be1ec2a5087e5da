//! What the mesh's proxies count, kept for a while and answered to whoever asks.
//!
//! [`store`] keeps time series in bounded memory and files; [`query`] evaluates PromQL over them; [`http`] answers as Prometheus does.

pub mod http;
pub mod query;
pub mod store;
