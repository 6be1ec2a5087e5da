//! `tulle status`: what runs, what is unhealthy and why.

use std::process::ExitCode;

use tulle_local::agent::protocol::{PodSummary, ResourceSummary, Summary};
use tulle_local::host::client;

use super::mesh::{StateDir, failure};
use crate::outcome::Outcome;

/// Show what runs, what is unhealthy and why. Exits with 1 if anything is unhealthy.
///
/// Example: tulle status -o json
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    state: StateDir,
    /// Output format: text or json.
    #[arg(short, long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    output: String,
}

#[allow(clippy::print_stdout, reason = "the result of a command goes to stdout")]
pub(crate) fn run(args: &Args) -> Outcome {
    let summary = client::status(&args.state.paths()).map_err(failure)?;
    if args.output == "json" {
        println!("{}", serde_json::json!(summary));
    } else {
        print!("{}", text(&summary));
    }
    Ok(if summary.ready { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn text(summary: &Summary) -> String {
    let mut rows = vec![["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "IP", "AGE"].map(str::to_owned)];
    rows.extend(summary.pods.iter().map(row));
    let mut width = [0; 7];
    for row in &rows {
        for (w, cell) in width.iter_mut().zip(row) {
            *w = (*w).max(cell.len());
        }
    }
    let mut out = format!("gateway {}\n\n", summary.gateway);
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(width).map(|(cell, w)| format!("{cell:w$}")).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    for pod in summary.pods.iter().filter(|p| !p.reason.is_empty()) {
        out.push_str(&format!("\n{}/{} is not ready: {}\n", pod.namespace, pod.name, pod.reason));
    }
    for resource in &summary.resources {
        let ResourceSummary { kind, namespace, name, condition, reason, message } = resource;
        out.push_str(&format!("\n{kind} {namespace}/{name}: {condition} ({reason}): {message}\n"));
    }
    for finding in &summary.diagnostics {
        out.push_str(&format!("\n{finding}\n"));
    }
    out
}

fn row(pod: &PodSummary) -> [String; 7] {
    [
        pod.namespace.clone(),
        pod.name.clone(),
        format!("{}/{}", pod.ready, pod.containers),
        pod.status.clone(),
        pod.restarts.to_string(),
        if pod.ip.is_empty() { "-".into() } else { pod.ip.clone() },
        age(pod.age_seconds),
    ]
}

fn age(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_reasons_follow() {
        let pod = PodSummary {
            namespace: "shop".into(),
            name: "cart-1".into(),
            ready: 1,
            containers: 2,
            status: "CrashLoopBackOff".into(),
            restarts: 3,
            ip: String::new(),
            age_seconds: 130,
            reason: "cart: ended with status 1".into(),
        };
        let summary =
            Summary { gateway: "http://127.0.0.1:8080".into(), pods: vec![pod], ..Summary::default() };
        assert_eq!(
            text(&summary),
            "gateway http://127.0.0.1:8080\n\n\
             NAMESPACE  NAME    READY  STATUS            RESTARTS  IP  AGE\n\
             shop       cart-1  1/2    CrashLoopBackOff  3         -   2m\n\n\
             shop/cart-1 is not ready: cart: ended with status 1\n"
        );
    }
}
