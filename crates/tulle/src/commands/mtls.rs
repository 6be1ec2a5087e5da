//! `tulle mtls`: mutual TLS, before it is asked for.

use std::process::ExitCode;

use serde_json::json;

use super::resources::Api;
use crate::least::live::Live;
use crate::least::observed::Telemetry;
use crate::least::ready::{Readiness, State, readiness, whole};
use crate::outcome::Outcome;

/// Mutual TLS: who still does without.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Ready(Ready),
}

/// Show who still speaks in the clear to workloads, before STRICT is turned on.
///
/// `ready` workloads were called with mutual TLS alone, `plaintext` ones also without: STRICT would refuse those callers. Of `no
/// traffic` nothing is known. Ends with 1 if anybody speaks in the clear. Clients without sidecar have no name in metrics; their
/// addresses are in the access log of the workload's proxy.
///
/// Example: tulle mtls ready -n shop --window 24h
#[derive(Debug, clap::Args)]
struct Ready {
    /// Only workloads of this namespace.
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// Output format: text or json.
    #[arg(short, long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    output: String,
    #[command(flatten)]
    telemetry: Telemetry,
    #[command(flatten)]
    api: Api,
}

pub(crate) fn run(args: &Args) -> Outcome {
    match &args.command {
        Command::Ready(args) => ready(args),
    }
}

#[allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the result of a command goes to stdout, remarks to stderr"
)]
fn ready(args: &Ready) -> Outcome {
    let seen = args.telemetry.ask(args.api.state())?;
    let all = readiness(&Live::ask(&args.api)?, &seen, args.namespace.as_deref());
    if args.output == "json" {
        let rows: Vec<_> = all.iter().map(Readiness::json).collect();
        println!("{:#}", json!({"since": seen.since(), "until": seen.until, "workloads": rows}));
    } else {
        print!("{}", table(&all));
        eprintln!("in {} s of telemetry", seen.reach);
    }
    let plain = all.iter().any(|r| r.state == State::Plaintext);
    Ok(if plain { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn table(all: &[Readiness]) -> String {
    let mut rows =
        vec![["NAMESPACE", "WORKLOAD", "STATE", "MODE", "MUTUAL", "IN THE CLEAR"].map(str::to_owned)];
    rows.extend(all.iter().map(|r| {
        let plain: Vec<String> =
            r.plain.iter().map(|(who, count)| format!("{who} ({})", whole(*count))).collect();
        [
            r.workload.namespace.clone(),
            r.workload.name.clone(),
            r.state.as_str().to_owned(),
            r.mode.clone(),
            whole(r.mutual).to_string(),
            if plain.is_empty() { "-".to_owned() } else { plain.join(", ") },
        ]
    }));
    let mut width = [0; 6];
    for row in &rows {
        for (w, cell) in width.iter_mut().zip(row) {
            *w = (*w).max(cell.len());
        }
    }
    let line = |row: &[String; 6]| {
        let cells: Vec<String> = row.iter().zip(width).map(|(cell, w)| format!("{cell:w$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}
