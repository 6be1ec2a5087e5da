//! Getting and listing.

use std::sync::Arc;

use http::{Response, StatusCode};
use serde_json::json;
use tulle_api::Object;
use tulle_base::ResourceRef;
use tulle_store::{Filter, Version};

use crate::call::Call;
use crate::error::{ApiError, Reason};
use crate::page::{self, Snapshot};
use crate::path::Place;
use crate::render;
use crate::respond::{self, Body};
use crate::selector::{FieldSelector, LabelSelector};

/// Which objects of a kind.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    namespace: String,
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selection {
    /// What path and parameters select.
    pub(crate) fn of(call: &Call, place: &Place) -> Result<Self, ApiError> {
        Ok(Self {
            namespace: place.namespace.clone(),
            labels: LabelSelector::parse(call.query.text("labelSelector"))?,
            fields: FieldSelector::parse(call.query.text("fieldSelector"), place.kind)?,
        })
    }

    /// Whether `object`, of the right kind, is selected.
    pub(crate) fn matches(&self, object: &Object) -> bool {
        (self.namespace.is_empty() || self.namespace == object.meta.namespace)
            && self.labels.matches(&object.meta.labels)
            && self.fields.matches(object)
    }
}

/// The reference of the object that a path names.
pub(crate) fn reference(place: &Place) -> ResourceRef {
    let info = place.kind.info();
    ResourceRef::new(info.group, info.kind, &*place.namespace, place.name.as_deref().unwrap_or_default())
}

/// The object that a path names.
pub(crate) async fn find(call: &Call, place: &Place) -> Result<Arc<Object>, ApiError> {
    let found = call.shared.store.get(&reference(place)).await?;
    let name = place.name.as_deref().unwrap_or_default();
    found.ok_or_else(|| ApiError::not_found(place.kind.info(), name))
}

/// GET of one object.
pub(crate) async fn get(call: &Call, place: &Place) -> Result<Response<Body>, ApiError> {
    let form = call.form()?;
    let object = find(call, place).await?;
    Ok(respond::json(StatusCode::OK, &render::one(&object, place, form, None)))
}

/// GET of a collection.
pub(crate) async fn list(call: &Call, place: &Place) -> Result<Response<Body>, ApiError> {
    let form = call.form()?;
    let limit = call.query.number("limit")?.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
    let from = call.query.text("continue");
    let (snapshot, start, kept) = if from.is_empty() {
        (snapshot(call, place).await?, 0, None)
    } else {
        if !matches!(call.query.text("resourceVersion"), "" | "0") {
            return Err(ApiError::bad_request("resourceVersion must not be given together with continue"));
        }
        let (snapshot, start, id) = call.shared.pages.find(from)?;
        (snapshot, start, Some(id))
    };
    let total = snapshot.objects.len();
    let start = start.min(total);
    let end = limit.map_or(total, |n| start.saturating_add(n).min(total));
    let mut metadata = json!({"resourceVersion": snapshot.version.to_string()});
    if end < total {
        metadata["continue"] = match kept {
            Some(id) => page::token(id, end),
            None => call.shared.pages.keep(snapshot.clone(), end),
        }
        .into();
        metadata["remainingItemCount"] = (total - end).into();
    }
    let items = snapshot.objects[start..end].iter().map(|o| &**o);
    let body = render::list(items, place, form, &metadata);
    Ok(respond::bytes(StatusCode::OK, "application/json", body))
}

/// Everything that is selected now, if now is new enough for the caller.
pub(crate) async fn snapshot(call: &Call, place: &Place) -> Result<Snapshot, ApiError> {
    let selection = Selection::of(call, place)?;
    let wanted = version(call.query.text("resourceVersion"))?;
    let exact = match call.query.text("resourceVersionMatch") {
        "" | "NotOlderThan" => false,
        "Exact" => true,
        other => {
            let message = format!("resourceVersionMatch={other:?}: write Exact or NotOlderThan");
            return Err(ApiError::bad_request(message));
        }
    };
    if exact && wanted.is_none_or(|v| v == 0) {
        return Err(ApiError::bad_request("resourceVersionMatch=Exact needs a resourceVersion other than 0"));
    }
    let namespace = Some(place.namespace.clone()).filter(|n| !n.is_empty());
    let listing = call.shared.store.list(Filter { kinds: vec![place.kind], namespace }).await?;
    match wanted {
        Some(wanted) if wanted > listing.version => {
            let message = format!("Too large resource version: {wanted}, current: {}", listing.version);
            let mut error = ApiError::later(Reason::Timeout, message, 1);
            error.details.insert(
                "causes".into(),
                json!([{"reason": "ResourceVersionTooLarge",
                "message": "Too large resource version"}]),
            );
            return Err(error);
        }
        Some(wanted) if exact && wanted != listing.version => {
            return Err(ApiError::expired(format!(
                "The resourceVersion for the provided list is too old: {wanted}; only {} is kept",
                listing.version
            )));
        }
        _ => {}
    }
    let mut objects = listing.objects;
    objects.retain(|o| selection.matches(o));
    Ok(Snapshot { version: listing.version, objects: Arc::new(objects) })
}

/// A resource version; `None` if there is none.
pub(crate) fn version(text: &str) -> Result<Option<Version>, ApiError> {
    match text {
        "" => Ok(None),
        text => text
            .parse()
            .map(Some)
            .map_err(|_| ApiError::bad_request(format!("resourceVersion {text:?} is not a number"))),
    }
}
