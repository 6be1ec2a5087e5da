//! Endpoints, and where their circuits are.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::admin::{Kept, Workload};
use super::dump::{list, text};
use super::show::{self, Form};
use crate::outcome::Outcome;

/// Where proxies tell of them.
pub(super) const PATH: &str = "/clusters?format=json";
/// What is shown of an endpoint, with istioctl's columns first.
const COLUMNS: [&str; 6] = ["ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER", "CIRCUIT", "EJECTIONS"];

/// Show the endpoints of a workload's proxy: their health, and where outlier detection has their circuit.
///
/// CIRCUIT is closed, open (ejected) or half_open (asked again since it was ejected, and not yet proven); - where the cluster has no
/// outlier detection. EJECTIONS counts how often it was open.
///
/// Example: tulle proxy-config endpoints -n shop deploy/web --cluster 'outbound|80||cart.shop.svc.cluster.local'
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    workload: Workload,
    #[command(flatten)]
    kept: Kept,
    /// Only endpoints of this cluster.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Only endpoints at this address.
    #[arg(long, value_name = "IP")]
    address: Option<String>,
    /// Only endpoints on this port.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Only endpoints of this status: healthy or unhealthy.
    #[arg(long, value_name = "STATUS", value_parser = ["healthy", "unhealthy"])]
    status: Option<String>,
    /// Output format.
    #[arg(short, long, value_name = "FORMAT", default_value = "short")]
    output: Form,
}

#[allow(clippy::print_stdout, reason = "the answer is the output of the command")]
pub(super) fn run(args: &Args) -> Outcome {
    let said = args.workload.json(&args.kept, PATH)?;
    let rows = sorted(Endpoint::all(&said).into_iter().filter(|e| args.wants(e)).collect());
    let text = args.output.text(&rows.iter().map(Endpoint::json).collect());
    print!("{}", text.unwrap_or_else(|| table(&rows)));
    Ok(ExitCode::SUCCESS)
}

/// The table of all of them.
pub(super) fn summary(said: &Value) -> String {
    table(&sorted(Endpoint::all(said)))
}

fn sorted(mut rows: Vec<Endpoint>) -> Vec<Endpoint> {
    rows.sort_by(|a, b| (&a.address, a.port, &a.cluster).cmp(&(&b.address, b.port, &b.cluster)));
    rows
}

impl Args {
    fn wants(&self, endpoint: &Endpoint) -> bool {
        self.cluster.as_ref().is_none_or(|name| *name == endpoint.cluster)
            && self.address.as_ref().is_none_or(|ip| *ip == endpoint.address)
            && self.port.is_none_or(|port| port == endpoint.port)
            && self.status.as_ref().is_none_or(|status| (status == "healthy") == endpoint.healthy)
    }
}

/// One endpoint as the proxy tells of it.
#[derive(Debug, PartialEq, Eq)]
struct Endpoint {
    address: String,
    port: u16,
    healthy: bool,
    ejected: bool,
    cluster: String,
    circuit: Option<String>,
    ejections: u64,
}

impl Endpoint {
    /// Those in the answer of `/clusters?format=json`.
    fn all(said: &Value) -> Vec<Self> {
        let clusters = list(&said["cluster_statuses"]).iter();
        let of = clusters.flat_map(|cluster| {
            let name = text(&cluster["name"]);
            list(&cluster["host_statuses"]).iter().map(move |host| Self::of(name, host))
        });
        of.collect()
    }

    fn of(cluster: &str, host: &Value) -> Self {
        let (at, health) = (&host["address"]["socket_address"], &host["health_status"]);
        let failed = |name: &str| health[name].as_bool().unwrap_or(false);
        let listed = health["eds_health_status"].as_str().is_none_or(|status| status == "HEALTHY");
        Self {
            address: text(&at["address"]).to_owned(),
            port: at["port_value"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or_default(),
            healthy: listed && !failed("failed_active_health_check"),
            ejected: failed("failed_outlier_check"),
            cluster: cluster.to_owned(),
            circuit: host["circuit"].as_str().map(str::to_owned),
            ejections: host["ejections"].as_u64().unwrap_or_default(),
        }
    }

    fn status(&self) -> &'static str {
        if self.healthy { "HEALTHY" } else { "UNHEALTHY" }
    }

    fn outlier_check(&self) -> &'static str {
        if self.ejected { "FAILED" } else { "OK" }
    }

    fn at(&self) -> String {
        if self.address.contains(':') {
            format!("[{}]:{}", self.address, self.port)
        } else {
            format!("{}:{}", self.address, self.port)
        }
    }

    fn json(&self) -> Value {
        json!({
            "endpoint": self.at(),
            "status": self.status(),
            "outlierCheck": self.outlier_check(),
            "cluster": self.cluster,
            "circuit": self.circuit,
            "ejections": self.ejections,
        })
    }
}

fn table(endpoints: &[Endpoint]) -> String {
    let row = |e: &Endpoint| {
        [
            e.at(),
            e.status().to_owned(),
            e.outlier_check().to_owned(),
            e.cluster.clone(),
            e.circuit.clone().unwrap_or_else(|| "-".to_owned()),
            e.ejections.to_string(),
        ]
    };
    show::table(COLUMNS, &endpoints.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circuits_stand_beside_what_istioctl_shows() {
        let host = |ip: &str, ejected: bool, circuit: Option<&str>| {
            json!({
                "address": { "socket_address": { "address": ip, "port_value": 80 } },
                "health_status": { "eds_health_status": "HEALTHY", "failed_outlier_check": ejected },
                "circuit": circuit, "ejections": u8::from(ejected),
            })
        };
        let said = json!({ "cluster_statuses": [
            { "name": "outbound|80||a", "host_statuses": [host("10.0.0.1", true, Some("open")), host("10.0.0.2", false, Some("half_open"))] },
            { "name": "inbound|80||", "host_statuses": [host("::1", false, None)] },
        ] });
        let shown = table(&Endpoint::all(&said));
        let words: Vec<Vec<&str>> = shown.lines().map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(words[1], ["10.0.0.1:80", "HEALTHY", "FAILED", "outbound|80||a", "open", "1"]);
        assert_eq!(words[2], ["10.0.0.2:80", "HEALTHY", "OK", "outbound|80||a", "half_open", "0"]);
        assert_eq!(words[3], ["[::1]:80", "HEALTHY", "OK", "inbound|80||", "-", "0"]);
    }
}
