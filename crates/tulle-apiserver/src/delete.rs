//! Deleting: at once, or marked until the node, a finalizer or a namespace's contents are done with it.

use std::collections::HashSet;
use std::sync::Arc;

use http::{Response, StatusCode};
use serde_json::{Value, json};
use tulle_api::{Kind, Object};
use tulle_store::{Filter, Precondition, Store, StoreError};

use crate::call::{Call, Machine, Shared, now};
use crate::decode;
use crate::error::{ApiError, Reason, qualified};
use crate::messages;
use crate::negotiate::{self, BodyForm};
use crate::path::Place;
use crate::read;
use crate::render;
use crate::respond::{self, Body};
use crate::write::{TRIES, modified};

/// From a namespace's emptiness until it is deleted.
const SETTLE: std::time::Duration = std::time::Duration::from_millis(500);
/// Namespaces that are always there.
const ALWAYS: [&str; 3] = ["default", "istio-system", "kube-system"];

/// What becomes of the objects that the deleted one owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Propagation {
    /// They go too.
    Along,
    /// They stay and are owned no more.
    Orphan,
}

/// `metav1.DeleteOptions`.
#[derive(Clone, Debug)]
struct Options {
    dry_run: bool,
    propagation: Propagation,
    grace: Option<i64>,
    uid: Option<String>,
    version: Option<String>,
}

/// What became of an object.
enum Outcome {
    /// It is gone; this was its last state.
    Gone(Arc<Object>),
    /// It will be.
    Marked(Arc<Object>),
}

impl Options {
    fn of(call: &Call) -> Result<Self, ApiError> {
        let body = match (call.body.is_empty(), negotiate::body(&call.headers)?) {
            (true, _) => Value::Null,
            (_, BodyForm::Json) => decode::json(&call.body)?,
            (_, BodyForm::Yaml) => decode::yaml(&call.body)?,
            (_, BodyForm::Protobuf) => messages::object(&call.body)
                .map_err(|message| ApiError::new(Reason::UnsupportedMediaType, message))?,
            _ => {
                return Err(ApiError::new(
                    Reason::UnsupportedMediaType,
                    "send DeleteOptions as application/json",
                ));
            }
        };
        if !body.is_null() && !body.is_object() {
            return Err(ApiError::bad_request("the body is not DeleteOptions"));
        }
        let text = |value: &Value| value.as_str().filter(|t| !t.is_empty()).map(str::to_owned);
        let mut dry_run = call.query.dry_run()?;
        for value in body["dryRun"].as_array().into_iter().flatten() {
            match value.as_str() {
                Some("All") => dry_run = true,
                _ => return Err(ApiError::bad_request(format!("dryRun: [{value}]: only All is known"))),
            }
        }
        let policy =
            text(&body["propagationPolicy"]).unwrap_or(call.query.text("propagationPolicy").to_owned());
        let propagation = match policy.as_str() {
            "" if body["orphanDependents"] == true => Propagation::Orphan,
            "" | "Background" | "Foreground" => Propagation::Along,
            "Orphan" => Propagation::Orphan,
            other => {
                let message = format!("propagationPolicy {other:?}: write Background, Foreground or Orphan");
                return Err(ApiError::bad_request(message));
            }
        };
        let grace = body["gracePeriodSeconds"].as_i64().or(call.query.number("gracePeriodSeconds")?);
        if grace.is_some_and(|g| g < 0) {
            return Err(ApiError::bad_request("gracePeriodSeconds must not be negative"));
        }
        let preconditions = &body["preconditions"];
        Ok(Self {
            dry_run,
            propagation,
            grace,
            uid: text(&preconditions["uid"]),
            version: text(&preconditions["resourceVersion"]),
        })
    }

    fn check(&self, place: &Place, current: &Object) -> Result<(), ApiError> {
        let meta = &current.meta;
        let pairs =
            [("UID", &self.uid, &meta.uid), ("ResourceVersion", &self.version, &meta.resource_version)];
        for (word, wanted, found) in pairs {
            if let Some(wanted) = wanted.as_ref().filter(|w| *w != found) {
                let why = format!(
                    "Precondition failed: {word} in precondition: {wanted}, {word} in object meta: {found}"
                );
                return Err(ApiError::conflict(place.kind.info(), &meta.name, &why));
            }
        }
        Ok(())
    }
}

/// DELETE of an object.
pub(crate) async fn delete(call: &Call, place: &Place) -> Result<Response<Body>, ApiError> {
    let options = Options::of(call)?;
    let form = call.form()?;
    let current = read::find(call, place).await?;
    let info = place.kind.info();
    match delete_one(call, place, current, &options).await? {
        Outcome::Marked(object) => {
            Ok(respond::json(StatusCode::OK, &render::one(&object, place, form, None)))
        }
        Outcome::Gone(object) => {
            if !options.dry_run {
                collect(&call.shared, [object.meta.uid.clone()].into()).await?;
            }
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
                "details": {"name": object.meta.name, "group": info.group, "kind": info.plural,
                    "uid": object.meta.uid}});
            Ok(respond::json(StatusCode::OK, &status))
        }
    }
}

/// DELETE of a collection.
pub(crate) async fn delete_all(call: &Call, place: &Place) -> Result<Response<Body>, ApiError> {
    let options = Options::of(call)?;
    let form = call.form()?;
    let snapshot = read::snapshot(call, place).await?;
    let (mut deleted, mut gone) = (Vec::new(), HashSet::new());
    for current in snapshot.objects.iter() {
        match delete_one(call, place, Arc::clone(current), &options).await {
            Ok(Outcome::Marked(object)) => deleted.push(object),
            Ok(Outcome::Gone(object)) => {
                gone.insert(object.meta.uid.clone());
                deleted.push(object);
            }
            Err(e) if e.reason == Reason::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    if !options.dry_run && !gone.is_empty() {
        collect(&call.shared, gone).await?;
    }
    let metadata = json!({"resourceVersion": snapshot.version.to_string()});
    let body = render::list(deleted.iter().map(|o| &**o), place, form, &metadata);
    Ok(respond::bytes(StatusCode::OK, "application/json", body))
}

async fn delete_one(
    call: &Call,
    place: &Place,
    mut current: Arc<Object>,
    options: &Options,
) -> Result<Outcome, ApiError> {
    let shared = &*call.shared;
    if place.kind == Kind::Namespace && ALWAYS.contains(&current.meta.name.as_str()) {
        let message = format!(
            "{} {:?} is forbidden: this namespace may not be deleted",
            qualified(place.kind.info()),
            current.meta.name
        );
        return Err(ApiError::new(Reason::Forbidden, message).about(place.kind.info(), &current.meta.name));
    }
    for _ in 0..TRIES {
        options.check(place, &current)?;
        if options.dry_run {
            return Ok(Outcome::Gone(current));
        }
        if options.propagation == Propagation::Orphan {
            release(&*shared.store, &current.meta.uid).await?;
        }
        match remove(&*shared.store, &*shared.machine, &current, options.grace).await? {
            Some(outcome) => return Ok(outcome),
            None => {
                let again = shared.store.get(&current.resource()).await?;
                current = again.ok_or_else(|| ApiError::not_found(place.kind.info(), &current.meta.name))?;
            }
        }
    }
    Err(modified(place, &current.meta.name))
}

/// Deletes or marks an object; `None` if it changed in the meantime.
async fn remove(
    store: &dyn Store,
    machine: &dyn Machine,
    current: &Arc<Object>,
    grace: Option<i64>,
) -> Result<Option<Outcome>, ApiError> {
    let kind = current.kind();
    let stays = match kind {
        Kind::Namespace => true,
        Kind::Pod => machine.stops_pods() || !current.meta.finalizers.is_empty(),
        _ => !current.meta.finalizers.is_empty(),
    };
    if !stays {
        let as_seen = Precondition {
            uid: Some(current.meta.uid.clone()),
            version: current.meta.resource_version.parse().ok(),
        };
        return match store.delete_if(&current.resource(), as_seen).await {
            Ok(gone) => Ok(gone.map(Outcome::Gone)),
            Err(StoreError::Conflict { .. } | StoreError::Replaced { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        };
    }
    if current.meta.deletion_timestamp.is_some() {
        return Ok(Some(Outcome::Marked(Arc::clone(current))));
    }
    let mut object = Object::clone(current);
    object.meta.deletion_timestamp = Some(now());
    if kind == Kind::Pod {
        let own =
            object.get::<tulle_api::kubernetes::PodSpec>().and_then(|s| s.termination_grace_period_seconds);
        object.meta.deletion_grace_period_seconds = Some(grace.or(own).unwrap_or(30));
    }
    match store.put(object).await {
        Ok(object) => {
            if kind == Kind::Namespace {
                let status = json!({"phase": "Terminating"});
                return Ok(Some(Outcome::Marked(
                    store.put_status(&object.resource(), status).await.unwrap_or(object),
                )));
            }
            Ok(Some(Outcome::Marked(object)))
        }
        Err(StoreError::Conflict { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Takes the owner `uid` from every object that it owns.
async fn release(store: &dyn Store, uid: &str) -> Result<(), ApiError> {
    for object in store.list(Filter::default()).await?.objects {
        if !object.meta.owner_references.iter().any(|r| r.uid == uid) {
            continue;
        }
        let mut free = Object::clone(&object);
        free.meta.owner_references.retain(|r| r.uid != uid);
        match store.put(free).await {
            // Somebody else was quicker; what it wrote is looked at by the next deletion.
            Ok(_) | Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Deletes what was owned by `gone` alone, and what that owned. Pods are left to the controllers where there are some.
async fn collect(shared: &Shared, mut gone: HashSet<String>) -> Result<(), ApiError> {
    while !gone.is_empty() {
        let objects = shared.store.list(Filter::default()).await?.objects;
        let alive: HashSet<&str> = objects.iter().map(|o| o.meta.uid.as_str()).collect();
        let mut next = HashSet::new();
        for object in &objects {
            let owners = &object.meta.owner_references;
            let orphaned = owners.iter().any(|r| gone.contains(&r.uid))
                && !owners.iter().any(|r| alive.contains(r.uid.as_str()));
            let left = object.kind() == Kind::Pod && shared.machine.stops_pods();
            if orphaned
                && !left
                && matches!(
                    remove(&*shared.store, &*shared.machine, object, None).await?,
                    Some(Outcome::Gone(_))
                )
            {
                next.insert(object.meta.uid.clone());
            }
        }
        gone = next;
    }
    Ok(())
}

/// Empties namespaces that are marked, and deletes them then; until the server ends.
pub(crate) async fn empty_namespaces(shared: std::sync::Weak<Shared>) {
    let Some(mut cursor) = shared.upgrade().map(|s| s.hub.after(0)) else { return };
    loop {
        {
            let Some(shared) = shared.upgrade() else { return };
            if let Err(error) = empty_once(&shared).await {
                tracing::debug!(%error, "namespaces could not be emptied; trying again with the next change");
            }
        }
        if !cursor.changed().await {
            return;
        }
    }
}

async fn empty_once(shared: &Shared) -> Result<(), ApiError> {
    let namespaces = shared.store.list(Filter::kinds(&[Kind::Namespace])).await?.objects;
    for namespace in namespaces.iter().filter(|n| n.meta.deletion_timestamp.is_some()) {
        let inside = Filter { kinds: Vec::new(), namespace: Some(namespace.meta.name.clone()) };
        let objects = shared.store.list(inside.clone()).await?.objects;
        for object in &objects {
            remove(&*shared.store, &*shared.machine, object, None).await?;
        }
        if !objects.is_empty() || !namespace.meta.finalizers.is_empty() {
            continue;
        }
        // Controllers that have just seen their objects go must see the mark, too, before the namespace is gone.
        tokio::time::sleep(SETTLE).await;
        if shared.store.list(inside).await?.objects.is_empty() {
            shared.store.delete(&namespace.resource()).await?;
        }
    }
    Ok(())
}
