//! The PROXY protocol as it is sent: what a connection begins with, so that the endpoint knows the client.

use std::net::{IpAddr, SocketAddr};

use tulle_engine::runtime::cluster::ProxyProtocol;

/// The twelve bytes that begin version 2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The header for a connection on behalf of `client` (who it is, and what it connected to). Without a client, such as for health
/// checks, version 1 tells the connection's own addresses, and version 2 that it is the proxy's own (`LOCAL`), as in Envoy.
pub(crate) fn encode(
    version: ProxyProtocol,
    client: Option<(SocketAddr, SocketAddr)>,
    own: Option<(SocketAddr, SocketAddr)>,
) -> Vec<u8> {
    match version {
        ProxyProtocol::V1 => match client.or(own) {
            Some(between) => v1(between),
            None => b"PROXY UNKNOWN\r\n".to_vec(),
        },
        ProxyProtocol::V2 => v2(client),
    }
}

fn v1(between: (SocketAddr, SocketAddr)) -> Vec<u8> {
    let (source, destination) = same_family(between);
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.ip(), destination.ip());
    format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes()
}

fn v2(client: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let mut out = SIGNATURE.to_vec();
    let Some(between) = client else {
        out.extend([0x20, 0, 0, 0]);
        return out;
    };
    match same_family(between) {
        (SocketAddr::V4(source), SocketAddr::V4(destination)) => {
            out.extend([0x21, 0x11, 0, 12]);
            out.extend(source.ip().octets());
            out.extend(destination.ip().octets());
        }
        (source, destination) => {
            out.extend([0x21, 0x21, 0, 36]);
            for ip in [source.ip(), destination.ip()] {
                out.extend(as_v6(ip).octets());
            }
        }
    }
    out.extend(between.0.port().to_be_bytes());
    out.extend(between.1.port().to_be_bytes());
    out
}

/// The header has one family for both: IPv4 is written as IPv6 beside it.
fn same_family((source, destination): (SocketAddr, SocketAddr)) -> (SocketAddr, SocketAddr) {
    if source.is_ipv4() == destination.is_ipv4() {
        return (source, destination);
    }
    let v6 = |a: SocketAddr| SocketAddr::new(as_v6(a.ip()).into(), a.port());
    (v6(source), v6(destination))
}

fn as_v6(ip: IpAddr) -> std::net::Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(source: &str, destination: &str) -> Option<(SocketAddr, SocketAddr)> {
        Some((source.parse().unwrap(), destination.parse().unwrap()))
    }

    #[test]
    fn text_tells_both_addresses_in_one_family() {
        let text = |client, own| String::from_utf8(encode(ProxyProtocol::V1, client, own)).unwrap();
        let v4 = addresses("10.0.0.1:4000", "10.0.0.2:80");
        assert_eq!(text(v4, None), "PROXY TCP4 10.0.0.1 10.0.0.2 4000 80\r\n");
        let v6 = addresses("[fd00::1]:4000", "[fd00::2]:80");
        assert_eq!(text(v6, v4), "PROXY TCP6 fd00::1 fd00::2 4000 80\r\n");
        let mixed = addresses("10.0.0.1:4000", "[fd00::2]:80");
        assert_eq!(text(mixed, None), "PROXY TCP6 ::ffff:10.0.0.1 fd00::2 4000 80\r\n");
        assert_eq!(text(None, v4), "PROXY TCP4 10.0.0.1 10.0.0.2 4000 80\r\n", "its own");
        assert_eq!(text(None, None), "PROXY UNKNOWN\r\n");
    }

    #[test]
    fn bytes_tell_both_addresses_or_that_nobody_is_behind() {
        let v4 = encode(ProxyProtocol::V2, addresses("10.0.0.1:258", "10.0.0.2:80"), None);
        assert_eq!(v4[12..], [0x21, 0x11, 0, 12, 10, 0, 0, 1, 10, 0, 0, 2, 1, 2, 0, 80]);
        let v6 = encode(ProxyProtocol::V2, addresses("[fd00::1]:258", "10.0.0.2:80"), None);
        assert_eq!((v6[12..16].to_vec(), v6.len()), (vec![0x21, 0x21, 0, 36], 52));
        assert_eq!(v6[32..48], "::ffff:10.0.0.2".parse::<std::net::Ipv6Addr>().unwrap().octets());
        let local = encode(ProxyProtocol::V2, None, addresses("10.0.0.1:1", "10.0.0.2:2"));
        assert_eq!(local[12..], [0x20, 0, 0, 0]);
    }
}
