//! A store in an etcd (API v3).
//!
//! Objects are JSON under a prefix ([`keys`]); the version of an object is the revision of its key's last change. A write reads,
//! decides as every store does, and swaps only if the key did not change in between. Lists are read in pages at one revision, and
//! watches are etcd's own. What other programs write under the prefix and cannot be read is reported by key, and left alone.

mod client;
mod dial;
mod error;
mod keys;
mod messages;
mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use serde_json::Value;
use tulle_api::Object;
use tulle_base::ResourceRef;

use crate::StoreError;
use crate::decide::{Decision, Key, Write, decide, key_of, version_of};
use crate::memory::stored;
use crate::store::{Answer, Filter, Listing, Precondition, Store, Version, Watch};

use client::{Client, Refused};
pub use dial::EtcdTls;
pub use error::EtcdError;
use keys::{Prefix, encode, end_of};
use messages::{
    COMPACT, CompactionRequest, CompactionResponse, Compare, DeleteRangeRequest, KeyValue, Operation,
    PutRequest, RANGE, RangeRequest, RangeResponse, RequestOp, TARGET_MOD, TXN, TxnRequest, TxnResponse,
};

/// Objects of a page, until a page is too long.
const PAGE: i64 = 500;
/// How often a write that others were faster than is tried anew.
const SWAPS: u32 = 32;
/// How often a list is begun anew because its revision was compacted meanwhile.
const LISTS: u32 = 3;
/// Most unreadable keys that are remembered.
const MAX_UNREADABLE: usize = 1000;

/// Which etcd, and where in it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct EtcdOptions {
    /// Its members as HOST:PORT, with IPv6 addresses in brackets; at least one. The next is asked when one is away.
    pub endpoints: Vec<String>,
    /// Where keys begin, such as `/tulle`; nothing outside of it is read or written.
    pub prefix: String,
    /// TLS; default none.
    pub tls: Option<EtcdTls>,
    /// Name and password, if it asks for them.
    pub user: Option<(String, String)>,
}

impl fmt::Debug for EtcdOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoints, prefix, tls, user } = self;
        let user = user.as_ref().map(|(name, _)| name);
        f.debug_struct("EtcdOptions")
            .field("endpoints", endpoints)
            .field("prefix", prefix)
            .field("tls", tls)
            .field("user", &user)
            .finish_non_exhaustive()
    }
}

/// Objects in an etcd. Cloning gives another handle that shares its connections.
#[derive(Clone, Debug)]
pub struct Etcd {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    prefix: Prefix,
    unreadable: Mutex<BTreeMap<String, (i64, String)>>,
}

impl Etcd {
    /// The store that `options` name. Nothing is connected before it is used.
    ///
    /// # Errors
    /// [`EtcdError`] when an address or a file cannot be used.
    pub fn new(options: &EtcdOptions) -> Result<Self, EtcdError> {
        let EtcdOptions { endpoints, prefix, tls, user } = options;
        if endpoints.is_empty() {
            return Err(EtcdError::NoEndpoint);
        }
        let tls = tls.as_ref().map(dial::client_tls).transpose()?;
        let members = endpoints.iter().map(|e| Ok(dial::Dial::new(e, tls.clone())?.channel()));
        let members = members.collect::<Result<Vec<_>, EtcdError>>()?;
        let inner = Inner {
            client: Client::new(members, user.clone()),
            prefix: Prefix::new(prefix),
            unreadable: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Asks once whether etcd can be used. An etcd that is away is no error: it may come.
    ///
    /// # Errors
    /// [`EtcdError::Refused`] when it does not let us in.
    pub async fn check(&self) -> Result<(), EtcdError> {
        match self.range(b"", Vec::new(), 1, 0).await.map_err(StoreError::from) {
            Ok(_) => Ok(()),
            Err(StoreError::Unreachable(error)) => {
                tracing::warn!(%error, "etcd cannot be reached yet");
                Ok(())
            }
            Err(error) => Err(EtcdError::Refused(error)),
        }
    }

    /// Keys under the prefix that cannot be read as objects, with the reason; the newest look at each counts. Cleared when the key
    /// is seen readable.
    pub fn unreadable(&self) -> Vec<(String, String)> {
        let unreadable = self.inner.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
        unreadable.iter().map(|(key, (_, reason))| (key.clone(), reason.clone())).collect()
    }

    /// Has etcd forget the history before `version`: for etcds that are not told to do that themselves
    /// (`--auto-compaction-retention`). Watches from before are told that they expired.
    ///
    /// # Errors
    /// Those of the connection; [`StoreError::Expired`] when it is forgotten already.
    pub async fn compact(&self, version: Version) -> Result<(), StoreError> {
        let request = CompactionRequest { revision: revision(version), physical: true };
        let done: Result<CompactionResponse, _> = self.inner.client.call(COMPACT, &request).await;
        done.map(drop).map_err(StoreError::from)
    }

    async fn range(
        &self,
        key: &[u8],
        range_end: Vec<u8>,
        limit: i64,
        at: i64,
    ) -> Result<RangeResponse, Refused> {
        // An empty key is not allowed; the first one is.
        let key = if key.is_empty() { vec![0] } else { key.to_vec() };
        self.inner.client.call(RANGE, &RangeRequest { key, range_end, limit, revision: at }).await
    }

    /// The object of `kv`, if it is one; noted and told if it is not.
    fn read(&self, kv: &KeyValue) -> Option<Object> {
        self.inner.read(kv)
    }

    async fn find(&self, key: &str) -> Result<Option<Arc<Object>>, StoreError> {
        let answer = self.range(key.as_bytes(), Vec::new(), 1, 0).await?;
        let Some(kv) = answer.kvs.first() else { return Ok(None) };
        match self.read(kv) {
            Some(object) => Ok(Some(Arc::new(object))),
            None => Err(StoreError::Refused(format!(
                "key {key} holds something that cannot be read as an object; remove it, or use another prefix"
            ))),
        }
    }

    /// Reads, decides and swaps until nobody else was faster.
    async fn write(&self, write: impl Fn() -> Write) -> Result<Option<Arc<Object>>, StoreError> {
        let Some(place) = write().key() else {
            // A kind that does not exist here: nothing is there.
            return match decide(write(), None, SystemTime::now())? {
                Decision::Same(there) => Ok(there),
                Decision::Put(_) | Decision::Delete(_) => {
                    Err(StoreError::Protocol("a kind that does not exist"))
                }
            };
        };
        let key = self.inner.prefix.key(&place);
        for _ in 0..SWAPS {
            // A name that cannot be a key is refused before anything is asked.
            let current = if can_be_key(&place) { self.find(&key).await? } else { None };
            let found = current.as_ref().map_or(0, |c| version_of(c));
            match decide(write(), current.as_ref(), SystemTime::now())? {
                Decision::Same(there) => return Ok(there),
                Decision::Put(mut object) => {
                    object.meta.resource_version.clear();
                    let put = PutRequest { key: key.clone().into_bytes(), value: encode(&object) };
                    if let Some(at) = self.swap(&key, found, Operation::Put(put)).await? {
                        object.meta.resource_version = at.to_string();
                        return Ok(Some(object.into()));
                    }
                }
                Decision::Delete(gone) => {
                    let delete = DeleteRangeRequest { key: key.clone().into_bytes() };
                    if self.swap(&key, found, Operation::DeleteRange(delete)).await?.is_some() {
                        return Ok(Some(gone));
                    }
                }
            }
        }
        Err(StoreError::Refused(format!("key {key} was changed by others {SWAPS} times in a row")))
    }

    /// Does `operation` if `key` is still at `found`, 0 for not there; returns the new revision, `None` if it is not.
    async fn swap(&self, key: &str, found: Version, operation: Operation) -> Result<Option<i64>, StoreError> {
        let compare =
            Compare { target: TARGET_MOD, key: key.as_bytes().to_vec(), mod_revision: Some(revision(found)) };
        let request =
            TxnRequest { compare: vec![compare], success: vec![RequestOp { request: Some(operation) }] };
        let answer: TxnResponse = self.inner.client.call(TXN, &request).await?;
        Ok(answer.header.filter(|_| answer.succeeded).map(|h| h.revision))
    }

    /// All that passes, at one revision; `None` if that was compacted meanwhile.
    async fn list_once(&self, filter: &Filter) -> Result<Option<Listing>, StoreError> {
        let mut at = 0;
        let mut objects = Vec::new();
        for beginning in self.inner.prefix.beginnings(filter) {
            let end = end_of(beginning.as_bytes());
            let mut key = beginning.into_bytes();
            let mut limit = PAGE;
            loop {
                let page = match self.range(&key, end.clone(), limit, at).await {
                    Ok(page) => page,
                    Err(Refused::TooLong) if limit > 1 => {
                        limit = (limit / 4).max(1);
                        continue;
                    }
                    Err(Refused::Compacted) => return Ok(None),
                    Err(error) => return Err(error.into()),
                };
                if at == 0 {
                    at = page.header.as_ref().map_or(0, |h| h.revision);
                }
                let found = page.kvs.iter().filter_map(|kv| self.read(kv));
                objects.extend(found.filter(|o| filter.matches(o)).map(Arc::new));
                match page.kvs.last() {
                    Some(last) if page.more => {
                        key.clone_from(&last.key);
                        key.push(0);
                    }
                    _ => break,
                }
            }
        }
        objects.sort_by(|a, b| order(a).cmp(&order(b)));
        Ok(Some(Listing { version: u64::try_from(at).unwrap_or(0), objects }))
    }
}

fn order(object: &Object) -> (tulle_api::Kind, &str, &str) {
    (object.kind(), &object.meta.namespace, &object.meta.name)
}

fn can_be_key((_, namespace, name): &Key) -> bool {
    !name.is_empty() && !name.contains('/') && !namespace.contains('/')
}

/// A version as etcd counts: it has 63 bits.
fn revision(version: Version) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

impl Inner {
    fn read(&self, kv: &KeyValue) -> Option<Object> {
        let decoded = self.prefix.decode(kv);
        let mut unreadable = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
        match decoded {
            Ok(object) => {
                if !unreadable.is_empty() {
                    unreadable.remove(&*String::from_utf8_lossy(&kv.key));
                }
                Some(object)
            }
            Err(reason) => {
                let key = String::from_utf8_lossy(&kv.key).into_owned();
                if unreadable.get(&key).is_none_or(|(at, _)| *at != kv.mod_revision) {
                    tracing::error!(key, reason, "a key of etcd cannot be read and is left out");
                }
                if unreadable.len() < MAX_UNREADABLE || unreadable.contains_key(&key) {
                    unreadable.insert(key, (kv.mod_revision, reason));
                }
                None
            }
        }
    }
}

impl Store for Etcd {
    fn get<'a>(&'a self, resource: &'a ResourceRef) -> Answer<'a, Option<Arc<Object>>> {
        Box::pin(async move {
            match key_of(resource).filter(can_be_key) {
                Some(place) => self.find(&self.inner.prefix.key(&place)).await,
                None => Ok(None),
            }
        })
    }

    fn list(&self, filter: Filter) -> Answer<'_, Listing> {
        Box::pin(async move {
            for _ in 0..LISTS {
                if let Some(listing) = self.list_once(&filter).await? {
                    return Ok(listing);
                }
            }
            Err(StoreError::Refused("etcd compacts faster than it can be read".to_owned()))
        })
    }

    fn put(&self, mut object: Object) -> Answer<'_, Arc<Object>> {
        // Values are as Kubernetes writes them, and have no room for it.
        object.origin = None;
        Box::pin(async move { stored(self.write(|| Write::Put(Box::new(object.clone()))).await?) })
    }

    fn put_status_if<'a>(
        &'a self,
        resource: &'a ResourceRef,
        status: Value,
        only_if: Precondition,
    ) -> Answer<'a, Arc<Object>> {
        Box::pin(async move {
            let write = || Write::Status(resource.clone(), status.clone(), only_if.clone());
            stored(self.write(write).await?)
        })
    }

    fn delete_if<'a>(
        &'a self,
        resource: &'a ResourceRef,
        only_if: Precondition,
    ) -> Answer<'a, Option<Arc<Object>>> {
        Box::pin(async move { self.write(|| Write::Delete(resource.clone(), only_if.clone())).await })
    }

    fn watch(&self, filter: Filter, from: Version) -> Answer<'_, Watch> {
        Box::pin(watch::begin(Arc::clone(&self.inner), filter, from))
    }
}
