//! What the files say, object by object: the last good version of each.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tulle_api::{Object, parse_manifests};
use tulle_base::{Diagnostic, Diagnostics, FieldPath, ResourceRef, Severity, SourceSpan};

use super::files::FileChange;

/// What the files say.
#[derive(Debug, Default)]
pub(super) struct Desired {
    /// By file, what it says, in the order of the file.
    files: HashMap<PathBuf, Vec<(ResourceRef, Arc<Object>)>>,
    /// By object, what holds.
    winners: BTreeMap<ResourceRef, Arc<Object>>,
    /// Second definitions that were reported already, with the place of the first.
    reported: HashMap<(ResourceRef, SourceSpan), SourceSpan>,
}

impl Desired {
    /// Takes in what changed; `order` says which file wins.
    pub(super) fn update(
        &mut self,
        changes: Vec<FileChange>,
        order: &[PathBuf],
        diagnostics: &mut Diagnostics,
    ) {
        for change in changes {
            match change {
                FileChange::Content(path, bytes) => self.read(&path, &bytes, diagnostics),
                FileChange::Gone(path) => drop(self.files.remove(&path)),
                FileChange::Unreadable(path, error) => {
                    let file: Arc<str> = path.to_string_lossy().into();
                    let message = format!("cannot be read: {error}; what it said before stays in force");
                    let span = SourceSpan { file, line: 1, column: 1 };
                    diagnostics.push(Diagnostic::error(FieldPath::root(), message).with_span(span));
                }
            }
        }
        self.decide(order, diagnostics);
    }

    fn read(&mut self, path: &Path, bytes: &[u8], diagnostics: &mut Diagnostics) {
        let (objects, found) = parse_manifests(&path.to_string_lossy(), bytes);
        let mut now: Vec<(ResourceRef, Arc<Object>)> =
            objects.into_iter().map(|o| (o.resource(), Arc::new(o))).collect();
        // A resource that lost its metadata is not applied, as one with an error.
        let nothing = |d: &&Diagnostic| {
            d.severity == Severity::Error || (tulle_api::is_fragment(d) && d.resource.is_some())
        };
        let errors = || found.iter().filter(nothing);
        // An error that names no object may be about any object of the file.
        let nameless = errors().any(|d| d.resource.as_ref().is_none_or(|r| r.name.is_empty()));
        let mut kept = Vec::new();
        for (resource, object) in self.files.remove(path).unwrap_or_default() {
            let still_there = now.iter().any(|(r, _)| *r == resource);
            let broken = errors().find(|d| d.resource.as_ref() == Some(&resource));
            if !still_there && (nameless || broken.is_some()) {
                let place = broken.or_else(|| errors().next()).and_then(|d| d.span.clone());
                kept.push(kept_in_force(&resource, place));
                now.push((resource, object));
            }
        }
        diagnostics.extend(found);
        diagnostics.extend(kept);
        self.files.insert(path.to_owned(), now);
    }

    fn decide(&mut self, order: &[PathBuf], diagnostics: &mut Diagnostics) {
        self.winners.clear();
        let mut seconds = HashMap::new();
        for (resource, object) in order.iter().filter_map(|f| self.files.get(f)).flatten() {
            let Some(first) = self.winners.get(resource) else {
                self.winners.insert(resource.clone(), object.clone());
                continue;
            };
            if let (Some(second), Some(first)) = (&object.origin, &first.origin) {
                let key = (resource.clone(), second.clone());
                if self.reported.get(&key) != Some(first) {
                    diagnostics.push(defined_twice(resource, first, second));
                }
                seconds.insert(key, first.clone());
            }
        }
        self.reported = seconds;
    }

    /// What must be deleted so that nothing of `applied` is there that the files do not say.
    pub(super) fn gone(&self, applied: &BTreeMap<ResourceRef, Arc<Object>>) -> Vec<ResourceRef> {
        applied.keys().filter(|r| !self.winners.contains_key(r)).cloned().collect()
    }

    /// What must be written so that everything is there that the files say.
    pub(super) fn differences(
        &self,
        applied: &BTreeMap<ResourceRef, Arc<Object>>,
    ) -> Vec<(ResourceRef, Arc<Object>)> {
        let differs =
            |r: &ResourceRef, o: &Arc<Object>| applied.get(r).is_none_or(|a| !Arc::ptr_eq(a, o) && a != o);
        self.winners.iter().filter(|(r, o)| differs(r, o)).map(|(r, o)| (r.clone(), o.clone())).collect()
    }
}

/// Says that a store does not take an object.
pub(super) fn refused(resource: &ResourceRef, object: &Object, reason: &str) -> Diagnostic {
    let mut diagnostic =
        Diagnostic::error(FieldPath::from("metadata"), format!("cannot be stored: {reason}"));
    diagnostic.span.clone_from(&object.origin);
    diagnostic.with_resource(resource.clone())
}

fn kept_in_force(resource: &ResourceRef, place: Option<SourceSpan>) -> Diagnostic {
    let mut diagnostic = Diagnostic::warning(FieldPath::root(), "its last good version stays in force")
        .with_fix("repair the file, or remove the object from it to remove it from the mesh");
    diagnostic.span = place;
    diagnostic.with_resource(resource.clone())
}

fn defined_twice(resource: &ResourceRef, first: &SourceSpan, second: &SourceSpan) -> Diagnostic {
    let message = format!("is defined at {first} and again at {second}; the one at {first} is in force");
    Diagnostic::error(FieldPath::root(), message)
        .with_fix("remove one of them")
        .with_span(second.clone())
        .with_resource(resource.clone())
}
