//! The ConfigMap `istio-ca-root-cert` in every namespace: whom workloads trust.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tulle_api::Object;
use tulle_api::kubernetes::ConfigMap;
use tulle_base::ResourceRef;
use tulle_store::{Store, StoreError};

use crate::stop::Stop;

/// Name of the ConfigMap.
pub(crate) const NAME: &str = "istio-ca-root-cert";
/// Its only key.
const KEY: &str = "root-cert.pem";
/// Wait before what failed is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Writes the ConfigMap into each namespace that `namespaces` names (again, if named again: somebody changed it).
pub(crate) async fn publish(
    store: Arc<dyn Store>,
    root: String,
    mut namespaces: mpsc::UnboundedReceiver<String>,
    mut stop: Stop,
) {
    let mut waiting: BTreeSet<String> = BTreeSet::new();
    loop {
        let next = tokio::select! {
            next = namespaces.recv() => next,
            () = tokio::time::sleep(RETRY), if !waiting.is_empty() => Some(String::new()),
            () = stop.said() => return,
        };
        let Some(next) = next else { return };
        if !next.is_empty() {
            waiting.insert(next);
        }
        for namespace in std::mem::take(&mut waiting) {
            match write(&*store, &namespace, &root).await {
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(namespace, %error, "cannot publish the root certificate; trying again");
                    waiting.insert(namespace);
                }
            }
        }
    }
}

async fn write(store: &dyn Store, namespace: &str, root: &str) -> Result<(), StoreError> {
    // One that is being emptied gets nothing new, or it would never be empty.
    let place = ResourceRef::new("", "Namespace", "", namespace);
    if store.get(&place).await?.is_some_and(|n| n.meta.deletion_timestamp.is_some()) {
        return Ok(());
    }
    let data = BTreeMap::from([(KEY.to_owned(), root.to_owned())]);
    let mut object = Object::new(namespace, NAME, ConfigMap { data, ..ConfigMap::default() });
    object.meta.labels.insert("istio.io/config".to_owned(), "true".to_owned());
    if let Some(there) = store.get(&object.resource()).await? {
        if there.spec == object.spec {
            return Ok(());
        }
        object.meta.resource_version = there.meta.resource_version.clone();
    }
    store.put(object).await.map(drop)
}

/// Whether a change of `object` is one that the publisher has to look at.
pub(crate) fn concerns(object: &Object) -> bool {
    object.meta.name == NAME && object.kind() == tulle_api::Kind::ConfigMap
}
