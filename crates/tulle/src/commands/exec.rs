//! `tulle exec`: a command inside a pod.

use std::process::ExitCode;

use tulle_local::host::client;

use super::mesh::{StateDir, Target, failure};
use crate::outcome::Outcome;

/// Run a command inside a pod: in its network, with its files and its environment. Exits with the command's code.
///
/// Example: tulle exec -n shop deploy/cart -- curl -s http://orders/healthz
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    state: StateDir,
    /// Command and arguments.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

pub(crate) fn run(args: Args) -> Outcome {
    let env = std::env::var("TERM").ok().map(|term| ("TERM".to_owned(), term)).into_iter().collect();
    let code = client::exec(&args.state.paths(), args.target.into(), args.command, env).map_err(failure)?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}
