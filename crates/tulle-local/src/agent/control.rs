//! The control socket: `tulle exec`, `logs` and `status` talk to the agent here. Only the mesh's user may connect.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::protocol::{ObjectName, Reply, Request, Summary, Wanted};
use crate::container::launch::{Stdio, launch};
use crate::container::spec::{Place, Program, RunSpec};
use crate::net::PodNet;
use crate::sys::fds;
use crate::sys::reaper::{Process, Reaper};

/// Connections at a time; longest request; how long one may take to arrive.
const MAX_CONNECTIONS: usize = 64;
const MAX_REQUEST: usize = 256 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);
/// From the client's leave until its command is killed.
const EXEC_GRACE: Duration = Duration::from_secs(2);

/// A question that only the agent's main loop can answer.
pub(super) enum Ask {
    Status(oneshot::Sender<Summary>),
    Names(oneshot::Sender<Vec<ObjectName>>),
    Objects(Vec<ObjectName>, oneshot::Sender<Vec<Option<Value>>>),
    Find(Wanted, oneshot::Sender<Result<Found, String>>),
}

/// A container that was found.
pub(super) struct Found {
    pub namespace: String,
    pub pod: String,
    pub container: String,
    /// Its process, if it runs.
    pub running: Option<Running>,
}

/// A running container.
pub(super) struct Running {
    pub pid: i32,
    pub net: Arc<PodNet>,
    pub spec: RunSpec,
}

/// Listens at `path` until the runtime ends.
pub(super) fn start(path: &Path, reaper: Arc<Reaper>, ask: mpsc::Sender<Ask>) -> io::Result<()> {
    // What an earlier mesh left: nobody listens there, or it would hold the lock.
    if path.exists() {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { continue };
            let (reaper, ask) = (Arc::clone(&reaper), ask.clone());
            tokio::spawn(async move {
                if let Err(e) = serve(stream, &reaper, &ask).await {
                    tracing::debug!(error = %e, "control connection broke");
                }
                drop(slot);
            });
        }
    });
    Ok(())
}

async fn serve(mut stream: UnixStream, reaper: &Arc<Reaper>, ask: &mpsc::Sender<Ask>) -> io::Result<()> {
    let (line, descriptors) = tokio::time::timeout(PATIENCE, receive(&stream)).await??;
    let request: Request = match serde_json::from_slice(&line) {
        Ok(request) => request,
        Err(e) => return send(&mut stream, &Reply::Refused(format!("not a request: {e}"))).await,
    };
    match request {
        Request::Status => {
            let (sender, answer) = oneshot::channel();
            if ask.send(Ask::Status(sender)).await.is_err() {
                return Ok(());
            }
            let summary = answer.await.map_err(io::Error::other)?;
            send(&mut stream, &Reply::Status(summary)).await
        }
        Request::Names => {
            let (sender, answer) = oneshot::channel();
            if ask.send(Ask::Names(sender)).await.is_err() {
                return Ok(());
            }
            let names = answer.await.map_err(io::Error::other)?;
            send(&mut stream, &Reply::Names(names)).await
        }
        Request::Objects(names) => {
            let (sender, answer) = oneshot::channel();
            if ask.send(Ask::Objects(names, sender)).await.is_err() {
                return Ok(());
            }
            let objects = answer.await.map_err(io::Error::other)?;
            send(&mut stream, &Reply::Objects(objects)).await
        }
        Request::Resolve(wanted) => {
            let reply = match find(ask, wanted).await? {
                Ok(Found { namespace, pod, container, .. }) => Reply::Resolved { namespace, pod, container },
                Err(reason) => Reply::Refused(reason),
            };
            send(&mut stream, &reply).await
        }
        Request::Exec { target, command, env } => {
            let reply = match start_command(ask, reaper, target, command, env, descriptors).await? {
                Ok(process) => {
                    send(&mut stream, &Reply::Started).await?;
                    Reply::Exit(attend(&mut stream, process).await)
                }
                Err(reason) => Reply::Refused(reason),
            };
            send(&mut stream, &reply).await
        }
    }
}

async fn find(ask: &mpsc::Sender<Ask>, wanted: Wanted) -> io::Result<Result<Found, String>> {
    let (sender, answer) = oneshot::channel();
    ask.send(Ask::Find(wanted, sender)).await.map_err(io::Error::other)?;
    answer.await.map_err(io::Error::other)
}

async fn start_command(
    ask: &mpsc::Sender<Ask>,
    reaper: &Arc<Reaper>,
    target: Wanted,
    command: Vec<String>,
    env: Vec<(String, String)>,
    descriptors: Vec<OwnedFd>,
) -> io::Result<Result<Process, String>> {
    let found = match find(ask, target).await? {
        Ok(found) => found,
        Err(reason) => return Ok(Err(reason)),
    };
    let Some(running) = found.running else {
        let Found { pod, container, .. } = found;
        return Ok(Err(format!("container {container} of pod {pod} does not run; see tulle status")));
    };
    let Ok([stdin, stdout, stderr]) = <[OwnedFd; 3]>::try_from(descriptors) else {
        return Ok(Err("exec takes three descriptors".into()));
    };
    let mut spec =
        RunSpec { program: Program::Host(command), place: Place::Join(running.pid), ..running.spec };
    spec.env.extend(env);
    let stdio = Stdio { stdin, stdout, stderr };
    let launched = launch(reaper, &spec, Some(&running.net.netns), &stdio, &[]).await;
    Ok(launched.map_err(|e| e.to_string()))
}

/// Waits for the command's end; the client's leave ends it.
async fn attend(stream: &mut UnixStream, mut process: Process) -> i32 {
    let mut byte = [0];
    tokio::select! {
        exit = process.wait() => return exit.code(),
        _ = stream.read(&mut byte) => {}
    }
    process.signal_group(Signal::TERM);
    match tokio::time::timeout(EXEC_GRACE, process.wait()).await {
        Ok(exit) => exit.code(),
        Err(_) => {
            process.signal_group(Signal::KILL);
            process.wait().await.code()
        }
    }
}

/// One line, and the descriptors that came with it.
async fn receive(stream: &UnixStream) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let (mut line, mut descriptors) = (Vec::new(), Vec::new());
    let mut buf = [0; 4096];
    loop {
        stream.readable().await?;
        let received = stream.try_io(Interest::READABLE, || fds::receive(stream, &mut buf, &mut descriptors));
        match received {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => line.extend_from_slice(&buf[..n]),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
            Err(e) => return Err(e),
        }
        if line.ends_with(b"\n") {
            return Ok((line, descriptors));
        }
        if line.len() > MAX_REQUEST || descriptors.len() > fds::MAX_FDS {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

async fn send(stream: &mut UnixStream, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    stream.write_all(&line).await
}
