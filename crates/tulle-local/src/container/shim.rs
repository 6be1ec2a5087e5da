//! `tulle node-run`: becomes a container's process. Single-threaded; every failure is told to the agent over a pipe.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use rustix::thread::{CapabilitySet, LinkNameSpaceType};

use super::mounts;
use super::spec::{NETNS_FD, Place, Program, RunSpec, SPEC_FD, STATUS_FD};
use crate::sys::inherited;

/// Why a container's process could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ShimError {
    /// A descriptor is missing, or the specification cannot be read: not started by the agent.
    #[error("not started by the node agent: {0}")]
    Spec(#[source] io::Error),
    /// A namespace could not be entered or made.
    #[error("namespace: {0}")]
    Namespace(#[source] io::Error),
    /// A mount failed.
    #[error(transparent)]
    Mount(#[from] mounts::MountError),
    /// A capability could not be dropped.
    #[error("drop capability {0}: {1}")]
    Capability(u8, #[source] io::Error),
    /// The working directory cannot be entered.
    #[error("workingDir {0}: {1}")]
    Cwd(String, #[source] io::Error),
    /// The command cannot be run.
    #[error("command {0}: {1}")]
    Exec(String, #[source] io::Error),
}

/// Becomes the process that descriptor [`SPEC_FD`] describes; returns only if that fails, with a shell's exit code: 127
/// where the command does not exist, else 126.
pub fn run() -> ExitCode {
    let status = inherited::take(STATUS_FD).map(File::from);
    let Err(error) = become_container();
    if let Ok(mut status) = status {
        // Without a reader there is nobody to tell.
        let _ = write!(status, "{error}");
    }
    match error {
        ShimError::Exec(_, e) if e.kind() == io::ErrorKind::NotFound => ExitCode::from(127),
        _ => ExitCode::from(126),
    }
}

fn become_container() -> Result<Infallible, ShimError> {
    let mut text = String::new();
    File::from(inherited::take(SPEC_FD).map_err(ShimError::Spec)?)
        .read_to_string(&mut text)
        .map_err(ShimError::Spec)?;
    let spec: RunSpec = serde_json::from_str(&text).map_err(|e| ShimError::Spec(e.into()))?;
    if let Ok(netns) = inherited::take(NETNS_FD) {
        rustix::thread::move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|e| ShimError::Namespace(e.into()))?;
    }
    match &spec.place {
        Place::New { hostname, mounts, scratch } => mounts::enter(hostname, mounts, scratch)?,
        Place::Join(pid) => join(*pid).map_err(ShimError::Namespace)?,
    }
    if let Some(keep) = &spec.capabilities {
        drop_capabilities(keep)?;
    }
    let cwd = spec.cwd.as_deref().unwrap_or("/".as_ref());
    std::env::set_current_dir(cwd).map_err(|e| ShimError::Cwd(cwd.display().to_string(), e))?;
    Err(exec(&spec))
}

/// Into the mounts and the host name of a running process.
fn join(pid: i32) -> io::Result<()> {
    let uts = File::open(format!("/proc/{pid}/ns/uts"))?;
    let mnt = File::open(format!("/proc/{pid}/ns/mnt"))?;
    rustix::thread::move_into_link_name_space(
        uts.as_fd(),
        Some(LinkNameSpaceType::HostNameAndNISDomainName),
    )?;
    rustix::thread::move_into_link_name_space(mnt.as_fd(), Some(LinkNameSpaceType::Mount))?;
    Ok(())
}

/// Takes capabilities from the bounding set: the program's exec then cannot get them back.
fn drop_capabilities(keep: &[u8]) -> Result<(), ShimError> {
    for n in 0..64u8 {
        let Some(capability) = CapabilitySet::from_bits(1 << n) else { continue };
        if keep.contains(&n) || !rustix::thread::capability_is_in_bounding_set(capability).unwrap_or(false) {
            continue;
        }
        rustix::thread::remove_capability_from_bounding_set(capability)
            .map_err(|e| ShimError::Capability(n, e.into()))?;
    }
    Ok(())
}

fn exec(spec: &RunSpec) -> ShimError {
    let (name, args) = match &spec.program {
        Program::Own(args) => ("/proc/self/exe", args.as_slice()),
        Program::Host(argv) => match argv.split_first() {
            Some((name, args)) => (name.as_str(), args),
            None => return ShimError::Exec(String::new(), io::ErrorKind::InvalidInput.into()),
        },
    };
    let mut command = Command::new(name);
    if matches!(spec.program, Program::Own(_)) {
        command.arg0("tulle");
    }
    command.args(args).env_clear().envs(spec.env.iter().map(|(k, v)| (k, v)));
    if let Some(group) = spec.group.filter(|g| is_mapped("/proc/self/gid_map", *g)) {
        command.gid(group);
    }
    if let Some(user) = spec.user.filter(|u| is_mapped("/proc/self/uid_map", *u)) {
        command.uid(user);
    }
    ShimError::Exec(name.to_owned(), command.exec())
}

/// Whether the user namespace knows the user or group.
fn is_mapped(map: &str, id: u32) -> bool {
    let Ok(text) = std::fs::read_to_string(map) else { return false };
    text.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        let (Some(Ok(inside)), Some(_), Some(Ok(count))) = (numbers.next(), numbers.next(), numbers.next())
        else {
            return false;
        };
        (inside..inside + count).contains(&u64::from(id))
    })
}
