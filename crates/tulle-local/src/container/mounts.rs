//! A container's mounts, also at paths that the host does not have.
//!
//! Where a directory is missing, its nearest ancestor is covered by an overlay with a writable layer in memory (or, where
//! overlays are not to be had, by a tmpfs with everything that was there mounted back in); the host's files stay as they are.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::UnshareFlags;

use super::root;
use super::spec::Mount;

/// A mount that failed.
#[derive(Debug, thiserror::Error)]
#[error("mount {target}: {doing}: {source}")]
pub struct MountError {
    /// Where it should have gone.
    pub target: String,
    /// Which step failed.
    pub doing: &'static str,
    /// What the kernel said.
    pub source: io::Error,
}

/// Makes the mount and host name namespaces of a container and mounts everything in them.
pub(super) fn enter(hostname: &str, mounts: &[Mount], scratch: &Path) -> Result<(), MountError> {
    let fail = |doing| move |e: Errno| error(Path::new("/"), doing)(e.into());
    separate().map_err(fail("make a mount namespace"))?;
    rustix::system::sethostname(hostname.as_bytes()).map_err(fail("set the host name"))?;
    // A writable layer of our own, reachable whatever is mounted over its path later.
    if mounts
        .iter()
        .any(|m| ancestor(&m.target).is_ok_and(|(a, rest)| a == Path::new("/") && !rest.is_empty()))
    {
        root::replace(scratch).map_err(error(Path::new("/"), "make a root with room for new directories"))?;
    }
    let mut place =
        Placer { scratch: open(scratch).map_err(error(scratch, "open"))?, covers: 0, own: BTreeSet::new() };
    let sources: Vec<Option<OwnedFd>> = mounts
        .iter()
        .map(|m| m.source.as_deref().map(|s| open(s).map_err(error(s, "open the source"))).transpose())
        .collect::<Result<_, _>>()?;
    for (mount, source) in mounts.iter().zip(&sources) {
        place.mount(mount, source.as_ref())?;
    }
    Ok(())
}

fn error(target: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> MountError {
    let target = target.display().to_string();
    move |source| MountError { target, doing, source }
}

/// Namespaces for mounts and host name, from which nothing gets back.
#[allow(unsafe_code, reason = "unshare has no safe form in rustix")]
fn separate() -> Result<(), Errno> {
    // SAFETY: only CLONE_FILES makes unshare unsound in Rust.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::NEWUTS) }?;
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

/// The path of an open file that stays true when its name is mounted over.
fn path_of(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// The nearest existing ancestor with all links followed, and the names below it that are missing.
fn ancestor(target: &Path) -> io::Result<(PathBuf, Vec<std::ffi::OsString>)> {
    let mut missing = Vec::new();
    let mut at = target;
    loop {
        match at.canonicalize() {
            Ok(found) => {
                missing.reverse();
                return Ok((found, missing));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => match (at.file_name(), at.parent()) {
                (Some(name), Some(parent)) => {
                    missing.push(name.to_owned());
                    at = parent;
                }
                _ => return Err(e),
            },
            Err(e) => return Err(e),
        }
    }
}

struct Placer {
    scratch: OwnedFd,
    covers: u32,
    /// Mount points that are this container's own: directories may be made below them.
    own: BTreeSet<PathBuf>,
}

impl Placer {
    fn mount(&mut self, mount: &Mount, source: Option<&OwnedFd>) -> Result<(), MountError> {
        let Some(source) = source else {
            return self.hide(&mount.target);
        };
        let from = path_of(source);
        let is_dir = fs::metadata(&from).map_err(error(&mount.target, "look at the source"))?.is_dir();
        let target =
            self.make(&mount.target, is_dir).map_err(error(&mount.target, "make the mount point"))?;
        rustix::mount::mount_bind_recursive(&from, &target)
            .map_err(|e| error(&mount.target, "bind")(e.into()))?;
        self.own.retain(|own| !own.starts_with(&target));
        if mount.read_only {
            read_only(&target).map_err(|e| error(&mount.target, "make it read-only")(e.into()))?;
        }
        Ok(())
    }

    /// An empty directory over what is there.
    fn hide(&mut self, target: &Path) -> Result<(), MountError> {
        if !target.exists() {
            return Ok(());
        }
        tmpfs(target).map_err(|e| error(target, "hide")(e.into()))?;
        let found = target.canonicalize().map_err(error(target, "hide"))?;
        self.own.insert(found);
        Ok(())
    }

    /// The mount point, made up if need be.
    fn make(&mut self, target: &Path, is_dir: bool) -> io::Result<PathBuf> {
        let (found, missing) = ancestor(target)?;
        if missing.is_empty() {
            return if found.is_dir() == is_dir {
                Ok(found)
            } else {
                Err(io::ErrorKind::AlreadyExists.into())
            };
        }
        if !self.is_own(&found) {
            self.cover(&found)?;
        }
        let path = missing.iter().fold(found, |path, name| path.join(name));
        if is_dir {
            fs::create_dir_all(&path)?;
        } else {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            if path.is_symlink() {
                // A link that leads nowhere, such as a resolv.conf without its daemon.
                fs::remove_file(&path)?;
            }
            File::create(&path)?;
        }
        Ok(path)
    }

    fn is_own(&self, path: &Path) -> bool {
        path == Path::new("/") || self.own.iter().any(|own| path.starts_with(own))
    }

    /// Makes `dir` writable for this container alone.
    fn cover(&mut self, dir: &Path) -> io::Result<()> {
        // What is mounted below would be hidden: it is opened before and mounted back after.
        let below: Vec<(PathBuf, OwnedFd)> =
            mount_points_below(dir)?.into_iter().filter_map(|p| open(&p).ok().map(|fd| (p, fd))).collect();
        self.covers += 1;
        let layer = path_of(&self.scratch).join(format!("cover{}", self.covers));
        // What an earlier run of the container left in it is not this one's.
        let _ = fs::remove_dir_all(&layer);
        let (upper, work) = (layer.join("upper"), layer.join("work"));
        fs::create_dir_all(&upper)?;
        fs::create_dir_all(&work)?;
        if overlay(dir, &upper, &work).is_err() {
            root::cover_with_tmpfs(dir, &layer)?;
        }
        for (path, fd) in below {
            rustix::mount::mount_bind_recursive(path_of(&fd), &path)?;
        }
        self.own.insert(dir.to_owned());
        Ok(())
    }
}

/// The mount points strictly below `dir` that are not below one another.
fn mount_points_below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let text = fs::read_to_string("/proc/self/mountinfo")?;
    let mut points: Vec<PathBuf> = text
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|p| PathBuf::from(p.replace("\\040", " ")))
        .filter(|p| p != dir && p.starts_with(dir))
        .collect();
    points.sort();
    points.dedup();
    let mut outermost: Vec<PathBuf> = Vec::new();
    for point in points {
        if !outermost.last().is_some_and(|last| point.starts_with(last)) {
            outermost.push(point);
        }
    }
    Ok(outermost)
}

fn overlay(dir: &Path, upper: &Path, work: &Path) -> Result<(), Errno> {
    let text =
        format!("lowerdir={},upperdir={},workdir={},userxattr", escape(dir), escape(upper), escape(work));
    let data = std::ffi::CString::new(text).map_err(|_| Errno::INVAL)?;
    rustix::mount::mount("overlay", dir, "overlay", MountFlags::empty(), Some(data.as_c_str()))
}

/// Colons and commas separate an overlay's options.
fn escape(path: &Path) -> String {
    path.display().to_string().replace('\\', "\\\\").replace(':', "\\:").replace(',', "\\,")
}

pub(super) fn tmpfs(target: &Path) -> Result<(), Errno> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("tmpfs", target, "tmpfs", flags, Some(c"mode=755"))
}

/// Keeps the flags that are there: without root they cannot be taken off.
fn read_only(target: &Path) -> Result<(), Errno> {
    use rustix::fs::StatVfsMountFlags as Is;
    let now = rustix::fs::statvfs(target)?.f_flag;
    let mut flags = MountFlags::BIND | MountFlags::RDONLY;
    for (is, flag) in [
        (Is::NOSUID, MountFlags::NOSUID),
        (Is::NODEV, MountFlags::NODEV),
        (Is::NOEXEC, MountFlags::NOEXEC),
        (Is::NOATIME, MountFlags::NOATIME),
        (Is::NODIRATIME, MountFlags::NODIRATIME),
        (Is::RELATIME, MountFlags::RELATIME),
    ] {
        if now.contains(is) {
            flags |= flag;
        }
    }
    rustix::mount::mount_remount(target, flags, "")
}
