//! Verification of peers against the bundle in force at the moment of the handshake.

use std::fmt;
use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tulle_base::SpiffeId;
use webpki::{EndEntityCert, KeyUsage, RevocationOptions};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::material::{Part, TrustBundle};
use crate::san::{SanKind, SanMatcher};
use crate::tls::{PeerRules, VerifyPeer};

/// Why a certificate that leads to a trusted root is refused all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    /// There is no bundle yet.
    #[error("no trust bundle has arrived yet")]
    NoBundle,
    /// The SVID has none or several URI names.
    #[error("not an SVID: {0} URI names instead of one")]
    UriCount(usize),
    /// The URI is no SPIFFE id of a workload.
    #[error("not an SVID: {0}")]
    NotSpiffe(String),
    /// The SVID belongs to another trust domain.
    #[error("{0} is of a trust domain that is not accepted here")]
    TrustDomain(SpiffeId),
    /// None of the names is among the allowed ones.
    #[error("none of the certificate's names is among those expected")]
    San,
    /// Neither the certificate nor its key is among the allowed ones.
    #[error("neither the certificate's digest nor its key's is among those expected")]
    Digest,
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(std::sync::Arc::new(error))))
    }
}

/// Why a peer is refused in a handshake, as statistics tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerFault {
    /// It shows no certificate.
    Missing,
    /// Its certificate has names that are not accepted: none, several, or others.
    Names,
    /// Its certificate is of a foreign authority, not in its time, revoked or malformed.
    Certificate,
}

/// What of the peer's certificate made a handshake fail; `None` where it failed for another reason.
pub fn peer_fault(error: &std::io::Error) -> Option<PeerFault> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::NoCertificatesPresented => Some(PeerFault::Missing),
        Error::InvalidCertificate(CertificateError::Other(OtherError(inner)))
            if inner.downcast_ref::<NameError>().is_some_and(|e| *e != NameError::NoBundle) =>
        {
            Some(PeerFault::Names)
        }
        Error::InvalidCertificate(_) => Some(PeerFault::Certificate),
        _ => None,
    }
}

/// Checks chain, validity, trust domain and names of a peer.
pub(crate) struct PeerVerifier {
    pub(crate) rules: VerifyPeer,
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
    /// Whether a client must present a certificate (server side only).
    pub(crate) required: bool,
}

impl fmt::Debug for PeerVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerVerifier").field("rules", &self.rules).field("required", &self.required).finish()
    }
}

impl PeerVerifier {
    pub(crate) fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: Option<&ServerName<'_>>,
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<(), Error> {
        let (trust, rules, check_host) = match &self.rules {
            VerifyPeer::Nothing => return Ok(()),
            VerifyPeer::Chain { trust, rules } => (trust, rules, false),
            VerifyPeer::ChainAndHost { trust, rules } => (trust, rules, true),
        };
        let bundle = trust.get().ok_or(NameError::NoBundle)?;
        let cert = EndEntityCert::try_from(leaf).map_err(certificate_error)?;
        // Whose roots count is said by the name; one that may not be there is told as such only if the rest is good.
        let (anchors, name) = match part_for(&cert, &bundle) {
            Ok(part) => (&part.anchors[..], Ok(())),
            Err(error) => (bundle.parts().first().map_or(&[][..], |own| &own.anchors), Err(error)),
        };
        let check = |revocation: Option<RevocationOptions<'_>>| {
            cert.verify_for_usage(self.algorithms.all, anchors, intermediates, now, usage, revocation, None)
                .map(drop)
        };
        let lists = [bundle.revocations(), rules.revocations.as_deref()];
        match lists {
            [None, None] => check(None),
            _ => lists.into_iter().flatten().try_for_each(|lists| lists.with_options(check)),
        }
        .map_err(certificate_error)?;
        name?;
        if check_host && let Some(name) = server_name {
            cert.verify_is_valid_for_subject_name(name).map_err(certificate_error)?;
        }
        check_digests(&cert, leaf, rules)?;
        check_names(&cert, leaf, &rules.names)
    }

    fn verify12(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.algorithms)
    }

    fn verify13(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.algorithms)
    }
}

/// The roots that may speak for a certificate's trust domain.
fn part_for<'a>(cert: &EndEntityCert<'_>, bundle: &'a TrustBundle) -> Result<&'a Part, NameError> {
    let [own, federated @ ..] = bundle.parts() else { return Err(NameError::NoBundle) };
    if own.domains.is_empty() {
        return Ok(own);
    }
    let mut uris = cert.valid_uri_names();
    let (first, more) = (uris.next(), uris.count());
    let Some(uri) = first.filter(|_| more == 0) else {
        return Err(NameError::UriCount(usize::from(first.is_some()) + more));
    };
    // Other trust domains have their own ways to name workloads.
    let domain =
        uri.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/')).map(|(domain, _)| domain);
    let foreign = |domain| federated.iter().find(|part| part.domains.iter().any(|d| d == domain));
    if let Some(part) = domain.and_then(foreign) {
        return Ok(part);
    }
    let id = SpiffeId::parse(uri).map_err(|e| NameError::NotSpiffe(e.to_string()))?;
    if own.domains.contains(&id.trust_domain) { Ok(own) } else { Err(NameError::TrustDomain(id)) }
}

fn check_digests(
    cert: &EndEntityCert<'_>,
    leaf: &CertificateDer<'_>,
    rules: &PeerRules,
) -> Result<(), NameError> {
    let PeerRules { names: _, certificate_digests, key_digests, revocations: _ } = rules;
    if certificate_digests.is_empty() && key_digests.is_empty() {
        return Ok(());
    }
    let one_of = |digests: &[[u8; 32]], bytes: &[u8]| {
        let found = digest(&SHA256, bytes);
        digests.iter().any(|wanted| wanted == found.as_ref())
    };
    if one_of(certificate_digests, leaf) || one_of(key_digests, &cert.subject_public_key_info()) {
        Ok(())
    } else {
        Err(NameError::Digest)
    }
}

fn check_names(
    cert: &EndEntityCert<'_>,
    leaf: &CertificateDer<'_>,
    names: &[SanMatcher],
) -> Result<(), Error> {
    if names.is_empty() {
        return Ok(());
    }
    let any = |kind, name: &str| names.iter().any(|m| m.matches(kind, name));
    if cert.valid_uri_names().any(|uri| any(SanKind::Uri, uri))
        || cert.valid_dns_names().any(|dns| any(SanKind::Dns, dns))
    {
        return Ok(());
    }
    let rare = names.iter().any(|m| matches!(m.kind, SanKind::Ip | SanKind::Email | SanKind::Any));
    if rare && rare_names(leaf).iter().any(|(kind, name)| any(*kind, name)) {
        return Ok(());
    }
    Err(NameError::San.into())
}

/// Addresses and e-mail addresses of a certificate, which webpki does not list.
fn rare_names(leaf: &CertificateDer<'_>) -> Vec<(SanKind, String)> {
    let Ok((_, cert)) = X509Certificate::from_der(leaf) else { return Vec::new() };
    let Ok(Some(sans)) = cert.subject_alternative_name() else { return Vec::new() };
    let read = |name: &GeneralName<'_>| match name {
        GeneralName::RFC822Name(mail) => Some((SanKind::Email, (*mail).to_owned())),
        GeneralName::IPAddress(bytes) => {
            let ip = <[u8; 4]>::try_from(*bytes)
                .map(IpAddr::from)
                .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            Some((SanKind::Ip, ip.ok()?.to_string()))
        }
        _ => None,
    };
    sans.value.general_names.iter().filter_map(read).collect()
}

fn certificate_error(error: webpki::Error) -> Error {
    let error = match error {
        webpki::Error::CertExpired { .. } => CertificateError::Expired,
        webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet,
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
        webpki::Error::CertNotValidForName(_) => CertificateError::NotValidForName,
        webpki::Error::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        webpki::Error::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        webpki::Error::CertRevoked => CertificateError::Revoked,
        webpki::Error::UnknownRevocationStatus => CertificateError::UnknownRevocationStatus,
        webpki::Error::BadDer => CertificateError::BadEncoding,
        other => CertificateError::Other(OtherError(std::sync::Arc::new(other))),
    };
    Error::InvalidCertificate(error)
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(end_entity, intermediates, Some(server_name), now, KeyUsage::server_auth())?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify12(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(end_entity, intermediates, None, now, KeyUsage::client_auth())?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify12(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
