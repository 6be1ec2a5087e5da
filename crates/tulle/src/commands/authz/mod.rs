//! `tulle authz`: who may do what, and who does.

mod gap;
mod suggest;

use crate::outcome::Outcome;

/// Who may do what: policies that fit the traffic, and grants that nobody uses.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Suggest(suggest::Args),
    Gap(gap::Args),
}

pub(crate) fn run(args: &Args) -> Outcome {
    match &args.command {
        Command::Suggest(args) => suggest::run(args),
        Command::Gap(args) => gap::run(args),
    }
}
