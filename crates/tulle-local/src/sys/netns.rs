//! Network namespaces, held by an open descriptor: they live as long as it, or a process in them, does.
#![allow(unsafe_code, reason = "unshare(CLONE_NEWNET) has no safe form in rustix")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::{Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

/// A network namespace.
#[derive(Debug)]
pub struct NetNs {
    fd: OwnedFd,
}

impl NetNs {
    /// Makes an empty one: only a loopback link, and that is down.
    ///
    /// # Errors
    /// `EPERM` without the right, `ENOSPC` when the machine's limit is reached.
    pub fn create() -> io::Result<Self> {
        on_thread(|| {
            // SAFETY: only CLONE_FILES makes unshare unsound in Rust; this thread's network namespace is its own affair.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
            Self::current()
        })
    }

    /// The one that the current thread is in.
    ///
    /// # Errors
    /// What the kernel said; `ENOENT` if `/proc` is not mounted.
    pub fn current() -> io::Result<Self> {
        let fd =
            rustix::fs::open("/proc/thread-self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { fd })
    }

    /// Runs `body` on a thread in this namespace. Sockets that it opens stay in the namespace for good.
    ///
    /// # Errors
    /// When the thread cannot be made or moved, else what `body` returned.
    pub fn run<T: Send>(&self, body: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        on_thread(|| {
            rustix::thread::move_into_link_name_space(self.fd.as_fd(), Some(LinkNameSpaceType::Network))?;
            body()
        })
    }

    /// The number of the descriptor, for paths of the form `/proc/PID/fd/N`.
    pub fn raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A thread of its own, so that the caller's namespaces stay as they are.
fn on_thread<T: Send>(body: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("netns".into())
            .stack_size(256 * 1024)
            .spawn_scoped(scope, body)?
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread in the network namespace panicked")))
    })
}
