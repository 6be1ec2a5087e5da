//! Probes and hooks. Sockets are made in the pod's network namespace and carry [`PROBE_MARK`]: they reach the application
//! itself, past its sidecar, so that probes work under STRICT mTLS just as kubelet's do with Istio's probe rewriting.

mod grpc;
mod http;
mod listening;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};

pub use listening::listens_on;

use super::plan::Action;
use crate::container::launch::{LaunchError, Stdio, launch};
use crate::container::spec::{Place, Program, RunSpec};
use crate::net::PodNet;
use crate::redirect::PROBE_MARK;
use crate::sys::reaper::Reaper;

/// Why a probe or hook failed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// No answer in time.
    #[error("no answer within {} s", .0.as_secs_f32())]
    Timeout(Duration),
    /// No connection, or it broke.
    #[error("port {0}: {1}")]
    Connection(u16, #[source] io::Error),
    /// A status outside of 200 to 399.
    #[error("HTTP status {0}")]
    Status(u16),
    /// The answer was not HTTP.
    #[error("the answer is not HTTP")]
    NotHttp,
    /// The service is not serving, or there was no answer to tell.
    #[error("gRPC health: {0}")]
    Grpc(&'static str),
    /// The command failed.
    #[error("command ended with status {0}")]
    Command(i32),
    /// The command did not start.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The host is not an IP address.
    #[error("httpGet.host {0}: only an IP address will do")]
    Host(String),
}

/// Where a probe happens.
#[derive(Clone, Debug)]
pub struct Target {
    /// The pod's network.
    pub net: Arc<PodNet>,
    /// Starts commands.
    pub reaper: Arc<Reaper>,
    /// The container's process, whose mounts a command sees.
    pub pid: i32,
    /// The container's process as it was started, for user and environment.
    pub spec: Arc<RunSpec>,
}

/// Does it once.
///
/// # Errors
/// Why it failed.
pub async fn perform(action: &Action, target: &Target, timeout: Duration) -> Result<(), ProbeError> {
    let work = async {
        match action {
            Action::Exec(command) => exec(command, target).await,
            Action::Http { host, port, path, headers } => {
                let ip = match host {
                    None => target.net.ips.first,
                    Some(host) => host.parse().map_err(|_| ProbeError::Host(host.clone()))?,
                };
                let stream = connect(target, ip, *port).await?;
                http::get(stream, SocketAddr::new(ip, *port), path, headers).await
            }
            Action::Tcp(port) => connect(target, target.net.ips.first, *port).await.map(drop),
            Action::Grpc { port, service } => {
                let stream = connect(target, target.net.ips.first, *port).await?;
                grpc::check(stream, *port, service).await
            }
            Action::Sleep(time) => {
                tokio::time::sleep(*time).await;
                Ok(())
            }
        }
    };
    tokio::time::timeout(timeout, work).await.unwrap_or(Err(ProbeError::Timeout(timeout)))
}

async fn connect(target: &Target, ip: IpAddr, port: u16) -> Result<TcpStream, ProbeError> {
    let fail = |e| ProbeError::Connection(port, e);
    let net = Arc::clone(&target.net);
    let socket = tokio::task::spawn_blocking(move || {
        net.netns.run(|| {
            let socket = Socket::new(Domain::for_address(SocketAddr::new(ip, port)), Type::STREAM, None)?;
            socket.set_mark(PROBE_MARK)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })
    })
    .await
    .map_err(|e| fail(io::Error::other(e)))?
    .map_err(fail)?;
    TcpSocket::from_std_stream(socket.into()).connect(SocketAddr::new(ip, port)).await.map_err(fail)
}

async fn exec(command: &[String], target: &Target) -> Result<(), ProbeError> {
    let spec = RunSpec {
        program: Program::Host(command.to_vec()),
        place: Place::Join(target.pid),
        ..(*target.spec).clone()
    };
    let (stdio, output) = Stdio::piped().map_err(LaunchError::Spawn)?;
    let mut process = launch(&target.reaper, &spec, Some(&target.net.netns), &stdio, &[]).await?;
    drop(stdio);
    // Read and dropped, so that the command does not wait for a reader. Given up, it is killed with its owner.
    let drained = tokio::spawn(drain(output));
    let exit = process.wait().await;
    drained.abort();
    if exit.code() == 0 { Ok(()) } else { Err(ProbeError::Command(exit.code())) }
}

async fn drain(pipe: OwnedFd) {
    let Ok(mut pipe) = tokio::net::unix::pipe::Receiver::from_owned_fd(pipe) else { return };
    let mut buf = [0; 4096];
    while pipe.read(&mut buf).await.is_ok_and(|n| n > 0) {}
}
