//! A request after its head was read and its caller is known.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::sync::Semaphore;
use tulle_api::value::Timestamp;
use tulle_store::Store;
use tulle_telemetry::audit::AuditLog;

use crate::access::{Identity, Token};
use crate::error::ApiError;
use crate::hub::Hub;
use crate::negotiate::{self, Form, Include};
use crate::page::Pages;
use crate::query::Query;

/// What everybody may take at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's body.
    pub body: usize,
    /// Connections at a time.
    pub connections: usize,
    /// Watches at a time.
    pub watches: usize,
    /// Requests of one HTTP/2 connection at a time.
    pub streams: u32,
    /// Until a request's head and body must have come, and how long an idle HTTP/1.1 connection is kept.
    pub patience: Duration,
    /// How long a watcher may not read before its watch is ended.
    pub watcher_patience: Duration,
    /// Between two bookmarks of a quiet watch.
    pub bookmarks: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 3 << 20,
            connections: 1024,
            watches: 1024,
            streams: 250,
            patience: Duration::from_secs(30),
            watcher_patience: Duration::from_secs(15),
            bookmarks: Duration::from_secs(55),
        }
    }
}

/// What the API asks of the machine that runs the pods, if there is one.
pub trait Machine: Send + Sync {
    /// Whether a pod that is deleted is only marked, since the node takes it away once it has stopped.
    fn stops_pods(&self) -> bool;

    /// The files with a container's output, the older one first.
    fn logs(&self, namespace: &str, pod: &str, container: &str) -> Vec<PathBuf>;
}

/// No pods run here.
#[derive(Clone, Copy, Debug)]
pub struct NoMachine;

impl Machine for NoMachine {
    fn stops_pods(&self) -> bool {
        false
    }

    fn logs(&self, _: &str, _: &str, _: &str) -> Vec<PathBuf> {
        Vec::new()
    }
}

/// What all requests share.
pub(crate) struct Shared {
    pub store: Arc<dyn Store>,
    pub audit: AuditLog,
    pub hub: Hub,
    pub tokens: Vec<Token>,
    pub limits: Limits,
    pub machine: Arc<dyn Machine>,
    pub pages: Pages,
    pub watches: Arc<Semaphore>,
}

/// A request.
pub(crate) struct Call {
    pub shared: Arc<Shared>,
    pub identity: Identity,
    pub method: Method,
    pub query: Query,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Call {
    /// The form in which objects are wanted.
    pub(crate) fn form(&self) -> Result<Form, ApiError> {
        let include = match self.query.text("includeObject") {
            "" | "Metadata" => Include::Metadata,
            "None" => Include::None,
            "Object" => Include::Object,
            other => {
                let message = format!("includeObject={other:?}: write None, Metadata or Object");
                return Err(ApiError::bad_request(message));
            }
        };
        Ok(match negotiate::form(&self.headers)? {
            Form::Table(_) => Form::Table(include),
            form => form,
        })
    }

    /// Who writes.
    pub(crate) fn manager(&self) -> Result<String, ApiError> {
        let agent = self.headers.get(http::header::USER_AGENT).and_then(|v| v.to_str().ok());
        self.query.manager(agent.unwrap_or_default())
    }
}

/// Now, in whole seconds.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
