//! Analysis of a whole configuration: what validation of one object cannot see. One analyzer per file.
//!
//! [`analyze`] asks every analyzer. Each is a function from a [`Whole`] to findings; what several of them need to know is in
//! [`reason`]. Nothing here knows I/O or a clock.

pub mod absent;
pub mod analyzer;
pub mod analyzers;
pub mod reason;
mod suppress;
pub mod whole;

use std::sync::Arc;

use tulle_api::Object;
use tulle_base::{Diagnostics, FieldPath, ResourceRef};

pub use analyzer::{Analyzer, Findings};
pub use suppress::{BadSuppression, Suppression};
pub use tulle_mesh::MeshConfig;
pub use whole::Whole;

/// Everything that is wrong between `objects` under the settings of `mesh`: what the model says of them, and the findings of
/// every analyzer, in the order of the objects. Settings of the mesh that are among the objects go before `mesh`. What single objects are wrong about by themselves is validation's business.
pub fn analyze(objects: &[Arc<Object>], mesh: MeshConfig) -> Diagnostics {
    let mesh = reason::written::with_written(mesh, objects.iter().map(|o| &**o));
    let whole = Whole::new(objects, mesh);
    let mut found: Diagnostics =
        analyzers::all().flat_map(|(_, analyzer)| Findings::of(analyzer, &whole)).collect();
    let told: std::collections::HashSet<(ResourceRef, FieldPath)> =
        found.iter().filter_map(|d| Some((d.resource.clone()?, d.field.clone()))).collect();
    for note in whole.snapshot().diagnostics() {
        // An analyzer that says something about the same field says it better.
        let known = note.resource.clone().is_some_and(|r| told.contains(&(r, note.field.clone())));
        if !known {
            let mut note = note.clone();
            let object = note.resource.as_ref().and_then(|r| whole.object(r));
            note.span = note.span.or_else(|| object.and_then(|o| o.origin.clone()));
            found.push(note);
        }
    }
    let place: std::collections::HashMap<ResourceRef, usize> =
        objects.iter().enumerate().map(|(i, o)| (o.resource(), i)).collect();
    found.sort_by_key(|d| d.resource.as_ref().and_then(|r| place.get(r).copied()));
    found
}
