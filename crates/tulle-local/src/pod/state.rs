//! How far a pod is.

use std::time::SystemTime;

use crate::net::Ips;
use crate::sys::reaper::Exit;

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Its containers do not all run yet.
    #[default]
    Pending,
    /// It runs.
    Running,
    /// All applications ended well.
    Succeeded,
    /// It ended, and not well.
    Failed,
}

/// What a container does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Doing {
    /// It has not begun, or waits to be started again.
    Waiting {
        /// In one word, such as `CrashLoopBackOff`.
        reason: &'static str,
        /// For people.
        message: String,
    },
    /// It runs.
    Running {
        /// Number of its first process in the agent's pid namespace.
        pid: i32,
        /// Since when.
        since: SystemTime,
    },
    /// It has ended for good.
    Terminated(Ended),
    /// Nothing was done about it yet.
    #[default]
    New,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Status or signal.
    pub exit: Exit,
    /// Why, in one word: `Completed`, `Error`, or what killed it.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// When it was started.
    pub started: SystemTime,
    /// When it ended.
    pub finished: SystemTime,
}

/// A container's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerState {
    /// Name.
    pub name: String,
    /// Image as written.
    pub image: String,
    /// Whether it runs before or beside the applications.
    pub init: bool,
    /// What it does.
    pub doing: Doing,
    /// Whether its startup probe, if any, has succeeded.
    pub started: bool,
    /// Whether it takes traffic.
    pub ready: bool,
    /// The last answer of a probe that failed.
    pub unready_because: String,
    /// How often it was started again.
    pub restarts: u32,
    /// How it ended the last time.
    pub last: Option<Ended>,
}

/// A pod's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodState {
    /// Its phase.
    pub phase: Phase,
    /// Its addresses.
    pub ips: Ips,
    /// Whether it was told to stop.
    pub stopping: bool,
    /// Why it failed, in one word.
    pub reason: &'static str,
    /// Its containers, init containers first.
    pub containers: Vec<ContainerState>,
}

impl PodState {
    /// Whether the pod takes traffic: all applications and sidecars are ready.
    pub fn ready(&self) -> bool {
        self.phase == Phase::Running
            && !self.stopping
            && self.containers.iter().all(|c| c.ready || (c.init && matches!(c.doing, Doing::Terminated(_))))
    }

    /// Why it is not ready, for people; empty if it is.
    pub fn why_not_ready(&self) -> String {
        if self.ready() {
            return String::new();
        }
        if self.stopping {
            return "it is stopping".into();
        }
        let mut reasons: Vec<String> = Vec::new();
        for c in self.containers.iter().filter(|c| !c.ready) {
            match &c.doing {
                Doing::Waiting { reason, message } if message.is_empty() => {
                    reasons.push(format!("{}: {reason}", c.name));
                }
                Doing::Waiting { reason, message } => {
                    reasons.push(format!("{}: {reason}: {message}", c.name))
                }
                Doing::Running { .. } if c.unready_because.is_empty() => {
                    reasons.push(format!("{}: not ready yet", c.name));
                }
                Doing::Running { .. } => reasons.push(format!("{}: {}", c.name, c.unready_because)),
                Doing::Terminated(e) if !c.init || e.exit != Exit::Code(0) => {
                    reasons.push(format!("{}: ended with status {}", c.name, e.exit.code()));
                }
                Doing::Terminated(_) | Doing::New => {}
            }
        }
        if reasons.is_empty() { "starting".into() } else { reasons.join("; ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_that_is_not_ready_always_says_why() {
        let container = |doing| ContainerState { name: "cart".into(), doing, ..ContainerState::default() };
        let pod = |phase, doing| PodState {
            phase,
            ips: Ips::new([10, 244, 0, 2], None),
            stopping: false,
            reason: "",
            containers: vec![container(doing)],
        };
        let running = || Doing::Running { pid: 7, since: SystemTime::UNIX_EPOCH };
        let waiting = Doing::Waiting { reason: "ContainerCreating", message: String::new() };
        for (state, wanted) in [
            (pod(Phase::Pending, Doing::New), "starting"),
            (pod(Phase::Pending, waiting), "cart: ContainerCreating"),
            (pod(Phase::Running, running()), "cart: not ready yet"),
            (PodState { stopping: true, ..pod(Phase::Running, running()) }, "it is stopping"),
        ] {
            assert!(!state.ready());
            assert_eq!(state.why_not_ready(), wanted);
        }
        let mut ready = pod(Phase::Running, running());
        ready.containers[0].ready = true;
        assert!(ready.ready() && ready.why_not_ready().is_empty());
    }
}
