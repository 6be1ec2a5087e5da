//! The node agent: pid 1 of the mesh. It owns the store, the controllers, the node and everything that listens for them.

mod api;
mod control;
mod findings;
mod forward;
mod mounts;
pub mod protocol;
mod run;
mod select;
mod summary;
mod synced;
mod uplink;

pub use run::{AGENT_COMMAND, run};
