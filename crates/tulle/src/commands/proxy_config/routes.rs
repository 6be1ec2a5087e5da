//! Route tables.

use std::process::ExitCode;

use serde_json::Value;

use super::admin::{Kept, Workload};
use super::dump::{self, list, made_by, text};
use super::show::{Form, messages, table};
use crate::outcome::Outcome;

const COLUMNS: [&str; 5] = ["NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE"];
/// Domains that are shown of a virtual host.
const SHOWN: usize = 2;

/// Show the route tables of a workload's proxy.
///
/// Example: tulle proxy-config routes -n shop deploy/web --name 80
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    workload: Workload,
    #[command(flatten)]
    kept: Kept,
    #[command(flatten)]
    filter: Filter,
    /// Output format.
    #[arg(short, long, value_name = "FORMAT", default_value = "short")]
    output: Form,
}

/// Which route tables.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Filter {
    /// Only the route table of this name.
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// Show each route (the default), or with --verbose=false how many virtual hosts each table has.
    #[arg(long, default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, id = "routes_verbose")]
    pub(super) verbose: bool,
}

#[allow(clippy::print_stdout, reason = "the answer is the output of the command")]
pub(super) fn run(args: &Args) -> Outcome {
    let said = args.workload.json(&args.kept, dump::PATH)?;
    let text = args.output.text(&messages(wanted(&said, &args.filter)));
    print!("{}", text.unwrap_or_else(|| summary(&said, &args.filter)));
    Ok(ExitCode::SUCCESS)
}

/// The tables that are asked for: ports in their order, then names.
fn wanted<'v>(dump: &'v Value, filter: &Filter) -> Vec<&'v Value> {
    let mut all = dump::routes(dump);
    all.retain(|table| filter.name.as_ref().is_none_or(|name| name == text(&table["name"])));
    all.sort_by_key(|table| {
        let name = text(&table["name"]);
        (name.parse::<u32>().unwrap_or(u32::MAX), name)
    });
    all
}

/// The table of them.
pub(super) fn summary(dump: &Value, filter: &Filter) -> String {
    let tables = wanted(dump, filter);
    if filter.verbose {
        let rows: Vec<[String; 5]> = tables.into_iter().flat_map(rows).collect();
        return table(COLUMNS, &rows);
    }
    let count = |t: &Value| [text(&t["name"]).to_owned(), list(&t["virtual_hosts"]).len().to_string()];
    table(["NAME", "VIRTUAL HOSTS"], &tables.into_iter().map(count).collect::<Vec<_>>())
}

fn rows(table: &Value) -> Vec<[String; 5]> {
    let name = text(&table["name"]);
    let mut out = Vec::new();
    for host in list(&table["virtual_hosts"]) {
        let row = |matches: String, by: String| {
            [name.to_owned(), text(&host["name"]).to_owned(), domains(&host["domains"]), matches, by]
        };
        let routes = list(&host["routes"]);
        let shown = routes.iter().filter(|r| text(&r["route"]["cluster"]) != "PassthroughCluster");
        out.extend(shown.map(|route| row(path(&route["match"]), made_by(route))));
        if routes.is_empty() {
            out.push(row("/*".to_owned(), "404".to_owned()));
        }
    }
    out
}

/// The domains of a virtual host: those without port, the short ones for the long ones, two at most.
fn domains(list: &Value) -> String {
    let all: Vec<&str> = dump::list(list).iter().map(text).collect();
    if let [one] = all[..] {
        return one.to_owned();
    }
    let bare =
        |d: &&str| if d.starts_with('[') { d.ends_with(']') } else { !d.contains(':') && !d.ends_with('.') };
    let without_port: Vec<&str> = all.into_iter().filter(bare).collect();
    let shorter = |d: &str, end: &str| d.strip_suffix(end).is_some_and(|short| without_port.contains(&short));
    let shown: Vec<&str> = without_port
        .iter()
        .copied()
        .filter(|d| !shorter(d, ".svc.cluster.local") && !shorter(d, ".svc"))
        .collect();
    let first = shown[..shown.len().min(SHOWN)].join(", ");
    if shown.len() > SHOWN { format!("{first} + {} more...", shown.len() - SHOWN) } else { first }
}

/// Which paths a route takes.
pub(super) fn path(matches: &Value) -> String {
    let of = |name: &str| matches[name].as_str().filter(|t| !t.is_empty());
    let parts = [
        of("prefix").map(|p| format!("{p}*")),
        of("path_separated_prefix").map(|p| format!("PathPrefix:{p}")),
        of("path").map(str::to_owned),
        matches["safe_regex"]["regex"].as_str().map(|r| format!("regex {r}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}
