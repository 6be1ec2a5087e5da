//! What the mesh's proxies count, kept for a while and answered to whoever asks.
//!
//! [`store`] keeps time series in bounded memory and files; [`query`] evaluates PromQL over them; [`graph`] says who
//! calls whom; [`http`] answers as Prometheus does.

pub mod graph;
pub mod http;
pub mod query;
pub mod store;
