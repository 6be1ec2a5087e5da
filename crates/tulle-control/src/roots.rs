//! The ConfigMap `istio-ca-root-cert` in every namespace: whom workloads trust.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tulle_api::Object;
use tulle_api::kubernetes::ConfigMap;
use tulle_base::ResourceRef;
use tulle_store::{Store, StoreError};

use crate::stop::Stop;
use crate::trust::Trusted;

/// Name of the ConfigMap.
pub(crate) const NAME: &str = "istio-ca-root-cert";
/// Its only key.
const KEY: &str = "root-cert.pem";
/// Wait before what failed is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Writes the ConfigMap into each namespace that `namespaces` names (again, if named again: somebody changed it), and into all of them
/// when something else is `trusted`. `published` tells which version of that is everywhere.
pub(crate) async fn publish(
    store: Arc<dyn Store>,
    mut trusted: watch::Receiver<Trusted>,
    published: watch::Sender<u64>,
    mut namespaces: mpsc::UnboundedReceiver<String>,
    mut stop: Stop,
) {
    let mut known: BTreeSet<String> = BTreeSet::new();
    let mut waiting: BTreeSet<String> = BTreeSet::new();
    loop {
        tokio::select! {
            next = namespaces.recv() => match next {
                Some(next) => {
                    known.insert(next.clone());
                    waiting.insert(next);
                }
                None => return,
            },
            Ok(()) = trusted.changed() => {}
            () = tokio::time::sleep(RETRY), if !waiting.is_empty() => {}
            () = stop.said() => return,
        }
        let Trusted { version, roots_pem, .. } = trusted.borrow_and_update().clone();
        if version != *published.borrow() {
            waiting.clone_from(&known);
        }
        for namespace in std::mem::take(&mut waiting) {
            match write(&*store, &namespace, &roots_pem).await {
                Ok(true) => {}
                Ok(false) => drop(known.remove(&namespace)),
                Err(error) => {
                    tracing::warn!(namespace, %error, "cannot publish the root certificate; trying again");
                    waiting.insert(namespace);
                }
            }
        }
        if waiting.is_empty() {
            published.send_replace(version);
        }
    }
}

/// Whether the namespace is there to be written into.
async fn write(store: &dyn Store, namespace: &str, root: &str) -> Result<bool, StoreError> {
    // One that is being emptied gets nothing new, or it would never be empty.
    let place = ResourceRef::new("", "Namespace", "", namespace);
    match store.get(&place).await? {
        Some(there) if there.meta.deletion_timestamp.is_none() => {}
        _ => return Ok(false),
    }
    let data = BTreeMap::from([(KEY.to_owned(), root.to_owned())]);
    let mut object = Object::new(namespace, NAME, ConfigMap { data, ..ConfigMap::default() });
    object.meta.labels.insert("istio.io/config".to_owned(), "true".to_owned());
    if let Some(there) = store.get(&object.resource()).await? {
        if there.spec == object.spec {
            return Ok(true);
        }
        object.meta.resource_version = there.meta.resource_version.clone();
    }
    store.put(object).await.map(|_| true)
}

/// Whether a change of `object` is one that the publisher has to look at.
pub(crate) fn concerns(object: &Object) -> bool {
    object.meta.name == NAME && object.kind() == tulle_api::Kind::ConfigMap
}
