//! `tulle dashboard`: where the dashboard is, and a token to log in with.

use std::io::IsTerminal as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::anyhow;
use tulle_dashboard::http::access::{KEY_FILE, Key, ONCE_AT_MOST, TokenKind};

use super::tools::{self, Tool, ToolArgs};
use super::web::{Web, unix_now};
use crate::outcome::{Failure, Outcome};

/// Open the dashboard, logged in: prints its address with a token that is good for one login within ten minutes.
///
/// Whoever can read the state directory can make tokens. For programs such as Grafana or Kiali make one that they send with each
/// request: tulle dashboard --make-token read --ttl 720h
///
/// With the name of a program that runs in the mesh (prometheus, grafana, kiali, jaeger, zipkin, skywalking), or with envoy and a
/// workload, it makes that program's pages reachable on a port of this machine until it is ended.
///
/// Example: tulle dashboard
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A program in the mesh whose pages are wanted instead of the mesh's own.
    #[arg(value_enum, conflicts_with = "make_token")]
    tool: Option<Tool>,
    /// Pod, or the Deployment that it belongs to; default: the one called as the program.
    #[arg(requires = "tool")]
    workload: Option<String>,
    #[command(flatten)]
    place: ToolArgs,
    #[command(flatten)]
    web: Web,
    /// Only prints the address.
    #[arg(long)]
    print: bool,
    /// Prints a token for programs (Authorization: Bearer TOKEN) that may read, or also write.
    #[arg(long, value_name = "WHAT", value_parser = ["read", "write"])]
    make_token: Option<String>,
    /// How long that token is good, such as 24h.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = ttl, requires = "make_token")]
    ttl: Duration,
}

#[allow(clippy::print_stdout, clippy::print_stderr, reason = "the address is the result of the command")]
pub(crate) fn run(args: &Args) -> Outcome {
    if let Some(tool) = args.tool {
        return tools::run(&args.web.state.paths(), tool, args.workload.as_deref(), &args.place);
    }
    if let Some(kind) = &args.make_token {
        let kind = if kind == "write" { TokenKind::Write } else { TokenKind::Read };
        println!("{}", key(args)?.token(kind, unix_now() + args.ttl.as_secs()));
        return Ok(ExitCode::SUCCESS);
    }
    let url = args.web.url()?;
    let token = key(args)?.token(TokenKind::Once, unix_now() + ONCE_AT_MOST - 5 * 60);
    let url = format!("{url}/login#token={token}");
    println!("{url}");
    if !args.print && std::io::stdout().is_terminal() && !open(&url) {
        eprintln!("open it in a browser");
    }
    Ok(ExitCode::SUCCESS)
}

fn key(args: &Args) -> Result<Key, Failure> {
    let paths = args.web.state.paths();
    args.web.key().map_err(|error| {
        let places = [paths.control_plane(), paths.root().to_owned()].map(|p| p.display().to_string());
        Failure::unreachable(anyhow!(
            "{KEY_FILE} is neither in {} nor in {}: {error}; start a mesh with tulle up, or give --state-dir with the control \
             plane's state directory",
            places[0],
            places[1]
        ))
    })
}

/// Whether a browser was started.
fn open(url: &str) -> bool {
    ["xdg-open", "open"].iter().any(|program| {
        let mut command = Command::new(program);
        command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}

fn ttl(text: &str) -> Result<Duration, String> {
    let ttl = tulle_base::duration::parse(text)?;
    if ttl < Duration::from_secs(60) { Err("give 1m or more".to_owned()) } else { Ok(ttl) }
}
