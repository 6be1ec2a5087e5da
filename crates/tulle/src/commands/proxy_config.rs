//! `tulle proxy-config`: what a proxy has in force.

use std::process::ExitCode;

use serde_json::{Value, json};
use tulle_local::agent::protocol::Wanted;
use tulle_local::host::client;

use super::mesh::{StateDir, failure};
use crate::outcome::{Failure, Outcome};

/// Where every proxy tells of itself, from inside of its pod.
const ADMIN: &str = "http://127.0.0.1:15000";
/// What is shown of an endpoint, with istioctl's columns first.
const COLUMNS: [&str; 6] = ["ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER", "CIRCUIT", "EJECTIONS"];

/// Show what a proxy has in force.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    #[command(visible_aliases = ["endpoint", "ep"])]
    Endpoints(Endpoints),
}

/// Show the endpoints of a workload's proxy: their health, and where outlier detection has their circuit.
///
/// CIRCUIT is closed, open (ejected) or half_open (asked again since it was ejected, and not yet proven); - where the cluster has no
/// outlier detection. EJECTIONS counts how often it was open.
///
/// Example: tulle proxy-config endpoints -n shop deploy/web --cluster 'outbound|80||cart.shop.svc.cluster.local'
#[derive(Debug, clap::Args)]
struct Endpoints {
    /// Namespace of the workload.
    #[arg(short, long, value_name = "NS", default_value = "default")]
    namespace: String,
    /// Pod, or the Deployment, StatefulSet or Job that it belongs to.
    workload: String,
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
    #[command(flatten)]
    state: StateDir,
    /// Output format: short (a table) or json.
    #[arg(short, long, value_name = "FORMAT", default_value = "short", value_parser = ["short", "json"])]
    output: String,
}

pub(crate) fn run(args: Args) -> Outcome {
    match args.what {
        What::Endpoints(args) => endpoints(&args),
    }
}

#[allow(clippy::print_stdout, reason = "the answer is the output of the command")]
fn endpoints(args: &Endpoints) -> Outcome {
    let said = ask(args, "/clusters?format=json")?;
    let mut rows: Vec<Endpoint> = Endpoint::all(&said).into_iter().filter(|e| args.wants(e)).collect();
    rows.sort_by(|a, b| (&a.address, a.port, &a.cluster).cmp(&(&b.address, b.port, &b.cluster)));
    if args.output == "json" {
        let rows: Vec<Value> = rows.iter().map(Endpoint::json).collect();
        println!("{:#}", Value::from(rows));
    } else {
        print!("{}", table(&rows));
    }
    Ok(ExitCode::SUCCESS)
}

/// What the proxy of the workload answers.
fn ask(args: &Endpoints, path: &str) -> Result<Value, Failure> {
    let wanted = Wanted {
        namespace: args.namespace.clone(),
        workload: args.workload.clone(),
        container: Some("istio-proxy".to_owned()),
    };
    let this = std::env::current_exe().map_err(Failure::unreachable)?;
    let url = format!("{ADMIN}{path}");
    let command = [&*this.to_string_lossy(), "lab", "curl", "-s", "-m", "10", &url].map(str::to_owned).into();
    let (code, output) = client::output(&args.state.paths(), wanted, command).map_err(failure)?;
    let silent = || {
        let message = format!("the proxy of {}/{} does not answer at {ADMIN}", args.namespace, args.workload);
        Failure::unreachable(anyhow::anyhow!(message))
    };
    if code != 0 {
        return Err(silent());
    }
    serde_json::from_slice(&output).map_err(|_| silent())
}

impl Endpoints {
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
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let clusters = list(&said["cluster_statuses"]);
        let of = |cluster: &Value| {
            let name = cluster["name"].as_str().unwrap_or_default().to_owned();
            list(&cluster["host_statuses"]).into_iter().map(move |host| Self::of(&name, &host))
        };
        clusters.iter().flat_map(of).collect()
    }

    fn of(cluster: &str, host: &Value) -> Self {
        let (at, health) = (&host["address"]["socket_address"], &host["health_status"]);
        let failed = |name: &str| health[name].as_bool().unwrap_or(false);
        let listed = health["eds_health_status"].as_str().is_none_or(|status| status == "HEALTHY");
        Self {
            address: at["address"].as_str().unwrap_or_default().to_owned(),
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
    let mut rows = vec![COLUMNS.map(str::to_owned)];
    rows.extend(endpoints.iter().map(|e| {
        [
            e.at(),
            e.status().to_owned(),
            e.outlier_check().to_owned(),
            e.cluster.clone(),
            e.circuit.clone().unwrap_or_else(|| "-".to_owned()),
            e.ejections.to_string(),
        ]
    }));
    let mut width = [0; COLUMNS.len()];
    for row in &rows {
        for (w, cell) in width.iter_mut().zip(row) {
            *w = (*w).max(cell.len());
        }
    }
    let line = |row: &[String; COLUMNS.len()]| {
        let cells: Vec<String> = row.iter().zip(width).map(|(cell, w)| format!("{cell:w$}")).collect();
        format!("{}\n", cells.join("     ").trim_end())
    };
    rows.iter().map(line).collect()
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
