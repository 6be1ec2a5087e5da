//! When to look at the files again.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// Quiet time after the last event before files are read.
const QUIET: Duration = Duration::from_millis(40);
/// Files are read at the latest this long after the first event.
const LATEST: Duration = Duration::from_millis(120);
/// A file that somebody writes to without closing it is read after this time without a write.
const SLOW_WRITER: Duration = Duration::from_secs(1);
/// How often files are looked at where the kernel cannot watch them.
const POLL: Duration = Duration::from_millis(250);

/// Watches folders with inotify (Linux, inotify(7)); where that is not possible, wakes up regularly.
#[derive(Debug)]
pub(super) struct Watcher {
    inotify: Option<OwnedFd>,
    ready: Option<AsyncFd<OwnedFd>>,
    folders: HashMap<i32, PathBuf>,
    writing: HashMap<PathBuf, Instant>,
}

impl Watcher {
    pub(super) fn new() -> Self {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)
            .inspect_err(|error| tracing::warn!(%error, "files cannot be watched, polling instead"))
            .ok();
        Self { inotify, ready: None, folders: HashMap::new(), writing: HashMap::new() }
    }

    /// Watches a folder; to watch it twice does no harm.
    pub(super) fn add(&mut self, folder: &Path) {
        let flags = WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        let added = match (&self.ready, &self.inotify) {
            (Some(ready), _) => inotify::add_watch(ready.get_ref(), folder, flags),
            (None, Some(inotify)) => inotify::add_watch(inotify, folder, flags),
            (None, None) => return,
        };
        match added {
            Ok(id) => drop(self.folders.insert(id, folder.to_owned())),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {}
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "cannot be watched, polling instead");
                (self.inotify, self.ready) = (None, None);
            }
        }
    }

    /// Whether somebody is in the middle of writing `file`.
    pub(super) fn is_being_written(&self, file: &Path) -> bool {
        self.writing.get(plain(file)).is_some_and(|since| since.elapsed() < SLOW_WRITER)
    }

    /// Waits until something happened and then for quiet, or until `again` at the latest.
    pub(super) async fn settled(&mut self, again: Option<Instant>) {
        if self.ready.is_none() {
            self.ready = self.inotify.take().and_then(readiness);
        }
        if self.ready.is_none() {
            sleep(POLL).await;
            return;
        }
        let slow = self.writing.values().map(|since| *since + SLOW_WRITER).min();
        match [again, slow].into_iter().flatten().min() {
            Some(deadline) => {
                tokio::select! {
                    () = self.event() => {}
                    () = sleep_until(deadline) => {}
                }
            }
            None => self.event().await,
        }
        let latest = Instant::now() + LATEST;
        while timeout_at(latest.min(Instant::now() + QUIET), self.event()).await.is_ok() {
            if Instant::now() >= latest {
                break;
            }
        }
        self.writing.retain(|_, since| since.elapsed() < SLOW_WRITER);
    }

    /// Waits for events and takes note of them.
    async fn event(&mut self) {
        let Some(ready) = &self.ready else { return std::future::pending().await };
        let Ok(mut guard) = ready.readable().await else { return std::future::pending().await };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(ready.get_ref(), &mut buffer);
        while let Ok(event) = reader.next() {
            let Some(folder) = self.folders.get(&event.wd()) else { continue };
            let name = event.file_name().map(|n| OsStr::from_bytes(n.to_bytes()));
            let path = name.map_or_else(|| folder.clone(), |n| folder.join(n));
            if event.events().contains(ReadFlags::IGNORED) {
                self.folders.remove(&event.wd());
            } else if event.events().contains(ReadFlags::MODIFY) {
                self.writing.insert(plain(&path).to_owned(), Instant::now());
            } else {
                self.writing.remove(plain(&path));
            }
        }
        guard.clear_ready();
    }
}

/// The path without a leading `./`, which one may write or not.
fn plain(path: &Path) -> &Path {
    path.strip_prefix(".").unwrap_or(path)
}

#[allow(deprecated, reason = "unsound only for types whose descriptor changes; that of an OwnedFd does not")]
fn readiness(fd: OwnedFd) -> Option<AsyncFd<OwnedFd>> {
    AsyncFd::new(fd).ok()
}
