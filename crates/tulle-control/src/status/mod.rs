//! The status of the mesh's resources: whether they are well written, whether the proxies that they concern have them, and
//! what stands in their way. docs/status.md says it to users.

mod conditions;
mod features;
mod flow;
mod kube;
mod write;

pub(crate) use conditions::{Programmed, Verdict};
pub(crate) use flow::Flow;
pub(crate) use kube::Kube;
pub(crate) use write::write;
