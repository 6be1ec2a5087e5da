//! What host side and node agent tell each other: JSON, one message a line.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tulle_base::ResourceRef;

use crate::net::Families;

/// Number of the descriptor with the [`AgentOptions`].
pub const OPTIONS_FD: i32 = 3;
/// Number of the socket to the host side.
pub const UPLINK_FD: i32 = 4;
/// Number of the gateway's listening socket.
pub const GATEWAY_FD: i32 = 10;
/// Number of the gateway's listening socket on the host's IPv6 address.
pub const GATEWAY_V6_FD: i32 = 15;
/// Number of the listening socket for the control plane's plaintext xDS.
pub const XDS_FD: i32 = 11;
/// Number of the listening socket for the control plane's metrics.
pub const METRICS_FD: i32 = 12;
/// Number of the listening socket for the control plane's telemetry.
pub const DASHBOARD_FD: i32 = 16;
/// Number of the listening socket of the resource API.
pub const API_FD: i32 = 14;
/// Number of the UDP socket for questions to the host's resolvers.
pub const DNS_FD: i32 = 13;

/// What the node agent is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentOptions {
    /// State directory, absolute.
    pub state_dir: PathBuf,
    /// Files and folders of manifests, absolute.
    pub manifests: Vec<PathBuf>,
    /// Manifests that are built in: name and YAML.
    pub built_in: Vec<(String, String)>,
    /// Environment that every container starts from.
    pub base_env: Vec<(String, String)>,
    /// The host's resolvers.
    pub resolvers: Vec<SocketAddr>,
    /// Where the gateway is reached, such as `http://127.0.0.1:8080`.
    pub gateway_url: String,
    /// Where telemetry is asked for, such as `http://127.0.0.1:20001`.
    pub dashboard_url: String,
    /// Where the resource API is reached, such as `https://127.0.0.1:6443`.
    pub api_url: String,
    /// Life of workload certificates, in seconds.
    pub cert_ttl_seconds: u64,
    /// Address families of pods and services.
    pub families: Families,
    /// Whether [`GATEWAY_V6_FD`] was passed.
    pub gateway_v6: bool,
}

/// What the agent tells the host side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromAgent {
    /// How many pods are ready.
    Progress {
        /// Ready pods.
        ready: usize,
        /// All pods that should be.
        total: usize,
        /// The others, with the reason.
        waiting: Vec<String>,
    },
    /// A finding about a manifest.
    Diagnostic(String),
    /// Something worth knowing.
    Note(String),
    /// Every pod is ready; said once.
    Ready(Vec<PodInfo>),
    /// The agent cannot go on.
    Failed(String),
}

/// What the host side tells the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToAgent {
    /// Stop everything; a second time: at once.
    Stop,
}

/// A pod, for the ready file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodInfo {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Main address.
    pub ip: String,
    /// All addresses, the main one first.
    pub ips: Vec<String>,
    /// Path of its network namespace on the host, for `nsenter --net=`.
    pub netns: String,
}

/// A request on the control socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// What runs.
    Status,
    /// The names of all objects in the store.
    Names,
    /// Objects as the store has them.
    Objects(Vec<ObjectName>),
    /// Which pod and container are meant.
    Resolve(Wanted),
    /// Runs a command; standard input, output and error come along as descriptors.
    Exec {
        /// Where.
        target: Wanted,
        /// Command and arguments.
        command: Vec<String>,
        /// More variables, such as `TERM`.
        env: Vec<(String, String)>,
    },
}

/// A container as people name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Namespace.
    pub namespace: String,
    /// Name of a pod or of what owns it, also as `deploy/NAME` or `pod/NAME`.
    pub workload: String,
    /// Name of the container; the first application if not given.
    pub container: Option<String>,
}

/// An answer on the control socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// What runs.
    Status(Summary),
    /// The names of all objects, by kind, namespace and name.
    Names(Vec<ObjectName>),
    /// The objects that were asked for, in that order; nothing for those that are not there.
    Objects(Vec<Option<Value>>),
    /// The container that is meant.
    Resolved {
        /// Namespace.
        namespace: String,
        /// Pod.
        pod: String,
        /// Container.
        container: String,
    },
    /// The command runs.
    Started,
    /// The command ended with this status.
    Exit(i32),
    /// It is not so, and why.
    Refused(String),
}

/// What runs, and what is unhealthy and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Where the gateway is reached.
    pub gateway: String,
    /// Where telemetry is asked for.
    #[serde(default)]
    pub dashboard: String,
    /// Whether every pod is ready.
    pub ready: bool,
    /// The pods, by namespace and name.
    pub pods: Vec<PodSummary>,
    /// Open findings about manifests.
    pub diagnostics: Vec<String>,
    /// The mesh's resources that are not well written, not in force everywhere, or in each other's way.
    #[serde(default)]
    pub resources: Vec<ResourceSummary>,
}

/// A resource in a [`Summary`], with one of its conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceSummary {
    /// Kind.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// What it is: `not Accepted`, `not Programmed` or `Conflicted`.
    pub condition: String,
    /// Why, in one word.
    pub reason: String,
    /// Why.
    pub message: String,
}

/// Names an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectName {
    /// API group, empty for the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Namespace, empty for what belongs to the whole mesh.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl From<&ResourceRef> for ObjectName {
    fn from(resource: &ResourceRef) -> Self {
        let ResourceRef { group, kind, namespace, name } = resource.clone();
        Self { group, kind, namespace, name }
    }
}

impl From<&ObjectName> for ResourceRef {
    fn from(name: &ObjectName) -> Self {
        Self::new(&*name.group, &*name.kind, &*name.namespace, &*name.name)
    }
}

/// A pod in a [`Summary`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PodSummary {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Ready containers.
    pub ready: usize,
    /// All containers, without init containers that end.
    pub containers: usize,
    /// In one word: `Running`, `Pending`, `Succeeded`, `Failed`, `Terminating`, `CrashLoopBackOff`…
    pub status: String,
    /// Restarts of all containers.
    pub restarts: i64,
    /// Address; empty before it has one.
    pub ip: String,
    /// Seconds since it was made.
    pub age_seconds: i64,
    /// Why it is not well; empty if it is.
    pub reason: String,
}
