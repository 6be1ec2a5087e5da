//! `tulle tap`: requests as they happen.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::anyhow;
use serde_json::Value;

use super::web::Web;
use crate::outcome::{Failure, Outcome};

/// Show requests live, one a line, as the proxies of both ends tell them.
///
/// Every error, denial and slow request is shown, of the others a share: at most 50 a second of each worker, and those that are sampled.
/// Bodies and queries are never recorded, and of headers that may be secret only the names. All filters that are given must fit.
///
/// Example: tulle tap -n shop --to cart --status 5xx
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    web: Web,
    /// Requests of which one end is in this namespace.
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// Requests for this service: its host, or its first label.
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    /// Requests of this workload: NAME or NAMESPACE/NAME.
    #[arg(long, alias = "from", value_name = "WORKLOAD")]
    source: Option<String>,
    /// Requests for this workload or service: NAME or NAMESPACE/NAME.
    #[arg(long, alias = "to", value_name = "WORKLOAD")]
    destination: Option<String>,
    /// Requests whose path begins so.
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Requests with this method.
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// Requests with this status, such as 503, or of this class, such as 5xx; 0: no answer.
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// Requests with this response flag, such as UF or UH.
    #[arg(long, value_name = "FLAG")]
    flags: Option<String>,
    /// Requests that took at least so long, such as 250ms or 1.5s.
    #[arg(long, value_name = "TIME")]
    min_duration: Option<String>,
    /// Requests as this end tells them: source (the client) or destination (the server). Default: both.
    #[arg(long, value_name = "END", value_parser = ["source", "destination"])]
    reporter: Option<String>,
    /// The hops of one request (x-request-id).
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Only errors and denials.
    #[arg(long)]
    errors: bool,
    /// Ends after so many requests.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max: Option<u64>,
    /// Begins with up to so many requests of a while ago, 0 to 1000.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=1000))]
    tail: u64,
    /// Output format: text, wide (also why, route, identities and the trace) or json (an object a line, as /api/requests has them).
    #[arg(short, long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "wide", "json"])]
    output: String,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let url = args.web.url()?;
    let query = query(args);
    // Listened to first, so that nothing is missed between the two; what is in both is shown once.
    let mut events = args.web.events(&url, &format!("/api/requests/stream?{query}"))?;
    let mut shown = 0;
    let mut last = 0;
    if args.tail > 0 {
        let past = args.web.get(&url, &format!("/api/requests?limit={}&{query}", args.tail))?;
        for request in past["requests"].as_array().into_iter().flatten().rev() {
            last = request["seq"].as_u64().unwrap_or(0);
            if !show(args, request) || args.max.is_some_and(|max| shown + 1 >= max) {
                return Ok(ExitCode::SUCCESS);
            }
            shown += 1;
        }
    }
    loop {
        let event = events.next().map_err(|e| Failure::unreachable(anyhow!("{url} fell silent: {e}")))?;
        let Some((name, data)) = event else {
            return Err(Failure::unreachable(anyhow!("{url} ended the stream")));
        };
        let value: Value = serde_json::from_str(&data).unwrap_or(Value::Null);
        match name.as_str() {
            "request" if value["seq"].as_u64().is_some_and(|seq| seq > last) => {
                shown += 1;
                if !show(args, &value) || args.max.is_some_and(|max| shown >= max) {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            "lost" => told_of_loss(value["count"].as_u64().unwrap_or(0)),
            _ => {}
        }
    }
}

#[allow(clippy::print_stderr, reason = "beside the requests, which are the result of the command")]
fn told_of_loss(count: u64) {
    eprintln!("{count} requests came faster than they were read; a narrower filter loses none");
}

/// Whether the reader wants more.
fn show(args: &Args, request: &Value) -> bool {
    let text = match args.output.as_str() {
        "json" => request.to_string(),
        form => line(request, form == "wide"),
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).is_ok()
}

fn query(args: &Args) -> String {
    let texts = [
        ("namespace", &args.namespace),
        ("service", &args.service),
        ("source", &args.source),
        ("destination", &args.destination),
        ("path", &args.path),
        ("method", &args.method),
        ("status", &args.status),
        ("flags", &args.flags),
        ("min_duration", &args.min_duration),
        ("reporter", &args.reporter),
        ("request_id", &args.request_id),
    ];
    let encoded = |text: &str| -> String { text.bytes().map(|b| format!("%{b:02x}")).collect() };
    let mut all: Vec<String> = texts
        .iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", encoded(value.as_deref()?))))
        .collect();
    if args.errors {
        all.push("errors=true".to_owned());
    }
    all.join("&")
}

/// One request in a line. What comes from others is printable.
fn line(request: &Value, wide: bool) -> String {
    let text = |value: &Value| -> String {
        value.as_str().unwrap_or_default().chars().map(|c| if c.is_control() { '?' } else { c }).collect()
    };
    let or = |first: String, other: String| if first.is_empty() { other } else { first };
    let party = |end: &Value| {
        let (name, namespace) = (text(&end["workload"]), text(&end["namespace"]));
        match (name.is_empty() || name == "unknown", namespace.is_empty()) {
            (true, _) => or(text(&end["address"]), "unknown".to_owned()),
            (false, true) => name,
            (false, false) => format!("{namespace}/{name}"),
        }
    };
    let status = match request["status"].as_u64() {
        None | Some(0) => "-".to_owned(),
        Some(status) => status.to_string(),
    };
    let end = if request["reporter"] == "source" { "client" } else { "server" };
    let mut out = format!(
        "{}  {end}  {status:>3}  {:>9}  {} {}{}  {} -> {}",
        clock(request["time"].as_f64().unwrap_or(0.0)),
        format!("{:.1}ms", request["duration"].as_f64().unwrap_or(0.0)),
        text(&request["method"]),
        text(&request["authority"]),
        text(&request["path"]),
        party(&request["source"]),
        party(&request["destination"]),
    );
    if let Some(grpc) = request["grpc_status"].as_u64() {
        out.push_str(&format!("  grpc={grpc}"));
    }
    for (name, value) in [("flags", text(&request["flags"]))] {
        if !value.is_empty() && value != "-" {
            out.push_str(&format!("  {name}={value}"));
        }
    }
    if let Some(attempts) = request["attempts"].as_u64().filter(|n| *n > 1) {
        out.push_str(&format!("  attempts={attempts}"));
    }
    out.push_str(if request["mtls"] == true { "  mtls" } else { "  plaintext" });
    if wide {
        for name in ["details", "route", "rule", "request_id", "trace_id"] {
            let value = text(&request[name]);
            if !value.is_empty() {
                out.push_str(&format!("  {name}={value}"));
            }
        }
        for end in ["source", "destination"] {
            let principal = text(&request[end]["principal"]);
            if !principal.is_empty() && principal != "unknown" {
                out.push_str(&format!("  {end}={principal}"));
            }
        }
    }
    out
}

/// The time of day (UTC) of a moment in milliseconds since 1970.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a moment of this century")]
fn clock(millis: f64) -> String {
    let millis = millis.max(0.0) as u64;
    let seconds = millis / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}.{:03}", seconds / 3600, seconds / 60 % 60, seconds % 60, millis % 1000)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_is_a_line() {
        let request = json!({
            "seq": 7, "time": 1_700_000_000_123.0, "duration": 12.34, "reporter": "source", "method": "GET", "authority": "cart:8080",
            "path": "/a\u{1b}[2J", "status": 503, "grpc_status": null, "flags": "UF,URX", "attempts": 3, "mtls": true,
            "details": "upstream_reset", "route": "default", "rule": "", "request_id": "id", "trace_id": "ab",
            "source": {"workload": "web", "namespace": "shop", "principal": "spiffe://a", "address": "10.0.0.1:1"},
            "destination": {"workload": "unknown", "namespace": "", "principal": "unknown", "address": "10.0.0.2:80"},
        });
        assert_eq!(
            line(&request, false),
            "22:13:20.123  client  503     12.3ms  GET cart:8080/a?[2J  shop/web -> 10.0.0.2:80  flags=UF,URX  attempts=3  mtls"
        );
        assert!(line(&request, true).ends_with(
            "  mtls  details=upstream_reset  route=default  request_id=id  trace_id=ab  source=spiffe://a"
        ));
    }
}
