//! Service account tokens: JSON Web Tokens signed with ES256 (RFC 7519, RFC 7518 3.4), as Kubernetes issues them.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

/// Who issues the tokens.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The library made no key.
    #[error("no key for service account tokens could be made")]
    Key,
    /// The library made no signature.
    #[error("a service account token could not be signed")]
    Sign,
}

/// Whom a token is for.
#[derive(Clone, Debug)]
pub struct Claims<'a> {
    /// Namespace of account and pod.
    pub namespace: &'a str,
    /// Service account.
    pub account: &'a str,
    /// Its uid.
    pub account_uid: &'a str,
    /// Pod.
    pub pod: &'a str,
    /// Its uid.
    pub pod_uid: &'a str,
    /// Who may accept it.
    pub audience: &'a str,
    /// From when, in seconds since 1970.
    pub now: i64,
    /// For how many seconds.
    pub lifetime: i64,
}

/// Signs tokens with a key that is made at the start and never written down.
pub struct TokenSigner {
    key: EcdsaKeyPair,
}

impl std::fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenSigner")
    }
}

impl TokenSigner {
    /// A signer with a new key.
    ///
    /// # Errors
    /// [`TokenError::Key`].
    pub fn generate() -> Result<Self, TokenError> {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map(|key| Self { key })
            .map_err(|_| TokenError::Key)
    }

    /// The public key as PEM (`SubjectPublicKeyInfo`, RFC 5480).
    pub fn public_pem(&self) -> String {
        // SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING (uncompressed point) }
        const PREFIX: [u8; 26] = [
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
            0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ];
        let der = [&PREFIX[..], self.key.public_key().as_ref()].concat();
        let text = STANDARD.encode(der);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).filter_map(|l| std::str::from_utf8(l).ok()).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// A token.
    ///
    /// # Errors
    /// [`TokenError::Sign`].
    pub fn sign(&self, c: &Claims<'_>) -> Result<String, TokenError> {
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": "tulle"});
        let claims = json!({
            "iss": ISSUER,
            "sub": format!("system:serviceaccount:{}:{}", c.namespace, c.account),
            "aud": [c.audience],
            "iat": c.now,
            "nbf": c.now,
            "exp": c.now.saturating_add(c.lifetime),
            "kubernetes.io": {
                "namespace": c.namespace,
                "pod": {"name": c.pod, "uid": c.pod_uid},
                "serviceaccount": {"name": c.account, "uid": c.account_uid},
            },
        });
        let part = |v: &serde_json::Value| URL_SAFE_NO_PAD.encode(v.to_string());
        let text = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(&SystemRandom::new(), text.as_bytes()).map_err(|_| TokenError::Sign)?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_token_is_verified_by_the_public_key() {
        let signer = TokenSigner::generate().unwrap();
        let claims = Claims {
            namespace: "shop",
            account: "cart",
            account_uid: "u1",
            pod: "cart-1",
            pod_uid: "u2",
            audience: "istio-ca",
            now: 1000,
            lifetime: 600,
        };
        let token = signer.sign(&claims).unwrap();
        let [header, body, signature] = <[&str; 3]>::try_from(token.split('.').collect::<Vec<_>>()).unwrap();
        let text: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap();
        assert_eq!(text["sub"], "system:serviceaccount:shop:cart");
        assert_eq!(text["exp"], 1600);
        assert_eq!(text["kubernetes.io"]["pod"]["name"], "cart-1");
        let pem = signer.public_pem();
        let der = STANDARD.decode(pem.lines().filter(|l| !l.starts_with('-')).collect::<String>()).unwrap();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &der[26..]);
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        key.verify(format!("{header}.{body}").as_bytes(), &signature).unwrap();
    }
}
