//! Starts a whole mesh in a folder of its own, and ends it again whatever happens.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Whole meshes share two cores: one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
/// The uid and gid of `nobody`, for tests of an ordinary user that root runs.
const NOBODY: u32 = 65_534;
/// A debug build on a busy machine; a release build is ready within 10 s.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// As whom a mesh runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// Whoever runs the test.
    Me,
    /// Somebody without any privilege.
    Ordinary,
}

/// What a mesh is started with.
pub struct Spec<'a> {
    pub user: User,
    /// Arguments after `tulle up`, such as `--demo bookinfo`.
    pub args: &'a [&'a str],
    /// File names and YAML of the folder that is given to `tulle up`.
    pub manifests: &'a [(&'a str, String)],
}

impl Default for Spec<'_> {
    fn default() -> Self {
        Self { user: User::Me, args: &[], manifests: &[] }
    }
}

/// A running mesh. Dropping it kills it.
pub struct Mesh {
    pub ready: Value,
    /// From the start of the binary to the ready file.
    pub ready_after: Duration,
    pub dir: TempDir,
    pub child: Child,
    binary: PathBuf,
    user: User,
    log: Arc<Mutex<Vec<String>>>,
    _turn: MutexGuard<'static, ()>,
}

impl Mesh {
    /// Starts a mesh and waits until it is ready.
    pub fn start(spec: &Spec<'_>) -> Self {
        let mut mesh = Self::launch(spec);
        let file = mesh.dir.path().join("ready.json");
        let began = Instant::now();
        while !file.exists() {
            if let Some(status) = mesh.child.try_wait().unwrap() {
                panic!("tulle up ended with {status} before it was ready:\n{}", mesh.log());
            }
            assert!(began.elapsed() < READY_WITHIN, "not ready after {READY_WITHIN:?}:\n{}", mesh.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        mesh.ready_after = began.elapsed();
        mesh.ready = serde_json::from_slice(&fs::read(&file).unwrap()).expect("the ready file is JSON");
        mesh
    }

    /// Starts `tulle up` without waiting for anything.
    pub fn launch(spec: &Spec<'_>) -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::Builder::new().prefix("tul").tempdir_in("/tmp").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        // An ordinary user may not be able to enter the folder that the build is in.
        let binary = dir.path().join("tulle");
        fs::copy(env!("CARGO_BIN_EXE_tulle"), &binary).unwrap();
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
        let manifests = dir.path().join("manifests");
        fs::create_dir(&manifests).unwrap();
        for (name, yaml) in spec.manifests {
            fs::write(manifests.join(name), yaml).unwrap();
        }
        let mut command = Command::new(&binary);
        command.arg("up").args(spec.args);
        if !spec.manifests.is_empty() {
            command.arg(&manifests);
        }
        command.arg("--ready-file").arg(dir.path().join("ready.json"));
        command.arg("--state-dir").arg(dir.path().join("state"));
        if !spec.args.contains(&"--gateway-port") {
            command.arg("--gateway-port").arg(free_port().to_string());
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).current_dir(dir.path());
        become_user(&mut command, spec.user);
        let mut child = command.spawn().expect("tulle starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, stderr) = (log.clone(), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        let ready = Value::Null;
        Self { ready, ready_after: Duration::ZERO, dir, child, binary, user: spec.user, log, _turn: turn }
    }

    /// What `tulle up` wrote to stderr so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// The path of a manifest file.
    pub fn manifest(&self, name: &str) -> PathBuf {
        self.dir.path().join("manifests").join(name)
    }

    /// Writes a manifest as editors do: a new file, renamed over the old one.
    pub fn write(&self, name: &str, yaml: &str) {
        let new = self.dir.path().join(format!("{name}.new"));
        fs::write(&new, yaml).unwrap();
        fs::rename(new, self.manifest(name)).unwrap();
    }

    /// A `tulle` command against this mesh.
    pub fn tulle(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(args).stdin(Stdio::null());
        // Relative options such as --state-dir belong to the subcommand, before any `--`.
        become_user(&mut command, self.user);
        command
    }

    /// `tulle exec` in a workload of namespace `ns`.
    pub fn exec(&self, ns: &str, workload: &str, command: &[&str]) -> Command {
        let state = self.dir.path().join("state");
        let mut args = vec!["exec", "--state-dir", state.to_str().unwrap(), "-n", ns, workload, "--"];
        args.extend(command);
        self.tulle(&args)
    }

    /// The binary's path inside pods, which see the host's file system.
    pub fn binary(&self) -> &str {
        self.binary.to_str().unwrap()
    }

    /// Status and body of a GET from inside a pod; status 0 when there was no answer.
    pub fn get_from(&self, workload: &str, url: &str, headers: &[&str]) -> (u16, String) {
        self.fetch_from(workload, url, headers, "GET")
    }

    /// Status and body of a request from inside a pod; status 0 when there was no answer.
    pub fn fetch_from(&self, workload: &str, url: &str, headers: &[&str], method: &str) -> (u16, String) {
        let (ns, name) = workload.split_once('/').unwrap_or(("default", workload));
        let mut args =
            vec![self.binary(), "lab", "curl", "-s", "-X", method, "-m", "20", "-w", "\n%{http_code}", url];
        for header in headers {
            args.extend(["-H", header]);
        }
        let output = self.exec(ns, name, &args).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        match text.rsplit_once('\n') {
            Some((body, code)) => (code.trim().parse().unwrap_or(0), body.to_owned()),
            None => (0, String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// Load from inside a pod; returns the report of `tulle lab load`.
    pub fn load_from(&self, workload: &str, args: &[&str]) -> Value {
        report(self.start_load(workload, args).wait_with_output().unwrap())
    }

    /// Starts load from inside a pod; give the ended process's output to [`report`].
    pub fn start_load(&self, workload: &str, args: &[&str]) -> Child {
        let (ns, name) = workload.split_once('/').unwrap_or(("default", workload));
        let mut command = vec![self.binary(), "lab", "load"];
        command.extend(args);
        self.exec(ns, name, &command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// GET through the gateway from the host.
    pub fn get(&self, path: &str) -> (u16, String) {
        let gateway = self.ready["gateway"].as_str().expect("the ready file names the gateway");
        http_get(&format!("{gateway}{path}"))
    }

    /// Asks for an orderly stop and waits for it.
    pub fn stop(mut self) -> (std::process::ExitStatus, Duration) {
        let began = Instant::now();
        signal(self.child.id(), "INT");
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, began.elapsed());
            }
            assert!(began.elapsed() < Duration::from_secs(45), "no end after SIGINT:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until `check` holds, and returns how long that took.
    pub fn eventually(&self, what: &str, limit: Duration, mut check: impl FnMut() -> bool) -> Duration {
        let began = Instant::now();
        while !check() {
            assert!(began.elapsed() < limit, "{what}: not within {limit:?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(25));
        }
        began.elapsed()
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            // Everything below `tulle up` ends with it; see ARCHITECTURE.md.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- log of tulle up ---\n{}", self.log());
            keep_logs(self.dir.path());
        }
    }
}

/// Shows the end of every log when a test failed.
fn keep_logs(dir: &Path) {
    let mut open = vec![dir.join("state/logs")];
    while let Some(path) = open.pop() {
        for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let lines: Vec<&str> = text.lines().collect();
                let (before, tail) = lines.split_at(lines.len().saturating_sub(25));
                let failed: Vec<&str> = before
                    .iter()
                    .copied()
                    .filter(|l| l.contains("\" 50") || l.contains("\" 0 "))
                    .take(10)
                    .collect();
                eprintln!("--- {} ---\n{}", path.display(), [failed, tail.to_vec()].concat().join("\n"));
            }
        }
    }
}

/// The report of an ended `tulle lab load`.
pub fn report(output: Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
        panic!("no report ({e}): {}", String::from_utf8_lossy(&output.stderr));
    })
}

/// Sends a signal by name.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().unwrap();
    assert!(status.success());
}

/// Processes whose command line has `text`, as the host sees them.
pub fn processes_with(text: &str) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ").contains(text)
    })
    .collect()
}

/// GET from the host: status and body; status 0 when there was no answer.
pub fn http_get(url: &str) -> (u16, String) {
    http_get_with(url, &[])
}

/// The same with headers.
pub fn http_get_with(url: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .into();
    let mut request = agent.get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    match request.call() {
        Ok(mut answer) => (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap_or_default()),
        Err(e) => (0, e.to_string()),
    }
}

/// Whether tests may run as root here.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").map(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0).unwrap_or(false)
}

fn become_user(command: &mut Command, user: User) {
    if user == User::Ordinary && is_root() {
        command.uid(NOBODY).gid(NOBODY).env("HOME", "/nonexistent");
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
