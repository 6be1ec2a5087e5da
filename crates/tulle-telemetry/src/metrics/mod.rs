//! Metrics: a store for each worker, snapshots that add up, Prometheus text.
//!
//! A worker owns its [`Store`]; counting is one hash look-up and some additions, and never formats text. Whoever scrapes asks each
//! worker for a [`Snapshot`], merges them and renders the result.

pub mod delta;
pub mod gauge_set;
pub mod histogram;
pub mod labels;
pub mod prometheus;
pub mod proxy;
pub mod snapshot;
pub mod store;

pub use delta::{Delta, Described, Feed, SeriesKind, Told};
pub use gauge_set::{Extra, ExtraKind};
pub use histogram::Histogram;
pub use labels::{PeerLabels, Protocol, Reporter, SecurityPolicy, ServiceLabels};
pub use prometheus::{Exposure, render};
pub use snapshot::Snapshot;
pub use store::{PeerId, RequestKey, RequestSample, ServiceId, Store, TcpKey, TrafficKey};
