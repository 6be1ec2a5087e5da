//! Kinds that are known but not built yet: they are named when they are met, never passed over in silence.

/// Why `kind` of `group` has no effect, if it is one that a mesh or its users know.
pub(crate) fn reason(group: &str, kind: &str) -> Option<&'static str> {
    Some(match (group, kind) {
        ("gateway.networking.k8s.io" | "gateway.networking.x-k8s.io", _) => {
            "this kind of the Gateway API is not built"
        }
        ("networking.k8s.io", "NetworkPolicy") => "packets are not filtered; use AuthorizationPolicy",
        ("autoscaling", "HorizontalPodAutoscaler") => "the number of pods is fixed on one machine",
        ("policy", "PodDisruptionBudget") => "there is one machine and no eviction",
        ("rbac.authorization.k8s.io", _) => "there is no access control for the API on one machine",
        ("apiextensions.k8s.io", "CustomResourceDefinition") => "the kinds of the mesh are built in",
        ("admissionregistration.k8s.io", _) => "there are no admission webhooks on one machine",
        ("storage.k8s.io" | "scheduling.k8s.io" | "node.k8s.io" | "coordination.k8s.io", _) => {
            "it has no meaning on one machine"
        }
        ("batch", "CronJob") => "jobs are not run by the clock",
        ("", "PersistentVolume" | "PersistentVolumeClaim") => "there is no storage to claim on one machine",
        ("", "ResourceQuota" | "LimitRange") => "processes on one machine share what there is",
        ("", "ReplicationController" | "PodTemplate" | "Binding" | "ComponentStatus") => {
            "it has no meaning on one machine"
        }
        _ => return None,
    })
}
