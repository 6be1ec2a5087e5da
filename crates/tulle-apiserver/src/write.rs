//! Creating and replacing.

use std::sync::Arc;

use http::{Response, StatusCode};
use serde_json::Value;
use tulle_api::{Kind, Object};
use tulle_store::StoreError;

use crate::call::{Call, now};
use crate::decode::{self, Decoded};
use crate::discovery::has_status;
use crate::error::{ApiError, Reason};
use crate::managed;
use crate::messages;
use crate::negotiate::{self, BodyForm};
use crate::path::Place;
use crate::query::FieldValidation;
use crate::read;
use crate::render;
use crate::respond::{self, Body};

/// Letters of made-up names, without those that make words or look alike.
const NAME_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// Tries to find a made-up name that is free, and to write over somebody else's changes.
pub(crate) const TRIES: usize = 8;

/// How a write is to be done.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub dry_run: bool,
    pub validation: FieldValidation,
    pub manager: String,
}

impl Options {
    pub(crate) fn of(call: &Call) -> Result<Self, ApiError> {
        Ok(Self {
            dry_run: call.query.dry_run()?,
            validation: call.query.field_validation()?,
            manager: call.manager()?,
        })
    }
}

/// The JSON of a body that is an object.
pub(crate) fn body(call: &Call) -> Result<Value, ApiError> {
    match negotiate::body(&call.headers)? {
        BodyForm::Json => decode::json(&call.body),
        BodyForm::Yaml => decode::yaml(&call.body),
        BodyForm::Protobuf => messages::object(&call.body)
            .map_err(|message| ApiError::new(Reason::UnsupportedMediaType, message)),
        _ => Err(ApiError::new(Reason::UnsupportedMediaType, "a patch is sent with PATCH")),
    }
}

/// POST to a collection.
pub(crate) async fn create(call: &Call, place: &Place) -> Result<Response<Body>, ApiError> {
    let options = Options::of(call)?;
    let form = call.form()?;
    let mut value = body(call)?;
    let info = place.kind.info();
    if info.namespaced && place.namespace.is_empty() {
        return Err(ApiError::new(
            Reason::MethodNotAllowed,
            format!(
                "a {} is created in a namespace: POST to .../namespaces/NAMESPACE/{}",
                info.kind, info.plural
            ),
        ));
    }
    let prefix = value["metadata"]["generateName"].as_str().unwrap_or_default().to_owned();
    let made_up = value["metadata"]["name"].as_str().unwrap_or_default().is_empty() && !prefix.is_empty();
    for attempt in 0.. {
        if made_up {
            value["metadata"]["name"] = generated(&prefix).into();
        }
        let decoded = decode::object(value.clone(), place, options.validation)?;
        match create_one(call, place, decoded, &options, "Update").await {
            Err(e) if e.reason == Reason::AlreadyExists && made_up && attempt < TRIES => {}
            result => {
                let (object, warnings) = result?;
                let mut response =
                    respond::json(StatusCode::CREATED, &render::one(&object, place, form, None));
                respond::warn(&mut response, &warnings);
                return Ok(response);
            }
        }
    }
    Err(ApiError::new(Reason::InternalError, "no free name was found"))
}

/// A new object. `operation` is how its fields get their manager: `Update`, or `Apply` when they have one already.
pub(crate) async fn create_one(
    call: &Call,
    place: &Place,
    decoded: Decoded,
    options: &Options,
    operation: &str,
) -> Result<(Arc<Object>, Vec<String>), ApiError> {
    let Decoded { mut object, warnings } = decoded;
    let info = place.kind.info();
    if !matches!(object.meta.resource_version.as_str(), "" | "0") {
        return Err(ApiError::bad_request("resourceVersion should not be set on objects to be created"));
    }
    let meta = &mut object.meta;
    (meta.uid, meta.self_link) = (String::new(), String::new());
    (meta.generation, meta.creation_timestamp) = (None, None);
    (meta.deletion_timestamp, meta.deletion_grace_period_seconds) = (None, None);
    meta.resource_version = "0".into();
    if has_status(info) {
        object.status = None;
    }
    if place.kind == Kind::Namespace {
        let label = object.meta.name.clone();
        object.meta.labels.insert("kubernetes.io/metadata.name".into(), label);
    }
    if operation == "Update" {
        object.meta.managed_fields.clear();
        managed::update(None, &mut object, place, &options.manager, "")?;
    }
    let name = object.meta.name.clone();
    if options.dry_run {
        if call.shared.store.get(&object.resource()).await?.is_some() {
            return Err(ApiError::already_exists(info, &name));
        }
        object.meta.resource_version = String::new();
        object.meta.uid = "00000000-0000-4000-8000-000000000000".into();
        object.meta.generation = Some(1);
        object.meta.creation_timestamp = Some(now());
        return Ok((Arc::new(object), warnings));
    }
    match call.shared.store.put(object).await {
        Ok(object) => Ok((object, warnings)),
        Err(StoreError::Conflict { .. }) => Err(ApiError::already_exists(info, &name)),
        Err(error) => Err(error.into()),
    }
}

fn generated(prefix: &str) -> String {
    let mut name: String = prefix.chars().take(248).collect();
    for _ in 0..5 {
        name.push(char::from(NAME_LETTERS[fastrand::usize(..NAME_LETTERS.len())]));
    }
    name
}

/// PUT of an object.
pub(crate) async fn replace(call: &Call, place: &Place) -> Result<Response<Body>, ApiError> {
    let options = Options::of(call)?;
    let form = call.form()?;
    let value = body(call)?;
    for attempt in 0.. {
        let current = read::find(call, place).await?;
        let decoded = decode::object(value.clone(), place, options.validation)?;
        let unconditional = decoded.object.meta.resource_version.is_empty();
        match replace_one(call, place, &current, decoded, &options, "Update").await {
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

/// Puts an object in the place of `current`, if it is still there and the caller knew it.
pub(crate) async fn replace_one(
    call: &Call,
    place: &Place,
    current: &Object,
    decoded: Decoded,
    options: &Options,
    operation: &str,
) -> Result<(Arc<Object>, Vec<String>), ApiError> {
    let Decoded { mut object, warnings } = decoded;
    check_known(place, current, &object)?;
    let meta = &mut object.meta;
    meta.uid.clone_from(&current.meta.uid);
    meta.generation = current.meta.generation;
    meta.creation_timestamp.clone_from(&current.meta.creation_timestamp);
    meta.deletion_timestamp.clone_from(&current.meta.deletion_timestamp);
    meta.deletion_grace_period_seconds = current.meta.deletion_grace_period_seconds;
    meta.resource_version.clone_from(&current.meta.resource_version);
    if let Some(added) = object
        .meta
        .finalizers
        .iter()
        .find(|f| current.meta.deletion_timestamp.is_some() && !current.meta.finalizers.contains(*f))
    {
        let message = format!("finalizer {added:?} cannot be added to an object that is being deleted");
        return Err(ApiError::new(Reason::Forbidden, message).about(place.kind.info(), &current.meta.name));
    }
    if has_status(place.kind.info()) {
        object.status.clone_from(&current.status);
    }
    if operation == "Update" {
        managed::update(Some(current), &mut object, place, &options.manager, "")?;
    }
    put(call, place, current, object, options).await.map(|object| (object, warnings))
}

/// 409 if the caller speaks of another state or another object.
pub(crate) fn check_known(place: &Place, current: &Object, given: &Object) -> Result<(), ApiError> {
    let (name, meta) = (&current.meta.name, &given.meta);
    if !meta.uid.is_empty() && meta.uid != current.meta.uid {
        let why = format!(
            "Precondition failed: UID in precondition: {}, UID in object meta: {}",
            meta.uid, current.meta.uid
        );
        return Err(ApiError::conflict(place.kind.info(), name, &why));
    }
    if !meta.resource_version.is_empty() && meta.resource_version != current.meta.resource_version {
        return Err(modified(place, name));
    }
    Ok(())
}

/// 409: it changed in the meantime.
pub(crate) fn modified(place: &Place, name: &str) -> ApiError {
    let why = "the object has been modified; please apply your changes to the latest version and try again";
    ApiError::conflict(place.kind.info(), name, why)
}

/// Writes `object` over `current`; deletes it if that is what its last finalizer waited for.
async fn put(
    call: &Call,
    place: &Place,
    current: &Object,
    object: Object,
    options: &Options,
) -> Result<Arc<Object>, ApiError> {
    let waits_for_node = place.kind == Kind::Pod && call.shared.machine.stops_pods();
    let released = object.meta.deletion_timestamp.is_some()
        && object.meta.finalizers.is_empty()
        && !current.meta.finalizers.is_empty()
        && !waits_for_node;
    if options.dry_run {
        let mut object = object;
        if object.spec != current.spec {
            object.meta.generation = Some(current.meta.generation.unwrap_or(0) + 1);
        }
        return Ok(Arc::new(object));
    }
    if released {
        call.shared.store.delete(&object.resource()).await?;
        return Ok(Arc::new(object));
    }
    let name = object.meta.name.clone();
    match call.shared.store.put(object).await {
        Ok(object) => Ok(object),
        Err(StoreError::Conflict { found: 0, .. }) => Err(ApiError::not_found(place.kind.info(), &name)),
        Err(StoreError::Conflict { .. }) => Err(modified(place, &name)),
        Err(error) => Err(error.into()),
    }
}
