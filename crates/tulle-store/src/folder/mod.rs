//! Files of YAML as the source of a store: read at the start, watched from then on.
//!
//! The path of an edit: the kernel tells that a file was written and closed ([`watcher`]) → the file is read again and
//! compared ([`files`]) → what it says now replaces what it said, object by object, and a broken object keeps its last
//! good version ([`desired`]) → the differences go to the store.

mod desired;
mod files;
mod watcher;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tulle_api::{Kind, Object};
use tulle_base::{Diagnostics, ResourceRef};

use crate::{Store, StoreError};
use desired::Desired;
use files::Files;
pub use files::manifest_files;
use watcher::Watcher;

/// Why files cannot be watched at all.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct FolderError {
    /// The path as the user gave it.
    pub path: PathBuf,
    /// What the kernel says.
    pub source: std::io::Error,
}

/// Files and folders that feed a store. Folders are read with everything below them; of what is in them, names that end
/// in `.yaml`, `.yml` or `.json` and do not begin with a dot.
#[derive(Debug)]
pub struct Folder {
    files: Files,
    watcher: Watcher,
    desired: Desired,
    applied: BTreeMap<ResourceRef, Arc<Object>>,
}

/// What one look at the files did.
#[derive(Debug, Default)]
pub struct Report {
    /// What is wrong with the files that changed.
    pub diagnostics: Diagnostics,
    /// Objects that were created or replaced.
    pub put: Vec<ResourceRef>,
    /// Objects that were deleted.
    pub deleted: Vec<ResourceRef>,
}

impl Report {
    /// Whether nothing changed and nothing is to be said.
    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty() && self.put.is_empty() && self.deleted.is_empty()
    }
}

impl Folder {
    /// Begins to watch `paths`; nothing is read yet. Where an object is given twice, the earlier path wins.
    ///
    /// # Errors
    /// [`FolderError`] when a path does not exist or cannot be read.
    pub fn open(paths: &[PathBuf]) -> Result<Self, FolderError> {
        let files = Files::new(paths)?;
        Ok(Self { files, watcher: Watcher::new(), desired: Desired::default(), applied: BTreeMap::new() })
    }

    /// Reads everything and makes `store` agree with it. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The store's; calling again goes on where it stopped.
    pub async fn load(&mut self, store: &dyn Store) -> Result<Report, StoreError> {
        self.refresh(store).await
    }

    /// Waits for a change of the files and makes `store` agree with it; about 50 ms after the last write. May be dropped
    /// half-way.
    ///
    /// # Errors
    /// The store's; calling again goes on where it stopped.
    pub async fn next(&mut self, store: &dyn Store) -> Result<Report, StoreError> {
        loop {
            self.watcher.settled(self.files.look_again()).await;
            let report = self.refresh(store).await?;
            if !report.is_empty() {
                return Ok(report);
            }
        }
    }

    async fn refresh(&mut self, store: &dyn Store) -> Result<Report, StoreError> {
        let changes = self.files.scan(&mut self.watcher);
        let mut report = Report::default();
        self.desired.update(changes, &self.files.order(), &mut report.diagnostics);
        for resource in self.desired.gone(&self.applied) {
            store.delete(&resource).await?;
            self.applied.remove(&resource);
            report.deleted.push(resource);
        }
        let mut puts = self.desired.differences(&self.applied);
        puts.sort_by_key(|(resource, object)| (rank(object.kind()), resource.clone()));
        for (resource, object) in puts {
            match store.put(for_store(&object)).await {
                Ok(_) => report.put.push(resource.clone()),
                Err(StoreError::Invalid { reason, .. }) => {
                    report.diagnostics.push(desired::refused(&resource, &object, reason.as_str()));
                }
                Err(error) => return Err(error),
            }
            self.applied.insert(resource, object);
        }
        Ok(report)
    }
}

/// What is needed first comes first: pods start when their configuration is there.
fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::Namespace => 0,
        Kind::ServiceAccount => 1,
        Kind::ConfigMap | Kind::Secret => 2,
        Kind::Service | Kind::EndpointSlice => 3,
        Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet | Kind::DaemonSet | Kind::Job | Kind::Pod => {
            5
        }
        _ => 4,
    }
}

/// The object without what only a store may say: files from `kubectl get -o yaml` have it.
fn for_store(object: &Object) -> Object {
    let mut object = object.clone();
    object.meta.uid.clear();
    object.meta.resource_version.clear();
    object.meta.generation = None;
    object.status = None;
    object
}
