//! The last good configuration on disk, from which a proxy starts while the control plane is away.
//!
//! Only public configuration is written: what xDS sent, never a secret. The file is a sequence of length-delimited protobuf messages
//! behind a line that names the format; it is replaced as a whole.

use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message;

const MAGIC: &[u8] = b"tulle last good configuration 1\n";
const FILE: &str = "last-good.bin";
/// Larger files are not read: 256 MiB.
const MAX_FILE: u64 = 256 << 20;

/// One resource as it was accepted.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Saved {
    /// Its type.
    #[prost(string, tag = "1")]
    pub(crate) type_url: String,
    /// Its name.
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    /// Its version.
    #[prost(string, tag = "3")]
    pub(crate) version: String,
    /// The encoded message.
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) payload: Bytes,
}

/// Why a configuration could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SavedError {
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is of another format, or cut off.
    #[error("{path}: not a saved configuration of this version")]
    Format {
        /// The file.
        path: PathBuf,
    },
}

/// Replaces the saved configuration in `dir`.
///
/// # Errors
/// [`SavedError::Io`]; the old file is still there then.
pub(crate) fn save(dir: &Path, resources: &[Saved]) -> Result<(), SavedError> {
    let path = dir.join(FILE);
    let partial = dir.join(format!("{FILE}.{}", std::process::id()));
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(dir)?;
        let mut file = std::io::BufWriter::new(std::fs::File::create(&partial)?);
        file.write_all(MAGIC)?;
        for resource in resources {
            file.write_all(&resource.encode_length_delimited_to_vec())?;
        }
        file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(&partial, &path)
    };
    write().map_err(|source| {
        let _ = std::fs::remove_file(&partial);
        SavedError::Io { path, source }
    })
}

/// Reads the saved configuration in `dir`; empty when there is none.
///
/// # Errors
/// [`SavedError`] when the file is there but cannot be used.
pub(crate) fn load(dir: &Path) -> Result<Vec<Saved>, SavedError> {
    let path = dir.join(FILE);
    let failed = |source| SavedError::Io { path: path.clone(), source };
    let bytes = match std::fs::metadata(&path) {
        Ok(meta) if meta.len() > MAX_FILE => return Err(SavedError::Format { path }),
        Ok(_) => std::fs::read(&path).map_err(failed)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut rest = Bytes::from(bytes);
    if !rest.starts_with(MAGIC) {
        return Err(SavedError::Format { path });
    }
    rest = rest.slice(MAGIC.len()..);
    let mut all = Vec::new();
    while !rest.is_empty() {
        let saved = Saved::decode_length_delimited(&mut rest)
            .map_err(|_| SavedError::Format { path: path.clone() })?;
        all.push(saved);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_was_and_damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path()).unwrap().is_empty());
        let saved = vec![
            Saved {
                type_url: "t".into(),
                name: "a".into(),
                version: "1".into(),
                payload: Bytes::from_static(b"xyz"),
            },
            Saved::default(),
        ];
        save(dir.path(), &saved).unwrap();
        assert_eq!(load(dir.path()).unwrap(), saved);
        let path = dir.path().join(FILE);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.truncate(bytes.len() - 3);
        std::fs::write(&path, bytes).unwrap();
        assert!(load(dir.path()).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
