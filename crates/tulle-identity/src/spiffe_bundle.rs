//! Trust bundles as SPIFFE exchanges them: a JWK set whose keys carry their certificate (SPIFFE Trust Domain and Bundle, section 4).

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

/// Authorities that are read from one bundle, at most.
const MAX_KEYS: usize = 64;

/// The bundle of these roots; how often it is to be read again is left to the reader (`spiffe_refresh_hint`: 5 minutes).
pub fn write(roots: &[CertificateDer<'_>]) -> Value {
    let keys: Vec<Value> = roots.iter().filter_map(key).collect();
    json!({ "keys": keys, "spiffe_refresh_hint": 300 })
}

fn key(root: &CertificateDer<'_>) -> Option<Value> {
    let (_, certificate) = X509Certificate::from_der(root).ok()?;
    let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let mut key = match certificate.public_key().parsed().ok()? {
        PublicKey::EC(point) => {
            // Uncompressed (SEC 1, section 2.3.3): 4, then both coordinates.
            let (form, rest) = point.data().split_first()?;
            let (x, y) = rest.split_at_checked(rest.len() / 2)?;
            let curve = match (form, rest.len()) {
                (4, 64) => "P-256",
                (4, 96) => "P-384",
                _ => return None,
            };
            json!({ "kty": "EC", "crv": curve, "x": text(x), "y": text(y) })
        }
        PublicKey::RSA(rsa) => {
            let modulus = rsa.modulus.iter().position(|b| *b != 0).map_or(&[][..], |i| &rsa.modulus[i..]);
            json!({ "kty": "RSA", "n": text(modulus), "e": text(rsa.exponent) })
        }
        _ => return None,
    };
    key["use"] = json!("x509-svid");
    key["x5c"] = json!([BASE64_STANDARD.encode(root)]);
    Some(key)
}

/// The X.509 authorities of a bundle. Keys for other uses are passed over.
///
/// # Errors
/// What is wrong with it, in words.
pub fn read(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let value: Value = serde_json::from_str(text).map_err(|e| format!("is no SPIFFE bundle: {e}"))?;
    let keys = value["keys"].as_array().ok_or("is no SPIFFE bundle: it has no keys")?;
    let mut roots = Vec::new();
    for key in keys.iter().filter(|k| k["use"] == "x509-svid") {
        let chain = key["x5c"].as_array().map_or(&[][..], Vec::as_slice);
        let [certificate] = chain else {
            return Err("has an X.509 authority with another number of certificates than one".to_owned());
        };
        let der = certificate.as_str().and_then(|text| BASE64_STANDARD.decode(text).ok());
        let der = CertificateDer::from(der.ok_or("has an X.509 authority that is no base64")?);
        if webpki::anchor_from_trusted_cert(&der).is_err() {
            return Err("has an X.509 authority that is no certificate".to_owned());
        }
        roots.push(der);
        if roots.len() > MAX_KEYS {
            return Err(format!("has more than {MAX_KEYS} X.509 authorities"));
        }
    }
    if roots.is_empty() { Err("has no X.509 authority".to_owned()) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> CertificateDer<'static> {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn what_is_written_is_read() {
        let roots = [root(), root()];
        let bundle = write(&roots);
        assert_eq!(read(&bundle.to_string()), Ok(roots.to_vec()));
        let key = &bundle["keys"][0];
        assert_eq!((key["kty"].as_str(), key["use"].as_str()), (Some("EC"), Some("x509-svid")));
        let coordinate = BASE64_URL_SAFE_NO_PAD.decode(key["x"].as_str().unwrap()).unwrap();
        assert_eq!(coordinate.len(), 32);
    }

    #[test]
    fn what_is_no_bundle_is_refused() {
        let no_certificate = r#"{"keys": [{"use": "x509-svid", "x5c": ["AAAA"]}]}"#;
        let two = r#"{"keys": [{"use": "x509-svid", "x5c": ["AAAA", "AAAA"]}]}"#;
        for (text, reason) in [
            ("", "no SPIFFE bundle"),
            ("{}", "no keys"),
            (r#"{"keys": []}"#, "no X.509 authority"),
            (r#"{"keys": [{"use": "jwt-svid"}]}"#, "no X.509 authority"),
            (r#"{"keys": [{"use": "x509-svid"}]}"#, "another number"),
            (two, "another number"),
            (r#"{"keys": [{"use": "x509-svid", "x5c": ["!"]}]}"#, "no base64"),
            (no_certificate, "no certificate"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
