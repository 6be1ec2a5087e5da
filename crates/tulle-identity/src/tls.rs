//! rustls configurations from what the mesh wants: which certificate, whom to trust, which protocols.

use std::sync::{Arc, OnceLock};

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};

use crate::san::SanMatcher;
use crate::secrets::{CertificateSource, TrustSource};
use crate::verify::PeerVerifier;

/// How many TLS sessions a client configuration remembers for servers that do not ask for its certificate.
const CLIENT_SESSIONS: usize = 16;

/// A version of TLS; older ones than 1.2 do not exist here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246; only where the configuration asks for it.
    V1_2,
    /// RFC 8446; the only one between sidecars.
    V1_3,
}

/// What is asked of a peer's certificate.
#[derive(Clone, Debug)]
pub enum VerifyPeer {
    /// Nothing: the connection is encrypted, the peer is unknown (an Envoy TLS context without `trusted_ca`).
    Nothing,
    /// It must lead to a root of the bundle and be an SVID where the bundle asks for one; if there are `names`, one of its names
    /// must match one of them.
    Chain {
        /// The roots.
        trust: TrustSource,
        /// Allowed names; empty: any.
        names: Vec<SanMatcher>,
    },
    /// It must lead to a root of the bundle and carry the host name that was dialled (clients only).
    ChainAndHost {
        /// The roots.
        trust: TrustSource,
    },
}

/// Whether a server asks its clients for certificates.
#[derive(Clone, Debug)]
pub enum ClientAuth {
    /// It does not.
    None,
    /// It asks; a client without one is served, one with a bad one is refused.
    Optional(VerifyPeer),
    /// It asks; a client without one is refused.
    Required(VerifyPeer),
}

/// A server's side of TLS.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// Its certificate.
    pub certificate: CertificateSource,
    /// What it asks of clients.
    pub client_auth: ClientAuth,
    /// Protocols it speaks, most wanted first (RFC 7301); empty: it does not negotiate.
    pub alpn: Vec<Vec<u8>>,
    /// Oldest version it speaks; default 1.3.
    pub min_version: TlsVersion,
    /// Newest version it speaks; default 1.3.
    pub max_version: TlsVersion,
}

/// A client's side of TLS. The server name (SNI) is given per connection.
#[derive(Clone, Debug)]
pub struct ClientTls {
    /// Its certificate, if the server asks for one.
    pub certificate: Option<CertificateSource>,
    /// What it asks of the server.
    pub verify: VerifyPeer,
    /// Protocols it offers, most wanted first; empty: it offers none.
    pub alpn: Vec<Vec<u8>>,
    /// Oldest version it speaks; default 1.3.
    pub min_version: TlsVersion,
    /// Newest version it speaks; default 1.3.
    pub max_version: TlsVersion,
    /// Whether the server name is sent; default true.
    pub send_sni: bool,
}

/// Why a TLS configuration cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsBuildError {
    /// No version lies between the two.
    #[error("the oldest TLS version allowed is newer than the newest one")]
    Versions,
    /// rustls refuses it.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

impl ServerTls {
    /// TLS 1.3 with `certificate`, no client certificates, no ALPN.
    pub fn new(certificate: CertificateSource) -> Self {
        Self {
            certificate,
            client_auth: ClientAuth::None,
            alpn: Vec::new(),
            min_version: TlsVersion::V1_3,
            max_version: TlsVersion::V1_3,
        }
    }

    /// The rustls configuration. It may be shared by all workers.
    ///
    /// A server that asks for client certificates offers no resumption, so that every connection is checked against the
    /// certificates and roots of its own time.
    ///
    /// # Errors
    /// [`TlsBuildError`].
    pub fn build(&self) -> Result<Arc<ServerConfig>, TlsBuildError> {
        let Self { certificate, client_auth, alpn, min_version, max_version } = self;
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(*min_version, *max_version)?)?;
        let asks = !matches!(client_auth, ClientAuth::None);
        let verifier = match client_auth {
            ClientAuth::None => WebPkiClientVerifier::no_client_auth(),
            ClientAuth::Optional(rules) => peer_verifier(rules, false),
            ClientAuth::Required(rules) => peer_verifier(rules, true),
        };
        let mut config =
            builder.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(certificate.clone()));
        config.alpn_protocols.clone_from(alpn);
        if asks {
            config.send_tls13_tickets = 0;
            config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        }
        Ok(Arc::new(config))
    }
}

impl ClientTls {
    /// TLS 1.3 that asks `verify` of the server, without a certificate of its own and without ALPN.
    pub fn new(verify: VerifyPeer) -> Self {
        Self {
            certificate: None,
            verify,
            alpn: Vec::new(),
            min_version: TlsVersion::V1_3,
            max_version: TlsVersion::V1_3,
            send_sni: true,
        }
    }

    /// The rustls configuration. It may be shared by all workers. Sessions are resumed only where no client certificate is
    /// configured.
    ///
    /// # Errors
    /// [`TlsBuildError`].
    pub fn build(&self) -> Result<Arc<ClientConfig>, TlsBuildError> {
        let Self { certificate, verify, alpn, min_version, max_version, send_sni } = self;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(*min_version, *max_version)?)?
            .dangerous()
            .with_custom_certificate_verifier(peer_verifier(verify, true));
        let mut config = match certificate {
            Some(source) => builder.with_client_cert_resolver(Arc::new(source.clone())),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(alpn);
        config.enable_sni = *send_sni;
        config.resumption = if certificate.is_some() {
            Resumption::disabled()
        } else {
            Resumption::in_memory_sessions(CLIENT_SESSIONS)
        };
        Ok(Arc::new(config))
    }
}

/// The algorithms of all TLS here: X25519 before the NIST curves, AES-128-GCM before the others.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| {
        use aws_lc_rs::{cipher_suite as suite, kx_group as group};
        Arc::new(CryptoProvider {
            cipher_suites: vec![
                suite::TLS13_AES_128_GCM_SHA256,
                suite::TLS13_AES_256_GCM_SHA384,
                suite::TLS13_CHACHA20_POLY1305_SHA256,
                suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
                suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
                suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
            ],
            kx_groups: vec![group::X25519, group::SECP256R1, group::SECP384R1],
            ..aws_lc_rs::default_provider()
        })
    }))
}

/// Why a handshake failed, in words. rustls prints the reasons that this crate adds only as `Debug`.
pub fn explain(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::Other(reason)) => reason.0.to_string(),
        other => other.to_string(),
    }
}

fn peer_verifier(rules: &VerifyPeer, required: bool) -> Arc<PeerVerifier> {
    let algorithms = provider().signature_verification_algorithms;
    Arc::new(PeerVerifier { rules: rules.clone(), algorithms, required })
}

fn versions(
    min: TlsVersion,
    max: TlsVersion,
) -> Result<&'static [&'static SupportedProtocolVersion], TlsBuildError> {
    static BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
    match (min, max) {
        (TlsVersion::V1_3, TlsVersion::V1_3) => Ok(&BOTH[..1]),
        (TlsVersion::V1_2, TlsVersion::V1_3) => Ok(&BOTH),
        (TlsVersion::V1_2, TlsVersion::V1_2) => Ok(&BOTH[1..]),
        (TlsVersion::V1_3, TlsVersion::V1_2) => Err(TlsBuildError::Versions),
    }
}
