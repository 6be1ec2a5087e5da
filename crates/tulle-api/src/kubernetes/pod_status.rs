//! The status of a pod, as the node agent writes it and the control plane reads it.

use crate::schema::{enumeration, record};
use crate::value::Timestamp;

record! {
    /// The status of a pod.
    pub struct PodStatus {
        /// Where it is in its life.
        pub phase: Option<PodPhase> = "phase",
        /// Its conditions: Initialized, ContainersReady, Ready, PodScheduled.
        pub conditions: Vec<PodCondition> = "conditions" => keyed(&["type"]),
        /// Its address.
        pub pod_ip: String = "podIP",
        /// Its addresses, the first equal to `podIP`.
        pub pod_ips: Vec<PodIp> = "podIPs" => keyed(&["ip"]),
        /// Address of the node.
        pub host_ip: String = "hostIP",
        /// Addresses of the node, the first equal to `hostIP`.
        pub host_ips: Vec<PodIp> = "hostIPs",
        /// Why it is in this state, in one word.
        pub reason: String = "reason",
        /// Why it is in this state.
        pub message: String = "message",
        /// When it was taken up by the node.
        pub start_time: Option<Timestamp> = "startTime",
        /// Its containers.
        pub container_statuses: Vec<ContainerStatus> = "containerStatuses",
        /// Its init containers.
        pub init_container_statuses: Vec<ContainerStatus> = "initContainerStatuses",
    }
}

enumeration! {
    /// Where a pod is in its life.
    pub enum PodPhase {
        /// Its containers do not all run yet.
        Pending = "Pending",
        /// It runs.
        Running = "Running",
        /// All containers ended well.
        Succeeded = "Succeeded",
        /// All containers ended, one of them badly.
        Failed = "Failed",
        /// Nothing is known.
        Unknown = "Unknown",
    }
}

record! {
    /// A condition of a pod.
    pub struct PodCondition {
        /// Which.
        pub condition_type: String = "type" => required,
        /// `True`, `False` or `Unknown`.
        pub status: String = "status" => required,
        /// Why, in one word.
        pub reason: String = "reason",
        /// Why.
        pub message: String = "message",
        /// Since when.
        pub last_transition_time: Option<Timestamp> = "lastTransitionTime",
    }
}

record! {
    /// An address.
    pub struct PodIp {
        /// The address.
        pub ip: String = "ip",
    }
}

record! {
    /// The status of a container.
    pub struct ContainerStatus {
        /// Its name.
        pub name: String = "name" => required,
        /// Its image.
        pub image: String = "image",
        /// The image's id.
        pub image_id: String = "imageID",
        /// Its id.
        pub container_id: String = "containerID",
        /// Whether it is ready.
        pub ready: Option<bool> = "ready",
        /// Whether it has started.
        pub started: Option<bool> = "started",
        /// How often it was started again.
        pub restart_count: Option<i32> = "restartCount",
        /// What it does now.
        pub state: Option<ContainerState> = "state",
        /// How it ended the last time.
        pub last_state: Option<ContainerState> = "lastState",
    }
}

record! {
    /// What a container does; one of these.
    pub struct ContainerState {
        /// It waits.
        pub waiting: Option<ContainerWaiting> = "waiting",
        /// It runs.
        pub running: Option<ContainerRunning> = "running",
        /// It has ended.
        pub terminated: Option<ContainerTerminated> = "terminated",
    }
}

record! {
    /// A container that waits.
    pub struct ContainerWaiting {
        /// Why, in one word, such as `CrashLoopBackOff`.
        pub reason: String = "reason",
        /// Why.
        pub message: String = "message",
    }
}

record! {
    /// A container that runs.
    pub struct ContainerRunning {
        /// Since when.
        pub started_at: Option<Timestamp> = "startedAt",
    }
}

record! {
    /// A container that has ended.
    pub struct ContainerTerminated {
        /// Its exit code.
        pub exit_code: i32 = "exitCode",
        /// The signal that ended it.
        pub signal: Option<i32> = "signal",
        /// Why, in one word, such as `Completed` or `Error`.
        pub reason: String = "reason",
        /// Why.
        pub message: String = "message",
        /// When it started.
        pub started_at: Option<Timestamp> = "startedAt",
        /// When it ended.
        pub finished_at: Option<Timestamp> = "finishedAt",
    }
}
