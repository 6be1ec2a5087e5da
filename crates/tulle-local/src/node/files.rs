//! Files that are kept as they should be: written beside and renamed into place, so that nobody reads a half.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};

/// A file of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VolumeFile {
    /// Path below the volume's directory.
    pub path: String,
    /// What is in it.
    pub bytes: Vec<u8>,
    /// Its mode.
    pub mode: u32,
}

/// Writes a file unless it says that already.
pub(super) fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    fs::write(&beside, bytes)?;
    fs::set_permissions(&beside, fs::Permissions::from_mode(mode & 0o777))?;
    fs::rename(beside, path)
}

/// Makes a directory hold these files and no others.
pub(super) fn sync(dir: &Path, files: &[VolumeFile]) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for file in files.iter().filter(|f| is_inside(&f.path)) {
        write(&dir.join(&file.path), &file.bytes, file.mode)?;
    }
    let wanted: BTreeSet<&str> = files.iter().filter_map(|f| f.path.split('/').next()).collect();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_str().is_none_or(|n| !wanted.contains(n)) {
            let path = entry.path();
            if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
    }
    Ok(())
}

/// Whether a relative path stays where it begins.
pub(super) fn is_inside(path: &str) -> bool {
    !path.is_empty()
        && Path::new(path).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_follows() {
        let dir = tempfile::tempdir().unwrap();
        let file = |path: &str, text: &str| VolumeFile { path: path.into(), bytes: text.into(), mode: 0o640 };
        sync(dir.path(), &[file("a", "1"), file("sub/b", "2"), file("../escape", "3")]).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("sub/b")).unwrap(), "2");
        assert_eq!(fs::metadata(dir.path().join("a")).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(!dir.path().parent().unwrap().join("escape").exists());
        sync(dir.path(), &[file("a", "changed")]).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("a")).unwrap(), "changed");
        assert!(!dir.path().join("sub").exists());
        assert!(!is_inside("/etc") && !is_inside("a/../../b") && !is_inside("") && is_inside("a/b"));
    }
}
