//! The main thread: what the proxy is told, by whom, and how it reaches the workers.
//!
//! A plan comes from a bootstrap file or from the node agent ([`Plan`]); [`run`] carries it out on one single-threaded runtime:
//! identity, xDS, DNS of the pod, administration. Configuration passes through the book ([`book`]), which refuses what is broken
//! by name and lets nothing half-finished through, and reaches the workers as lists of changed resources.

pub mod agent;
mod book;
pub mod bootstrap;
mod compile;
mod counted;
mod dump;
mod evict;
mod fds;
mod health;
mod identity;
mod main_thread;
mod needs;
mod plan;
pub(crate) mod resolve;
mod run;
mod saved;
mod secrets;
mod signals;
mod trust;
mod turn;
mod upload;
mod xds;

pub use crate::admin::dump_as_json;
pub use agent::AgentError;
pub use fds::FdError;
pub(crate) use main_thread::Main;
pub use plan::{IdentityPlan, MeshServer, PROXY_MARK, Plan, XdsPlan, XdsServer};
pub use run::{BootError, Hooks, SetLogLevels, run};
