//! `tulle dashboard TOOL`: the pages of other programs that run in the mesh, and those of proxies, on a port of this machine.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::ValueEnum;
use tulle_local::agent::protocol::Wanted;
use tulle_local::host::client::{self, ClientError};
use tulle_local::node::paths::Paths;

use super::mesh::failure;
use crate::outcome::{Failure, Outcome};

/// Connections at a time.
const MOST: usize = 64;

/// Programs whose pages are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tool {
    /// Prometheus, port 9090
    Prometheus,
    /// Grafana, port 3000
    Grafana,
    /// Kiali, port 20001
    Kiali,
    /// Jaeger, port 16686
    Jaeger,
    /// Zipkin, port 9411
    Zipkin,
    /// SkyWalking's pages, port 8080
    Skywalking,
    /// The admin page of a workload's proxy, port 15000
    #[value(alias = "proxy")]
    Envoy,
}

/// Where it is looked for, and on which ports.
#[derive(Debug, clap::Args)]
pub(crate) struct ToolArgs {
    /// Namespace of the program (default: istio-system) or of the workload (default: default).
    #[arg(short, long, value_name = "NS", requires = "tool")]
    namespace: Option<String>,
    /// Port on 127.0.0.1; 0 for any free one. Default: the program's own, or any free one if that is taken.
    #[arg(short, long, value_name = "PORT", requires = "tool")]
    port: Option<u16>,
    /// Port of the program in its pod, if it is not the usual one.
    #[arg(long, value_name = "PORT", requires = "tool")]
    ui_port: Option<u16>,
}

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
            Self::Grafana => "grafana",
            Self::Kiali => "kiali",
            Self::Jaeger => "jaeger",
            Self::Zipkin => "zipkin",
            Self::Skywalking => "skywalking",
            Self::Envoy => "envoy",
        }
    }

    fn ui_port(self) -> u16 {
        match self {
            Self::Prometheus => 9090,
            Self::Grafana => 3000,
            Self::Kiali => 20001,
            Self::Jaeger => 16686,
            Self::Zipkin => 9411,
            Self::Skywalking => 8080,
            Self::Envoy => 15000,
        }
    }

    /// What is there without it.
    fn instead(self) -> &'static str {
        match self {
            Self::Prometheus => {
                "the mesh's own store answers Prometheus' API (/api/v1/query) at the address that tulle dashboard --print shows"
            }
            Self::Grafana => {
                "a Grafana anywhere can read the mesh's own store as a Prometheus (docs/telemetry-store.md); dashboards/ has what it shows"
            }
            Self::Kiali | Self::Skywalking => {
                "tulle dashboard shows the graph, services, configuration and security"
            }
            Self::Jaeger | Self::Zipkin => {
                "tulle dashboard shows requests, errors and latency of each service and edge"
            }
            Self::Envoy => "tulle status lists the pods and their proxies",
        }
    }
}

/// Serves the tool's port on this machine until it is ended.
pub(crate) fn run(paths: &Paths, tool: Tool, workload: Option<&str>, args: &ToolArgs) -> Outcome {
    let wanted = match (tool, workload) {
        (Tool::Envoy, None) => {
            return Err(Failure::usage(anyhow!(
                "whose proxy? For instance: tulle dashboard envoy deploy/cart -n shop"
            )));
        }
        (Tool::Envoy, Some(workload)) => Wanted {
            namespace: args.namespace.clone().unwrap_or_else(|| "default".to_owned()),
            workload: workload.to_owned(),
            container: Some("istio-proxy".to_owned()),
        },
        (_, workload) => Wanted {
            namespace: args.namespace.clone().unwrap_or_else(|| "istio-system".to_owned()),
            workload: workload.unwrap_or_else(|| tool.name()).to_owned(),
            container: None,
        },
    };
    find(paths, tool, &wanted)?;
    let listener = listen(tool, args.port).map_err(Failure::usage)?;
    let address = listener.local_addr().map_err(|e| Failure::not_so(anyhow!(e)))?;
    say(&format!("http://{address}"));
    let program = std::env::current_exe().map_err(|e| Failure::not_so(anyhow!(e)))?;
    let target = format!("127.0.0.1:{}", args.ui_port.unwrap_or_else(|| tool.ui_port()));
    let command = vec![program.display().to_string(), "lab".into(), "join".into(), target];
    forward(&listener, paths, &wanted, &command);
    Ok(ExitCode::SUCCESS)
}

/// Whether there is such a pod; else what to do.
fn find(paths: &Paths, tool: Tool, wanted: &Wanted) -> Result<(), Failure> {
    let Wanted { namespace, workload, .. } = wanted;
    match client::resolve(paths, wanted) {
        Ok(()) => Ok(()),
        Err(ClientError::Refused(reason)) if tool == Tool::Envoy => {
            Err(Failure::not_so(anyhow!("{reason}; {}", tool.instead())))
        }
        Err(ClientError::Refused(reason)) => Err(Failure::not_so(anyhow!(
            "{} does not run in namespace {namespace}: {reason}. Run it as a pod called {workload} (a Deployment among your \
             manifests whose command is a program of this machine), name another with -n NAMESPACE and its name, or do without: {}",
            tool.name(),
            tool.instead()
        ))),
        Err(error) => Err(failure(error)),
    }
}

fn listen(tool: Tool, port: Option<u16>) -> anyhow::Result<TcpListener> {
    let here = Ipv4Addr::LOCALHOST;
    match port {
        Some(port) => TcpListener::bind((here, port))
            .with_context(|| format!("cannot listen on {here}:{port}; give --port 0")),
        None => TcpListener::bind((here, tool.ui_port()))
            .or_else(|_| TcpListener::bind((here, 0)))
            .with_context(|| format!("cannot listen on {here}")),
    }
}

/// Each connection is joined, in the pod, with one to the program there.
fn forward(listener: &TcpListener, paths: &Paths, wanted: &Wanted, command: &[String]) {
    let slots = std::sync::Arc::new(());
    for accepted in listener.incoming() {
        let Ok(socket) = accepted else {
            // Out of file descriptors, or a connection that died in the queue.
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        if std::sync::Arc::strong_count(&slots) > MOST {
            continue;
        }
        let (slot, paths, wanted, command) = (slots.clone(), paths.clone(), wanted.clone(), command.to_vec());
        std::thread::spawn(move || {
            join(&socket, &paths, wanted, command);
            drop(slot);
        });
    }
}

fn join(socket: &TcpStream, paths: &Paths, wanted: Wanted, command: Vec<String>) {
    let stderr = std::io::stderr();
    let descriptors = [socket.as_fd(), socket.as_fd(), stderr.as_fd()];
    match client::exec_with(paths, wanted, command, Vec::new(), descriptors) {
        Ok(_) => {}
        Err(error) => complain(&error.to_string()),
    }
    let _ = socket.shutdown(std::net::Shutdown::Both);
}

#[allow(clippy::print_stdout, reason = "the address is the result of the command")]
fn say(address: &str) {
    use std::io::Write as _;
    println!("{address}");
    let _ = std::io::stdout().flush();
}

#[allow(clippy::print_stderr, reason = "nobody else is told")]
fn complain(error: &str) {
    eprintln!("{error}");
}
