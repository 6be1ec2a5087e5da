//! TLS towards clients and endpoints: from compiled contexts to rustls configurations.
//!
//! Configurations are made when a listener or cluster arrives. Certificates and roots with a name are cells that every
//! handshake reads anew, so that a rotation needs no new configuration; files and inline data are read once.

use std::{io, net::SocketAddr, path::Path, sync::Arc};

use rustls::{ClientConfig, ServerConfig, pki_types::ServerName};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use tulle_engine::runtime::{
    matcher::StringMatcher,
    tls::{
        CertificateSource, ChainValidation, CipherSuite, DataRef, DownstreamTls, RootSource, SanKind,
        SanMatcher, TlsCommon, TlsVersion, UpstreamTls, Validation,
    },
};
use tulle_identity::{
    self as identity, Certificate, ClientTls, MaterialError, PeerRules, Revocations, Secrets, ServerTls,
    TextMatch, TlsBuildError, TrustBundle, TrustSource, VerifyPeer, Watched,
    tls::{ClientAuth, ClientSessions, Recheck, ServerResumption},
};

use crate::net::stream::Tcp;

/// Where the system keeps its roots (Debian, Fedora, Alpine).
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Why a TLS context cannot be used. Connections that need it are refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file cannot be read, or does not hold what it should.
    #[error(transparent)]
    Material(#[from] MaterialError),
    /// rustls refuses the combination.
    #[error(transparent)]
    Build(#[from] TlsBuildError),
    /// The context asks for a check that is not built.
    #[error("{0} is not supported: connections are refused rather than left unchecked")]
    Unsupported(&'static str),
    /// No file with the system's roots was found.
    #[error("no system roots found; name a file with trusted_ca")]
    NoSystemRoots,
}

/// How connections are accepted.
#[derive(Clone, Debug)]
pub(crate) struct Accepting {
    /// Without sessions where clients are asked for certificates.
    config: Arc<ServerConfig>,
    resumption: Option<ServerResumption>,
}

impl Accepting {
    /// Shakes hands with a client.
    pub(crate) async fn accept(&self, tcp: Tcp) -> io::Result<server::TlsStream<Tcp>> {
        let config = match &self.resumption {
            Some(resumption) => resumption.begin(&self.config),
            None => Arc::clone(&self.config),
        };
        let stream = TlsAcceptor::from(config).accept(tcp).await?;
        if let Some(resumption) = &self.resumption {
            resumption.finish(stream.get_ref().1).map_err(invalid)?;
        }
        Ok(stream)
    }
}

/// How connections are made.
#[derive(Clone, Debug)]
pub(crate) struct Connecting {
    /// Without sessions.
    pub(crate) config: Arc<ClientConfig>,
    sessions: Option<Arc<ClientSessions>>,
    recheck: Recheck,
}

impl Connecting {
    /// Shakes hands with a server that is called `name`, at `endpoint` if it has an address.
    pub(crate) async fn connect(
        &self,
        name: ServerName<'static>,
        endpoint: Option<SocketAddr>,
        tcp: Tcp,
    ) -> io::Result<client::TlsStream<Tcp>> {
        let config = match (&self.sessions, endpoint) {
            (Some(sessions), Some(endpoint)) => {
                let mut config = ClientConfig::clone(&self.config);
                config.resumption = sessions.of(endpoint);
                Arc::new(config)
            }
            _ => Arc::clone(&self.config),
        };
        let stream = TlsConnector::from(config).connect(name.clone(), tcp).await?;
        self.recheck.server(stream.get_ref().1, &name).map_err(invalid)?;
        Ok(stream)
    }
}

/// Whether a handshake resumed a session.
pub(crate) fn is_resumed(session: &rustls::CommonState) -> bool {
    session.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// What accepts TLS, and where its certificate comes from.
pub(crate) fn server(
    tls: &DownstreamTls,
    secrets: &Secrets,
) -> Result<(Accepting, identity::CertificateSource), TlsError> {
    let DownstreamTls {
        common,
        require_client_certificate,
        require_sni: _, // Checked after the handshake, where the name is known.
        stateless_resumption,
        stateful_resumption, // There are no tickets with keys; whoever allows either gets sessions in memory.
    } = tls;
    let TlsCommon { certificates, validation, alpn, versions, cipher_suites } = common;
    let rules = verify(validation, secrets)?;
    let client_auth = match (rules, require_client_certificate) {
        (VerifyPeer::Nothing, false) => ClientAuth::None,
        (rules, false) => ClientAuth::Optional(rules),
        (rules, true) => ClientAuth::Required(rules),
    };
    let certificate = certificate(certificates, secrets)?;
    let config = ServerTls {
        certificate: certificate.clone(),
        client_auth,
        alpn: alpn.iter().map(|p| p.as_bytes().to_vec()).collect(),
        min_version: version(versions.min),
        max_version: version(versions.max),
        cipher_suites: cipher_suites.iter().copied().map(suite).collect(),
    };
    let (config, resumption) = match *stateless_resumption || *stateful_resumption {
        true => config.build_resuming()?,
        false => (config.build()?, None),
    };
    Ok((Accepting { config, resumption }, certificate))
}

/// What connects with TLS, offering `alpn` (the context's own where `None`). `checks_host`: the certificate must carry the name that
/// was asked for, beside what the context asks of it (the cluster's `auto_san_validation`).
pub(crate) fn client(
    tls: &UpstreamTls,
    checks_host: bool,
    alpn: Option<&[Arc<str>]>,
    secrets: &Secrets,
) -> Result<Connecting, TlsError> {
    let UpstreamTls { common, sni: _, auto_host_sni: _, auto_sni_san_validation, max_session_keys } = tls;
    let TlsCommon { certificates, validation, alpn: own, versions, cipher_suites } = common;
    let rules = match (verify(validation, secrets)?, auto_sni_san_validation) {
        (VerifyPeer::Chain { trust, rules }, own) if checks_host || (*own && rules.names.is_empty()) => {
            VerifyPeer::ChainAndHost { trust, rules }
        }
        (rules, _) => rules,
    };
    let mut out = ClientTls::new(rules);
    if !certificates.is_empty() {
        out.certificate = Some(certificate(certificates, secrets)?);
    }
    out.alpn = alpn.unwrap_or(own).iter().map(|p| p.as_bytes().to_vec()).collect();
    out.min_version = version(versions.min);
    out.max_version = version(versions.max);
    out.cipher_suites = cipher_suites.iter().copied().map(suite).collect();
    // Whoever connects says which name, or none.
    out.send_sni = true;
    let (config, sessions, recheck) = out.build_resuming()?;
    Ok(Connecting { config, sessions: (*max_session_keys > 0).then_some(sessions), recheck })
}

fn certificate(
    sources: &[CertificateSource],
    secrets: &Secrets,
) -> Result<identity::CertificateSource, TlsError> {
    let cells: Result<Vec<Watched<Certificate>>, TlsError> = sources
        .iter()
        .map(|source| match source {
            CertificateSource::Secret(name) => Ok(secrets.certificate(name)),
            CertificateSource::Inline(pem) => {
                Ok(Watched::of(Certificate::from_pem(&read(&pem.chain)?, &read(&pem.key)?)?))
            }
        })
        .collect();
    Ok(identity::CertificateSource::several(cells?))
}

fn verify(validation: &Validation, secrets: &Secrets) -> Result<VerifyPeer, TlsError> {
    let Validation::Chain(chain) = validation else { return Ok(VerifyPeer::Nothing) };
    let ChainValidation {
        roots,
        subject_alt_names,
        certificate_hashes,
        spki_hashes,
        allow_expired,
        accept_untrusted,
        crl,
        crl_leaf_only,
    } = chain;
    if *allow_expired {
        return Err(TlsError::Unsupported("allow_expired_certificate"));
    }
    if *accept_untrusted {
        return Ok(VerifyPeer::Nothing);
    }
    let trust = trust(roots, secrets)?;
    let lists = crl.as_ref().map(|crl| Revocations::from_pem(&read(crl)?, *crl_leaf_only));
    let rules = PeerRules {
        names: subject_alt_names.iter().map(san).collect(),
        certificate_digests: certificate_hashes.clone(),
        key_digests: spki_hashes.clone(),
        revocations: lists.transpose()?.map(Arc::new),
    };
    Ok(VerifyPeer::Chain { trust, rules })
}

fn trust(roots: &RootSource, secrets: &Secrets) -> Result<TrustSource, TlsError> {
    Ok(match roots {
        RootSource::Secret(name) => secrets.bundle(name),
        RootSource::Inline(data) => Watched::of(TrustBundle::from_pem(&read(data)?)?),
        RootSource::System => {
            let file = SYSTEM_ROOTS.iter().map(Path::new).find(|p| p.exists());
            Watched::of(TrustBundle::from_file(file.ok_or(TlsError::NoSystemRoots)?)?)
        }
    })
}

fn read(data: &DataRef) -> Result<Vec<u8>, MaterialError> {
    match data {
        DataRef::Inline(bytes) => Ok(bytes.to_vec()),
        DataRef::File(path) => identity::material::read_file(Path::new(&**path)),
    }
}

fn san(matcher: &SanMatcher) -> identity::SanMatcher {
    let SanMatcher { kind, value } = matcher;
    let kind = match kind {
        SanKind::Dns => identity::SanKind::Dns,
        SanKind::Uri => identity::SanKind::Uri,
        SanKind::Ip => identity::SanKind::Ip,
        SanKind::Email => identity::SanKind::Email,
        SanKind::Any => identity::SanKind::Any,
    };
    let (text, ignore_case) = match value {
        StringMatcher::Exact(s) => (TextMatch::Exact(s.to_string()), kind == identity::SanKind::Dns),
        StringMatcher::Prefix(s) => (TextMatch::Prefix(s.to_string()), false),
        StringMatcher::Suffix(s) => (TextMatch::Suffix(s.to_string()), false),
        StringMatcher::Contains(s) => (TextMatch::Contains(s.to_string()), false),
        StringMatcher::ExactNoCase(s) => (TextMatch::Exact(s.to_string()), true),
        StringMatcher::PrefixNoCase(s) => (TextMatch::Prefix(s.to_string()), true),
        StringMatcher::SuffixNoCase(s) => (TextMatch::Suffix(s.to_string()), true),
        StringMatcher::ContainsNoCase(s) => (TextMatch::Contains(s.to_string()), true),
        StringMatcher::Regex(full) => {
            let regex = full.regex.clone();
            (TextMatch::Custom(Arc::new(move |name| regex.is_match(name.as_bytes()))), false)
        }
    };
    identity::SanMatcher { kind, text, ignore_case }
}

fn suite(suite: CipherSuite) -> identity::CipherSuite {
    match suite {
        CipherSuite::EcdsaAes128 => identity::CipherSuite::EcdsaAes128,
        CipherSuite::EcdsaAes256 => identity::CipherSuite::EcdsaAes256,
        CipherSuite::EcdsaChaCha20 => identity::CipherSuite::EcdsaChaCha20,
        CipherSuite::RsaAes128 => identity::CipherSuite::RsaAes128,
        CipherSuite::RsaAes256 => identity::CipherSuite::RsaAes256,
        CipherSuite::RsaChaCha20 => identity::CipherSuite::RsaChaCha20,
    }
}

fn version(version: TlsVersion) -> identity::TlsVersion {
    match version {
        TlsVersion::V12 => identity::TlsVersion::V1_2,
        TlsVersion::V13 => identity::TlsVersion::V1_3,
    }
}
