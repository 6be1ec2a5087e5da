//! The database file: opening it, reading everything, and one transaction per batch of writes.
//!
//! Tables: `meta` (`format`, `version`, `reserved`), `objects` (key to object) and `changes` (version to change, the newest ones
//! only). One transaction writes an object, its change and the version, so that no part of a write is ever there alone.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Builder, Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, WriteTransaction};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use tulle_api::Object;

use super::error::OpenError;
use super::rows::{self, Keep};
use crate::store::{Change, Version};

/// Format of the tables and rows; another one is refused.
pub(super) const FORMAT: u64 = 1;
/// Memory for pages of the file. Objects are read from memory, so this serves writes alone.
const CACHE: usize = 16 << 20;
/// Bytes that the remembered changes may take; an object has 1.5 MiB at most on Kubernetes.
const LOG_BYTES: usize = 64 << 20;
/// A file this large that is mostly empty is compacted when it is opened.
const COMPACT_ABOVE: u64 = 64 << 20;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");
const CHANGES: TableDefinition<'_, u64, (u8, &[u8])> = TableDefinition::new("changes");

/// The file and what is in it besides the objects, which are in memory.
#[derive(Debug)]
pub(super) struct StoreFile {
    path: PathBuf,
    /// `None` after an error of the disk: the next write opens it again.
    database: Option<Database>,
    keep: Option<fn(&Object) -> Keep>,
    log_limit: usize,
    /// The changes in the file, with their lengths.
    log: VecDeque<(Version, usize)>,
    log_bytes: usize,
    /// Versions up to here may have been given out.
    reserved: Version,
}

/// What was in the file.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) version: Version,
    pub(super) objects: Vec<Arc<Object>>,
    pub(super) log: Vec<Change>,
    /// Rows that cannot be read, with the reason. They stay in the file.
    pub(super) unreadable: Vec<(String, String)>,
}

/// What one batch writes.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Objects by row: what to write, or `None` to remove it.
    pub(super) rows: HashMap<String, Option<Vec<u8>>>,
    /// Changes for the log.
    pub(super) changes: Vec<(Version, u8, Vec<u8>)>,
    /// The version after it.
    pub(super) version: Version,
    /// Versions that are given out without another write.
    pub(super) reserve: Option<Version>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.changes.is_empty() && self.reserve.is_none()
    }
}

impl StoreFile {
    /// Opens the file, or makes it, and reads everything.
    pub(super) fn open(
        path: &Path,
        keep: Option<fn(&Object) -> Keep>,
        log_limit: usize,
    ) -> Result<(Self, Contents), OpenError> {
        match fs::metadata(path) {
            Ok(meta) if meta.is_file() && meta.len() == 0 => create(path, RenameFlags::empty())?,
            Ok(_) => {}
            Err(_) => create(path, RenameFlags::NOREPLACE)?,
        }
        let mut database = open_database(path)?;
        let (mut contents, reserved, log) = read(path, &database)?;
        compact_if_sparse(path, &mut database, &contents);
        let log_bytes = log.iter().map(|(_, bytes)| bytes).sum();
        let mut file = Self {
            path: path.to_owned(),
            database: Some(database),
            keep,
            log_limit,
            log,
            log_bytes,
            reserved,
        };
        file.settle(&mut contents)?;
        Ok((file, contents))
    }

    /// A store that keeps only a part has given out versions that it knows nothing of: it goes on after all of them, and without
    /// the changes before. What is not kept any more is removed.
    fn settle(&mut self, contents: &mut Contents) -> Result<(), OpenError> {
        let Some(keep) = self.keep else {
            // It was opened as one that keeps a part before.
            if self.reserved > contents.version {
                contents.version = self.reserved;
                contents.log.clear();
            }
            return Ok(());
        };
        contents.version = self.reserved.max(contents.version);
        contents.log.clear();
        let mut batch = Batch { version: contents.version, ..Batch::default() };
        contents.objects.retain(|object| {
            let kept = keep(object) != Keep::Nothing;
            if !kept {
                batch.rows.insert(rows::row_key(object), None);
            }
            kept
        });
        self.commit(&batch).map_err(|e| OpenError::any(&self.path, e))
    }

    /// What is kept of `object`.
    pub(super) fn keeps(&self, object: &Object) -> Keep {
        self.keep.map_or(Keep::All, |keep| keep(object))
    }

    /// Whether everything is kept, so that watches go on over a restart.
    pub(super) fn keeps_all(&self) -> bool {
        self.keep.is_none()
    }

    /// Whether `version` must be reserved before it is given out.
    pub(super) fn must_reserve(&self, version: Version) -> bool {
        version > self.reserved
    }

    /// Whether the file has to be opened again and brought in step with memory before the next write.
    pub(super) fn is_broken(&self) -> bool {
        self.database.is_none()
    }

    /// Writes a batch; when this returns it is on the disk. Nothing of it is there after an error, or all of it.
    pub(super) fn commit(&mut self, batch: &Batch) -> Result<(), redb::Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let Some(database) = &self.database else { return Err(redb::Error::DatabaseClosed) };
        let drop_to = self.log_after(batch);
        match write(database, batch, drop_to) {
            Ok(()) => {
                self.note_written(batch, drop_to);
                Ok(())
            }
            Err(error) => {
                // Whether it reached the disk is not known now.
                self.database = None;
                Err(error)
            }
        }
    }

    /// The first change that stays in the log with `batch`.
    fn log_after(&self, batch: &Batch) -> Version {
        let new = batch.changes.iter().map(|(version, _, bytes)| (*version, bytes.len()));
        let mut count = self.log.len() + batch.changes.len();
        let mut bytes = self.log_bytes + batch.changes.iter().map(|(_, _, b)| b.len()).sum::<usize>();
        for (version, length) in self.log.iter().copied().chain(new) {
            if count <= self.log_limit && (bytes <= LOG_BYTES || count <= 1) {
                return version;
            }
            count -= 1;
            bytes -= length;
        }
        batch.version + 1
    }

    fn note_written(&mut self, batch: &Batch, drop_to: Version) {
        self.reserved = batch.reserve.unwrap_or_default().max(batch.version).max(self.reserved);
        for (version, _, bytes) in &batch.changes {
            self.log.push_back((*version, bytes.len()));
            self.log_bytes += bytes.len();
        }
        while let Some((version, bytes)) = self.log.front().copied().filter(|(v, _)| *v < drop_to) {
            self.log.pop_front();
            self.log_bytes -= bytes;
            debug_assert!(version < drop_to);
        }
    }

    /// Opens the file again after an error and makes it say what memory says: what was acknowledged and nothing else.
    pub(super) fn repair(
        &mut self,
        version: Version,
        objects: &[Arc<Object>],
        log: &[Change],
    ) -> Result<(), OpenError> {
        let database = open_database(&self.path)?;
        let fail = |e: redb::Error| OpenError::any(&self.path, e);
        let transaction = database.begin_write().map_err(|e| fail(e.into()))?;
        // Rows that could not be read are not in memory, and stay.
        let mut batch = Batch { version, reserve: Some(self.reserved), ..Batch::default() };
        for key in readable_keys(&transaction).map_err(fail)? {
            batch.rows.insert(key, None);
        }
        for object in objects {
            let row = match self.keeps(object) {
                Keep::All => Some(rows::encode(object)),
                Keep::WithoutStatus => Some(rows::encode_without_status(object)),
                Keep::Nothing => None,
            };
            batch.rows.insert(rows::row_key(object), row);
        }
        if self.keeps_all() {
            let encoded = log.iter().filter_map(|c| rows::encode_change(c).map(|(t, b)| (c.version, t, b)));
            batch.changes = encoded.collect();
        }
        transaction.delete_table(CHANGES).map_err(|e| fail(e.into()))?;
        fill(&transaction, &batch, 0).map_err(fail)?;
        transaction.commit().map_err(|e| fail(e.into()))?;
        self.log.clear();
        self.log_bytes = 0;
        self.note_written(&batch, 0);
        self.database = Some(database);
        Ok(())
    }
}

/// Makes a file with nothing in it but its format. It appears under its name when it is complete.
fn create(path: &Path, flags: RenameFlags) -> Result<(), OpenError> {
    let name =
        path.file_name().ok_or_else(|| OpenError::io(path, std::io::ErrorKind::IsADirectory.into()))?;
    let new = path.with_file_name(format!(".{}.{}.new", name.to_string_lossy(), std::process::id()));
    let made = fill_new(&new, path).and_then(|()| {
        match renameat_with(CWD, &new, CWD, path, flags) {
            // Somebody else was faster.
            Err(rustix::io::Errno::EXIST) => Ok(()),
            // Not every file system can refuse to replace.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                fs::rename(&new, path).map_err(|e| OpenError::io(path, e))
            }
            other => other.map_err(|e| OpenError::io(path, e.into())),
        }
    });
    if made.is_err() || new.exists() {
        // What could not be made cannot always be removed either; the reason is told already.
        let _ = fs::remove_file(&new);
    }
    made?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder).and_then(|f| f.sync_all()).map_err(|e| OpenError::io(path, e))
}

/// Fills the file `new`, which will be `path`.
fn fill_new(new: &Path, path: &Path) -> Result<(), OpenError> {
    // Left by a process of the same number that died here.
    let _ = fs::remove_file(new);
    let database = builder().create(new).map_err(|e| OpenError::database(path, e))?;
    let fail = |e: redb::Error| OpenError::any(path, e);
    let transaction = database.begin_write().map_err(|e| fail(e.into()))?;
    fill(&transaction, &Batch::default(), 0).map_err(fail)?;
    {
        let mut meta = transaction.open_table(META).map_err(|e| fail(e.into()))?;
        meta.insert("format", FORMAT).map_err(|e| fail(e.into()))?;
    }
    transaction.commit().map_err(|e| fail(e.into()))?;
    database.close().map_err(|e| OpenError::database(path, e))
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    builder
}

fn open_database(path: &Path) -> Result<Database, OpenError> {
    builder().open(path).map_err(|e| OpenError::database(path, e))
}

type Read = (Contents, Version, VecDeque<(Version, usize)>);

fn read(path: &Path, database: &Database) -> Result<Read, OpenError> {
    let fail = |e: redb::Error| OpenError::any(path, e);
    let transaction = database.begin_read().map_err(|e| fail(e.into()))?;
    let meta = transaction.open_table(META).map_err(|e| fail(e.into()))?;
    let number = |name: &str| -> Result<Option<u64>, OpenError> {
        Ok(meta.get(name).map_err(|e| fail(e.into()))?.map(|v| v.value()))
    };
    let format = number("format")?.ok_or_else(|| OpenError::Foreign(path.to_owned()))?;
    if format != FORMAT {
        return Err(OpenError::Format { path: path.to_owned(), found: format, known: FORMAT });
    }
    let version = number("version")?.unwrap_or(0);
    let reserved = number("reserved")?.unwrap_or(0);
    let mut contents = Contents { version, ..Contents::default() };
    let objects = transaction.open_table(OBJECTS).map_err(|e| fail(e.into()))?;
    for row in objects.iter().map_err(|e| fail(e.into()))? {
        let (key, value) = row.map_err(|e| fail(e.into()))?;
        match rows::decode(value.value()) {
            Ok(object) => contents.objects.push(Arc::new(object)),
            Err(reason) => contents.unreadable.push((key.value().to_owned(), reason)),
        }
    }
    let mut log = VecDeque::new();
    let changes = transaction.open_table(CHANGES).map_err(|e| fail(e.into()))?;
    for row in changes.iter().map_err(|e| fail(e.into()))? {
        let (at, value) = row.map_err(|e| fail(e.into()))?;
        let (at, (tag, bytes)) = (at.value(), value.value());
        log.push_back((at, bytes.len()));
        match rows::decode_change(at, tag, bytes) {
            Ok(change) => contents.log.push(change),
            // Who would need a change that cannot be read has to list again.
            Err(_) => contents.log.clear(),
        }
    }
    keep_unbroken(&mut contents);
    Ok((contents, reserved, log))
}

/// Leaves the changes that lead to the version without a gap.
fn keep_unbroken(contents: &mut Contents) {
    let mut wanted = contents.version;
    let unbroken = contents.log.iter().rev().take_while(|change| {
        let fits = change.version == wanted && wanted > 0;
        wanted = wanted.saturating_sub(1);
        fits
    });
    let count = unbroken.count();
    contents.log.drain(..contents.log.len() - count);
}

fn write(database: &Database, batch: &Batch, drop_to: Version) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    fill(&transaction, batch, drop_to)?;
    transaction.commit()?;
    Ok(())
}

fn fill(transaction: &WriteTransaction, batch: &Batch, drop_to: Version) -> Result<(), redb::Error> {
    let mut objects = transaction.open_table(OBJECTS)?;
    for (key, row) in &batch.rows {
        match row {
            Some(bytes) => drop(objects.insert(key.as_str(), bytes.as_slice())?),
            None => drop(objects.remove(key.as_str())?),
        }
    }
    let mut changes = transaction.open_table(CHANGES)?;
    for (version, tag, bytes) in batch.changes.iter().filter(|(v, ..)| *v >= drop_to) {
        changes.insert(version, (*tag, bytes.as_slice()))?;
    }
    if drop_to > 0 {
        changes.retain_in(..drop_to, |_, _| false)?;
    }
    let mut meta = transaction.open_table(META)?;
    meta.insert("version", batch.version)?;
    if let Some(reserve) = batch.reserve {
        meta.insert("reserved", reserve)?;
    }
    Ok(())
}

fn readable_keys(transaction: &WriteTransaction) -> Result<Vec<String>, redb::Error> {
    let objects = transaction.open_table(OBJECTS)?;
    let mut keys = Vec::new();
    for row in objects.iter()? {
        let (key, value) = row?;
        if rows::decode(value.value()).is_ok() {
            keys.push(key.value().to_owned());
        }
    }
    Ok(keys)
}

/// Gives back the space of a file that once held much more.
fn compact_if_sparse(path: &Path, database: &mut Database, contents: &Contents) {
    let size = fs::metadata(path).map_or(0, |m| m.len());
    if size < COMPACT_ABOVE {
        return;
    }
    let needed: usize = contents.objects.iter().map(|o| rows::encode(o).len()).sum();
    let logged: usize =
        contents.log.iter().filter_map(rows::encode_change).map(|(_, bytes)| bytes.len()).sum();
    if size / 4 > (needed + logged) as u64 {
        match database.compact() {
            Ok(_) => tracing::info!(file = %path.display(), size, "compacted"),
            Err(error) => tracing::warn!(file = %path.display(), %error, "could not be compacted"),
        }
    }
}
