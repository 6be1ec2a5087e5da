//! A proxy, or two of them, between a client and the backend.

use crate::certs::Certs;
use crate::configs::{Between, Job, Place};
use crate::machine::{self, Running, free_port};
use crate::observed::Observed;
use crate::peers::{Peer, Programs};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Running proxies and where the client goes.
pub(crate) struct Target {
    pub(crate) label: String,
    pub(crate) peer: Peer,
    pub(crate) port: u16,
    pub(crate) running: Vec<Running>,
}

/// What all targets share: one CPU, a folder, certificates, the backend.
pub(crate) struct Bed {
    folder: PathBuf,
    /// Removed at the end, unless it is kept.
    _temporary: tempfile::TempDir,
    certs: Certs,
    backend: u16,
    _server: Running,
}

impl Bed {
    /// Moves this process to `cpu` (the last one by default) and starts the backend there. Configurations and logs stay in `keep`.
    pub(crate) fn make(cpu: Option<usize>, keep: Option<&Path>) -> anyhow::Result<Self> {
        machine::pin(cpu.unwrap_or_else(machine::last_cpu))?;
        let temporary = tempfile::tempdir()?;
        let folder = keep.map_or_else(|| temporary.path().to_owned(), Path::to_owned);
        std::fs::create_dir_all(&folder)?;
        let folder = folder.canonicalize()?;
        let certs = Certs::create(&folder)?;
        let backend = free_port()?;
        let mut command = Command::new(std::env::current_exe()?);
        let mut server = Running::start(command.args(["backend", &backend.to_string()]), "backend", &folder)?;
        server.wait_ready("the backend", backend)?;
        Ok(Self { folder, _temporary: temporary, certs, backend, _server: server })
    }

    /// Where configurations and logs are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where targets of `observed` are made.
    pub(crate) fn bench<'a>(&'a self, programs: &'a Programs, observed: Observed) -> Bench<'a> {
        Bench { programs, certs: &self.certs, folder: &self.folder, backend: self.backend, observed }
    }
}

/// What targets are made of.
#[derive(Clone, Copy)]
pub(crate) struct Bench<'a> {
    pub(crate) programs: &'a Programs,
    pub(crate) certs: &'a Certs,
    pub(crate) folder: &'a Path,
    pub(crate) backend: u16,
    pub(crate) observed: Observed,
}

impl Bench<'_> {
    /// One proxy in the clear. `between` H2: the client speaks HTTP/2.
    pub(crate) fn hop(&self, peer: Peer, between: Between) -> anyhow::Result<Target> {
        let port = free_port()?;
        let job = self.job(Place::Hop, between, port, self.backend);
        let mut running = self.start(peer, &job.write(peer, self.folder)?)?;
        // nginx's HTTP/2 listener does not answer HTTP/1: it is ready when the load says so.
        if !(between == Between::H2 && peer == Peer::Nginx) {
            running.wait_ready(peer.name(), port)?;
        } else {
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
        Ok(Target { label: peer.name().to_owned(), peer, port, running: vec![running] })
    }

    /// Two proxies with mutual TLS between them.
    pub(crate) fn pair(&self, peer: Peer, between: Between) -> anyhow::Result<Target> {
        let (port, middle) = (free_port()?, free_port()?);
        let second = self.job(Place::Second, between, middle, self.backend);
        let first = self.job(Place::First, between, port, middle);
        let second = self.start(peer, &second.write(peer, self.folder)?)?;
        std::thread::sleep(std::time::Duration::from_millis(300));
        let mut first = self.start(peer, &first.write(peer, self.folder)?)?;
        first.wait_ready(peer.name(), port)?;
        let hop = match between {
            Between::H1 => "H1",
            Between::H2 => "H2",
        };
        Ok(Target { label: format!("{} {hop}", peer.name()), peer, port, running: vec![first, second] })
    }

    fn job(&self, place: Place, between: Between, listen: u16, upstream: u16) -> Job<'_> {
        Job { place, between, listen, upstream, certs: self.certs, observed: self.observed }
    }

    /// Starts a proxy with one worker.
    pub(crate) fn start(&self, peer: Peer, config: &Path) -> anyhow::Result<Running> {
        let mut command = Command::new(self.programs.of(peer));
        match peer {
            Peer::Tulle => command.args(["proxy", "--workers", "1", "--bootstrap"]).arg(config),
            Peer::Envoy => {
                command.args(["--concurrency", "1", "--disable-hot-restart", "-l", "error", "-c"]).arg(config)
            }
            Peer::Nginx => command.arg("-c").arg(config).arg("-p").arg(self.folder),
            Peer::Haproxy => command.args(["-db", "-f"]).arg(config),
            Peer::Relay => command.arg("relay").args(std::fs::read_to_string(config)?.split(' ')),
        };
        let stem = config.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Running::start(&mut command, &stem, self.folder)
    }
}
