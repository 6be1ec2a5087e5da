//! What the mesh's proxies count, kept for a while and answered to whoever asks.
//!
//! [`store`] keeps time series in bounded memory and files; [`query`] evaluates PromQL over them; [`graph`] says who
//! calls whom, [`layout`] where to draw them; [`http`] answers as Prometheus does; [`ui`] are the dashboard's pages. [`plane`] is
//! what a control plane has to tell for these, whose answers are made in [`pages`] of that and of what was counted.
//!
//! [`traces`] keeps spans and records of requests.

pub mod graph;
pub mod http;
pub mod layout;
pub mod pages;
pub mod plane;
pub mod query;
pub mod store;
pub mod traces;
pub mod ui;
