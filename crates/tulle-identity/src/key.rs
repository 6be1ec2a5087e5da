//! The private key of a workload: made here, used here, never taken out. What other processes of the pod are given is another key,
//! made for them ([`WorkloadKey::generate_with_copy`]).

use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType};
use rustls::sign::{Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use tulle_base::SpiffeId;
use zeroize::Zeroizing;

/// Why a key or its signing request could not be made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The crypto library could not make a key.
    #[error("the crypto library could not make a key")]
    Generate,
    /// The signing request could not be written.
    #[error("the certificate signing request could not be written: {0}")]
    Request(#[from] rcgen::Error),
}

/// An ECDSA P-256 key pair that signs and nothing else.
///
/// The private part stays inside the crypto library, which wipes it when the last clone is dropped.
/// `Debug` prints the public part only.
#[derive(Clone, Debug)]
pub struct WorkloadKey {
    pair: Arc<EcdsaKeyPair>,
    public: Arc<[u8]>,
}

impl WorkloadKey {
    /// A fresh key.
    ///
    /// # Errors
    /// [`KeyError::Generate`] when the system gives no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_| KeyError::Generate)?;
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| KeyError::Generate)?;
        let public = Arc::from(public.as_ref());
        Ok(Self { pair: Arc::new(pair), public })
    }

    /// A fresh key that is to be given away, and its copy (PKCS #8, DER), which wipes itself.
    ///
    /// # Errors
    /// [`KeyError::Generate`] when the system gives no randomness.
    pub fn generate_with_copy() -> Result<(Self, Zeroizing<Vec<u8>>), KeyError> {
        let key = Self::generate()?;
        let document = key.pair.to_pkcs8v1().map_err(|_| KeyError::Generate)?;
        let copy = Zeroizing::new(document.as_ref().to_vec());
        Ok((key, copy))
    }

    /// A certificate signing request (PKCS #10, PEM) whose only subject alternative name is `id` as URI. The subject is empty, as
    /// SPIFFE X.509-SVID section 4 allows. The CA takes names from the caller's credentials anyway.
    ///
    /// # Errors
    /// [`KeyError::Request`] when `id` is not ASCII.
    pub fn signing_request(&self, id: &SpiffeId) -> Result<String, KeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(Ia5String::try_from(id.to_string())?)];
        Ok(params.serialize_request(self)?.pem()?)
    }

    /// The same key as rustls wants it.
    pub(crate) fn for_tls(&self) -> Arc<dyn SigningKey> {
        Arc::new(self.clone())
    }

    fn sign_asn1(&self, message: &[u8]) -> Option<Vec<u8>> {
        self.pair.sign(&SystemRandom::new(), message).ok().map(|s| s.as_ref().to_vec())
    }
}

impl PublicKeyData for WorkloadKey {
    fn der_bytes(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for WorkloadKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.sign_asn1(message).ok_or(rcgen::Error::RingUnspecified)
    }
}

impl SigningKey for WorkloadKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered
            .contains(&SignatureScheme::ECDSA_NISTP256_SHA256)
            .then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(&self.public[..]))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for WorkloadKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.sign_asn1(message).ok_or_else(|| rustls::Error::General("signing failed".to_owned()))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::*;

    use super::*;

    #[test]
    fn the_request_carries_the_id_and_a_valid_signature() {
        let key = WorkloadKey::generate().unwrap();
        let csr = key.signing_request(&SpiffeId::new("cluster.local", "shop", "cart")).unwrap();
        let (_, pem) = parse_x509_pem(csr.as_bytes()).unwrap();
        let (_, request) = X509CertificationRequest::from_der(&pem.contents).unwrap();
        request.verify_signature().unwrap();
        let text = format!("{:?}", request.requested_extensions().unwrap().collect::<Vec<_>>());
        assert!(text.contains("spiffe://cluster.local/ns/shop/sa/cart"), "{text}");
    }

    #[test]
    fn debug_output_has_no_private_part() {
        let key = WorkloadKey::generate().unwrap();
        assert!(!format!("{key:?}").to_lowercase().contains("private"));
    }
}
