//! The control plane's immutable snapshot of services, workloads, routing and policy.
//!
//! Documents ([`tulle_api::Object`]) become model items ([`item::Item`]), each by itself. A [`Snapshot`] holds the items
//! and what is derived from several of them, in persistent maps; [`Snapshot::apply`] takes changes of documents and
//! derives again only what depends on them, and says which keys changed.
//!
//! Nothing here knows xDS, I/O or a clock. (What EnvoyFilters bring are messages of xDS; they are kept as bytes.)

pub mod config;
mod convert;
pub mod destination;
pub mod endpoint;
pub mod entry;
pub mod envoy_filter;
pub mod gateway;
pub mod headers;
pub mod ingress;
pub mod item;
pub mod kube;
pub mod meta;
pub mod network;
pub mod node;
pub mod policy;
pub mod port;
pub mod provider;
pub mod proxies;
pub mod routing;
pub mod service;
pub mod settings;
pub mod sidecar;
pub mod slice;
pub mod snapshot;
pub mod telemetry;
pub mod visibility;
pub mod workload;

pub use config::MeshConfig;
pub use convert::virtual_service::own as annotations;
pub use meta::{Meta, NsName};
pub use snapshot::{Change, ChangedKeys, Conflict, MissingSubset, Outcome, Snapshot};
