//! `tulle proxy-status`: how far each proxy is with what it is sent.

use std::process::ExitCode;

use anyhow::anyhow;
use serde_json::Value;

use super::proxy_config::dump::{list, or_dash, text};
use super::proxy_config::show::{Form, table};
use super::web::Web;
use crate::outcome::{Failure, Outcome};

/// Types of what is sent: the label in the API, and what istioctl calls it.
const TYPES: [(&str, &str); 7] = [
    ("cds", "CDS"),
    ("lds", "LDS"),
    ("eds", "EDS"),
    ("rds", "RDS"),
    ("nds", "NDS"),
    ("sds", "SDS"),
    ("trust", "TRUST"),
];

/// Show how far each proxy is with what the control plane sends it.
///
/// A type is SYNCED when the proxy has the newest of it, STALE while it is on its way, ERROR when the proxy refuses something, NOT SENT when
/// there was nothing to send and IGNORED when the proxy does not ask for it. With the name of a proxy: each type, and what is refused. Exits
/// with 1 if something is refused.
///
/// Example: tulle proxy-status -v 1
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    web: Web,
    /// Only the proxy of this pod: POD or POD.NAMESPACE.
    pod: Option<String>,
    /// Only proxies of this namespace.
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// 1 shows a column for each type.
    #[arg(short, long, value_name = "N", default_value_t = 0)]
    verbosity: u8,
    /// Output format.
    #[arg(short, long, value_name = "FORMAT", default_value = "table", value_parser = ["table", "json", "yaml"])]
    output: String,
}

#[allow(clippy::print_stdout, reason = "the answer is the output of the command")]
pub(crate) fn run(args: &Args) -> Outcome {
    let url = args.web.url()?;
    let said = args.web.get(&url, "/api/proxies")?;
    let plane = args.web.get(&url, "/api/control-plane")?;
    let version = text(&plane["version"]).to_owned();
    let mut all: Vec<Value> = list(&said["proxies"]).iter().filter(|p| args.wants(p)).cloned().collect();
    all.sort_by(|a, b| text(&a["id"]).cmp(text(&b["id"])));
    if let Some(pod) = args.pod.as_ref().filter(|_| all.is_empty()) {
        return Err(Failure::not_so(anyhow!(
            "no proxy of {pod} is connected; see tulle proxy-status and tulle status"
        )));
    }
    let refuses = all.iter().any(|proxy| text(&proxy["state"]) == "ERROR");
    let shown = match (args.output.as_str(), &args.pod) {
        ("json", _) => Form::Json.text(&Value::from(all)),
        ("yaml", _) => Form::Yaml.text(&Value::from(all)),
        (_, Some(_)) => Some(all.iter().map(one).collect()),
        (_, None) if args.verbosity > 0 => Some(verbose(&all, &version)),
        (_, None) => Some(short(&all, &version)),
    };
    print!("{}", shown.unwrap_or_default());
    Ok(if refuses { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

impl Args {
    fn wants(&self, proxy: &Value) -> bool {
        let named = |name: &String| *name == text(&proxy["id"]) || *name == text(&proxy["pod"]);
        self.pod.as_ref().is_none_or(named)
            && self.namespace.as_ref().is_none_or(|namespace| *namespace == text(&proxy["namespace"]))
    }
}

/// The control plane as istioctl names it.
fn istiod(version: &str) -> String {
    format!("istiod-{version}")
}

fn short(all: &[Value], version: &str) -> String {
    let row = |proxy: &Value| {
        let asked: Vec<&str> = TYPES
            .iter()
            .filter(|(label, _)| proxy["types"][label].is_object())
            .map(|(_, name)| *name)
            .collect();
        let types =
            if asked.is_empty() { "0".to_owned() } else { format!("{} ({})", asked.len(), asked.join(",")) };
        let [id, cluster, own] = ["id", "cluster", "version"].map(|name| or_dash(text(&proxy[name])));
        [id, cluster, istiod(version), own, types]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    table(["NAME", "CLUSTER", "ISTIOD", "VERSION", "SUBSCRIBED TYPES"], &rows)
}

fn verbose(all: &[Value], version: &str) -> String {
    let state =
        |proxy: &Value, label: &str| proxy["types"][label]["state"].as_str().unwrap_or("IGNORED").to_owned();
    let row = |proxy: &Value| {
        let [id, cluster, own] = ["id", "cluster", "version"].map(|name| or_dash(text(&proxy[name])));
        let [cds, lds, eds, rds, nds, sds, trust] = TYPES.map(|(label, _)| state(proxy, label));
        [id, cluster, cds, lds, eds, rds, nds, sds, trust, istiod(version), own]
    };
    let [cds, lds, eds, rds, nds, sds, trust] = TYPES.map(|(_, name)| name);
    let columns = ["NAME", "CLUSTER", cds, lds, eds, rds, nds, sds, trust, "ISTIOD", "VERSION"];
    table(columns, &all.iter().map(row).collect::<Vec<_>>())
}

/// Each type of one proxy.
fn one(proxy: &Value) -> String {
    let row = |(label, name): &(&str, &str)| {
        let state = &proxy["types"][label];
        let refused: Vec<&str> = list(&state["refused"]).iter().map(text).collect();
        let shown = state["state"].as_str().unwrap_or("IGNORED");
        [(*name).to_owned(), shown.to_owned(), or_dash(refused.join(", "))]
    };
    let rows: Vec<_> = TYPES.iter().map(row).collect();
    format!("{}\n{}", text(&proxy["id"]), table(["TYPE", "STATUS", "REFUSED"], &rows))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn proxies() -> Vec<Value> {
        let synced = json!({ "state": "SYNCED", "refused": [] });
        vec![
            json!({ "id": "web.shop", "pod": "web", "cluster": "Kubernetes", "version": "1.29.0",
                "types": { "cds": synced, "lds": { "state": "ERROR", "refused": ["0.0.0.0_80"] } } }),
            json!({ "id": "old.shop", "pod": "old", "cluster": "", "version": "", "types": {} }),
        ]
    }

    fn words(text: &str) -> Vec<Vec<&str>> {
        text.lines().map(|l| l.split("  ").map(str::trim).filter(|w| !w.is_empty()).collect()).collect()
    }

    #[test]
    fn proxies_stand_in_istioctls_columns() {
        let shown = short(&proxies(), "0.1.0");
        assert_eq!(
            words(&shown),
            [
                vec!["NAME", "CLUSTER", "ISTIOD", "VERSION", "SUBSCRIBED TYPES"],
                vec!["web.shop", "Kubernetes", "istiod-0.1.0", "1.29.0", "2 (CDS,LDS)"],
                vec!["old.shop", "-", "istiod-0.1.0", "-", "0"],
            ]
        );
        let shown = verbose(&proxies(), "0.1.0");
        let web = [
            "web.shop",
            "Kubernetes",
            "SYNCED",
            "ERROR",
            "IGNORED",
            "IGNORED",
            "IGNORED",
            "IGNORED",
            "IGNORED",
            "istiod-0.1.0",
            "1.29.0",
        ];
        assert_eq!(words(&shown)[1], web);
    }

    #[test]
    fn one_proxy_tells_what_it_refuses() {
        let shown = one(&proxies()[0]);
        assert_eq!(words(&shown)[3], ["LDS", "ERROR", "0.0.0.0_80"]);
        assert_eq!(words(&shown)[4], ["EDS", "IGNORED", "-"]);
    }
}
