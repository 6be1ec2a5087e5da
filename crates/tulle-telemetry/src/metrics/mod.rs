//! Metrics: a store for each worker, snapshots that add up, Prometheus text.
//!
//! A worker owns its [`Store`]; counting is one hash look-up and some additions, and never formats text. Whoever scrapes asks each
//! worker for a [`Snapshot`], merges them and renders the result.

pub mod delta;
pub mod exemplar;
pub mod gauge_set;
pub mod histogram;
mod idle;
pub mod labels;
mod pairs;
mod process;
pub mod prometheus;
pub mod proxy;
mod routes;
pub mod rules;
pub mod snapshot;
pub mod store;

pub use delta::{Delta, Described, Feed, SeriesKind, Told};
pub use exemplar::{TraceHeader, TraceId};
pub use gauge_set::{Extra, ExtraKind};
pub use histogram::Histogram;
pub use idle::Idle;
pub use labels::{PeerLabels, Protocol, Reporter, SecurityPolicy, ServiceLabels};
pub use process::process;
pub use prometheus::{Exposure, Format, render, render_as};
pub use rules::{LabelRules, Metric, MetricRule, RulesId, TagsId};
pub use snapshot::Snapshot;
pub use store::{PeerId, RequestKey, RequestSample, ServiceId, Store, TcpKey, TrafficKey};
