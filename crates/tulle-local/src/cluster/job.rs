//! Jobs: pods until enough of them have ended well.

use serde_json::json;
use tulle_api::Object;
use tulle_api::kubernetes::{Job, RestartPolicy};
use tulle_api::value::Timestamp;

use super::Action;
use super::names::Names;
use super::pods::{PodFacts, from_template, owned, pod_facts, terminate};
use super::view::View;

pub(super) fn reconcile(view: &View, names: &mut Names, now: i64, actions: &mut Vec<Action>) {
    for (object, job) in view.all::<Job>() {
        reconcile_one(view, object, job, names, now, actions);
    }
}

fn reconcile_one(
    view: &View,
    object: &Object,
    job: &Job,
    names: &mut Names,
    now: i64,
    actions: &mut Vec<Action>,
) {
    let finished = |kind: &str| {
        let conditions = object.status.as_ref().and_then(|s| s.get("conditions")).and_then(|c| c.as_array());
        conditions.into_iter().flatten().any(|c| c["type"] == kind && c["status"] == "True")
    };
    if finished("Complete") || finished("Failed") {
        remove_when_stale(object, job, now, actions);
        return;
    }
    let pods: Vec<(&Object, PodFacts)> = owned(view, object).into_iter().map(|p| (p, pod_facts(p))).collect();
    let count = |test: fn(&PodFacts) -> bool| {
        u32::try_from(pods.iter().filter(|(_, f)| test(f)).count()).unwrap_or(u32::MAX)
    };
    let (succeeded, failed, active) = (count(|f| f.succeeded), count(|f| f.failed), count(PodFacts::active));
    let started = object.status.as_ref().and_then(|s| s["startTime"].as_str()).map(str::to_owned);
    let start = started.unwrap_or_else(|| Timestamp::from_unix(now).as_str().to_owned());
    let mut status = json!({"active": active, "succeeded": succeeded, "failed": failed, "startTime": start});
    let moment = Timestamp::from_unix(now).as_str().to_owned();
    if succeeded >= job.wanted() {
        status["completionTime"] = moment.clone().into();
        status["conditions"] = json!([{"type": "Complete", "status": "True", "lastTransitionTime": moment}]);
    } else if failed > job.allowed_failures() {
        status["conditions"] = json!([{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded",
            "lastTransitionTime": moment}]);
        for (pod, _) in pods.iter().filter(|(_, f)| f.active()) {
            actions.push(terminate(pod, now));
        }
    } else if job.suspend != Some(true) {
        let room = job.workers().saturating_sub(active);
        for _ in 0..room.min(job.wanted().saturating_sub(succeeded + active)) {
            actions.push(Action::Put(Box::new(member(object, job, names))));
        }
    }
    if object.status.as_ref() != Some(&status) {
        actions.push(Action::Status(object.resource(), status));
    }
}

fn member(object: &Object, job: &Job, names: &mut Names) -> Object {
    let mut template = job.template.clone();
    for key in ["job-name", "batch.kubernetes.io/job-name"] {
        template.metadata.labels.insert(key.into(), object.meta.name.clone());
    }
    // A job's pods must be able to end; Kubernetes refuses Always, here it means Never.
    if template.spec.restarts() == RestartPolicy::Always {
        template.spec.restart_policy = Some(RestartPolicy::Never);
    }
    if template.spec.active_deadline_seconds.is_none() {
        template.spec.active_deadline_seconds = job.active_deadline_seconds;
    }
    let name = format!("{}-{}", object.meta.name, names.suffix());
    from_template(object, "Job", &object.meta.name, &template, name)
}

fn remove_when_stale(object: &Object, job: &Job, now: i64, actions: &mut Vec<Action>) {
    let Some(ttl) = job.ttl_seconds_after_finished else { return };
    let conditions = object.status.as_ref().map(|s| &s["conditions"]);
    let ended = conditions.and_then(|c| c[0]["lastTransitionTime"].as_str()).unwrap_or_default();
    if ended <= Timestamp::from_unix(now - i64::from(ttl)).as_str() {
        actions.push(Action::Delete(object.resource()));
    }
}
