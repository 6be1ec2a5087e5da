//! Why a database cannot be opened, each with the way out.

use std::io;
use std::path::{Path, PathBuf};

use redb::{DatabaseError, StorageError};

/// Why a database file cannot be used. Whatever the reason, the file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{}: another process has this store open; stop it, or use another file", .0.display())]
    Locked(PathBuf),
    /// It cannot be made, read or written.
    #[error("{}: {source}; {}", path.display(), way_out(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is a database of another format.
    #[error(
        "{}: written in format {found}, and this version of tulle reads format {known}; use the version that wrote it, or move the file away to begin anew",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// The format of the file, or of the database in it.
        found: u64,
        /// The only one that is read.
        known: u64,
    },
    /// It is a database, and not one of ours.
    #[error("{}: a database of another program; name another file", .0.display())]
    Foreign(PathBuf),
    /// It is damaged, or no database at all.
    #[error(
        "{}: damaged, or not a store: {reason}; nothing was changed: put a copy in its place, or move the file away to begin with an empty store",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What does not add up.
        reason: String,
    },
}

fn way_out(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "let this user read and write the file and its folder",
        io::ErrorKind::ReadOnlyFilesystem => "name a file on a file system that can be written",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space on its disk",
        io::ErrorKind::NotFound => "make its folder first",
        io::ErrorKind::IsADirectory => "name a file, not a folder",
        _ => "see whether its disk is healthy and can be written",
    }
}

impl OpenError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(super) fn corrupt(path: &Path, reason: impl ToString) -> Self {
        Self::Corrupt { path: path.to_owned(), reason: reason.to_string() }
    }

    pub(super) fn database(path: &Path, error: DatabaseError) -> Self {
        match error {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
                Self::Locked(path.to_owned())
            }
            DatabaseError::UpgradeRequired(found) => {
                Self::Format { path: path.to_owned(), found: found.into(), known: super::file::FORMAT }
            }
            DatabaseError::Storage(StorageError::Io(source))
                if source.kind() != io::ErrorKind::InvalidData =>
            {
                Self::Io { path: path.to_owned(), source }
            }
            other => Self::corrupt(path, other),
        }
    }

    pub(super) fn any(path: &Path, error: redb::Error) -> Self {
        match error {
            redb::Error::Io(source) if source.kind() != io::ErrorKind::InvalidData => Self::io(path, source),
            redb::Error::TableDoesNotExist(_) | redb::Error::TableTypeMismatch { .. } => {
                Self::Foreign(path.to_owned())
            }
            other => Self::corrupt(path, other),
        }
    }
}
