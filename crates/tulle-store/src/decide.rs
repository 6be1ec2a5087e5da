//! What a write does to an object: one decision for every store.

use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;
use tulle_api::value::Timestamp;
use tulle_api::{Kind, Object};
use tulle_base::ResourceRef;

use crate::store::{Precondition, Version};
use crate::{Refusal, StoreError};

/// What somebody wants done.
#[derive(Debug)]
pub(crate) enum Write {
    /// See [`crate::Store::put`].
    Put(Box<Object>),
    /// See [`crate::Store::put_status_if`].
    Status(ResourceRef, Value, Precondition),
    /// See [`crate::Store::delete_if`].
    Delete(ResourceRef, Precondition),
}

/// Where an object stands: kind, namespace and name.
pub(crate) type Key = (Kind, String, String);

impl Write {
    /// The object that it is about; `None` for a kind that does not exist here.
    pub(crate) fn key(&self) -> Option<Key> {
        match self {
            Self::Put(o) => Some((o.kind(), o.meta.namespace.clone(), o.meta.name.clone())),
            Self::Status(resource, ..) | Self::Delete(resource, _) => key_of(resource),
        }
    }
}

/// The place of `resource`; `None` for a kind that does not exist here.
pub(crate) fn key_of(resource: &ResourceRef) -> Option<Key> {
    let kind = Kind::find(&resource.group, &resource.kind)?;
    Some((kind, resource.namespace.clone(), resource.name.clone()))
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Decision {
    /// Nothing; this is there.
    Same(Option<Arc<Object>>),
    /// This is to be stored, with a new version.
    Put(Box<Object>),
    /// This is to be removed.
    Delete(Arc<Object>),
}

/// Decides about `write` where `current` is stored, at the time `now`.
///
/// # Errors
/// [`StoreError::Invalid`], [`StoreError::NotFound`], [`StoreError::Conflict`] and [`StoreError::Replaced`].
pub(crate) fn decide(
    write: Write,
    current: Option<&Arc<Object>>,
    now: SystemTime,
) -> Result<Decision, StoreError> {
    match write {
        Write::Put(object) => decide_put(object, current, now),
        Write::Status(resource, status, only_if) => {
            let current = current.ok_or_else(|| StoreError::NotFound(resource.clone()))?;
            check(&resource, current, &only_if)?;
            if current.status.as_ref() == Some(&status) {
                return Ok(Decision::Same(Some(current.clone())));
            }
            let mut object = Object::clone(current);
            object.status = Some(status);
            Ok(Decision::Put(Box::new(object)))
        }
        Write::Delete(resource, only_if) => {
            let Some(current) = current else { return Ok(Decision::Same(None)) };
            check(&resource, current, &only_if)?;
            Ok(Decision::Delete(current.clone()))
        }
    }
}

fn decide_put(
    mut object: Box<Object>,
    current: Option<&Arc<Object>>,
    now: SystemTime,
) -> Result<Decision, StoreError> {
    if let Some(reason) = refusal(&object) {
        return Err(StoreError::Invalid { resource: object.resource(), reason });
    }
    let found = current.map_or(0, |c| version_of(c));
    if let Some(expected) = expected_version(&object)?.filter(|e| *e != found) {
        return Err(StoreError::Conflict { resource: object.resource(), expected, found });
    }
    match current {
        Some(current) => {
            inherit(&mut object, current);
            if same(current, &object) {
                return Ok(Decision::Same(Some(current.clone())));
            }
            if current.spec != object.spec {
                object.meta.generation = Some(current.meta.generation.unwrap_or(0) + 1);
            }
        }
        None => initialise(&mut object, now),
    }
    Ok(Decision::Put(object))
}

fn refusal(object: &Object) -> Option<Refusal> {
    let bad = |text: &str| text.contains(|c: char| c == '/' || c.is_control());
    if object.meta.name.is_empty() {
        return Some(Refusal::NoName);
    }
    (bad(&object.meta.name) || bad(&object.meta.namespace)).then_some(Refusal::BadName)
}

fn check(resource: &ResourceRef, current: &Object, only_if: &Precondition) -> Result<(), StoreError> {
    let Precondition { uid, version } = only_if;
    if uid.as_ref().is_some_and(|u| *u != current.meta.uid) {
        return Err(StoreError::Replaced { resource: resource.clone(), found: current.meta.uid.clone() });
    }
    let found = version_of(current);
    match version {
        Some(expected) if *expected != found => {
            Err(StoreError::Conflict { resource: resource.clone(), expected: *expected, found })
        }
        _ => Ok(()),
    }
}

fn initialise(object: &mut Object, now: SystemTime) {
    if object.meta.uid.is_empty() {
        object.meta.uid = uid();
    }
    object.meta.generation = Some(1);
    if object.meta.creation_timestamp.is_none() {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        object.meta.creation_timestamp = Some(Timestamp::from_unix(seconds));
    }
}

/// Takes over what the user does not write from the object that is replaced.
fn inherit(object: &mut Object, current: &Object) {
    object.meta.uid.clone_from(&current.meta.uid);
    object.meta.creation_timestamp.clone_from(&current.meta.creation_timestamp);
    object.meta.generation = current.meta.generation;
    object.meta.resource_version.clone_from(&current.meta.resource_version);
    object.status.clone_from(&current.status);
    if object.origin.is_none() {
        object.origin.clone_from(&current.origin);
    }
    // Who was asked to go away does not come back.
    if current.meta.deletion_timestamp.is_some() {
        object.meta.deletion_timestamp.clone_from(&current.meta.deletion_timestamp);
    }
}

/// Whether nothing that matters differs: whether an object is from a file does, the line that it stands on does not.
fn same(a: &Object, b: &Object) -> bool {
    a.api_version == b.api_version
        && a.meta == b.meta
        && a.spec == b.spec
        && a.origin.is_some() == b.origin.is_some()
}

/// The version of a stored object.
pub(crate) fn version_of(object: &Object) -> Version {
    object.meta.resource_version.parse().unwrap_or(0)
}

fn expected_version(object: &Object) -> Result<Option<Version>, StoreError> {
    let text = &object.meta.resource_version;
    if text.is_empty() {
        return Ok(None);
    }
    let reason = Refusal::BadVersion;
    text.parse().map(Some).map_err(|_| StoreError::Invalid { resource: object.resource(), reason })
}

/// A random UUID (RFC 9562 version 4). It names objects and protects nothing.
fn uid() -> String {
    let n = (fastrand::u128(..) & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{n:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
