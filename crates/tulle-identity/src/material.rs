//! Certificates with their keys, and trust bundles, from PEM bytes, files or the CA.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, TrustAnchor, UnixTime};

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
    /// Our own trust domain, then those that it is federated with.
    parts: Vec<Part>,
    roots: Vec<CertificateDer<'static>>,
    revocations: Option<Revocations>,
}

/// Roots, and the trust domains that they may speak for.
#[derive(Debug)]
pub(crate) struct Part {
    /// Empty: the certificates need not be SVIDs.
    pub(crate) domains: Vec<String>,
    pub(crate) anchors: Vec<TrustAnchor<'static>>,
    /// How many of the bundle's roots are this part's.
    roots: usize,
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
        let part = Part { domains: Vec::new(), anchors: anchors(&roots)?, roots: roots.len() };
        Ok(Self { parts: vec![part], roots, revocations: None })
    }

    /// Also asks of every peer's certificate that it is an SVID of `trust_domain`: exactly one URI SAN, a SPIFFE id there
    /// (X.509-SVID section 5.2). May be called again for further (alias) trust domains.
    #[must_use]
    pub fn for_trust_domain(mut self, trust_domain: impl Into<String>) -> Self {
        if let Some(own) = self.parts.first_mut() {
            own.domains.push(trust_domain.into());
        }
        self
    }

    /// Also takes SVIDs of other trust domains, which lead to these roots: each root speaks for its own trust domains alone (SPIFFE
    /// Federation section 4). Only for a bundle that is bound to a trust domain already.
    ///
    /// # Errors
    /// [`MaterialError`] when there is no root, or one of them cannot be a trust anchor.
    pub fn federated(
        mut self,
        domains: Vec<String>,
        roots: Vec<CertificateDer<'static>>,
    ) -> Result<Self, MaterialError> {
        self.parts.push(Part { domains, anchors: anchors(&roots)?, roots: roots.len() });
        self.roots.extend(roots);
        Ok(self)
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

    /// Our own trust domain and its other names; empty: the certificates need not be SVIDs.
    pub fn trust_domains(&self) -> &[String] {
        self.parts.first().map_or(&[], |own| &own.domains)
    }

    /// The roots (public), our own first.
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// The roots (public) with the trust domains that they speak for, our own first.
    pub fn by_domain(&self) -> impl Iterator<Item = (&[String], &[CertificateDer<'static>])> {
        let mut rest = &self.roots[..];
        self.parts.iter().map(move |part| {
            let (own, more) = rest.split_at(part.roots);
            rest = more;
            (&part.domains[..], own)
        })
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether a chain (leaf first) leads to one of these roots at `now`, whatever names it carries.
    pub fn is_led_to_by(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> bool {
        let [leaf, intermediates @ ..] = chain else { return false };
        let Ok(leaf) = webpki::EndEntityCert::try_from(leaf) else { return false };
        let usage = webpki::KeyUsage::client_auth();
        let all = webpki::ALL_VERIFICATION_ALGS;
        self.parts.iter().any(|part| {
            leaf.verify_for_usage(all, &part.anchors, intermediates, now, usage, None, None).is_ok()
        })
    }
}

fn anchors(roots: &[CertificateDer<'static>]) -> Result<Vec<TrustAnchor<'static>>, MaterialError> {
    if roots.is_empty() {
        return Err(MaterialError::NoCertificate);
    }
    let anchor = |(index, root)| {
        let anchor = webpki::anchor_from_trusted_cert(root)
            .map_err(|source| MaterialError::Anchor { index, source })?;
        Ok(anchor.to_owned())
    };
    roots.iter().enumerate().map(anchor).collect()
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
