//! `tulle kubeconfig`: how kubectl and client libraries find the mesh's API.

use std::process::ExitCode;

use super::mesh::StateDir;
use crate::outcome::{Failure, Outcome};

/// Print the kubeconfig of the running mesh. Any kubectl works with it.
///
/// Example: tulle kubeconfig > mesh.yaml && kubectl --kubeconfig mesh.yaml get pods -A
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    state: StateDir,
    /// With the token that may only read, and no Secrets.
    #[arg(long)]
    viewer: bool,
}

#[allow(clippy::print_stdout, reason = "the kubeconfig is the result of the command")]
pub(crate) fn run(args: &Args) -> Outcome {
    let paths = args.state.paths();
    if tulle_local::host::state::read(&paths).is_none() {
        let dir = paths.root().display().to_string();
        return Err(Failure::unreachable(anyhow::anyhow!(
            "no mesh runs with the state directory {dir}; start one with tulle up, or name another --state-dir"
        )));
    }
    let path = if args.viewer { paths.api().join("viewer-kubeconfig") } else { paths.kubeconfig() };
    let text = std::fs::read_to_string(&path)
        .map_err(|e| Failure::unreachable(anyhow::anyhow!("{}: {e}", path.display())))?;
    print!("{text}");
    Ok(ExitCode::SUCCESS)
}
