//! `tulle logs`: what a container wrote.

use std::io::{ErrorKind, stdout};
use std::process::ExitCode;

use tulle_local::host::client;

use super::mesh::{StateDir, Target, failure};
use crate::outcome::{Failure, Outcome};

/// Show a container's output; `-c istio-proxy` shows the proxy's. Works after the mesh has ended, too.
///
/// Example: tulle logs -n shop cart -f
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    state: StateDir,
    /// Goes on with what is written from now on.
    #[arg(short, long)]
    follow: bool,
}

pub(crate) fn run(args: Args) -> Outcome {
    let path = client::log_path(&args.state.paths(), &args.target.into()).map_err(failure)?;
    match client::copy_log(&path, args.follow, &mut stdout().lock()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // The reader has seen enough.
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(e) => Err(Failure::not_so(anyhow::anyhow!("{}: {e}", path.display()))),
    }
}
