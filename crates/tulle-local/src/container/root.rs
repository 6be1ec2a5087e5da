//! Directories made of a tmpfs and what was there before: a root with room for new directories.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::mount::{MountPropagationFlags, UnmountFlags};

/// Makes a new root: a tmpfs with everything of `/` mounted in.
pub(super) fn replace(scratch: &Path) -> io::Result<()> {
    let new = scratch.join("root");
    fs::create_dir_all(&new)?;
    super::mounts::tmpfs(&new)?;
    // Not part of what is bound into it, or it would hold itself.
    rustix::mount::mount_change(&new, MountPropagationFlags::UNBINDABLE)?;
    bind_children(Path::new("/"), &new)?;
    rustix::mount::mount_change(&new, MountPropagationFlags::PRIVATE)?;
    std::env::set_current_dir(&new)?;
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    std::env::set_current_dir("/")
}

/// Covers `dir` with a tmpfs in which everything that it held is mounted again. `layer` is a directory for the making.
pub(super) fn cover_with_tmpfs(dir: &Path, layer: &Path) -> io::Result<()> {
    let new = layer.join("tmpfs");
    fs::create_dir_all(&new)?;
    super::mounts::tmpfs(&new)?;
    rustix::mount::mount_change(&new, MountPropagationFlags::UNBINDABLE)?;
    bind_children(dir, &new)?;
    rustix::mount::mount_change(&new, MountPropagationFlags::PRIVATE)?;
    Ok(rustix::mount::mount_move(&new, dir)?)
}

fn bind_children(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
            continue;
        }
        if kind.is_dir() {
            fs::create_dir(&target)?;
        } else {
            File::create(&target)?;
        }
        match rustix::mount::mount_bind_recursive(&source, &target) {
            Ok(()) => {}
            // What cannot be bound (it vanished, or this user may not see it) is missing from the copy.
            Err(e) => {
                tracing::debug!(path = %source.display(), error = %e, "not bound into the container's root")
            }
        }
    }
    Ok(())
}
