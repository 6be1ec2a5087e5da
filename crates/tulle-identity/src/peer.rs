//! Who is at the other end of a TLS connection.

use std::fmt::Write as _;
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls_pki_types::CertificateDer;
use tulle_base::SpiffeId;
use webpki::EndEntityCert;

use crate::cert::CertInfo;
use crate::material::MaterialError;

/// What a verified certificate says about a peer. Made once per connection, after the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The workload, if the first URI SAN is a SPIFFE id in Kubernetes form.
    pub spiffe: Option<SpiffeId>,
    /// The URI SANs in the certificate's order; the first is the principal in metrics.
    pub uri_sans: Vec<Arc<str>>,
    /// The DNS SANs in the certificate's order.
    pub dns_sans: Vec<Arc<str>>,
    /// The leaf itself.
    certificate: CertificateDer<'static>,
}

impl PeerIdentity {
    /// Reads the chain that rustls verified (`peer_certificates()`): `None` for an empty one.
    ///
    /// # Errors
    /// [`MaterialError::NotACertificate`], which cannot happen for a chain that passed verification.
    pub fn read(chain: &[CertificateDer<'_>]) -> Result<Option<Self>, MaterialError> {
        let Some(leaf) = chain.first() else { return Ok(None) };
        let cert = EndEntityCert::try_from(leaf).map_err(|_| MaterialError::NotACertificate)?;
        let uri_sans: Vec<Arc<str>> = cert.valid_uri_names().map(Arc::from).collect();
        let dns_sans = cert.valid_dns_names().map(Arc::from).collect();
        let spiffe = uri_sans.first().and_then(|uri| SpiffeId::parse(uri).ok());
        Ok(Some(Self { spiffe, uri_sans, dns_sans, certificate: leaf.clone().into_owned() }))
    }

    /// The principal for metrics and policies: the first URI SAN, with its scheme.
    pub fn principal(&self) -> Option<&Arc<str>> {
        self.uri_sans.first()
    }

    /// SHA-256 of the certificate in lower-case hex (`Hash=` in `x-forwarded-client-cert`).
    pub fn fingerprint(&self) -> String {
        let mut out = String::with_capacity(64);
        for byte in digest::digest(&digest::SHA256, &self.certificate).as_ref() {
            // Writing to a String cannot fail.
            let _ = write!(out, "{byte:02x}");
        }
        out
    }

    /// All public facts of the certificate: subject, serial, validity.
    ///
    /// # Errors
    /// [`MaterialError::NotACertificate`], which cannot happen for a chain that passed verification.
    pub fn info(&self) -> Result<CertInfo, MaterialError> {
        CertInfo::read(&self.certificate)
    }

    /// The leaf certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }
}
