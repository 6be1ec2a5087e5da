//! The paths of the dashboard below `/api/`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};

use super::access::Who;
use super::params::bad;
use super::{Api, Asked, Reply};
use crate::pages::{self, Order, Seen, Shown};
use crate::plane::{Meant, Plane, Proxies, Refusal};
use crate::query::QueryError;

const MINUTE: i64 = 60_000;
/// How long what was looked at is good for others who ask for the same.
const SAME: Duration = Duration::from_secs(1);
/// How long two texts are compared at most; what is found then is coarser.
const DIFF_AT_MOST: Duration = Duration::from_millis(200);
/// Changes of the last hour are told at first sight; seconds.
const RECENT: f64 = 3600.0;
/// Who may call whom is told of all workloads at once up to so many; of more, of one at a time.
const MOST_ASKED: usize = 40;

/// A window of time, in milliseconds.
#[derive(Clone, Copy)]
struct Window {
    time: i64,
    length: i64,
    /// Whether it ends now.
    now: bool,
}

/// Answers what is a page's; `None` if it is not.
pub(super) async fn answer(
    api: &Api,
    plane: &Arc<dyn Plane>,
    asked: &Asked,
    who: &Who,
    now: i64,
) -> Option<Reply> {
    let path = asked.path.strip_prefix("/api/")?;
    if path.starts_with("v1/") {
        return None;
    }
    let answered = match asked.method {
        Method::GET => read(api, plane, asked, path, now).await,
        _ => write(api, plane, asked, who, path).await,
    };
    // What others serve below /api/ is asked after this.
    match answered {
        Err(refused) => Some(refused),
        Ok(found) => found,
    }
}

type Answered = Result<Option<Reply>, Reply>;

async fn read(api: &Api, plane: &Arc<dyn Plane>, asked: &Asked, path: &str, now: i64) -> Answered {
    let plane = Arc::clone(plane);
    let page = |value: Value| Ok(Some(Reply::page(value)));
    match path {
        "overview" => {
            let (window, proxies, control) =
                (window(asked, now)?, plane.proxies().await, plane.about().await);
            with(api, plane, window, move |api, plane, seen| {
                let about = pages::About {
                    proxies: &proxies,
                    certificates: &plane.certificates(),
                    resources: &plane.resources().0,
                    changes: plane.changes(seconds(window.time) - RECENT, 200),
                    stats: api.store.stats(),
                    events_cut: api.events.counts().1,
                    control: &control,
                };
                Ok(Some(pages::overview(seen, &about)))
            })
            .await
        }
        "graph" => {
            let (window, proxies) = (window(asked, now)?, plane.proxies().await);
            let shown = Shown {
                idle: asked.params.get("idle").is_some_and(|v| v != "0"),
                namespace: text(asked, "namespace"),
                layout: asked.params.get("layout").is_some_and(|v| v != "0"),
            };
            with(api, plane, window, move |api, _, seen| {
                Ok(Some(pages::graph(seen, &proxies, &api.places, &shown)))
            })
            .await
        }
        "services" => {
            let order = Order::parse(&text(asked, "sort"))
                .ok_or_else(|| unusable("sort", "give worst, rate, errorRate, p99 or name"))?;
            let (namespace, part) = (text(asked, "namespace"), text(asked, "q"));
            let window = window(asked, now)?;
            with(api, plane, window, move |_, _, seen| {
                Ok(Some(pages::services(seen, order, &namespace, &part)))
            })
            .await
        }
        "workloads" => {
            let (namespace, part) = (text(asked, "namespace"), text(asked, "q"));
            let (window, proxies) = (window(asked, now)?, plane.proxies().await);
            with(api, plane, window, move |_, _, seen| {
                Ok(Some(pages::workloads(seen, &proxies, &namespace, &part)))
            })
            .await
        }
        "rollouts" => {
            let window = window(asked, now)?;
            with(api, plane, window, |_, _, seen| Ok(Some(pages::rollouts(seen)))).await
        }
        "security/encryption" => {
            let window = window(asked, now)?;
            with(api, plane, window, |_, _, seen| Ok(Some(pages::encryption(seen)))).await
        }
        "security/policies" => {
            let window = window(asked, now)?;
            with(api, plane, window, move |api, plane, seen| {
                let all = plane.policies();
                let series = api.limits.series;
                pages::policies(seen, &api.store, &all, (window.time, window.length), series)
                    .map(Some)
                    .map_err(QueryError::from)
            })
            .await
        }
        "security/access" => {
            let (to, window) = (text(asked, "to"), window(asked, now)?);
            with(api, plane, window, move |_, plane, seen| {
                let all = &seen.model.workloads;
                let known = to.is_empty() || all.contains_key(&to);
                Ok(known.then(|| {
                    let grants = match to.as_str() {
                        "" if all.len() <= MOST_ASKED => all.keys().flat_map(|to| plane.access(to)).collect(),
                        "" => Vec::new(),
                        to => plane.access(to),
                    };
                    pages::access(seen, &grants)
                }))
            })
            .await
        }
        "security/certificates" => page(json!(plane.certificates())),
        "proxies" => {
            let Proxies { proxies, unconnected } = plane.proxies().await;
            page(json!({"time": seconds(now), "proxies": proxies, "unconnected": unconnected}))
        }
        "control-plane" => {
            let mut about = plane.about().await;
            let (clients, cut) = api.events.counts();
            about["events"] = json!({"clients": clients, "cut": cut});
            let runtime = super::prometheus::runtime(api);
            about["telemetry"] = runtime["tulle"].clone();
            about["telemetry"]["series"] = runtime["timeSeriesCount"].clone();
            about["time"] = json!(seconds(now));
            page(about)
        }
        "changes" => {
            let since = asked.params.time("since", now - 3_600_000).map_err(unusable_param)?;
            page(json!({"changes": plane.changes(seconds(since), 500)}))
        }
        "resources" => page(resources(plane.as_ref(), asked)),
        "diff" => diff_versions(plane.as_ref(), asked).await,
        _ => read_one(api, plane, asked, path, now).await,
    }
}

/// Paths with a name in them.
async fn read_one(api: &Api, plane: Arc<dyn Plane>, asked: &Asked, path: &str, now: i64) -> Answered {
    let page = |value: Value| Ok(Some(Reply::page(value)));
    let decoded = decoded(path);
    let Some((first, rest)) = decoded.split_once('/') else { return Ok(None) };
    match first {
        "services" => {
            let (id, window) = (rest.to_owned(), window(asked, now)?);
            with(api, plane, window, move |_, _, seen| Ok(pages::service(seen, &id))).await
        }
        "workloads" => {
            let (id, window, proxies) = (rest.to_owned(), window(asked, now)?, plane.proxies().await);
            with(api, plane, window, move |_, _, seen| Ok(pages::workload(seen, &proxies, &id))).await
        }
        "proxies" => {
            let id = rest.strip_suffix("/dump").ok_or_else(|| not_found(&decoded))?;
            page(plane.dump(id).await.ok_or_else(|| not_found(&decoded))?)
        }
        "resources" => {
            if let Some((id, version)) = rest.split_once("/versions/") {
                let number = version.parse().map_err(|_| not_found(&decoded))?;
                let (version, yaml) = plane.version_of(id, number).ok_or_else(|| not_found(&decoded))?;
                let mut out = json!(version);
                out["yaml"] = json!(yaml);
                return page(out);
            }
            let found = plane.resource(rest).await.ok_or_else(|| not_found(&decoded))?;
            let mut out = json!(found.row);
            out["yaml"] = json!(found.yaml);
            out["object"] = found.object;
            out["resourceVersion"] = json!(found.resource_version);
            out["conditions"] = found.conditions;
            out["diagnostics"] = json!(found.findings);
            out["programmed"]["proxies"] = json!(found.proxies);
            out["versions"] = json!(found.versions);
            out["writable"] = json!(found.writable);
            page(out)
        }
        _ => Ok(None),
    }
}

async fn write(api: &Api, plane: &Arc<dyn Plane>, asked: &Asked, who: &Who, path: &str) -> Answered {
    let decoded = decoded(path);
    let dry_run = asked.params.get("dryRun").is_some_and(|v| v != "0");
    let post = asked.method == Method::POST;
    let meant = match (asked.method.as_str(), decoded.as_str()) {
        ("POST", "validate") => {
            let (yaml, all) = (yaml(asked)?, asked.params.get("all").is_some_and(|v| v != "0"));
            let plane = Arc::clone(plane);
            let reply = api.blocking(move || Reply::page(json!(plane.validate(&yaml, all)))).await;
            return Ok(Some(reply));
        }
        ("POST", "diff") => return diff_text(plane.as_ref(), asked).await,
        ("PUT", "resources") => Meant::Apply { yaml: yaml(asked)?, only: None },
        ("PUT", path) if path.starts_with("resources/") => {
            let id = path["resources/".len()..].to_owned();
            let version = asked.params.get("resourceVersion").map(str::to_owned);
            Meant::Apply { yaml: yaml(asked)?, only: Some((id, version)) }
        }
        ("DELETE", path) if path.starts_with("resources/") => {
            Meant::Delete(path["resources/".len()..].to_owned())
        }
        ("POST", path) if path.starts_with("resources/") && path.ends_with("/revert") => {
            let id = path["resources/".len()..path.len() - "/revert".len()].to_owned();
            let version = asked.params.get("version").and_then(|v| v.parse().ok());
            let version = version.ok_or_else(|| unusable("version", "give the number of a version"))?;
            Meant::Revert { id, version }
        }
        _ if post || asked.method == Method::PUT || asked.method == Method::DELETE => {
            return Err(Reply::refused(
                405,
                "MethodNotAllowed",
                "nothing is written here",
                "see docs/dashboard-api.md",
            ));
        }
        _ => return Ok(None),
    };
    let deletes = matches!(meant, Meant::Delete(_));
    let what = format!("{} {}{}", asked.method, decoded, if dry_run { " (tried)" } else { "" });
    let written = plane.write(meant, &who.name, dry_run).await;
    let reply = match written {
        Ok(wrote) if deletes => {
            let deleted = wrote.applied.first().map(|w| &w.resource);
            Reply::page(json!({"deleted": deleted, "dryRun": wrote.dry_run}))
        }
        Ok(wrote) => Reply::page(json!(wrote)),
        Err(refusal) => refused(refusal),
    };
    let why = (reply.status != 200).then(|| String::from_utf8_lossy(&reply.body).into_owned());
    plane.audit(&who.name, &what, why.as_deref());
    Ok(Some(reply))
}

fn refused(refusal: Refusal) -> Reply {
    match refusal {
        Refusal::NotFound(what) => Reply::refused(404, "NotFound", &what, "see /api/resources"),
        Refusal::NotWritable(what) => Reply::refused(403, "NotWritable", &what, "use kubectl or tulle apply"),
        Refusal::Conflict(what) => Reply::refused(409, "Conflict", &what, "read it again"),
        Refusal::Invalid(what, findings) => {
            Reply::refused_with(422, "Invalid", &what, "", json!({"diagnostics": findings, "applied": []}))
        }
        Refusal::Failed(what) => Reply::refused(503, "Unavailable", &what, "try again"),
    }
}

/// Runs what looks at a window, with what was looked at a moment ago if it is the same.
async fn with(
    api: &Api,
    plane: Arc<dyn Plane>,
    window: Window,
    make: impl FnOnce(&Api, &dyn Plane, &Seen) -> Result<Option<Value>, QueryError> + Send + 'static,
) -> Answered {
    let mine = api.clone();
    let reply = api.blocking(move || {
        let made = seen(&mine, plane.as_ref(), window).and_then(|seen| make(&mine, plane.as_ref(), &seen));
        match made {
            Ok(Some(value)) => Reply::page(value),
            Ok(None) => not_found(""),
            Err(error) => Reply::refused(422, "TooMuch", &error.to_string(), "give a shorter window"),
        }
    });
    Ok(Some(reply.await))
}

fn seen(api: &Api, plane: &dyn Plane, window: Window) -> Result<Arc<Seen>, QueryError> {
    let key = (plane.version(), window.length);
    let remembered = || api.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if window.now
        && let Some((known, at, seen)) = &*remembered()
        && *known == key
        && at.elapsed() < SAME
    {
        return Ok(Arc::clone(seen));
    }
    let seen = Seen::new(&api.store, plane.model(), (window.time, window.length), api.limits.series)?;
    let seen = Arc::new(seen);
    if window.now {
        *remembered() = Some((key, Instant::now(), Arc::clone(&seen)));
    }
    Ok(seen)
}

fn resources(plane: &dyn Plane, asked: &Asked) -> Value {
    let (mut rows, kinds) = plane.resources();
    let [kind, namespace, state, part] = ["kind", "namespace", "state", "q"].map(|name| text(asked, name));
    rows.retain(|row| {
        (kind.is_empty() || row.reference.kind == kind)
            && (namespace.is_empty() || row.reference.namespace == namespace)
            && (state.is_empty() || row.state == state)
            && row.reference.id.contains(&part)
    });
    json!({"resources": rows, "kinds": kinds})
}

/// Two versions of a resource, or one and what it is now.
async fn diff_versions(plane: &dyn Plane, asked: &Asked) -> Answered {
    let id = text(asked, "resource");
    let text_of = async |name: &str, default: &str| {
        let wanted = Some(text(asked, name)).filter(|t| !t.is_empty()).unwrap_or_else(|| default.to_owned());
        if wanted == "live" {
            return Ok(plane.resource(&id).await.map(|r| r.yaml).unwrap_or_default());
        }
        let number = wanted.parse().map_err(|_| unusable(name, "give the number of a version, or live"))?;
        let found =
            plane.version_of(&id, number).ok_or_else(|| not_found(&format!("{id} version {wanted}")))?;
        Ok::<String, Reply>(found.1.unwrap_or_default())
    };
    let (from, to) = (text_of("from", "").await?, text_of("to", "live").await?);
    Ok(Some(Reply::page(difference(plane, &from, &to))))
}

/// A text against what is there.
async fn diff_text(plane: &dyn Plane, asked: &Asked) -> Answered {
    let yaml = yaml(asked)?;
    let id = match text(asked, "resource") {
        id if id.is_empty() => plane.validate(&yaml, false).resources.first().map(|r| r.id.clone()),
        id => Some(id),
    };
    let id = id.ok_or_else(|| unusable("resource", "the text names no resource"))?;
    let live = plane.resource(&id).await.map(|r| r.yaml).unwrap_or_default();
    Ok(Some(Reply::page(difference(plane, &live, &yaml))))
}

fn difference(plane: &dyn Plane, from: &str, to: &str) -> Value {
    let unified = similar::TextDiff::configure().timeout(DIFF_AT_MOST).diff_lines(from, to);
    let unified = unified.unified_diff().context_radius(3).header("before", "after").to_string();
    json!({"from": from, "to": to, "changes": plane.compare(from, to), "unified": unified})
}

fn yaml(asked: &Asked) -> Result<String, Reply> {
    let text = String::from_utf8(asked.body.to_vec());
    let text =
        text.map_err(|_| Reply::refused(400, "BadText", "the body is not UTF-8", "send YAML as UTF-8"))?;
    match text.trim().is_empty() {
        true => Err(Reply::refused(
            400,
            "BadText",
            "the body is empty",
            "send YAML with content-type application/yaml",
        )),
        false => Ok(text),
    }
}

fn window(asked: &Asked, now: i64) -> Result<Window, Reply> {
    let time = asked.params.time("time", now).map_err(unusable_param)?;
    let length = asked.params.duration("window").map_err(unusable_param)?.unwrap_or(MINUTE);
    // Older and longer is coarser than ticks.
    if !(10_000..=10 * MINUTE).contains(&length) {
        return Err(unusable_param(bad("window", "give 10s to 10m".to_owned())));
    }
    Ok(Window { time, length, now: time == now })
}

fn text(asked: &Asked, name: &str) -> String {
    asked.params.get(name).unwrap_or("").to_owned()
}

fn decoded(path: &str) -> String {
    // A plus is itself in a path.
    super::params::decode(&path.replace('+', "%2B"))
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds of this century")]
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

fn unusable_param(error: super::params::BadParam) -> Reply {
    Reply::refused(400, "BadParameter", &error.to_string(), "")
}

fn unusable(name: &str, reason: &str) -> Reply {
    unusable_param(bad(name, reason.to_owned()))
}

fn not_found(what: &str) -> Reply {
    let message =
        if what.is_empty() { "there is no such thing".to_owned() } else { format!("there is no {what}") };
    Reply::refused(404, "NotFound", &message, "see /api/services, /api/workloads, /api/resources")
}
