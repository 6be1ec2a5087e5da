//! StatefulSets: numbered pods with stable names, one after the other.

use serde_json::json;
use tulle_api::Object;
use tulle_api::kubernetes::{PodManagementPolicy, PodTemplateSpec, StatefulSet, StrategyType};
use tulle_api::schema::Field as _;

use super::Action;
use super::names::revision;
use super::pods::{PodFacts, from_template, owned, pod_facts, terminate};
use super::view::View;

const REVISION: &str = "controller-revision-hash";
const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

pub(super) fn reconcile(view: &View, now: i64, actions: &mut Vec<Action>) {
    for (object, set) in view.all::<StatefulSet>() {
        reconcile_one(view, object, set, now, actions);
    }
}

fn reconcile_one(view: &View, object: &Object, set: &StatefulSet, now: i64, actions: &mut Vec<Action>) {
    let hash = revision(&set.template.encode().to_string(), 10);
    let pods: Vec<(&Object, PodFacts)> = owned(view, object).into_iter().map(|p| (p, pod_facts(p))).collect();
    let parallel = set.pod_management_policy == Some(PodManagementPolicy::Parallel);
    let (first, end) = (set.first_ordinal(), set.first_ordinal() + set.count());
    let find = |ordinal: u32| {
        let name = format!("{}-{ordinal}", object.meta.name);
        pods.iter().find(|(p, _)| p.meta.name == name)
    };
    report(object, &pods, &hash, actions);

    // One that has ended makes room for itself.
    for (pod, facts) in &pods {
        if (facts.failed || facts.succeeded) && !facts.terminating {
            actions.push(terminate(pod, now));
        }
    }
    for ordinal in first..end {
        match find(ordinal) {
            None => {
                actions.push(Action::Put(Box::new(member(object, set, &hash, ordinal))));
                if !parallel {
                    return;
                }
            }
            Some((_, facts)) if !parallel && !facts.ready => return,
            Some(_) => {}
        }
    }
    // The highest surplus one goes first, then the highest of an old revision; one at a time.
    let mut surplus: Vec<(u32, &Object, &PodFacts)> = pods
        .iter()
        .filter_map(|(p, f)| Some((ordinal_of(object, p)?, *p, f)))
        .filter(|(n, ..)| !(first..end).contains(n))
        .collect();
    surplus.sort_by_key(|(n, ..)| std::cmp::Reverse(*n));
    for (_, pod, facts) in surplus {
        if !facts.terminating {
            actions.push(terminate(pod, now));
        }
        if !parallel {
            return;
        }
    }
    let strategy = set.update_strategy.as_ref();
    if strategy.and_then(|s| s.strategy_type) == Some(StrategyType::OnDelete) {
        return;
    }
    let partition = strategy.and_then(|s| s.rolling_update.as_ref()).and_then(|u| u.partition).unwrap_or(0);
    let from = first.max(u32::try_from(partition).unwrap_or(0));
    for ordinal in (from..end).rev() {
        let Some((pod, facts)) = find(ordinal) else { return };
        if pod.meta.labels.get(REVISION) != Some(&hash) {
            if !facts.terminating {
                actions.push(terminate(pod, now));
            }
            return;
        }
        if !facts.ready {
            return;
        }
    }
}

fn member(object: &Object, set: &StatefulSet, hash: &str, ordinal: u32) -> Object {
    let name = format!("{}-{ordinal}", object.meta.name);
    let mut template: PodTemplateSpec = set.template.clone();
    let labels = &mut template.metadata.labels;
    labels.insert(REVISION.into(), hash.to_owned());
    labels.insert(POD_NAME.into(), name.clone());
    labels.insert(POD_INDEX.into(), ordinal.to_string());
    template.spec.hostname.clone_from(&name);
    template.spec.subdomain.clone_from(&set.service_name);
    from_template(object, "StatefulSet", &object.meta.name, &template, name)
}

fn ordinal_of(object: &Object, pod: &Object) -> Option<u32> {
    pod.meta.name.strip_prefix(&object.meta.name)?.strip_prefix('-')?.parse().ok()
}

fn report(object: &Object, pods: &[(&Object, PodFacts)], hash: &str, actions: &mut Vec<Action>) {
    let ready = pods.iter().filter(|(_, f)| f.ready).count();
    let updated = pods.iter().filter(|(p, _)| p.meta.labels.get(REVISION).is_some_and(|h| h == hash)).count();
    let status = json!({"replicas": pods.len(), "readyReplicas": ready, "availableReplicas": ready,
        "currentReplicas": pods.len(), "updatedReplicas": updated,
        "updateRevision": format!("{}-{hash}", object.meta.name),
        "observedGeneration": object.meta.generation});
    if object.status.as_ref() != Some(&status) {
        actions.push(Action::Status(object.resource(), status));
    }
}
