//! TLS towards clients and towards endpoints.

use std::sync::Arc;
use std::time::Duration;

use super::matcher::StringMatcher;

/// TLS towards clients.
#[derive(Clone, Debug)]
pub struct DownstreamTls {
    /// What both sides have in common; at least one certificate.
    pub common: TlsCommon,
    /// Whether a client without certificate is refused.
    pub require_client_certificate: bool,
    /// Whether a client without server name is refused.
    pub require_sni: bool,
    /// Whether sessions may be resumed with tickets.
    pub stateless_resumption: bool,
    /// Whether sessions may be resumed from our cache.
    pub stateful_resumption: bool,
}

/// TLS towards endpoints.
#[derive(Clone, Debug)]
pub struct UpstreamTls {
    /// What both sides have in common.
    pub common: TlsCommon,
    /// Server name to send; empty for none.
    pub sni: Arc<str>,
    /// Use the host name of the endpoint as server name, if it has one.
    pub auto_host_sni: bool,
    /// Ask that the certificate has the server name sent.
    pub auto_sni_san_validation: bool,
    /// How many sessions to keep for resumption; 0 for none.
    pub max_session_keys: u32,
}

/// What TLS has in common towards both sides.
#[derive(Clone, Debug)]
pub struct TlsCommon {
    /// Our certificates; none means that we present none (upstream only).
    pub certificates: Vec<CertificateSource>,
    /// How the peer's certificate is checked.
    pub validation: Validation,
    /// ALPN protocols, most wanted first; empty for none.
    pub alpn: Vec<Arc<str>>,
    /// Oldest and newest version.
    pub versions: TlsVersions,
    /// Cipher suites of TLS 1.2, most wanted first; empty for all.
    pub cipher_suites: Vec<CipherSuite>,
}

/// Where a certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// Given in the configuration.
    Inline(Arc<CertificatePem>),
    /// A secret by name (SDS, or one of the bootstrap's).
    Secret(Arc<str>),
}

/// A certificate chain with its key.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificatePem {
    /// PEM, leaf first.
    pub chain: DataRef,
    /// PEM.
    pub key: DataRef,
}

impl std::fmt::Debug for CertificatePem {
    /// Never shows the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificatePem").field("chain", &self.chain).finish_non_exhaustive()
    }
}

/// Bytes given inline, or a file that the proxy reads when it applies the configuration.
#[derive(Clone, PartialEq, Eq)]
pub enum DataRef {
    /// The bytes.
    Inline(Arc<[u8]>),
    /// Path of the file.
    File(Arc<str>),
}

impl std::fmt::Debug for DataRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Inline(bytes) => write!(f, "Inline({} bytes)", bytes.len()),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// How the peer's certificate is checked.
#[derive(Clone, Debug)]
pub enum Validation {
    /// Not at all (no `trusted_ca`): no client certificate is asked for; an upstream's is not looked at.
    None,
    /// By a chain of trust.
    Chain(ChainValidation),
}

/// Checks by a chain of trust.
#[derive(Clone, Debug)]
pub struct ChainValidation {
    /// The roots.
    pub roots: RootSource,
    /// Names of which the certificate must have one; empty for any certificate of the roots.
    pub subject_alt_names: Vec<SanMatcher>,
    /// SHA-256 digests of certificates. One of these or of the next must match; both empty for any.
    pub certificate_hashes: Vec<[u8; 32]>,
    /// SHA-256 digests of public keys.
    pub spki_hashes: Vec<[u8; 32]>,
    /// Whether an expired certificate passes.
    pub allow_expired: bool,
    /// Whether a certificate that the roots do not vouch for passes (`ACCEPT_UNTRUSTED`).
    pub accept_untrusted: bool,
    /// Certificate revocation lists, PEM.
    pub crl: Option<DataRef>,
    /// Whether only the leaf is looked up there, and not the authorities above it.
    pub crl_leaf_only: bool,
}

/// Where roots come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootSource {
    /// PEM given in the configuration.
    Inline(DataRef),
    /// A secret by name (SDS, or one of the bootstrap's).
    Secret(Arc<str>),
    /// The system's own.
    System,
}

/// A subject alternative name that a certificate must have.
#[derive(Clone, Debug)]
pub struct SanMatcher {
    /// Which kind of name.
    pub kind: SanKind,
    /// What is asked of it. An exact DNS matcher also accepts a certificate's wildcard.
    pub value: StringMatcher,
}

/// Kinds of subject alternative names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SanKind {
    /// DNS name.
    Dns,
    /// URI, such as a SPIFFE id.
    Uri,
    /// Address.
    Ip,
    /// E-mail address.
    Email,
    /// Any of the above (the older `match_subject_alt_names`).
    Any,
}

/// Oldest and newest TLS version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsVersions {
    /// Oldest; default TLS 1.2.
    pub min: TlsVersion,
    /// Newest; default TLS 1.3.
    pub max: TlsVersion,
}

/// The TLS versions that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

/// The cipher suites of TLS 1.2 that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CipherSuite {
    /// `ECDHE-ECDSA-AES128-GCM-SHA256`
    EcdsaAes128,
    /// `ECDHE-ECDSA-AES256-GCM-SHA384`
    EcdsaAes256,
    /// `ECDHE-ECDSA-CHACHA20-POLY1305`
    EcdsaChaCha20,
    /// `ECDHE-RSA-AES128-GCM-SHA256`
    RsaAes128,
    /// `ECDHE-RSA-AES256-GCM-SHA384`
    RsaAes256,
    /// `ECDHE-RSA-CHACHA20-POLY1305`
    RsaChaCha20,
}

/// A secret given in the bootstrap, or answered by SDS.
#[derive(Clone, Debug)]
pub enum Secret {
    /// A certificate with its key.
    Certificate(Arc<CertificatePem>),
    /// Roots and what else is asked of a certificate.
    Validation(Validation),
}

/// How long a TLS handshake may take, as [`super::FilterChain`] has it; `None` for no limit.
pub type HandshakeTimeout = Option<Duration>;
