//! What hangs below an object: its status, its scale, and a pod's output.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::mpsc;
use tulle_api::kubernetes::PodSpec;
use tulle_api::{Kind, Object};
use tulle_store::StoreError;

use crate::call::Call;
use crate::decode;
use crate::discovery::{has_scale, has_status, nothing};
use crate::error::{ApiError, Reason};
use crate::managed;
use crate::patching;
use crate::path::Place;
use crate::read;
use crate::render;
use crate::respond::{self, Body};
use crate::write::{self, Options, TRIES, check_known};

/// Most bytes of a log that are read to find its last lines.
const MAX_TAIL: u64 = 16 << 20;
/// Between two looks at a log that is followed.
const LOOK: Duration = Duration::from_millis(100);
/// Looks after which it is asked whether the pod still exists.
const LOOKS: u32 = 20;
const PIECE: usize = 32 * 1024;

/// Any request for something below an object.
pub(crate) async fn serve(call: &Call, place: &Place) -> Result<Response<Body>, ApiError> {
    let info = place.kind.info();
    match (place.sub.as_str(), &call.method) {
        ("status", &Method::GET) if has_status(info) => read::get(call, place).await,
        ("status", &Method::PUT | &Method::PATCH) if has_status(info) => write_status(call, place).await,
        ("scale", &Method::GET) if has_scale(place.kind) => {
            Ok(respond::json(StatusCode::OK, &scale(&*read::find(call, place).await?)))
        }
        ("scale", &Method::PUT | &Method::PATCH) if has_scale(place.kind) => write_scale(call, place).await,
        ("log", &Method::GET) if place.kind == Kind::Pod => log(call, place).await,
        // Nothing to do: namespaces have no finalizers of their own kind here.
        ("finalize", &Method::PUT) if place.kind == Kind::Namespace => read::get(call, place).await,
        ("status" | "scale" | "log", _) if place.sub != "status" || has_status(info) => {
            let message = format!("{} is not done to {}/{}", call.method, info.plural, place.sub);
            Err(ApiError::new(Reason::MethodNotAllowed, message))
        }
        _ => Err(nothing()),
    }
}

/// PUT and PATCH of a status: nothing else of the object changes.
async fn write_status(call: &Call, place: &Place) -> Result<Response<Body>, ApiError> {
    let options = Options::of(call)?;
    let form = call.form()?;
    for attempt in 0.. {
        let current = read::find(call, place).await?;
        let value = if call.method == Method::PUT {
            write::body(call)?
        } else {
            patching::patched(call, place, &current)?
        };
        let decoded = decode::object(value, place, options.validation)?;
        check_known(place, &current, &decoded.object)?;
        let mut object = Object::clone(&current);
        object.status = decoded.object.status;
        managed::update(Some(&current), &mut object, place, &options.manager, "status")?;
        let written = if options.dry_run { Ok(Arc::new(object)) } else { put_status(call, object).await };
        match written {
            Err(StoreError::Conflict { .. }) if attempt < TRIES => {}
            Err(StoreError::Conflict { .. }) => return Err(write::modified(place, &current.meta.name)),
            Err(StoreError::NotFound(_)) => {
                return Err(ApiError::not_found(place.kind.info(), &current.meta.name));
            }
            Err(error) => return Err(error.into()),
            Ok(object) => {
                let mut response = respond::json(StatusCode::OK, &render::one(&object, place, form, None));
                respond::warn(&mut response, &decoded.warnings);
                return Ok(response);
            }
        }
    }
    Err(ApiError::new(Reason::InternalError, "the object changes all the time"))
}

/// Writes the manager of the status, if that is new, and then the status.
async fn put_status(call: &Call, object: Object) -> Result<Arc<Object>, StoreError> {
    let status = object.status.clone().unwrap_or(Value::Null);
    let resource = object.resource();
    call.shared.store.put(object).await?;
    call.shared.store.put_status(&resource, status).await
}

/// The `autoscaling/v1` Scale of an object.
fn scale(object: &Object) -> Value {
    let json = object.to_json();
    let meta = &object.meta;
    let labels = json["spec"]["selector"]["matchLabels"].as_object();
    let selector: Vec<String> = labels
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default()))
        .collect();
    let replicas = |value: &Value, default: i64| value.as_i64().unwrap_or(default);
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid,
            "resourceVersion": meta.resource_version, "creationTimestamp": json["metadata"]["creationTimestamp"]},
        "spec": {"replicas": replicas(&json["spec"]["replicas"], 1)},
        "status": {"replicas": replicas(&json["status"]["replicas"], 0), "selector": selector.join(",")}})
}

/// PUT and PATCH of a scale: the number of replicas.
async fn write_scale(call: &Call, place: &Place) -> Result<Response<Body>, ApiError> {
    let options = Options::of(call)?;
    for attempt in 0.. {
        let current = read::find(call, place).await?;
        let wanted = if call.method == Method::PUT {
            write::body(call)?
        } else {
            patching::apply_patch(call, None, &scale(&current))?
        };
        let info = place.kind.info();
        let replicas = wanted["spec"]["replicas"].as_i64();
        let Some(replicas) = replicas.filter(|n| (0..=i64::from(i32::MAX)).contains(n)) else {
            let problem = tulle_base::Diagnostic::error(
                tulle_base::FieldPath::from("spec.replicas"),
                "must be a number from 0 on",
            );
            return Err(ApiError::invalid(info, &current.meta.name, &[problem]));
        };
        let mut value = render::object(&current, place, None);
        value["spec"]["replicas"] = replicas.into();
        let version = wanted["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        let conditional = !version.is_empty() && version != current.meta.resource_version;
        if conditional {
            return Err(write::modified(place, &current.meta.name));
        }
        let decoded = decode::object(value, place, options.validation)?;
        match write::replace_one(call, place, &current, decoded, &options, "Update").await {
            Err(e) if e.reason == Reason::Conflict && attempt < TRIES => {}
            result => return Ok(respond::json(StatusCode::OK, &scale(&result?.0))),
        }
    }
    Err(ApiError::new(Reason::InternalError, "the object changes all the time"))
}

/// GET of a pod's output, as `kubectl logs` asks for it.
async fn log(call: &Call, place: &Place) -> Result<Response<Body>, ApiError> {
    let pod = read::find(call, place).await?;
    let container = container(&pod, call.query.text("container"))?;
    if call.query.flag("previous")? {
        return Err(ApiError::bad_request(
            "the output of an earlier container is part of the log; leave previous out",
        ));
    }
    let follow = call.query.flag("follow")?;
    let tail = call.query.number("tailLines")?;
    let limit = call.query.number("limitBytes")?;
    if tail.is_some_and(|n| n < 0) || limit.is_some_and(|n| n < 1) {
        return Err(ApiError::bad_request(
            "tailLines must not be negative and limitBytes must be at least 1",
        ));
    }
    let files = call.shared.machine.logs(&pod.meta.namespace, &pod.meta.name, &container);
    let slot = Arc::clone(&call.shared.watches)
        .try_acquire_owned()
        .map_err(|_| ApiError::later(Reason::TooManyRequests, "too many watches are open; close some", 5))?;
    let tail = tail.and_then(|n| usize::try_from(n).ok());
    let limit = limit.and_then(|n| u64::try_from(n).ok()).unwrap_or(u64::MAX);
    let (out, receiver) = mpsc::channel(4);
    let shared = Arc::clone(&call.shared);
    let resource = read::reference(place);
    tokio::spawn(async move {
        let _slot = slot;
        let exists = || async { matches!(shared.store.get(&resource).await, Ok(Some(_))) };
        // The reader left, or the files are gone: the log ends.
        let _ = copy(files, tail, limit, follow, &out, exists).await;
    });
    let mut response = respond::stream("text/plain", receiver);
    let ignored = ["sinceSeconds", "sinceTime", "timestamps"];
    let given = ignored.into_iter().filter(|p| !matches!(call.query.text(p), "" | "false"));
    let warnings: Vec<String> =
        given.map(|p| format!("{p} has no effect: lines of output carry no time here")).collect();
    respond::warn(&mut response, &warnings);
    Ok(response)
}

/// The container that is meant: the one that is named, else the first that is no proxy.
fn container(pod: &Object, wanted: &str) -> Result<String, ApiError> {
    let spec = pod.get::<PodSpec>();
    let names: Vec<&str> = spec
        .into_iter()
        .flat_map(|s| s.containers.iter().chain(&s.init_containers))
        .map(|c| c.name.as_str())
        .collect();
    let found = if wanted.is_empty() {
        names.iter().find(|n| **n != "istio-proxy").or(names.first())
    } else {
        names.iter().find(|n| **n == wanted)
    };
    found.map(|n| (*n).to_owned()).ok_or_else(|| {
        let list = names.join(", ");
        ApiError::bad_request(format!(
            "container {wanted} is not valid for pod {}; it has {list}",
            pod.meta.name
        ))
    })
}

/// Copies files to `out`; with `follow` goes on with the last one.
async fn copy<F: Future<Output = bool>>(
    files: Vec<PathBuf>,
    tail: Option<usize>,
    mut limit: u64,
    follow: bool,
    out: &mpsc::Sender<Bytes>,
    exists: impl Fn() -> F,
) -> std::io::Result<()> {
    let gone = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
    let mut last = None;
    for (i, path) in files.iter().enumerate() {
        let Ok(mut file) = tokio::fs::File::open(path).await else { continue };
        if let Some(lines) = tail {
            if i + 1 < files.len() {
                // The end is in the newer file.
                continue;
            }
            skip_to_last(&mut file, lines).await?;
        }
        pump(&mut file, &mut limit, out).await?;
        last = Some((file, path.clone()));
    }
    let mut looks = 0;
    while follow && limit > 0 {
        tokio::select! {
            () = out.closed() => return Err(gone()),
            () = tokio::time::sleep(LOOK) => {}
        }
        let Some((file, path)) = &mut last else {
            if let Some(path) = files.last()
                && let Ok(file) = tokio::fs::File::open(path).await
            {
                last = Some((file, path.clone()));
            }
            if !exists().await {
                return Ok(());
            }
            continue;
        };
        if pump(file, &mut limit, out).await? {
            looks = 0;
            continue;
        }
        looks += 1;
        if looks % LOOKS != 0 {
            continue;
        }
        if !exists().await {
            return Ok(());
        }
        // A file that was put aside is read to its end before the new one.
        let (here, there) = (file.metadata().await?, tokio::fs::metadata(&*path).await);
        use std::os::unix::fs::MetadataExt as _;
        if there.is_ok_and(|m| m.ino() != here.ino()) {
            *file = tokio::fs::File::open(&*path).await?;
        }
    }
    Ok(())
}

/// Sends what there is; returns whether there was something.
async fn pump(
    file: &mut tokio::fs::File,
    limit: &mut u64,
    out: &mpsc::Sender<Bytes>,
) -> std::io::Result<bool> {
    let mut any = false;
    while *limit > 0 {
        let mut piece = vec![0; PIECE];
        let n = file.read(&mut piece).await?;
        if n == 0 {
            break;
        }
        piece.truncate(n.min(usize::try_from(*limit).unwrap_or(usize::MAX)));
        *limit -= u64::try_from(piece.len()).unwrap_or(*limit);
        out.send(piece.into()).await.map_err(|_| std::io::ErrorKind::BrokenPipe)?;
        any = true;
    }
    Ok(any)
}

/// Moves to where the last `lines` lines begin.
async fn skip_to_last(file: &mut tokio::fs::File, lines: usize) -> std::io::Result<()> {
    let size = file.metadata().await?.len();
    let start = size.saturating_sub(MAX_TAIL);
    file.seek(std::io::SeekFrom::Start(start)).await?;
    let mut bytes = Vec::new();
    file.take(MAX_TAIL).read_to_end(&mut bytes).await?;
    let body = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let from = if lines == 0 {
        bytes.len()
    } else {
        let breaks = body.iter().enumerate().rev().filter(|(_, b)| **b == b'\n');
        breaks.map(|(i, _)| i + 1).nth(lines - 1).unwrap_or(0)
    };
    file.seek(std::io::SeekFrom::Start(start + u64::try_from(from).unwrap_or(0))).await?;
    Ok(())
}
