//! A pod from its first container to its last.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::plan::{ContainerPlan, PodPlan, Restart, Role};
use super::state::{ContainerState, Phase, PodState};
use super::supervise::{StopBy, Supervisor};
use crate::net::{Ips, PodNet};
use crate::sys::reaper::{Exit, Reaper};

/// What a sidecar has at least to end after the applications have.
const SIDECAR_GRACE: Duration = Duration::from_secs(2);

/// What all containers of a pod share.
pub(super) struct PodContext {
    pub namespace: String,
    pub name: String,
    pub of_the_mesh: bool,
    pub grace: Duration,
    pub net: Arc<PodNet>,
    pub reaper: Arc<Reaper>,
    pub logs: PathBuf,
    state: watch::Sender<PodState>,
}

impl PodContext {
    pub(super) fn label(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut PodState)) {
        self.state.send_if_modified(|state| {
            let before = state.clone();
            change(state);
            *state != before
        });
    }
}

/// A pod that runs. Dropping it does not stop it; [`RunningPod::stop`] does.
#[derive(Debug)]
pub struct RunningPod {
    /// What it runs.
    pub plan: Arc<PodPlan>,
    /// Its network.
    pub net: Arc<PodNet>,
    state: watch::Receiver<PodState>,
    stop: watch::Sender<Option<Stop>>,
    task: JoinHandle<()>,
}

/// How a pod is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// From now until the kill.
    pub grace: Duration,
    /// From now until the signal: whoever still sends requests to the pod learns in the meantime that it is going.
    pub linger: Duration,
    /// How long sidecars may go on after the applications have ended; at least `SIDECAR_GRACE` otherwise.
    pub sidecars: Option<Duration>,
}

impl RunningPod {
    /// Starts a pod in its network; output goes to files below `logs`. Must be called in a runtime.
    pub fn start(plan: PodPlan, net: Arc<PodNet>, reaper: Arc<Reaper>, logs: PathBuf) -> Self {
        let plan = Arc::new(plan);
        let (sender, state) = watch::channel(initial_state(&plan, net.ips));
        let (stop, stop_receiver) = watch::channel(None);
        let context = PodContext {
            namespace: plan.namespace.clone(),
            name: plan.name.clone(),
            of_the_mesh: plan.of_the_mesh,
            grace: plan.grace,
            net: Arc::clone(&net),
            reaper,
            logs,
            state: sender,
        };
        let task =
            tokio::spawn(Runner { plan: Arc::clone(&plan), pod: Arc::new(context) }.run(stop_receiver));
        Self { plan, net, state, stop, task }
    }

    /// Its state now.
    pub fn state(&self) -> PodState {
        self.state.borrow().clone()
    }

    /// Its state, as it changes.
    pub fn watch(&self) -> watch::Receiver<PodState> {
        self.state.clone()
    }

    /// Asks it to stop; a second call may only be more urgent.
    pub fn stop(&self, how: Stop) {
        self.stop.send_replace(Some(how));
    }

    /// Waits until its last process has ended.
    pub async fn ended(self) {
        if let Err(e) = self.task.await {
            tracing::error!(pod = %self.plan.name, error = %e, "a pod's task failed");
        }
    }

    /// Whether its last process has ended.
    pub fn has_ended(&self) -> bool {
        self.task.is_finished()
    }
}

fn initial_state(plan: &PodPlan, ips: Ips) -> PodState {
    let containers = plan
        .init
        .iter()
        .chain(&plan.apps)
        .map(|c| ContainerState {
            name: c.name.clone(),
            image: c.image.clone(),
            init: c.role != Role::App,
            ..ContainerState::default()
        })
        .collect();
    PodState { phase: Phase::Pending, ips, stopping: false, reason: "", containers }
}

struct Runner {
    plan: Arc<PodPlan>,
    pod: Arc<PodContext>,
}

/// A container's supervisor at work, and how to stop it.
struct Worker {
    stop: watch::Sender<Option<Instant>>,
    task: JoinHandle<Exit>,
}

impl Runner {
    async fn run(self, mut stop: watch::Receiver<Option<Stop>>) {
        let mut sidecars: Vec<Worker> = Vec::new();
        let result = tokio::select! {
            biased;
            () = requested(&mut stop) => None,
            result = self.start_in_order(&mut sidecars) => Some(result),
        };
        match result {
            Some(Ok(())) => self.run_apps(&mut stop).await,
            Some(Err(())) => {
                self.pod.update(|p| (p.phase, p.reason) = (Phase::Failed, "InitContainerFailed"))
            }
            None => {}
        }
        self.pod.update(|p| p.stopping |= stop.borrow().is_some());
        self.stop_sidecars(sidecars, &stop).await;
    }

    /// Init containers to their end and sidecars until they have started.
    async fn start_in_order(&self, sidecars: &mut Vec<Worker>) -> Result<(), ()> {
        for (index, plan) in self.plan.init.iter().enumerate() {
            let restart = match (plan.role, self.plan.restart) {
                (Role::Sidecar, _) => Restart::Always,
                (_, Restart::Never) => Restart::Never,
                _ => Restart::OnFailure,
            };
            let worker = self.supervise(plan, index, restart);
            if plan.role == Role::Sidecar {
                let mut state = self.pod.state.subscribe();
                sidecars.push(worker);
                let up = |s: &PodState| s.containers.get(index).is_some_and(|c| c.started);
                if state.wait_for(up).await.is_err() {
                    return Err(());
                }
                continue;
            }
            let Worker { stop, task } = worker;
            // A cancelled start ends the init container at once: it has nobody to serve.
            let guard = AbortOnDrop(task);
            let exit = guard.wait().await;
            drop(stop);
            if exit.code() != 0 {
                return Err(());
            }
        }
        Ok(())
    }

    async fn run_apps(&self, stop: &mut watch::Receiver<Option<Stop>>) {
        self.pod.update(|p| p.phase = Phase::Running);
        let first = self.plan.init.len();
        let mut apps: Vec<Worker> = self
            .plan
            .apps
            .iter()
            .enumerate()
            .map(|(i, plan)| self.supervise(plan, first + i, self.plan.restart))
            .collect();
        let deadline = async {
            match self.plan.deadline {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        let all_ended = join_all(&mut apps);
        tokio::select! {
            biased;
            codes = all_ended => {
                let failed = codes.iter().any(|e| e.code() != 0);
                self.pod.update(|p| p.phase = if failed { Phase::Failed } else { Phase::Succeeded });
                return;
            }
            () = requested(stop) => self.pod.update(|p| p.stopping = true),
            () = deadline => self.pod.update(|p| (p.phase, p.reason) = (Phase::Failed, "DeadlineExceeded")),
        }
        let how = (*stop.borrow()).unwrap_or(Stop {
            grace: self.pod.grace,
            linger: Duration::ZERO,
            sidecars: None,
        });
        let begun = Instant::now();
        tokio::select! {
            () = tokio::time::sleep(how.linger.min(how.grace)) => {}
            () = more_urgent(stop, how) => {}
        }
        for app in &apps {
            app.stop.send_replace(Some(begun + how.grace));
        }
        let mut ended = Box::pin(join_all_tasks(apps.iter_mut().map(|a| &mut a.task).collect()));
        tokio::select! {
            _ = &mut ended => {}
            () = more_urgent(stop, how) => {
                drop(ended);
                self.abandon(apps).await;
            }
        }
    }

    /// Kills at once: dropping a supervisor kills its process.
    async fn abandon(&self, workers: Vec<Worker>) {
        for worker in workers {
            worker.task.abort();
            let _ = worker.task.await;
        }
    }

    /// Last started, first stopped.
    async fn stop_sidecars(&self, sidecars: Vec<Worker>, stop: &watch::Receiver<Option<Stop>>) {
        let grace = (*stop.borrow()).and_then(|s| s.sidecars).unwrap_or(self.pod.grace.max(SIDECAR_GRACE));
        let by = Instant::now() + grace;
        for worker in sidecars.into_iter().rev() {
            worker.stop.send_replace(Some(by));
            let _ = worker.task.await;
        }
    }

    fn supervise(&self, plan: &Arc<ContainerPlan>, index: usize, restart: Restart) -> Worker {
        let (stop, receiver): (_, StopBy) = watch::channel(None);
        let supervisor =
            Supervisor { plan: Arc::clone(plan), pod: Arc::clone(&self.pod), index, restart, stop: receiver };
        Worker { stop, task: tokio::spawn(supervisor.run()) }
    }
}

struct AbortOnDrop(JoinHandle<Exit>);

impl AbortOnDrop {
    async fn wait(mut self) -> Exit {
        (&mut self.0).await.unwrap_or(Exit::Signal(9))
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn requested(stop: &mut watch::Receiver<Option<Stop>>) {
    if stop.wait_for(Option::is_some).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits until stopping has become more urgent than `than`.
async fn more_urgent(stop: &mut watch::Receiver<Option<Stop>>, than: Stop) {
    if stop.wait_for(|s| s.is_some_and(|s| s.grace < than.grace)).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn join_all(workers: &mut [Worker]) -> Vec<Exit> {
    join_all_tasks(workers.iter_mut().map(|w| &mut w.task).collect()).await
}

async fn join_all_tasks(tasks: Vec<&mut JoinHandle<Exit>>) -> Vec<Exit> {
    let mut exits = Vec::with_capacity(tasks.len());
    for task in tasks {
        exits.push(task.await.unwrap_or(Exit::Signal(9)));
    }
    exits
}
