//! What a pod runs: everything that the manifest left open is decided here.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use crate::container::spec::RunSpec;

/// A pod, ready to be run.
#[derive(Clone, Debug)]
pub struct PodPlan {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Containers that are started one after the other before the applications: init containers, which must end well, and
    /// sidecars, which must have started.
    pub init: Vec<Arc<ContainerPlan>>,
    /// The applications, started together.
    pub apps: Vec<Arc<ContainerPlan>>,
    /// When applications are started again.
    pub restart: Restart,
    /// From the signal to stop until the kill.
    pub grace: Duration,
    /// How long the pod may run.
    pub deadline: Option<Duration>,
    /// Whether it is a part of the mesh itself, which comes back without long waits.
    pub of_the_mesh: bool,
}

/// When a container is started again after its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Always.
    Always,
    /// When its exit code was not 0.
    OnFailure,
    /// Never.
    Never,
}

/// What a container is in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// An application.
    App,
    /// Runs before the applications and ends.
    Init,
    /// Runs beside the applications, from before their start until after their end.
    Sidecar,
}

/// A container, ready to be run.
#[derive(Clone, Debug)]
pub struct ContainerPlan {
    /// Name.
    pub name: String,
    /// Image as written; empty if only a command was.
    pub image: String,
    /// What it is in its pod.
    pub role: Role,
    /// Its process.
    pub run: RunSpec,
    /// Sockets for its process.
    pub passed: Vec<Arc<OwnedFd>>,
    /// Holds the others back until it succeeds.
    pub startup: Option<ProbePlan>,
    /// Takes the pod out of its services while it fails.
    pub readiness: Option<ProbePlan>,
    /// Restarts the container when it fails.
    pub liveness: Option<ProbePlan>,
    /// Done right after the start; a failure restarts the container.
    pub post_start: Option<Action>,
    /// Done before the signal to stop.
    pub pre_stop: Option<Action>,
    /// Declared TCP ports: without a readiness probe the container is ready once they are listened on.
    pub listens: Vec<u16>,
}

/// A probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbePlan {
    /// What is tried.
    pub action: Action,
    /// From the start of the container until the first try.
    pub initial_delay: Duration,
    /// From one try to the next.
    pub period: Duration,
    /// Longest time for one try.
    pub timeout: Duration,
    /// Successes in a row that count as one.
    pub successes: u32,
    /// Failures in a row that count as one.
    pub failures: u32,
}

/// What a probe or hook does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Runs a command in the container; status 0 is success.
    Exec(Vec<String>),
    /// Asks by HTTP; 200 to 399 is success.
    Http {
        /// Another host than the pod.
        host: Option<String>,
        /// Port.
        port: u16,
        /// Path with query.
        path: String,
        /// More headers.
        headers: Vec<(String, String)>,
    },
    /// Opens a connection.
    Tcp(u16),
    /// Asks `grpc.health.v1.Health/Check`; SERVING is success.
    Grpc {
        /// Port.
        port: u16,
        /// Service to ask about; empty for the server.
        service: String,
    },
    /// Waits.
    Sleep(Duration),
}
