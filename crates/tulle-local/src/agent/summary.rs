//! What runs, and what is unhealthy and why.

use serde_json::Value;
use tulle_api::kubernetes::PodSpec;
use tulle_api::{Kind, Object};

use super::protocol::{PodSummary, ResourceSummary};
use super::select::lasts;
use crate::cluster::pod_facts;
use crate::cluster::view::View;

/// The pods, by namespace and name. `now` is in seconds since 1970.
pub(super) fn pods(view: &View, now: i64) -> Vec<PodSummary> {
    view.all::<PodSpec>().map(|(object, spec)| pod(object, spec, now)).collect()
}

/// The conditions of the mesh's resources that are not as they should be, by kind, namespace and name.
pub(super) fn resources(view: &View) -> Vec<ResourceSummary> {
    view.iter().filter(|o| is_of_the_mesh(o)).flat_map(|o| troubles(o)).collect()
}

fn is_of_the_mesh(object: &Object) -> bool {
    let group = object.kind().info().group;
    group.ends_with(".istio.io")
        || group == "gateway.networking.k8s.io"
        || group == tulle_api::policy::GROUP
        || object.kind() == Kind::Ingress
}

fn troubles(object: &Object) -> Vec<ResourceSummary> {
    let conditions = object.status.as_ref().and_then(|s| s["conditions"].as_array());
    let trouble = |condition: &Value| {
        let state = match (condition["type"].as_str()?, condition["status"].as_str()?) {
            ("Accepted", "False") => "not Accepted",
            ("Programmed", "False") => "not Programmed",
            ("Conflicted", "True") => "Conflicted",
            _ => return None,
        };
        let text = |name: &str| condition[name].as_str().unwrap_or_default().to_owned();
        Some(ResourceSummary {
            kind: object.kind().info().kind.to_owned(),
            namespace: object.meta.namespace.clone(),
            name: object.meta.name.clone(),
            condition: state.to_owned(),
            reason: text("reason"),
            message: text("message"),
        })
    };
    conditions.into_iter().flatten().filter_map(trouble).collect()
}

fn pod(object: &Object, spec: &PodSpec, now: i64) -> PodSummary {
    let facts = pod_facts(object);
    let none = Vec::new();
    let status = object.status.as_ref();
    let list = |key: &str| status.and_then(|s| s[key].as_array()).unwrap_or(&none).iter();
    let containers: Vec<&Value> = list("initContainerStatuses")
        .chain(list("containerStatuses"))
        .filter(|c| lasts(spec, c["name"].as_str().unwrap_or_default()))
        .collect();
    let waiting = list("initContainerStatuses")
        .chain(list("containerStatuses"))
        .filter_map(|c| c["state"]["waiting"]["reason"].as_str())
        .find(|r| !matches!(*r, "PodInitializing" | "ContainerCreating"));
    let text = |key: &str| status.and_then(|s| s[key].as_str()).unwrap_or_default().to_owned();
    let phase = text("phase");
    let created = object.meta.creation_timestamp.as_ref().map_or(now, |t| t.unix());
    PodSummary {
        namespace: object.meta.namespace.clone(),
        name: object.meta.name.clone(),
        ready: containers.iter().filter(|c| c["ready"] == true).count(),
        containers: containers.len().max(spec.containers.len()),
        status: match waiting {
            _ if facts.terminating => "Terminating".into(),
            Some(reason) => reason.to_owned(),
            None if phase.is_empty() => "Pending".into(),
            None => phase,
        },
        restarts: list("containerStatuses")
            .chain(list("initContainerStatuses"))
            .filter_map(|c| c["restartCount"].as_i64())
            .sum(),
        ip: text("podIP"),
        age_seconds: (now - created).max(0),
        reason: if facts.ready || facts.succeeded { String::new() } else { reason(object) },
    }
}

/// Why a pod is not ready.
pub(super) fn reason(object: &Object) -> String {
    let Some(status) = &object.status else { return "not started yet".into() };
    let message = status["message"].as_str().unwrap_or_default();
    if !message.is_empty() {
        return message.to_owned();
    }
    let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ready = conditions.iter().find(|c| c["type"] == "Ready");
    let message = ready.and_then(|c| c["message"].as_str()).filter(|m| !m.is_empty());
    message.unwrap_or("not ready yet").to_owned()
}
