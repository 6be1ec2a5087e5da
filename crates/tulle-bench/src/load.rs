//! The clients: wrk for HTTP/1.1, h2load for HTTP/2.

use anyhow::{Context, bail};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What a client saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    /// Median latency; only wrk tells it.
    pub(crate) p50: Option<Duration>,
}

/// wrk, one thread.
pub(crate) fn wrk(program: &Path, port: u16, connections: u32, seconds: u32) -> anyhow::Result<Seen> {
    let output = Command::new(program)
        .args(wrk_arguments(connections, seconds))
        .arg(format!("http://127.0.0.1:{port}/"))
        .output()
        .context("cannot start wrk")?;
    parse_wrk(&String::from_utf8_lossy(&output.stdout))
}

/// What wrk is told but for the address.
pub(crate) fn wrk_arguments(connections: u32, seconds: u32) -> [String; 4] {
    ["-t1".to_owned(), "--latency".to_owned(), format!("-c{connections}"), format!("-d{seconds}s")]
}

/// What wrk said.
pub(crate) fn parse_wrk(text: &str) -> anyhow::Result<Seen> {
    if let Some(line) = text.lines().find(|line| line.contains("Non-2xx") || line.contains("Socket errors")) {
        bail!("wrk: {}", line.trim());
    }
    let requests = text
        .lines()
        .find_map(|line| line.trim().split_once(" requests in "))
        .and_then(|(number, _)| number.trim().parse::<u64>().ok())
        .with_context(|| format!("wrk said:\n{text}"))?;
    let p50 =
        text.lines().find_map(|line| line.trim().strip_prefix("50%")).and_then(|text| duration(text.trim()));
    Ok(Seen { requests, p50 })
}

/// h2load, one thread, prior knowledge.
pub(crate) fn h2load(
    program: &Path,
    port: u16,
    connections: u32,
    streams: u32,
    seconds: u32,
) -> anyhow::Result<Seen> {
    let output = Command::new(program)
        .args(["-t1", &format!("-c{connections}"), &format!("-m{streams}"), &format!("-D{seconds}")])
        .arg(format!("http://127.0.0.1:{port}/"))
        .output()
        .context("cannot start h2load")?;
    parse_h2load(&String::from_utf8_lossy(&output.stdout))
}

fn parse_h2load(text: &str) -> anyhow::Result<Seen> {
    let line = text
        .lines()
        .find(|line| line.starts_with("requests:"))
        .with_context(|| format!("h2load said:\n{text}"))?;
    let number = |word: &str| {
        let (before, _) = line.split_once(&format!(" {word}"))?;
        before.rsplit([' ', ',']).next()?.parse::<u64>().ok()
    };
    let (Some(requests), Some(failed)) = (number("succeeded"), number("failed")) else {
        bail!("h2load said:\n{text}")
    };
    if failed > 0 || requests == 0 {
        bail!("h2load: {line}");
    }
    Ok(Seen { requests, p50: None })
}

/// A duration as wrk writes it: `612.00us`, `1.20ms`, `1.00s`.
fn duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| c.is_alphabetic())?;
    let (number, unit) = text.split_at(split);
    let scale = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return None,
    };
    Some(Duration::from_secs_f64(number.parse::<f64>().ok()? * scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrk_is_read() {
        let text = "Running 3s test\n  Latency Distribution\n     50%  612.00us\n     75%    1.20ms\n  123456 requests in 3.10s, 1MB read\n";
        assert_eq!(
            parse_wrk(text).unwrap(),
            Seen { requests: 123_456, p50: Some(Duration::from_micros(612)) }
        );
        assert!(parse_wrk(&format!("{text}  Non-2xx or 3xx responses: 5\n")).is_err());
        assert!(parse_wrk("").is_err());
    }

    #[test]
    fn h2load_is_read() {
        let text =
            "requests: 105 total, 105 started, 105 done, 100 succeeded, 0 failed, 0 errored, 0 timeout\n";
        assert_eq!(parse_h2load(text).unwrap().requests, 100);
        assert!(
            parse_h2load("requests: 1 total, 1 started, 1 done, 0 succeeded, 1 failed, 1 errored, 0 timeout")
                .is_err()
        );
    }
}
