//! The HTTP side: Prometheus' query API, and what the dashboard asks besides.
//!
//! [`Api`] answers requests that have been read; [`serve`] is the small HTTP/1.1 server around it. What reads costs at most what
//! [`QueryLimits`] allow, and a few run at a time; what writes goes to the [`Plane`] alone, from whom [`access`] lets.

pub mod access;
mod events;
mod guard;
mod pages;
mod params;
mod patience;
mod prometheus;
mod reply;
mod serve;
mod tap;
mod ticks;
mod write;

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use hyper::Method;
use tokio::sync::Semaphore;

use crate::layout::Keeper;
use crate::pages::Seen;
use crate::plane::Plane;
use crate::query::QueryLimits;
use crate::store::Store;
use crate::traces::Traces;
use access::{Access, Who};

pub use events::Events;
pub use params::Params;
pub use reply::Reply;
pub use serve::serve;
pub use ticks::{LettingGo, tick};

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
#[derive(Clone)]
pub struct Api {
    store: Arc<Store>,
    plane: Option<Arc<dyn Plane>>,
    access: Option<Arc<Access>>,
    events: Arc<Events>,
    limits: QueryLimits,
    hosts: Hosts,
    slots: Arc<Semaphore>,
    /// Where the nodes of the graph are drawn.
    places: Arc<Keeper>,
    /// What was looked at last, for the pages that ask for the same at about the same time.
    seen: Arc<Mutex<Option<Remembered>>>,
    traces: Option<Arc<Traces>>,
}

/// What was looked at, under which version of the mesh and which window, and when.
type Remembered = ((u64, i64), Instant, Arc<Seen>);

/// A request, read.
#[derive(Clone, Debug)]
pub struct Asked {
    /// GET also stands for HEAD.
    pub method: Method,
    /// Path, without query.
    pub path: String,
    /// Parameters of the query and of a form in the body.
    pub params: Params,
    /// The body, unless it is a form.
    pub body: Bytes,
    /// The header `Cookie`.
    pub cookie: String,
    /// The header `Authorization`.
    pub authorization: String,
    /// The header `X-Tulle-Csrf`.
    pub csrf: String,
    /// The header `Origin`.
    pub origin: String,
    /// The header `Host`.
    pub host: String,
    /// The header `Accept-Encoding`.
    pub encodings: String,
    /// Where it comes from.
    pub peer: Option<IpAddr>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api")
            .field("hosts", &self.hosts)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Api {
    /// An API over `store` alone, that everybody reads.
    pub fn new(store: Arc<Store>, limits: QueryLimits, hosts: Hosts) -> Self {
        Self {
            store,
            plane: None,
            access: None,
            events: Arc::default(),
            limits,
            hosts,
            slots: Arc::new(Semaphore::new(QUERIES)),
            places: Arc::default(),
            traces: None,
            seen: Arc::default(),
        }
    }

    /// With what a control plane knows.
    #[must_use]
    pub fn with_plane(mut self, plane: Arc<dyn Plane>) -> Self {
        self.plane = Some(plane);
        self
    }

    /// For whom `access` lets in.
    #[must_use]
    pub fn with_access(mut self, access: Arc<Access>) -> Self {
        self.access = Some(access);
        self
    }

    /// Who listens to events.
    pub fn events(&self) -> &Arc<Events> {
        &self.events
    }

    /// The same with traces and records of requests.
    #[must_use]
    pub fn with_traces(mut self, traces: Arc<Traces>) -> Self {
        self.traces = Some(traces);
        self
    }

    /// Answers a request, on a thread that may block. `now` is milliseconds since 1970.
    pub async fn answer(&self, asked: Asked, now: i64) -> Reply {
        let who = self.who(&asked, now);
        if let Some(reply) = guard::answer(self, &asked, &who, now) {
            return reply;
        }
        if let Some(plane) = &self.plane
            && let Some(reply) = pages::answer(self, plane, &asked, &who, now).await
        {
            return reply;
        }
        let api = self.clone();
        self.blocking(move || prometheus::answer(&api, &asked, now)).await
    }

    fn who(&self, asked: &Asked, now: i64) -> Who {
        match &self.access {
            None => Who {
                name: "anonymous".to_owned(),
                mode: access::Mode::Anonymous,
                can_write: false,
                csrf: None,
                expires: None,
            },
            Some(access) => {
                let seconds = u64::try_from(now / 1000).unwrap_or(0);
                access.who(&asked.cookie, &asked.authorization, asked.peer, seconds)
            }
        }
    }

    async fn blocking(&self, work: impl FnOnce() -> Reply + Send + 'static) -> Reply {
        // Never closed.
        let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else { return Reply::unavailable() };
        let work = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            work()
        });
        work.await.unwrap_or_else(|_| Reply::unavailable())
    }
}
