//! The signing key: used here, kept in the cryptographic library, which wipes it when it is dropped.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as STANDARD;
use rcgen::{
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, PublicKeyData, SignatureAlgorithm,
    SigningKey,
};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use zeroize::{Zeroize, Zeroizing};

/// Why a key is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaKeyError {
    /// Not one PEM block of a private key.
    #[error("no private key in PEM (PKCS #8, SEC 1 or PKCS #1)")]
    NotPem,
    /// A kind or size of key that signs nothing here.
    #[error("not a key that can sign here; use ECDSA P-256 or P-384, or RSA of 2048 bits and more")]
    Kind,
    /// The library could not make a key.
    #[error("no key could be made")]
    Generate,
}

enum Pair {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

/// A key that signs certificates.
pub(crate) struct CaKey(Pair);

impl CaKey {
    /// A new ECDSA P-256 key, and its PKCS #8 in PEM to be kept.
    pub(crate) fn generate() -> Result<(Self, Zeroizing<String>), CaKeyError> {
        let pair =
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_| CaKeyError::Generate)?;
        // The document wipes itself.
        let document = pair.to_pkcs8v1().map_err(|_| CaKeyError::Generate)?;
        let encoded = Zeroizing::new(STANDARD.encode(document.as_ref()));
        let mut pem = Zeroizing::new(String::with_capacity(encoded.len() + 80));
        pem.push_str("-----BEGIN PRIVATE KEY-----\n");
        let mut rest = encoded.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = more;
        }
        pem.push_str("-----END PRIVATE KEY-----\n");
        Ok((Self(Pair::P256(pair)), pem))
    }

    /// The first private key in PEM text.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, CaKeyError> {
        let mut der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| CaKeyError::NotPem)?;
        let pair = read(&der);
        der.zeroize();
        pair.map(Self).ok_or(CaKeyError::Kind)
    }
}

fn read(der: &PrivateKeyDer<'_>) -> Option<Pair> {
    let ec = |bytes: &[u8]| {
        let of = |algorithm| EcdsaKeyPair::from_private_key_der(algorithm, bytes).ok();
        of(&ECDSA_P256_SHA256_ASN1_SIGNING)
            .map(Pair::P256)
            .or_else(|| of(&ECDSA_P384_SHA384_ASN1_SIGNING).map(Pair::P384))
    };
    let rsa =
        |pair: RsaKeyPair| (pair.public_modulus_len() >= KeySize::Rsa2048.len()).then_some(Pair::Rsa(pair));
    match der {
        PrivateKeyDer::Pkcs8(key) => {
            let bytes = key.secret_pkcs8_der();
            ec(bytes).or_else(|| RsaKeyPair::from_pkcs8(bytes).ok().and_then(rsa))
        }
        PrivateKeyDer::Sec1(key) => ec(key.secret_sec1_der()),
        PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()).ok().and_then(rsa),
        _ => None,
    }
}

impl PublicKeyData for CaKey {
    fn der_bytes(&self) -> &[u8] {
        match &self.0 {
            Pair::P256(pair) | Pair::P384(pair) => pair.public_key().as_ref(),
            Pair::Rsa(pair) => pair.public_key().as_ref(),
        }
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match &self.0 {
            Pair::P256(_) => &PKCS_ECDSA_P256_SHA256,
            Pair::P384(_) => &PKCS_ECDSA_P384_SHA384,
            Pair::Rsa(_) => &PKCS_RSA_SHA256,
        }
    }
}

impl SigningKey for CaKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let random = SystemRandom::new();
        let failed = |_| rcgen::Error::RingUnspecified;
        match &self.0 {
            Pair::P256(pair) | Pair::P384(pair) => {
                pair.sign(&random, message).map(|s| s.as_ref().to_vec()).map_err(failed)
            }
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_and_a_public_one_is_none() {
        let (key, pem) = CaKey::generate().unwrap();
        let again = CaKey::from_pem(&pem).unwrap();
        assert_eq!(key.der_bytes(), again.der_bytes());
        assert_eq!(CaKey::from_pem("nothing").err(), Some(CaKeyError::NotPem));
        let ed = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem();
        assert_eq!(CaKey::from_pem(&ed).err(), Some(CaKeyError::Kind));
    }
}
