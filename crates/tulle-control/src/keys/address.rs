//! Which addresses keys may be fetched from: whoever may write a RequestAuthentication chooses the address, so nothing is asked
//! that only the control plane's machine can reach.

use std::net::{IpAddr, Ipv4Addr};

/// Whether keys may be fetched from `ip`: not from this machine itself, its links (cloud metadata is there), or no single one.
pub(super) fn allowed(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            !(v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.octets()[0] == 0
                || v4 == Ipv4Addr::new(100, 100, 100, 200))
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unicast_link_local()
                || v6 == std::net::Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_this_machine_reaches_is_not_asked() {
        for no in [
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "100.100.100.200",
            "fd00:ec2::254",
        ] {
            assert!(!allowed(no.parse().unwrap_or(IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1)))), "{no}");
        }
        for yes in ["10.96.0.7", "192.168.1.1", "203.0.113.9", "2001:db8::1", "fd00::7"] {
            assert!(yes.parse().is_ok_and(allowed), "{yes}");
        }
    }
}
