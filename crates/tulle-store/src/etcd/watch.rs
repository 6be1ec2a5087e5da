//! Watches of etcd.

use std::collections::VecDeque;
use std::sync::Arc;

use tonic::Streaming;

use super::error::{Failed, away, judge};
use super::keys::{common, end_of};
use super::messages::{EVENT_DELETE, WatchCreateRequest, WatchEvent, WatchResponse};
use super::{Inner, revision};
use crate::StoreError;
use crate::store::{Answer, Change, Event, Filter, Version, Watch, WatchSource};

/// A watcher that skipped this many changes is told how far it is.
const BOOKMARK_EVERY: usize = 256;

/// A watch that etcd confirmed.
struct EtcdWatch {
    inner: Arc<Inner>,
    stream: Streaming<WatchResponse>,
    filter: Filter,
    from: Version,
    ready: VecDeque<Change>,
    skipped: usize,
}

pub(super) async fn begin(inner: Arc<Inner>, filter: Filter, from: Version) -> Result<Watch, StoreError> {
    let beginning = common(&inner.prefix.beginnings(&filter));
    let create = WatchCreateRequest {
        range_end: end_of(beginning.as_bytes()),
        key: beginning.into_bytes(),
        start_revision: revision(from).saturating_add(1),
        progress_notify: true,
        prev_kv: true,
        fragment: true,
    };
    let stream = inner.client.watch(&create).await?;
    let mut watch = EtcdWatch { inner, stream, filter, from, ready: VecDeque::new(), skipped: 0 };
    // The first answer says whether there is a watch, and how far etcd is.
    let first = watch.answer().await?;
    watch.check(&first)?;
    if !first.created {
        return Err(StoreError::Protocol("a watch was not confirmed"));
    }
    let newest = first.header.map_or(0, |h| h.revision);
    if revision(from) > newest {
        // A version that this etcd never had, or does not know of yet: what follows it is not known here.
        return Err(StoreError::Expired { from, oldest: u64::try_from(newest).unwrap_or(0) });
    }
    Ok(Watch::new(watch))
}

impl EtcdWatch {
    async fn answer(&mut self) -> Result<WatchResponse, StoreError> {
        let failed = match self.stream.message().await {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => tonic::Status::unavailable("the watch was ended"),
            Err(status) => status,
        };
        match judge(failed.clone()) {
            Failed::Compacted => Err(StoreError::Expired { from: self.from, oldest: self.from }),
            Failed::Final(error) => Err(error),
            Failed::Away(_) | Failed::LoggedOut | Failed::TooLong => {
                self.inner.client.turn();
                Err(away(&failed))
            }
        }
    }

    /// Whether the watch goes on.
    fn check(&self, answer: &WatchResponse) -> Result<(), StoreError> {
        if answer.compact_revision > 0 {
            let oldest = u64::try_from(answer.compact_revision).unwrap_or(0);
            return Err(StoreError::Expired { from: self.from, oldest });
        }
        if answer.canceled {
            self.inner.client.turn();
            let status = tonic::Status::unavailable(answer.cancel_reason.clone());
            return Err(away(&status));
        }
        Ok(())
    }

    fn take(&mut self, answer: &WatchResponse) -> Result<(), StoreError> {
        self.check(answer)?;
        let mut events = answer.events.iter().peekable();
        let mut last = 0;
        while let Some(event) = events.next() {
            let at = event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
            // Where another change of the same revision follows, a watch that begins after this one must begin before both.
            let more = match events.peek() {
                Some(next) => next.kv.as_ref().is_some_and(|kv| kv.mod_revision == at),
                None => answer.fragment,
            };
            last = if more { at - 1 } else { at };
            self.note(event, last)?;
        }
        let quiet = answer.events.is_empty() && !answer.created;
        let position = if quiet { answer.header.as_ref().map_or(0, |h| h.revision) } else { last };
        if position > 0 && self.ready.is_empty() && (quiet || self.skipped >= BOOKMARK_EVERY) {
            self.skipped = 0;
            self.push(position, Event::Bookmark);
        }
        Ok(())
    }

    fn note(&mut self, event: &WatchEvent, at: i64) -> Result<(), StoreError> {
        let Some(kv) = &event.kv else { return Ok(()) };
        let is_delete = event.r#type == EVENT_DELETE;
        let now = if is_delete { None } else { self.inner.read(kv) };
        if let Some(object) = now {
            if self.filter.matches(&object) {
                self.push(at, Event::Put(Arc::new(object)));
            } else {
                self.skipped += 1;
            }
            return Ok(());
        }
        // Gone, or not readable any more, which is the same to whoever watches.
        let Some(before) = &event.prev_kv else {
            let key = String::from_utf8_lossy(&kv.key);
            if is_delete && self.inner.prefix.parse(&key).is_some() {
                // The last state is compacted: whoever knew the object has to list again.
                return Err(StoreError::Expired { from: self.from, oldest: u64::try_from(at).unwrap_or(0) });
            }
            self.skipped += 1;
            return Ok(());
        };
        match self.inner.prefix.decode(before) {
            Ok(object) if self.filter.matches(&object) => self.push(at, Event::Delete(Arc::new(object))),
            _ => self.skipped += 1,
        }
        Ok(())
    }

    fn push(&mut self, at: i64, event: Event) {
        self.ready.push_back(Change { version: u64::try_from(at).unwrap_or(0), event });
    }
}

impl WatchSource for EtcdWatch {
    fn next(&mut self) -> Answer<'_, Change> {
        Box::pin(async move {
            loop {
                if let Some(change) = self.ready.pop_front() {
                    // What is asked for again goes on from here.
                    self.from = change.version;
                    return Ok(change);
                }
                let answer = self.answer().await?;
                self.take(&answer)?;
            }
        })
    }
}
