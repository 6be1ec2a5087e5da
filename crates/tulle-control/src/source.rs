//! Opening the store that a control plane watches.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tulle_base::Severity;
use tulle_store::{
    Embedded, Etcd, EtcdError, EtcdOptions, EtcdTls, Folder, FolderError, Memory, OpenError, RemoteStore,
    Report, Store, StoreAddress, StoreError,
};

/// Wait before files that could not be taken in are tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What an etcd asks for; default nothing.
#[derive(Clone, Debug, Default)]
pub struct EtcdAccess {
    /// TLS, if it speaks TLS.
    pub tls: Option<EtcdTls>,
    /// Name and password.
    pub user: Option<(String, String)>,
}

/// A store, and the work that is done for it as long as this lives.
pub struct Source {
    store: Arc<dyn Store>,
    tasks: JoinSet<()>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Files cannot be watched.
    #[error("the store: {0}")]
    Folder(#[from] FolderError),
    /// Files cannot be taken in.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    /// A database cannot be opened.
    #[error("the store: {0}")]
    Embedded(#[from] OpenError),
    /// An etcd cannot be used.
    #[error("the store: {0}")]
    Etcd(#[from] EtcdError),
    /// A socket cannot be made.
    #[error("{}: {source}; name a socket in a folder that can be written", path.display())]
    Socket {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Source {
    /// Opens the store at `address`. A folder is read once before this returns. A store that is away is no error: it may come.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn open(address: &StoreAddress, access: EtcdAccess) -> Result<Self, SourceError> {
        let mut tasks = JoinSet::new();
        let store: Arc<dyn Store> = match address {
            StoreAddress::Socket(path) => Arc::new(RemoteStore::new(path)),
            StoreAddress::Embedded(path) => Arc::new(Embedded::open(path)?),
            StoreAddress::Etcd { endpoints, prefix } => {
                let EtcdAccess { tls, user } = access;
                let options = EtcdOptions { endpoints: endpoints.clone(), prefix: prefix.clone(), tls, user };
                let etcd = Etcd::new(&options)?;
                etcd.check().await?;
                Arc::new(etcd)
            }
            StoreAddress::Folder(path) => {
                let memory = Memory::new();
                let mut folder = Folder::open(std::slice::from_ref(path))?;
                tell(&folder.load(&memory).await?);
                tasks.spawn(feed(folder, memory.clone()));
                Arc::new(memory)
            }
        };
        Ok(Self { store, tasks })
    }

    /// The store.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// Offers the store to everybody who can reach the socket at `path`, which is made with permissions for this user alone; one
    /// that is left there from before is replaced.
    ///
    /// # Errors
    /// [`SourceError::Socket`].
    pub fn serve(&mut self, path: PathBuf) -> Result<(), SourceError> {
        use std::os::unix::fs::PermissionsExt as _;
        let listen = || {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let listener = UnixListener::bind(&path)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
            Ok(listener)
        };
        let listener = listen().map_err(|source| SourceError::Socket { path: path.clone(), source })?;
        self.tasks.spawn(tulle_store::serve(listener, self.store()));
        Ok(())
    }
}

/// Keeps a store in step with files.
async fn feed(mut folder: Folder, store: Memory) {
    loop {
        match folder.next(&store).await {
            Ok(report) => tell(&report),
            Err(error) => {
                tracing::error!(%error, "manifests could not be applied");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

fn tell(report: &Report) {
    for problem in report.diagnostics.iter().filter(|d| d.severity >= Severity::Warning) {
        tracing::warn!(%problem, "manifest");
    }
    tracing::info!(put = report.put.len(), deleted = report.deleted.len(), "manifests read");
}
