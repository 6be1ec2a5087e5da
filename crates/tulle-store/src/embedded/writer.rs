//! Batches of writes: decided one after the other, written in one transaction, and then shown to everybody.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;
use tulle_api::Object;

use super::file::{Batch, StoreFile};
use super::rows::{self, Keep};
use crate::StoreError;
use crate::decide::{Key, Write, decide};
use crate::memory::{Memory, carry_out};
use crate::store::{Change, Event, Version};

/// Versions that are reserved at a time by a store that keeps only a part.
const RESERVE: Version = 1 << 20;

/// What a write is answered with.
pub(super) type Done = Result<Option<Arc<Object>>, StoreError>;

/// A write and who waits for it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) write: Write,
    pub(super) answer: oneshot::Sender<Done>,
}

/// The one who writes the file; whoever holds it may.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) file: StoreFile,
    pub(super) memory: Memory,
}

impl Writer {
    /// Does all of `jobs`, with one synchronisation of the disk at most. Nothing is visible before it is durable.
    pub(super) fn run(&mut self, jobs: Vec<Job>) {
        if jobs.is_empty() {
            return;
        }
        let (answers, changes, batch) = self.decide_all(jobs);
        let written = self.make_durable(&batch);
        if written.is_ok() && !changes.is_empty() {
            self.memory.publish(changes);
        }
        for (answer, done, wrote) in answers {
            let done = match &written {
                Err(why) if wrote => Err(StoreError::NotWritten(why.clone())),
                _ => done,
            };
            // Nobody waits for a write that was dropped half-way.
            let _ = answer.send(done);
        }
    }

    #[allow(clippy::type_complexity, reason = "three lists that are made together and used once")]
    fn decide_all(&self, jobs: Vec<Job>) -> (Vec<(oneshot::Sender<Done>, Done, bool)>, Vec<Change>, Batch) {
        let mut seen: HashMap<Key, Option<Arc<Object>>> = HashMap::new();
        let mut batch = Batch { version: self.memory.version(), ..Batch::default() };
        let mut changes = Vec::new();
        let mut answers = Vec::with_capacity(jobs.len());
        for Job { write, answer } in jobs {
            let key = write.key();
            let current = key.as_ref().and_then(|key| match seen.get(key) {
                Some(pending) => pending.clone(),
                None => self.memory.find(key),
            });
            let status_only = matches!(write, Write::Status(..));
            let decision = match decide(write, current.as_ref(), self.memory.now()) {
                Ok(decision) => decision,
                Err(error) => {
                    answers.push((answer, Err(error), false));
                    continue;
                }
            };
            let (done, change) = carry_out(decision, batch.version + 1);
            answers.push((answer, Ok(done), change.is_some()));
            if let (Some(change), Some(key)) = (change, key) {
                batch.version = change.version;
                self.add(&mut batch, &change, current.as_deref(), status_only);
                let now = match &change.event {
                    Event::Put(object) => Some(object.clone()),
                    Event::Delete(_) | Event::Bookmark => None,
                };
                seen.insert(key, now);
                changes.push(change);
            }
        }
        if !self.file.keeps_all() && self.file.must_reserve(batch.version) {
            batch.reserve = Some(batch.version + RESERVE);
        }
        (answers, changes, batch)
    }

    /// What `change` means for the file.
    fn add(&self, batch: &mut Batch, change: &Change, before: Option<&Object>, status_only: bool) {
        if self.file.keeps_all()
            && let Some((tag, bytes)) = rows::encode_change(change)
        {
            batch.changes.push((change.version, tag, bytes));
        }
        let (object, gone) = match &change.event {
            Event::Put(object) => (object, false),
            Event::Delete(object) => (object, true),
            Event::Bookmark => return,
        };
        let was_there = before.is_some_and(|before| self.file.keeps(before) != Keep::Nothing);
        let row = match self.file.keeps(object) {
            _ if gone => None,
            Keep::All => Some(rows::encode(object)),
            Keep::WithoutStatus if status_only && was_there => return,
            Keep::WithoutStatus => Some(rows::encode_without_status(object)),
            Keep::Nothing => None,
        };
        if row.is_some() || was_there {
            batch.rows.insert(rows::row_key(object), row);
        }
    }

    fn make_durable(&mut self, batch: &Batch) -> Result<(), String> {
        if self.file.is_broken() {
            let (version, objects, log) = self.memory.everything();
            self.file.repair(version, &objects, &log).map_err(|e| e.to_string())?;
            tracing::info!("the store's file can be written again");
        }
        self.file.commit(batch).map_err(|error| {
            tracing::error!(%error, "the store's file cannot be written");
            error.to_string()
        })
    }
}
