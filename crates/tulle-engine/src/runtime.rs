//! The compiled configuration: what the data path reads, and nothing that it must interpret.
//!
//! Each resource is immutable behind an `Arc` and replaced as a whole: [`Listener`], [`HttpManager`], [`RouteTable`],
//! [`Cluster`], [`EndpointSet`]. An `Option<Duration>` is a limit that may be absent (`None`: no limit); it is never
//! a default still to be looked up.

pub mod access_log;
pub mod bootstrap;
pub mod cluster;
pub mod compression;
pub mod cors;
pub mod csrf;
pub mod endpoint;
pub mod error_matcher;
pub mod ext_authz;
pub mod fault;
pub mod filter;
pub mod forward_proxy;
pub mod global_rate_limit;
pub mod grpc_service;
pub mod header_mutation;
pub mod headers;
pub mod health;
pub mod health_check;
pub mod http_manager;
pub mod jwt;
pub mod listener;
pub mod matcher;
pub mod metadata;
pub mod net;
pub mod policy_index;
pub mod rate_limit;
pub mod rbac;
pub mod retry;
pub mod route;
pub mod session;
pub mod tls;
pub mod tracing;

pub use access_log::AccessLog;
pub use bootstrap::Bootstrap;
pub use cluster::Cluster;
pub use endpoint::{Endpoint, EndpointSet};
pub use filter::{HttpFilter, HttpFilterKind};
pub use http_manager::HttpManager;
pub use listener::{FilterChain, Listener, TcpProxy};
pub use route::{Route, RouteTable, VirtualHost};
