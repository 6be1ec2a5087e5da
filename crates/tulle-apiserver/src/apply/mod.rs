//! Server-side apply, and who owns which field (`metadata.managedFields`), as the Kubernetes API keeps it.
//!
//! An applier owns the fields that it applied last. It may change what nobody else owns; what it no longer applies goes,
//! unless somebody else owns it too. Every other write owns what it changed. Fields that the server itself sets (name,
//! uid, version and the like) belong to nobody, and `status` belongs to writers of the subresource alone.

mod conflict;
mod managed;
mod set;
#[cfg(test)]
mod tests;
mod upgrade;
mod walk;

pub use conflict::{ApplyError, Conflict};
pub use managed::{Entry, Managed, Operation};
pub use set::{Element, Set};
pub(crate) use walk::same;

use serde_json::{Map, Value, json};
use tulle_api::schema::Shape;
use tulle_api::value::Timestamp;

/// Longest name of a manager, in bytes (as Kubernetes has it).
pub const MAX_MANAGER: usize = 128;
/// Manager of the fields of an object that nobody managed before the first apply.
const BEFORE: &str = "before-first-apply";

/// Fields that the server sets and that nobody owns.
const UNOWNED: &[&[&str]] = &[
    &["apiVersion"],
    &["kind"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "generateName"],
    &["metadata", "creationTimestamp"],
    &["metadata", "deletionTimestamp"],
    &["metadata", "deletionGracePeriodSeconds"],
    &["metadata", "selfLink"],
    &["metadata", "uid"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
    &["metadata", "resourceVersion"],
];

/// Who writes, and when.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The manager's name: the `fieldManager` of the request, or the beginning of its user agent.
    pub manager: &'a str,
    /// The subresource that is written, such as `status`; empty for the object itself.
    pub subresource: &'a str,
    /// Now.
    pub now: &'a Timestamp,
    /// The shape of the object.
    pub shape: Shape,
}

/// Says what is wrong with the name of a manager.
///
/// # Errors
/// A sentence.
pub fn check_manager(name: &str) -> Result<(), String> {
    if name.len() > MAX_MANAGER {
        return Err(format!("fieldManager: must have at most {MAX_MANAGER} bytes but has {}", name.len()));
    }
    match name.chars().find(|c| c.is_control()) {
        Some(c) => Err(format!("fieldManager: must be printable text but contains {c:?}")),
        None => Ok(()),
    }
}

/// Applies `applied` to the object `live`, or makes a new one. The answer is the object with the fields of both and new
/// `managedFields`; it equals `live` if nothing changed.
///
/// # Errors
/// The fields that others own, unless `force`; or what is malformed in `applied`.
pub fn apply(
    live: Option<&Value>,
    applied: &Value,
    force: bool,
    writer: &Writer<'_>,
) -> Result<Value, ApplyError> {
    let applied = writer.own_part(&without_nulls(applied));
    check(&applied, writer)?;
    let nothing = Value::Object(Map::new());
    let before = live.unwrap_or(&nothing);
    let mut managed = writer.managed_before_apply(live);
    let mut own = writer.entry(Operation::Apply, &applied, walk::fields(&applied, &writer.shape));
    let last = managed.0.iter().find(|e| e.same_manager(&own)).cloned();

    let mut merged = walk::merge(before, &applied, &writer.shape);
    if let Some(last) = &last {
        let mut keep = own.fields.clone();
        managed.others(&own).for_each(|e| keep.add(&e.fields));
        walk::prune(&mut merged, &last.fields, &keep, &writer.shape);
    }
    let difference = walk::difference(before, &merged, &writer.shape);
    let mut changed = difference.changed();
    if let (Some(live), "kubectl") = (live, writer.manager) {
        // What kubectl applied on the client's side is its own already.
        let mut contested = changed.clone();
        contested.subtract(&upgrade::last_applied_fields(live, &writer.shape));
        conflicts(&managed, &own, &contested, force)?;
        upgrade::refresh_last_applied(live, &applied, &mut merged);
    } else {
        conflicts(&managed, &own, &changed, force)?;
    }
    changed.add(&difference.removed);
    if let Some(last) = last.filter(|l| l.fields == own.fields && l.api_version == own.api_version) {
        own.time = last.time;
        if merged == *before && live.is_some_and(|l| Managed::of(l).is_ok_and(|m| m == managed)) {
            return Ok(before.clone());
        }
    }
    managed.0.retain(|e| !e.same_manager(&own));
    managed.0.iter_mut().for_each(|e| e.fields.subtract(&changed));
    managed.0.push(own);
    managed.write_into(&mut merged);
    Ok(merged)
}

/// Tracks the owners of a write that replaced `before` (nothing, if it made the object) by `after`. The answer is `after`
/// with new `managedFields`.
///
/// An object that nobody manages stays so. A client can set the entries by sending them, and drop them all by sending
/// one empty entry.
pub fn update(before: Option<&Value>, after: &Value, writer: &Writer<'_>) -> Value {
    let mut after = after.clone();
    if let Some(metadata) = after.get_mut("metadata").and_then(Value::as_object_mut)
        && metadata.get("managedFields").is_some_and(|m| *m == json!([{}]))
    {
        metadata.remove("managedFields");
        return after;
    }
    let sent = Managed::of(&after).ok().filter(|m| !m.0.is_empty());
    let mut managed = match (sent, before) {
        (Some(sent), _) => sent,
        (None, Some(before)) => Managed::of(before).unwrap_or_default(),
        (None, None) => Managed::default(),
    };
    if before.is_some() && managed.0.is_empty() {
        managed.write_into(&mut after);
        return after;
    }
    let nothing = Value::Object(Map::new());
    let old = writer.own_part(before.unwrap_or(&nothing));
    let new = writer.own_part(&after);
    let difference = walk::difference(&old, &new, &writer.shape);
    let mut changed = difference.changed();
    for part in ["metadata", "spec", "status"] {
        if let Some(part) = changed.below.get_mut(&Element::field(part)) {
            part.here &= part.below.is_empty();
        }
    }
    let mut own = writer.entry(Operation::Update, &after, changed.clone());
    let mut gone = changed;
    gone.add(&difference.removed);
    if let Some(last) = managed.0.iter().find(|e| e.same_manager(&own)) {
        let mut fields = last.fields.clone();
        fields.subtract(&difference.removed);
        fields.add(&own.fields);
        if fields == last.fields {
            own.time.clone_from(&last.time);
        }
        own.fields = fields;
    }
    managed.0.retain(|e| !e.same_manager(&own));
    managed.0.iter_mut().for_each(|e| e.fields.subtract(&gone));
    managed.0.push(own);
    managed.write_into(&mut after);
    after
}

impl Writer<'_> {
    /// The part of an object that writers of this subresource may own.
    fn own_part(&self, object: &Value) -> Value {
        let mut object = object.clone();
        let has_status = self.shape.declares("status");
        if let Some(map) = object.as_object_mut() {
            match self.subresource {
                "" if has_status => drop(map.remove("status")),
                "" => {}
                "status" => {
                    map.retain(|k, _| matches!(k.as_str(), "apiVersion" | "kind" | "metadata" | "status"))
                }
                _ => map.retain(|k, _| k != "status"),
            }
            if let ("status", Some(Value::Object(metadata))) = (self.subresource, map.get_mut("metadata")) {
                metadata
                    .retain(|k, _| matches!(k.as_str(), "name" | "namespace" | "uid" | "resourceVersion"));
            }
        }
        object
    }

    fn entry(&self, operation: Operation, object: &Value, mut fields: Set) -> Entry {
        UNOWNED.iter().for_each(|path| fields.cut(path));
        Entry {
            manager: self.manager.to_owned(),
            operation,
            api_version: object.get("apiVersion").and_then(Value::as_str).unwrap_or_default().to_owned(),
            subresource: self.subresource.to_owned(),
            time: Some(self.now.as_str().to_owned()),
            fields,
        }
    }

    /// The owners of a live object. If nobody managed it until now, a manager of its own has all fields.
    fn managed_before_apply(&self, live: Option<&Value>) -> Managed {
        let Some(live) = live else { return Managed::default() };
        let managed = Managed::of(live).unwrap_or_default();
        if !managed.0.is_empty() {
            return managed;
        }
        let writer = Writer { manager: BEFORE, subresource: "", ..*self };
        let part = writer.own_part(live);
        Managed(vec![writer.entry(Operation::Update, live, walk::fields(&part, &self.shape))])
    }
}

/// Refuses changes of fields that others own, unless `force`.
fn conflicts(managed: &Managed, own: &Entry, changed: &Set, force: bool) -> Result<(), ApplyError> {
    let contested = |e: &Entry| {
        let manager = conflict::name(e);
        let fields = e.fields.intersection(changed).paths();
        fields.into_iter().map(move |field| Conflict { manager: manager.clone(), field })
    };
    let found: Vec<Conflict> = managed.others(own).flat_map(contested).collect();
    if force || found.is_empty() { Ok(()) } else { Err(ApplyError::Conflicts(found)) }
}

fn check(applied: &Value, writer: &Writer<'_>) -> Result<(), ApplyError> {
    if !applied.is_object() {
        return Err(ApplyError::Invalid(vec![(String::new(), "must be a mapping".into())]));
    }
    let mut problems: Vec<_> = walk::problems(applied, &writer.shape)
        .into_iter()
        .map(|(path, what)| (path.trim_start_matches('.').to_owned(), what))
        .collect();
    let managed = applied.get("metadata").and_then(|m| m.get("managedFields"));
    if managed.is_some_and(|m| m.as_array().is_none_or(|m| !m.is_empty())) {
        let what = "must be left out of an object that is applied".to_owned();
        problems.push(("metadata.managedFields".to_owned(), what));
    }
    if problems.is_empty() { Ok(()) } else { Err(ApplyError::Invalid(problems)) }
}

/// A field that is applied as null is one that is not applied.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), without_nulls(v))).collect(),
        ),
        Value::Array(list) => list.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}
