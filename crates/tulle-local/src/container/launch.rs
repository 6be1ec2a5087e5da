//! The agent's side of starting a container's process.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::MemfdFlags;
use rustix::pipe::PipeFlags;

use super::spec::{FIRST_PASSED_FD, NETNS_FD, RunSpec, SPEC_FD, STATUS_FD};
use crate::sys::netns::NetNs;
use crate::sys::reaper::{Process, Reaper};
use crate::sys::spawn::Child;

/// The hidden command that [`super::shim::run`] answers to.
pub const SHIM_COMMAND: &str = "node-run";

/// Why a container's process did not start.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The process could not be made.
    #[error("start a process: {0}")]
    Spawn(#[from] io::Error),
    /// The process was made but could not become the container: a mount, the working directory, the command.
    #[error("{0}")]
    Setup(String),
}

/// Standard input, output and error of a process.
#[derive(Debug)]
pub struct Stdio {
    /// Standard input.
    pub stdin: OwnedFd,
    /// Standard output.
    pub stdout: OwnedFd,
    /// Standard error.
    pub stderr: OwnedFd,
}

impl Stdio {
    /// Nothing to read; output and errors go to the write end of a pipe, whose read end is returned.
    ///
    /// # Errors
    /// When no descriptors are left.
    pub fn piped() -> io::Result<(Self, OwnedFd)> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let stderr = write.try_clone()?;
        Ok((Self { stdin: File::open("/dev/null")?.into(), stdout: write, stderr }, read))
    }
}

/// Starts a process as `spec` says, in `netns`, and waits until it has become the container's program. `passed` are sockets
/// for the program, numbered from [`FIRST_PASSED_FD`].
///
/// # Errors
/// [`LaunchError`]; the process is gone then.
pub async fn launch(
    reaper: &Arc<Reaper>,
    spec: &RunSpec,
    netns: Option<&NetNs>,
    stdio: &Stdio,
    passed: &[BorrowedFd<'_>],
) -> Result<Process, LaunchError> {
    let spec_file = spec_file(spec)?;
    let (status_read, status_write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(io::Error::from)?;
    let mut fds = vec![
        (stdio.stdin.as_fd(), 0),
        (stdio.stdout.as_fd(), 1),
        (stdio.stderr.as_fd(), 2),
        (spec_file.as_fd(), SPEC_FD),
        (status_write.as_fd(), STATUS_FD),
    ];
    if let Some(netns) = netns {
        fds.push((netns.as_fd(), NETNS_FD));
    }
    fds.extend(passed.iter().copied().zip(FIRST_PASSED_FD..));
    let child = Child {
        args: ["tulle", SHIM_COMMAND].map(OsString::from).to_vec(),
        fds,
        new_session: true,
        ..Child::default()
    };
    let process = reaper.spawn(&child)?;
    drop(child);
    drop(status_write);
    // The pipe closes when the program is there; until then it may carry a reason.
    let reason = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        File::from(status_read).take(4096).read_to_string(&mut text).map(|_| text)
    })
    .await
    .map_err(io::Error::other)??;
    if reason.is_empty() { Ok(process) } else { Err(LaunchError::Setup(reason)) }
}

fn spec_file(spec: &RunSpec) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("tulle-spec", MemfdFlags::CLOEXEC)?);
    file.write_all(&serde_json::to_vec(spec)?)?;
    file.rewind()?;
    Ok(file)
}
