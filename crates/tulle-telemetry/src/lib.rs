//! Metric names, labels, histograms and access log lines, decided in one place.
//!
//! * [`metrics`]: the store that each worker owns (no lock, no formatting on the path of a request), snapshots merged when somebody
//!   scrapes, Prometheus text.
//! * [`access_log`]: Envoy's access log formats, compiled once, rendered without allocating.
//! * [`cel`]: expressions over the attributes of a request, for labels of metrics and filters of access logs.
//! * [`flags`], [`details`]: why a response is what it is, in Envoy's words.
//! * [`audit`]: security events for auditors, one JSON object a line.
//! * [`trace`]: contexts in headers, spans, and the forms in which collectors take them.
//! * [`events`]: what can go wrong with a peer, with the counter, log line and answer that belong to it.

pub mod access_log;
pub mod audit;
pub mod cel;
pub mod details;
pub mod events;
pub mod flags;
pub mod metrics;
pub mod trace;

pub use flags::{ResponseFlag, ResponseFlags};
