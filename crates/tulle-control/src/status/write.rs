//! Writing statuses into the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tulle_base::ResourceRef;
use tulle_store::{Store, StoreError};

use crate::stop::Stop;

/// Wait before what failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Writes statuses into the store, the newest of each resource, until told to stop.
pub(crate) async fn write(
    store: Arc<dyn Store>,
    mut news: mpsc::UnboundedReceiver<(ResourceRef, Value)>,
    mut stop: Stop,
) {
    let mut waiting: HashMap<ResourceRef, Value> = HashMap::new();
    loop {
        let next = tokio::select! {
            next = news.recv() => next,
            () = tokio::time::sleep(RETRY), if !waiting.is_empty() => None,
            () = stop.said() => return,
        };
        if next.is_none() && waiting.is_empty() {
            return;
        }
        waiting.extend(next);
        while let Ok((resource, status)) = news.try_recv() {
            waiting.insert(resource, status);
        }
        for (resource, status) in std::mem::take(&mut waiting) {
            match store.put_status(&resource, status.clone()).await {
                Ok(_) | Err(StoreError::NotFound(_)) => {}
                Err(error) => {
                    tracing::debug!(%resource, %error, "cannot write the status; trying again");
                    waiting.insert(resource, status);
                }
            }
        }
    }
}
