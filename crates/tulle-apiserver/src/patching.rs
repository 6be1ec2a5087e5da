//! PATCH: the object as it is, changed by what was sent.

use http::{Response, StatusCode};
use serde_json::Value;
use tulle_api::Object;

use crate::call::Call;
use crate::decode;
use crate::error::{ApiError, Reason};
use crate::negotiate::{self, BodyForm};
use crate::path::Place;
use crate::read;
use crate::render;
use crate::respond::{self, Body};
use crate::write::{self, Options, TRIES};

/// PATCH of an object.
pub(crate) async fn patch(call: &Call, place: &Place) -> Result<Response<Body>, ApiError> {
    let options = Options::of(call)?;
    let form = negotiate::form(&call.headers)?;
    for attempt in 0.. {
        let current = read::find(call, place).await?;
        let value = patched(call, place, &current)?;
        let decoded = decode::object(value, place, options.validation)?;
        // A patch that names no version is tried again on what somebody else wrote in the meantime.
        let unconditional = decoded.object.meta.resource_version == current.meta.resource_version;
        match write::replace_one(call, place, &current, decoded, &options, "Update").await {
            Err(e) if e.reason == Reason::Conflict && unconditional && attempt < TRIES => {}
            result => {
                let (object, warnings) = result?;
                let mut response = respond::json(StatusCode::OK, &render::one(&object, place, form, None));
                respond::warn(&mut response, &warnings);
                return Ok(response);
            }
        }
    }
    Err(ApiError::new(Reason::InternalError, "the object changes all the time"))
}

/// `current` in the version of `place`, with the body's patch done to it.
pub(crate) fn patched(call: &Call, place: &Place, current: &Object) -> Result<Value, ApiError> {
    apply_patch(call, Some(place), render::object(current, place, None))
}

/// `value` with the body's patch done to it.
pub(crate) fn apply_patch(call: &Call, _place: Option<&Place>, mut value: Value) -> Result<Value, ApiError> {
    match negotiate::body(&call.headers)? {
        BodyForm::MergePatch => {
            merge(&mut value, decode::json(&call.body)?);
            Ok(value)
        }
        _ => {
            let message = "a PATCH is sent as application/merge-patch+json";
            Err(ApiError::new(Reason::UnsupportedMediaType, message))
        }
    }
}

/// RFC 7386.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Some(target) = target.as_object_mut() else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(&key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}
