//! `tulle authz gap`: what ALLOW policies grant and nobody used.

use std::process::ExitCode;

use serde_json::json;

use crate::commands::resources::Api;
use crate::least::gap::{Gap, gaps};
use crate::least::live::Live;
use crate::least::observed::Telemetry;
use crate::outcome::Outcome;

/// Show what ALLOW policies grant and nobody used: rules that let nothing pass, callers that never came, ports that nobody used.
///
/// Ends with 1 if there is any. Metrics do not tell which hosts, methods and paths were used, so that of these only whole rules are
/// found. The access log has them.
///
/// Example: tulle authz gap -n shop --window 168h
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only policies of this namespace.
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

#[allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the result of a command goes to stdout, remarks to stderr"
)]
pub(crate) fn run(args: &Args) -> Outcome {
    let seen = args.telemetry.ask(args.api.state())?;
    let found = gaps(&Live::ask(&args.api)?, &seen, args.namespace.as_deref());
    if args.output == "json" {
        let unused: Vec<_> = found.unused.iter().map(Gap::json).collect();
        println!(
            "{:#}",
            json!({"since": seen.since(), "until": seen.until, "unused": unused, "notes": found.notes})
        );
    } else {
        for Gap { policy, rule, field, value, why } in &found.unused {
            let what = if field.is_empty() { String::new() } else { format!(" {field} {value}") };
            println!("{policy} rule {rule}{what}: {why}");
        }
        found.notes.iter().for_each(|note| eprintln!("note: {note}"));
        eprintln!("{} unused in {} s of telemetry", found.unused.len(), seen.reach);
    }
    Ok(if found.unused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
