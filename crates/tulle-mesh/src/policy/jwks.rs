//! Sets of public keys (RFC 7517): what of them checks tokens.

use serde_json::{Value, json};

/// A key whose private half nobody has: its public half is the SHA-256 of a sentence. A set that holds nothing else admits nobody.
const NOBODYS: &str = "Dyt4CeRE3d76OyyF5xXAHbxSghEm-HoqAyOhDmKTQFk";
/// The id of that key.
const NOBODYS_ID: &str = "tulle-admits-nobody";
/// Keys of a set, at most.
const MAX_KEYS: usize = 256;

/// What of a set checks tokens: the public parts of the asymmetric keys, in their order. With it goes a key that nobody can
/// sign with, so that a set is never empty.
///
/// # Errors
/// The text is no set of keys, or has none that can be used.
pub fn usable(text: &str) -> Result<String, String> {
    let set: Value = serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
    let list = set.get("keys").and_then(Value::as_array).ok_or("has no list named keys")?;
    if list.len() > MAX_KEYS {
        return Err(format!("has {} keys, more than {MAX_KEYS}", list.len()));
    }
    let keys: Vec<Value> = list.iter().filter_map(public).collect();
    if keys.is_empty() {
        return Err("has no public key of kind RSA, EC or OKP for signatures".to_owned());
    }
    Ok(with_nobody(keys))
}

/// A set that admits nobody.
pub fn nobody() -> String {
    with_nobody(Vec::new())
}

fn with_nobody(mut keys: Vec<Value>) -> String {
    keys.push(json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": NOBODYS_ID, "x": NOBODYS}));
    json!({ "keys": keys }).to_string()
}

/// The public part of a key, if it is one of a pair and for signatures. A secret that both sides know (`oct`) is none.
fn public(key: &Value) -> Option<Value> {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    let parts: &[&str] = match (text("kty")?, text("crv")) {
        ("RSA", _) => &["n", "e"],
        ("EC", Some("P-256" | "P-384")) => &["crv", "x", "y"],
        ("OKP", Some("Ed25519")) => &["crv", "x"],
        _ => return None,
    };
    if text("use").is_some_and(|used| used != "sig") || text("alg").is_some_and(|alg| alg.starts_with("HS")) {
        return None;
    }
    let mut out = serde_json::Map::new();
    for name in parts {
        let part = text(name).filter(|part| *name == "crv" || is_base64url(part))?;
        out.insert((*name).to_owned(), part.into());
    }
    for name in ["kty", "kid", "alg"] {
        if let Some(value) = text(name) {
            out.insert(name.to_owned(), value.into());
        }
    }
    Some(Value::Object(out))
}

fn is_base64url(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Vec<String> {
        let set: Value = serde_json::from_str(&usable(text).unwrap()).unwrap();
        let list = set["keys"].as_array().unwrap();
        list.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn secrets_and_private_parts_are_left_out() {
        let all = r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "s"},
            {"kty": "RSA", "n": "AQAB", "e": "AQAB", "d": "AQAB", "kid": "a"},
            {"kty": "RSA", "n": "AQAB", "e": "AQAB", "use": "enc", "kid": "b"},
            {"kty": "RSA", "n": "not base64", "e": "AQAB", "kid": "c"},
            {"kty": "RSA", "n": "AQAB", "e": "AQAB", "alg": "HS256", "kid": "d"},
            {"kty": "EC", "crv": "P-256", "x": "AQAB", "y": "AQAB", "kid": "e"}]}"#;
        assert_eq!(ids(all), ["a", "e", NOBODYS_ID]);
        assert!(!usable(all).unwrap().contains("\"d\":"), "no private part is told to proxies");
    }

    #[test]
    fn what_is_no_set_says_why() {
        let why = |text: &str| usable(text).unwrap_err();
        assert!(why("x").starts_with("is no JSON"));
        assert_eq!(why("{}"), "has no list named keys");
        assert!(why(r#"{"keys": [{"kty": "oct", "k": "AQAB"}]}"#).starts_with("has no public key"));
        let many = format!(r#"{{"keys": [{}]}}"#, vec!["{}"; MAX_KEYS + 1].join(","));
        assert!(why(&many).contains("more than 256"));
    }
}
