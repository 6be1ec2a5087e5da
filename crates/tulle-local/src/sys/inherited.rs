//! Descriptors that a parent left open for us under agreed numbers.
#![allow(unsafe_code, reason = "a number becomes an owned descriptor here, and nowhere else")]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use rustix::io::FdFlags;

/// Takes ownership of descriptor `number` and keeps it from programs started later.
///
/// Call it once per number, at the start of a process whose parent passed it ([`super::spawn::Child::fds`]).
///
/// # Errors
/// `EBADF` if no descriptor of that number is open.
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl on a number that is not open fails with EBADF and does nothing.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open, and by the contract above nobody else in this process owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
    Ok(fd)
}
