//! Which files there are, and which of them changed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::FolderError;
use super::watcher::Watcher;

/// Most files that are read.
const MAX_FILES: usize = 20_000;
/// Deepest folder that is read.
const MAX_DEPTH: usize = 16;
/// Largest part of a file that is read; more than the parser takes, so that it says so.
const MAX_BYTES: u64 = (16 << 20) + 1;
/// A file that vanished is gone after this time: editors that rename let it vanish for a moment.
const GONE_AFTER: Duration = Duration::from_millis(100);
/// A file this young is compared by its content, because two writes may carry the same time.
const YOUNG: Duration = Duration::from_secs(2);

/// What happened to a file.
#[derive(Debug)]
pub(super) enum FileChange {
    /// It is new or has another content.
    Content(PathBuf, Vec<u8>),
    /// It cannot be read.
    Unreadable(PathBuf, std::io::Error),
    /// It is gone.
    Gone(PathBuf),
}

/// The files that were found.
#[derive(Debug)]
pub(super) struct Files {
    roots: Vec<PathBuf>,
    known: BTreeMap<PathBuf, Known>,
}

#[derive(Debug)]
struct Known {
    stamp: Stamp,
    content: u64,
    missing: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq)]
struct Stamp {
    modified: Option<SystemTime>,
    size: u64,
    inode: u64,
}

impl Files {
    pub(super) fn new(roots: &[PathBuf]) -> Result<Self, FolderError> {
        for path in roots {
            fs::metadata(path).map_err(|source| FolderError { path: path.clone(), source })?;
        }
        Ok(Self { roots: roots.to_vec(), known: BTreeMap::new() })
    }

    /// The files in order of precedence: by the order of the paths that were given, then by name.
    pub(super) fn order(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = self.known.keys().cloned().collect();
        let root = |f: &Path| self.roots.iter().position(|r| f.starts_with(r)).unwrap_or(usize::MAX);
        files.sort_by_cached_key(|f| (root(f), f.clone()));
        files
    }

    /// When to look again even if nothing happens: a file has vanished and may come back.
    pub(super) fn look_again(&self) -> Option<Instant> {
        self.known.values().filter_map(|k| k.missing).min().map(|since| since + GONE_AFTER)
    }

    /// Looks at every file; makes sure that every folder is watched.
    pub(super) fn scan(&mut self, watcher: &mut Watcher) -> Vec<FileChange> {
        let mut found = Vec::new();
        for root in &self.roots {
            if root.is_dir() {
                walk(root, 0, &mut |folder| watcher.add(folder), &mut found);
            } else {
                let folder = root.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
                watcher.add(folder);
                found.push(root.clone());
            }
        }
        let mut changes = Vec::new();
        let mut present = std::collections::BTreeSet::new();
        for path in found {
            let exists = watcher.is_being_written(&path) && self.known.contains_key(&path)
                || self.look(&path, watcher, &mut changes);
            if exists {
                present.insert(path);
            }
        }
        self.vanished(&present, &mut changes);
        changes
    }

    fn look(&mut self, path: &Path, watcher: &Watcher, changes: &mut Vec<FileChange>) -> bool {
        let read = fs::File::open(path).and_then(|file| file.metadata().map(|m| (file, m)));
        let (mut file, stamp) = match read {
            Ok((file, meta)) if meta.is_file() => {
                let stamp = Stamp { modified: meta.modified().ok(), size: meta.len(), inode: meta.ino() };
                (file, stamp)
            }
            Ok(_) => return false,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return false,
            Err(error) => {
                changes.push(FileChange::Unreadable(path.to_owned(), error));
                return true;
            }
        };
        if watcher.is_being_written(path) {
            return true;
        }
        let known = self.known.get(path);
        let young = stamp.modified.and_then(|m| m.elapsed().ok()).is_none_or(|age| age < YOUNG);
        if known.is_some_and(|k| k.stamp == stamp && !young && k.missing.is_none()) {
            return true;
        }
        let mut bytes = Vec::new();
        if let Err(error) = (&mut file).take(MAX_BYTES).read_to_end(&mut bytes) {
            changes.push(FileChange::Unreadable(path.to_owned(), error));
            return true;
        }
        let content = fingerprint(&bytes);
        let same = known.is_some_and(|k| k.content == content);
        self.known.insert(path.to_owned(), Known { stamp, content, missing: None });
        if !same {
            changes.push(FileChange::Content(path.to_owned(), bytes));
        }
        true
    }

    fn vanished(&mut self, present: &std::collections::BTreeSet<PathBuf>, changes: &mut Vec<FileChange>) {
        let now = Instant::now();
        self.known.retain(|path, known| {
            if present.contains(path) {
                known.missing = None;
                return true;
            }
            let since = *known.missing.get_or_insert(now);
            let gone = now.duration_since(since) >= GONE_AFTER;
            if gone {
                changes.push(FileChange::Gone(path.clone()));
            }
            !gone
        });
    }
}

/// The manifest files among `paths` and below them, as a [`Folder`](super::Folder) finds them.
///
/// # Errors
/// [`FolderError`] when a path does not exist or cannot be read.
pub fn manifest_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, FolderError> {
    let mut found = Vec::new();
    for path in paths {
        let meta = fs::metadata(path).map_err(|source| FolderError { path: path.clone(), source })?;
        if meta.is_dir() {
            walk(path, 0, &mut |_| {}, &mut found);
        } else {
            found.push(path.clone());
        }
    }
    Ok(found)
}

fn walk(folder: &Path, depth: usize, enter: &mut dyn FnMut(&Path), found: &mut Vec<PathBuf>) {
    if depth > MAX_DEPTH {
        tracing::warn!(folder = %folder.display(), "is too deep and is not read");
        return;
    }
    // Watched first and read then: nothing can be written in between unseen.
    enter(folder);
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|p| !is_hidden(p)).collect();
    paths.sort();
    for path in paths {
        if found.len() >= MAX_FILES {
            tracing::warn!(folder = %folder.display(), MAX_FILES, "there are too many files; the rest is not read");
            return;
        }
        if path.is_dir() {
            walk(&path, depth + 1, enter, found);
        } else if path
            .extension()
            .and_then(OsStr::to_str)
            .is_some_and(|e| matches!(e, "yaml" | "yml" | "json"))
        {
            found.push(path);
        }
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().and_then(OsStr::to_str).is_some_and(|n| n.starts_with('.'))
}

/// Tells contents apart, within this process.
fn fingerprint(bytes: &[u8]) -> u64 {
    use std::hash::{DefaultHasher, Hasher as _};
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}
