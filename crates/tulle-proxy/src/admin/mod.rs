//! The HTTP ports of the main thread: administration, health, metrics. None of them is on the path of a request.

mod certs;
mod clusters;
mod config_dump;
mod exposition;
mod http;
mod info;
mod merged;
mod probes;
mod routes;
mod stats;

pub(crate) use clusters::{Told, told};
pub use config_dump::dump_as_json;
pub(crate) use http::serve;
pub(crate) use stats::{Shown, snapshot};

/// What one port shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposed {
    /// Everything (15000, loopback, or the bootstrap's `admin`).
    Admin,
    /// `/stats/prometheus` of the proxy alone (15090).
    Prometheus,
    /// `/healthz/ready`, merged metrics, probes of the application, `/quitquitquit` (15020).
    Status,
    /// `/healthz/ready` (15021).
    Health,
}
