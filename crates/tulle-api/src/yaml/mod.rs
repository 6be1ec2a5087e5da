//! YAML (and JSON, which is a part of it) to [`Node`](crate::node::Node)s, as Kubernetes reads it, and JSON as YAML.
//!
//! Each document of a file is read on its own, so that a broken one leaves the others alone.

mod build;
mod scalar;
mod split;
mod write;

pub(crate) use build::{Problem, read_document};
pub(crate) use split::split;
pub use write::to_yaml;

/// Largest file that is read: 16 MiB.
pub(crate) const MAX_BYTES: usize = 16 << 20;
/// Deepest nesting that is read.
pub(crate) const MAX_DEPTH: usize = 64;
/// Most values in one document, aliases expanded; a long document may have one for every four bytes.
pub(crate) const MAX_NODES: usize = 400_000;
