//! Which filter chain takes a connection.
//!
//! Envoy's order (`FilterChainMatch`): destination port, destination address, server name, transport protocol,
//! application protocol, address of the direct peer, source type, source address, source port. At each step the most
//! specific criterion that fits wins, and chains without it are out: there is no way back to a less specific one.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use smallvec::SmallVec;

use crate::runtime::listener::{FilterChain, FilterChainMatch, Listener, SourceType};
use crate::runtime::net::CidrRange;

/// What is known of a connection when its chain is chosen.
#[derive(Clone, Copy, Debug)]
pub struct NewConnection<'a> {
    /// What the client connected to (the original destination where there is one).
    pub destination: SocketAddr,
    /// The client.
    pub source: SocketAddr,
    /// The peer of the connection.
    pub direct_source: SocketAddr,
    /// Server name of the TLS hello, lower case; empty for none.
    pub server_name: &'a str,
    /// `tls` if a TLS hello was seen, otherwise `raw_buffer`.
    pub transport_protocol: &'a str,
    /// ALPN of the TLS hello, or what the HTTP inspector found (`http/1.0`, `http/1.1`, `h2c`), in the client's order.
    pub application_protocols: &'a [&'a [u8]],
}

/// The chain that takes the connection: the best match, otherwise the default chain, otherwise none (close it).
pub fn find<'l>(listener: &'l Listener, connection: &NewConnection<'_>) -> Option<&'l Arc<FilterChain>> {
    find_index(&listener.chains, connection)
        .map(|index| &listener.chains[index])
        .or(listener.default_chain.as_ref())
}

/// Index of the best match among `chains`, without the default.
pub fn find_index(chains: &[Arc<FilterChain>], c: &NewConnection<'_>) -> Option<usize> {
    let mut left: SmallVec<[u32; 64]> = (0..u32::try_from(chains.len()).unwrap_or(u32::MAX)).collect();
    let m = |index: u32| &chains[index as usize].matches;
    let port = c.destination.port();
    keep_best(&mut left, |i| one(m(i).destination_port.as_ref(), |p| *p == port));
    keep_best(&mut left, |i| longest_range(&m(i).prefix_ranges, c.destination.ip()));
    keep_best(&mut left, |i| server_name(&m(i).server_names, c.server_name));
    keep_best(&mut left, |i| {
        let want = &m(i).transport_protocol;
        one((!want.is_empty()).then_some(want), |want| **want == *c.transport_protocol)
    });
    keep_best(&mut left, |i| application_protocol(m(i), c.application_protocols));
    keep_best(&mut left, |i| longest_range(&m(i).direct_source_prefix_ranges, c.direct_source.ip()));
    let local = c.source.ip().to_canonical().is_loopback()
        || c.source.ip().to_canonical() == c.destination.ip().to_canonical();
    keep_best(&mut left, |i| match m(i).source_type {
        SourceType::Any => Some(0),
        SourceType::SameIpOrLoopback => local.then_some(1),
        SourceType::External => (!local).then_some(1),
    });
    keep_best(&mut left, |i| longest_range(&m(i).source_prefix_ranges, c.source.ip()));
    keep_best(&mut left, |i| {
        let ports = &m(i).source_ports;
        if ports.is_empty() { Some(0) } else { ports.contains(&c.source.port()).then_some(1) }
    });
    left.first().map(|index| *index as usize)
}

/// Keeps the chains with the highest rank; `None` is out.
fn keep_best(left: &mut SmallVec<[u32; 64]>, rank: impl Fn(u32) -> Option<u32>) {
    let best = left.iter().filter_map(|index| rank(*index)).max();
    left.retain(|index| best.is_some() && rank(*index) == best);
}

/// Rank of a criterion with one value: 0 if it is not set, 1 if it fits.
fn one<T>(want: Option<T>, fits: impl Fn(T) -> bool) -> Option<u32> {
    match want {
        None => Some(0),
        Some(want) => fits(want).then_some(1),
    }
}

/// Length of the longest range that holds `ip`, plus one; 0 if none is asked for.
fn longest_range(ranges: &[CidrRange], ip: IpAddr) -> Option<u32> {
    if ranges.is_empty() {
        return Some(0);
    }
    ranges.iter().filter(|range| range.contains(ip)).map(|range| u32::from(range.prefix_len()) + 1).max()
}

/// Exact names before wildcards, longer wildcards before shorter; 0 if none is asked for.
fn server_name(names: &[Arc<str>], sni: &str) -> Option<u32> {
    if names.is_empty() {
        return Some(0);
    }
    names
        .iter()
        .filter_map(|name| match name.strip_prefix('*') {
            Some(suffix) => (sni.len() > suffix.len() && sni.ends_with(suffix))
                .then(|| u32::try_from(suffix.len()).unwrap_or(u32::MAX - 1)),
            None => (**name == *sni && !sni.is_empty()).then_some(u32::MAX),
        })
        .max()
}

/// The earlier the client names the protocol, the better; 0 if none is asked for.
fn application_protocol(m: &FilterChainMatch, offered: &[&[u8]]) -> Option<u32> {
    if m.application_protocols.is_empty() {
        return Some(0);
    }
    let at = offered.iter().position(|o| m.application_protocols.iter().any(|want| want.as_bytes() == *o))?;
    Some(u32::MAX - u32::try_from(at).unwrap_or(u32::MAX - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::listener::{DownstreamTransport, TcpClusters, TcpProxy, Terminal};

    fn chain(name: &str, matches: FilterChainMatch) -> Arc<FilterChain> {
        let tcp = TcpProxy {
            tunnel: None,
            stat_prefix: "t".into(),
            clusters: TcpClusters::Single("c".into()),
            idle_timeout: None,
            max_duration: None,
            max_connect_attempts: 1,
            access_logs: vec![],
            log_interval: None,
            log_on_connect: false,
            hash_source_ip: false,
        };
        Arc::new(FilterChain {
            name: name.into(),
            matches,
            transport: DownstreamTransport::Plain,
            handshake_timeout: None,
            filters: vec![],
            terminal: Terminal::Tcp(Arc::new(tcp)),
            provenance: None,
        })
    }

    fn any() -> FilterChainMatch {
        FilterChainMatch::default()
    }

    fn ranges(texts: &[(&str, u8)]) -> Vec<CidrRange> {
        texts.iter().map(|(a, l)| CidrRange::new(a.parse().unwrap(), *l)).collect()
    }

    fn connection<'a>() -> NewConnection<'a> {
        NewConnection {
            destination: "10.0.0.5:9080".parse().unwrap(),
            source: "10.0.0.9:40000".parse().unwrap(),
            direct_source: "10.0.0.9:40000".parse().unwrap(),
            server_name: "",
            transport_protocol: "raw_buffer",
            application_protocols: &[],
        }
    }

    #[track_caller]
    fn check(chains: &[Arc<FilterChain>], c: &NewConnection<'_>, want: Option<&str>) {
        assert_eq!(find_index(chains, c).map(|i| &*chains[i].name), want);
    }

    #[test]
    fn a_specific_port_shuts_out_chains_without_one() {
        let chains = [
            chain(
                "port",
                FilterChainMatch { destination_port: Some(9080), transport_protocol: "tls".into(), ..any() },
            ),
            chain("any", any()),
        ];
        check(&chains, &connection(), None);
        check(&chains, &NewConnection { transport_protocol: "tls", ..connection() }, Some("port"));
        let other = NewConnection { destination: "10.0.0.5:80".parse().unwrap(), ..connection() };
        check(&chains, &other, Some("any"));
    }

    #[test]
    fn the_longest_prefix_wins() {
        let chains = [
            chain("wide", FilterChainMatch { prefix_ranges: ranges(&[("10.0.0.0", 8)]), ..any() }),
            chain("narrow", FilterChainMatch { prefix_ranges: ranges(&[("10.0.0.5", 32)]), ..any() }),
            chain("any", any()),
        ];
        check(&chains, &connection(), Some("narrow"));
        let other = NewConnection { destination: "11.0.0.1:1".parse().unwrap(), ..connection() };
        check(&chains, &other, Some("any"));
    }

    #[test]
    fn server_names_exact_then_longest_wildcard() {
        let named =
            |name: &str, sni: &str| chain(name, FilterChainMatch { server_names: vec![sni.into()], ..any() });
        let chains = [
            named("wide", "*.com"),
            named("narrow", "*.a.com"),
            named("exact", "x.a.com"),
            chain("none", any()),
        ];
        for (sni, want) in
            [("x.a.com", "exact"), ("y.a.com", "narrow"), ("b.com", "wide"), ("", "none"), ("a.org", "none")]
        {
            check(&chains, &NewConnection { server_name: sni, ..connection() }, Some(want));
        }
        check(&chains, &NewConnection { server_name: "a.com", ..connection() }, Some("wide"));
    }

    #[test]
    fn application_protocols_in_the_order_of_the_client() {
        let alpn = |name: &str, want: &[&str]| {
            let application_protocols = want.iter().map(|p| Arc::from(*p)).collect();
            chain(name, FilterChainMatch { application_protocols, ..any() })
        };
        let chains = [alpn("http", &["http/1.1", "h2"]), alpn("istio", &["istio"]), chain("any", any())];
        let with = |protocols| NewConnection { application_protocols: protocols, ..connection() };
        check(&chains, &with(&[b"istio", b"h2"]), Some("istio"));
        check(&chains, &with(&[b"h2", b"istio"]), Some("http"));
        check(&chains, &with(&[b"mystery"]), Some("any"));
    }

    #[test]
    fn source_type_then_source_address_then_port() {
        let chains = [
            chain("local", FilterChainMatch { source_type: SourceType::SameIpOrLoopback, ..any() }),
            chain(
                "far",
                FilterChainMatch {
                    source_type: SourceType::External,
                    source_prefix_ranges: ranges(&[("10.0.0.0", 24)]),
                    ..any()
                },
            ),
            chain(
                "port",
                FilterChainMatch {
                    source_type: SourceType::External,
                    source_prefix_ranges: ranges(&[("10.0.0.0", 24)]),
                    source_ports: vec![40000],
                    ..any()
                },
            ),
            chain("any", any()),
        ];
        check(&chains, &connection(), Some("port"));
        check(&chains, &NewConnection { source: "10.0.0.9:1".parse().unwrap(), ..connection() }, Some("far"));
        check(
            &chains,
            &NewConnection { source: "127.0.0.1:1".parse().unwrap(), ..connection() },
            Some("local"),
        );
        check(
            &chains,
            &NewConnection { source: "10.0.0.5:1".parse().unwrap(), ..connection() },
            Some("local"),
        );
        // External is more specific than Any, and there is no way back from it.
        check(&chains, &NewConnection { source: "11.0.0.9:1".parse().unwrap(), ..connection() }, None);
    }
}
