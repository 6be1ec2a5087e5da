//! Reaching a proxy's admin port, from inside of its pod.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use serde_json::Value;
use tulle_local::agent::protocol::Wanted;
use tulle_local::host::client;

use crate::commands::mesh::{StateDir, failure};
use crate::outcome::Failure;

/// Where every proxy tells of itself.
const ADMIN: &str = "http://127.0.0.1:15000";
/// What the proxy's container is called.
const PROXY: &str = "istio-proxy";

/// Which proxy.
#[derive(Debug, clap::Args)]
pub(crate) struct Workload {
    /// Namespace of the workload. Default: what stands behind the dot of its name, else default.
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// Pod, or the Deployment, StatefulSet or Job that it belongs to: NAME, NAME.NAMESPACE or KIND/NAME.
    workload: Option<String>,
    #[command(flatten)]
    state: StateDir,
}

/// What a proxy has told before, in place of a running one.
#[derive(Debug, clap::Args)]
pub(crate) struct Kept {
    /// Read what a proxy's admin port has told (/config_dump, for endpoints /clusters?format=json) from a file.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Kept {
    /// Whether it is a file.
    pub(crate) fn is_file(&self) -> bool {
        self.file.is_some()
    }
}

impl Workload {
    /// Its namespace and name.
    fn named(&self) -> (String, String) {
        let name = self.workload.clone().unwrap_or_default();
        match (&self.namespace, name.rsplit_once('.')) {
            (Some(namespace), _) => (namespace.clone(), name),
            (None, Some((name, namespace))) => (namespace.to_owned(), name.to_owned()),
            (None, None) => ("default".to_owned(), name),
        }
    }

    /// The workload as people write it.
    pub(crate) fn title(&self) -> String {
        let (namespace, name) = self.named();
        format!("{name}.{namespace}")
    }

    /// What the proxy answers to a request.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Result<Vec<u8>, Failure> {
        if self.workload.is_none() {
            return Err(Failure::usage(anyhow!("say which workload: NAME, NAME.NAMESPACE or KIND/NAME")));
        }
        let (namespace, workload) = self.named();
        let title = format!("{namespace}/{workload}");
        let wanted = Wanted { namespace, workload, container: Some(PROXY.to_owned()) };
        let url = format!("{ADMIN}{path}");
        let (code, output) = curl(&self.state, wanted, &["-f", "-X", method], &url)?;
        match code {
            0 => Ok(output),
            22 => Err(Failure::not_so(anyhow!("the proxy of {title} refuses {method} {path}"))),
            _ => Err(silent(&title)),
        }
    }

    /// What it says as JSON, or what it has said before.
    pub(crate) fn json(&self, kept: &Kept, path: &str) -> Result<Value, Failure> {
        if let Some(file) = &kept.file {
            let text =
                std::fs::read(file).with_context(|| file.display().to_string()).map_err(Failure::usage)?;
            return serde_json::from_slice(&text)
                .with_context(|| format!("{}: is not what an admin port tells", file.display()))
                .map_err(Failure::usage);
        }
        let said = self.ask("GET", path)?;
        serde_json::from_slice(&said).map_err(|_| silent(&self.title()))
    }
}

/// Fetches a URL from inside of a pod: the exit code of curl, and what it wrote.
pub(crate) fn curl(
    state: &StateDir,
    wanted: Wanted,
    options: &[&str],
    url: &str,
) -> Result<(i32, Vec<u8>), Failure> {
    let this = std::env::current_exe().map_err(Failure::unreachable)?;
    let this = this.to_string_lossy();
    let all =
        [&*this, "lab", "curl", "-s", "-m", "10"].into_iter().chain(options.iter().copied()).chain([url]);
    client::output(&state.paths(), wanted, all.map(str::to_owned).collect()).map_err(failure)
}

fn silent(title: &str) -> Failure {
    Failure::unreachable(anyhow!("the proxy of {title} does not answer at {ADMIN}"))
}
