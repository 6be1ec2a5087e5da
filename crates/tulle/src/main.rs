//! The `tulle` command: allocator, crypto provider, logging and exit codes live here and nowhere else.

mod commands;
mod findings;
mod least;
mod logging;
mod outcome;
mod patch_check;
mod resident;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A service mesh in one binary: Istio, Gateway API and Kubernetes YAML unchanged.
#[derive(Debug, Parser)]
#[command(name = "tulle", version, about, max_term_width = 110, arg_required_else_help = true)]
struct Cli {
    /// What is logged, on stderr: error, warn, info, debug, trace, or TARGET=LEVEL pairs with commas.
    #[arg(long, global = true, value_name = "LEVELS", env = "TULLE_LOG", default_value = "info")]
    log: String,
    /// Logs as one JSON object a line instead of text.
    #[arg(long, global = true)]
    log_json: bool,
    #[command(subcommand)]
    command: commands::Command,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(failure) = logging::start(&cli.log, cli.log_json) {
        return failure.report();
    }
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        return outcome::Failure::not_so(anyhow::anyhow!("a TLS provider was installed twice")).report();
    }
    match cli.command.run() {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
