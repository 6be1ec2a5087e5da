//! `tulle proxy-config`: what a proxy has in force, in istioctl's columns.

mod admin;
mod all;
mod bootstrap;
mod clusters;
pub(crate) mod dump;
mod endpoints;
mod filter_chains;
mod listeners;
mod log;
mod routes;
mod secrets;
pub(crate) mod show;

use crate::outcome::Outcome;

/// Show what a proxy has in force.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    #[command(visible_aliases = ["listener", "l"])]
    Listeners(listeners::Args),
    #[command(visible_aliases = ["route", "r"])]
    Routes(routes::Args),
    #[command(visible_aliases = ["cluster", "c"])]
    Clusters(clusters::Args),
    #[command(visible_aliases = ["endpoint", "ep"])]
    Endpoints(endpoints::Args),
    #[command(visible_aliases = ["secret", "s"])]
    Secrets(secrets::Args),
    #[command(visible_alias = "b")]
    Bootstrap(bootstrap::Args),
    #[command(visible_alias = "o")]
    Log(log::Args),
    #[command(visible_alias = "a")]
    All(all::Args),
}

pub(crate) fn run(args: Args) -> Outcome {
    match args.what {
        What::Listeners(args) => listeners::run(&args),
        What::Routes(args) => routes::run(&args),
        What::Clusters(args) => clusters::run(&args),
        What::Endpoints(args) => endpoints::run(&args),
        What::Secrets(args) => secrets::run(&args),
        What::Bootstrap(args) => bootstrap::run(&args),
        What::Log(args) => log::run(&args),
        What::All(args) => all::run(&args),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
