//! Certificates that are trusted no more (RFC 5280, section 5).

use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject;
use webpki::{
    CertRevocationList, ExpirationPolicy, OwnedCertRevocationList, RevocationCheckDepth, RevocationOptions,
    RevocationOptionsBuilder, UnknownStatusPolicy,
};

use crate::material::MaterialError;

/// Certificate revocation lists. A certificate whose issuer has no list here is refused, and so is everything once a list is past its
/// next update: who asks for revocation to be checked wants no certificate that was not checked.
#[derive(Debug)]
pub struct Revocations {
    lists: Vec<CertRevocationList<'static>>,
    leaf_only: bool,
}

impl Revocations {
    /// Lists from PEM. With `leaf_only` the authorities between leaf and root are not looked up (Envoy's
    /// `only_verify_leaf_cert_crl`).
    ///
    /// # Errors
    /// [`MaterialError`] when there is none, or one of them is broken.
    pub fn from_pem(pem: &[u8], leaf_only: bool) -> Result<Self, MaterialError> {
        let sections: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(pem).collect();
        let lists = sections.map_err(MaterialError::Pem)?.into_iter().enumerate().map(|(index, der)| {
            OwnedCertRevocationList::from_der(&der)
                .map(CertRevocationList::from)
                .map_err(|source| MaterialError::RevocationList { index, source })
        });
        let lists = lists.collect::<Result<Vec<_>, _>>()?;
        if lists.is_empty() { Err(MaterialError::NoRevocationList) } else { Ok(Self { lists, leaf_only }) }
    }

    /// Calls `check` with how to look a chain up.
    pub(crate) fn with_options<R>(&self, check: impl FnOnce(Option<RevocationOptions<'_>>) -> R) -> R {
        let lists: Vec<&CertRevocationList<'_>> = self.lists.iter().collect();
        let depth =
            if self.leaf_only { RevocationCheckDepth::EndEntity } else { RevocationCheckDepth::Chain };
        // There is at least one list, see `from_pem`.
        let options = RevocationOptionsBuilder::new(&lists).ok().map(|builder| {
            builder
                .with_depth(depth)
                .with_status_policy(UnknownStatusPolicy::Deny)
                .with_expiration_policy(ExpirationPolicy::Enforce)
                .build()
        });
        check(options)
    }
}
