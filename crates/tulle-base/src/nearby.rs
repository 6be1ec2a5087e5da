//! Addresses that only a machine itself, or its cloud, gives an answer at: whoever picks a name or an address for somebody else to
//! connect to must not reach them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The ranges, each with the length of its prefix in bits: "this network" (RFC 1122 section 3.2.1.3), loopback, link-local (where most
/// clouds have their metadata service), multicast, broadcast, and the metadata services that are elsewhere.
pub const RANGES: [(IpAddr, u8); 10] = [
    (v4(0, 0, 0, 0), 8),
    // Alibaba Cloud.
    (v4(100, 100, 100, 200), 32),
    (v4(127, 0, 0, 0), 8),
    (v4(169, 254, 0, 0), 16),
    (v4(224, 0, 0, 0), 4),
    (v4(255, 255, 255, 255), 32),
    // Unspecified and loopback.
    (v6(0, 0, 0, 0), 127),
    // Amazon's over IPv6.
    (v6(0xfd00, 0xec2, 0, 0x254), 128),
    (v6(0xfe80, 0, 0, 0), 10),
    (v6(0xff00, 0, 0, 0), 8),
];

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

/// The first two and the last two groups; the others are 0.
const fn v6(a: u16, b: u16, g: u16, h: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(a, b, 0, 0, 0, 0, g, h))
}

/// Whether `ip` is in one of [`RANGES`]. An IPv4 address mapped into IPv6 counts as IPv4.
pub fn is_nearby(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    RANGES.iter().any(|&(net, len)| match (net, ip) {
        (IpAddr::V4(net), IpAddr::V4(ip)) => (net.to_bits() ^ ip.to_bits()).leading_zeros() >= u32::from(len),
        (IpAddr::V6(net), IpAddr::V6(ip)) => (net.to_bits() ^ ip.to_bits()).leading_zeros() >= u32::from(len),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_this_machine_or_its_cloud_answers_at_is_nearby() {
        for near in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.8.9.1",
            "169.254.169.254",
            "100.100.100.200",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
        ] {
            assert!(near.parse().is_ok_and(is_nearby), "{near}");
        }
        for other in [
            "10.96.0.7",
            "128.0.0.1",
            "100.100.100.201",
            "192.168.1.1",
            "203.0.113.9",
            "2001:db8::1",
            "fd00::7",
            "::ffff:10.0.0.1",
        ] {
            assert!(other.parse().is_ok_and(|ip| !is_nearby(ip)), "{other}");
        }
    }
}
