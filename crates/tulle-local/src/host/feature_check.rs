//! What the kernel can do, tried out in namespaces that vanish at once: a process of its own makes a small node there.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::process::ExitCode;

use rustix::pipe::PipeFlags;
use rustix::process::WaitOptions;
use serde::{Deserialize, Serialize};

use super::check::Refusal;
use crate::net::{Addresses, Families, Family, Ips, Network, NodeNet, PodNet};
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
    /// Whether it is needed for IPv6 alone.
    six: bool,
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
    if let Err(e) = try_mounts() {
        let (feature, fix) = ("mounts".into(), USER_NAMESPACE_FIX.into());
        missing.push(Missing { feature, answer: e.to_string(), fix, six: false });
    }
    missing.extend(try_network(Families::V4));
    // A network of its own: one thread's namespace is as good as another's.
    let six = crate::sys::netns::NetNs::create().and_then(|ns| ns.run(|| Ok(try_network(Families::V6))));
    match six {
        Ok(found) => missing.extend(found),
        Err(e) => tracing::debug!(error = %e, "no second network namespace"),
    }
    missing
}

/// Makes a small node and a pod with these families.
fn try_network(families: Families) -> Option<Missing> {
    let six = families.has(Family::V6);
    let note = |feature: &str, answer: String, fix: &str| {
        Some(Missing { feature: feature.into(), answer, fix: fix.into(), six })
    };
    let addresses = Addresses::new(families);
    let node = match NodeNet::create(addresses) {
        Err(e) if six => return note("IPv6", e.to_string(), "see the sysctl net.ipv6.conf.all.disable_ipv6"),
        Err(e) => return note("a bridge", e.to_string(), "load the module bridge (modprobe bridge)"),
        Ok(node) => node,
    };
    let ips = Ips::new(addresses.first.pods.nth(2), None);
    let pod = match node.add_pod(ips, Some(&Capture::default())) {
        Err(e) if six => {
            let fix = "load the modules nft_chain_nat, nft_redir and nft_reject_ipv6, and see the sysctl \
                       net.ipv6.conf.all.disable_ipv6";
            return note("IPv6 in pods and nftables", e.to_string(), fix);
        }
        Err(e) => {
            let fix = "load the modules veth, nf_tables, nft_chain_nat, nft_redir, nft_reject_ipv4";
            return note("pods' links and nftables", e.to_string(), fix);
        }
        Ok(pod) => pod,
    };
    try_services(&pod, addresses.first).err().and_then(|e| {
        note("nftables' maps and numgen", e.to_string(), "load the modules nft_numgen and nft_nat")
    })
}

fn try_services(pod: &PodNet, network: Network) -> Result<(), crate::net::NetError> {
    let endpoints = [1, 2].map(|port| SocketAddr::new(pod.ips.first, port)).to_vec();
    let address = network.services.network();
    let port = ServicePort { address, port: 1, transport: Transport::Tcp, endpoints };
    pod.set_services(network.family(), &[port])
}

const USER_NAMESPACE_FIX: &str = "run as root, or allow unprivileged user namespaces (see the sysctls user.max_user_namespaces, \
     kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns)";

fn try_mounts() -> Result<(), rustix::io::Errno> {
    use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    mount("proc", "/proc", "proc", MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC, None)?;
    mount("tmpfs", "/tmp", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, None)
}

/// Whether a mesh with the families that are wanted could run here; with none, as many as there are. Returns them, and
/// what to say about them.
pub(super) fn check(
    user: bool,
    wanted: Option<Families>,
) -> Result<(Families, Option<String>), Vec<Refusal>> {
    let missing = ask(user).map_err(|e| vec![namespaces_refused(user, &e)])?;
    let (six, rest): (Vec<Missing>, Vec<Missing>) = missing.into_iter().partition(|m| m.six);
    let families = wanted.unwrap_or(if six.is_empty() { Families::Dual } else { Families::V4 });
    let fatal: Vec<&Missing> = rest.iter().chain(six.iter().filter(|_| families.has(Family::V6))).collect();
    if !fatal.is_empty() {
        return Err(fatal.into_iter().map(refusal).collect());
    }
    let note = six.first().filter(|_| wanted.is_none());
    let note =
        note.map(|m| format!("pods have no IPv6 addresses: the kernel refuses {}: {}", m.feature, m.answer));
    Ok((families, note))
}

fn refusal(missing: &Missing) -> Refusal {
    let Missing { feature, answer, fix, six } = missing;
    let or = if *six { ", or start with --ip-family ipv4" } else { "" };
    Refusal::new(format!("the kernel refuses {feature}: {answer}"), format!("{fix}{or}"))
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
