//! One token (RFC 7519), and what can be wrong with it.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, crypto};

use super::bare_audience;
use crate::decide::matcher;
use crate::runtime::jwt::JwtProvider;
use crate::runtime::metadata::Value;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// What is wrong with a token: Envoy's numbers and words.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum JwtFault {
            $($(#[$doc])* $name,)*
        }

        impl JwtFault {
            /// Its number.
            pub fn code(self) -> u32 {
                match self { $(Self::$name => $code,)* }
            }

            /// Its words.
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

faults! {
    /// There is none.
    Missing = 1, "Jwt is missing";
    /// It is not in force yet.
    NotYetValid = 2, "Jwt not yet valid";
    /// Its time is over.
    Expired = 3, "Jwt is expired";
    /// It does not have three parts.
    Format = 4, "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections";
    /// The header is not in base64url.
    HeaderEncoding = 5, "Jwt header is an invalid Base64url encoded";
    /// The header is no JSON object.
    HeaderJson = 6, "Jwt header is an invalid JSON";
    /// It names no algorithm.
    NoAlgorithm = 7, "Jwt header [alg] field is required and must be a string";
    /// It names an algorithm that is not known.
    Algorithm = 8, "Jwt header [alg] is not supported";
    /// The key id is no text.
    KeyId = 9, "Jwt header [kid] field is not a string";
    /// The payload is not in base64url.
    PayloadEncoding = 10, "Jwt payload is an invalid Base64url encoded";
    /// The payload is no JSON object.
    PayloadJson = 11, "Jwt payload is an invalid JSON";
    /// The issuer is no text.
    Issuer = 12, "Jwt payload [iss] field is not a string";
    /// The subject is no text.
    Subject = 13, "Jwt payload [sub] field is not a string";
    /// A time is no number.
    IssuedAt = 14, "Jwt payload [iat] field is not an integer";
    /// A time is below zero.
    IssuedAtRange = 15, "Jwt payload [iat] field is not a positive 64 bit integer";
    /// A time is no number.
    NotBefore = 16, "Jwt payload [nbf] field is not an integer";
    /// A time is below zero.
    NotBeforeRange = 17, "Jwt payload [nbf] field is not a positive 64 bit integer";
    /// A time is no number.
    Expiration = 18, "Jwt payload [exp] field is not an integer";
    /// A time is below zero.
    ExpirationRange = 19, "Jwt payload [exp] field is not a positive 64 bit integer";
    /// The id is no text.
    Id = 20, "Jwt payload [jti] field is not a string";
    /// The audience is neither a text nor a list of texts.
    Audience = 21, "Jwt payload [aud] field is not a string or string list";
    /// The signature is not in base64url.
    SignatureEncoding = 22, "Jwt signature is an invalid Base64url encoded";
    /// It is of nobody that is known here.
    UnknownIssuer = 24, "Jwt issuer is not configured";
    /// It is for others.
    AudienceNotAllowed = 25, "Audiences in Jwt are not allowed";
    /// The signature is wrong, or the token lives too long or is about somebody else.
    Verification = 26, "Jwt verification fails";
    /// There is no key for it.
    NoKey = 32, "Jwks doesn't have key to match kid or alg from Jwt";
}

impl JwtFault {
    /// The status of the answer: 403 for a token that is valid but for others, otherwise 401.
    pub fn status(self) -> u16 {
        if self == Self::AudienceNotAllowed { 403 } else { 401 }
    }
}

/// A token whose form is right; its signature has not been looked at.
#[derive(Clone, Debug)]
pub(super) struct Token {
    /// The header.
    pub(super) header: serde_json::Value,
    /// The payload.
    pub(super) payload: serde_json::Value,
    /// The payload as it came.
    pub(super) payload_text: String,
    /// Header and payload as they are signed.
    signed: String,
    signature: String,
    algorithm: Algorithm,
}

impl Token {
    /// Takes a token apart.
    pub(super) fn parse(text: &str) -> Result<Self, JwtFault> {
        let parts: Vec<&str> = text.split('.').collect();
        let [header_text, payload_text, signature] = parts[..] else { return Err(JwtFault::Format) };
        if header_text.is_empty() || payload_text.is_empty() || signature.is_empty() {
            return Err(JwtFault::Format);
        }
        let header = object(header_text, JwtFault::HeaderEncoding, JwtFault::HeaderJson)?;
        let algorithm = header.get("alg").and_then(|alg| alg.as_str()).ok_or(JwtFault::NoAlgorithm)?;
        let algorithm = algorithm.parse::<Algorithm>().map_err(|_| JwtFault::Algorithm)?;
        text_or_none(&header, "kid", JwtFault::KeyId)?;
        let payload = object(payload_text, JwtFault::PayloadEncoding, JwtFault::PayloadJson)?;
        text_or_none(&payload, "iss", JwtFault::Issuer)?;
        text_or_none(&payload, "sub", JwtFault::Subject)?;
        time(&payload, "iat", JwtFault::IssuedAt, JwtFault::IssuedAtRange)?;
        time(&payload, "nbf", JwtFault::NotBefore, JwtFault::NotBeforeRange)?;
        time(&payload, "exp", JwtFault::Expiration, JwtFault::ExpirationRange)?;
        text_or_none(&payload, "jti", JwtFault::Id)?;
        match payload.get("aud") {
            None | Some(serde_json::Value::String(_)) => {}
            Some(serde_json::Value::Array(list)) if list.iter().all(serde_json::Value::is_string) => {}
            Some(_) => return Err(JwtFault::Audience),
        }
        URL_SAFE_NO_PAD.decode(signature).map_err(|_| JwtFault::SignatureEncoding)?;
        Ok(Self {
            payload_text: payload_text.to_owned(),
            signed: text[..text.len() - signature.len() - 1].to_owned(),
            signature: signature.to_owned(),
            header,
            payload,
            algorithm,
        })
    }

    /// Who gave it out.
    pub(super) fn issuer(&self) -> &str {
        self.payload.get("iss").and_then(|iss| iss.as_str()).unwrap_or_default()
    }

    fn audiences(&self) -> Vec<&str> {
        match self.payload.get("aud") {
            Some(serde_json::Value::String(one)) => vec![one.as_str()],
            Some(serde_json::Value::Array(list)) => list.iter().filter_map(|one| one.as_str()).collect(),
            _ => Vec::new(),
        }
    }

    /// Seconds since 1970.
    fn seconds(&self, name: &str) -> Option<f64> {
        self.payload.get(name).and_then(serde_json::Value::as_f64).filter(|seconds| *seconds > 0.0)
    }
}

fn object(text: &str, encoding: JwtFault, json: JwtFault) -> Result<serde_json::Value, JwtFault> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| encoding)?;
    let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|_| json)?;
    if value.is_object() { Ok(value) } else { Err(json) }
}

fn text_or_none(object: &serde_json::Value, name: &str, fault: JwtFault) -> Result<(), JwtFault> {
    match object.get(name) {
        None | Some(serde_json::Value::String(_)) => Ok(()),
        Some(_) => Err(fault),
    }
}

fn time(
    object: &serde_json::Value,
    name: &str,
    no_number: JwtFault,
    range: JwtFault,
) -> Result<(), JwtFault> {
    match object.get(name) {
        None => Ok(()),
        Some(serde_json::Value::Number(number)) if number.as_f64().is_some_and(|n| n >= 0.0) => Ok(()),
        Some(serde_json::Value::Number(_)) => Err(range),
        Some(_) => Err(no_number),
    }
}

/// Checks times, audience, subject and signature of a token of that provider.
pub(super) fn verify(
    token: &Token,
    provider: &JwtProvider,
    audiences: &[Arc<str>],
    now: Duration,
) -> Result<(), JwtFault> {
    let (now, skew) = (now.as_secs_f64(), provider.clock_skew.as_secs_f64());
    let expiration = token.seconds("exp");
    if token.seconds("nbf").is_some_and(|start| now + skew < start) {
        return Err(JwtFault::NotYetValid);
    }
    if expiration.is_some_and(|end| now > end + skew) {
        return Err(JwtFault::Expired);
    }
    let allowed = |one: &&str| audiences.iter().any(|a| **a == *bare_audience(one));
    if !audiences.is_empty() && !token.audiences().iter().any(allowed) {
        return Err(JwtFault::AudienceNotAllowed);
    }
    if provider.require_expiration && expiration.is_none() {
        return Err(JwtFault::Verification);
    }
    if let Some(most) = provider.max_lifetime {
        let start = token.seconds("iat").unwrap_or(now);
        if expiration.is_none_or(|end| end - start > most.as_secs_f64()) {
            return Err(JwtFault::Verification);
        }
    }
    if let Some(subjects) = &provider.subjects {
        let subject = token.payload.get("sub").and_then(|sub| sub.as_str()).unwrap_or_default();
        if !matcher::string(subjects, subject.as_bytes()) {
            return Err(JwtFault::Verification);
        }
    }
    signature(token, provider)
}

/// A key of the same kind, and with the same id and algorithm as far as both say so, must fit.
fn signature(token: &Token, provider: &JwtProvider) -> Result<(), JwtFault> {
    let id = token.header.get("kid").and_then(|kid| kid.as_str()).unwrap_or_default();
    let algorithm = token.header.get("alg").and_then(|alg| alg.as_str()).unwrap_or_default();
    let mut fault = JwtFault::NoKey;
    for key in &provider.keys {
        let other_id = !id.is_empty() && !key.id.is_empty() && id != key.id;
        let other_algorithm = !key.algorithm.is_empty() && key.algorithm != algorithm;
        // A key is only used for the algorithms of its kind: a public key is never the secret of an HMAC.
        if other_id || other_algorithm || key.family != token.algorithm.family() {
            continue;
        }
        fault = JwtFault::Verification;
        if crypto::verify(&token.signature, token.signed.as_bytes(), &key.key, token.algorithm)
            .unwrap_or(false)
        {
            return Ok(());
        }
    }
    Err(fault)
}

/// JSON as metadata.
pub(super) fn value(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(flag) => Value::Bool(*flag),
        serde_json::Value::Number(number) => Value::Number(number.as_f64().unwrap_or_default()),
        serde_json::Value::String(text) => Value::String(text.as_str().into()),
        serde_json::Value::Array(list) => Value::List(list.iter().map(value).collect()),
        serde_json::Value::Object(map) => {
            Value::Struct(map.iter().map(|(key, field)| (key.as_str().into(), value(field))).collect())
        }
    }
}
