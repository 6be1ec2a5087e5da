//! The commands, one file each. A new one is a file here, a line in [`Command`] and a line in [`Command::run`].

mod lab;
mod proxy;
mod validate;
mod version;

use clap::Subcommand;

use crate::outcome::Outcome;

/// What `tulle` is asked to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Lab(lab::Args),
    Proxy(proxy::Args),
    Validate(validate::Args),
    Version(version::Args),
}

impl Command {
    /// Runs the command to its end.
    pub(crate) fn run(self) -> Outcome {
        match self {
            Self::Lab(args) => lab::run(args),
            Self::Proxy(args) => proxy::run(&args),
            Self::Validate(args) => validate::run(&args),
            Self::Version(args) => version::run(&args),
        }
    }
}
