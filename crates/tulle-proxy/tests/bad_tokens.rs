//! No sequence of bad tokens ever yields access: whatever comes before, after or in between on the same connections, a request passes
//! if its own token is good, and what does not pass is counted and in the audit log.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use common::{Backend, Client, Proxy, any_host, cluster, http, listener, router};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use serde_json::{Value, json};
use tulle_proxy::worker::Settings;
use tulle_telemetry::audit::{AuditLog, Sink};

const ISSUER: &str = "https://issuer.test";

fn b64(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn pair() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

/// The public half of a key, as a JWK.
fn jwk(key: &KeyPair) -> Value {
    let point = key.der_bytes();
    json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "k1",
        "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..65]) })
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "sub": "ann", "aud": "shop", "iat": now(), "exp": now() + 600 })
}

fn with(name: &str, value: Value) -> Value {
    let mut all = claims();
    all[name] = value;
    all
}

fn sign(key: &KeyPair, claims: &Value) -> String {
    let header = Header { kid: Some("k1".into()), ..Header::new(Algorithm::ES256) };
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_ec_der(&key.serialize_der())).unwrap()
}

/// The kinds of bad tokens, with the statuses that they may get.
fn bad(key: &KeyPair, stranger: &KeyPair) -> Vec<(&'static str, String, &'static [u16])> {
    let good = sign(key, &claims());
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("{good}") };
    let mac = |secret: &[u8]| {
        let header = Header { kid: Some("k1".into()), ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(secret)).unwrap()
    };
    let mut own_key = Header::new(Algorithm::ES256);
    own_key.kid = Some("k2".into());
    let own_key =
        jsonwebtoken::encode(&own_key, &claims(), &EncodingKey::from_ec_der(&stranger.serialize_der()))
            .unwrap();
    let embedded = b64(&json!({ "alg": "ES256", "jwk": jwk(stranger), "jku": "http://127.0.0.1/keys" }));
    let admin = b64(&with("sub", json!("root")));
    let none = |alg: &str| b64(&json!({ "alg": alg, "typ": "JWT", "kid": "k1" }));
    let mut flipped = signature.to_owned().into_bytes();
    flipped[20] = if flipped[20] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap();
    let denied: &[u16] = &[401];
    vec![
        ("none at all", String::new(), denied),
        ("forged", sign(stranger, &claims()), denied),
        ("of an unknown key", own_key, denied),
        ("with a key of its own in it", format!("{embedded}.{payload}.{signature}"), denied),
        ("expired", sign(key, &with("exp", json!(now() - 3600))), denied),
        ("not yet valid", sign(key, &with("nbf", json!(now() + 3600))), denied),
        ("of another issuer", sign(key, &with("iss", json!("https://evil.test"))), denied),
        ("for another audience", sign(key, &with("aud", json!("bank"))), &[403]),
        ("for nobody", sign(key, &with("aud", json!([]))), &[403]),
        ("truncated", good[..good.len() - 7].to_owned(), denied),
        ("cut in the claims", format!("{header}.{}.{signature}", &payload[..payload.len() - 4]), denied),
        ("without signature", format!("{header}.{payload}."), denied),
        ("of two parts", format!("{header}.{payload}"), denied),
        ("of five parts", format!("{header}.{payload}.{signature}.{payload}.{signature}"), denied),
        ("with other claims", format!("{header}.{admin}.{signature}"), denied),
        (
            "with a signature of zeros",
            format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode([0; 64])),
            denied,
        ),
        ("with a bit turned", format!("{header}.{payload}.{flipped}"), denied),
        ("none", format!("{}.{payload}.", none("none")), denied),
        ("None", format!("{}.{payload}.{signature}", none("None")), denied),
        ("a MAC with the public key", mac(key.public_key_pem().as_bytes()), denied),
        ("a MAC with the public point", mac(key.der_bytes()), denied),
        ("noise", "x".repeat(300), denied),
        ("dots", "..".to_owned(), denied),
        ("oversized", sign(key, &with("more", json!("x".repeat(70_000)))), &[431]),
    ]
}

#[test]
fn no_sequence_of_bad_tokens_yields_access() {
    let (key, stranger) = (pair(), pair());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("audit.log");
    let audit = AuditLog::start("proxy", "test", &[Sink::File(file.clone())]).unwrap();
    let app = Backend::echo();
    let jwt = json!({ "name": "jwt", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": { "own": {
            "issuer": ISSUER, "audiences": ["shop"],
            "local_jwks": { "inline_string": json!({ "keys": [jwk(&key)] }).to_string() },
        } },
        "rules": [{ "match": { "prefix": "/" }, "requires": { "provider_name": "own" } }],
    } });
    let routes = any_host(json!([{ "match": { "prefix": "/" }, "route": { "cluster": "app" } }]));
    let proxy = Proxy::with(
        json!({
            "listeners": [listener("in", http(routes, json!({ "http_filters": [jwt, router()] })))],
            "clusters": [cluster("app", &[app.address])],
        }),
        Settings { audit: audit.clone(), ..Settings::default() },
    );
    let at = proxy.address("in");
    let good = sign(&key, &claims());
    let bad = bad(&key, &stranger);
    let ask = |client: &mut Client, token: &str| {
        let line =
            if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
        client.send(format!("GET / HTTP/1.1\r\nhost: t\r\n{line}\r\n"));
        client.receive().unwrap().status
    };
    let (sent, refused) = (std::cell::Cell::new(0_usize), std::cell::Cell::new(0_u64));
    let step = prop_oneof![1 => Just(None), 6 => (0..bad.len()).prop_map(Some)];
    let steps = prop::collection::vec((step, 0..3_usize), 1..40);
    let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&steps, |steps| {
        // Three connections, each taken up again at any time.
        let mut clients: [Option<Client>; 3] = Default::default();
        for (kind, which) in steps {
            let client = clients[which].get_or_insert_with(|| Client::connect(at));
            let Some(kind) = kind else {
                prop_assert_eq!(ask(client, &good), 200);
                sent.set(sent.get() + 1);
                continue;
            };
            let (what, token, allowed) = &bad[kind];
            let status = ask(client, token);
            prop_assert!(allowed.contains(&status), "{}: {}", what, status);
            refused.set(refused.get() + 1);
            if status == 431 {
                clients[which] = None;
            }
        }
        Ok(())
    });
    outcome.unwrap();
    assert_eq!(app.hits(), sent.get(), "what reached the application had a good token");
    let counted =
        || proxy.stat("http.test.jwt_authn.denied") + proxy.stat("http.test.downstream_rq_too_large");
    common::eventually("all are counted", || counted() == refused.get());
    let mut lines = 0;
    common::eventually("all are in the audit log", || {
        lines =
            std::fs::read_to_string(&file).unwrap().lines().filter(|l| l.contains("request.denied")).count();
        lines as u64 == refused.get()
    });
    assert_eq!(audit.lost(), 0);
}
