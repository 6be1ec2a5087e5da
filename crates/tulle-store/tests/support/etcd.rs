//! An etcd of its own for a test, on free ports of 127.0.0.1.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tulle_store::{Etcd, EtcdOptions, EtcdTls, Filter, Store as _};

/// A running etcd; ends with its owner.
pub(crate) struct EtcdServer {
    child: Child,
    port: u16,
    peer: u16,
    pub(crate) dir: TempDir,
    tls: bool,
}

impl EtcdServer {
    /// Starts one, or explains why there is none: then the test is left out, and fails where everything must be tested.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(TempDir::new().unwrap(), false).await
    }

    /// With TLS from `ca.pem`, `server.pem` and `server-key.pem` in `dir`, if `tls`.
    pub(crate) async fn start_with(dir: TempDir, tls: bool) -> Option<Self> {
        let found =
            Command::new("etcd").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if found.is_err() {
            assert!(
                std::env::var_os("CI").is_none(),
                "etcd is not installed; install it with: apt-get install etcd-server"
            );
            eprintln!("left out: etcd is not installed (apt-get install etcd-server)");
            return None;
        }
        // A port that was free may be taken by the time that etcd wants it.
        let mut dir = dir;
        for _ in 0..5 {
            let (port, peer) = (free_port(), free_port());
            let child = spawn(dir.path(), port, peer, tls);
            let mut server = Self { child, port, peer, dir, tls };
            if server.is_up().await {
                return Some(server);
            }
            dir = std::mem::replace(&mut server.dir, TempDir::new().unwrap());
        }
        panic!("etcd does not start");
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn options(&self, prefix: &str) -> EtcdOptions {
        let tls = self.tls.then(|| EtcdTls { roots: self.dir.path().join("ca.pem"), certificate: None });
        let host = if self.tls { "localhost" } else { "127.0.0.1" };
        EtcdOptions {
            endpoints: vec![format!("{host}:{}", self.port)],
            prefix: prefix.to_owned(),
            tls,
            user: None,
        }
    }

    pub(crate) fn store(&self, prefix: &str) -> Etcd {
        Etcd::new(&self.options(prefix)).unwrap()
    }

    async fn is_up(&mut self) -> bool {
        let store = self.store("/is/up");
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(60) {
            if store.list(Filter::default()).await.is_ok() {
                return true;
            }
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
        }
        false
    }

    /// Ends it as a power failure would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again with its data, on the same port.
    pub(crate) async fn start_again(&mut self) {
        self.child = spawn(self.dir.path(), self.port, self.peer, self.tls);
        assert!(self.is_up().await, "etcd does not start again");
    }
}

impl Drop for EtcdServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn spawn(dir: &Path, port: u16, peer: u16, tls: bool) -> Child {
    let scheme = if tls { "https" } else { "http" };
    let client = format!("{scheme}://127.0.0.1:{port}");
    let peer = format!("http://127.0.0.1:{peer}");
    let mut command = Command::new("etcd");
    command
        .args(["--name", "test", "--logger", "zap", "--log-level", "error"])
        .arg("--data-dir")
        .arg(dir.join("data"))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("test={peer}")])
        .args(["--experimental-watch-progress-notify-interval", "200ms"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if tls {
        command
            .arg("--cert-file")
            .arg(dir.join("server.pem"))
            .arg("--key-file")
            .arg(dir.join("server-key.pem"));
    }
    command.spawn().unwrap()
}
