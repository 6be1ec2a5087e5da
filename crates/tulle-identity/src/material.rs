//! Certificates with their keys, and trust bundles, from PEM bytes, files or the CA.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, TrustAnchor};

use crate::cert::CertInfo;
use crate::key::WorkloadKey;
use crate::revocation::Revocations;

/// The largest PEM file that is read: 1 MiB, several thousand certificates.
const MAX_FILE: u64 = 1 << 20;

/// Why TLS material cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is larger than any certificate file.
    #[error("{path}: larger than 1 MiB")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// PEM that cannot be read.
    #[error("not PEM: {0}")]
    Pem(rustls_pki_types::pem::Error),
    /// No certificate is in it.
    #[error("no certificate in it")]
    NoCertificate,
    /// No certificate revocation list is in it.
    #[error("no certificate revocation list (X509 CRL) in it")]
    NoRevocationList,
    /// A certificate revocation list is broken, or has a form that is not supported.
    #[error("certificate revocation list {index} cannot be used: {source}")]
    RevocationList {
        /// Its place, from 0.
        index: usize,
        /// What is wrong with it.
        source: webpki::Error,
    },
    /// The bytes are not an X.509 certificate.
    #[error("not an X.509 certificate")]
    NotACertificate,
    /// The key is of a kind that TLS cannot use.
    #[error("the private key cannot be used: {0}")]
    Key(rustls::Error),
    /// Certificate and key do not belong together.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
    /// A root cannot be a trust anchor.
    #[error("certificate {index} of the bundle cannot be a trust anchor: {source}")]
    Anchor {
        /// Its place in the bundle, from 0.
        index: usize,
        /// What is wrong with it.
        source: webpki::Error,
    },
}

/// A certificate chain with the key that it was made for.
#[derive(Debug)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    info: CertInfo,
}

impl Certificate {
    /// A chain (PEM, leaf first) with its private key (PEM: PKCS #8, SEC1 or PKCS #1).
    ///
    /// # Errors
    /// [`MaterialError`] when one of them cannot be read or they do not belong together.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, MaterialError> {
        let key = PrivateKeyDer::from_pem_slice(key).map_err(MaterialError::Pem)?;
        Self::new(read_certificates(chain)?, any_supported_type(&key).map_err(MaterialError::Key)?)
    }

    /// Like [`Certificate::from_pem`], from two files.
    ///
    /// # Errors
    /// As there, and when a file cannot be read.
    pub fn from_files(chain: &Path, key: &Path) -> Result<Self, MaterialError> {
        Self::from_pem(&read_file(chain)?, &read_file(key)?)
    }

    /// A chain that the CA issued for `key`.
    ///
    /// # Errors
    /// [`MaterialError`] when the chain is empty or was issued for another key.
    pub fn issued(chain: Vec<CertificateDer<'static>>, key: &WorkloadKey) -> Result<Self, MaterialError> {
        Self::new(chain, key.for_tls())
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: Arc<dyn rustls::sign::SigningKey>,
    ) -> Result<Self, MaterialError> {
        let info = CertInfo::read(chain.first().ok_or(MaterialError::NoCertificate)?)?;
        let key = CertifiedKey::new(chain, key);
        match key.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(_) => return Err(MaterialError::Mismatch),
        }
        Ok(Self { key: Arc::new(key), info })
    }

    /// What the leaf says.
    pub fn info(&self) -> &CertInfo {
        &self.info
    }

    /// The chain, leaf first (public).
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.key.cert
    }

    pub(crate) fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }
}

/// The roots that peers' certificates must lead to.
#[derive(Debug)]
pub struct TrustBundle {
    anchors: Vec<TrustAnchor<'static>>,
    roots: Vec<CertificateDer<'static>>,
    spiffe_domains: Vec<String>,
    revocations: Option<Revocations>,
}

impl TrustBundle {
    /// Roots from PEM: any certificate that leads to one of them is trusted, whatever names it carries.
    ///
    /// # Errors
    /// [`MaterialError`] when there is none, or one of them cannot be a trust anchor.
    pub fn from_pem(pem: &[u8]) -> Result<Self, MaterialError> {
        Self::from_der(read_certificates(pem)?)
    }

    /// Like [`TrustBundle::from_pem`], from a file.
    ///
    /// # Errors
    /// As there, and when the file cannot be read.
    pub fn from_file(path: &Path) -> Result<Self, MaterialError> {
        Self::from_pem(&read_file(path)?)
    }

    /// Like [`TrustBundle::from_pem`], from certificates.
    ///
    /// # Errors
    /// As there.
    pub fn from_der(roots: Vec<CertificateDer<'static>>) -> Result<Self, MaterialError> {
        if roots.is_empty() {
            return Err(MaterialError::NoCertificate);
        }
        let anchors = roots.iter().enumerate().map(|(index, root)| {
            let anchor = webpki::anchor_from_trusted_cert(root)
                .map_err(|source| MaterialError::Anchor { index, source })?;
            Ok(anchor.to_owned())
        });
        Ok(Self {
            anchors: anchors.collect::<Result<_, MaterialError>>()?,
            roots,
            spiffe_domains: Vec::new(),
            revocations: None,
        })
    }

    /// Also asks of every peer's certificate that it is an SVID of `trust_domain`: exactly one URI SAN, a SPIFFE id there
    /// (X.509-SVID section 5.2). May be called again for further (alias) trust domains.
    #[must_use]
    pub fn for_trust_domain(mut self, trust_domain: impl Into<String>) -> Self {
        self.spiffe_domains.push(trust_domain.into());
        self
    }

    /// Also looks every peer's certificate up in these lists.
    #[must_use]
    pub fn with_revocations(mut self, lists: Revocations) -> Self {
        self.revocations = Some(lists);
        self
    }

    pub(crate) fn revocations(&self) -> Option<&Revocations> {
        self.revocations.as_ref()
    }

    /// The trust domains whose SVIDs are taken; empty: the certificates need not be SVIDs.
    pub fn trust_domains(&self) -> &[String] {
        &self.spiffe_domains
    }

    /// The roots (public).
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    pub(crate) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }
}

/// All certificates in PEM text, in order; other sections are passed over.
///
/// # Errors
/// [`MaterialError`] when the text is not PEM or has no certificate.
pub fn read_certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, MaterialError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(MaterialError::Pem)?;
    if chain.is_empty() { Err(MaterialError::NoCertificate) } else { Ok(chain) }
}

/// Reads a file of at most 1 MiB.
///
/// # Errors
/// [`MaterialError::File`] or [`MaterialError::TooLarge`].
pub fn read_file(path: &Path) -> Result<Vec<u8>, MaterialError> {
    let failed = |source| MaterialError::File { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(failed)?.len() > MAX_FILE {
        return Err(MaterialError::TooLarge { path: path.to_owned() });
    }
    std::fs::read(path).map_err(failed)
}
