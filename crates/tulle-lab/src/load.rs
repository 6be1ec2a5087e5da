//! A load generator: a fixed number of connections, an optional rate, and a report of what came back.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use serde_json::json;

use crate::LabError;
use crate::client::{ClientError, Target};

/// Options of `tulle lab load`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What to fetch.
    url: String,
    /// Connections, each with one request at a time.
    #[arg(short, long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Requests altogether; 0 means until --duration is over.
    #[arg(short = 'n', long, default_value_t = 0)]
    requests: u64,
    /// Seconds.
    #[arg(short, long, default_value_t = 10.0)]
    duration: f64,
    /// Requests per second over all connections; 0 means as fast as they are answered.
    #[arg(short, long, default_value_t = 0.0)]
    rate: f64,
    /// A new connection for every request.
    #[arg(long)]
    reconnect: bool,
    /// A header, `Name: value`; may be repeated.
    #[arg(short = 'H', long, value_name = "HEADER")]
    header: Vec<String>,
    /// Count answers by the value of this response header.
    #[arg(long, value_name = "NAME")]
    count_by: Option<String>,
    /// Count answers that took longer than this many seconds, as `slow`.
    #[arg(long, value_name = "SECONDS")]
    count_slow: Option<f64>,
    /// Count answers by whether the body has this text; may be repeated.
    #[arg(long, value_name = "TEXT")]
    count_text: Vec<String>,
}

/// What one connection saw.
#[derive(Debug, Default)]
struct Seen {
    statuses: BTreeMap<String, u64>,
    counted: BTreeMap<String, u64>,
    errors: BTreeMap<String, u64>,
    micros: Vec<u64>,
}

/// Different error texts that are kept apart; the others are counted as `other`.
const MAX_ERROR_TEXTS: usize = 20;

pub(crate) async fn run(args: Args) -> Result<ExitCode, LabError> {
    let target = Target::parse(&args.url)?;
    let started = Instant::now();
    let per_connection =
        if args.requests == 0 { u64::MAX } else { args.requests.div_ceil(args.connections.into()) };
    let tasks: Vec<_> = (0..args.connections)
        .map(|i| {
            let sent_by_others = u64::from(i).saturating_mul(per_connection);
            let left = args.requests.saturating_sub(sent_by_others).min(per_connection);
            let count = if args.requests == 0 { u64::MAX } else { left };
            tokio::spawn(drive(target.clone(), args.clone(), started, i, count))
        })
        .collect();
    let mut all = Seen::default();
    for task in tasks {
        if let Ok(seen) = task.await {
            all.add(seen);
        }
    }
    let report = all.report(started.elapsed());
    let _ = std::io::stdout().write_all(format!("{report}\n").as_bytes());
    let bad = !all.errors.is_empty() || all.statuses.keys().any(|s| s.starts_with('5'));
    Ok(ExitCode::from(u8::from(bad)))
}

/// One connection's requests, paced so that all connections together keep the rate.
async fn drive(target: Target, args: Args, started: Instant, index: u32, count: u64) -> Seen {
    let mut seen = Seen::default();
    let headers = headers(&args.header);
    let end = Duration::from_secs_f64(args.duration.clamp(0.0, 86_400.0));
    let mut sender = None;
    let mut sent = 0u64;
    while sent < count && started.elapsed() < end {
        if args.rate > 0.0 {
            let turn = sent as f64 * f64::from(args.connections) + f64::from(index);
            let due = Duration::from_secs_f64(turn / args.rate);
            if due >= end {
                break;
            }
            tokio::time::sleep_until((started + due).into()).await;
        }
        sent += 1;
        let began = Instant::now();
        match one(&target, &mut sender, &headers).await {
            Ok(answer) => seen.count(&answer, &args, began.elapsed()),
            Err(error) => {
                sender = None;
                seen.error(&error);
            }
        }
        if args.reconnect {
            sender = None;
        }
    }
    seen
}

async fn one(
    target: &Target,
    sender: &mut Option<SendRequest<Full<Bytes>>>,
    headers: &HeaderMap,
) -> Result<http::Response<Bytes>, ClientError> {
    if sender.as_ref().is_some_and(SendRequest::is_closed) {
        *sender = None;
    }
    let open = match sender {
        Some(open) => open,
        None => sender.insert(target.connect().await?),
    };
    // Ready or closed: a server that closes between two requests is no failure of the second one.
    if open.ready().await.is_err() {
        *open = target.connect().await?;
    }
    target.exchange_over(open, target.request(Method::GET, headers, Bytes::new())).await
}

fn headers(lines: &[String]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines.iter().filter_map(|l| l.split_once(':')) {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.trim().as_bytes()), HeaderValue::from_str(value.trim()))
        {
            headers.insert(name, value);
        }
    }
    headers
}

impl Seen {
    fn count(&mut self, answer: &http::Response<Bytes>, args: &Args, took: Duration) {
        *self.statuses.entry(answer.status().as_str().to_owned()).or_default() += 1;
        self.micros.push(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        if let Some(name) = &args.count_by {
            let value = answer.headers().get(name).map_or("", |v| v.to_str().unwrap_or("?"));
            *self.counted.entry(value.to_owned()).or_default() += 1;
        }
        if args.count_slow.is_some_and(|limit| took.as_secs_f64() > limit) {
            *self.counted.entry("slow".to_owned()).or_default() += 1;
        }
        let body = String::from_utf8_lossy(answer.body());
        for text in args.count_text.iter().filter(|t| body.contains(t.as_str())) {
            *self.counted.entry(text.clone()).or_default() += 1;
        }
    }

    fn error(&mut self, error: &ClientError) {
        let text = error.to_string();
        let known = self.errors.len() < MAX_ERROR_TEXTS || self.errors.contains_key(&text);
        *self.errors.entry(if known { text } else { "other".to_owned() }).or_default() += 1;
    }

    fn add(&mut self, other: Self) {
        for (mine, theirs) in [
            (&mut self.statuses, other.statuses),
            (&mut self.counted, other.counted),
            (&mut self.errors, other.errors),
        ] {
            for (key, n) in theirs {
                *mine.entry(key).or_default() += n;
            }
        }
        self.micros.extend(other.micros);
    }

    fn report(&mut self, elapsed: Duration) -> serde_json::Value {
        self.micros.sort_unstable();
        let at = |part: f64| {
            let index = ((self.micros.len() as f64) * part) as usize;
            self.micros.get(index.min(self.micros.len().saturating_sub(1))).copied().unwrap_or(0)
        };
        json!({
            "requests": self.micros.len() as u64 + self.errors.values().sum::<u64>(),
            "seconds": elapsed.as_secs_f64(),
            "status": self.statuses, "counted": self.counted, "errors": self.errors,
            "latency_us": { "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": at(1.0) },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_add_up() {
        let mut a = Seen { micros: vec![1, 2, 3], ..Seen::default() };
        let mut b = Seen { micros: vec![4], ..Seen::default() };
        a.statuses.insert("200".into(), 3);
        b.statuses.insert("200".into(), 1);
        b.errors.insert("gone".into(), 2);
        a.add(b);
        let report = a.report(Duration::from_secs(1));
        assert_eq!(report["requests"], 6);
        assert_eq!(report["status"]["200"], 4);
        assert_eq!(report["latency_us"]["max"], 4);
    }
}
