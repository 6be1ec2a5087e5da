//! Which pod and container a person means.

use tulle_api::Object;
use tulle_api::kubernetes::{PodSpec, RestartPolicy};

use super::protocol::Wanted;
use crate::cluster::inject::{PROXY, workload_name};
use crate::cluster::pod_facts;
use crate::cluster::view::View;

/// The pod and the name of its container. A workload's pods that are ready are preferred, then the newest.
pub(super) fn resolve<'v>(view: &'v View, wanted: &Wanted) -> Result<(&'v Object, String), String> {
    let (kind, name) = wanted.workload.split_once('/').unwrap_or(("", &wanted.workload));
    let is_pod = matches!(kind, "pod" | "pods" | "po");
    let mut matches: Vec<(&Object, &PodSpec)> = view
        .all::<PodSpec>()
        .filter(|(o, _)| o.meta.namespace == wanted.namespace)
        .filter(|(o, _)| o.meta.name == name || (!is_pod && workload_name(o) == name))
        .map(|(o, s)| (&**o, s))
        .collect();
    matches.sort_by_key(|(o, _)| {
        let facts = pod_facts(o);
        (
            o.meta.name != name,
            !facts.ready,
            !facts.active(),
            std::cmp::Reverse(o.meta.creation_timestamp.clone()),
        )
    });
    let Some((pod, spec)) = matches.first() else { return Err(nothing(view, wanted, name)) };
    let all = spec.containers.iter().chain(&spec.init_containers);
    let container = match &wanted.container {
        Some(name) => all.clone().find(|c| c.name == *name),
        // The application, not the sidecar, whichever comes first.
        None => spec.containers.iter().find(|c| c.name != PROXY).or_else(|| all.clone().next()),
    };
    match container {
        Some(container) => Ok((pod, container.name.clone())),
        None => {
            let names: Vec<&str> = all.map(|c| c.name.as_str()).collect();
            let wanted = wanted.container.as_deref().unwrap_or_default();
            Err(format!("pod {} has no container {wanted}; it has {}", pod.meta.name, names.join(", ")))
        }
    }
}

fn nothing(view: &View, wanted: &Wanted, name: &str) -> String {
    let elsewhere = view.all::<PodSpec>().find(|(o, _)| o.meta.name == name || workload_name(o) == name);
    match elsewhere {
        Some((o, _)) => format!(
            "no pod or workload {name} in namespace {}; there is one in {}: add -n {}",
            wanted.namespace, o.meta.namespace, o.meta.namespace
        ),
        None => format!("no pod or workload {name} in namespace {}; see tulle status", wanted.namespace),
    }
}

/// Whether a container runs beside or as the application, so that it can be ready at all.
pub(super) fn lasts(spec: &PodSpec, container: &str) -> bool {
    let init = spec.init_containers.iter().find(|c| c.name == container);
    init.is_none_or(|c| c.restart_policy == Some(RestartPolicy::Always))
}
