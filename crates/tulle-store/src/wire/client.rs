//! A store in another process.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tulle_api::Object;
use tulle_base::ResourceRef;
use tulle_base::backoff::Backoff;

use super::lines::{Lines, write};
use super::messages::{Request, change, check, object, version};
use crate::StoreError;
use crate::memory::stored;
use crate::store::{Answer, Change, Filter, Listing, Precondition, Store, Version, Watch, WatchSource};

/// How often a request is tried; between the tries the other side has about half a second to come back.
const TRIES: u32 = 4;
/// Connections that are kept for the next request.
const MAX_IDLE: usize = 4;

/// The store that [`serve`](super::serve) offers on a socket. It connects when it is used and again when a connection is lost.
#[derive(Debug)]
pub struct RemoteStore {
    socket: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

#[derive(Debug)]
struct Connection {
    lines: Lines<OwnedReadHalf>,
    out: OwnedWriteHalf,
}

impl RemoteStore {
    /// The store at the socket with this path; nothing happens before it is used.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into(), idle: Mutex::default() }
    }

    async fn connect(&self) -> Result<Connection, StoreError> {
        let (read, out) = UnixStream::connect(&self.socket).await?.into_split();
        Ok(Connection { lines: Lines::new(read), out })
    }

    fn take_idle(&self) -> Option<Connection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn keep_idle(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
    }

    /// Sends a request until there is an answer, as often as is safe: all requests of this protocol can be repeated. A put
    /// that names a version and was done already ends in a conflict.
    ///
    /// A connection that a dropped call left in the middle of an answer is not used again.
    async fn ask(&self, request: &Request) -> Result<(Vec<Object>, Value), StoreError> {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(400));
        let line = request.to_json();
        loop {
            let attempt = async {
                let mut connection = match self.take_idle() {
                    Some(connection) => connection,
                    None => self.connect().await?,
                };
                let answer = exchange(&mut connection, &line).await?;
                self.keep_idle(connection);
                Ok(answer)
            };
            match attempt.await {
                Err(StoreError::Unreachable(error)) if backoff.failures() + 1 < TRIES => {
                    tracing::debug!(%error, "the store is away; trying again");
                    self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
                    tokio::time::sleep(backoff.next(fastrand::f64())).await;
                }
                Ok((objects, end)) => return check(&end).map(|()| (objects, end)),
                Err(error) => return Err(error),
            }
        }
    }

    async fn ask_one(&self, request: Request) -> Result<Option<Arc<Object>>, StoreError> {
        let (_, end) = self.ask(&request).await?;
        match end.get("found") {
            Some(found) if !found.is_null() => Ok(Some(Arc::new(object(Some(found))?))),
            _ => Ok(None),
        }
    }
}

/// One request, the objects of its answer, and the line that ends it.
async fn exchange(connection: &mut Connection, line: &Value) -> Result<(Vec<Object>, Value), StoreError> {
    write(&mut connection.out, line).await?;
    let mut objects = Vec::new();
    loop {
        let value = connection.lines.expect().await?;
        if value.get("object").is_none() {
            return Ok((objects, value));
        }
        objects.push(object(Some(&value))?);
    }
}

impl Store for RemoteStore {
    fn get<'a>(&'a self, resource: &'a ResourceRef) -> Answer<'a, Option<Arc<Object>>> {
        Box::pin(self.ask_one(Request::Get(resource.clone())))
    }

    fn list(&self, filter: Filter) -> Answer<'_, Listing> {
        Box::pin(async move {
            let (objects, end) = self.ask(&Request::List(filter)).await?;
            let objects = objects.into_iter().map(Arc::new).collect();
            Ok(Listing { version: version(end.get("version"))?, objects })
        })
    }

    fn put(&self, object: Object) -> Answer<'_, Arc<Object>> {
        Box::pin(async move { stored(self.ask_one(Request::Put(Box::new(object))).await?) })
    }

    fn put_status_if<'a>(
        &'a self,
        resource: &'a ResourceRef,
        status: Value,
        only_if: Precondition,
    ) -> Answer<'a, Arc<Object>> {
        Box::pin(
            async move { stored(self.ask_one(Request::PutStatus(resource.clone(), status, only_if)).await?) },
        )
    }

    fn delete_if<'a>(
        &'a self,
        resource: &'a ResourceRef,
        only_if: Precondition,
    ) -> Answer<'a, Option<Arc<Object>>> {
        Box::pin(self.ask_one(Request::Delete(resource.clone(), only_if)))
    }

    fn watch(&self, filter: Filter, from: Version) -> Answer<'_, Watch> {
        Box::pin(async move {
            let mut connection = self.connect().await?;
            write(&mut connection.out, &Request::Watch(filter, from).to_json()).await?;
            let first = connection.lines.expect().await?;
            check(&first)?;
            if first.get("watching").is_none() {
                return Err(StoreError::Protocol("a watch was not confirmed"));
            }
            Ok(Watch::new(connection))
        })
    }
}

impl WatchSource for Connection {
    fn next(&mut self) -> Answer<'_, Change> {
        Box::pin(async move {
            let value = self.lines.expect().await?;
            check(&value)?;
            change(&value)
        })
    }
}
