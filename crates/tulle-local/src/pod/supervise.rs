//! One container: started, probed, restarted, stopped.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use tokio::sync::watch;
use tokio::time::Instant;

use super::leftovers;
use super::logs::{self, LogFile};
use super::plan::{Action, ContainerPlan, ProbePlan, Restart};
use super::probe::{self, ProbeError, Target};
use super::restart::RestartDelay;
use super::run::PodContext;
use super::state::{ContainerState, Doing, Ended};
use crate::container::launch::{LaunchError, Stdio, launch};
use crate::sys::reaper::{Exit, Process};

/// When to have ended; `None` while there is no hurry.
pub(super) type StopBy = watch::Receiver<Option<Instant>>;

/// Without a readiness probe a container counts as ready after this time, whether it listens or not.
const LISTEN_PATIENCE: Duration = Duration::from_secs(5);
/// Until the first success probes come in this pace (if their period is longer), so that starting does not take a period.
const EAGER_PERIOD: Duration = Duration::from_millis(100);
/// Longest time for a hook at the start.
const HOOK_PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Supervisor {
    pub plan: Arc<ContainerPlan>,
    pub pod: Arc<PodContext>,
    /// Its place among the pod's containers.
    pub index: usize,
    pub restart: Restart,
    pub stop: StopBy,
}

/// Why a running container must go.
enum Verdict {
    Ended(Exit),
    Unhealthy(String),
    Stop,
}

impl Supervisor {
    /// Runs the container until it has ended for good; returns how.
    pub(super) async fn run(mut self) -> Exit {
        let mut delay = if self.pod.of_the_mesh { RestartDelay::mesh() } else { RestartDelay::application() };
        loop {
            let started = SystemTime::now();
            let clock = Instant::now();
            let (exit, reason, message) = self.run_once().await;
            let ended = Ended { exit, reason, message, started, finished: SystemTime::now() };
            let again = !self.stopping()
                && match self.restart {
                    Restart::Always => true,
                    Restart::OnFailure => exit.code() != 0,
                    Restart::Never => false,
                };
            tracing::debug!(pod = %self.pod.label(), container = %self.plan.name, ?exit, reason, again, "container ended");
            if !again {
                self.update(|c| c.doing = Doing::Terminated(ended));
                return exit;
            }
            let wait = delay.after(clock.elapsed());
            let message = self.describe_wait(&ended, wait);
            self.update(|c| {
                c.restarts += 1;
                c.last = Some(ended);
                if !wait.is_zero() {
                    c.doing = Doing::Waiting { reason: "CrashLoopBackOff", message };
                }
            });
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stopped(&mut self.stop) => {
                    self.update(|c| if let Some(last) = c.last.clone() { c.doing = Doing::Terminated(last) });
                    return exit;
                }
            }
        }
    }

    fn describe_wait(&self, ended: &Ended, wait: Duration) -> String {
        let code = ended.exit.code();
        let why = if ended.message.is_empty() { String::new() } else { format!(" ({})", ended.message) };
        format!("ended with status {code}{why}; next start in {} s", wait.as_secs())
    }

    /// Starts the container once and stays with it to its end.
    async fn run_once(&mut self) -> (Exit, &'static str, String) {
        self.update(|c| {
            (c.started, c.ready) = (false, false);
            c.doing = Doing::Waiting { reason: "ContainerCreating", message: String::new() };
        });
        let mut process = match self.start().await {
            Ok(process) => process,
            Err(e) => return (Exit::Code(128), "CreateContainerError", e.to_string()),
        };
        let namespace = leftovers::namespace_of(process.pid());
        let pid = process.pid();
        self.update(|c| c.doing = Doing::Running { pid, since: SystemTime::now() });
        let outcome = self.attend(&mut process).await;
        self.update(|c| (c.started, c.ready) = (false, false));
        process.signal_group(Signal::KILL);
        if let Some(namespace) = namespace {
            // Others share the agent's only thread: the search through /proc is done beside it.
            let _ = tokio::task::spawn_blocking(move || leftovers::kill_all(&namespace)).await;
        }
        outcome
    }

    async fn start(&self) -> Result<Process, LaunchError> {
        let (stdio, output) = Stdio::piped()?;
        let log = LogFile::open(&logs::path(
            Path::new(&self.pod.logs),
            &self.pod.namespace,
            &self.pod.name,
            &self.plan.name,
        ))?;
        let passed: Vec<_> = self.plan.passed.iter().map(|fd| std::os::fd::AsFd::as_fd(&**fd)).collect();
        let result =
            launch(&self.pod.reaper, &self.plan.run, Some(&self.pod.net.netns), &stdio, &passed).await;
        if result.is_ok() {
            tokio::spawn(logs::pump(output, log));
        }
        result
    }

    /// From the start to the end of one process.
    async fn attend(&mut self, process: &mut Process) -> (Exit, &'static str, String) {
        let target = Target {
            net: Arc::clone(&self.pod.net),
            reaper: Arc::clone(&self.pod.reaper),
            pid: process.pid(),
            spec: Arc::new(self.plan.run.clone()),
        };
        let mut stop = self.stop.clone();
        let verdict = tokio::select! {
            biased;
            exit = process.wait() => Verdict::Ended(exit),
            () = stopped(&mut stop) => Verdict::Stop,
            why = self.watch_health(&target) => Verdict::Unhealthy(why),
        };
        match verdict {
            Verdict::Ended(exit) => {
                (exit, if exit.code() == 0 { "Completed" } else { "Error" }, String::new())
            }
            Verdict::Unhealthy(why) => {
                let message = format!("killed: {why}");
                self.update(|c| (c.ready, c.unready_because) = (false, message.clone()));
                let exit = self.end(process, &target, Instant::now() + self.pod.grace).await;
                (exit, "Unhealthy", message)
            }
            Verdict::Stop => {
                self.update(|c| c.ready = false);
                let deadline = (*self.stop.borrow()).unwrap_or_else(Instant::now);
                let exit = self.end(process, &target, deadline).await;
                (exit, if exit.code() == 0 { "Completed" } else { "Error" }, String::new())
            }
        }
    }

    /// Asks the process to end, and kills it at the deadline.
    async fn end(&self, process: &mut Process, target: &Target, deadline: Instant) -> Exit {
        if let Some(hook) = &self.plan.pre_stop {
            let time = deadline.saturating_duration_since(Instant::now());
            tokio::select! {
                exit = process.wait() => return exit,
                result = probe::perform(hook, target, time) => if let Err(e) = result {
                    tracing::info!(pod = %self.pod.label(), container = %self.plan.name, error = %e, "preStop failed");
                },
            }
        }
        process.signal_group(Signal::TERM);
        match tokio::time::timeout_at(deadline, process.wait()).await {
            Ok(exit) => exit,
            Err(_) => {
                process.signal_group(Signal::KILL);
                process.wait().await
            }
        }
    }

    /// Hooks and probes; returns when the container must be restarted, with the reason.
    async fn watch_health(&self, target: &Target) -> String {
        if let Some(hook) = &self.plan.post_start
            && let Err(e) = probe::perform(hook, target, HOOK_PATIENCE).await
        {
            return format!("postStart failed: {e}");
        }
        if let Some(startup) = &self.plan.startup
            && let Err(e) = until_started(startup, target).await
        {
            return format!("startup probe failed: {e}");
        }
        self.update(|c| c.started = true);
        tokio::select! {
            why = self.watch_liveness(target) => why,
            () = self.watch_readiness(target) => std::future::pending().await,
        }
    }

    async fn watch_liveness(&self, target: &Target) -> String {
        let Some(plan) = &self.plan.liveness else { return std::future::pending().await };
        tokio::time::sleep(plan.initial_delay).await;
        let mut failures = 0;
        loop {
            match probe::perform(&plan.action, target, plan.timeout).await {
                Ok(()) => failures = 0,
                Err(e) => {
                    failures += 1;
                    if failures >= plan.failures {
                        return format!("liveness probe failed: {e}");
                    }
                }
            }
            tokio::time::sleep(plan.period).await;
        }
    }

    async fn watch_readiness(&self, target: &Target) {
        let Some(plan) = &self.plan.readiness else {
            self.until_listening().await;
            self.update(|c| c.ready = true);
            return std::future::pending().await;
        };
        tokio::time::sleep(plan.initial_delay).await;
        let (mut ready, mut successes, mut failures, mut ever) = (false, 0, 0, false);
        loop {
            match probe::perform(&plan.action, target, plan.timeout).await {
                Ok(()) => (successes, failures, ever) = (successes + 1, 0, true),
                Err(e) => {
                    (successes, failures) = (0, failures + 1);
                    let why = unready(&plan.action, &e);
                    self.update(|c| c.unready_because = why);
                }
            }
            let now = if ready { failures < plan.failures } else { successes >= plan.successes };
            if now != ready {
                ready = now;
                self.update(|c| c.ready = ready);
            }
            tokio::time::sleep(if ever { plan.period } else { plan.period.min(EAGER_PERIOD) }).await;
        }
    }

    /// Waits until the declared ports are listened on, but not for ever: a port may be declared in vain.
    async fn until_listening(&self) {
        if self.plan.listens.is_empty() {
            return;
        }
        let give_up = Instant::now() + LISTEN_PATIENCE;
        let mut pause = Duration::from_millis(5);
        while Instant::now() < give_up {
            let (net, ports) = (Arc::clone(&self.pod.net), self.plan.listens.clone());
            let listening = tokio::task::spawn_blocking(move || probe::listens_on(&net, &ports)).await;
            if matches!(listening, Ok(Ok(true))) {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(EAGER_PERIOD);
        }
    }

    fn stopping(&self) -> bool {
        self.stop.borrow().is_some()
    }

    fn update(&self, change: impl FnOnce(&mut ContainerState)) {
        self.pod.update(|pod| {
            if let Some(container) = pod.containers.get_mut(self.index) {
                change(container);
            }
        });
    }
}

/// Waits for the word to stop; for ever, if whoever could say it is gone.
pub(super) async fn stopped(stop: &mut StopBy) {
    if stop.wait_for(Option::is_some).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Tries in a quick pace, but counts failures in the pace that was asked for.
async fn until_started(plan: &ProbePlan, target: &Target) -> Result<(), ProbeError> {
    tokio::time::sleep(plan.initial_delay).await;
    let patience = plan.period.saturating_mul(plan.failures.max(1));
    let give_up = Instant::now() + patience;
    loop {
        match probe::perform(&plan.action, target, plan.timeout).await {
            Ok(()) => return Ok(()),
            Err(e) if Instant::now() >= give_up => return Err(e),
            Err(_) => tokio::time::sleep(plan.period.min(EAGER_PERIOD)).await,
        }
    }
}

fn unready(action: &Action, error: &ProbeError) -> String {
    let what = match action {
        Action::Exec(command) => format!("exec {}", command.join(" ")),
        Action::Http { port, path, .. } => format!("GET {path} on port {port}"),
        Action::Tcp(port) => format!("TCP port {port}"),
        Action::Grpc { port, .. } => format!("gRPC health on port {port}"),
        Action::Sleep(_) => "sleep".into(),
    };
    format!("readiness probe ({what}): {error}")
}
