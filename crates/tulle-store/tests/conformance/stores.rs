//! The stores that are tested, empty.

use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::Mutex;
use tulle_api::Object;
use tulle_store::{Embedded, EmbeddedOptions, Etcd, Memory, RemoteStore, Store, serve};

use crate::etcd_server::EtcdServer;

/// Changes that a store remembers here, where that can be said.
const LOG: usize = 400;

/// A store, and what must live as long as it does.
pub(crate) struct Given {
    pub(crate) store: Arc<dyn Store>,
    /// The same, where it forgets only what it is told to.
    etcd: Option<Etcd>,
    _alive: Box<dyn Any + Send + Sync>,
}

impl Given {
    fn new(store: Arc<dyn Store>, alive: impl Any + Send + Sync) -> Option<Self> {
        Some(Self { store, etcd: None, _alive: Box::new(alive) })
    }

    /// Has the store forget everything that was before this.
    pub(crate) async fn forget(&self, object: &Object) {
        if let Some(etcd) = &self.etcd {
            let now = self.store.put(object.clone()).await.unwrap();
            etcd.compact(now.meta.resource_version.parse().unwrap()).await.unwrap();
            return;
        }
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

/// One server for all tests that run at the same time, each with a prefix of its own.
static SERVER: Mutex<Weak<EtcdServer>> = Mutex::const_new(Weak::new());
static PREFIXES: AtomicUsize = AtomicUsize::new(0);

pub(crate) async fn etcd() -> Option<Given> {
    let server = {
        let mut shared = SERVER.lock().await;
        match shared.upgrade() {
            Some(server) => server,
            None => {
                let server = Arc::new(EtcdServer::start().await?);
                *shared = Arc::downgrade(&server);
                server
            }
        }
    };
    let etcd = server.store(&format!("/test/{}", PREFIXES.fetch_add(1, Ordering::Relaxed)));
    Some(Given { store: Arc::new(etcd.clone()), etcd: Some(etcd), _alive: Box::new(server) })
}
