//! What the kernel can do, tried out in namespaces that vanish at once: a process of its own makes a small node there.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsFd;
use std::process::ExitCode;

use rustix::pipe::PipeFlags;
use rustix::process::WaitOptions;
use serde::{Deserialize, Serialize};

use super::check::Refusal;
use crate::net::{Addresses, NodeNet};
use crate::redirect::Capture;
use crate::services::{ServicePort, Transport};
use crate::sys::spawn::{Child, Namespaces, spawn};

/// The hidden command that [`run`] answers to.
pub const CHECK_COMMAND: &str = "node-check";

/// Something that the kernel refused.
#[derive(Debug, Serialize, Deserialize)]
struct Missing {
    feature: String,
    answer: String,
    fix: String,
}

/// Tries everything in the namespaces that it was started in and writes what failed to standard output.
pub fn run() -> ExitCode {
    let missing = try_features();
    let text = serde_json::to_vec(&missing).unwrap_or_default();
    match std::io::stdout().write_all(&text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn try_features() -> Vec<Missing> {
    let mut missing = Vec::new();
    let mut note = |feature: &str, answer: String, fix: &str| {
        missing.push(Missing { feature: feature.into(), answer, fix: fix.into() });
    };
    if let Err(e) = try_mounts() {
        note("mounts", e.to_string(), USER_NAMESPACE_FIX);
    }
    let addresses = Addresses::default();
    match NodeNet::create(addresses) {
        Err(e) => note("a bridge", e.to_string(), "load the module bridge (modprobe bridge)"),
        Ok(node) => {
            let first = Ipv4Addr::from_bits(addresses.node.to_bits() + 1);
            let capture = Capture::default();
            match node.add_pod(first, Some(&capture)) {
                Err(e) => note(
                    "pods' links and nftables",
                    e.to_string(),
                    "load the modules veth, nf_tables, nft_chain_nat, nft_redir, nft_reject_ipv4",
                ),
                Ok(pod) => {
                    let endpoints = vec![SocketAddrV4::new(first, 1), SocketAddrV4::new(first, 2)];
                    let address = addresses.services.network();
                    let port = ServicePort { address, port: 1, transport: Transport::Tcp, endpoints };
                    if let Err(e) = pod.set_services(&[port]) {
                        note(
                            "nftables' maps and numgen",
                            e.to_string(),
                            "load the modules nft_numgen and nft_nat",
                        );
                    }
                }
            }
        }
    }
    missing
}

const USER_NAMESPACE_FIX: &str = "run as root, or allow unprivileged user namespaces (see the sysctls user.max_user_namespaces, \
     kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns)";

fn try_mounts() -> Result<(), rustix::io::Errno> {
    use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    mount("proc", "/proc", "proc", MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC, None)?;
    mount("tmpfs", "/tmp", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, None)
}

/// Whether a mesh could run here: the process of the check, and what it found.
pub(super) fn check(user: bool) -> Vec<Refusal> {
    match ask(user) {
        Ok(missing) => missing
            .into_iter()
            .map(|m| Refusal::new(format!("the kernel refuses {}: {}", m.feature, m.answer), m.fix))
            .collect(),
        Err(e) => vec![namespaces_refused(user, &e)],
    }
}

fn ask(user: bool) -> std::io::Result<Vec<Missing>> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    let null = std::fs::File::open("/dev/null")?;
    let child = Child {
        args: ["tulle", CHECK_COMMAND].map(Into::into).to_vec(),
        fds: vec![(null.as_fd(), 0), (write.as_fd(), 1), (null.as_fd(), 2)],
        namespaces: Namespaces { user, machine: true },
        dies_with_parent: true,
        ..Child::default()
    };
    let pid = spawn(&child)?;
    drop(child);
    drop(write);
    let mut text = String::new();
    std::fs::File::from(read).read_to_string(&mut text)?;
    rustix::process::waitpid(Some(pid), WaitOptions::empty())?;
    if text.is_empty() {
        return Err(std::io::Error::other("the check did not run"));
    }
    Ok(serde_json::from_str(&text)?)
}

/// Why there are no namespaces, and which switch to turn.
fn namespaces_refused(user: bool, error: &std::io::Error) -> Refusal {
    let sysctl = |name: &str| {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        std::fs::read_to_string(path).ok().map(|t| t.trim().to_owned())
    };
    let is = |name: &str, value: &str| sysctl(name).as_deref() == Some(value);
    let what = if user { "user namespaces" } else { "namespaces" };
    let fix = if !user {
        "run outside of a container, or in one with CAP_SYS_ADMIN".to_owned()
    } else if is("user.max_user_namespaces", "0") {
        "run as root, or: sudo sysctl user.max_user_namespaces=15000".to_owned()
    } else if is("kernel.unprivileged_userns_clone", "0") {
        "run as root, or: sudo sysctl kernel.unprivileged_userns_clone=1".to_owned()
    } else if is("kernel.apparmor_restrict_unprivileged_userns", "1") {
        "run as root, or: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0".to_owned()
    } else {
        USER_NAMESPACE_FIX.to_owned()
    };
    Refusal::new(format!("this machine gives this user no {what}: {error}"), fix)
}
