//! Which groups, versions and kinds there are; from the table of kinds.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use serde_json::{Value, json};
use tulle_api::Kind;
use tulle_api::kind::{Body as KindBody, KindInfo};

use crate::error::{ApiError, Reason};
use crate::negotiate::{self, DiscoveryForm};
use crate::openapi;
use crate::path::REVIEWS;
use crate::respond::{self, Body};

/// What can be done to objects that are stored.
const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// Categories that `kubectl get all` knows.
const ALL: [Kind; 7] = [
    Kind::Pod,
    Kind::Service,
    Kind::Deployment,
    Kind::ReplicaSet,
    Kind::StatefulSet,
    Kind::DaemonSet,
    Kind::Job,
];

/// A resource or subresource, as discovery tells it.
struct Entry {
    /// Plural, with `/SUB` behind it for a subresource.
    name: String,
    singular: String,
    namespaced: bool,
    kind: &'static str,
    /// Group and version of `kind`, where they are not those of the path.
    of: Option<(&'static str, &'static str)>,
    verbs: Vec<&'static str>,
    short: &'static [&'static str],
    categories: Vec<&'static str>,
}

/// `/version`.
pub(crate) fn version() -> Value {
    let own = env!("CARGO_PKG_VERSION");
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    json!({"major": "1", "minor": "32", "gitVersion": format!("v1.32.0+tulle-{own}"), "gitCommit": "",
        "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc",
        "platform": format!("linux/{arch}")})
}

/// `/api`.
pub(crate) fn core(headers: &HeaderMap) -> Result<Response<Body>, ApiError> {
    Ok(match negotiate::discovery(headers)? {
        DiscoveryForm::Aggregated(form) => aggregated(&[""], form),
        DiscoveryForm::Plain => plain(&json!({"kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": []})),
    })
}

/// `/apis`.
pub(crate) fn groups(headers: &HeaderMap) -> Result<Response<Body>, ApiError> {
    let names: Vec<&str> = group_names().into_iter().filter(|g| !g.is_empty()).collect();
    Ok(match negotiate::discovery(headers)? {
        DiscoveryForm::Aggregated(form) => aggregated(&names, form),
        DiscoveryForm::Plain => {
            let groups: Vec<Value> = names.iter().map(|g| group_json(g)).collect();
            plain(&json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
    })
}

/// `/apis/GROUP`.
pub(crate) fn group(name: &str) -> Result<Response<Body>, ApiError> {
    if name.is_empty() || !group_names().contains(&name) {
        return Err(nothing());
    }
    let mut group = group_json(name);
    group["kind"] = "APIGroup".into();
    group["apiVersion"] = "v1".into();
    Ok(plain(&group))
}

/// `/apis/GROUP/VERSION` and `/api/v1`.
pub(crate) fn resources(group: &str, version: &str) -> Result<Response<Body>, ApiError> {
    if !versions(group).contains(&version) {
        return Err(nothing());
    }
    let list: Vec<Value> = entries(group, version)
        .into_iter()
        .map(|e| {
            let mut resource = json!({"name": e.name, "singularName": e.singular, "namespaced": e.namespaced,
                "kind": e.kind, "verbs": e.verbs});
            if let Some((group, version)) = e.of {
                resource["group"] = group.into();
                resource["version"] = version.into();
            }
            if !e.short.is_empty() {
                resource["shortNames"] = json!(e.short);
            }
            if !e.categories.is_empty() {
                resource["categories"] = json!(e.categories);
            }
            resource
        })
        .collect();
    Ok(plain(
        &json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version(group, version),
        "resources": list}),
    ))
}

/// `/openapi/v3` and what is below it. The documents do not change while the program runs, and making them takes a while.
pub(crate) fn openapi(path: &str) -> Result<Response<Body>, ApiError> {
    static MADE: Mutex<BTreeMap<String, Bytes>> = Mutex::new(BTreeMap::new());
    let known = MADE.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
    let bytes = match known {
        Some(bytes) => bytes,
        None => {
            let document = match *path.split('/').collect::<Vec<_>>() {
                [""] => Some(openapi::index()),
                ["api", version] => openapi::document("", version),
                ["apis", group, version] if !group.is_empty() => openapi::document(group, version),
                _ => None,
            };
            let document = document.ok_or_else(nothing)?;
            let bytes = Bytes::from(serde_json::to_vec(&document).unwrap_or_default());
            MADE.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), bytes.clone());
            bytes
        }
    };
    Ok(respond::bytes(StatusCode::OK, "application/json", bytes))
}

/// `/openapi/v2`, which kubectl asks for as protobuf messages before version 1.27.
pub(crate) fn openapi_v2(headers: &HeaderMap) -> Response<Body> {
    static MESSAGES: OnceLock<Bytes> = OnceLock::new();
    if negotiate::wants_openapi_messages(headers) {
        let bytes = MESSAGES.get_or_init(|| openapi::protobuf(&openapi::v2()).into());
        return respond::bytes(StatusCode::OK, negotiate::OPENAPI_MESSAGES, bytes.clone());
    }
    respond::json(StatusCode::OK, &openapi::v2())
}

/// The paths that there are, for `/`.
pub(crate) fn root() -> Response<Body> {
    let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
    for group in group_names().into_iter().filter(|g| !g.is_empty()) {
        paths.push(format!("/apis/{group}"));
        paths.extend(versions(group).iter().map(|v| format!("/apis/{group}/{v}")));
    }
    paths.extend(
        ["/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"].map(str::to_owned),
    );
    plain(&json!({"paths": paths}))
}

/// 404 for a path, as Kubernetes words it.
pub(crate) fn nothing() -> ApiError {
    ApiError::new(Reason::NotFound, "the server could not find the requested resource")
}

/// Every group, the core group first.
pub(crate) fn group_names() -> Vec<&'static str> {
    let mut names: Vec<&str> = Kind::ALL.iter().map(|k| k.info().group).collect();
    names.extend(REVIEWS.iter().map(|(group, ..)| *group));
    names.sort_unstable();
    names.dedup();
    names
}

/// The versions of a group, the preferred one first.
pub(crate) fn versions(group: &str) -> Vec<&'static str> {
    let kinds = Kind::ALL.iter().map(|k| k.info()).filter(|i| i.group == group);
    let reviews = REVIEWS.iter().filter(|(g, ..)| *g == group).map(|(_, version, ..)| *version);
    let mut versions: Vec<&str> = Vec::new();
    for version in kinds.flat_map(|i| i.versions.iter().copied()).chain(reviews) {
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    versions.sort_by_key(|v| (v.contains("alpha"), v.contains("beta")));
    versions
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

fn group_json(group: &str) -> Value {
    let versions: Vec<Value> = versions(group)
        .iter()
        .map(|v| json!({"groupVersion": group_version(group, v), "version": v}))
        .collect();
    json!({"name": group, "versions": versions, "preferredVersion": versions.first()})
}

/// Whether objects of a kind have a status of their own.
pub(crate) fn has_status(info: &KindInfo) -> bool {
    info.body == KindBody::Spec
}

/// Whether a kind can be scaled.
pub(crate) fn has_scale(kind: Kind) -> bool {
    matches!(kind, Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet)
}

fn entries(group: &str, version: &str) -> Vec<Entry> {
    let mut out = Vec::new();
    for kind in Kind::ALL.iter().copied() {
        let info = kind.info();
        if info.group != group || !info.versions.contains(&version) {
            continue;
        }
        let entry = |name: String, kind, of, verbs: &[&'static str]| Entry {
            name,
            singular: String::new(),
            namespaced: info.namespaced,
            kind,
            of,
            verbs: verbs.to_vec(),
            short: &[],
            categories: Vec::new(),
        };
        let mut own = entry(info.plural.to_owned(), info.kind, None, &VERBS);
        own.singular = info.kind.to_lowercase();
        own.short = info.short;
        if ALL.contains(&kind) {
            own.categories.push("all");
        }
        if info.group.ends_with("istio.io") {
            own.categories.push("istio-io");
        }
        out.push(own);
        let sub = |name: &str| format!("{}/{name}", info.plural);
        if has_status(info) {
            out.push(entry(sub("status"), info.kind, None, &["get", "patch", "update"]));
        }
        if has_scale(kind) {
            let of = Some(("autoscaling", "v1"));
            out.push(entry(sub("scale"), "Scale", of, &["get", "patch", "update"]));
        }
        if kind == Kind::Pod {
            out.push(entry(sub("log"), "Pod", None, &["get"]));
        }
    }
    for (_, _, plural, kind) in REVIEWS.iter().filter(|(g, v, ..)| *g == group && *v == version) {
        out.push(Entry {
            name: (*plural).to_owned(),
            singular: kind.to_lowercase(),
            namespaced: false,
            kind,
            of: None,
            verbs: vec!["create"],
            short: &[],
            categories: Vec::new(),
        });
    }
    out
}

/// Everything about these groups in one document.
fn aggregated(groups: &[&str], form: &'static str) -> Response<Body> {
    let items: Vec<Value> = groups
        .iter()
        .map(|group| {
            let versions: Vec<Value> = versions(group)
                .iter()
                .map(|version| {
                    json!({"version": version, "freshness": "Current",
                    "resources": aggregated_resources(group, version)})
                })
                .collect();
            json!({"metadata": {"name": group}, "versions": versions})
        })
        .collect();
    let list = json!({"kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{form}"),
        "metadata": {}, "items": items});
    let media = if form == "v2" {
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    } else {
        "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
    };
    respond::bytes(StatusCode::OK, media, serde_json::to_vec(&list).unwrap_or_default())
}

fn aggregated_resources(group: &str, version: &str) -> Vec<Value> {
    let mut out: Vec<Value> = Vec::new();
    for entry in entries(group, version) {
        let (of_group, of_version) = entry.of.unwrap_or((group, version));
        let kind = json!({"group": of_group, "version": of_version, "kind": entry.kind});
        match (entry.name.split_once('/'), out.last_mut()) {
            (Some((_, sub)), Some(parent)) => {
                let sub = json!({"subresource": sub, "responseKind": kind, "verbs": entry.verbs});
                match parent["subresources"].as_array_mut() {
                    Some(list) => list.push(sub),
                    None => parent["subresources"] = json!([sub]),
                }
            }
            _ => {
                let scope = if entry.namespaced { "Namespaced" } else { "Cluster" };
                let mut resource = json!({"resource": entry.name, "responseKind": kind, "scope": scope,
                    "singularResource": entry.singular, "verbs": entry.verbs});
                if !entry.short.is_empty() {
                    resource["shortNames"] = json!(entry.short);
                }
                if !entry.categories.is_empty() {
                    resource["categories"] = json!(entry.categories);
                }
                out.push(resource);
            }
        }
    }
    out
}

fn plain(value: &Value) -> Response<Body> {
    respond::json(StatusCode::OK, value)
}
