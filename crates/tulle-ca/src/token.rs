//! Service account tokens (JWT, RFC 7519) as callers of the CA show them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// Longest token that is looked at.
const MAX_TOKEN: usize = 16 << 10;
/// How far clocks may be apart.
const LEEWAY: Duration = Duration::from_secs(30);
/// The issuer of a cluster's service account tokens.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// The audience that a token for the CA names.
pub(crate) const AUDIENCE: &str = "istio-ca";

/// Why a token is not believed. The texts go to the caller and say nothing that it does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than any honest token.
    #[error("the token is longer than {MAX_TOKEN} bytes")]
    TooLong,
    /// Not a JWT, not signed by a known key, or with an algorithm that is not that key's.
    #[error("the token's signature cannot be verified")]
    Signature,
    /// The claims are not those of a service account token.
    #[error("the token is not a service account token: {0}")]
    Claims(&'static str),
    /// Issued by somebody else.
    #[error("the token was issued by another issuer")]
    Issuer,
    /// Meant for somebody else.
    #[error("the token is for another audience than {AUDIENCE}")]
    Audience,
    /// No longer valid.
    #[error("the token has expired")]
    Expired,
    /// Not valid yet.
    #[error("the token is not valid yet")]
    NotYet,
    /// The file of keys cannot be used.
    #[error("no usable public key in the token key file")]
    NoKey,
}

/// Whose token it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSubject {
    /// Namespace of the service account.
    pub namespace: String,
    /// Name of the service account.
    pub service_account: String,
    /// Uid of the service account, if the token says it.
    pub service_account_uid: Option<String>,
    /// The pod that the token is bound to: name and uid.
    pub pod: Option<(String, String)>,
}

/// Verifies tokens with the public key(s) of their signer.
pub struct TokenVerifier {
    keys: Vec<(Algorithm, DecodingKey)>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audiences,
    exp: u64,
    #[serde(default)]
    nbf: Option<u64>,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Kubernetes,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct Kubernetes {
    namespace: String,
    serviceaccount: Reference,
    #[serde(default)]
    pod: Option<Reference>,
}

#[derive(Deserialize)]
struct Reference {
    name: String,
    #[serde(default)]
    uid: String,
}

impl TokenVerifier {
    /// A verifier for tokens signed by any of the public keys in `pem` (`PUBLIC KEY` blocks). Each key has one algorithm: ES256,
    /// ES384 or RS256; what a token's header says does not change that, so neither `none` nor a MAC can pass.
    ///
    /// # Errors
    /// [`TokenError::NoKey`].
    pub fn from_pem(pem: &str) -> Result<Self, TokenError> {
        let mut keys = Vec::new();
        for der in SubjectPublicKeyInfoDer::pem_slice_iter(pem.as_bytes()) {
            let der = der.map_err(|_| TokenError::NoKey)?;
            let (_, spki) = SubjectPublicKeyInfo::from_der(&der).map_err(|_| TokenError::NoKey)?;
            let raw = &spki.subject_public_key.data;
            keys.push(match spki.parsed() {
                Ok(PublicKey::EC(p)) if p.key_size() == 256 => {
                    (Algorithm::ES256, DecodingKey::from_ec_der(raw))
                }
                Ok(PublicKey::EC(p)) if p.key_size() == 384 => {
                    (Algorithm::ES384, DecodingKey::from_ec_der(raw))
                }
                Ok(PublicKey::RSA(k)) if k.key_size() >= 2048 => {
                    (Algorithm::RS256, DecodingKey::from_rsa_der(raw))
                }
                _ => return Err(TokenError::NoKey),
            });
        }
        if keys.is_empty() { Err(TokenError::NoKey) } else { Ok(Self { keys }) }
    }

    /// Whose token this is, if it is a valid one at `now`.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<TokenSubject, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(TokenError::TooLong);
        }
        if jsonwebtoken::decode_header(token).is_err() {
            return Err(TokenError::Signature);
        }
        let claims = self.claims(token)?;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        if claims.iss != ISSUER {
            return Err(TokenError::Issuer);
        }
        let for_us = match &claims.aud {
            Audiences::One(audience) => audience == AUDIENCE,
            Audiences::Many(audiences) => audiences.iter().any(|a| a == AUDIENCE),
        };
        if !for_us {
            return Err(TokenError::Audience);
        }
        if now > Duration::from_secs(claims.exp).saturating_add(LEEWAY) {
            return Err(TokenError::Expired);
        }
        if claims.nbf.is_some_and(|nbf| now + LEEWAY < Duration::from_secs(nbf)) {
            return Err(TokenError::NotYet);
        }
        subject(claims)
    }

    /// The claims of a token that one of the keys signed.
    fn claims(&self, token: &str) -> Result<Claims, TokenError> {
        let mut failed = TokenError::Signature;
        for (algorithm, key) in &self.keys {
            let mut rules = Validation::new(*algorithm);
            // Times, issuer and audience are checked by the caller, against its own clock.
            rules.required_spec_claims.clear();
            rules.validate_exp = false;
            rules.validate_aud = false;
            match jsonwebtoken::decode::<Claims>(token, key, &rules) {
                Ok(data) => return Ok(data.claims),
                Err(error) if matches!(error.kind(), jsonwebtoken::errors::ErrorKind::Json(_)) => {
                    failed = TokenError::Claims("a claim is missing or of another type");
                }
                Err(_) => {}
            }
        }
        Err(failed)
    }
}

/// The claims name the account three times; all must agree.
fn subject(claims: Claims) -> Result<TokenSubject, TokenError> {
    let Kubernetes { namespace, serviceaccount, pod } = claims.kubernetes;
    let expected = format!("system:serviceaccount:{namespace}:{}", serviceaccount.name);
    if claims.sub != expected {
        return Err(TokenError::Claims("sub names another account than kubernetes.io"));
    }
    // These become segments of a SPIFFE id.
    if !is_name(&namespace) || !is_name(&serviceaccount.name) {
        return Err(TokenError::Claims("a name is not a Kubernetes name"));
    }
    Ok(TokenSubject {
        namespace,
        service_account: serviceaccount.name,
        service_account_uid: Some(serviceaccount.uid).filter(|u| !u.is_empty()),
        pod: pod.map(|p| (p.name, p.uid)),
    })
}

/// RFC 1123 subdomain, as Kubernetes asks of service accounts and namespaces.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
        && !text.starts_with(['-', '.'])
        && !text.ends_with(['-', '.'])
}
