//! Netlink in three small parts: the wire ([`wire`]), links, addresses and routes ([`link`]), nftables ([`nft`]).
//!
//! Nothing here needs a program such as `ip` or `nft`.

pub mod link;
pub mod nft;
pub mod wire;

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};

use self::wire::Reply;

/// What the kernel refused, and while doing what.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {errno}")]
pub struct NetlinkError {
    /// What was being done, such as `add veth v3`.
    pub doing: String,
    /// The kernel's answer.
    pub errno: Errno,
}

impl NetlinkError {
    fn new(doing: impl Into<String>, errno: Errno) -> Self {
        Self { doing: doing.into(), errno }
    }
}

/// A netlink socket. It stays in the network namespace of the thread that opened it, whichever thread uses it later.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
}

impl Socket {
    /// A socket for links, addresses and routes.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn route() -> Result<Self, NetlinkError> {
        Self::open(None)
    }

    /// A socket for nftables.
    ///
    /// # Errors
    /// What the kernel said; `EPROTONOSUPPORT` where the kernel has no netfilter netlink.
    pub fn netfilter() -> Result<Self, NetlinkError> {
        Self::open(Some(rustix::net::netlink::NETFILTER))
    }

    fn open(protocol: Option<Protocol>) -> Result<Self, NetlinkError> {
        let open = || -> Result<OwnedFd, Errno> {
            let fd = rustix::net::socket_with(
                AddressFamily::NETLINK,
                SocketType::RAW,
                SocketFlags::CLOEXEC,
                protocol,
            )?;
            rustix::net::bind(&fd, &SocketAddrNetlink::new(0, 0))?;
            Ok(fd)
        };
        open().map(|fd| Self { fd }).map_err(|e| NetlinkError::new("open a netlink socket", e))
    }

    /// Sends one or more messages and returns the first refusal among the answers.
    ///
    /// The kernel handles them before the send returns, so that every answer is there when it does: nothing here waits.
    ///
    /// # Errors
    /// The kernel's errno with `doing`.
    pub fn request(&self, messages: &[u8], doing: &str) -> Result<(), NetlinkError> {
        let fail = |errno| NetlinkError::new(doing, errno);
        // An earlier exchange may have been cut short: its answers must not be taken for ours.
        while rustix::net::recv(&self.fd, &mut [0u8; 64][..], RecvFlags::DONTWAIT | RecvFlags::TRUNC).is_ok()
        {
        }
        rustix::net::send(&self.fd, messages, SendFlags::empty()).map_err(fail)?;
        let mut buf = vec![0u8; 32 * 1024];
        let mut refused = None;
        loop {
            match rustix::net::recv(&self.fd, &mut buf[..], RecvFlags::DONTWAIT) {
                Ok((len, _)) => {
                    for reply in wire::replies(&buf[..len]) {
                        if let Reply::Refused(errno) = reply {
                            refused.get_or_insert(errno);
                        }
                    }
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(e) => return Err(fail(e)),
            }
        }
        match refused {
            None => Ok(()),
            Some(errno) => Err(fail(Errno::from_raw_os_error(errno))),
        }
    }
}
