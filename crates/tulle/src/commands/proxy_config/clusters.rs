//! Clusters.

use std::process::ExitCode;

use serde_json::Value;

use super::admin::{Kept, Workload};
use super::dump::{self, ClusterName, made_by, or_dash, text};
use super::show::{Form, messages, table};
use crate::outcome::Outcome;

const COLUMNS: [&str; 6] = ["SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE"];

/// Show the clusters of a workload's proxy: where it can send requests.
///
/// Example: tulle proxy-config clusters -n shop deploy/web --fqdn cart.shop.svc.cluster.local --port 80
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

/// Which clusters.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Filter {
    /// Only clusters whose host has this in it.
    #[arg(long, value_name = "HOST")]
    pub(super) fqdn: Option<String>,
    /// Only clusters of this direction: inbound or outbound.
    #[arg(long, value_name = "DIRECTION", value_parser = ["inbound", "outbound", "inbound-vip"])]
    pub(super) direction: Option<String>,
    /// Only clusters whose subset has this in it.
    #[arg(long, value_name = "NAME")]
    pub(super) subset: Option<String>,
    /// Only clusters of this port.
    #[arg(long, value_name = "PORT", id = "cluster_port")]
    pub(super) port: Option<u32>,
}

impl Filter {
    fn wants(&self, name: &ClusterName) -> bool {
        let has =
            |wanted: &Option<String>, text: &str| wanted.as_ref().is_none_or(|w| text.contains(w.as_str()));
        has(&self.fqdn, &name.fqdn)
            && has(&self.subset, &name.subset)
            && self.direction.as_ref().is_none_or(|d| *d == name.direction)
            && self.port.is_none_or(|port| name.port == Some(port))
    }
}

#[allow(clippy::print_stdout, reason = "the answer is the output of the command")]
pub(super) fn run(args: &Args) -> Outcome {
    let said = args.workload.json(&args.kept, dump::PATH)?;
    let all = wanted(&said, &args.filter);
    let text = args.output.text(&messages(all.iter().map(|(_, c)| *c)));
    print!("{}", text.unwrap_or_else(|| summary(&said, &args.filter)));
    Ok(ExitCode::SUCCESS)
}

/// The clusters that are asked for, by name.
pub(super) fn wanted<'v>(dump: &'v Value, filter: &Filter) -> Vec<(ClusterName, &'v Value)> {
    let named = dump::clusters(dump).into_iter().map(|c| (ClusterName::parse(text(&c["name"])), c));
    let mut all: Vec<_> = named.filter(|(name, _)| filter.wants(name)).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// The table of them.
pub(super) fn summary(dump: &Value, filter: &Filter) -> String {
    let rows: Vec<_> = wanted(dump, filter).into_iter().map(|(name, cluster)| row(name, cluster)).collect();
    table(COLUMNS, &rows)
}

fn row(name: ClusterName, cluster: &Value) -> [String; 6] {
    let ClusterName { fqdn, subset, port, direction } = name;
    let kind = cluster["type"].as_str().or(cluster["cluster_type"]["name"].as_str()).unwrap_or("STATIC");
    let port = port.map(|p| p.to_string()).unwrap_or_default();
    [fqdn, or_dash(port), or_dash(subset), or_dash(direction), kind.to_owned(), made_by(cluster)]
}
