//! `tulle proxy`: the proxy alone, from an Envoy bootstrap, or beside a pod.

use std::ffi::OsString;
use std::io::{Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use rustix::fs::{MemfdFlags, memfd_create};
use tulle_base::agent::NodeType;
use tulle_base::{AgentConfig, FieldPath};
use tulle_proto::json::{Node, NodeKind, Schema, parse_document};
use tulle_proxy::boot::bootstrap::BootstrapError;
use tulle_proxy::boot::{self, Hooks, Plan};

use crate::logging;
use crate::outcome::{Failure, Outcome};

const BOOTSTRAP: &str = "envoy.config.bootstrap.v3.Bootstrap";

/// Run the proxy alone: from an Envoy bootstrap file, or as a pod's sidecar or gateway.
///
/// A feature of the bootstrap that is not supported is refused with its field's path. SIGTERM drains, a second one ends at once.
///
/// Example: tulle proxy --bootstrap envoy.yaml --workers 2
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub(crate) struct Args {
    /// Envoy v3 bootstrap, YAML or JSON.
    #[arg(long, value_name = "FILE")]
    bootstrap: Option<PathBuf>,
    /// Worker threads; 0 for one per core.
    #[arg(long, value_name = "N", default_value_t = 0)]
    workers: usize,
    /// Only check the bootstrap.
    #[arg(long)]
    check: bool,
    /// The bootstrap, encoded, behind this descriptor: how the command hands it to itself.
    #[arg(long, hide = true, value_name = "FD")]
    encoded_bootstrap: Option<i32>,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Debug, clap::Subcommand)]
enum Role {
    /// Serve a pod beside its application.
    ///
    /// Example: tulle proxy sidecar --agent-config /run/tulle/agent.json
    Sidecar(Agent),
    /// Serve as a gateway.
    ///
    /// Example: tulle proxy router --agent-config /run/tulle/agent.json
    Router(Agent),
}

#[derive(Debug, clap::Args)]
struct Agent {
    /// What the node agent says about the pod (JSON).
    #[arg(long, value_name = "FILE")]
    agent_config: PathBuf,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let Args { bootstrap, workers, check, encoded_bootstrap, role } = args;
    let plan = match (role, encoded_bootstrap, bootstrap) {
        (Some(Role::Sidecar(agent)), _, _) => from_agent(&agent.agent_config, NodeType::Sidecar)?,
        (Some(Role::Router(agent)), _, _) => from_agent(&agent.agent_config, NodeType::Router)?,
        (None, Some(fd), _) => {
            let encoded = std::fs::read(format!("/proc/self/fd/{fd}"))
                .with_context(|| format!("descriptor {fd}"))
                .map_err(Failure::usage)?;
            Plan::from_bootstrap(encoded.into(), *workers).map_err(Failure::usage)?
        }
        (None, None, Some(file)) => {
            let encoded = encode(file, *workers)?;
            if *check {
                return Ok(ExitCode::SUCCESS);
            }
            return Err(hand_over(&encoded));
        }
        (None, None, None) => {
            return Err(Failure::usage(anyhow!("give --bootstrap FILE, sidecar or router")));
        }
    };
    boot::run(plan, hooks()).map_err(Failure::not_so)?;
    Ok(ExitCode::SUCCESS)
}

fn hooks() -> Hooks {
    Hooks {
        set_log_levels: Box::new(|levels| logging::set_levels(levels).map_err(|f| f.into_error().into())),
        on_ready: Box::new(|| {}),
    }
}

fn from_agent(file: &Path, kind: NodeType) -> Result<Plan, Failure> {
    let mut config = AgentConfig::load(file).map_err(Failure::usage)?;
    config.node.kind = kind;
    Plan::from_agent(config).map_err(Failure::usage)
}

/// Reads, encodes and checks a bootstrap. Everything that is wrong with it is reported, with its line.
fn encode(file: &Path, workers: usize) -> Result<Vec<u8>, Failure> {
    let name = file.display();
    let text = std::fs::read_to_string(file).with_context(|| name.to_string()).map_err(Failure::usage)?;
    let report = |line: u32, path: &FieldPath, message: &str| {
        let line = if line == 0 { String::new() } else { format!(":{line}") };
        let path = if path.as_str().is_empty() { String::new() } else { format!("{path}: ") };
        format!("{name}{line}: {path}{message}")
    };
    let document = parse_document(&text).map_err(|p| lines([report(p.line, &p.path, &p.message)]))?;
    let encoded = Schema::load()
        .encode(BOOTSTRAP, &document)
        .map_err(|problems| lines(problems.iter().map(|p| report(p.line, &p.path, &p.message))))?;
    match Plan::from_bootstrap(encoded.clone().into(), workers) {
        Ok(_) => Ok(encoded),
        Err(BootstrapError::Compile(error)) => {
            let all = error.problems.iter();
            Err(lines(all.map(|(path, problem)| report(line_of(&document, path.as_str()), path, problem))))
        }
        Err(error) => Err(Failure::usage(anyhow!("{name}: {error}"))),
    }
}

/// The line of the value at `path` (`static_resources.listeners[0].name`), or of the nearest one above it that is written.
fn line_of(document: &Node, path: &str) -> u32 {
    let mut node = document;
    for step in path.split(['.', '[', ']']).filter(|step| !step.is_empty()) {
        let next = match &node.kind {
            NodeKind::Map(members) => members.iter().find(|(name, _)| same_field(name, step)).map(|(_, v)| v),
            NodeKind::List(items) => step.parse().ok().and_then(|i: usize| items.get(i)),
            _ => None,
        };
        let Some(next) = next else { break };
        node = next;
    }
    node.line
}

/// Whether two names are one field, `camelCase` or `snake_case`.
fn same_field(a: &str, b: &str) -> bool {
    let plain = |name: &str| name.chars().filter(|c| *c != '_').collect::<String>();
    plain(a).eq_ignore_ascii_case(&plain(b))
}

fn lines(problems: impl IntoIterator<Item = String>) -> Failure {
    Failure::usage(anyhow!(problems.into_iter().collect::<Vec<_>>().join("\n")))
}

/// Starts this program again in this process, with the encoded bootstrap: the descriptors that reading it took, many times the
/// memory of the proxy itself, are gone for good. Returns only if that fails.
fn hand_over(encoded: &[u8]) -> Failure {
    let failed = |error: std::io::Error| Failure::not_so(anyhow!("cannot start again: {error}"));
    let memory: OwnedFd = match memfd_create("tulle-bootstrap", MemfdFlags::empty()) {
        Ok(fd) => fd,
        Err(error) => return failed(error.into()),
    };
    let mut file = std::fs::File::from(memory);
    if let Err(error) = file.write_all(encoded).and_then(|()| file.rewind()) {
        return failed(error);
    }
    let mut args: Vec<OsString> = std::env::args_os().skip(1).collect();
    args.push("--encoded-bootstrap".into());
    args.push(file.as_raw_fd().to_string().into());
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return failed(error),
    };
    failed(std::process::Command::new(program).args(args).exec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_by_path_in_either_case() {
        let document =
            parse_document("staticResources:\n  listeners:\n  - name: a\n    address: {}\n").unwrap();
        assert_eq!(line_of(&document, "static_resources.listeners[0].name"), 3);
        assert_eq!(line_of(&document, "static_resources.listeners[0].filter_chains"), 3);
    }
}
