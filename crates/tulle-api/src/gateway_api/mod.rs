//! The Kubernetes Gateway API: `gateway.networking.k8s.io` and, for what is being tried out, `gateway.networking.x-k8s.io`.
//!
//! The types mirror the documents (gateway-api.sigs.k8s.io/reference/spec), experimental fields included, and do nothing.

mod backend_tls_policy;
mod common;
mod filter;
mod gateway;
mod gateway_class;
mod grpc_route;
mod http_route;
mod l4_route;
mod listener_set;
mod reference_grant;
mod x_backend;
mod x_backend_traffic_policy;
mod x_mesh;

pub use backend_tls_policy::*;
pub use common::*;
pub use filter::*;
pub use gateway::*;
pub use gateway_class::*;
pub use grpc_route::*;
pub use http_route::*;
pub use l4_route::*;
pub use listener_set::*;
pub use reference_grant::*;
pub use x_backend::*;
pub use x_backend_traffic_policy::*;
pub use x_mesh::*;
