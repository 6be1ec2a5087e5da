//! The node: turns pod objects into running pods and reports what became of them (what kubelet does on a cluster).

mod build;
mod files;
pub mod images;
pub mod kubelet;
pub mod paths;
mod probes;
mod proxy;
mod running;
mod status;
pub mod token;
mod variables;
mod volumes;

pub use build::BuildError;
