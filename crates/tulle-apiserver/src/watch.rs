//! Watching: a line of JSON for each change, for as long as the caller wants.
//!
//! The path of a change: the hub's log → does it concern this watch, and did it before → one line → a short queue to the
//! connection. A caller that does not read is not waited for: its watch ends, and it lists again.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;
use tulle_api::Object;
use tulle_store::Version;

use crate::call::Call;
use crate::error::{ApiError, Reason};
use crate::hub::{Cursor, Happened, TooOld};
use crate::negotiate::Form;
use crate::path::Place;
use crate::read::{self, Selection};
use crate::render;
use crate::respond::{self, Body};

/// Pieces that wait for a slow caller.
const QUEUE: usize = 64;
/// How long a watch lasts that does not say: between one and two of these, as in Kubernetes.
const DEFAULT_LIFE: Duration = Duration::from_secs(1800);
/// The longest life that can be asked for.
const MAX_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Everything about one watch.
struct Watch {
    place: Place,
    form: Form,
    selection: Selection,
    bookmarks: bool,
    every: Duration,
    deadline: Instant,
    patience: Duration,
    out: mpsc::Sender<Bytes>,
    /// Whether the columns of the table were told already.
    told_columns: bool,
    _slot: OwnedSemaphorePermit,
}

/// The watch is over: it was told all that it can be, or nobody reads any more.
struct Over;

/// GET of a collection with `watch`.
pub(crate) async fn watch(call: &Call, place: &Place) -> Result<Response<Body>, ApiError> {
    let form = call.form()?;
    let selection = Selection::of(call, place)?;
    let version = read::version(call.query.text("resourceVersion"))?;
    let bookmarks = call.query.flag("allowWatchBookmarks")?;
    let initial = call.query.flag("sendInitialEvents")?;
    if initial && call.query.text("resourceVersionMatch") != "NotOlderThan" {
        let message = "sendInitialEvents needs resourceVersionMatch=NotOlderThan";
        return Err(ApiError::bad_request(message));
    }
    let life =
        call.query.seconds("timeoutSeconds")?.unwrap_or_else(|| DEFAULT_LIFE.mul_f64(1.0 + fastrand::f64()));
    let slot = std::sync::Arc::clone(&call.shared.watches)
        .try_acquire_owned()
        .map_err(|_| ApiError::later(Reason::TooManyRequests, "too many watches are open; close some", 5))?;
    let hub = &call.shared.hub;
    hub.ready().await;
    let all_first = initial || (version.unwrap_or(0) == 0 && call.query.text("sendInitialEvents") != "false");
    let (first, from) = if all_first {
        let snapshot = read::snapshot(call, place).await?;
        let version = snapshot.version;
        (Some(snapshot.objects), version)
    } else if let Some(version) = version.filter(|v| *v > 0) {
        if let Some(expired) = expired(call, place, version).await? {
            return Ok(over_at_once(&expired));
        }
        (None, version)
    } else {
        let listing = read::snapshot(call, place).await?;
        (None, listing.version)
    };
    let cursor = hub.after(from);
    let (out, receiver) = mpsc::channel(QUEUE);
    let watch = Watch {
        place: place.clone(),
        form,
        selection,
        bookmarks,
        every: call.shared.limits.bookmarks,
        deadline: Instant::now() + life.min(MAX_LIFE),
        patience: call.shared.limits.watcher_patience,
        out,
        told_columns: false,
        _slot: slot,
    };
    let first = first.map(|objects| objects.to_vec());
    tokio::spawn(async move {
        // Over, one way or the other.
        let _ = watch.run(first, initial, cursor).await;
    });
    Ok(respond::stream("application/json", receiver))
}

/// Why a watch cannot begin after `from`. A version that this store never had comes from another one: what follows it is not
/// known.
async fn expired(call: &Call, place: &Place, from: Version) -> Result<Option<ApiError>, ApiError> {
    let oldest = call.shared.hub.oldest();
    if from < oldest {
        return Ok(Some(too_old(TooOld { from, oldest })));
    }
    let filter = tulle_store::Filter { kinds: vec![place.kind], namespace: Some("-".into()) };
    let newest = call.shared.store.list(filter).await?.version;
    if from > newest {
        let message = format!("too large resource version: {from} (the newest is {newest})");
        return Ok(Some(ApiError::expired(message)));
    }
    Ok(None)
}

/// A watch whose only event is `error`, as Kubernetes answers: kube-rs lists again after such an event, and asks for the same
/// version forever when the request itself fails.
fn over_at_once(error: &ApiError) -> Response<Body> {
    let (out, receiver) = mpsc::channel(1);
    // There is room for one, and the receiver is here.
    let _ = out.try_send(line(&failure(error)));
    respond::stream("application/json", receiver)
}

fn failure(error: &ApiError) -> Value {
    json!({"type": "ERROR", "object": error.to_json()})
}

fn line(event: &Value) -> Bytes {
    let mut line = serde_json::to_vec(event).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

fn too_old(TooOld { from, oldest }: TooOld) -> ApiError {
    ApiError::expired(format!("too old resource version: {from} ({oldest})"))
}

impl Watch {
    async fn run(
        mut self,
        first: Option<Vec<std::sync::Arc<Object>>>,
        mark_end: bool,
        mut cursor: Cursor,
    ) -> Result<(), Over> {
        for object in first.into_iter().flatten() {
            self.tell("ADDED", &object, None).await?;
        }
        if mark_end {
            self.bookmark(cursor.version(), true).await?;
        }
        let mut bookmark_at = Instant::now() + self.every;
        loop {
            let wake = bookmark_at.min(self.deadline);
            tokio::select! {
                () = self.out.closed() => return Err(Over),
                happened = cursor.next(self.place.kind) => match happened {
                    Ok(happened) => self.change(&happened).await?,
                    Err(late) => return self.send(failure(&too_old(late))).await,
                },
                () = tokio::time::sleep_until(wake) => {
                    let over = Instant::now() >= self.deadline;
                    if self.bookmarks {
                        self.bookmark(cursor.version(), false).await?;
                    }
                    if over {
                        return Ok(());
                    }
                    bookmark_at = Instant::now() + self.every;
                }
            }
        }
    }

    /// Tells a change as it looks through the selectors.
    async fn change(&mut self, happened: &Happened) -> Result<(), Over> {
        let before = happened.previous.as_ref().is_some_and(|o| self.selection.matches(o));
        let after = !happened.gone && self.selection.matches(&happened.object);
        match (before, after) {
            (false, true) => self.tell("ADDED", &happened.object, None).await,
            (true, true) => self.tell("MODIFIED", &happened.object, None).await,
            (true, false) => {
                // What the caller knew, with the version at which it went out of sight.
                let last = happened.previous.as_ref().unwrap_or(&happened.object);
                self.tell("DELETED", last, Some(happened.version)).await
            }
            (false, false) => Ok(()),
        }
    }

    async fn tell(&mut self, event: &str, object: &Object, version: Option<Version>) -> Result<(), Over> {
        let object = match self.form {
            Form::Table(include) => {
                let columns = !std::mem::replace(&mut self.told_columns, true);
                let version = version.map_or_else(|| object.meta.resource_version.clone(), |v| v.to_string());
                render::table(&[object], &self.place, include, columns, &json!({"resourceVersion": version}))
            }
            form => render::one(object, &self.place, form, version),
        };
        self.send(json!({"type": event, "object": object})).await
    }

    async fn bookmark(&mut self, version: Version, end_of_first: bool) -> Result<(), Over> {
        let mut metadata = json!({"resourceVersion": version.to_string(), "creationTimestamp": null});
        if end_of_first {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = match self.form {
            Form::Table(include) => render::table(&[], &self.place, include, false, &metadata),
            Form::Metadata => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
            }
            Form::Object => {
                let mut object = json!({"kind": self.place.kind.info().kind, "apiVersion": self.place.api_version(),
                    "metadata": metadata});
                if self.place.kind.info().body == tulle_api::kind::Body::Spec {
                    object["spec"] = json!({});
                }
                object
            }
        };
        self.send(json!({"type": "BOOKMARK", "object": object})).await
    }

    /// Hands a line to the connection, and gives up on a caller that does not read.
    async fn send(&mut self, event: Value) -> Result<(), Over> {
        match tokio::time::timeout(self.patience, self.out.send(line(&event))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Over),
            Err(_) => {
                tracing::debug!(
                    kind = self.place.kind.info().kind,
                    "a watcher does not read; its watch is ended"
                );
                Err(Over)
            }
        }
    }
}
