//! Who the client is: `x-forwarded-for`, trust, and `x-forwarded-client-cert`.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tulle_http::{Known, RequestHead, Scheme, Version};

use super::view::Connection;
use crate::runtime::http_manager::{ForwardClientCert, ForwardClientCertMode, RemoteAddress};

/// What is known of the client of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address.
    pub remote: SocketAddr,
    /// Whether it is inside: only then `x-envoy-*` headers of the request are believed.
    pub internal: bool,
    /// Whether this proxy is the first one it meets.
    pub edge: bool,
}

/// Headers by which a request could steer the proxy; removed unless it is internal.
const STEERING: &[&str] = &[
    "x-envoy-retriable-header-names",
    "x-envoy-retriable-status-codes",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-force-trace",
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-internal",
    "x-envoy-ip-tags",
    "x-envoy-max-retries",
    "x-envoy-original-url",
    "x-envoy-retry-grpc-on",
    "x-envoy-retry-on",
];

/// Headers that only a proxy in front may have set; removed at the edge.
const EDGE_ONLY: &[&str] = &[
    "x-envoy-decorator-operation",
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
    "x-envoy-original-host",
    "x-envoy-original-path",
];

/// Finds the client of a request, and brings `x-forwarded-for`, `x-forwarded-proto`, `x-envoy-internal` and
/// `x-envoy-external-address` in order. `own_ip` stands for this machine where the peer is loopback.
pub fn accept(
    head: &mut RequestHead,
    how: &RemoteAddress,
    connection: &Connection<'_>,
    own_ip: IpAddr,
) -> Client {
    let peer = connection.remote;
    let scheme = if connection.tls.is_some() { Scheme::Https } else { Scheme::Http };
    let (from_header, single) = last_forwarded(head, how.xff_trusted_hops, how.use_remote_address);
    let remote = from_header.map_or(peer, |ip| SocketAddr::new(ip, 0));
    if how.use_remote_address {
        if !how.skip_xff_append {
            let ip = peer.ip().to_canonical();
            append_forwarded_for(head, if is_own(ip) { own_ip } else { ip });
        }
        if how.xff_trusted_hops == 0 {
            head.headers.set(Known::XForwardedProto, scheme.as_str().as_bytes());
        }
    }
    if !head.headers.contains(Known::XForwardedProto) {
        head.headers.set(Known::XForwardedProto, scheme.as_str().as_bytes());
    }
    if head.version != Version::Http2
        && let Some(scheme) = head.headers.get(Known::XForwardedProto).and_then(Scheme::from_bytes)
    {
        // HTTP/1 says no scheme of its own.
        head.scheme = scheme;
    }
    if how.append_x_forwarded_port
        && (how.xff_trusted_hops == 0 || !head.headers.contains(Known::XForwardedPort))
    {
        head.headers.set(Known::XForwardedPort, connection.local.port().to_string().as_bytes());
    }
    let internal = single && how.internal.iter().any(|range| range.contains(remote.ip().to_canonical()));
    let edge = how.use_remote_address && !internal;
    if internal {
        head.headers.set(Known::XEnvoyInternal, b"true");
    } else {
        head.headers.retain(|h| !steers(h.name, edge));
        if edge {
            let text = remote.ip().to_string();
            head.headers.set(Known::XEnvoyExternalAddress, text.as_bytes());
        }
    }
    Client { remote, internal, edge }
}

/// Only these two addresses stand for the machine itself; the rest of 127.0.0.0/8 stands for itself, as in Envoy.
fn is_own(ip: IpAddr) -> bool {
    ip == IpAddr::V4(Ipv4Addr::LOCALHOST) || ip == IpAddr::V6(Ipv6Addr::LOCALHOST)
}

fn steers(name: &[u8], edge: bool) -> bool {
    if name.len() < 8 || !name[..8].eq_ignore_ascii_case(b"x-envoy-") {
        return false;
    }
    let listed = |list: &[&str]| list.iter().any(|n| n.as_bytes().eq_ignore_ascii_case(name));
    listed(STEERING)
        || (edge && (listed(EDGE_ONLY) || name.eq_ignore_ascii_case(b"x-envoy-external-address")))
}

/// The address that `x-forwarded-for` names: from the right, past the trusted hops. And whether trust may follow from
/// it: at the edge only if there was no such header, elsewhere only if it named one address.
fn last_forwarded(head: &RequestHead, hops: u32, edge: bool) -> (Option<IpAddr>, bool) {
    if edge && hops == 0 {
        return (None, !head.headers.contains(Known::XForwardedFor));
    }
    let back = if edge { hops - 1 } else { hops };
    let mut count = 0usize;
    let mut wanted = None;
    let lines: smallvec::SmallVec<[&[u8]; 4]> = head.headers.get_all(Known::XForwardedFor).collect();
    for item in lines.iter().rev().flat_map(|line| line.rsplit(|b| *b == b',')) {
        if count == back as usize {
            wanted = Some(item);
        }
        count += 1;
    }
    let ip = wanted.and_then(|item| std::str::from_utf8(item.trim_ascii()).ok()?.parse().ok());
    (ip, if edge { count == 0 } else { count == 1 && ip.is_some() })
}

fn append_forwarded_for(head: &mut RequestHead, ip: IpAddr) {
    let text = ip.to_string();
    head.headers.join(Known::XForwardedFor, text.as_bytes());
}

/// Brings `x-forwarded-client-cert` in order.
pub fn forward_client_cert(head: &mut RequestHead, how: ForwardClientCert, connection: &Connection<'_>) {
    let name = Known::XForwardedClientCert;
    if how.mode == ForwardClientCertMode::AlwaysForwardOnly {
        return;
    }
    let Some(peer) = connection.verified_peer() else {
        head.headers.remove(name);
        return;
    };
    match how.mode {
        ForwardClientCertMode::Sanitize => {
            head.headers.remove(name);
        }
        ForwardClientCertMode::ForwardOnly | ForwardClientCertMode::AlwaysForwardOnly => {}
        ForwardClientCertMode::AppendForward | ForwardClientCertMode::SanitizeSet => {
            let mut element = String::with_capacity(160);
            let local = connection.tls.map_or("", |tls| tls.local_uri_san);
            if !local.is_empty() {
                push(&mut element, format_args!("By={local}"));
            }
            push(&mut element, format_args!("Hash={}", peer.sha256));
            if how.cert {
                push(&mut element, format_args!("Cert=\"{}\"", peer.encoded_pem));
            }
            if how.chain {
                push(&mut element, format_args!("Chain=\"{}\"", peer.encoded_chain));
            }
            if how.subject {
                push(&mut element, format_args!("Subject=\"{}\"", peer.subject.replace('"', "\\\"")));
            }
            if how.uri {
                if peer.uri_sans.is_empty() {
                    push(&mut element, format_args!("URI="));
                }
                for uri in peer.uri_sans {
                    push(&mut element, format_args!("URI={uri}"));
                }
            }
            if how.dns {
                for dns in peer.dns_sans {
                    push(&mut element, format_args!("DNS={dns}"));
                }
            }
            if how.mode == ForwardClientCertMode::SanitizeSet {
                head.headers.set(name, element.as_bytes());
            } else {
                head.headers.join(name, element.as_bytes());
            }
        }
    }
}

fn push(element: &mut String, part: std::fmt::Arguments<'_>) {
    if !element.is_empty() {
        element.push(';');
    }
    // Writing to a String cannot fail.
    let _ = element.write_fmt(part);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::view::{CertificateView, TlsView};
    use crate::runtime::net::CidrRange;

    fn how(use_remote_address: bool, hops: u32) -> RemoteAddress {
        RemoteAddress {
            use_remote_address,
            xff_trusted_hops: hops,
            skip_xff_append: false,
            append_x_forwarded_port: false,
            internal: vec![],
            internal_unix_sockets: false,
        }
    }

    fn run(how: &RemoteAddress, peer: &str, headers: &[(&str, &str)]) -> (Client, RequestHead) {
        let connection = Connection::plain(peer.parse().unwrap(), "10.0.0.2:80".parse().unwrap());
        let mut head = RequestHead { headers: headers.iter().copied().collect(), ..Default::default() };
        let client = accept(&mut head, how, &connection, "10.0.0.2".parse().unwrap());
        (client, head)
    }

    #[test]
    fn the_edge_appends_the_peer_and_believes_trusted_hops() {
        let (client, head) = run(&how(true, 0), "1.2.3.4:5", &[("x-forwarded-for", "6.6.6.6")]);
        assert_eq!(client.remote.ip().to_string(), "1.2.3.4");
        assert_eq!(head.headers.get_str(Known::XForwardedFor), Some("6.6.6.6, 1.2.3.4"));
        let (client, _) = run(&how(true, 1), "1.2.3.4:5", &[("x-forwarded-for", "6.6.6.6, 7.7.7.7")]);
        assert_eq!(client.remote.ip().to_string(), "7.7.7.7");
        let (_, head) = run(&how(true, 0), "127.0.0.1:5", &[]);
        assert_eq!(head.headers.get_str(Known::XForwardedFor), Some("10.0.0.2"));
    }

    #[test]
    fn elsewhere_the_header_names_the_client() {
        let (client, head) = run(&how(false, 0), "10.0.0.1:5", &[("x-forwarded-for", "6.6.6.6, 7.7.7.7")]);
        assert_eq!(client.remote.ip().to_string(), "7.7.7.7");
        assert_eq!(head.headers.get_str(Known::XForwardedFor), Some("6.6.6.6, 7.7.7.7"));
        let (client, _) = run(&how(false, 0), "10.0.0.1:5", &[("x-forwarded-for", "nonsense")]);
        assert_eq!(client.remote.to_string(), "10.0.0.1:5");
    }

    #[test]
    fn nothing_is_internal_unless_configured() {
        let steering = [("x-envoy-retry-on", "5xx"), ("x-other", "kept")];
        let (client, head) = run(&how(true, 0), "127.0.0.1:5", &steering);
        assert!(!client.internal && client.edge);
        assert!(!head.headers.contains(Known::XEnvoyRetryOn) && head.headers.contains("x-other"));
        let inside =
            RemoteAddress { internal: vec![CidrRange::new("10.0.0.0".parse().unwrap(), 8)], ..how(true, 0) };
        let (client, head) = run(&inside, "10.0.0.1:5", &steering);
        assert!(client.internal && head.headers.contains(Known::XEnvoyRetryOn));
        let forged = [("x-forwarded-for", "10.0.0.9")];
        assert!(!run(&inside, "10.0.0.1:5", &forged).0.internal, "a header at the edge forfeits trust");
    }

    #[test]
    fn client_certificates_are_told() {
        let uris = ["spiffe://td/ns/a/sa/b"];
        let peer = CertificateView {
            verified: true,
            uri_sans: &uris,
            subject: "CN=\"x\"",
            sha256: "ab",
            ..Default::default()
        };
        let tls = TlsView { peer: Some(peer), local_uri_san: "spiffe://td/me", ..Default::default() };
        let connection = Connection {
            tls: Some(tls),
            ..Connection::plain("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap())
        };
        let how = |mode| ForwardClientCert {
            mode,
            subject: true,
            cert: false,
            chain: false,
            dns: false,
            uri: true,
        };
        let run = |mode, connection: &Connection<'_>| {
            let mut head = RequestHead {
                headers: [("x-forwarded-client-cert", "By=old")].into_iter().collect(),
                ..Default::default()
            };
            forward_client_cert(&mut head, how(mode), connection);
            head.headers.get_str(Known::XForwardedClientCert).unwrap_or_default().to_owned()
        };
        let ours = "By=spiffe://td/me;Hash=ab;Subject=\"CN=\\\"x\\\"\";URI=spiffe://td/ns/a/sa/b";
        assert_eq!(run(ForwardClientCertMode::SanitizeSet, &connection), ours);
        assert_eq!(run(ForwardClientCertMode::AppendForward, &connection), format!("By=old, {ours}"));
        assert_eq!(run(ForwardClientCertMode::Sanitize, &connection), "");
        let plain = Connection { tls: None, ..connection };
        assert_eq!(run(ForwardClientCertMode::SanitizeSet, &plain), "", "forged without mTLS");
        assert_eq!(run(ForwardClientCertMode::AppendForward, &plain), "");
    }
}
