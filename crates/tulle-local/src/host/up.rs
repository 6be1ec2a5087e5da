//! `tulle up`, the host side: checks, binds, starts the agent, and stays until the end.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::signal::unix::{SignalKind, signal};

use super::agent_process::AgentProcess;
use super::check::{Needs, Refusal, check};
use crate::agent::protocol::{AgentOptions, FromAgent, PodInfo, ToAgent};
use crate::dns::resolvers;
use crate::net::Families;
use crate::node::images::Images;

/// What the user asked for.
#[derive(Clone, Debug)]
pub struct UpOptions {
    /// Files and folders of manifests.
    pub manifests: Vec<PathBuf>,
    /// Manifests that are built in: name and YAML.
    pub built_in: Vec<(String, String)>,
    /// State directory.
    pub state_dir: PathBuf,
    /// Port of the gateway on 127.0.0.1; 0 for any.
    pub gateway_port: u16,
    /// Port of the resource API on 127.0.0.1; 0 for any, `None` for 6443 or, if it is not free, any.
    pub api_port: Option<u16>,
    /// Port of telemetry on 127.0.0.1; 0 for any, `None` for 20001 or, if it is not free, any.
    pub dashboard_port: Option<u16>,
    /// Written once everything is ready.
    pub ready_file: Option<PathBuf>,
    /// Run by `sh -c` once everything is ready; its end ends the mesh.
    pub exit_after: Option<String>,
    /// Life of workload certificates.
    pub cert_ttl: Duration,
    /// Address families of pods and services; `None`: both, or IPv4 where the kernel has no IPv6.
    pub families: Option<Families>,
    /// Environment that every container starts from.
    pub base_env: Vec<(String, String)>,
}

/// What `up` has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Pods that are ready, all pods, and the others with the reason.
    Progress(usize, usize, Vec<String>),
    /// A finding about a manifest.
    Diagnostic(String),
    /// Something worth knowing.
    Note(String),
    /// Everything is ready after this time; where the gateway is.
    Ready(String, Duration),
    /// The mesh is being stopped.
    Stopping,
}

/// Why the mesh did not run.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// It cannot start; every reason with what to do.
    #[error("{}", list(.0))]
    Refused(Vec<Refusal>),
    /// The agent gave up.
    #[error("the mesh could not be started: {0}")]
    Agent(String),
    /// A command waits for pods that do not get ready.
    #[error("not every pod was ready after {} s, so that the command was not run; still waiting for:\n{}", .0.as_secs(), .1.join("\n"))]
    NotReady(Duration, Vec<String>),
    /// The agent ended without a word.
    #[error("the node agent ended unexpectedly")]
    Ended,
    /// A system call failed.
    #[error("{0}: {1}")]
    Io(&'static str, #[source] io::Error),
}

fn list(refusals: &[Refusal]) -> String {
    refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// How often it is said what is still waited for.
const REMINDER: Duration = Duration::from_secs(15);
/// With a command to run, a mesh that is not ready by then is given up: nobody is there to see why.
const COMMAND_PATIENCE: Duration = Duration::from_secs(180);

/// Runs a mesh to its end and returns the exit code: that of `exit_after`, else 0. Must be called on the process's first
/// thread: the agent dies with the thread that starts it.
///
/// # Errors
/// [`UpError`]; nothing is left behind then.
pub fn up(options: &UpOptions, images: &dyn Images, say: &mut dyn FnMut(Said)) -> Result<u8, UpError> {
    let begun = Instant::now();
    let manifests: Vec<PathBuf> = options.manifests.iter().map(|p| absolute(p)).collect();
    let host = check(&Needs {
        state_dir: &options.state_dir,
        manifests: &manifests,
        built_in: &options.built_in,
        gateway_port: options.gateway_port,
        api_port: options.api_port,
        families: options.families,
        dashboard_port: options.dashboard_port,
        images,
    })
    .map_err(UpError::Refused)?;
    host.notes.iter().for_each(|note| say(Said::Note(note.clone())));
    // The last run's output: its containers will not come back under their names.
    if let Err(e) = std::fs::remove_dir_all(host.claim.paths.logs())
        && e.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(error = %e, "old logs were not removed");
    }
    let address = |l: &std::net::TcpListener| l.local_addr().map_err(|e| UpError::Io("look at a socket", e));
    let places = Places {
        gateway: format!("http://{}", address(&host.gateway)?),
        gateway_v6: match &host.gateway_v6 {
            Some(socket) => Some(format!("http://{}", address(socket)?)),
            None => None,
        },
        api: format!("https://{}", address(&host.api)?),
        kubeconfig: host.claim.paths.kubeconfig(),
        xds: address(&host.xds)?,
        metrics: address(&host.metrics)?,
        dashboard: format!("http://{}", address(&host.dashboard)?),
    };
    let agent_options = AgentOptions {
        state_dir: host.claim.paths.root().to_owned(),
        manifests,
        built_in: options.built_in.clone(),
        base_env: options.base_env.clone(),
        resolvers: resolvers(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default()),
        gateway_url: places.gateway.clone(),
        dashboard_url: places.dashboard.clone(),
        api_url: places.api.clone(),
        cert_ttl_seconds: options.cert_ttl.as_secs(),
        families: host.families,
        gateway_v6: host.gateway_v6.is_some(),
    };
    // Signals are caught before there is anything to clean up.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| UpError::Io("start a runtime", e))?;
    let result = runtime.block_on(async {
        let mut signals = Signals::catch()?;
        host.claim.announce(&places.gateway).map_err(|e| UpError::Io("write to the state directory", e))?;
        let (agent, uplink) =
            AgentProcess::start(&agent_options, &host).map_err(|e| UpError::Io("start the node agent", e))?;
        let mut session = Session {
            options,
            places,
            begun,
            say,
            exit_after: None,
            code: 0,
            stops: 0,
            waiting: Vec::new(),
            ready: false,
        };
        let result = session.attend(uplink, &mut signals, &agent).await;
        agent.kill();
        agent.wait();
        result.map(|()| session.code)
    });
    host.claim.clear();
    if let Some(path) = &options.ready_file {
        // It speaks of a mesh that is no more.
        let _ = std::fs::remove_file(path);
    }
    result
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

struct Places {
    gateway: String,
    gateway_v6: Option<String>,
    api: String,
    kubeconfig: PathBuf,
    xds: SocketAddr,
    metrics: SocketAddr,
    dashboard: String,
}

struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    fn catch() -> Result<Self, UpError> {
        let one = |kind| signal(kind).map_err(|e| UpError::Io("catch signals", e));
        Ok(Self {
            interrupt: one(SignalKind::interrupt())?,
            terminate: one(SignalKind::terminate())?,
            hang_up: one(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

struct Session<'a> {
    options: &'a UpOptions,
    places: Places,
    begun: Instant,
    say: &'a mut dyn FnMut(Said),
    exit_after: Option<tokio::sync::oneshot::Receiver<u8>>,
    code: u8,
    stops: u32,
    /// What is not ready, with the reason.
    waiting: Vec<String>,
    /// Whether everything was ready once.
    ready: bool,
}

impl Session<'_> {
    /// Until the agent has ended, as asked or not.
    async fn attend(
        &mut self,
        uplink: std::os::unix::net::UnixStream,
        signals: &mut Signals,
        agent: &AgentProcess,
    ) -> Result<(), UpError> {
        let fail = |e| UpError::Io("speak with the node agent", e);
        uplink.set_nonblocking(true).map_err(fail)?;
        let (read, mut write) = tokio::net::UnixStream::from_std(uplink).map_err(fail)?.into_split();
        let mut lines = BufReader::new(read).lines();
        let mut reminder = tokio::time::interval_at(tokio::time::Instant::now() + REMINDER, REMINDER);
        loop {
            let ended = async {
                match &mut self.exit_after {
                    Some(receiver) => receiver.await.unwrap_or(1),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                line = lines.next_line() => match line {
                    Ok(Some(line)) => {
                        if let Ok(message) = serde_json::from_str(&line) {
                            self.hear(message)?;
                        }
                    }
                    // The agent has ended, or is about to.
                    _ if self.stops > 0 => return Ok(()),
                    _ => return Err(UpError::Ended),
                },
                code = ended => {
                    self.exit_after = None;
                    self.code = code;
                    self.stop(&mut write).await;
                }
                _ = reminder.tick(), if !self.ready && self.stops == 0 => self.remind()?,
                () = signals.next() => {
                    self.stop(&mut write).await;
                    if self.stops > 1 {
                        agent.kill();
                    }
                }
            }
        }
    }

    async fn stop(&mut self, write: &mut tokio::net::unix::OwnedWriteHalf) {
        self.stops += 1;
        if self.stops == 1 {
            (self.say)(Said::Stopping);
        }
        let mut line = serde_json::to_vec(&ToAgent::Stop).unwrap_or_default();
        line.push(b'\n');
        if let Err(e) = write.write_all(&line).await {
            tracing::debug!(error = %e, "the node agent does not listen any more");
        }
    }

    /// Says what is still waited for; gives up if only a command waits for it.
    fn remind(&mut self) -> Result<(), UpError> {
        let waiting = std::mem::take(&mut self.waiting);
        if self.options.exit_after.is_some() && self.begun.elapsed() >= COMMAND_PATIENCE {
            return Err(UpError::NotReady(COMMAND_PATIENCE, waiting));
        }
        for pod in &waiting {
            (self.say)(Said::Note(format!("still waiting for {pod}")));
        }
        self.waiting = waiting;
        Ok(())
    }

    fn hear(&mut self, message: FromAgent) -> Result<(), UpError> {
        match message {
            FromAgent::Progress { ready, total, waiting } => {
                (self.say)(Said::Progress(ready, total, waiting))
            }
            FromAgent::Diagnostic(text) => (self.say)(Said::Diagnostic(text)),
            FromAgent::Note(text) => (self.say)(Said::Note(text)),
            FromAgent::Failed(reason) => return Err(UpError::Agent(reason)),
            FromAgent::Ready(pods) => {
                self.ready = true;
                if let Some(path) = &self.options.ready_file {
                    self.write_ready_file(path, &pods).map_err(|e| UpError::Io("write the ready file", e))?;
                }
                (self.say)(Said::Ready(self.places.gateway.clone(), self.begun.elapsed()));
                if let Some(command) = &self.options.exit_after {
                    self.exit_after = Some(self.run_command(command));
                }
            }
        }
        Ok(())
    }

    fn write_ready_file(&self, path: &Path, pods: &[PodInfo]) -> io::Result<()> {
        let text = json!({
            "gateway": self.places.gateway,
            "gateway_ipv6": self.places.gateway_v6,
            "dashboard": self.places.dashboard,
            "api": self.places.api,
            "kubeconfig": self.places.kubeconfig,
            "xds": self.places.xds.to_string(),
            "metrics": format!("http://{}/metrics", self.places.metrics),
            "pods": pods,
        });
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let beside = path.with_file_name(name);
        std::fs::write(&beside, text.to_string())?;
        std::fs::rename(beside, path)
    }

    /// Runs the command on the host. It knows the gateway, the API and the state directory from its environment.
    fn run_command(&self, command: &str) -> tokio::sync::oneshot::Receiver<u8> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let spawned = std::process::Command::new("sh")
            .args(["-c", command])
            .env("TULLE_GATEWAY", &self.places.gateway)
            .env("KUBECONFIG", &self.places.kubeconfig)
            .env("TULLE_DASHBOARD", &self.places.dashboard)
            .env("TULLE_STATE_DIR", absolute(&self.options.state_dir))
            .stdin(Stdio::null())
            .spawn();
        match spawned {
            Ok(mut child) => {
                tokio::task::spawn_blocking(move || {
                    let code = child.wait().ok().and_then(|s| s.code()).and_then(|c| u8::try_from(c).ok());
                    let _ = sender.send(code.unwrap_or(1));
                });
            }
            Err(e) => {
                tracing::error!(error = %e, "the command could not be started");
                let _ = sender.send(127);
            }
        }
        receiver
    }
}
