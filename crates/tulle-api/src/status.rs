//! Tables of what components report in `status`, for schemas and for merging. Statuses are kept as they were written;
//! fields that are not listed here are kept too.

use serde_json::Value;

use crate::kind::KindInfo;
use crate::kubernetes::PodStatus;
use crate::schema::{Record as _, RecordInfo, record};
use crate::value::{IntOrString, Timestamp};

/// The table of `status` of a kind; `None` if the kind has no status.
pub fn record(info: &KindInfo) -> Option<&'static RecordInfo> {
    Some(match (info.group, info.kind) {
        ("", "Pod") => PodStatus::INFO,
        ("", "Service") | ("networking.k8s.io", "Ingress") => ServiceStatus::INFO,
        ("", "Node") => NodeStatus::INFO,
        ("", "Namespace") => NamespaceStatus::INFO,
        ("apps", "Deployment" | "ReplicaSet" | "StatefulSet") => ReplicaStatus::INFO,
        ("apps", "DaemonSet") => DaemonSetStatus::INFO,
        ("batch", "Job") => JobStatus::INFO,
        ("gateway.networking.k8s.io", "Gateway") => GatewayStatus::INFO,
        ("gateway.networking.k8s.io" | "gateway.networking.x-k8s.io", kind) if kind.ends_with("Route") => {
            RouteStatus::INFO
        }
        ("gateway.networking.k8s.io" | "gateway.networking.x-k8s.io", kind) if kind.ends_with("Policy") => {
            PolicyStatus::INFO
        }
        ("gateway.networking.k8s.io", "ReferenceGrant") => return None,
        (group, _) if is_mesh(group) => MeshStatus::INFO,
        _ => return None,
    })
}

/// Whether kinds of this group configure the mesh: they are custom resources on Kubernetes.
pub(crate) fn is_mesh(group: &str) -> bool {
    group.ends_with(".istio.io") || group.starts_with("gateway.networking.") || group == crate::policy::GROUP
}

record! {
    /// What became of a resource of the mesh.
    pub struct MeshStatus {
        /// What holds: Accepted, Programmed, Conflicted and the like.
        pub conditions: Vec<StatusCondition> = "conditions" => keyed(&["type"]),
        /// What is worth knowing about the resource.
        pub validation_messages: Vec<Value> = "validationMessages",
        /// The generation that the conditions are about.
        pub observed_generation: Option<IntOrString> = "observedGeneration",
    }
}

record! {
    /// Something that holds or does not (`metav1.Condition`).
    pub struct StatusCondition {
        /// What.
        pub condition_type: String = "type" => required,
        /// `True`, `False` or `Unknown`.
        pub status: String = "status" => required,
        /// The generation that this is about.
        pub observed_generation: Option<i64> = "observedGeneration",
        /// Since when.
        pub last_transition_time: Option<Timestamp> = "lastTransitionTime",
        /// When it was last looked at.
        pub last_probe_time: Option<Timestamp> = "lastProbeTime",
        /// When it was last written.
        pub last_update_time: Option<Timestamp> = "lastUpdateTime",
        /// Why, in one word.
        pub reason: String = "reason",
        /// Why.
        pub message: String = "message",
    }
}

record! {
    /// What became of a Gateway.
    pub struct GatewayStatus {
        /// Where it is reachable.
        pub addresses: Vec<Value> = "addresses",
        /// What holds: Accepted, Programmed.
        pub conditions: Vec<StatusCondition> = "conditions" => keyed(&["type"]),
        /// Its listeners.
        pub listeners: Vec<ListenerStatus> = "listeners" => keyed(&["name"]),
    }
}

record! {
    /// What became of a listener.
    pub struct ListenerStatus {
        /// Its name.
        pub name: String = "name" => required,
        /// Kinds of routes that it takes.
        pub supported_kinds: Vec<Value> = "supportedKinds",
        /// How many routes are attached.
        pub attached_routes: Option<i32> = "attachedRoutes",
        /// What holds: Accepted, Conflicted, Programmed, ResolvedRefs.
        pub conditions: Vec<StatusCondition> = "conditions" => keyed(&["type"]),
    }
}

record! {
    /// What became of a route.
    pub struct RouteStatus {
        /// By each of its parents.
        pub parents: Vec<ParentStatus> = "parents",
    }
}

record! {
    /// What became of a route at one of its parents.
    pub struct ParentStatus {
        /// The parent.
        pub parent_ref: Option<Value> = "parentRef",
        /// Who says this.
        pub controller_name: String = "controllerName",
        /// What holds: Accepted, ResolvedRefs.
        pub conditions: Vec<StatusCondition> = "conditions" => keyed(&["type"]),
    }
}

record! {
    /// What became of a policy.
    pub struct PolicyStatus {
        /// By each Gateway that it concerns.
        pub ancestors: Vec<AncestorStatus> = "ancestors",
    }
}

record! {
    /// What became of a policy at one Gateway.
    pub struct AncestorStatus {
        /// The Gateway.
        pub ancestor_ref: Option<Value> = "ancestorRef",
        /// Who says this.
        pub controller_name: String = "controllerName",
        /// What holds: Accepted, ResolvedRefs.
        pub conditions: Vec<StatusCondition> = "conditions" => keyed(&["type"]),
    }
}

record! {
    /// What became of a service or an ingress.
    pub struct ServiceStatus {
        /// Addresses of a load balancer.
        pub load_balancer: Option<Value> = "loadBalancer",
        /// What holds.
        pub conditions: Vec<StatusCondition> = "conditions" => keyed(&["type"]),
    }
}

record! {
    /// What a node is and has.
    pub struct NodeStatus {
        /// Where it is reachable.
        pub addresses: Vec<NodeAddress> = "addresses" => keyed(&["type"]),
        /// What holds: Ready.
        pub conditions: Vec<StatusCondition> = "conditions" => keyed(&["type"]),
        /// Its kernel, its operating system and what runs pods there.
        pub node_info: Option<Value> = "nodeInfo",
        /// What it has.
        pub capacity: Option<Value> = "capacity",
        /// What of it pods can use.
        pub allocatable: Option<Value> = "allocatable",
    }
}

record! {
    /// An address of a node.
    pub struct NodeAddress {
        /// `InternalIP`, `ExternalIP` or `Hostname`.
        pub address_type: String = "type" => required,
        /// The address.
        pub address: String = "address" => required,
    }
}

record! {
    /// Where a namespace is in its life.
    pub struct NamespaceStatus {
        /// `Active` or `Terminating`.
        pub phase: String = "phase",
        /// What holds.
        pub conditions: Vec<StatusCondition> = "conditions" => keyed(&["type"]),
    }
}

record! {
    /// How many pods there are.
    pub struct ReplicaStatus {
        /// All pods.
        pub replicas: Option<i32> = "replicas",
        /// Pods of the newest template.
        pub updated_replicas: Option<i32> = "updatedReplicas",
        /// Pods of the template before.
        pub current_replicas: Option<i32> = "currentReplicas",
        /// Pods that are ready.
        pub ready_replicas: Option<i32> = "readyReplicas",
        /// Pods that have been ready for long enough.
        pub available_replicas: Option<i32> = "availableReplicas",
        /// Pods that are not available.
        pub unavailable_replicas: Option<i32> = "unavailableReplicas",
        /// Pods with the template's labels.
        pub fully_labeled_replicas: Option<i32> = "fullyLabeledReplicas",
        /// Name of the newest template.
        pub update_revision: String = "updateRevision",
        /// Name of the template before.
        pub current_revision: String = "currentRevision",
        /// How often a name of a template collided.
        pub collision_count: Option<i32> = "collisionCount",
        /// The generation that this is about.
        pub observed_generation: Option<i64> = "observedGeneration",
        /// What holds: Available, Progressing.
        pub conditions: Vec<StatusCondition> = "conditions" => keyed(&["type"]),
    }
}

record! {
    /// How many nodes have their pod.
    pub struct DaemonSetStatus {
        /// Nodes that should have one.
        pub desired_number_scheduled: Option<i32> = "desiredNumberScheduled",
        /// Nodes that should and do.
        pub current_number_scheduled: Option<i32> = "currentNumberScheduled",
        /// Nodes that should not and do.
        pub number_misscheduled: Option<i32> = "numberMisscheduled",
        /// Nodes whose pod is ready.
        pub number_ready: Option<i32> = "numberReady",
        /// Nodes whose pod has been ready for long enough.
        pub number_available: Option<i32> = "numberAvailable",
        /// Nodes whose pod is not available.
        pub number_unavailable: Option<i32> = "numberUnavailable",
        /// Nodes with a pod of the newest template.
        pub updated_number_scheduled: Option<i32> = "updatedNumberScheduled",
        /// How often a name of a template collided.
        pub collision_count: Option<i32> = "collisionCount",
        /// The generation that this is about.
        pub observed_generation: Option<i64> = "observedGeneration",
        /// What holds.
        pub conditions: Vec<StatusCondition> = "conditions" => keyed(&["type"]),
    }
}

record! {
    /// How far a job is.
    pub struct JobStatus {
        /// Pods that run.
        pub active: Option<i32> = "active",
        /// Pods that run and are ready.
        pub ready: Option<i32> = "ready",
        /// Pods that ended well.
        pub succeeded: Option<i32> = "succeeded",
        /// Pods that ended badly.
        pub failed: Option<i32> = "failed",
        /// When it began.
        pub start_time: Option<Timestamp> = "startTime",
        /// When it was done.
        pub completion_time: Option<Timestamp> = "completionTime",
        /// What holds: Complete, Failed, Suspended.
        pub conditions: Vec<StatusCondition> = "conditions",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    #[test]
    fn kinds_of_the_mesh_and_workloads_have_a_status() {
        let without: Vec<_> =
            Kind::ALL.iter().filter(|k| record(k.info()).is_none()).map(|k| k.info().kind).collect();
        for kind in ["ConfigMap", "Secret", "ServiceAccount", "EndpointSlice"] {
            assert!(without.contains(&kind), "{kind} has no status: {without:?}");
        }
        for kind in Kind::ALL.iter().filter(|k| k.info().group.ends_with(".istio.io")) {
            let table = record(kind.info()).map(|t| t.name);
            assert_eq!(table, Some("MeshStatus"), "{kind:?}");
        }
    }
}
