//! What a proxy logs.

use std::process::ExitCode;

use anyhow::anyhow;

use super::admin::Workload;
use crate::outcome::{Failure, Outcome};

/// What proxies log unless told otherwise.
const DEFAULT: &str = "info";
/// istioctl's levels, and what they are here.
const LEVELS: [(&str, &str); 9] = [
    ("trace", "trace"),
    ("debug", "debug"),
    ("info", "info"),
    ("warning", "warn"),
    ("warn", "warn"),
    ("error", "error"),
    ("critical", "error"),
    ("off", "off"),
    ("none", "off"),
];

/// Show what a workload's proxy logs, and change it.
///
/// Example: tulle proxy-config log -n shop deploy/web --level tulle_proxy::http:debug
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    workload: Workload,
    /// From now on log this level and what is graver: LEVEL, or TARGET:LEVEL,... . Levels are trace, debug, info, warning, error and off.
    #[arg(long, value_name = "LEVELS")]
    level: Option<String>,
    /// Log what proxies log by default (info).
    #[arg(short, long, conflicts_with = "level")]
    reset: bool,
}

#[allow(clippy::print_stdout, reason = "the answer is the output of the command")]
pub(super) fn run(args: &Args) -> Outcome {
    let query = match &args.level {
        Some(levels) => query(levels).map_err(Failure::usage)?,
        None if args.reset => format!("?level={DEFAULT}"),
        None => String::new(),
    };
    let said = args.workload.ask("POST", &format!("/logging{query}"))?;
    print!("{}:\n{}", args.workload.title(), String::from_utf8_lossy(&said));
    Ok(ExitCode::SUCCESS)
}

/// The query that puts levels in force.
fn query(levels: &str) -> anyhow::Result<String> {
    let mut out = String::new();
    for one in levels.split(',') {
        let (target, level) = one.rsplit_once(':').unwrap_or(("level", one));
        let Some((_, level)) = LEVELS.iter().find(|(name, _)| *name == level) else {
            return Err(anyhow!(
                "--level {one}: {level} is no level; use trace, debug, info, warning, error or off"
            ));
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-');
        if target.is_empty() || !target.chars().all(fits) {
            return Err(anyhow!(
                "--level {one}: {target:?} is no target; write one such as tulle_proxy::http"
            ));
        }
        out.push(if out.is_empty() { '?' } else { '&' });
        out.push_str(&format!("{target}={level}"));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_become_a_query() {
        assert_eq!(query("debug").unwrap(), "?level=debug");
        assert_eq!(query("tulle_proxy::http:trace,warning").unwrap(), "?tulle_proxy::http=trace&level=warn");
        assert!(query("http:loud").unwrap_err().to_string().contains("loud is no level"));
        assert!(query("a&b:info").is_err());
    }
}
