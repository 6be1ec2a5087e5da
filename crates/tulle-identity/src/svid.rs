//! A certificate with its key, for other processes of the workload.

use std::fmt;

use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

/// An X.509 SVID that is given away.
pub struct Svid {
    /// Its SPIFFE id.
    pub id: String,
    /// Leaf first, without the root.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key, PKCS #8 in DER; wiped when dropped.
    pub key: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Svid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Svid").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_not_told() {
        let (_, key) = crate::WorkloadKey::generate_with_copy().unwrap();
        let svid = Svid { id: "spiffe://d/ns/a/sa/b".into(), chain: vec![], key };
        assert_eq!(format!("{svid:?}"), "Svid { id: \"spiffe://d/ns/a/sa/b\", .. }");
    }
}
