//! Where the signing key is kept.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Largest key or certificate file that is read.
const MAX_FILE: u64 = 1 << 20;

/// Key and certificate of a self-signed root live in one file, so that there is never one without the other.
pub(crate) fn root_file(state_dir: &Path) -> PathBuf {
    state_dir.join("ca").join("root.pem")
}

/// The state of a rotation that is under way, with both keys.
pub(crate) fn rotation_file(state_dir: &Path) -> PathBuf {
    state_dir.join("ca").join("rotation.json")
}

/// The roots in force, where the signing key is plugged in.
pub(crate) fn in_force_file(state_dir: &Path) -> PathBuf {
    state_dir.join("ca").join("in-force.pem")
}

/// What was issued and has not expired.
pub(crate) fn issued_file(state_dir: &Path) -> PathBuf {
    state_dir.join("ca").join("issued.jsonl")
}

/// Permissions of a file.
pub(crate) fn mode(path: &Path) -> io::Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o7777)
}

/// Removes a file, for good; one that is not there is no error.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    match path.parent() {
        Some(dir) if dir.exists() => File::open(dir)?.sync_all(),
        _ => Ok(()),
    }
}

/// Reads a file, which may hold a key; `None` if there is none.
pub(crate) fn read(path: &Path) -> io::Result<Option<Zeroizing<String>>> {
    let length = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    if length > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "larger than 1 MiB"));
    }
    fs::read_to_string(path).map(|text| Some(Zeroizing::new(text)))
}

/// Writes a file that only its owner may read. After a crash at any moment either the old content is there or the new one.
pub(crate) fn write_private(path: &Path, content: &str) -> io::Result<()> {
    let dir = path.parent().ok_or_else(|| io::Error::other("no parent directory"))?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let temporary = path.with_extension("new");
    // A leftover of a crash would keep its mode.
    match fs::remove_file(&temporary) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_may_read_and_leftovers_do_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let path = root_file(dir.path());
        assert!(read(&path).unwrap().is_none());
        fs::create_dir(dir.path().join("ca")).unwrap();
        fs::write(path.with_extension("new"), "half a ke").unwrap();
        write_private(&path, "one").unwrap();
        write_private(&path, "two").unwrap();
        assert_eq!(read(&path).unwrap().unwrap().as_str(), "two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
