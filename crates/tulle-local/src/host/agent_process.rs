//! The node agent, seen from the host: started in its namespaces, spoken to over a socket, waited for.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use rustix::fs::MemfdFlags;
use rustix::process::{Pid, Signal, WaitOptions};

use super::check::{Host, is_root};
use crate::agent::AGENT_COMMAND;
use crate::agent::protocol::{
    API_FD, AgentOptions, DASHBOARD_FD, DNS_FD, GATEWAY_FD, GATEWAY_V6_FD, METRICS_FD, OPTIONS_FD, UPLINK_FD,
    XDS_FD,
};
use crate::sys::spawn::{Child, Namespaces, spawn};

/// The running agent. It dies with the thread that started it, whatever happens.
#[derive(Debug)]
pub(super) struct AgentProcess {
    pub pid: Pid,
}

impl AgentProcess {
    /// Starts the agent; returns the socket to it as well.
    pub(super) fn start(options: &AgentOptions, host: &Host) -> io::Result<(Self, UnixStream)> {
        let mut file = File::from(rustix::fs::memfd_create("tulle-options", MemfdFlags::CLOEXEC)?);
        file.write_all(&serde_json::to_vec(options)?)?;
        file.rewind()?;
        let (near, far) = UnixStream::pair()?;
        // In the host's network for ever, wherever it is used.
        let of_v6 = options.resolvers.first().is_some_and(SocketAddr::is_ipv6);
        let dns = UdpSocket::bind(if of_v6 { "[::]:0" } else { "0.0.0.0:0" })?;
        let (null, stderr) = (File::open("/dev/null")?, io::stderr());
        let gateway_v6 = host.gateway_v6.iter().map(|socket| (socket.as_fd(), GATEWAY_V6_FD));
        let child = Child {
            args: ["tulle", AGENT_COMMAND].map(OsString::from).to_vec(),
            env: std::env::vars_os().collect(),
            fds: [
                (null.as_fd(), 0),
                (stderr.as_fd(), 1),
                (stderr.as_fd(), 2),
                (file.as_fd(), OPTIONS_FD),
                (far.as_fd(), UPLINK_FD),
                (host.gateway.as_fd(), GATEWAY_FD),
                (host.xds.as_fd(), XDS_FD),
                (host.metrics.as_fd(), METRICS_FD),
                (host.dashboard.as_fd(), DASHBOARD_FD),
                (host.api.as_fd(), API_FD),
                (dns.as_fd(), DNS_FD),
            ]
            .into_iter()
            .chain(gateway_v6)
            .collect(),
            namespaces: Namespaces { user: !is_root(), machine: true },
            dies_with_parent: true,
            // Ctrl-C reaches the host side alone, which then stops the mesh in order.
            new_session: true,
        };
        let pid = spawn(&child)?;
        Ok((Self { pid }, near))
    }

    /// Kills everything at once: pid 1 takes its namespace with it.
    pub(super) fn kill(&self) {
        let _ = rustix::process::kill_process(self.pid, Signal::KILL);
    }

    /// Waits for its end, after which nothing of the mesh is left.
    pub(super) fn wait(&self) {
        loop {
            match rustix::process::waitpid(Some(self.pid), WaitOptions::empty()) {
                Err(rustix::io::Errno::INTR) => {}
                _ => return,
            }
        }
    }
}
