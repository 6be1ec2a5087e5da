//! Writing statuses into the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tulle_base::ResourceRef;
use tulle_store::{Precondition, Store, StoreError};

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
            let written = match resource.kind == "WorkloadEntry" {
                true => beside_health(&*store, &resource, status.clone()).await,
                false => store.put_status(&resource, status.clone()).await.map(drop),
            };
            match written {
                Ok(()) | Err(StoreError::NotFound(_)) => {}
                Err(error) => {
                    tracing::debug!(%resource, %error, "cannot write the status; trying again");
                    waiting.insert(resource, status);
                }
            }
        }
    }
}

/// Writes the status of a WorkloadEntry, whose condition `Healthy` is its workload's and stays.
async fn beside_health(
    store: &dyn Store,
    resource: &ResourceRef,
    mut status: Value,
) -> Result<(), StoreError> {
    let Some(there) = store.get(resource).await? else { return Ok(()) };
    let conditions = there.status.as_ref().and_then(|s| s["conditions"].as_array());
    let health = conditions.into_iter().flatten().find(|c| c["type"] == "Healthy");
    if let (Some(health), Some(all)) = (health, status["conditions"].as_array_mut()) {
        all.push(health.clone());
    }
    let only_if =
        Precondition { version: there.meta.resource_version.parse().ok(), ..Precondition::default() };
    store.put_status_if(resource, status, only_if).await.map(drop)
}
