//! What decisions may know of a connection.

use std::net::SocketAddr;

/// A connection from a client, as decisions see it.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// The peer of the connection.
    pub direct_remote: SocketAddr,
    /// The client: the peer, or what `x-forwarded-for` or proxy protocol say.
    pub remote: SocketAddr,
    /// What the client connected to: the original destination where there is one.
    pub local: SocketAddr,
    /// Server name of the TLS hello, lower case; empty for none.
    pub server_name: &'a str,
    /// TLS, if it is in use.
    pub tls: Option<TlsView<'a>>,
}

/// TLS of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct TlsView<'a> {
    /// Version, such as `TLSv1.3`.
    pub version: &'a str,
    /// The peer's certificate, if it presented one.
    pub peer: Option<CertificateView<'a>>,
    /// URI SAN of our certificate; empty for none.
    pub local_uri_san: &'a str,
}

/// A peer's certificate.
#[derive(Clone, Copy, Debug, Default)]
pub struct CertificateView<'a> {
    /// Whether it was verified.
    pub verified: bool,
    /// URI SANs, in the order of the certificate.
    pub uri_sans: &'a [&'a str],
    /// DNS SANs, in the order of the certificate.
    pub dns_sans: &'a [&'a str],
    /// Subject in RFC 2253 form; empty for none.
    pub subject: &'a str,
    /// SHA-256 of the certificate in lower case hex.
    pub sha256: &'a str,
    /// The certificate in URL-encoded PEM; empty if nobody asks for it.
    pub encoded_pem: &'a str,
    /// The chain in URL-encoded PEM; empty if nobody asks for it.
    pub encoded_chain: &'a str,
}

impl<'a> Connection<'a> {
    /// A plain connection between two addresses.
    pub fn plain(remote: SocketAddr, local: SocketAddr) -> Self {
        Self { direct_remote: remote, remote, local, server_name: "", tls: None }
    }

    /// The peer's certificate, if there is one and it was verified.
    pub fn verified_peer(&self) -> Option<CertificateView<'a>> {
        self.tls.and_then(|tls| tls.peer).filter(|peer| peer.verified)
    }
}
