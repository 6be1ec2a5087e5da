//! Sockets that the parent process left open for us.

#![allow(unsafe_code, reason = "a number from a file becomes an owned descriptor")]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use socket2::SockRef;

/// Why an inherited descriptor cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("inherited_listeners: descriptor {fd} is not an open listening socket: {source}")]
pub struct FdError {
    fd: RawFd,
    source: std::io::Error,
}

/// Takes over descriptor `fd`, which must be a listening socket. To be called once for each number, early in `main`.
///
/// # Errors
/// [`FdError`] when it is not open, is a standard stream, or is no listening socket.
pub(crate) fn inherited(fd: RawFd) -> Result<OwnedFd, FdError> {
    let failed = |source| FdError { fd, source };
    if fd <= libc::STDERR_FILENO {
        return Err(failed(std::io::Error::from_raw_os_error(libc::EBADF)));
    }
    // SAFETY: F_GETFD reads a flag and touches no memory; on a number that is no open descriptor it fails with EBADF.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    if flags < 0 {
        return Err(failed(std::io::Error::last_os_error()));
    }
    // SAFETY: the descriptor is open (just checked) and ours alone: the parent passed it on for this purpose, and this process has
    // opened nothing under a number that the parent chose before it started.
    let owned = unsafe { OwnedFd::from_raw_fd(fd) };
    // Our children shall not have it.
    // SAFETY: sets a flag on a descriptor that we own.
    unsafe { libc::fcntl(owned.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
    match SockRef::from(&owned).is_listener() {
        Ok(true) => Ok(owned),
        Ok(false) => Err(failed(std::io::Error::from_raw_os_error(libc::EINVAL))),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::IntoRawFd;

    use super::*;

    #[test]
    fn only_listening_sockets_are_taken() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let fd = listener.into_raw_fd();
        assert!(inherited(fd).is_ok());
        assert!(inherited(1).is_err());
        assert!(inherited(9_999).is_err());
        let file = std::fs::File::open("/dev/null").unwrap().into_raw_fd();
        assert!(inherited(file).is_err());
    }
}
