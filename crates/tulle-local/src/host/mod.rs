//! The host side: what happens outside of the mesh's namespaces.

mod agent_process;
pub mod check;
pub mod client;
pub mod down;
mod feature_check;
mod port_owner;
pub mod state;
pub mod up;

pub use feature_check::{CHECK_COMMAND, run as run_feature_check};
