//! `tulle lab`: the built-in programs that stand for container images.

use crate::outcome::{Failure, Outcome};

/// Run a built-in program: Bookinfo's services, httpbin, echo, curl, load.
///
/// Example: tulle lab load http://localhost:8080/productpage -c 8 -d 5
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    program: tulle_lab::Lab,
}

pub(crate) fn run(args: Args) -> Outcome {
    tulle_lab::run(args.program).map_err(Failure::not_so)
}
