//! `tulle up`: the whole mesh on this machine.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tulle_local::host::up::{Said, UpError, UpOptions, up};
use tulle_local::net::Families;

use super::mesh::{BuiltIn, StateDir};
use crate::outcome::{Failure, Outcome};

/// Run the whole mesh on this machine in the foreground: control plane, gateway, and the pods of your manifests.
///
/// Manifests are watched: an edit is in force at once. Ctrl-C stops everything and leaves nothing behind; a second
/// Ctrl-C does not wait for the pods.
///
/// Example: tulle up --demo bookinfo
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Manifest files or folders, watched while the mesh runs.
    paths: Vec<PathBuf>,
    /// Also runs a demo that is built in.
    #[arg(long, value_name = "NAME", value_parser = demo_names())]
    demo: Vec<String>,
    /// Written as JSON once every pod is ready; removed at the end.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    #[command(flatten)]
    state: StateDir,
    /// Port of the gateway on 127.0.0.1 and ::1; 0 for any free one.
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    gateway_port: u16,
    /// Port of the resource API on 127.0.0.1; 0 for any free one. Default: 6443, or any free one if that is taken.
    #[arg(long, value_name = "PORT")]
    api_port: Option<u16>,
    /// Port on 127.0.0.1 where telemetry is asked for by Prometheus' API; 0 for any free one. Default: 20001, or any free one if that is
    /// taken.
    #[arg(long, value_name = "PORT")]
    dashboard_port: Option<u16>,
    /// Runs this by `sh -c` once every pod is ready, stops the mesh when it ends, and exits with its code. It finds the
    /// gateway in $TULLE_GATEWAY, telemetry in $TULLE_DASHBOARD, the state directory in $TULLE_STATE_DIR, and kubectl finds the API by $KUBECONFIG. Given up with exit code 3 if the pods are not
    /// ready within 3 minutes.
    #[arg(long, value_name = "CMD")]
    exit_after: Option<String>,
    /// Life of workload certificates, such as 2m or 24h; they are renewed after half of it.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
    cert_ttl: Duration,
    /// Address families of pods and services: ipv4, ipv6 or dual. Default: dual, or ipv4 where the kernel has no IPv6. A service has
    /// the first one unless its ipFamilyPolicy or ipFamilies says otherwise.
    #[arg(long, value_name = "FAMILY")]
    ip_family: Option<Families>,
}

fn demo_names() -> Vec<&'static str> {
    tulle_lab::DEMOS.iter().map(|d| d.name).collect()
}

fn duration(text: &str) -> Result<Duration, String> {
    tulle_base::duration::parse(text).map_err(|e| e.to_string())
}

#[allow(clippy::print_stdout, reason = "the gateway's address is the result of the command")]
pub(crate) fn run(args: Args) -> Outcome {
    let built_in = args
        .demo
        .iter()
        .filter_map(|name| tulle_lab::demo(name))
        .flat_map(|d| d.files)
        .map(|(name, yaml)| ((*name).to_owned(), (*yaml).to_owned()))
        .collect();
    let options = UpOptions {
        manifests: args.paths,
        built_in,
        state_dir: args.state.path(),
        gateway_port: args.gateway_port,
        api_port: args.api_port,
        dashboard_port: args.dashboard_port,
        ready_file: args.ready_file,
        exit_after: args.exit_after,
        cert_ttl: args.cert_ttl,
        families: args.ip_family,
        base_env: base_env(),
    };
    let mut progress = Progress { terminal: std::io::stderr().is_terminal(), line_open: false, shown: None };
    match up(&options, &BuiltIn, &mut |said| progress.show(said)) {
        Ok(code) => Ok(ExitCode::from(code)),
        Err(UpError::Refused(refusals)) => {
            progress.finish_line();
            let text: Vec<String> = refusals.iter().map(ToString::to_string).collect();
            let error = anyhow::anyhow!("the mesh cannot start:\n  {}", text.join("\n  "));
            let usage = refusals.iter().any(|r| r.usage);
            Err(if usage { Failure::usage(error) } else { Failure::not_so(error) })
        }
        Err(e @ UpError::NotReady(..)) => {
            progress.finish_line();
            Err(Failure::unreachable(e))
        }
        Err(e) => {
            progress.finish_line();
            Err(Failure::not_so(e))
        }
    }
}

/// What programs of the host need to find their own: the rest of this environment is nobody's business in a pod.
fn base_env() -> Vec<(String, String)> {
    const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut env: Vec<(String, String)> = ["HOME", "LANG", "TZ", "TULLE_LOG"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
        .collect();
    env.push(("PATH".into(), std::env::var("PATH").unwrap_or_else(|_| DEFAULT_PATH.into())));
    env
}

/// What is going on, on stderr: one line that changes on a terminal, otherwise a line per change.
struct Progress {
    terminal: bool,
    line_open: bool,
    /// The counts of the last line, off a terminal.
    shown: Option<(usize, usize)>,
}

#[allow(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "progress goes to stderr, the gateway to stdout"
)]
impl Progress {
    fn show(&mut self, said: Said) {
        match said {
            Said::Progress(ready, total, waiting) if self.terminal => {
                let first = waiting.first().map(|w| format!("  waiting for {w}")).unwrap_or_default();
                let line: String = format!("pods ready {ready}/{total}{first}").chars().take(110).collect();
                eprint!("\r\x1b[2K{line}");
                self.line_open = true;
                if ready == total {
                    self.finish_line();
                }
            }
            Said::Progress(ready, total, _) if self.shown == Some((ready, total)) => {}
            Said::Progress(ready, total, _) => {
                self.shown = Some((ready, total));
                eprintln!("pods ready {ready}/{total}");
            }
            Said::Diagnostic(text) | Said::Note(text) => {
                self.finish_line();
                eprintln!("{text}");
            }
            Said::Ready(gateway, took) => {
                self.finish_line();
                eprintln!("ready after {:.1} s; Ctrl-C stops the mesh", took.as_secs_f32());
                println!("{gateway}");
            }
            Said::Stopping => {
                self.finish_line();
                eprintln!("stopping; once more does not wait for the pods");
            }
        }
    }

    fn finish_line(&mut self) {
        if self.line_open {
            self.line_open = false;
            eprintln!();
        }
    }
}
