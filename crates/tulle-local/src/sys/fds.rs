//! Open descriptors handed over a Unix socket (`SCM_RIGHTS`).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

/// Most descriptors in one message.
pub const MAX_FDS: usize = 4;

/// Sends `bytes` (at least one) with `fds` beside the first of them. Returns how many bytes went.
///
/// # Errors
/// What the kernel said; `WouldBlock` on a socket that does not wait.
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    Ok(rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

/// Receives bytes and the descriptors that came with them. Zero bytes: the other side is gone.
///
/// # Errors
/// What the kernel said; `WouldBlock` on a socket that does not wait.
pub fn receive(socket: impl AsFd, bytes: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received =
        rustix::net::recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    Ok(received.bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_descriptor_travels() {
        let (a, b) = UnixStream::pair().unwrap();
        let (mut here, there) = UnixStream::pair().unwrap();
        assert_eq!(send(&a, b"x", &[there.as_fd()]).unwrap(), 1);
        drop(there);
        let (mut buf, mut fds) = ([0; 8], Vec::new());
        assert_eq!(receive(&b, &mut buf, &mut fds).unwrap(), 1);
        let mut far = UnixStream::from(fds.pop().unwrap());
        far.write_all(b"hello").unwrap();
        drop(far);
        let mut text = String::new();
        here.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }
}
