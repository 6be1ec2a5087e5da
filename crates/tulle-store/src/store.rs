//! The trait, and what goes through it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::Value;
use tulle_api::{Kind, Object};
use tulle_base::ResourceRef;

use crate::StoreError;

/// Counts the changes of a store, from 1. Objects carry the version of their last change as `resourceVersion`.
pub type Version = u64;

/// What a store answers with, some time later.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Objects with versions. Every method may be dropped half-way; a write may then have been done or not.
pub trait Store: Send + Sync {
    /// One object, if it exists.
    fn get<'a>(&'a self, resource: &'a ResourceRef) -> Answer<'a, Option<Arc<Object>>>;

    /// All objects that `filter` lets through, and the version to watch from.
    fn list(&self, filter: Filter) -> Answer<'_, Listing>;

    /// Creates or replaces an object, and returns it as stored.
    ///
    /// `meta.resource_version` says what is replaced: empty, whatever is there; `0`, nothing (it must not exist); otherwise
    /// exactly that version. The store sets uid, creation time, generation and version. A status is taken when the object is
    /// new; afterwards only [`Store::put_status`] changes it. Nothing happens, and no version is used up, when the object
    /// is the same as the stored one.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when something else is there.
    fn put(&self, object: Object) -> Answer<'_, Arc<Object>>;

    /// Replaces the status of an object; nothing happens when it is the same.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such object; [`StoreError::Conflict`] or [`StoreError::Replaced`] when it is not as
    /// `only_if` says.
    fn put_status_if<'a>(
        &'a self,
        resource: &'a ResourceRef,
        status: Value,
        only_if: Precondition,
    ) -> Answer<'a, Arc<Object>>;

    /// Deletes an object at once, whatever its finalizers, and returns what was there: `None` if there was nothing.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] or [`StoreError::Replaced`] when it is not as `only_if` says.
    fn delete_if<'a>(
        &'a self,
        resource: &'a ResourceRef,
        only_if: Precondition,
    ) -> Answer<'a, Option<Arc<Object>>>;

    /// Every change after version `from` that `filter` lets through.
    ///
    /// # Errors
    /// [`StoreError::Expired`] when changes after `from` are no longer known, now or later.
    fn watch(&self, filter: Filter, from: Version) -> Answer<'_, Watch>;

    /// [`Store::put_status_if`] without a condition.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such object.
    fn put_status<'a>(&'a self, resource: &'a ResourceRef, status: Value) -> Answer<'a, Arc<Object>> {
        self.put_status_if(resource, status, Precondition::default())
    }

    /// [`Store::delete_if`] without a condition.
    fn delete<'a>(&'a self, resource: &'a ResourceRef) -> Answer<'a, Option<Arc<Object>>> {
        self.delete_if(resource, Precondition::default())
    }
}

/// A store in this process, for those who cannot wait in an async function: these methods do what [`Store`]'s of their name do
/// before they return. A durable store may block the thread for as long as its disk takes.
pub trait LocalStore: Store + fmt::Debug {
    /// As [`Store::put`].
    ///
    /// # Errors
    /// As [`Store::put`].
    fn put_now(&self, object: Object) -> Result<Arc<Object>, StoreError>;

    /// As [`Store::put_status`].
    ///
    /// # Errors
    /// As [`Store::put_status`].
    fn put_status_now(&self, resource: &ResourceRef, status: Value) -> Result<Arc<Object>, StoreError>;

    /// As [`Store::delete_if`].
    ///
    /// # Errors
    /// As [`Store::delete_if`].
    fn delete_now(
        &self,
        resource: &ResourceRef,
        only_if: &Precondition,
    ) -> Result<Option<Arc<Object>>, StoreError>;

    /// As [`Store::get`]; never blocks.
    fn get_now(&self, resource: &ResourceRef) -> Option<Arc<Object>>;

    /// As [`Store::list`]; never blocks.
    fn list_now(&self, filter: &Filter) -> Listing;
}

/// What must be so for a write to be done; by default nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Precondition {
    /// The object is the one with this uid, not another one of the same name.
    pub uid: Option<String>,
    /// The object is at this version.
    pub version: Option<Version>,
}

/// Which objects; the default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these kinds; empty for all.
    pub kinds: Vec<Kind>,
    /// Only this namespace.
    pub namespace: Option<String>,
}

impl Filter {
    /// Objects of these kinds.
    pub fn kinds(kinds: &[Kind]) -> Self {
        Self { kinds: kinds.to_vec(), namespace: None }
    }

    /// Whether `object` passes.
    pub fn matches(&self, object: &Object) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&object.kind()))
            && self.namespace.as_ref().is_none_or(|ns| *ns == object.meta.namespace)
    }
}

/// The objects of a store at one version.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Version of the store; watch from here.
    pub version: Version,
    /// The objects, by kind, namespace and name.
    pub objects: Vec<Arc<Object>>,
}

/// One change of a store.
#[derive(Clone, Debug)]
pub struct Change {
    /// Version of the store after it; watch from here to go on.
    pub version: Version,
    /// What changed.
    pub event: Event,
}

/// What changed.
#[derive(Clone, Debug)]
pub enum Event {
    /// An object is new or different.
    Put(Arc<Object>),
    /// An object is gone; this is its last state.
    Delete(Arc<Object>),
    /// Nothing that the filter lets through, up to this version.
    Bookmark,
}

/// The changes of a store, as they come.
pub struct Watch(Box<dyn WatchSource>);

impl Watch {
    /// A watch over `source`.
    pub fn new(source: impl WatchSource + 'static) -> Self {
        Self(Box::new(source))
    }

    /// The next change. May be dropped half-way without losing one.
    ///
    /// # Errors
    /// [`StoreError::Expired`] when this watch fell too far behind; the errors of the connection for a remote store. After
    /// an error the watch is over.
    pub async fn next(&mut self) -> Result<Change, StoreError> {
        self.0.next().await
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// What a [`Watch`] reads from.
pub trait WatchSource: Send {
    /// The next change; dropping the answer half-way must not lose one.
    fn next(&mut self) -> Answer<'_, Change>;
}
