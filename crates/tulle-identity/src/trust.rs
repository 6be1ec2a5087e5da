//! What a workload trusts, from whoever tells it: its CA, a file of the pod, or its control plane.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls_pki_types::{CertificateDer, UnixTime};

use crate::material::{Certificate, MaterialError, TrustBundle, read_certificates, read_file};
use crate::secrets::TrustSource;
use crate::watched::Watched;

/// What a control plane says is to be trusted.
#[derive(Clone, Debug)]
pub struct Told {
    /// Names of trust domains with their roots, our own first.
    pub domains: Vec<(Vec<String>, Vec<CertificateDer<'static>>)>,
    /// The roots to one of which our own certificate is to lead.
    pub signing_roots: Vec<CertificateDer<'static>>,
}

/// Keeps the bundle in force. Until a control plane has said what is to be trusted, that is what comes with certificates, and what is
/// in the pod's file; from then on it is what was said last and nothing else, so that a root that was dropped does not come back from
/// a file that is not so new. Clones are the same.
#[derive(Clone, Debug)]
pub struct Trust(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    trust_domain: String,
    file: Option<PathBuf>,
    bundle: TrustSource,
    /// What our own certificate is to lead to; empty: whatever the CA says.
    signing: Watched<TrustBundle>,
    told: Mutex<bool>,
}

impl Trust {
    /// For a workload of `trust_domain`; `file` holds roots that count beside those of the CA. The bundle goes into `bundle`.
    pub fn new(trust_domain: impl Into<String>, file: Option<PathBuf>, bundle: TrustSource) -> Self {
        let (trust_domain, signing, told) = (trust_domain.into(), Watched::empty(), Mutex::new(false));
        Self(Arc::new(Inner { trust_domain, file, bundle, signing, told }))
    }

    /// Roots came with a certificate.
    ///
    /// # Errors
    /// [`MaterialError`] where there is none that can be used.
    pub fn issued_with(&self, mut roots: Vec<CertificateDer<'static>>) -> Result<(), MaterialError> {
        let told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told {
            return Ok(());
        }
        if let Some(path) = &self.0.file {
            match read_file(path).and_then(|pem| read_certificates(&pem)) {
                Ok(more) => roots.extend(more),
                Err(error) if roots.is_empty() => return Err(error),
                Err(error) => tracing::warn!(%error, "mesh roots not read, using those of the CA"),
            }
        }
        roots.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
        roots.dedup();
        let bundle = TrustBundle::from_der(roots)?.for_trust_domain(self.0.trust_domain.clone());
        self.0.bundle.set(Arc::new(bundle));
        Ok(())
    }

    /// The control plane says what is to be trusted: in force when this returns.
    ///
    /// # Errors
    /// [`MaterialError`]; then what was in force stays.
    pub fn say(&self, said: Told) -> Result<(), MaterialError> {
        let Told { domains, signing_roots } = said;
        let mut domains = domains.into_iter();
        let (names, roots) = domains.next().ok_or(MaterialError::NoCertificate)?;
        let own = names.into_iter().fold(TrustBundle::from_der(roots)?, TrustBundle::for_trust_domain);
        let bundle = domains.try_fold(own, |bundle, (names, roots)| bundle.federated(names, roots))?;
        let signing = TrustBundle::from_der(signing_roots)?;
        let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        *told = true;
        self.0.bundle.set(Arc::new(bundle));
        self.0.signing.set(Arc::new(signing));
        Ok(())
    }

    /// Whether a certificate leads to a root that signs now; so does any while nobody said which ones do.
    pub fn is_current(&self, certificate: &Certificate) -> bool {
        let signing = self.0.signing.get();
        signing.is_none_or(|roots| roots.is_led_to_by(certificate.chain(), UnixTime::now()))
    }

    /// The roots to one of which our own certificate is to lead.
    pub fn signing(&self) -> &Watched<TrustBundle> {
        &self.0.signing
    }
}
