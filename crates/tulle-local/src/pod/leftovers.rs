//! Processes that outlive their container's first one.
//!
//! Each container has a mount namespace of its own: whoever else is in it belongs to the container, however often it forked.

use std::fs;
use std::path::PathBuf;

use rustix::process::{Pid, Signal};

/// The mount namespace of a process, as a value to compare.
pub(super) fn namespace_of(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/mnt")).ok()
}

/// Kills everything in a mount namespace, until nothing is left that could fork again.
pub(super) fn kill_all(namespace: &PathBuf) {
    const ROUNDS: u32 = 10;
    for _ in 0..ROUNDS {
        let mut found = false;
        for pid in processes() {
            if namespace_of(pid.as_raw_pid()).as_ref() == Some(namespace) {
                found |= rustix::process::kill_process(pid, Signal::KILL).is_ok();
            }
        }
        if !found {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

fn processes() -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let own = rustix::process::getpid();
    entries
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .filter_map(Pid::from_raw)
        .filter(|p| *p != own && p.as_raw_pid() != 1)
        .collect()
}
