//! A whole mesh on this machine, to measure its sidecars with all that they tell the control plane.

use crate::load::{self, Seen};
use crate::machine::{self, free_port};
use crate::observed::Observed;
use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a mesh may take to be ready, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// `tulle up` with a client and a server in each of two namespaces: `seen` with the mesh's defaults but for a log of errors only, `unseen`
/// with a Telemetry that switches metrics, traces and logs off.
pub(crate) struct Mesh {
    up: Child,
    tulle: PathBuf,
    state: PathBuf,
    /// Names of pods with their namespaces.
    pods: Vec<(String, String)>,
}

impl Mesh {
    /// Starts it in `folder` and waits until it is ready.
    pub(crate) fn start(tulle: &Path, folder: &Path) -> anyhow::Result<Self> {
        let (manifests, state, ready) =
            (folder.join("mesh.yaml"), folder.join("mesh-state"), folder.join("mesh-ready.json"));
        std::fs::write(&manifests, manifest())?;
        let log = std::fs::File::create(folder.join("mesh.log"))?;
        let mut command = Command::new(tulle);
        command.arg("up").arg(&manifests).arg("--ready-file").arg(&ready).arg("--state-dir").arg(&state);
        for port in ["--gateway-port", "--dashboard-port", "--api-port"] {
            command.args([port, &free_port()?.to_string()]);
        }
        let up = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
        let mut mesh = Self {
            up: up.context("cannot start tulle up")?,
            tulle: tulle.to_owned(),
            state,
            pods: Vec::new(),
        };
        let began = Instant::now();
        while !ready.exists() {
            if let Some(status) = mesh.up.try_wait()? {
                bail!("tulle up ended ({status}): see {}", folder.join("mesh.log").display());
            }
            if began.elapsed() > PATIENCE {
                bail!("the mesh is not ready: see {}", folder.join("mesh.log").display());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let told: serde_json::Value = serde_json::from_slice(&std::fs::read(&ready)?)?;
        let text = |pod: &serde_json::Value, name: &str| pod[name].as_str().unwrap_or_default().to_owned();
        let pods = told["pods"].as_array().into_iter().flatten();
        mesh.pods = pods.map(|pod| (text(pod, "name"), text(pod, "namespace"))).collect();
        Ok(mesh)
    }

    /// The sidecars of the namespace for a level, client's and server's, by process.
    pub(crate) fn sidecars(&self, level: Observed) -> anyhow::Result<Vec<u32>> {
        let namespace = namespace(level);
        let wanted: Vec<&str> =
            self.pods.iter().filter(|(_, of)| of == namespace).map(|(name, _)| name.as_str()).collect();
        let folder = self.state.to_string_lossy().into_owned();
        let found: Vec<u32> = machine::processes()
            .into_iter()
            .filter(|pid| {
                let command = machine::command(*pid);
                command.contains("proxy sidecar") && command.contains(&folder)
            })
            .filter(|pid| {
                machine::environment(*pid, "HOSTNAME").is_some_and(|host| wanted.contains(&host.as_str()))
            })
            .collect();
        if found.len() != 2 {
            bail!("{} sidecars run in {namespace}, not 2", found.len());
        }
        Ok(found)
    }

    /// Requests of the client to the server of a namespace, through both sidecars.
    pub(crate) fn load(&self, wrk: &Path, level: Observed, seconds: u32) -> anyhow::Result<Seen> {
        let mut command = Command::new(&self.tulle);
        command.args(["exec", "-n", namespace(level), "--state-dir"]).arg(&self.state);
        command.args(["client", "--"]).arg(wrk).args(load::wrk_arguments(32, seconds));
        let output = command.arg("http://server:9080/").output().context("cannot start tulle exec")?;
        load::parse_wrk(&String::from_utf8_lossy(&output.stdout))
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

impl Drop for Mesh {
    /// Ends it as Ctrl-C does, so that nothing is left behind.
    fn drop(&mut self) {
        let pid = i32::try_from(self.up.id()).ok().and_then(Pid::from_raw);
        let asked = pid.is_some_and(|pid| kill_process(pid, Signal::INT).is_ok());
        let began = Instant::now();
        while asked && began.elapsed() < PATIENCE {
            match self.up.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(50)),
                _ => return,
            }
        }
        let _ = self.up.kill();
        let _ = self.up.wait();
    }
}

fn namespace(level: Observed) -> &'static str {
    if level == Observed::Nothing { "unseen" } else { "seen" }
}

fn manifest() -> String {
    let mut text = String::new();
    for name in ["seen", "unseen"] {
        text += &format!(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n  labels: {{istio-injection: enabled}}\n---\n\
             apiVersion: v1\nkind: Service\nmetadata: {{name: server, namespace: {name}}}\nspec:\n  selector: {{app: server}}\n  \
             ports: [{{name: http, port: 9080, targetPort: 8080}}]\n---\n"
        );
        for (app, image) in [("server", "tulle/echo:1"), ("client", "curlimages/curl:8")] {
            text += &format!(
                "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {app}, namespace: {name}}}\nspec:\n  \
                 selector: {{matchLabels: {{app: {app}}}}}\n  template:\n    \
                 metadata: {{labels: {{app: {app}, version: v1}}}}\n    spec:\n      \
                 containers: [{{name: {app}, image: \"{image}\"}}]\n---\n"
            );
        }
    }
    text + "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: errors, namespace: seen}\nspec:\n  \
        accessLogging: [{filter: {expression: response.code >= 400}}]\n---\n\
        apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: nothing, namespace: unseen}\nspec:\n  \
        metrics:\n  - providers: [{name: prometheus}]\n    \
        overrides: [{match: {metric: ALL_METRICS, mode: CLIENT_AND_SERVER}, disabled: true}]\n  \
        tracing: [{disableSpanReporting: true, randomSamplingPercentage: 0}]\n  accessLogging: [{disabled: true}]\n"
}
