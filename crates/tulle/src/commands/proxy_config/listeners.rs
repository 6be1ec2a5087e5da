//! Listeners.

use std::process::ExitCode;

use serde_json::Value;

use super::admin::{Kept, Workload};
use super::dump::{self, list, text};
use super::filter_chains::{self, HTTP, TCP};
use super::show::{Form, messages, table};
use crate::outcome::Outcome;

/// Show the listeners of a workload's proxy, and where their filter chains lead.
///
/// Example: tulle proxy-config listeners -n shop deploy/web --port 15006
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

/// Which listeners.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Filter {
    /// Only listeners at this address.
    #[arg(long, value_name = "IP", id = "listener_address")]
    pub(super) address: Option<String>,
    /// Only listeners on this port.
    #[arg(long, value_name = "PORT", id = "listener_port")]
    pub(super) port: Option<u64>,
    /// Only listeners of this type: HTTP, TCP, HTTP+TCP or UNKNOWN.
    #[arg(long, value_name = "TYPE", id = "listener_type")]
    pub(super) r#type: Option<String>,
    /// Show each filter chain (the default), or with --verbose=false the type of each listener.
    #[arg(long, default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, id = "listeners_verbose")]
    pub(super) verbose: bool,
}

#[allow(clippy::print_stdout, reason = "the answer is the output of the command")]
pub(super) fn run(args: &Args) -> Outcome {
    let said = args.workload.json(&args.kept, dump::PATH)?;
    let text = args.output.text(&messages(wanted(&said, &args.filter)));
    print!("{}", text.unwrap_or_else(|| summary(&said, &args.filter)));
    Ok(ExitCode::SUCCESS)
}

impl Filter {
    fn wants(&self, listener: &Value) -> bool {
        let same = |wanted: &Option<String>, text: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(text))
        };
        self.port.is_none_or(|wanted| wanted == port(listener))
            && same(&self.r#type, kind(listener))
            && (self.address.is_none() || addresses(listener).iter().any(|at| same(&self.address, at)))
    }
}

/// The listeners that are asked for, by port, address and type.
fn wanted<'v>(dump: &'v Value, filter: &Filter) -> Vec<&'v Value> {
    let mut all = dump::listeners(dump);
    all.retain(|listener| filter.wants(listener));
    all.sort_by_key(|l| (port(l), addresses(l), kind(l)));
    all
}

/// The table of them.
pub(super) fn summary(dump: &Value, filter: &Filter) -> String {
    let all = wanted(dump, filter);
    let at = |l: &Value| (addresses(l).join(","), port(l).to_string());
    if !filter.verbose {
        let row = |l: &&Value| {
            let (address, port) = at(l);
            [address, port, kind(l).to_owned()]
        };
        return table(["ADDRESSES", "PORT", "TYPE"], &all.iter().map(row).collect::<Vec<_>>());
    }
    let mut rows = Vec::new();
    for listener in all {
        let (address, port) = at(listener);
        let mut chains: Vec<(String, String)> = chains(listener)
            .map(|c| {
                (filter_chains::matches(&c["filter_chain_match"]), filter_chains::destination(&c["filters"]))
            })
            .collect();
        chains.sort_by(|a, b| b.1.cmp(&a.1));
        rows.extend(chains.into_iter().map(|(m, d)| [address.clone(), port.clone(), m, d]));
    }
    table(["ADDRESSES", "PORT", "MATCH", "DESTINATION"], &rows)
}

fn chains(listener: &Value) -> impl Iterator<Item = &Value> {
    let default = Some(&listener["default_filter_chain"]).filter(|c| c.is_object());
    list(&listener["filter_chains"]).iter().chain(default)
}

fn addresses(listener: &Value) -> Vec<&str> {
    let main = &listener["address"];
    let main = main["socket_address"]["address"].as_str().or(main["pipe"]["path"].as_str());
    let more = list(&listener["additional_addresses"]).iter();
    let more = more.map(|a| text(&a["address"]["socket_address"]["address"]));
    main.into_iter().chain(more).collect()
}

fn port(listener: &Value) -> u64 {
    listener["address"]["socket_address"]["port_value"].as_u64().unwrap_or_default()
}

/// What it speaks.
fn kind(listener: &Value) -> &'static str {
    let filters = || chains(listener).flat_map(|chain| list(&chain["filters"]));
    let http = filters().any(|f| text(&f["name"]) == HTTP);
    let tcp = filters().any(|f| text(&f["name"]) == TCP && !filter_chains::is_black_hole(f));
    match (http, tcp) {
        (true, true) => "HTTP+TCP",
        (true, false) => "HTTP",
        (false, true) => "TCP",
        (false, false) => "UNKNOWN",
    }
}
