//! Certificate signing requests (PKCS #10, RFC 2986), of which only the public key is believed.

use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
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
}

/// A request whose sender holds the private key.
#[derive(Clone, Debug)]
pub struct SigningRequest {
    spki: Vec<u8>,
}

impl SigningRequest {
    /// Reads a PEM request and checks its signature. Names and extensions in it are neither read nor used.
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
        Ok(Self { spki: key.raw.to_vec() })
    }

    /// The public key (DER of SubjectPublicKeyInfo).
    pub fn public_key(&self) -> &[u8] {
        &self.spki
    }
}
