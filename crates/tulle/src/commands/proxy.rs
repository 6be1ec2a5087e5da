//! `tulle proxy`: the proxy alone, from an Envoy bootstrap, or beside a pod.

use std::ffi::OsString;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::thread::{disable_transparent_huge_pages, transparent_huge_pages_are_disabled};
use tulle_base::AgentConfig;
use tulle_base::agent::NodeType;
use tulle_proto::json::{Json, JsonError};
use tulle_proxy::boot::{self, Hooks, Plan};

use crate::logging;
use crate::outcome::{Failure, Outcome};
use crate::resident;

/// Names the WorkloadGroup to register for, as Istio's proxies are told; wins over the agent configuration.
const AUTO_REGISTER_GROUP: &str = "ISTIO_META_AUTO_REGISTER_GROUP";
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
    /// Writes the encoded dump on stdin to stdout as JSON: how a proxy keeps the descriptors out of its own memory.
    #[arg(long, hide = true)]
    render_dump: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Debug, clap::Subcommand)]
enum Role {
    /// Serve a pod beside its application.
    ///
    /// Example: tulle proxy sidecar --agent-config /run/tulle/agent.json
    Sidecar(Agent),
    /// Give identity to other processes of the pod, such as a stock Envoy: SDS and the SPIFFE Workload API at `workload_socket`. Proxies
    /// nothing.
    ///
    /// Example: tulle proxy agent --agent-config /run/tulle/agent.json
    Agent(Agent),
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
    let Args { bootstrap, workers, check, encoded_bootstrap, render_dump, role } = args;
    if *render_dump {
        return render();
    }
    if role.is_some() {
        start_again_with_small_pages()?;
    }
    let mut plan = match (role, encoded_bootstrap, bootstrap) {
        (Some(Role::Sidecar(agent)), _, _) => from_agent(&agent.agent_config, NodeType::Sidecar)?,
        (Some(Role::Router(agent)), _, _) => from_agent(&agent.agent_config, NodeType::Router)?,
        (Some(Role::Agent(agent)), _, _) => {
            from_agent(&agent.agent_config, NodeType::Sidecar)?.identity_only()
        }
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
    plan.environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    end_on_panic();
    if role.is_some() {
        give_up_privileges();
    }
    boot::run(plan, hooks()).map_err(Failure::not_so)?;
    Ok(ExitCode::SUCCESS)
}

fn hooks() -> Hooks {
    Hooks {
        set_log_levels: Box::new(|levels| logging::set_levels(levels).map_err(|f| f.into_error().into())),
        log_levels: Box::new(logging::levels),
        dump_command: Some(vec!["/proc/self/exe".into(), "proxy".into(), "--render-dump".into()]),
        on_ready: Box::new(resident::release_startup_pages),
    }
}

fn render() -> Outcome {
    let mut encoded = Vec::new();
    std::io::stdin().read_to_end(&mut encoded).context("stdin").map_err(Failure::usage)?;
    let text = boot::dump_as_json(&encoded).map_err(Failure::usage)?;
    std::io::stdout().write_all(&text).context("stdout")?;
    Ok(ExitCode::SUCCESS)
}

/// A thread that panics takes the process with it: a proxy that lost a worker must be started again, not linger half alive.
fn end_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}

/// Keeps what a proxy needs (to mark its sockets, and to listen at low ports) and gives up everything else for good, also for programs
/// that it starts: whoever takes over a proxy has no more than that. Where the kernel refuses, the proxy has what it was given.
fn give_up_privileges() {
    use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs};
    let needed = CapabilitySet::NET_ADMIN | CapabilitySet::NET_BIND_SERVICE;
    let less = capabilities(None).and_then(|have| {
        let kept = CapabilitySets {
            effective: have.effective & needed,
            permitted: have.permitted & needed,
            inheritable: CapabilitySet::empty(),
        };
        set_capabilities(None, kept)
    });
    for result in [less, set_no_new_privs(true)] {
        if let Err(error) = result {
            tracing::warn!(%error, "privileges stay that are not needed");
        }
    }
}

fn from_agent(file: &Path, kind: NodeType) -> Result<Plan, Failure> {
    let mut config = AgentConfig::load(file).map_err(Failure::usage)?;
    config.node.kind = kind;
    if let Some(group) = std::env::var(AUTO_REGISTER_GROUP).ok().filter(|group| !group.is_empty()) {
        config.node.auto_register_group = group;
    }
    Plan::from_agent(config).map_err(Failure::usage)
}

/// Reads, encodes and checks a bootstrap. Everything that is wrong with it is reported, with its line.
fn encode(file: &Path, workers: usize) -> Result<Vec<u8>, Failure> {
    let name = file.display().to_string();
    let bytes = std::fs::read(file).with_context(|| name.clone()).map_err(Failure::usage)?;
    let document = tulle_api::parse_document(&name, &bytes).map_err(|problems| {
        Failure::usage(anyhow!(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
    })?;
    let at = |path: &str| {
        let (line, _) = document.locate(path);
        if line == 0 { name.clone() } else { format!("{name}:{line}") }
    };
    let json = Json::load().map_err(Failure::not_so)?;
    let encoded = json.encode(BOOTSTRAP, &document.to_json()).map_err(|error| match error {
        JsonError::Fields(problems) => {
            lines(problems.iter().map(|p| format!("{}: {}: {}", at(p.path.as_str()), p.path, p.message)))
        }
        error => Failure::usage(anyhow!("{name}: {error}")),
    })?;
    match Plan::from_bootstrap(encoded.clone().into(), workers) {
        Ok(_) => Ok(encoded),
        Err(boot::bootstrap::BootstrapError::Compile(error)) => Err(lines(
            error.problems.iter().map(|(path, problem)| format!("{}: {path}: {problem}", at(path.as_str()))),
        )),
        Err(error) => Err(Failure::usage(anyhow!("{name}: {error}"))),
    }
}

fn lines(problems: impl Iterator<Item = String>) -> Failure {
    Failure::usage(anyhow!(problems.collect::<Vec<_>>().join("\n")))
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
    use_small_pages();
    failed(start_again(&["--encoded-bootstrap".into(), file.as_raw_fd().to_string().into()]))
}

/// Starts this program again in this process so that it uses small pages from its first allocation on; does nothing if it does
/// already.
fn start_again_with_small_pages() -> Result<(), Failure> {
    if transparent_huge_pages_are_disabled().unwrap_or(true) {
        return Ok(());
    }
    use_small_pages();
    if !transparent_huge_pages_are_disabled().unwrap_or(false) {
        return Ok(());
    }
    Err(Failure::not_so(anyhow!("cannot start again: {}", start_again(&[]))))
}

/// No transparent huge pages, here and in programs started from here: a proxy has many small allocations on few pages, and each huge
/// page that it touches is 2 MiB in memory. Where the kernel refuses, the proxy is larger and otherwise the same.
fn use_small_pages() {
    if let Err(error) = disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages stay");
    }
}

/// Starts this program again in this process with `more` arguments behind its own. Returns only if that fails.
fn start_again(more: &[OsString]) -> std::io::Error {
    let own = std::env::current_exe().ok().filter(|program| program.exists());
    // A file that was replaced, or that the pod does not see, can still be reached this way.
    let program = own.unwrap_or_else(|| PathBuf::from("/proc/self/exe"));
    let mut args = std::env::args_os();
    let name = args.next().unwrap_or_else(|| "tulle".into());
    std::process::Command::new(program).arg0(name).args(args).args(more).exec()
}
