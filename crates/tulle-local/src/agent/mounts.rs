//! The mounts of the mesh: its own processes under `/proc`, and a place in memory for everything about pods.

use std::io;
use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags};

/// Why a mount failed.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {source}")]
pub(crate) struct MountsError {
    doing: &'static str,
    source: io::Error,
}

/// Makes the mounts, in a mount namespace that is the mesh's own.
pub(crate) fn prepare(run: &Path) -> Result<(), MountsError> {
    let fail = |doing| move |e: rustix::io::Errno| MountsError { doing, source: e.into() };
    // The host's later mounts come in, ours stay here.
    let own = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", own).map_err(fail("keep mounts to the mesh"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("proc", "/proc", "proc", flags, None)
        .map_err(fail("mount /proc for the mesh's processes"))?;
    std::fs::create_dir_all(run)
        .map_err(|source| MountsError { doing: "make the directory for pods", source })?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("tmpfs", run, "tmpfs", flags, Some(c"mode=755"))
        .map_err(fail("mount a tmpfs for the pods' files"))
}
