//! Everything of a proxy.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::admin::{Kept, Workload};
use super::show::{Form, renamed};
use super::{bootstrap, clusters, dump, endpoints, listeners, routes, secrets};
use crate::outcome::Outcome;

/// Show everything that a workload's proxy has in force. Private keys are never shown.
///
/// Example: tulle proxy-config all -n shop deploy/web -o json
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    workload: Workload,
    #[command(flatten)]
    kept: Kept,
    #[command(flatten)]
    clusters: clusters::Filter,
    /// Only listeners at this address.
    #[arg(long, value_name = "IP")]
    address: Option<String>,
    /// Only listeners of this type.
    #[arg(long, value_name = "TYPE")]
    r#type: Option<String>,
    /// Only the route table of this name.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Show each filter chain and route (the default).
    #[arg(long, default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true)]
    verbose: bool,
    /// Say above each table what it shows.
    #[arg(long)]
    with_headers: bool,
    /// Output format; json and yaml have the whole dump.
    #[arg(short, long, value_name = "FORMAT", default_value = "short")]
    output: Form,
}

#[allow(clippy::print_stdout, reason = "the answer is the output of the command")]
pub(super) fn run(args: &Args) -> Outcome {
    let mut said = args.workload.json(&args.kept, dump::PATH)?;
    secrets::hide(&mut said);
    if let Some(text) = args.output.text(&renamed(&said)) {
        print!("{text}");
        return Ok(ExitCode::SUCCESS);
    }
    let at = if args.kept.is_file() { None } else { Some(args.workload.json(&args.kept, endpoints::PATH)?) };
    print!("{}", summary(args, &said, at.as_ref()));
    Ok(ExitCode::SUCCESS)
}

/// All tables, with empty lines between them.
fn summary(args: &Args, said: &Value, endpoints: Option<&Value>) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let chosen = listeners::Filter {
        address: args.address.clone(),
        port: args.clusters.port.map(u64::from),
        r#type: args.r#type.clone(),
        verbose: args.verbose,
    };
    let tables = routes::Filter { name: args.name.clone(), verbose: args.verbose };
    let mut parts = vec![
        ("BOOTSTRAP", bootstrap::summary(said)),
        ("CLUSTER", clusters::summary(said, &args.clusters)),
        ("LISTENER", listeners::summary(said, &chosen)),
        ("ROUTE", routes::summary(said, &tables)),
        ("SECRET", secrets::summary(said, i64::try_from(now).unwrap_or(i64::MAX))),
    ];
    if let Some(endpoints) = endpoints {
        parts.push(("ENDPOINTS", endpoints::summary(endpoints)));
    }
    let shown = parts.into_iter().map(|(title, text)| {
        if args.with_headers { format!("------ {title} INFO ------\n\n{text}") } else { text }
    });
    shown.collect::<Vec<_>>().join("\n")
}
