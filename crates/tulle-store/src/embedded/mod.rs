//! A durable store in one file.
//!
//! The path of a write: it waits in a queue → whoever may write takes all that wait and decides them in their order → one
//! transaction of the database writes all of them and is synchronised with the disk → they become visible to readers and
//! watchers → they are acknowledged. So an acknowledged write is durable, nothing is seen that a crash could take back, and
//! writers who wait at the same time share one synchronisation. Reads are served from memory.
//!
//! The file keeps the newest changes too, so that watches go on over a restart where they were.

mod error;
mod file;
mod rows;
mod writer;

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::SystemTime;

use serde_json::Value;
use tokio::sync::oneshot;
use tulle_api::Object;
use tulle_base::ResourceRef;

use crate::StoreError;
use crate::decide::Write;
use crate::memory::{Memory, stored};
use crate::store::{Answer, Filter, Listing, LocalStore, Precondition, Store, Version, Watch};

pub use error::OpenError;
use file::StoreFile;
pub use rows::Keep;
use writer::{Done, Job, Writer};

/// Changes that the file remembers for watchers by default.
const DEFAULT_LOG: usize = 4096;
/// Most writes of one transaction; more wait for the next.
const MAX_BATCH: usize = 1024;

/// How a durable store behaves; the default keeps everything.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddedOptions {
    /// Tells the time for `creationTimestamp`; default the system's clock.
    pub clock: fn() -> SystemTime,
    /// Changes that are remembered for watchers, 1 at least; default 4096. They take 64 MiB at most in the file.
    pub log_limit: usize,
    /// Decides what of an object outlives a restart; default everything of every object.
    ///
    /// What is not kept is written to memory alone, acknowledged at once, and costs no synchronisation. Versions are never
    /// used again all the same; watches from before a restart are told [`StoreError::Expired`].
    pub keep: Option<fn(&Object) -> Keep>,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self { clock: SystemTime::now, log_limit: DEFAULT_LOG, keep: None }
    }
}

/// Objects in a file of an embedded database, and in memory. Cloning gives another handle to the same store; the file is closed
/// with the last.
#[derive(Clone, Debug)]
pub struct Embedded {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    memory: Memory,
    shared: Arc<Shared>,
    unreadable: Vec<(String, String)>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    more: Condvar,
    writer: Mutex<Writer>,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: Vec<Job>,
    closing: bool,
}

impl Embedded {
    /// Opens the store in the file at `path`, or makes it; its folder must be there. Every page of the file is verified, so this
    /// takes as long as reading all of it.
    ///
    /// # Errors
    /// [`OpenError`]; the file is unchanged then.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(path, EmbeddedOptions::default())
    }

    /// As [`Embedded::open`], with options.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_with(path: impl AsRef<Path>, options: EmbeddedOptions) -> Result<Self, OpenError> {
        let EmbeddedOptions { clock, log_limit, keep } = options;
        let path = path.as_ref();
        let log_limit = log_limit.max(1);
        let (file, contents) = StoreFile::open(path, keep, log_limit)?;
        for (key, reason) in &contents.unreadable {
            tracing::error!(file = %path.display(), key, reason, "an object cannot be read and is left out");
        }
        let memory = Memory::restored(clock, log_limit, contents.version, contents.objects, contents.log);
        let writer = Mutex::new(Writer { file, memory: memory.clone() });
        let shared = Arc::new(Shared { queue: Mutex::default(), more: Condvar::new(), writer });
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn({
                let shared = shared.clone();
                move || shared.work()
            })
            .map_err(|e| OpenError::io(path, e))?;
        let handle = Handle { memory, shared, unreadable: contents.unreadable, thread: Some(thread) };
        Ok(Self { handle: Arc::new(handle) })
    }

    /// Objects in the file that cannot be read, by key, with the reason: a newer version may have written them. They are left out,
    /// and stay in the file until something of their name is written.
    pub fn unreadable(&self) -> &[(String, String)] {
        &self.handle.unreadable
    }

    /// Asks for a write; it is in the queue when this returns.
    fn ask(&self, write: Write) -> oneshot::Receiver<Done> {
        let (answer, done) = oneshot::channel();
        lock(&self.handle.shared.queue).jobs.push(Job { write, answer });
        self.handle.shared.more.notify_one();
        done
    }

    fn ask_now(&self, write: Write) -> Done {
        let (answer, mut done) = oneshot::channel();
        lock(&self.handle.shared.queue).jobs.push(Job { write, answer });
        loop {
            // Somebody else may have done it while this waited for its turn.
            let mut writer = lock(&self.handle.shared.writer);
            match done.try_recv() {
                Ok(done) => return done,
                Err(oneshot::error::TryRecvError::Closed) => return Err(StoreError::Closed),
                Err(oneshot::error::TryRecvError::Empty) => writer.run(self.handle.shared.take()),
            }
        }
    }
}

impl Shared {
    fn take(&self) -> Vec<Job> {
        let mut queue = lock(&self.queue);
        let count = queue.jobs.len().min(MAX_BATCH);
        queue.jobs.drain(..count).collect()
    }

    /// Does what is asked for until the store is closed.
    fn work(&self) {
        loop {
            {
                let queue = lock(&self.queue);
                let waited = self.more.wait_while(queue, |q| q.jobs.is_empty() && !q.closing);
                let queue = waited.unwrap_or_else(PoisonError::into_inner);
                if queue.jobs.is_empty() && queue.closing {
                    return;
                }
            }
            // Taken only when it is this thread's turn: what came in the meantime goes along.
            let mut writer = lock(&self.writer);
            writer.run(self.take());
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        lock(&self.shared.queue).closing = true;
        self.shared.more.notify_all();
        if let Some(thread) = self.thread.take() {
            // It ends with an error only if it panicked, which was told then.
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is half done after a panic is not published, and the file undoes it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answered(done: oneshot::Receiver<Done>) -> Done {
    done.await.map_err(|_| StoreError::Closed)?
}

impl Store for Embedded {
    fn get<'a>(&'a self, resource: &'a ResourceRef) -> Answer<'a, Option<Arc<Object>>> {
        self.handle.memory.get(resource)
    }

    fn list(&self, filter: Filter) -> Answer<'_, Listing> {
        self.handle.memory.list(filter)
    }

    fn put(&self, object: Object) -> Answer<'_, Arc<Object>> {
        let done = self.ask(Write::Put(Box::new(object)));
        Box::pin(async move { stored(answered(done).await?) })
    }

    fn put_status_if<'a>(
        &'a self,
        resource: &'a ResourceRef,
        status: Value,
        only_if: Precondition,
    ) -> Answer<'a, Arc<Object>> {
        let done = self.ask(Write::Status(resource.clone(), status, only_if));
        Box::pin(async move { stored(answered(done).await?) })
    }

    fn delete_if<'a>(
        &'a self,
        resource: &'a ResourceRef,
        only_if: Precondition,
    ) -> Answer<'a, Option<Arc<Object>>> {
        Box::pin(answered(self.ask(Write::Delete(resource.clone(), only_if))))
    }

    fn watch(&self, filter: Filter, from: Version) -> Answer<'_, Watch> {
        self.handle.memory.watch(filter, from)
    }
}

impl LocalStore for Embedded {
    fn put_now(&self, object: Object) -> Result<Arc<Object>, StoreError> {
        stored(self.ask_now(Write::Put(Box::new(object)))?)
    }

    fn put_status_now(&self, resource: &ResourceRef, status: Value) -> Result<Arc<Object>, StoreError> {
        stored(self.ask_now(Write::Status(resource.clone(), status, Precondition::default()))?)
    }

    fn delete_now(
        &self,
        resource: &ResourceRef,
        only_if: &Precondition,
    ) -> Result<Option<Arc<Object>>, StoreError> {
        self.ask_now(Write::Delete(resource.clone(), only_if.clone()))
    }

    fn get_now(&self, resource: &ResourceRef) -> Option<Arc<Object>> {
        self.handle.memory.get_now(resource)
    }

    fn list_now(&self, filter: &Filter) -> Listing {
        self.handle.memory.list_now(filter)
    }
}
