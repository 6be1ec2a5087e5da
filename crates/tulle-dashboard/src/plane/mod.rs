//! What the dashboard is told by a control plane: what there is, who has what, and what is done when somebody writes.
//!
//! The dashboard knows no control plane: whoever has one implements [`Plane`]. What it returns is data in the form in which the pages
//! read it; what was counted is not in it, that is the store's.

mod model;
mod proxies;
mod resources;
mod security;

use std::pin::Pin;
use std::sync::Arc;

pub use model::{
    Abort, Applied, Badge, Delay, Endpoint, Fault, Mirror, Model, Peering, Pod, Port, Reference, Retries,
    Route, Service, Subset, Target, Workload,
};
pub use proxies::{Proxies, Proxy, TypeState, Unconnected};
pub use resources::{
    Change, FieldChange, Finding, KindRow, Meant, Programmed, ProxyStanding, Refusal, Resource, ResourceRow,
    Validation, Version, Written, Wrote,
};
pub use security::{Certificate, Certificates, Grant, Policy, PolicyRule, Root};

/// An answer that takes a while.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A control plane, as far as the dashboard needs one.
pub trait Plane: Send + Sync {
    /// What there is. The same one as long as nothing changed. May take a while to make; never waits for anybody.
    fn model(&self) -> Arc<Model>;

    /// Counts what [`Plane::model`] depends on; cheap.
    fn version(&self) -> u64;

    /// The proxies, and how far each is.
    fn proxies(&self) -> Later<'_, Proxies>;

    /// What one proxy was sent, type by type; `None` if it is not connected.
    fn dump<'a>(&'a self, proxy: &'a str) -> Later<'a, Option<serde_json::Value>>;

    /// What the control plane says of itself.
    fn about(&self) -> Later<'_, serde_json::Value>;

    /// The resources of the mesh, and their kinds.
    fn resources(&self) -> (Vec<ResourceRow>, Vec<KindRow>);

    /// One resource as it is.
    fn resource<'a>(&'a self, id: &'a str) -> Later<'a, Option<Resource>>;

    /// One version of a resource, with its text.
    fn version_of(&self, id: &str, version: u64) -> Option<(Version, Option<String>)>;

    /// What changed since a moment (seconds since 1970), newest first, at most `most`.
    fn changes(&self, since: f64, most: usize) -> Vec<Change>;

    /// What would be wrong if this text were put into the mesh as it is. `all`: also what is wrong already and elsewhere.
    fn validate(&self, yaml: &str, all: bool) -> Validation;

    /// What differs between two texts of a resource, field by field.
    fn compare(&self, from: &str, to: &str) -> Vec<FieldChange>;

    /// Writes, or says what would be written.
    fn write<'a>(&'a self, meant: Meant, who: &'a str, dry_run: bool) -> Later<'a, Result<Wrote, Refusal>>;

    /// The certificates that are known.
    fn certificates(&self) -> Certificates;

    /// The policies of the mesh with the workloads that they are for.
    fn policies(&self) -> Vec<Policy>;

    /// Who may call a workload (`NAMESPACE/NAME`), as far as it can be said without a request.
    fn access(&self, to: &str) -> Vec<Grant>;

    /// Tells the audit log of something that was done or refused on the dashboard.
    fn audit(&self, who: &str, what: &str, refused: Option<&str>);

    /// Waits until something changed after `seen` (of [`Plane::version`]), and returns what the version is then.
    fn changed(&self, seen: u64) -> Later<'_, u64>;
}
