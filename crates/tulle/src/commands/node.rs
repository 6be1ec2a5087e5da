//! The processes of a mesh that this program starts by itself: node agent, containers, and the check of the kernel.

use std::process::ExitCode;
use std::sync::Arc;

use super::mesh::BuiltIn;

/// The node agent (pid 1 of the mesh).
pub(crate) fn agent() -> ExitCode {
    tulle_local::agent::run(Arc::new(BuiltIn))
}

/// Becomes a container's first process.
pub(crate) fn container() -> ExitCode {
    tulle_local::container::shim::run()
}

/// Tries what the kernel can do.
pub(crate) fn check() -> ExitCode {
    tulle_local::host::run_feature_check()
}
