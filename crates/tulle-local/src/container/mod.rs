//! A container: a process in its pod's network namespace with mounts and a host name of its own.
//!
//! The agent writes a [`spec::RunSpec`], starts this program again as `tulle node-run` ([`launch`]), and that process turns
//! itself into the container's ([`shim`]): it may allocate and fail in peace, which the moment after a fork may not.

pub mod launch;
mod mounts;
mod root;
pub mod shim;
pub mod spec;
