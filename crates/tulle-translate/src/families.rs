//! IPv4, IPv6 or both: what a proxy listens on and connects from follows from the addresses of its pod.

use std::net::IpAddr;

use tulle_proto::envoy::core::{
    BindConfig, ExtraSourceAddress, SocketAddress, socket_address::PortSpecifier,
};
use tulle_proto::envoy::listener::AdditionalAddress;

use crate::pb;

/// The address families of a proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Families {
    /// IPv4 alone.
    #[default]
    V4,
    /// IPv6 alone.
    V6,
    /// Both.
    Dual,
}

impl Families {
    /// The families of these addresses; IPv4 where there is none.
    pub fn of<'a>(addresses: impl Iterator<Item = &'a str>) -> Self {
        let (mut v4, mut v6) = (false, false);
        for ip in addresses.filter_map(|a| a.trim().parse::<IpAddr>().ok()) {
            match ip {
                IpAddr::V4(_) => v4 = true,
                IpAddr::V6(_) => v6 = true,
            }
        }
        match (v4, v6) {
            (true, true) => Self::Dual,
            (false, true) => Self::V6,
            _ => Self::V4,
        }
    }

    /// Whether somebody with these families reaches `address`, a single one or a block.
    pub(crate) fn reach(self, address: &str) -> bool {
        match self {
            Self::Dual => true,
            Self::V4 => !address.contains(':'),
            Self::V6 => address.contains(':'),
        }
    }

    /// The addresses that somebody with these families reaches; all of them if it is none.
    pub(crate) fn reachable<'a>(self, all: impl Iterator<Item = &'a str> + Clone) -> Vec<&'a str> {
        let some: Vec<&str> = all.clone().filter(|a| self.reach(a)).collect();
        if some.is_empty() { all.collect() } else { some }
    }

    /// Every address, as listeners are named and bound.
    pub(crate) fn any(self) -> &'static [&'static str] {
        match self {
            Self::V4 => &["0.0.0.0"],
            Self::V6 => &["::"],
            Self::Dual => &["0.0.0.0", "::"],
        }
    }

    /// The main one of [`Families::any`].
    pub(crate) fn wildcard(self) -> &'static str {
        if self == Self::V6 { "::" } else { "0.0.0.0" }
    }

    /// The machine itself, where applications listen that are not told otherwise.
    pub(crate) fn loopback(self) -> &'static str {
        if self == Self::V6 { "::1" } else { "127.0.0.1" }
    }

    /// The further ones of [`Families::any`], at `port`.
    pub(crate) fn more_addresses(self, port: u16) -> Vec<AdditionalAddress> {
        let more = |ip: &&str| AdditionalAddress {
            address: Some(pb::address(ip, port)),
            ..AdditionalAddress::default()
        };
        self.any().iter().skip(1).map(more).collect()
    }

    /// The source addresses of connections to the application: redirection lets them pass.
    pub(crate) fn passthrough_bind(self) -> BindConfig {
        let mut all = match self {
            Self::V4 => &["127.0.0.6"][..],
            Self::V6 => &["::6"],
            Self::Dual => &["127.0.0.6", "::6"],
        }
        .iter()
        .map(|ip| SocketAddress {
            address: (*ip).to_owned(),
            port_specifier: Some(PortSpecifier::PortValue(0)),
            ..SocketAddress::default()
        });
        BindConfig {
            source_address: all.next(),
            extra_source_addresses: all
                .map(|address| ExtraSourceAddress { address: Some(address), ..ExtraSourceAddress::default() })
                .collect(),
            ..BindConfig::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_tell_the_families() {
        let of = |text: &str| Families::of(text.split(','));
        assert_eq!(of("10.0.0.1"), Families::V4);
        assert_eq!(of("fd00::1"), Families::V6);
        assert_eq!(of("fd00::1, 10.0.0.1"), Families::Dual);
        assert_eq!(of(""), Families::V4);
    }
}
