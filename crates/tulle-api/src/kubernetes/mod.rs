//! The Kubernetes resources that a mesh on one machine runs or reads, with the fields that matter there.
//!
//! Fields that cannot have an effect on one machine are listed too, kept as written, and reported with the reason.

mod cluster;
mod config;
mod container;
mod defaults;
mod endpoint_slice;
mod ingress;
mod pod;
mod pod_status;
mod probe;
mod service;
mod volume;
mod workload;

pub use cluster::*;
pub use config::*;
pub use container::*;
pub use endpoint_slice::*;
pub use ingress::*;
pub use pod::*;
pub use pod_status::*;
pub use probe::*;
pub use service::*;
pub use volume::*;
pub use workload::*;
