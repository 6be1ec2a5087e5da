//! What would be wrong if a text were put into the mesh.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

use tulle_api::Object;
use tulle_base::ResourceRef;
use tulle_dashboard::plane::{Finding, Validation};

use super::Console;
use super::model::reference;
use super::resources::finding;

/// The name of a text in places.
pub(super) const TEXT: &str = "text";

impl Console {
    pub(super) fn validated(&self, yaml: &str, all: bool) -> Validation {
        let (objects, problems) = tulle_api::parse_manifests(TEXT, yaml.as_bytes());
        let written: HashSet<ResourceRef> = objects.iter().map(Object::resource).collect();
        let mut out: Vec<Finding> = problems.iter().map(|d| finding(d, Some(TEXT))).collect();
        let resources = objects.iter().map(|o| reference(&o.resource())).collect();
        let before = self.found_now();
        for found in self.analyzed(objects) {
            let own = found.resource.as_ref().is_some_and(|r| written.iter().any(|w| reference(w) == *r));
            let new = || !before.iter().any(|b| same(b, &found));
            if (own || all || new()) && !out.iter().any(|o| same(o, &found)) {
                out.push(found);
            }
        }
        Validation { valid: !out.iter().any(|f| f.severity == "error"), resources, diagnostics: out }
    }

    /// What is wrong in the mesh as it is.
    fn found_now(&self) -> Arc<Vec<Finding>> {
        let version = self.known().version;
        let held = self.found.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((of, found)) = held
            && of == version
        {
            return found;
        }
        let found = Arc::new(self.analyzed(Vec::new()));
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some((version, Arc::clone(&found)));
        found
    }

    /// What is wrong in the mesh with these objects in it.
    fn analyzed(&self, objects: Vec<Object>) -> Vec<Finding> {
        let written: HashSet<ResourceRef> = objects.iter().map(Object::resource).collect();
        let mut all: Vec<Arc<Object>> = objects.into_iter().map(Arc::new).collect();
        {
            let kept = self.kept();
            all.extend(kept.objects.values().filter(|o| !written.contains(&o.resource())).cloned());
        }
        let mesh = self.known().snapshot.mesh().clone();
        let mut found = tulle_analysis::analyze(&all, mesh);
        if let Some(check) = self.needs.patch_check {
            found.extend(check(&all));
        }
        found.iter().map(|d| finding(d, Some(TEXT))).collect()
    }
}

/// Whether two findings say the same, wherever they were written.
fn same(a: &Finding, b: &Finding) -> bool {
    (&a.code, &a.resource, &a.field, &a.message) == (&b.code, &b.resource, &b.field, &b.message)
}
