//! The stores that are tested, empty.

use std::any::Any;
use std::sync::Arc;
use std::time::SystemTime;

use tempfile::TempDir;
use tokio::net::UnixListener;
use tulle_api::Object;
use tulle_store::{Embedded, EmbeddedOptions, Memory, RemoteStore, Store, serve};

/// Changes that a store remembers here, where that can be said.
const LOG: usize = 400;

/// A store, and what must live as long as it does.
pub(crate) struct Given {
    pub(crate) store: Arc<dyn Store>,
    _alive: Box<dyn Any + Send + Sync>,
}

impl Given {
    fn new(store: Arc<dyn Store>, alive: impl Any + Send + Sync) -> Option<Self> {
        Some(Self { store, _alive: Box::new(alive) })
    }

    /// Has the store forget everything that was before this.
    pub(crate) async fn forget(&self, object: &Object) {
        for n in 0..=LOG {
            let mut object = object.clone();
            object.meta.labels.insert("n".into(), n.to_string());
            self.store.put(object).await.unwrap();
        }
    }
}

pub(crate) async fn memory() -> Option<Given> {
    Given::new(Arc::new(Memory::with(SystemTime::now, LOG)), ())
}

pub(crate) async fn embedded() -> Option<Given> {
    let dir = TempDir::new().unwrap();
    let options = EmbeddedOptions { log_limit: LOG, ..EmbeddedOptions::default() };
    let store = Embedded::open_with(dir.path().join("store.db"), options).unwrap();
    Given::new(Arc::new(store), dir)
}

/// Ends a task with its owner.
struct Ends(tokio::task::AbortHandle);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(crate) async fn remote() -> Option<Given> {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("store.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = tokio::spawn(serve(listener, Arc::new(Memory::with(SystemTime::now, LOG))));
    Given::new(Arc::new(RemoteStore::new(path)), (dir, Ends(server.abort_handle())))
}
