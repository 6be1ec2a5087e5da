//! The algorithms of TLS.

use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{CipherSuite as Id, SupportedCipherSuite};

/// A cipher suite of TLS 1.2 that is spoken: all of them have forward secrecy and authenticated encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CipherSuite {
    /// `ECDHE-ECDSA-AES128-GCM-SHA256`
    EcdsaAes128,
    /// `ECDHE-ECDSA-AES256-GCM-SHA384`
    EcdsaAes256,
    /// `ECDHE-ECDSA-CHACHA20-POLY1305`
    EcdsaChaCha20,
    /// `ECDHE-RSA-AES128-GCM-SHA256`
    RsaAes128,
    /// `ECDHE-RSA-AES256-GCM-SHA384`
    RsaAes256,
    /// `ECDHE-RSA-CHACHA20-POLY1305`
    RsaChaCha20,
}

impl CipherSuite {
    fn id(self) -> Id {
        match self {
            Self::EcdsaAes128 => Id::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            Self::EcdsaAes256 => Id::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            Self::EcdsaChaCha20 => Id::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            Self::RsaAes128 => Id::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            Self::RsaAes256 => Id::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            Self::RsaChaCha20 => Id::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        }
    }
}

/// The algorithms of all TLS here: X25519 before the NIST curves, AES-128-GCM before the others.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| {
        use aws_lc_rs::{cipher_suite as suite, kx_group as group};
        Arc::new(CryptoProvider {
            cipher_suites: vec![
                suite::TLS13_AES_128_GCM_SHA256,
                suite::TLS13_AES_256_GCM_SHA384,
                suite::TLS13_CHACHA20_POLY1305_SHA256,
                suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
                suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
                suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
            ],
            kx_groups: vec![group::X25519, group::SECP256R1, group::SECP384R1],
            ..aws_lc_rs::default_provider()
        })
    }))
}

/// The same with only these suites of TLS 1.2, in this order; empty: with all.
pub(super) fn provider_with(suites: &[CipherSuite]) -> Arc<CryptoProvider> {
    let all = provider();
    if suites.is_empty() {
        return all;
    }
    let of_13 = all.cipher_suites.iter().filter(|s| matches!(s, SupportedCipherSuite::Tls13(_)));
    let of_12 = suites.iter().filter_map(|s| all.cipher_suites.iter().find(|have| have.suite() == s.id()));
    let cipher_suites = of_13.chain(of_12).copied().collect();
    Arc::new(CryptoProvider { cipher_suites, ..(*all).clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_bounds_tls_1_2_alone() {
        let ids: Vec<Id> = provider_with(&[CipherSuite::RsaAes256, CipherSuite::EcdsaAes128])
            .cipher_suites
            .iter()
            .map(SupportedCipherSuite::suite)
            .collect();
        assert_eq!(
            ids,
            [
                Id::TLS13_AES_128_GCM_SHA256,
                Id::TLS13_AES_256_GCM_SHA384,
                Id::TLS13_CHACHA20_POLY1305_SHA256,
                Id::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
                Id::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            ]
        );
    }
}
