//! Certificate signing requests (PKCS #10, RFC 2986), of which only the public key is believed. One that asks for more than its
//! sender is gets nothing.

use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject;
use tulle_base::SpiffeId;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

/// Longest request that is read, in bytes of PEM.
pub(crate) const MAX_PEM: usize = 16 << 10;

/// Why a request is not signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// Longer than any honest request.
    #[error("the signing request is longer than {MAX_PEM} bytes")]
    TooLong,
    /// Not one PEM block of a request.
    #[error("the signing request is not PEM of type CERTIFICATE REQUEST")]
    NotPem,
    /// Not DER of a request, or bytes after it.
    #[error("the signing request is not PKCS #10")]
    NotPkcs10,
    /// Its own signature does not fit its public key: the sender does not hold the private key.
    #[error("the signing request is not signed by its own key")]
    Signature,
    /// A kind or size of key that is not signed here.
    #[error("{0} are not signed; use ECDSA P-256 or P-384, or RSA of 2048 to 4096 bits")]
    Key(&'static str),
    /// It asks for the name of somebody else.
    #[error("the signing request asks for {asked}, but its sender is {caller}")]
    SomebodyElse {
        /// The first name that is not its own.
        asked: String,
        /// Who it is.
        caller: String,
    },
    /// It asks to be an authority itself.
    #[error("the signing request asks to be a certificate authority")]
    Authority,
}

impl CsrError {
    /// Whether the request is sound, but asks for what its sender may not have.
    pub fn is_claim(&self) -> bool {
        matches!(self, Self::SomebodyElse { .. } | Self::Authority)
    }
}

/// A request whose sender holds the private key.
#[derive(Clone, Debug)]
pub struct SigningRequest {
    spki: Vec<u8>,
    /// The names that it asks for, as text with their kind.
    names: Vec<String>,
    authority: bool,
}

impl SigningRequest {
    /// Reads a PEM request and checks its signature. What it asks for is read, and never used.
    ///
    /// # Errors
    /// [`CsrError`].
    pub fn read(pem: &str) -> Result<Self, CsrError> {
        if pem.len() > MAX_PEM {
            return Err(CsrError::TooLong);
        }
        let der =
            CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).map_err(|_| CsrError::NotPem)?;
        let (rest, request) = X509CertificationRequest::from_der(&der).map_err(|_| CsrError::NotPkcs10)?;
        if !rest.is_empty() {
            return Err(CsrError::NotPkcs10);
        }
        let key = &request.certification_request_info.subject_pki;
        match key.parsed() {
            Ok(PublicKey::EC(point)) if matches!(point.key_size(), 256 | 384) => {}
            Ok(PublicKey::EC(_)) => return Err(CsrError::Key("EC keys on other curves")),
            Ok(PublicKey::RSA(rsa)) if (2048..=4096).contains(&rsa.key_size()) => {}
            Ok(PublicKey::RSA(_)) => return Err(CsrError::Key("RSA keys of this size")),
            _ => return Err(CsrError::Key("keys of this kind")),
        }
        request.verify_signature().map_err(|_| CsrError::Signature)?;
        let (mut names, mut authority) = (Vec::new(), false);
        for extension in request.requested_extensions().into_iter().flatten() {
            match extension {
                ParsedExtension::SubjectAlternativeName(all) => {
                    names.extend(all.general_names.iter().map(name));
                }
                ParsedExtension::BasicConstraints(constraints) => authority |= constraints.ca,
                _ => {}
            }
        }
        Ok(Self { spki: key.raw.to_vec(), names, authority })
    }

    /// Whether it asks for nothing but what `caller` is: no name, or its SPIFFE id, in its trust domain or under an alias of it.
    ///
    /// # Errors
    /// [`CsrError::SomebodyElse`] and [`CsrError::Authority`].
    pub fn check(&self, caller: &SpiffeId, aliases: &[String]) -> Result<(), CsrError> {
        if self.authority {
            return Err(CsrError::Authority);
        }
        let own = |name: &String| {
            SpiffeId::parse(name).is_ok_and(|id| {
                let known = id.trust_domain == caller.trust_domain || aliases.contains(&id.trust_domain);
                known && (&id.namespace, &id.service_account) == (&caller.namespace, &caller.service_account)
            })
        };
        match self.names.iter().find(|name| !own(name)) {
            Some(asked) => {
                let asked = asked.chars().take(256).collect();
                Err(CsrError::SomebodyElse { asked, caller: caller.to_string() })
            }
            None => Ok(()),
        }
    }

    /// The public key (DER of SubjectPublicKeyInfo).
    pub fn public_key(&self) -> &[u8] {
        &self.spki
    }
}

/// A name as people read it; a URI as it is.
fn name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::URI(uri) => (*uri).to_owned(),
        GeneralName::DNSName(dns) => format!("the DNS name {dns}"),
        GeneralName::RFC822Name(mail) => format!("the mail address {mail}"),
        GeneralName::IPAddress(_) => "an IP address".to_owned(),
        _ => "a name of another kind".to_owned(),
    }
}
