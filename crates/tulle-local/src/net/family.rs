//! IPv4 and IPv6: which of them a mesh has, and ranges of either.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tulle_api::kubernetes::IpFamily;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// As Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        IpFamily::from(self).as_str()
    }

    /// The address that stands for all.
    pub fn unspecified(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Self::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    /// The machine itself.
    pub fn loopback(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::LOCALHOST.into(),
            Self::V6 => Ipv6Addr::LOCALHOST.into(),
        }
    }

    /// Bits of an address.
    pub fn width(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

impl From<IpFamily> for Family {
    fn from(family: IpFamily) -> Self {
        match family {
            IpFamily::Ipv4 => Self::V4,
            IpFamily::Ipv6 => Self::V6,
        }
    }
}

impl From<Family> for IpFamily {
    fn from(family: Family) -> Self {
        match family {
            Family::V4 => Self::Ipv4,
            Family::V6 => Self::Ipv6,
        }
    }
}

/// The families of a mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Families {
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
    /// Both, IPv4 first.
    Dual,
}

impl Families {
    /// The families in order: the first is that of a pod's main address.
    pub fn list(self) -> &'static [Family] {
        match self {
            Self::V4 => &[Family::V4],
            Self::V6 => &[Family::V6],
            Self::Dual => &[Family::V4, Family::V6],
        }
    }

    /// Whether `family` is among them.
    pub fn has(self, family: Family) -> bool {
        self.list().contains(&family)
    }
}

impl FromStr for Families {
    type Err = String;

    /// `ipv4`, `ipv6` or `dual`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "ipv4" => Ok(Self::V4),
            "ipv6" => Ok(Self::V6),
            "dual" => Ok(Self::Dual),
            _ => Err("write ipv4, ipv6 or dual".to_owned()),
        }
    }
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// The range that holds `address` and shares its first `prefix` bits; more than there are counts as all.
    pub fn new(address: impl Into<IpAddr>, prefix: u8) -> Self {
        let address = address.into();
        let family = Family::of(address);
        let prefix = prefix.min(family.width());
        Self { network: from_bits(family, bits(address) & mask(family, prefix)), prefix }
    }

    /// One address.
    pub fn host(address: impl Into<IpAddr>) -> Self {
        Self::new(address, u8::MAX)
    }

    /// The machine itself: 127.0.0.0/8 or ::1.
    pub fn loopback(family: Family) -> Self {
        match family {
            Family::V4 => Self::new(Ipv4Addr::LOCALHOST, 8),
            Family::V6 => Self::host(Ipv6Addr::LOCALHOST),
        }
    }

    /// The family of its addresses.
    pub fn family(self) -> Family {
        Family::of(self.network)
    }

    /// The first address.
    pub fn network(self) -> IpAddr {
        self.network
    }

    /// The number of leading bits that are the same throughout.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// The prefix as a mask, in network byte order.
    pub fn mask(self) -> Vec<u8> {
        octets(from_bits(self.family(), mask(self.family(), self.prefix)))
    }

    /// The address at `offset` from the first.
    pub fn nth(self, offset: u32) -> IpAddr {
        from_bits(self.family(), bits(self.network) | u128::from(offset))
    }

    /// The first and last address as numbers.
    pub(super) fn bounds(self) -> (u128, u128) {
        let all = mask(self.family(), self.family().width());
        let first = bits(self.network);
        (first, first | (all & !mask(self.family(), self.prefix)))
    }

    /// Whether `address` is in the range.
    pub fn contains(self, address: IpAddr) -> bool {
        Family::of(address) == self.family()
            && bits(address) & mask(self.family(), self.prefix) == bits(self.network)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = ();

    /// `10.0.0.0/8`, `fd00::/8`, or an address alone.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let width = Family::of(address).width();
        let prefix = prefix.map_or(Ok(width), |p| p.parse().map_err(|_| ()))?;
        if prefix > width {
            return Err(());
        }
        Ok(Self::new(address, prefix))
    }
}

/// An address in network byte order.
pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

pub(super) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

pub(super) fn from_bits(family: Family, bits: u128) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from_bits(u32::try_from(bits & u128::from(u32::MAX)).unwrap_or(0)).into(),
        Family::V6 => Ipv6Addr::from_bits(bits).into(),
    }
}

fn mask(family: Family, prefix: u8) -> u128 {
    let width = u32::from(family.width());
    let all = u128::MAX >> (128 - width);
    all.checked_shl(width - u32::from(prefix)).unwrap_or(0) & all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn ranges_hold_what_they_should() {
        let cidr = |text: &str| text.parse::<Cidr>().unwrap();
        assert!(cidr("0.0.0.0/0").contains(ip("255.255.255.255")) && !cidr("0.0.0.0/0").contains(ip("::1")));
        assert!(cidr("::/0").contains(ip("ffff::1")) && !cidr("::/0").contains(ip("10.0.0.1")));
        let net = cidr("10.96.0.0/16");
        assert!(net.contains(ip("10.96.255.1")) && !net.contains(ip("10.97.0.0")));
        let net = cidr("fd00:10:96::5/112");
        assert_eq!(net.to_string(), "fd00:10:96::/112");
        assert!(net.contains(ip("fd00:10:96::ffff")) && !net.contains(ip("fd00:10:96::1:0")));
        assert_eq!((net.nth(258), cidr("10.0.0.0/8").nth(1)), (ip("fd00:10:96::102"), ip("10.0.0.1")));
        assert_eq!(cidr("10.1.2.3/20").mask(), [255, 255, 240, 0]);
        assert_eq!(cidr("fd00::/12").mask()[..3], [255, 240, 0]);
        for wrong in ["10.0.0.0/33", "::/129", "::/x", "host", "10.0.0.0/"] {
            assert!(wrong.parse::<Cidr>().is_err(), "{wrong}");
        }
    }
}
