//! Deployments, ReplicaSets and DaemonSets: a number of equal pods, replaced step by step when the template changes.

use serde_json::json;
use tulle_api::kubernetes::{
    DaemonSet, Deployment, PodTemplateSpec, ReplicaSet, RollingUpdate, StrategyType,
};
use tulle_api::schema::Field as _;
use tulle_api::value::IntOrString;
use tulle_api::{Object, Resource};

use super::Action;
use super::names::{Names, revision};
use super::pods::{PodFacts, from_template, owned, pod_facts, terminate};
use super::view::View;

/// Label with the revision of a Deployment's template.
const TEMPLATE_HASH: &str = "pod-template-hash";

pub(super) fn reconcile(view: &View, names: &mut Names, now: i64, actions: &mut Vec<Action>) {
    for (object, deployment) in view.all::<Deployment>() {
        let hash = revision(&deployment.template.encode().to_string(), 10);
        let mut template = deployment.template.clone();
        template.metadata.labels.insert(TEMPLATE_HASH.into(), hash.clone());
        let strategy = deployment.strategy.as_ref();
        let limits = match strategy.and_then(|s| s.strategy_type) {
            Some(StrategyType::Recreate) => Limits::Recreate,
            _ => Limits::rolling(deployment.count(), strategy.and_then(|s| s.rolling_update.as_ref())),
        };
        let set = Set {
            object,
            owner_kind: "ReplicaSet",
            owner_name: format!("{}-{hash}", object.meta.name),
            count: deployment.count(),
            template: &template,
            hash: Some(&hash),
            limits: if deployment.paused == Some(true) { Limits::Paused } else { limits },
        };
        set.reconcile(view, names, now, actions);
    }
    for (object, set) in view.all::<ReplicaSet>() {
        let template = set.template.clone().unwrap_or_default();
        plain(object, "ReplicaSet", set.count(), &template).reconcile(view, names, now, actions);
    }
    for (object, set) in view.all::<DaemonSet>() {
        plain(object, "DaemonSet", 1, &set.template).reconcile(view, names, now, actions);
    }
}

fn plain<'a>(object: &'a Object, kind: &'static str, count: u32, template: &'a PodTemplateSpec) -> Set<'a> {
    let owner_name = object.meta.name.clone();
    let limits = Limits::Rolling { surge: 0, unavailable: 1 };
    Set { object, owner_kind: kind, owner_name, count, template, hash: None, limits }
}

/// How far the number of pods may be off while they are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limits {
    /// Old ones go before new ones come.
    Recreate,
    /// Step by step.
    Rolling {
        /// Pods above the wanted number.
        surge: u32,
        /// Pods that may be missing.
        unavailable: u32,
    },
    /// Old ones stay.
    Paused,
}

impl Limits {
    /// Kubernetes' rounding: surge up, unavailable down; if both are zero, one may be missing.
    fn rolling(count: u32, update: Option<&RollingUpdate>) -> Self {
        let read = |value: Option<&IntOrString>, up: bool| match value {
            None => percent(25, count, up),
            Some(IntOrString::Int(n)) => u32::try_from(*n).unwrap_or(0),
            Some(IntOrString::String(s)) => {
                s.strip_suffix('%').and_then(|p| p.parse().ok()).map_or(0, |p| percent(p, count, up))
            }
        };
        let surge = read(update.and_then(|u| u.max_surge.as_ref()), true);
        let unavailable = read(update.and_then(|u| u.max_unavailable.as_ref()), false);
        Self::Rolling { surge, unavailable: if surge == 0 { unavailable.max(1) } else { unavailable } }
    }
}

fn percent(percent: u32, of: u32, up: bool) -> u32 {
    let product = percent.saturating_mul(of);
    if up { product.div_ceil(100) } else { product / 100 }
}

struct Set<'a> {
    object: &'a Object,
    owner_kind: &'static str,
    owner_name: String,
    count: u32,
    template: &'a PodTemplateSpec,
    /// The revision that pods must have; `None`: any will do.
    hash: Option<&'a str>,
    limits: Limits,
}

type Member<'v> = (&'v Object, PodFacts);

impl Set<'_> {
    fn reconcile(&self, view: &View, names: &mut Names, now: i64, actions: &mut Vec<Action>) {
        let all: Vec<Member<'_>> = owned(view, self.object).into_iter().map(|p| (p, pod_facts(p))).collect();
        // What has ended does not count, and makes room for a new one.
        for (pod, facts) in &all {
            if (facts.failed || facts.succeeded) && !facts.terminating {
                actions.push(terminate(pod, now));
            }
        }
        let (new, old): (Vec<&Member<'_>>, Vec<&Member<'_>>) =
            all.iter().filter(|(_, f)| f.active()).partition(|(p, _)| self.is_new(p));
        let going = all.iter().any(|(p, f)| f.terminating && !self.is_new(p));
        for _ in 0..self.to_create(&new, &old, going) {
            let name = format!("{}-{}", self.owner_name, names.suffix());
            let pod = from_template(self.object, self.owner_kind, &self.owner_name, self.template, name);
            actions.push(Action::Put(Box::new(pod)));
        }
        for pod in self.to_remove(&new, &old) {
            actions.push(terminate(pod, now));
        }
        self.report(&new, &old, actions);
    }

    fn is_new(&self, pod: &Object) -> bool {
        self.hash.is_none_or(|hash| pod.meta.labels.get(TEMPLATE_HASH).is_some_and(|h| h == hash))
    }

    fn to_create(&self, new: &[&Member<'_>], old: &[&Member<'_>], old_going: bool) -> u32 {
        let missing = self.count.saturating_sub(size(new));
        match self.limits {
            Limits::Recreate if !old.is_empty() || old_going => 0,
            Limits::Recreate => missing,
            Limits::Paused => self.count.saturating_sub(size(new) + size(old)),
            Limits::Rolling { surge, .. } => {
                missing.min((self.count + surge).saturating_sub(size(new) + size(old)))
            }
        }
    }

    /// Surplus new pods, and as many old ones as can be spared; those that are not ready first.
    fn to_remove<'v>(&self, new: &[&Member<'v>], old: &[&Member<'v>]) -> Vec<&'v Object> {
        let mut out: Vec<&Object> = Vec::new();
        let surplus = size(new).saturating_sub(self.count) as usize;
        let mut by_worth: Vec<&&Member<'_>> = new.iter().collect();
        by_worth.sort_by_key(|(_, f)| f.ready);
        out.extend(by_worth.iter().take(surplus).map(|m| m.0));
        match self.limits {
            Limits::Paused => {
                let surplus = (size(new) + size(old)).saturating_sub(self.count.max(size(new))) as usize;
                out.extend(old.iter().take(surplus).map(|m| m.0));
            }
            Limits::Recreate => out.extend(old.iter().map(|m| m.0)),
            Limits::Rolling { unavailable, .. } => {
                out.extend(old.iter().filter(|m| !m.1.ready).map(|m| m.0));
                let ready =
                    u32::try_from(new.iter().chain(old).filter(|m| m.1.ready).count()).unwrap_or(u32::MAX);
                let spare = ready.saturating_sub(self.count.saturating_sub(unavailable)) as usize;
                out.extend(old.iter().filter(|m| m.1.ready).take(spare).map(|m| m.0));
            }
        }
        out
    }

    fn report(&self, new: &[&Member<'_>], old: &[&Member<'_>], actions: &mut Vec<Action>) {
        let ready = new.iter().chain(old).filter(|m| m.1.ready).count();
        let total = new.len() + old.len();
        let complete = new.len() == self.count as usize && old.is_empty() && ready == total;
        let status = if self.object.kind() == DaemonSet::KIND {
            json!({"desiredNumberScheduled": 1, "currentNumberScheduled": total, "numberReady": ready,
                "numberMisscheduled": 0, "numberAvailable": ready, "updatedNumberScheduled": new.len(),
                "observedGeneration": self.object.meta.generation})
        } else {
            let available = ready >= self.count as usize;
            json!({"replicas": total, "updatedReplicas": new.len(), "readyReplicas": ready,
            "availableReplicas": ready, "observedGeneration": self.object.meta.generation,
            "conditions": [
                {"type": "Available", "status": if available { "True" } else { "False" }},
                {"type": "Progressing", "status": "True",
                    "reason": if complete { "NewReplicaSetAvailable" } else { "ReplicaSetUpdated" }},
            ]})
        };
        if self.object.status.as_ref() != Some(&status) {
            actions.push(Action::Status(self.object.resource(), status));
        }
    }
}

fn size(members: &[&Member<'_>]) -> u32 {
    u32::try_from(members.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_kubernetes() {
        let u = |surge: &str, unavailable: &str| RollingUpdate {
            max_surge: Some(IntOrString::String(surge.into())),
            max_unavailable: Some(IntOrString::String(unavailable.into())),
            ..RollingUpdate::default()
        };
        assert_eq!(Limits::rolling(1, None), Limits::Rolling { surge: 1, unavailable: 0 });
        assert_eq!(Limits::rolling(10, None), Limits::Rolling { surge: 3, unavailable: 2 });
        assert_eq!(Limits::rolling(4, Some(&u("0%", "10%"))), Limits::Rolling { surge: 0, unavailable: 1 });
    }
}
