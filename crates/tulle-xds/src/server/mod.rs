//! The ADS server: sets of shared resources, and streams that each know what their client has.

mod catalog;
mod core;
mod desk;
mod grpc;
mod hub;
mod ids;
mod layers;
mod report;
mod set;
mod stream;
mod subscription;

pub use self::catalog::{Catalog, StandIn, TypeConfig, TypeId};
pub use self::core::ServerCore;
pub use self::grpc::AdsService;
pub use self::hub::{Hub, HubEvent, Peer, StreamSnapshot};
pub use self::ids::{Protocol, SetId, StreamId, StreamOptions};
pub use self::layers::Layers;
pub use self::report::{CoreEvent, Limits, Outgoing, Refusal, Response, TypeStatus, Violation};
pub use self::set::Change;
