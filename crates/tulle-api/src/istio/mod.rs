//! Istio's resources: `networking.istio.io`, `security.istio.io`, `telemetry.istio.io` and `extensions.istio.io`.
//!
//! The types mirror the documents (istio.io/latest/docs/reference/config) and do nothing.

mod authorization_policy;
mod common;
mod destination_rule;
mod envoy_filter;
mod gateway;
mod peer_authentication;
mod proxy_config;
mod request_authentication;
mod service_entry;
mod sidecar;
mod telemetry;
mod traffic_policy;
mod virtual_service;
mod wasm_plugin;
mod workload_group;

pub use authorization_policy::*;
pub use common::*;
pub use destination_rule::*;
pub use envoy_filter::*;
pub use gateway::*;
pub use peer_authentication::*;
pub use proxy_config::*;
pub use request_authentication::*;
pub use service_entry::*;
pub use sidecar::*;
pub use telemetry::*;
pub use traffic_policy::*;
pub use virtual_service::*;
pub use wasm_plugin::*;
pub use workload_group::*;
