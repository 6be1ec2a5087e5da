//! What the proxy costs beside Envoy, nginx and HAProxy, measured in one run (docs/benchmarks.md).

mod backend;
mod certs;
mod codec;
mod compare;
mod configs;
mod idle;
mod load;
mod machine;
mod mesh;
mod observed;
mod peers;
mod report;
mod scenario;
mod telemetry;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Measures the proxy beside others. Everything runs on one CPU, rounds are interleaved, the minimum counts.
#[derive(Debug, Parser)]
#[command(name = "tulle-bench", max_term_width = 110, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints D1, D2, D3 and D13 (and D4, D5 on request) for each proxy, and the ratios to Envoy.
    Compare(compare::Args),
    /// Prints what telemetry adds to the cost of a request, off and on in one run.
    Telemetry(telemetry::Args),
    /// Writes the bootstraps and certificates to a folder, to run a proxy by hand.
    Configs(configs::Args),
    /// What the HTTP codecs cost for a small request and its response; run it under callgrind to count instructions.
    Codec {
        /// How often.
        #[arg(default_value_t = 200_000)]
        times: u32,
    },
    /// The backend alone: answers every request with 64 bytes.
    #[command(hide = true)]
    Backend {
        /// Where to listen on 127.0.0.1.
        port: u16,
    },
    /// The floor alone: moves bytes and looks at none.
    #[command(hide = true)]
    Relay {
        /// Where to listen on 127.0.0.1.
        port: u16,
        /// Where to connect to on 127.0.0.1.
        upstream: u16,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Compare(args) => compare::run(&args),
        Command::Telemetry(args) => telemetry::run(&args),
        Command::Configs(args) => configs::run(&args),
        Command::Codec { times } => codec::run(times),
        Command::Backend { port } => backend::run(port),
        Command::Relay { port, upstream } => backend::relay(port, upstream),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let missing = error.is::<peers::Missing>();
            report::complain(&error);
            ExitCode::from(if missing { 2 } else { 1 })
        }
    }
}
