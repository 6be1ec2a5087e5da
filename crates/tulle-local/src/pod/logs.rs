//! Containers' output in files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

/// A file is put aside as `NAME.log.1` beyond this size; one old file is kept.
const MAX_SIZE: u64 = 10 * 1024 * 1024;

/// Where the output of a container goes: `DIR/NAMESPACE/POD/CONTAINER.log`.
pub fn path(dir: &Path, namespace: &str, pod: &str, container: &str) -> PathBuf {
    dir.join(namespace).join(pod).join(format!("{container}.log"))
}

/// The path of the old file.
pub fn rotated(path: &Path) -> PathBuf {
    path.with_extension("log.1")
}

/// A log file that does not grow without end.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    size: u64,
    max: u64,
}

impl LogFile {
    /// Opens the file at its end; its directory is made.
    ///
    /// # Errors
    /// What the file system said.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::with_max(path, MAX_SIZE)
    }

    fn with_max(path: &Path, max: u64) -> io::Result<Self> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, size, max })
    }

    /// Appends, starting a new file at the end of a line when this one is full.
    ///
    /// # Errors
    /// What the file system said.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.size += bytes.len() as u64;
        if self.size > self.max && bytes.ends_with(b"\n") {
            fs::rename(&self.path, rotated(&self.path))?;
            *self = Self::with_max(&self.path.clone(), self.max)?;
        }
        Ok(())
    }
}

/// Copies a pipe into a file until the last writer has closed it.
pub async fn pump(pipe: OwnedFd, mut file: LogFile) {
    let Ok(mut pipe) = Receiver::from_owned_fd(pipe) else { return };
    let mut buf = vec![0; 16 * 1024];
    let mut told = false;
    loop {
        match pipe.read(&mut buf).await {
            Ok(0) | Err(_) => return,
            Ok(len) => {
                // Without room for logs the container goes on; the pipe is still emptied.
                if let Err(e) = file.write(&buf[..len])
                    && !told
                {
                    told = true;
                    tracing::warn!(path = %file.path.display(), error = %e, "log not written");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = path(dir.path(), "shop", "cart-1", "cart");
        let mut log = LogFile::with_max(&path, 10).unwrap();
        log.write(b"0123456789abc").unwrap();
        log.write(b"def\n").unwrap();
        log.write(b"new\n").unwrap();
        assert_eq!(fs::read(rotated(&path)).unwrap(), b"0123456789abcdef\n");
        assert_eq!(fs::read(&path).unwrap(), b"new\n");
        drop(log);
        LogFile::open(&path).unwrap().write(b"more\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new\nmore\n");
    }
}
