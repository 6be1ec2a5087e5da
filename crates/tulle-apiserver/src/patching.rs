//! PATCH: the object as it is, changed by what was sent, or brought to what was applied.

use std::sync::Arc;

use http::{Response, StatusCode};
use serde_json::{Value, json};
use tulle_api::Object;
use tulle_api::schema::Shape;
use tulle_base::{Diagnostic, FieldPath};

use crate::apply::{self, ApplyError, Writer};
use crate::call::{Call, now};
use crate::decode;
use crate::error::{ApiError, Reason};
use crate::negotiate::{self, BodyForm, Form};
use crate::patch::{self, PatchError};
use crate::path::Place;
use crate::read;
use crate::render;
use crate::respond::{self, Body};
use crate::write::{self, Options, TRIES};

/// PATCH of an object.
pub(crate) async fn patch(call: &Call, place: &Place) -> Result<Response<Body>, ApiError> {
    let options = Options::of(call)?;
    let form = call.form()?;
    if negotiate::body(&call.headers)? == BodyForm::Apply {
        return server_side_apply(call, place, &options, form).await;
    }
    for attempt in 0.. {
        let current = read::find(call, place).await?;
        let value = patched(call, place, &current)?;
        let decoded = decode::object(value, place, options.validation)?;
        // A patch that names no version is tried again on what somebody else wrote in the meantime.
        let unconditional = decoded.object.meta.resource_version == current.meta.resource_version;
        match write::replace_one(call, place, &current, decoded, &options, "Update").await {
            Err(e) if e.reason == Reason::Conflict && unconditional && attempt < TRIES => {}
            result => return result.map(|written| answer(StatusCode::OK, &written, place, form)),
        }
    }
    Err(ApiError::new(Reason::InternalError, "the object changes all the time"))
}

/// The answer to a write.
fn answer(
    status: StatusCode,
    (object, warnings): &(Arc<Object>, Vec<String>),
    place: &Place,
    form: Form,
) -> Response<Body> {
    let mut response = respond::json(status, &render::one(object, place, form, None));
    respond::warn(&mut response, warnings);
    response
}

/// Server-side apply: makes the object if it is not there.
async fn server_side_apply(
    call: &Call,
    place: &Place,
    options: &Options,
    form: Form,
) -> Result<Response<Body>, ApiError> {
    if call.query.text("fieldManager").is_empty() {
        return Err(ApiError::bad_request("fieldManager is required for apply patch"));
    }
    apply::check_manager(&options.manager).map_err(ApiError::bad_request)?;
    let force = call.query.flag("force")?;
    let mut applied = decode::yaml(&call.body)?;
    decode::fit(&mut applied, place)?;
    for attempt in 0.. {
        let current = call.shared.store.get(&read::reference(place)).await?;
        let live = current.as_ref().map(|c| render::object(c, place, None));
        let version = applied["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        if !version.is_empty() && current.as_ref().is_none_or(|c| c.meta.resource_version != version) {
            return Err(write::modified(place, place.name.as_deref().unwrap_or_default()));
        }
        let now = now();
        let writer = Writer {
            manager: &options.manager,
            subresource: "",
            now: &now,
            shape: Shape::object(place.kind.info()),
        };
        let merged = apply::apply(live.as_ref(), &applied, force, &writer).map_err(|e| refused(e, place))?;
        let decoded = decode::object(merged, place, options.validation)?;
        let (code, result) = match &current {
            None => (StatusCode::CREATED, write::create_one(call, place, decoded, options, "Apply").await),
            Some(current) => {
                (StatusCode::OK, write::replace_one(call, place, current, decoded, options, "Apply").await)
            }
        };
        match result {
            Err(e) if matches!(e.reason, Reason::Conflict | Reason::AlreadyExists) && attempt < TRIES => {}
            result => return result.map(|written| answer(code, &written, place, form)),
        }
    }
    Err(ApiError::new(Reason::InternalError, "the object changes all the time"))
}

/// 409 with a cause for each field that somebody else owns, or 422 with one for each that is wrong.
fn refused(error: ApplyError, place: &Place) -> ApiError {
    let info = place.kind.info();
    let name = place.name.as_deref().unwrap_or_default();
    let message = error.to_string();
    match error {
        ApplyError::Conflicts(conflicts) => {
            let causes: Vec<Value> = conflicts
                .iter()
                .map(|c| json!({"reason": "FieldManagerConflict", "message": c.message(), "field": c.field}))
                .collect();
            let mut error = ApiError::new(Reason::Conflict, message).about(info, name);
            error.details.insert("causes".into(), causes.into());
            error
        }
        ApplyError::Invalid(problems) => {
            let problems: Vec<Diagnostic> = problems
                .into_iter()
                .map(|(field, what)| Diagnostic::error(FieldPath::from(field.as_str()), what))
                .collect();
            ApiError::invalid(info, name, &problems)
        }
    }
}

/// `current` in the version of `place`, with the body's patch done to it.
pub(crate) fn patched(call: &Call, place: &Place, current: &Object) -> Result<Value, ApiError> {
    apply_patch(call, Some(place), &render::object(current, place, None))
}

/// `value` with the body's patch done to it. Without a place nothing is known about the merging of lists.
pub(crate) fn apply_patch(call: &Call, place: Option<&Place>, value: &Value) -> Result<Value, ApiError> {
    let form = negotiate::body(&call.headers)?;
    if !matches!(form, BodyForm::JsonPatch | BodyForm::MergePatch | BodyForm::StrategicMergePatch) {
        let message = "a PATCH is sent as application/json-patch+json, application/merge-patch+json, \
                       application/strategic-merge-patch+json or application/apply-patch+yaml";
        return Err(ApiError::new(Reason::UnsupportedMediaType, message));
    }
    let sent = decode::json(&call.body)?;
    let done = match (form, place) {
        (BodyForm::JsonPatch, _) => patch::json(value, &sent),
        (BodyForm::StrategicMergePatch, Some(place)) => {
            patch::strategic(value, &sent, Shape::object(place.kind.info()))
        }
        _ => patch::merge(value, &sent),
    };
    done.map_err(|error| match error {
        PatchError::Malformed(message) => ApiError::bad_request(message),
        PatchError::Unapplicable(message) => ApiError::new(Reason::Invalid, message),
    })
}
