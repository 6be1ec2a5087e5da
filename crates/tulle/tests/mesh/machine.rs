//! A mesh started by a test, and what of the machine it could leave changed.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const TULLE: &str = env!("CARGO_BIN_EXE_tulle");
/// An ordinary user without rights; any number will do.
const NOBODY: u32 = 65_534;

/// Held by a test that compares the machine before and after: one at a time.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who starts the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    /// Whoever runs the test.
    Same,
    /// An ordinary user; only root can become one.
    Ordinary,
}

/// A directory for a mesh, its manifests and its output.
pub(crate) struct Place {
    dir: tempfile::TempDir,
    user: User,
}

impl Place {
    pub(crate) fn new(user: User) -> Self {
        let dir = tempfile::Builder::new().prefix("tm").tempdir().unwrap();
        if user == User::Ordinary {
            chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir, user }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.path("s")
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// `tulle COMMAND --state-dir … ARGS`
    pub(crate) fn tulle(&self, command: &str, args: &[&str]) -> Command {
        let mut c = Command::new(TULLE);
        c.arg(command).arg("--state-dir").arg(self.state_dir()).args(args).stdin(Stdio::null());
        c.env_remove("KUBECONFIG");
        if self.user == User::Ordinary {
            c.uid(NOBODY).gid(NOBODY).env("HOME", self.dir.path());
        }
        c
    }

    pub(crate) fn run(&self, command: &str, args: &[&str]) -> Output {
        self.tulle(command, args).output().unwrap()
    }

    /// Starts a mesh and waits until `ready`, which looks at the JSON of `tulle status`. `None`: this machine cannot.
    pub(crate) fn up(&self, args: &[&str], ready: impl Fn(&serde_json::Value) -> bool) -> Option<Mesh> {
        let errors = fs::File::create(self.path("stderr")).unwrap();
        let child = self
            .tulle("up", &["--gateway-port", "0"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .unwrap();
        let mut mesh = Mesh { child, stderr: self.path("stderr") };
        let give_up = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = mesh.child.try_wait().unwrap() {
                let said = mesh.said();
                assert!(cannot_run(&said), "up ended with {status}: {said}");
                return None;
            }
            let status = self.run("status", &["-o", "json"]);
            if serde_json::from_slice(&status.stdout).is_ok_and(|s| ready(&s)) {
                return Some(mesh);
            }
            assert!(Instant::now() < give_up, "not ready: {}\n{}", mesh.said(), text(&status.stdout));
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Whether a refusal is the machine's: then the test is skipped, but not where `CI=true`.
pub(crate) fn cannot_run(said: &str) -> bool {
    let machine = said.contains("this machine gives this user no") || said.contains("the kernel refuses");
    if machine && std::env::var("CI").is_ok_and(|v| v == "true") {
        panic!("no mesh can run here: {said}");
    }
    if machine {
        eprintln!("skipped: {said}");
    }
    machine
}

/// Whether the test runs as root, so that it can become somebody else.
pub(crate) fn is_root() -> bool {
    fs::read_to_string("/proc/self/status").unwrap().lines().any(|l| l.starts_with("Uid:\t0\t"))
}

/// Whether an ordinary user can start the program at all: it may lie in a directory that is closed to them.
pub(crate) fn reachable_by_ordinary_user() -> bool {
    Command::new(TULLE).arg("version").uid(NOBODY).gid(NOBODY).output().is_ok_and(|o| o.status.success())
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A running mesh; killed when dropped.
pub(crate) struct Mesh {
    child: Child,
    stderr: PathBuf,
}

impl Mesh {
    /// What it said on stderr so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Sends SIGKILL to the host side alone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGINT and waits for the end; returns what it wrote to stdout.
    pub(crate) fn interrupt(mut self) -> String {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.said());
        let mut out = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        out
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a mesh could leave behind on a machine.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    links: BTreeSet<String>,
    mounts: Vec<String>,
    processes: usize,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let names = |dir: &str| {
            fs::read_dir(dir)
                .unwrap()
                .flatten()
                .map(|e| e.file_name().to_string_lossy().into_owned())
                .collect()
        };
        let own = Path::new(TULLE).canonicalize().unwrap();
        let running = |pid: &String| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == own);
        let all: BTreeSet<String> = names("/proc");
        Self {
            links: names("/sys/class/net"),
            mounts: fs::read_to_string("/proc/self/mounts").unwrap().lines().map(str::to_owned).collect(),
            processes: all.iter().filter(|p| running(p)).count(),
        }
    }

    /// Waits until the machine is as it was.
    pub(crate) fn assert_restored(&self) {
        let give_up = Instant::now() + Duration::from_secs(5);
        while Self::look() != *self && Instant::now() < give_up {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(Self::look(), *self);
    }
}
