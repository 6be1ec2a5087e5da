//! What the kernel knows: CPU time, memory, ports, processes.

use anyhow::{Context, bail};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Pins this process, and so every process that it starts, to one CPU.
pub(crate) fn pin(cpu: usize) -> anyhow::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set).with_context(|| format!("cannot run on CPU {cpu}"))
}

/// The last CPU that this process may use.
pub(crate) fn last_cpu() -> usize {
    let set = rustix::thread::sched_getaffinity(None).unwrap_or_default();
    (0..1024).rev().find(|cpu| set.is_set(*cpu)).unwrap_or(0)
}

/// A TCP port that nobody listens on now.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A process that is killed and reaped when dropped.
pub(crate) struct Running {
    child: Child,
    log: std::path::PathBuf,
}

impl Running {
    /// Starts `command` with its output in a file of `folder`. The command keeps this thread as its parent: Envoy ends
    /// when its parent does.
    pub(crate) fn start(command: &mut Command, name: &str, folder: &Path) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = fs::File::create(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, log })
    }

    /// Waits until a request to `port` gets 200.
    pub(crate) fn wait_ready(&mut self, name: &str, port: u16) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("{name} ended ({status}):\n{}", self.tail());
            }
            match get(port) {
                Ok(head) if head.starts_with("HTTP/1.1 200") => return Ok(()),
                _ if began.elapsed() < Duration::from_secs(20) => {
                    std::thread::sleep(Duration::from_millis(50))
                }
                Ok(head) => bail!("{name} answers {:?}:\n{}", head.lines().next().unwrap_or(""), self.tail()),
                Err(error) => bail!("{name} does not answer: {error}\n{}", self.tail()),
            }
        }
    }

    fn tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// CPU time of the process and its children so far.
    pub(crate) fn cpu(&self) -> Duration {
        Duration::from_nanos(family(self.child.id()).into_iter().map(cpu_of).sum())
    }

    /// Resident memory of the process and its children, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        family(self.child.id()).into_iter().map(memory_of).sum()
    }

    /// It is still there.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Children first: nginx's worker would outlive its master for a moment.
        for pid in family(self.child.id()).into_iter().skip(1) {
            if let Some(pid) = rustix::process::Pid::from_raw(pid as i32) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request on a connection of its own: the response's head.
fn get(port: u16) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    while !text.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => break,
            len => text.extend_from_slice(&buffer[..len]),
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// A process and its direct children.
fn family(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    all.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    all
}

/// Every process that this one sees.
pub(crate) fn processes() -> Vec<u32> {
    let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
    all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// A process's program and arguments with spaces between them.
pub(crate) fn command(pid: u32) -> String {
    let text = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&text).replace('\0', " ")
}

/// A variable of a process's environment.
pub(crate) fn environment(pid: u32, name: &str) -> Option<String> {
    let text = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let all = String::from_utf8_lossy(&text);
    all.split('\0').find_map(|line| Some(line.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
}

/// Nanoseconds on a CPU, over all threads (`schedstat`, field 1).
pub(crate) fn cpu_of(pid: u32) -> u64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok())
        .sum()
}

fn memory_of(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}
