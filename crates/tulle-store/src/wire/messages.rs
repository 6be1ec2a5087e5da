//! What travels, as JSON.

use std::sync::Arc;

use serde_json::{Value, json};
use tulle_api::{Kind, Object, decode_object};
use tulle_base::{ResourceRef, SourceSpan};

use crate::store::{Change, Event, Filter, Precondition, Version};
use crate::{Refusal, StoreError};

const BROKEN: StoreError = StoreError::Protocol("a message has another shape than expected");

/// What a client asks for.
#[derive(Debug)]
pub(super) enum Request {
    Get(ResourceRef),
    List(Filter),
    Put(Box<Object>),
    PutStatus(ResourceRef, Value, Precondition),
    Delete(ResourceRef, Precondition),
    Watch(Filter, Version),
}

impl Request {
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Get(resource) => json!({"get": resource_json(resource)}),
            Self::List(filter) => json!({"list": filter_json(filter)}),
            Self::Put(object) => json!({"put": object_json(object)}),
            Self::PutStatus(resource, status, only_if) => {
                json!({"putStatus": resource_json(resource), "status": status, "onlyIf": condition_json(only_if)})
            }
            Self::Delete(resource, only_if) => {
                json!({"delete": resource_json(resource), "onlyIf": condition_json(only_if)})
            }
            Self::Watch(filter, from) => json!({"watch": filter_json(filter), "from": from}),
        }
    }

    pub(super) fn from_json(value: &Value) -> Result<Self, StoreError> {
        let field = |name: &str| value.get(name);
        Ok(match () {
            () if field("get").is_some() => Self::Get(resource(field("get"))?),
            () if field("list").is_some() => Self::List(filter(field("list"))?),
            () if field("put").is_some() => Self::Put(Box::new(object(field("put"))?)),
            () if field("putStatus").is_some() => {
                let status = field("status").cloned().unwrap_or_default();
                Self::PutStatus(resource(field("putStatus"))?, status, condition(field("onlyIf"))?)
            }
            () if field("delete").is_some() => {
                Self::Delete(resource(field("delete"))?, condition(field("onlyIf"))?)
            }
            () if field("watch").is_some() => Self::Watch(filter(field("watch"))?, version(field("from"))?),
            () => return Err(BROKEN),
        })
    }
}

/// An object, with the place that it came from.
pub(crate) fn object_json(object: &Object) -> Value {
    let origin =
        object.origin.as_ref().map(|o| json!({"file": &*o.file, "line": o.line, "column": o.column}));
    json!({"object": object.to_json(), "origin": origin})
}

pub(crate) fn object(value: Option<&Value>) -> Result<Object, StoreError> {
    let value = value.ok_or(BROKEN)?;
    let mut object = decode_object(value.get("object").ok_or(BROKEN)?).map_err(StoreError::Unreadable)?;
    if let Some(origin) = value.get("origin").filter(|o| o.is_object()) {
        let number =
            |name: &str| origin.get(name).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        object.origin = Some(SourceSpan {
            file: text(origin, "file")?.into(),
            line: number("line").ok_or(BROKEN)?,
            column: number("column").ok_or(BROKEN)?,
        });
    }
    Ok(object)
}

pub(super) fn change_json(change: &Change) -> Value {
    match &change.event {
        Event::Put(object) => json!({"version": change.version, "put": object_json(object)}),
        Event::Delete(object) => json!({"version": change.version, "delete": object_json(object)}),
        Event::Bookmark => json!({"version": change.version}),
    }
}

pub(super) fn change(value: &Value) -> Result<Change, StoreError> {
    let event = match (value.get("put"), value.get("delete")) {
        (Some(put), _) => Event::Put(Arc::new(object(Some(put))?)),
        (None, Some(delete)) => Event::Delete(Arc::new(object(Some(delete))?)),
        (None, None) => Event::Bookmark,
    };
    Ok(Change { version: version(value.get("version"))?, event })
}

pub(super) fn error_json(error: &StoreError) -> Value {
    let error = match error {
        StoreError::NotFound(resource) => json!({"notFound": resource_json(resource)}),
        StoreError::Conflict { resource, expected, found } => {
            json!({"conflict": resource_json(resource), "expected": expected, "found": found})
        }
        StoreError::Expired { from, oldest } => json!({"expired": from, "oldest": oldest}),
        StoreError::Invalid { resource, reason } => {
            json!({"invalid": resource_json(resource), "reason": reason.as_str()})
        }
        StoreError::Replaced { resource, found } => {
            json!({"replaced": resource_json(resource), "found": found})
        }
        StoreError::NotWritten(why) => json!({ "notWritten": why }),
        StoreError::Refused(why) => json!({ "refused": why }),
        StoreError::Unreachable(_) | StoreError::Closed => json!("closed"),
        StoreError::Unreadable(_) | StoreError::Protocol(_) => json!("protocol"),
    };
    json!({ "error": error })
}

/// The error in an answer, if it has one.
pub(super) fn check(value: &Value) -> Result<(), StoreError> {
    let Some(error) = value.get("error") else { return Ok(()) };
    Err(match () {
        () if error.get("notFound").is_some() => StoreError::NotFound(resource(error.get("notFound"))?),
        () if error.get("conflict").is_some() => StoreError::Conflict {
            resource: resource(error.get("conflict"))?,
            expected: version(error.get("expected"))?,
            found: version(error.get("found"))?,
        },
        () if error.get("expired").is_some() => StoreError::Expired {
            from: version(error.get("expired"))?,
            oldest: version(error.get("oldest"))?,
        },
        () if error.get("invalid").is_some() => {
            let reason = Refusal::from_text(&text(error, "reason")?).ok_or(BROKEN)?;
            StoreError::Invalid { resource: resource(error.get("invalid"))?, reason }
        }
        () if error.get("replaced").is_some() => {
            StoreError::Replaced { resource: resource(error.get("replaced"))?, found: text(error, "found")? }
        }
        () if error.get("notWritten").is_some() => StoreError::NotWritten(text(error, "notWritten")?),
        () if error.get("refused").is_some() => StoreError::Refused(text(error, "refused")?),
        () if error == "closed" => StoreError::Closed,
        () => StoreError::Protocol("the other side did not understand"),
    })
}

pub(super) fn version(value: Option<&Value>) -> Result<Version, StoreError> {
    value.and_then(Value::as_u64).ok_or(BROKEN)
}

fn text(value: &Value, name: &str) -> Result<String, StoreError> {
    value.get(name).and_then(Value::as_str).map(str::to_owned).ok_or(BROKEN)
}

fn resource_json(resource: &ResourceRef) -> Value {
    let ResourceRef { group, kind, namespace, name } = resource;
    json!({"group": group, "kind": kind, "namespace": namespace, "name": name})
}

fn resource(value: Option<&Value>) -> Result<ResourceRef, StoreError> {
    let value = value.ok_or(BROKEN)?;
    let part = |name: &str| text(value, name);
    Ok(ResourceRef::new(part("group")?, part("kind")?, part("namespace")?, part("name")?))
}

fn condition_json(only_if: &Precondition) -> Value {
    let Precondition { uid, version } = only_if;
    json!({"uid": uid, "version": version})
}

fn condition(value: Option<&Value>) -> Result<Precondition, StoreError> {
    let given = |name: &str| value.and_then(|v| v.get(name)).filter(|v| !v.is_null());
    let uid = given("uid").map(|uid| uid.as_str().map(str::to_owned).ok_or(BROKEN)).transpose()?;
    let version = given("version").map(|v| v.as_u64().ok_or(BROKEN)).transpose()?;
    Ok(Precondition { uid, version })
}

fn filter_json(filter: &Filter) -> Value {
    let kinds: Vec<Value> =
        filter.kinds.iter().map(|k| json!({"group": k.info().group, "kind": k.info().kind})).collect();
    json!({"kinds": kinds, "namespace": filter.namespace})
}

fn filter(value: Option<&Value>) -> Result<Filter, StoreError> {
    let value = value.ok_or(BROKEN)?;
    let kinds = value.get("kinds").and_then(Value::as_array).ok_or(BROKEN)?;
    let kinds = kinds.iter().map(|k| Kind::find(&text(k, "group")?, &text(k, "kind")?).ok_or(BROKEN));
    let namespace = value.get("namespace").and_then(Value::as_str).map(str::to_owned);
    Ok(Filter { kinds: kinds.collect::<Result<_, _>>()?, namespace })
}
