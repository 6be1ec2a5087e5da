//! The resource API of the mesh: over the agent's store, on the socket that the host side bound.
//!
//! It has a thread of its own, so that a big list does not keep pods waiting. What was made over it is kept in a file of the
//! state directory and is there again when the mesh is; everything else comes from manifests and controllers each time.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;
use tulle_api::{Kind, Object};
use tulle_apiserver::{
    Identity, Limits, Machine, Options, Role, Server, Token, kubeconfig, secret_in, server_tls, write_private,
};
use tulle_store::{Embedded, EmbeddedOptions, Keep, LocalStore, Store};
use tulle_telemetry::audit::AuditLog;

use crate::node::paths::Paths;
use crate::pod::logs;

/// Why the API did not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiStartError {
    /// A file of it cannot be used.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] tulle_store::OpenError),
    /// There is no certificate.
    #[error(transparent)]
    Tls(#[from] tulle_apiserver::TlsError),
    /// The socket or the thread failed.
    #[error("the resource API cannot be served: {0}")]
    Serve(io::Error),
}

/// The agent's store, with what was made over the API before.
pub(super) fn open_store(paths: &Paths) -> Result<Arc<dyn LocalStore>, ApiStartError> {
    let dir = paths.api();
    std::fs::create_dir_all(&dir).map_err(|source| ApiStartError::File { path: dir.clone(), source })?;
    let options = EmbeddedOptions { keep: Some(keep), ..EmbeddedOptions::default() };
    Ok(Arc::new(Embedded::open_with(dir.join("objects.db"), options)?))
}

/// What was made over the API is kept; its status is found out anew. What comes from files or from a controller comes again.
fn keep(object: &Object) -> Keep {
    let meta = &object.meta;
    let over_api = object.origin.is_none() && !meta.managed_fields.is_empty();
    let controlled = meta.owner_references.iter().any(|r| r.controller == Some(true));
    let stopping = object.kind() == Kind::Pod && meta.deletion_timestamp.is_some();
    if over_api && !controlled && !stopping { Keep::WithoutStatus } else { Keep::Nothing }
}

/// The API's thread; ends when this is dropped.
pub(super) struct ApiThread {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for ApiThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It ends at once, with all its connections; a panic in it was told of already.
            let _ = thread.join();
        }
    }
}

/// Serves `store` on `socket` and writes the kubeconfig for `url`; what it refuses goes to `audit`.
pub(super) fn start(
    socket: OwnedFd,
    store: Arc<dyn Store>,
    paths: &Paths,
    url: &str,
    audit: AuditLog,
) -> Result<ApiThread, ApiStartError> {
    let dir = paths.api();
    let secret = |name: &str| {
        let path = dir.join(name);
        secret_in(&path).map_err(|source| ApiStartError::File { path, source })
    };
    let (admin, viewer) = (secret("admin-token")?, secret("viewer-token")?);
    let tls = server_tls(&dir.join("ca.pem"))?;
    for (path, user, token) in
        [(paths.kubeconfig(), "admin", &admin), (dir.join("viewer-kubeconfig"), "viewer", &viewer)]
    {
        let text = kubeconfig(url, &tls.authority, user, token);
        write_private(&path, text.as_bytes()).map_err(|source| ApiStartError::File { path, source })?;
    }
    let identity = |name: &str, role| Identity { name: format!("tulle:{name}"), role };
    let options = Options {
        store,
        tokens: vec![
            Token::new(&admin, identity("admin", Role::Admin)),
            Token::new(&viewer, identity("viewer", Role::Viewer)),
        ],
        limits: Limits::default(),
        machine: Arc::new(Node { logs: paths.logs() }),
        tls: Some(tls),
        audit,
    };
    let listener = std::net::TcpListener::from(socket);
    listener.set_nonblocking(true).map_err(ApiStartError::Serve)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ApiStartError::Serve)?;
    let (stop, stopped) = oneshot::channel();
    let serve = move || {
        runtime.block_on(async {
            let started = tokio::net::TcpListener::from_std(listener).and_then(|l| Server::start(l, options));
            match started {
                Ok(mut server) => {
                    tokio::select! {
                        () = server.ended() => tracing::error!("the resource API has ended"),
                        _ = stopped => {}
                    }
                }
                Err(error) => tracing::error!(%error, "the resource API cannot be served"),
            }
        });
    };
    let thread = std::thread::Builder::new().name("api".into()).spawn(serve).map_err(ApiStartError::Serve)?;
    Ok(ApiThread { stop: Some(stop), thread: Some(thread) })
}

/// This machine, as the API knows it.
struct Node {
    logs: PathBuf,
}

impl Machine for Node {
    fn stops_pods(&self) -> bool {
        true
    }

    fn logs(&self, namespace: &str, pod: &str, container: &str) -> Vec<PathBuf> {
        let path = logs::path(&self.logs, namespace, pod, container);
        vec![logs::rotated(&path), path]
    }
}
