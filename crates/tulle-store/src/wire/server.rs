//! Offering a store on a socket.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncWriteExt as _, BufWriter};
use tokio::net::UnixListener;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinSet;

use super::lines::{Lines, write};
use super::messages::{Request, change_json, error_json, object_json};
use crate::{Filter, Store, StoreError, Version};

/// Most connections at a time; more wait.
const MAX_CONNECTIONS: usize = 128;
/// Bytes of a listing that are sent at a time.
const LIST_BUFFER: usize = 64 << 10;

/// Offers `store` to everybody who can reach `listener`, until dropped; that ends every connection. Who may connect is
/// decided by the socket's file permissions.
pub async fn serve(listener: UnixListener, store: Arc<dyn Store>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection(stream, store.clone()))),
                Err(error) => {
                    tracing::warn!(%error, "a connection to the store could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: UnixStream, store: Arc<dyn Store>) {
    let (read, mut write_half) = stream.into_split();
    let mut lines = Lines::new(read);
    if let Err(error) = converse(&mut lines, &mut write_half, &*store).await {
        tracing::debug!(%error, "a connection to the store ended");
        // The other side may be gone; then nobody needs the reason.
        let _ = write(&mut write_half, &error_json(&error)).await;
    }
}

async fn converse(
    lines: &mut Lines<OwnedReadHalf>,
    out: &mut OwnedWriteHalf,
    store: &dyn Store,
) -> Result<(), StoreError> {
    while let Some(value) = lines.next().await? {
        match Request::from_json(&value) {
            Ok(Request::Watch(filter, from)) => return watch(lines, out, store, filter, from).await,
            Ok(Request::List(filter)) => list(out, store, filter).await?,
            Ok(request) => {
                let answer = answer(store, request).await.unwrap_or_else(|e| error_json(&e));
                write(out, &answer).await?;
            }
            Err(error) => write(out, &error_json(&error)).await?,
        }
    }
    Ok(())
}

async fn answer(store: &dyn Store, request: Request) -> Result<Value, StoreError> {
    Ok(match request {
        Request::Get(resource) => json!({"found": store.get(&resource).await?.map(|o| object_json(&o))}),
        Request::Put(object) => json!({"found": object_json(&*store.put(*object).await?)}),
        Request::PutStatus(resource, status, only_if) => {
            json!({"found": object_json(&*store.put_status_if(&resource, status, only_if).await?)})
        }
        Request::Delete(resource, only_if) => {
            json!({"found": store.delete_if(&resource, only_if).await?.map(|o| object_json(&o))})
        }
        Request::List(_) | Request::Watch(..) => {
            return Err(StoreError::Protocol("has more than one answer"));
        }
    })
}

async fn list(out: &mut OwnedWriteHalf, store: &dyn Store, filter: Filter) -> Result<(), StoreError> {
    match store.list(filter).await {
        Ok(listing) => {
            let mut out = BufWriter::with_capacity(LIST_BUFFER, out);
            for object in &listing.objects {
                write(&mut out, &object_json(object)).await?;
            }
            write(&mut out, &json!({"version": listing.version})).await?;
            Ok(out.flush().await?)
        }
        Err(error) => write(out, &error_json(&error)).await,
    }
}

async fn watch(
    lines: &mut Lines<OwnedReadHalf>,
    out: &mut OwnedWriteHalf,
    store: &dyn Store,
    filter: Filter,
    from: Version,
) -> Result<(), StoreError> {
    let mut watch = store.watch(filter, from).await?;
    write(out, &json!({"watching": true})).await?;
    loop {
        tokio::select! {
            change = watch.next() => write(out, &change_json(&change?)).await?,
            line = lines.next() => match line? {
                None => return Ok(()),
                Some(_) => return Err(StoreError::Protocol("a watch takes no requests")),
            },
        }
    }
}
