//! Children and their ends. As pid 1 of the mesh the node agent also inherits every orphan.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use tokio::sync::oneshot;

use super::spawn::{self, Child};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// The status as a shell shows it: 128 and the signal's number for a signal.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }

    fn from_status(status: WaitStatus) -> Option<Self> {
        status.exit_status().map(Self::Code).or_else(|| status.terminating_signal().map(Self::Signal))
    }
}

/// The one place where children are waited for.
#[derive(Debug)]
pub struct Reaper {
    children: Mutex<HashMap<i32, oneshot::Sender<Exit>>>,
    born: Condvar,
}

/// A running child: signals go to it only while it has not been waited for, so never to a stranger with its number. It is
/// killed, with its process group, when this is dropped.
#[derive(Debug)]
pub struct Process {
    reaper: Arc<Reaper>,
    pid: Pid,
    exit: Option<oneshot::Receiver<Exit>>,
}

impl Reaper {
    /// Starts the thread that waits for children, for as long as the process lives.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub fn start() -> io::Result<Arc<Self>> {
        let reaper = Arc::new(Self { children: Mutex::default(), born: Condvar::new() });
        let for_thread = Arc::clone(&reaper);
        std::thread::Builder::new()
            .name("reaper".into())
            .stack_size(128 * 1024)
            .spawn(move || for_thread.run())?;
        Ok(reaper)
    }

    /// Starts a child.
    ///
    /// # Errors
    /// As [`spawn::spawn`].
    pub fn spawn(self: &Arc<Self>, child: &Child<'_>) -> io::Result<Process> {
        // The lock is held over the birth: its end cannot be delivered before it is known.
        let mut children = self.lock();
        let pid = spawn::spawn(child)?;
        let (sender, exit) = oneshot::channel();
        children.insert(pid.as_raw_pid(), sender);
        self.born.notify_one();
        drop(children);
        Ok(Process { reaper: Arc::clone(self), pid, exit: Some(exit) })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i32, oneshot::Sender<Exit>>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        loop {
            match rustix::process::wait(WaitOptions::empty()) {
                Ok(Some((pid, status))) => {
                    if let Some(exit) = Exit::from_status(status)
                        && let Some(sender) = self.lock().remove(&pid.as_raw_pid())
                    {
                        // Nobody waiting is fine: the process was let go.
                        let _ = sender.send(exit);
                    }
                }
                Err(Errno::CHILD) => {
                    let children = self.lock();
                    if children.is_empty() {
                        drop(self.born.wait(children).unwrap_or_else(PoisonError::into_inner));
                    }
                }
                Ok(None) | Err(_) => {}
            }
        }
    }
}

impl Process {
    /// Its number in the agent's pid namespace.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_pid()
    }

    /// Signals the process alone. Nothing happens once it has ended.
    pub fn signal(&self, signal: Signal) {
        let children = self.reaper.lock();
        if children.contains_key(&self.pid()) {
            let _ = rustix::process::kill_process(self.pid, signal);
        }
    }

    /// Signals the process group that it leads. Nothing happens once it has ended.
    pub fn signal_group(&self, signal: Signal) {
        let children = self.reaper.lock();
        if children.contains_key(&self.pid()) {
            let _ = rustix::process::kill_process_group(self.pid, signal);
        }
    }

    /// Waits for its end. May be cancelled and called again until it has returned once.
    pub async fn wait(&mut self) -> Exit {
        let Some(exit) = &mut self.exit else { return Exit::Signal(9) };
        let result = exit.await.unwrap_or(Exit::Signal(9));
        self.exit = None;
        result
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal_group(Signal::KILL);
    }
}
