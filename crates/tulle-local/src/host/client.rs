//! The other end of the control socket: `tulle exec`, `logs` and `status`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::agent::protocol::{ObjectName, Reply, Request, Summary, Wanted};
use crate::node::paths::Paths;
use crate::pod::logs;
use crate::sys::fds;

/// Names in one request: it has to stay below the agent's limit, and names are of 253 characters at most.
const OBJECTS_AT_ONCE: usize = 256;

/// Why a question to the mesh was not answered.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No mesh runs with this state directory.
    #[error("no mesh runs with the state directory {}; start one with tulle up, or name another --state-dir", .0.display())]
    NotRunning(PathBuf),
    /// The mesh is another user's.
    #[error("the mesh in {} belongs to another user", .0.display())]
    Forbidden(PathBuf),
    /// The connection broke.
    #[error("the mesh does not answer: {0}")]
    Broken(#[from] io::Error),
    /// The mesh said no.
    #[error("{0}")]
    Refused(String),
    /// The mesh answered something else: another version.
    #[error("the mesh answers in another way; is it of another version?")]
    Unexpected,
}

/// A connection to a running mesh.
struct Connection {
    reader: BufReader<UnixStream>,
}

impl Connection {
    fn open(paths: &Paths) -> Result<Self, ClientError> {
        let socket = paths.control_socket();
        match UnixStream::connect(&socket) {
            Ok(stream) => Ok(Self { reader: BufReader::new(stream) }),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                Err(ClientError::Forbidden(paths.root().to_owned()))
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                Err(ClientError::NotRunning(paths.root().to_owned()))
            }
            Err(e) => Err(e.into()),
        }
    }

    fn send(&mut self, request: &Request, descriptors: &[BorrowedFd<'_>]) -> Result<(), ClientError> {
        let mut line = serde_json::to_vec(request).map_err(io::Error::from)?;
        line.push(b'\n');
        let stream = self.reader.get_mut();
        let sent = fds::send(&*stream, &line, descriptors)?;
        Ok(stream.write_all(&line[sent..])?)
    }

    fn receive(&mut self) -> Result<Reply, ClientError> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        match serde_json::from_str(&line) {
            Ok(Reply::Refused(reason)) => Err(ClientError::Refused(reason)),
            Ok(reply) => Ok(reply),
            Err(_) => Err(ClientError::Unexpected),
        }
    }

    /// Waits for the end of a command.
    fn exit(&mut self) -> Result<i32, ClientError> {
        loop {
            match self.receive()? {
                Reply::Started => {}
                Reply::Exit(code) => return Ok(code),
                _ => return Err(ClientError::Unexpected),
            }
        }
    }
}

/// What runs.
///
/// # Errors
/// [`ClientError`].
pub fn status(paths: &Paths) -> Result<Summary, ClientError> {
    let mut connection = Connection::open(paths)?;
    connection.send(&Request::Status, &[])?;
    match connection.receive()? {
        Reply::Status(summary) => Ok(summary),
        _ => Err(ClientError::Unexpected),
    }
}

/// The names of all objects in the mesh's store, by kind, namespace and name.
///
/// # Errors
/// [`ClientError`].
pub fn names(paths: &Paths) -> Result<Vec<ObjectName>, ClientError> {
    let mut connection = Connection::open(paths)?;
    connection.send(&Request::Names, &[])?;
    match connection.receive()? {
        Reply::Names(names) => Ok(names),
        _ => Err(ClientError::Unexpected),
    }
}

/// Objects as the mesh's store has them, as JSON in the order of `names`; nothing for those that are not there.
///
/// # Errors
/// [`ClientError`].
pub fn objects(paths: &Paths, names: &[ObjectName]) -> Result<Vec<Option<Value>>, ClientError> {
    let mut all = Vec::with_capacity(names.len());
    for some in names.chunks(OBJECTS_AT_ONCE) {
        let mut connection = Connection::open(paths)?;
        connection.send(&Request::Objects(some.to_vec()), &[])?;
        match connection.receive()? {
            Reply::Objects(found) if found.len() == some.len() => all.extend(found),
            _ => return Err(ClientError::Unexpected),
        }
    }
    Ok(all)
}

/// Runs a command in a container with this process's standard input, output and error; returns its status.
///
/// # Errors
/// [`ClientError`].
pub fn exec(
    paths: &Paths,
    target: Wanted,
    command: Vec<String>,
    env: Vec<(String, String)>,
) -> Result<i32, ClientError> {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    exec_with(paths, target, command, env, [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()])
}

/// The same with other descriptors as standard input, output and error.
///
/// # Errors
/// [`ClientError`].
pub fn exec_with(
    paths: &Paths,
    target: Wanted,
    command: Vec<String>,
    env: Vec<(String, String)>,
    descriptors: [BorrowedFd<'_>; 3],
) -> Result<i32, ClientError> {
    let mut connection = Connection::open(paths)?;
    connection.send(&Request::Exec { target, command, env }, &descriptors)?;
    connection.exit()
}

/// Runs a command in a container without input and with this process's standard error; returns its status and what it wrote.
///
/// # Errors
/// [`ClientError`].
pub fn output(paths: &Paths, target: Wanted, command: Vec<String>) -> Result<(i32, Vec<u8>), ClientError> {
    let mut connection = Connection::open(paths)?;
    let (nothing, stderr) = (File::open("/dev/null")?, io::stderr());
    let (mut written, pipe) = io::pipe()?;
    let descriptors = [nothing.as_fd(), pipe.as_fd(), stderr.as_fd()];
    connection.send(&Request::Exec { target, command, env: Vec::new() }, &descriptors)?;
    // Only the command has it open now: its end is the end of what is written.
    drop(pipe);
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        written.read_to_end(&mut all).map(|_| all)
    });
    let code = connection.exit()?;
    let all = reader.join().map_err(|_| ClientError::Unexpected)??;
    Ok((code, all))
}

/// Whether there is such a container.
///
/// # Errors
/// [`ClientError::Refused`] says why not.
pub fn resolve(paths: &Paths, wanted: &Wanted) -> Result<(), ClientError> {
    let mut connection = Connection::open(paths)?;
    connection.send(&Request::Resolve(wanted.clone()), &[])?;
    match connection.receive()? {
        Reply::Resolved { .. } => Ok(()),
        _ => Err(ClientError::Unexpected),
    }
}

/// The log file of a container. Without a running mesh the last one's files are searched by name.
///
/// # Errors
/// [`ClientError`].
pub fn log_path(paths: &Paths, wanted: &Wanted) -> Result<PathBuf, ClientError> {
    let resolved = Connection::open(paths).and_then(|mut c| {
        c.send(&Request::Resolve(wanted.clone()), &[])?;
        c.receive()
    });
    match resolved {
        Ok(Reply::Resolved { namespace, pod, container }) => {
            Ok(logs::path(&paths.logs(), &namespace, &pod, &container))
        }
        Ok(_) => Err(ClientError::Unexpected),
        Err(ClientError::NotRunning(dir)) => {
            search(&paths.logs(), wanted).ok_or(ClientError::NotRunning(dir))
        }
        Err(e) => Err(e),
    }
}

/// The newest log of a pod whose name begins as wanted.
fn search(dir: &Path, wanted: &Wanted) -> Option<PathBuf> {
    let name = wanted.workload.rsplit('/').next().unwrap_or_default();
    let mut found: Vec<PathBuf> = Vec::new();
    for pod in std::fs::read_dir(dir.join(&wanted.namespace)).ok()?.flatten() {
        let pod_name = pod.file_name().to_string_lossy().into_owned();
        if pod_name != name && !pod_name.strip_prefix(name).is_some_and(|rest| rest.starts_with('-')) {
            continue;
        }
        for file in std::fs::read_dir(pod.path()).ok()?.flatten() {
            let path = file.path();
            let container = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
            let is_log = path.extension().is_some_and(|e| e == "log");
            let meant = wanted
                .container
                .as_ref()
                .map_or(container != crate::cluster::inject::PROXY, |c| *c == container);
            if is_log && meant {
                found.push(path);
            }
        }
    }
    found.into_iter().max_by_key(|p| std::fs::metadata(p).and_then(|m| m.modified()).ok())
}

/// Writes a log to `out`, the part that was put aside first. With `follow` it goes on until the reader or the file is gone.
///
/// # Errors
/// What the file system said; a broken pipe is a normal end.
pub fn copy_log(path: &Path, follow: bool, out: &mut dyn Write) -> io::Result<()> {
    if let Ok(mut old) = File::open(logs::rotated(path)) {
        io::copy(&mut old, out)?;
    }
    let mut file = File::open(path)?;
    io::copy(&mut file, out)?;
    out.flush()?;
    if !follow {
        return Ok(());
    }
    loop {
        std::thread::sleep(Duration::from_millis(100));
        let mut buf = Vec::new();
        let at = file.stream_position()?;
        file.read_to_end(&mut buf)?;
        if !buf.is_empty() {
            out.write_all(&buf)?;
            out.flush()?;
            continue;
        }
        // A file that was put aside is read to its end before the new one.
        match std::fs::metadata(path) {
            Ok(now) if now.ino() != file.metadata()?.ino() => file = File::open(path)?,
            Ok(now) if now.len() < at => drop(file.seek(SeekFrom::Start(0))?),
            _ => {}
        }
    }
}
