//! Addresses and address ranges.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// A range of addresses, `10.0.0.0/8`. The bits beyond the prefix are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CidrRange {
    address: IpAddr,
    len: u8,
}

impl CidrRange {
    /// A range; `len` is cut to the length of the address (32 or 128), bits beyond it are cleared.
    pub fn new(address: IpAddr, len: u8) -> Self {
        match address {
            IpAddr::V4(v4) => {
                let len = len.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
                Self { address: IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask)), len }
            }
            IpAddr::V6(v6) => {
                let len = len.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
                Self { address: IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask)), len }
            }
        }
    }

    /// Whether `ip` is in the range. An IPv4 address mapped into IPv6 counts as IPv4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.len)).unwrap_or(0);
                ip.to_bits() & mask == net.to_bits()
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.len)).unwrap_or(0);
                ip.to_bits() & mask == net.to_bits()
            }
            _ => false,
        }
    }

    /// Length of the prefix in bits.
    pub fn prefix_len(&self) -> u8 {
        self.len
    }

    /// First address of the range.
    pub fn address(&self) -> IpAddr {
        self.address
    }
}

/// Where to connect to, or to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// An IP address and port.
    Ip(SocketAddr),
    /// A host name and port, to be resolved (DNS clusters only).
    Name(Arc<str>, u16),
    /// A Unix socket; a leading `@` means the abstract namespace.
    Pipe(Arc<str>),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(addr) => addr.fmt(f),
            Self::Name(host, port) => write!(f, "{host}:{port}"),
            Self::Pipe(path) => f.write_str(path),
        }
    }
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ListenAddress {
    /// The address.
    pub address: Address,
    /// Whether a socket at `::` takes IPv4 too; such clients are seen with their IPv4 addresses. Default no.
    pub ipv4_compat: bool,
}

/// In which order the addresses of an endpoint that has several are tried (`HappyEyeballsConfig`, RFC 8305).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HappyEyeballs {
    /// Whether IPv6 is tried first; `None` for the family of the endpoint's first address.
    pub first_is_v6: Option<bool>,
    /// How many addresses of that family come before one of the other; at least 1, default 1.
    pub first_count: u32,
}

impl Default for HappyEyeballs {
    fn default() -> Self {
        Self { first_is_v6: None, first_count: 1 }
    }
}

impl HappyEyeballs {
    /// The addresses in the order of trying: `first_count` of the first family, one of the other, and again; within a family
    /// as they were.
    pub fn order(&self, addresses: &[SocketAddr]) -> Vec<SocketAddr> {
        let Some(first) = addresses.first() else { return Vec::new() };
        let v6 = self.first_is_v6.unwrap_or(first.is_ipv6());
        let (mut first, mut other) =
            (addresses.iter().filter(|a| a.is_ipv6() == v6), addresses.iter().filter(|a| a.is_ipv6() != v6));
        let mut out = Vec::with_capacity(addresses.len());
        while out.len() < addresses.len() {
            out.extend(first.by_ref().take(self.first_count.max(1) as usize));
            out.extend(other.next());
        }
        out
    }
}

/// Keep-alive probes of the kernel (`SO_KEEPALIVE`). `None` leaves the system's own value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpKeepalive {
    /// Unanswered probes before the connection is dead (`TCP_KEEPCNT`).
    pub probes: Option<u32>,
    /// Seconds of silence before the first probe (`TCP_KEEPIDLE`).
    pub time_seconds: Option<u32>,
    /// Seconds between probes (`TCP_KEEPINTVL`).
    pub interval_seconds: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let all: Vec<SocketAddr> = ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1", "[fd00::1]:1", "[fd00::2]:1"]
            .map(|a| a.parse().unwrap())
            .into();
        let order = |first_is_v6, first_count| -> Vec<usize> {
            let sorted = HappyEyeballs { first_is_v6, first_count }.order(&all);
            sorted.iter().map(|a| all.iter().position(|b| a == b).unwrap()).collect()
        };
        assert_eq!(order(None, 1), [0, 3, 1, 4, 2]);
        assert_eq!(order(Some(true), 1), [3, 0, 4, 1, 2]);
        assert_eq!(order(Some(false), 2), [0, 1, 3, 2, 4]);
        assert_eq!(order(Some(true), 9), [3, 4, 0, 1, 2]);
        assert!(HappyEyeballs::default().order(&[]).is_empty());
    }

    #[test]
    fn ranges_hold_their_addresses() {
        let range = CidrRange::new("10.1.2.3".parse().unwrap(), 8);
        assert_eq!(range.address().to_string(), "10.0.0.0");
        assert!(range.contains("10.255.0.1".parse().unwrap()));
        assert!(range.contains("::ffff:10.0.0.1".parse().unwrap()));
        assert!(!range.contains("11.0.0.1".parse().unwrap()));
        assert!(CidrRange::new("0.0.0.0".parse().unwrap(), 0).contains("1.2.3.4".parse().unwrap()));
        assert!(!CidrRange::new("::".parse().unwrap(), 0).contains("1.2.3.4".parse().unwrap()));
        assert!(CidrRange::new("fd00::".parse().unwrap(), 8).contains("fd12::1".parse().unwrap()));
    }
}
