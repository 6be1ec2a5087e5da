//! `tulle down`: ends a mesh and clears away what a killed one left.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::state::{Claim, StateError, read};
use crate::node::paths::Paths;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Down {
    /// A mesh was stopped in order.
    Stopped,
    /// A mesh did not stop in time and was killed.
    Killed,
    /// Nothing ran; what was left over is gone.
    Cleared,
}

/// From asking a mesh to stop until it is killed; pods have 30 s by default.
const PATIENCE: Duration = Duration::from_secs(40);

/// Stops the mesh with this state directory.
///
/// # Errors
/// [`StateError`], for a directory that cannot be used.
pub fn down(dir: &Path) -> Result<Down, StateError> {
    let mut did = Down::Cleared;
    let begun = Instant::now();
    loop {
        match Claim::take(dir) {
            // Taking the directory clears it.
            Ok(_) => return Ok(did),
            Err(StateError::Taken { path, pid: None }) if begun.elapsed() > PATIENCE => {
                return Err(StateError::Taken { path, pid: None });
            }
            Err(StateError::Taken { path, .. }) => {
                let running = read(&Paths::new(path)).and_then(|r| Pid::from_raw(r.pid));
                let late = begun.elapsed() > PATIENCE;
                if let Some(pid) = running.filter(|_| did == Down::Cleared || (late && did == Down::Stopped))
                {
                    did = if late { Down::Killed } else { Down::Stopped };
                    let signal = if late { Signal::KILL } else { Signal::TERM };
                    let _ = rustix::process::kill_process(pid, signal);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(e) => return Err(e),
        }
    }
}
