//! The HTTP side: Prometheus' query API, and what the dashboard asks besides.
//!
//! [`Api`] answers requests that have been read; [`serve`] is the small HTTP/1.1 server around it. Nothing here changes anything, so
//! that a request costs at most what [`QueryLimits`] allow, and a few run at a time.

mod api;
mod params;
mod serve;
mod write;

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::layout::Keeper;
use crate::query::QueryLimits;
use crate::store::Store;

pub use params::Params;
pub use serve::serve;

/// How many queries run at a time; more wait.
const QUERIES: usize = 4;

/// Who may be meant by a request's `Host`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// Anybody: names are those of a cluster's DNS.
    Any,
    /// Addresses, and names that are nobody's in the public DNS (`localhost`, a single label, `.svc`, `.local`). A page that a browser got elsewhere cannot read the answers by giving its own name our address.
    Local,
}

/// What is answered from.
#[derive(Clone, Debug)]
pub struct Api {
    store: Arc<Store>,
    limits: QueryLimits,
    hosts: Hosts,
    slots: Arc<Semaphore>,
    places: Arc<Keeper>,
}

/// A request, read.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Whether it is a GET or HEAD; otherwise a POST.
    pub get: bool,
    /// Path, without query.
    pub path: String,
    /// Parameters of the query and of a form in the body.
    pub params: Params,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `content-type`.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

impl Api {
    /// An API over `store`.
    pub fn new(store: Arc<Store>, limits: QueryLimits, hosts: Hosts) -> Self {
        Self { store, limits, hosts, slots: Arc::new(Semaphore::new(QUERIES)), places: Arc::default() }
    }

    /// Answers a request, on a thread that may block. `now` is milliseconds since 1970.
    pub async fn answer(&self, asked: Asked, now: i64) -> Reply {
        // Never closed.
        let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else { return Reply::unavailable() };
        let api = self.clone();
        let work = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            api::answer(&api, &asked, now)
        });
        work.await.unwrap_or_else(|_| Reply::unavailable())
    }
}

impl Reply {
    fn text(status: u16, text: &str) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: text.as_bytes().to_vec() }
    }

    fn json(body: Vec<u8>) -> Self {
        Self { status: 200, content_type: "application/json", body }
    }

    /// Prometheus' error format.
    fn error(status: u16, kind: &str, message: &str) -> Self {
        let body = serde_json::json!({"status": "error", "errorType": kind, "error": message});
        Self { status, content_type: "application/json", body: body.to_string().into_bytes() }
    }

    fn unavailable() -> Self {
        Self::error(503, "unavailable", "the query could not be run")
    }
}
