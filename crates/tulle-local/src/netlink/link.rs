//! Links, addresses and routes (`rtnetlink(7)`), as far as a node and its pods need them.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType};

use super::wire::{ACK, Buffer, CREATE, EXCL};
use super::{NetlinkError, Socket};
use crate::net::octets;

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const ADDR_GEN_MODE_NONE: u8 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
/// Nobody else has the address: it can be used at once.
const IFA_F_NODAD: u8 = 2;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const IFF_UP: u32 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// The links of the network namespace that `new` was called in.
#[derive(Debug)]
pub struct Links {
    socket: Socket,
}

impl Links {
    /// Opens the current thread's network namespace.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn new() -> Result<Self, NetlinkError> {
        Socket::route().map(|socket| Self { socket })
    }

    /// Makes a bridge and brings it up. It has a fixed hardware address, so that neighbours' caches stay true.
    ///
    /// # Errors
    /// `EEXIST` if the name is taken, `EOPNOTSUPP` where the kernel has no bridges.
    pub fn add_bridge(&self, name: &str, hardware: [u8; 6]) -> Result<(), NetlinkError> {
        let mut b = Buffer::default();
        let m = b.message(RTM_NEWLINK, ACK | CREATE | EXCL);
        b.raw(&link_header(0, IFF_UP));
        b.attr_str(IFLA_IFNAME, name);
        b.attr(IFLA_ADDRESS, &hardware);
        b.nest(IFLA_LINKINFO, |b| b.attr_str(IFLA_INFO_KIND, "bridge"));
        b.close_message(m);
        self.socket.request(&b.into_bytes(), &format!("add the bridge {name}"))
    }

    /// Makes a pair of virtual Ethernet devices: `name` here on the bridge `master` and up, `peer` in `peer_netns`.
    ///
    /// # Errors
    /// `EEXIST` if a name is taken, `EOPNOTSUPP` where the kernel has no veth.
    pub fn add_veth(
        &self,
        name: &str,
        master: u32,
        peer: &str,
        peer_hardware: [u8; 6],
        peer_netns: BorrowedFd<'_>,
    ) -> Result<(), NetlinkError> {
        let mut b = Buffer::default();
        let m = b.message(RTM_NEWLINK, ACK | CREATE | EXCL);
        b.raw(&link_header(0, IFF_UP));
        b.attr_str(IFLA_IFNAME, name);
        b.attr_u32(IFLA_MASTER, master);
        b.nest(IFLA_LINKINFO, |b| {
            b.attr_str(IFLA_INFO_KIND, "veth");
            b.nest(IFLA_INFO_DATA, |b| {
                b.nest(VETH_INFO_PEER, |b| {
                    b.raw(&link_header(0, 0));
                    b.attr_str(IFLA_IFNAME, peer);
                    b.attr(IFLA_ADDRESS, &peer_hardware);
                    b.attr_u32(IFLA_NET_NS_FD, peer_netns.as_raw_fd().unsigned_abs());
                });
            });
        });
        b.close_message(m);
        self.socket.request(&b.into_bytes(), &format!("add the veth pair {name}"))
    }

    /// Brings a link up.
    ///
    /// # Errors
    /// `ENODEV` if there is none.
    pub fn set_up(&self, index: u32) -> Result<(), NetlinkError> {
        let mut b = Buffer::default();
        let m = b.message(RTM_NEWLINK, ACK);
        b.raw(&link_header(index, IFF_UP));
        b.close_message(m);
        self.socket.request(&b.into_bytes(), &format!("bring up link {index}"))
    }

    /// Removes a link; of a veth pair both ends go.
    ///
    /// # Errors
    /// `ENODEV` if there is none.
    pub fn remove(&self, name: &str) -> Result<(), NetlinkError> {
        let mut b = Buffer::default();
        let m = b.message(RTM_DELLINK, ACK);
        b.raw(&link_header(0, 0));
        b.attr_str(IFLA_IFNAME, name);
        b.close_message(m);
        self.socket.request(&b.into_bytes(), &format!("remove the link {name}"))
    }

    /// Gives a link an address with the prefix length `prefix`.
    ///
    /// # Errors
    /// `EEXIST` if it has it.
    pub fn add_address(&self, index: u32, address: IpAddr, prefix: u8) -> Result<(), NetlinkError> {
        let flags = if address.is_ipv6() { IFA_F_NODAD } else { 0 };
        let mut b = Buffer::default();
        let m = b.message(RTM_NEWADDR, ACK | CREATE | EXCL);
        b.raw(&[family(address), prefix, flags, 0]);
        b.raw(&index.to_ne_bytes());
        b.attr(IFA_LOCAL, &octets(address));
        b.attr(IFA_ADDRESS, &octets(address));
        if let IpAddr::V4(v4) = address
            && prefix < 31
        {
            let host_bits = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
            b.attr(IFA_BROADCAST, &(v4.to_bits() | host_bits).to_be_bytes());
        }
        b.close_message(m);
        self.socket.request(&b.into_bytes(), &format!("add the address {address}/{prefix}"))
    }

    /// Keeps IPv6 off a link that is not up yet: it gets no link-local address. Nothing happens where the kernel has no IPv6.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn without_ipv6(&self, index: u32) -> Result<(), NetlinkError> {
        let mut b = Buffer::default();
        let m = b.message(RTM_NEWLINK, ACK);
        b.raw(&link_header(index, 0));
        b.nest(IFLA_AF_SPEC, |b| {
            b.nest(AF_INET6.into(), |b| b.attr(IFLA_INET6_ADDR_GEN_MODE, &[ADDR_GEN_MODE_NONE]));
        });
        b.close_message(m);
        match self.socket.request(&b.into_bytes(), &format!("keep IPv6 off link {index}")) {
            Err(NetlinkError { errno: Errno::AFNOSUPPORT, .. }) => Ok(()),
            result => result,
        }
    }

    /// Sends everything that has no better route to `gateway`, which is on the link `index`.
    ///
    /// # Errors
    /// `ENETUNREACH` if it is not.
    pub fn add_default_route(&self, index: u32, gateway: IpAddr) -> Result<(), NetlinkError> {
        const TABLE_MAIN: u8 = 254;
        const PROTOCOL_STATIC: u8 = 4;
        const TYPE_UNICAST: u8 = 1;
        let mut b = Buffer::default();
        let m = b.message(RTM_NEWROUTE, ACK | CREATE | EXCL);
        b.raw(&[family(gateway), 0, 0, 0, TABLE_MAIN, PROTOCOL_STATIC, 0, TYPE_UNICAST]);
        b.raw(&0u32.to_ne_bytes());
        b.attr(RTA_GATEWAY, &octets(gateway));
        b.attr_u32(RTA_OIF, index);
        b.close_message(m);
        self.socket.request(&b.into_bytes(), &format!("add the default route by {gateway}"))
    }
}

/// The index of a link of the current thread's network namespace.
///
/// # Errors
/// `ENODEV` if there is none of that name.
pub fn index_of(name: &str) -> Result<u32, NetlinkError> {
    let find = || -> Result<u32, Errno> {
        let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::DGRAM, None)?;
        rustix::net::netdevice::name_to_index(&socket, name)
    };
    find().map_err(|errno| NetlinkError { doing: format!("look for the link {name}"), errno })
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

/// `struct ifinfomsg` with the flags to set.
fn link_header(index: u32, flags: u32) -> [u8; 16] {
    let mut h = [0; 16];
    h[4..8].copy_from_slice(&index.to_ne_bytes());
    h[8..12].copy_from_slice(&flags.to_ne_bytes());
    h[12..16].copy_from_slice(&flags.to_ne_bytes());
    h
}
