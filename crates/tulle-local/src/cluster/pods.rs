//! What controllers have in common about pods.

use std::net::IpAddr;

use serde_json::Value;
use tulle_api::kubernetes::{PodSpec, PodTemplateSpec};
use tulle_api::value::Timestamp;
use tulle_api::{Kind, Object, OwnerReference};

use super::Action;
use super::view::View;
use crate::net::Family;

/// What the node reported about a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodFacts {
    /// Its addresses, once it has some; the main one first.
    pub ips: Vec<IpAddr>,
    /// Whether it takes traffic.
    pub ready: bool,
    /// Whether it ended well.
    pub succeeded: bool,
    /// Whether it ended badly.
    pub failed: bool,
    /// Whether it was asked to stop.
    pub terminating: bool,
}

impl PodFacts {
    /// Its address of a family.
    pub fn ip_of(&self, family: Family) -> Option<IpAddr> {
        self.ips.iter().copied().find(|ip| Family::of(*ip) == family)
    }

    /// Whether it runs or will.
    pub fn active(&self) -> bool {
        !self.succeeded && !self.failed && !self.terminating
    }
}

/// Reads the status of a pod object.
pub fn pod_facts(pod: &Object) -> PodFacts {
    let status = pod.status.as_ref();
    let text = |key: &str| status.and_then(|s| s.get(key)).and_then(Value::as_str).unwrap_or_default();
    let conditions = status.and_then(|s| s.get("conditions")).and_then(Value::as_array);
    let ready = conditions.into_iter().flatten().any(|c| {
        c.get("type").and_then(Value::as_str) == Some("Ready")
            && c.get("status").and_then(Value::as_str) == Some("True")
    });
    let phase = text("phase");
    let all = status.and_then(|s| s.get("podIPs")).and_then(Value::as_array).into_iter().flatten();
    let all = all.filter_map(|ip| ip.get("ip").and_then(Value::as_str));
    let mut ips: Vec<IpAddr> = all.chain([text("podIP")]).filter_map(|ip| ip.parse().ok()).collect();
    if ips.len() > 1 && ips[1..].contains(&ips[0]) {
        ips.pop();
    }
    PodFacts {
        ips,
        ready,
        succeeded: phase == "Succeeded",
        failed: phase == "Failed",
        terminating: pod.meta.deletion_timestamp.is_some(),
    }
}

/// The pods that `owner` controls.
pub(super) fn owned<'v>(view: &'v View, owner: &Object) -> Vec<&'v Object> {
    let is_owner = |r: &OwnerReference| r.controller == Some(true) && r.uid == owner.meta.uid;
    view.of_kind(Kind::Pod)
        .filter(|p| p.meta.namespace == owner.meta.namespace && p.meta.owner_references.iter().any(is_owner))
        .map(|p| &**p)
        .collect()
}

/// A pod from a template, owned by `owner` under the name `owner_name` and kind `owner_kind`.
pub(super) fn from_template(
    owner: &Object,
    owner_kind: &str,
    owner_name: &str,
    template: &PodTemplateSpec,
    name: String,
) -> Object {
    let mut pod = Object::new::<PodSpec>(&owner.meta.namespace, &name, template.spec.clone());
    pod.meta.labels.clone_from(&template.metadata.labels);
    pod.meta.annotations.clone_from(&template.metadata.annotations);
    pod.meta.owner_references = vec![OwnerReference {
        api_version: owner.api_version.clone(),
        kind: owner_kind.to_owned(),
        name: owner_name.to_owned(),
        uid: owner.meta.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }];
    pod.origin.clone_from(&owner.origin);
    pod
}

/// Asks a pod to stop: it is deleted by the node once it has.
pub(super) fn terminate(pod: &Object, now: i64) -> Action {
    let mut pod = pod.clone();
    pod.meta.deletion_timestamp = Some(Timestamp::from_unix(now));
    Action::Put(Box::new(pod))
}

/// Stops pods whose owner is gone.
pub(super) fn collect_orphans(view: &View, now: i64, actions: &mut Vec<Action>) {
    for pod in view.of_kind(Kind::Pod).filter(|p| p.meta.deletion_timestamp.is_none()) {
        let Some(owner) = pod.meta.owner_references.iter().find(|r| r.controller == Some(true)) else {
            continue;
        };
        let kinds = [Kind::Deployment, Kind::ReplicaSet, Kind::StatefulSet, Kind::DaemonSet, Kind::Job];
        let alive = kinds.into_iter().flat_map(|k| view.of_kind(k)).any(|o| o.meta.uid == owner.uid);
        if !alive {
            actions.push(terminate(pod, now));
        }
    }
}
