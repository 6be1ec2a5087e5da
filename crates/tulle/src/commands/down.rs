//! `tulle down`: the end of a mesh.

use std::process::ExitCode;

use tulle_local::host::down::{Down, down};

use super::mesh::StateDir;
use crate::outcome::{Failure, Outcome};

/// Stop the mesh of a state directory, and clear away what a killed one left.
///
/// Example: tulle down
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    state: StateDir,
}

#[allow(clippy::print_stderr, reason = "what was done is told on stderr")]
pub(crate) fn run(args: &Args) -> Outcome {
    let did = down(&args.state.path()).map_err(Failure::not_so)?;
    eprintln!(
        "{}",
        match did {
            Down::Stopped => "stopped",
            Down::Killed => "did not stop in time and was killed",
            Down::Cleared => "no mesh ran; nothing is left over",
        }
    );
    Ok(ExitCode::SUCCESS)
}
