//! The state directory: one mesh at a time.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::node::paths::{MAX_LENGTH, Paths};

/// What is written down about a running mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningMesh {
    /// The process `tulle up`.
    pub pid: i32,
    /// When that process began, in clock ticks since the machine did: tells it from another process of its number.
    pub started: u64,
    /// Where the gateway is reached.
    pub gateway: String,
}

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be made or opened.
    #[error("state directory {}: {source}", path.display())]
    Io {
        /// The path concerned.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// Sockets in it would have names that are too long.
    #[error("state directory {}: the path is longer than {MAX_LENGTH} bytes, too long for the sockets in it", .0.display())]
    TooLong(PathBuf),
    /// Another mesh uses it.
    #[error("a mesh with the state directory {} is running already{}", path.display(), by(*pid))]
    Taken {
        /// The directory.
        path: PathBuf,
        /// Its process, if known.
        pid: Option<i32>,
    },
}

fn by(pid: Option<i32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// A state directory that is ours until this is dropped.
#[derive(Debug)]
pub struct Claim {
    /// Where everything is.
    pub paths: Paths,
    _lock: File,
}

impl Claim {
    /// Takes the directory, made if need be, and clears away what a killed mesh left.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn take(dir: &Path) -> Result<Self, StateError> {
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source| StateError::Io { path, source }
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(fail(dir))?;
        let dir = dir.canonicalize().map_err(fail(dir))?;
        if dir.as_os_str().len() > MAX_LENGTH {
            return Err(StateError::TooLong(dir));
        }
        let paths = Paths::new(dir.clone());
        let path = paths.lock();
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(fail(&path))?;
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(StateError::Taken { path: dir, pid: read(&paths).map(|r| r.pid) });
        }
        let claim = Self { paths, _lock: lock };
        claim.clear();
        Ok(claim)
    }

    /// Removes what belongs to one run only.
    pub fn clear(&self) {
        for path in [self.paths.running(), self.paths.control_socket(), self.paths.kubeconfig()] {
            if let Err(e) = fs::remove_file(&path)
                && e.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), error = %e, "left over and not removed");
            }
        }
        // The mount point of the pods' files: what is in it was in memory.
        let _ = fs::remove_dir(self.paths.run());
    }

    /// Writes down that the mesh runs.
    ///
    /// # Errors
    /// What the file system said.
    pub fn announce(&self, gateway: &str) -> io::Result<()> {
        let pid = rustix::process::getpid().as_raw_pid();
        let running =
            RunningMesh { pid, started: start_time(pid).unwrap_or_default(), gateway: gateway.to_owned() };
        fs::write(self.paths.running(), serde_json::to_vec(&running)?)
    }
}

/// What was written down about a running mesh, if there is one: its process must still be the same.
pub fn read(paths: &Paths) -> Option<RunningMesh> {
    let running: RunningMesh = serde_json::from_slice(&fs::read(paths.running()).ok()?).ok()?;
    (start_time(running.pid) == Some(running.started)).then_some(running)
}

/// Field 22 of `/proc/PID/stat`.
fn start_time(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything.
    text.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// The state directory of a user who names none: `/var/lib/tulle` for root, else `$XDG_STATE_HOME/tulle` or
/// `~/.local/state/tulle`.
pub fn default_dir(xdg_state_home: Option<&str>, home: Option<&str>) -> PathBuf {
    default_for(super::check::is_root(), xdg_state_home, home)
}

fn default_for(root: bool, xdg_state_home: Option<&str>, home: Option<&str>) -> PathBuf {
    match (root, xdg_state_home.filter(|d| d.starts_with('/')), home) {
        (true, ..) => "/var/lib/tulle".into(),
        (false, Some(dir), _) => Path::new(dir).join("tulle"),
        (false, None, Some(home)) => Path::new(home).join(".local/state/tulle"),
        (false, None, None) => {
            std::env::temp_dir().join(format!("tulle-{}", rustix::process::getuid().as_raw()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mesh_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let claim = Claim::take(dir.path()).unwrap();
        claim.announce("http://127.0.0.1:8080").unwrap();
        match Claim::take(dir.path()).unwrap_err() {
            StateError::Taken { pid, .. } => assert_eq!(pid, Some(rustix::process::getpid().as_raw_pid())),
            other => panic!("{other}"),
        }
        drop(claim);
        let again = Claim::take(dir.path()).unwrap();
        assert_eq!(read(&again.paths), None, "what the last one wrote is gone");
    }

    #[test]
    fn where_it_is() {
        assert_eq!(default_for(true, Some("/x"), Some("/root")), Path::new("/var/lib/tulle"));
        assert_eq!(default_for(false, Some("/x"), Some("/home/a")), Path::new("/x/tulle"));
        assert_eq!(
            default_for(false, Some("relative"), Some("/home/a")),
            Path::new("/home/a/.local/state/tulle")
        );
    }
}
