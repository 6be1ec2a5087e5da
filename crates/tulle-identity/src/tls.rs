//! rustls configurations from what the mesh wants: which certificate, whom to trust, which protocols.

mod resume;
mod suites;

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};

use resume::Epoch;
pub use resume::{ClientSessions, Recheck, ServerResumption};
pub use suites::{CipherSuite, provider};

use crate::revocation::Revocations;
use crate::san::SanMatcher;
use crate::secrets::{CertificateSource, TrustSource};
use crate::verify::PeerVerifier;

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
    /// It must lead to a root of the bundle, be an SVID where the bundle asks for one, and keep the rules.
    Chain {
        /// The roots.
        trust: TrustSource,
        /// What else is asked.
        rules: PeerRules,
    },
    /// It must lead to a root of the bundle and carry the host name that was dialled (clients only).
    ChainAndHost {
        /// The roots.
        trust: TrustSource,
        /// What else is asked.
        rules: PeerRules,
    },
}

/// What is asked of a certificate that leads to a trusted root.
#[derive(Clone, Debug, Default)]
pub struct PeerRules {
    /// Names, one of which must match one of the certificate's; empty: any.
    pub names: Vec<SanMatcher>,
    /// SHA-256 digests of certificates. The certificate must have one of these, or a key with one of the next; both empty: any.
    pub certificate_digests: Vec<[u8; 32]>,
    /// SHA-256 digests of public keys (the SubjectPublicKeyInfo).
    pub key_digests: Vec<[u8; 32]>,
    /// Lists that it must not be in, beside the bundle's own.
    pub revocations: Option<Arc<Revocations>>,
}

impl PeerRules {
    /// Names alone.
    pub fn names(names: Vec<SanMatcher>) -> Self {
        Self { names, ..Self::default() }
    }
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
    /// Cipher suites of TLS 1.2, most wanted first; empty: all of [`CipherSuite`]. Those of TLS 1.3 are all spoken.
    pub cipher_suites: Vec<CipherSuite>,
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
    /// As on [`ServerTls`].
    pub cipher_suites: Vec<CipherSuite>,
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
            cipher_suites: Vec::new(),
        }
    }

    /// The rustls configuration. It may be shared by all workers.
    ///
    /// A server that asks for client certificates offers no resumption, so that every connection is checked against the
    /// certificates and roots of its own time; see [`ServerTls::build_resuming`].
    ///
    /// # Errors
    /// [`TlsBuildError`].
    pub fn build(&self) -> Result<Arc<ServerConfig>, TlsBuildError> {
        Ok(Arc::new(self.parts()?.0))
    }

    /// A configuration whose sessions may be resumed. Where clients are asked for certificates, what comes with it begins and ends every
    /// handshake.
    ///
    /// # Errors
    /// [`TlsBuildError`].
    pub fn build_resuming(&self) -> Result<(Arc<ServerConfig>, Option<ServerResumption>), TlsBuildError> {
        let (mut config, verifier) = self.parts()?;
        let (ClientAuth::Optional(rules) | ClientAuth::Required(rules), Some(verifier)) =
            (&self.client_auth, verifier)
        else {
            return Ok((Arc::new(config), None));
        };
        config.send_tls13_tickets = 1;
        let epoch = Epoch::new(rules, Some(&self.certificate));
        Ok((Arc::new(config), Some(ServerResumption::new(epoch, Recheck::new(verifier)))))
    }

    fn parts(&self) -> Result<(ServerConfig, Option<Arc<PeerVerifier>>), TlsBuildError> {
        let Self { certificate, client_auth, alpn, min_version, max_version, cipher_suites } = self;
        let builder = ServerConfig::builder_with_provider(suites::provider_with(cipher_suites))
            .with_protocol_versions(versions(*min_version, *max_version)?)?;
        let verifier = match client_auth {
            ClientAuth::None => None,
            ClientAuth::Optional(rules) => Some(peer_verifier(rules, false)),
            ClientAuth::Required(rules) => Some(peer_verifier(rules, true)),
        };
        let builder = match &verifier {
            None => builder.with_client_cert_verifier(WebPkiClientVerifier::no_client_auth()),
            Some(verifier) => builder.with_client_cert_verifier(Arc::<PeerVerifier>::clone(verifier)),
        };
        let mut config = builder.with_cert_resolver(Arc::new(certificate.clone()));
        config.alpn_protocols.clone_from(alpn);
        if verifier.is_some() {
            config.send_tls13_tickets = 0;
            config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        }
        Ok((config, verifier))
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
            cipher_suites: Vec::new(),
        }
    }

    /// The rustls configuration. It may be shared by all workers. No session is resumed; see [`ClientTls::build_resuming`].
    ///
    /// # Errors
    /// [`TlsBuildError`].
    pub fn build(&self) -> Result<Arc<ClientConfig>, TlsBuildError> {
        Ok(Arc::new(self.parts()?.0))
    }

    /// The same with the sessions of endpoints, which a connection takes by [`ClientSessions::of`], and what has to be asked after
    /// every handshake, before the server is believed.
    ///
    /// # Errors
    /// [`TlsBuildError`].
    pub fn build_resuming(&self) -> Result<(Arc<ClientConfig>, Arc<ClientSessions>, Recheck), TlsBuildError> {
        let (config, verifier) = self.parts()?;
        let sessions = ClientSessions::new(Epoch::new(&self.verify, self.certificate.as_ref()));
        Ok((Arc::new(config), sessions, Recheck::new(verifier)))
    }

    fn parts(&self) -> Result<(ClientConfig, Arc<PeerVerifier>), TlsBuildError> {
        let Self { certificate, verify, alpn, min_version, max_version, send_sni, cipher_suites } = self;
        let verifier = peer_verifier(verify, true);
        let builder = ClientConfig::builder_with_provider(suites::provider_with(cipher_suites))
            .with_protocol_versions(versions(*min_version, *max_version)?)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::<PeerVerifier>::clone(&verifier));
        let mut config = match certificate {
            Some(source) => builder.with_client_cert_resolver(Arc::new(source.clone())),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(alpn);
        config.enable_sni = *send_sni;
        config.resumption = Resumption::disabled();
        Ok((config, verifier))
    }
}

/// Why a handshake failed, in words. rustls prints the reasons that this crate adds, and most of its own about certificates, only as
/// `Debug`.
pub fn explain(error: &rustls::Error) -> String {
    use rustls::CertificateError as Why;
    match error {
        rustls::Error::NoCertificatesPresented => "no certificate was shown".to_owned(),
        rustls::Error::InvalidCertificate(why) => match why {
            Why::Other(reason) => reason.0.to_string(),
            Why::Expired | Why::ExpiredContext { .. } => "the certificate has expired".to_owned(),
            Why::NotValidYet | Why::NotValidYetContext { .. } => {
                "the certificate is not valid yet".to_owned()
            }
            Why::UnknownIssuer => "the certificate is of an authority that is not trusted".to_owned(),
            Why::BadSignature => {
                "the certificate is not signed by the trusted authority of that name".to_owned()
            }
            Why::Revoked => "the certificate is revoked".to_owned(),
            Why::InvalidPurpose | Why::InvalidPurposeContext { .. } => {
                "the certificate is not for this purpose".to_owned()
            }
            Why::BadEncoding => "the certificate cannot be read".to_owned(),
            _ => error.to_string(),
        },
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
