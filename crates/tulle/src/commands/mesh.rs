//! What the commands for the mesh on this machine have in common.

use std::path::PathBuf;

use tulle_local::agent::protocol::Wanted;
use tulle_local::host::client::ClientError;
use tulle_local::host::state::default_dir;
use tulle_local::node::images::Images;
use tulle_local::node::paths::Paths;

use crate::outcome::Failure;

/// Which mesh.
#[derive(Debug, clap::Args)]
pub(crate) struct StateDir {
    /// Directory of the mesh's state. Default: /var/lib/tulle for root, else tulle in $XDG_STATE_HOME or ~/.local/state.
    #[arg(long, value_name = "DIR", env = "TULLE_STATE_DIR")]
    state_dir: Option<PathBuf>,
}

impl StateDir {
    /// The directory.
    pub(crate) fn path(&self) -> PathBuf {
        let var = |name: &str| std::env::var(name).ok();
        self.state_dir
            .clone()
            .unwrap_or_else(|| default_dir(var("XDG_STATE_HOME").as_deref(), var("HOME").as_deref()))
    }

    /// What is in it.
    pub(crate) fn paths(&self) -> Paths {
        let path = self.path();
        Paths::new(path.canonicalize().unwrap_or(path))
    }
}

/// Which container.
#[derive(Debug, clap::Args)]
pub(crate) struct Target {
    /// Namespace of the pod.
    #[arg(short, long, value_name = "NS", default_value = "default")]
    namespace: String,
    /// Pod, or the Deployment, StatefulSet or Job that it belongs to.
    workload: String,
    /// Container; default: the first one that is not the proxy.
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
}

impl From<Target> for Wanted {
    fn from(t: Target) -> Self {
        let Target { namespace, workload, container } = t;
        Self { namespace, workload, container }
    }
}

/// The exit code of a question that was not answered.
pub(crate) fn failure(error: ClientError) -> Failure {
    match error {
        ClientError::Refused(_) => Failure::not_so(error),
        ClientError::NotRunning(_)
        | ClientError::Forbidden(_)
        | ClientError::Broken(_)
        | ClientError::Unexpected => Failure::unreachable(error),
    }
}

/// The programs of `tulle lab` as images.
#[derive(Debug)]
pub(crate) struct BuiltIn;

impl Images for BuiltIn {
    fn program(&self, image: &str) -> Option<Vec<String>> {
        let program = tulle_lab::program_for_image(image)?;
        Some(std::iter::once("lab").chain(program.args).map(str::to_owned).collect())
    }

    fn known(&self) -> Vec<String> {
        tulle_lab::KNOWN_IMAGES.iter().map(|(name, _)| (*name).to_owned()).collect()
    }
}
