//! `tulle top`: the services of the mesh as they do now.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::web::Web;
use crate::outcome::Outcome;

/// Show services live: requests a second, failures, latency, open connections and circuit breakers, what needs attention first.
///
/// The numbers are those of the dashboard (/api/services) and of the metrics: what clients counted over the window.
///
/// Example: tulle top -n shop --window 30s
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    web: Web,
    /// Only services of this namespace.
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// Window over which rates and latency are measured, from 10s to 10m.
    #[arg(short, long, value_name = "TIME", default_value = "1m")]
    window: String,
    /// Order: worst, rate, errorRate, p99 or name.
    #[arg(long, value_name = "BY", default_value = "worst", value_parser = ["worst", "rate", "errorRate", "p99", "name"])]
    sort: String,
    /// Shows once and ends.
    #[arg(long)]
    once: bool,
    /// The moment to look at, in seconds since 1970 or as 2026-11-29T18:00:00Z. Default: now.
    #[arg(long, value_name = "TIME", requires = "once")]
    time: Option<String>,
    /// Time between two looks.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = interval)]
    interval: Duration,
    /// Output format: table, wide (also resets, bytes of TCP and why) or json (as /api/services, one object a look).
    #[arg(short, long, value_name = "FORMAT", default_value = "table", value_parser = ["table", "wide", "json"])]
    output: String,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let url = args.web.url()?;
    let encoded = |text: &str| -> String { text.bytes().map(|b| format!("%{b:02x}")).collect() };
    let path = format!(
        "/api/services?window={}&sort={}&namespace={}&time={}",
        encoded(&args.window),
        args.sort,
        encoded(args.namespace.as_deref().unwrap_or("")),
        encoded(args.time.as_deref().unwrap_or(""))
    );
    let live = !args.once && std::io::stdout().is_terminal() && args.output != "json";
    loop {
        let services = args.web.get(&url, &path)?;
        let text = match args.output.as_str() {
            "json" => format!("{services}\n"),
            form => table(&services, form == "wide"),
        };
        let clear = if live { "\x1b[H\x1b[2J" } else { "" };
        let mut out = std::io::stdout().lock();
        // Whoever reads it may have enough.
        if write!(out, "{clear}{text}").and_then(|()| out.flush()).is_err() || args.once {
            return Ok(ExitCode::SUCCESS);
        }
        drop(out);
        std::thread::sleep(args.interval);
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = tulle_base::duration::parse(text)?;
    if interval < Duration::from_secs(1) { Err("give 1s or more".to_owned()) } else { Ok(interval) }
}

/// The rows, in columns.
fn table(services: &Value, wide: bool) -> String {
    let mut head = vec!["SERVICE", "RPS", "ERRORS", "P50", "P95", "P99", "CONNECTIONS", "BREAKER", "HEALTH"];
    if wide {
        head.extend(["MTLS", "RETRIES", "TIMEOUTS", "ENDPOINTS", "WHY"]);
    }
    let mut rows = vec![head.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    rows.extend(services["services"].as_array().into_iter().flatten().map(|s| row(s, wide)));
    let columns = rows[0].len();
    let widths: Vec<usize> =
        (0..columns).map(|c| rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0)).collect();
    let mut out = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(i, (cell, width))| match i {
            // Numbers stand at the right.
            1..=6 => format!("{cell:>width$}"),
            _ => format!("{cell:<width$}"),
        });
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

fn row(service: &Value, wide: bool) -> Vec<String> {
    let text = |name: &str| service[name].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| service[name].as_f64().unwrap_or(0.0);
    let percent = |value: &Value| value.as_f64().map_or("-".to_owned(), |v| format!("{:.1}%", v * 100.0));
    let idle = number("rate") <= 0.0;
    let mut cells = vec![
        text("id"),
        format!("{:.1}", number("rate")),
        if idle { "-".to_owned() } else { percent(&service["errorRate"]) },
        millis(&service["p50"]),
        millis(&service["p95"]),
        millis(&service["p99"]),
        format!("{:.0}", number("connections")),
        breaker(&service["breaker"]),
        text("health"),
    ];
    if wide {
        let endpoints = &service["endpoints"];
        let why = service["reasons"].as_array().into_iter().flatten().filter_map(|r| r["text"].as_str());
        cells.extend([
            percent(&service["mtls"]),
            format!("{:.1}", number("retries")),
            format!("{:.1}", number("timeouts")),
            format!("{}/{}", endpoints["healthy"], endpoints["total"]),
            why.collect::<Vec<_>>().join("; "),
        ]);
    }
    cells
}

/// Such as `open (2/3 ejected)`, `open (rq_pending)`.
fn breaker(breaker: &Value) -> String {
    let state = match breaker["state"].as_str() {
        None | Some("none") => return "-".to_owned(),
        Some(state) => state,
    };
    let open: Vec<&str> =
        breaker["open"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !open.is_empty() {
        return format!("{state} ({})", open.join(", "));
    }
    match breaker["ejected"].as_u64() {
        Some(ejected) if ejected > 0 => format!("{state} ({ejected}/{} ejected)", breaker["endpoints"]),
        _ => state.to_owned(),
    }
}

fn millis(value: &Value) -> String {
    match value.as_f64() {
        None => "-".to_owned(),
        Some(ms) if ms < 10.0 => format!("{ms:.1}ms"),
        Some(ms) if ms < 10_000.0 => format!("{ms:.0}ms"),
        Some(ms) => format!("{:.1}s", ms / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The example of the mission: payment-service and account-adapter.
    #[test]
    fn services_stand_in_columns() {
        let services = json!({"services": [
            {"id": "bank/account-adapter", "rate": 2100.0, "errorRate": 0.015, "p50": 60.0, "p95": 200.0, "p99": 400.0,
                "connections": 12.0, "breaker": {"state": "open", "ejected": 5, "endpoints": 5, "open": []}, "health": "failing"},
            {"id": "bank/payment-service", "rate": 1250.0, "errorRate": 0.002, "p50": 45.0, "p95": 120.0, "p99": 250.0,
                "connections": 85.0, "breaker": {"state": "closed", "ejected": 0, "endpoints": 3, "open": []}, "health": "healthy"},
            {"id": "bank/idle", "rate": 0.0, "errorRate": 0.0, "p50": null, "p95": null, "p99": null, "connections": 0.0,
                "breaker": {"state": "none"}, "health": "idle"},
        ]});
        assert_eq!(
            table(&services, false),
            "SERVICE                  RPS  ERRORS   P50    P95    P99  CONNECTIONS  BREAKER             HEALTH\n\
             bank/account-adapter  2100.0    1.5%  60ms  200ms  400ms           12  open (5/5 ejected)  failing\n\
             bank/payment-service  1250.0    0.2%  45ms  120ms  250ms           85  closed              healthy\n\
             bank/idle                0.0       -     -      -      -            0  -                   idle\n"
        );
    }
}
