//! Tokens and sets of keys.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use prost::Message as _;
use serde_json::{Value, json};
use tulle_engine::{
    compile::{self, NoFiles},
    decide::jwt::{self, Authenticated},
    runtime::{
        HttpFilterKind,
        jwt::{JwtAuthn, Requirement},
        listener::Terminal,
        metadata::Metadata,
    },
};
use tulle_http::RequestHead;
use tulle_proto::{envoy::listener::Listener, json::Json};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "jwt",
    run,
    words: &[
        ".",
        "..",
        "eyJhbGciOiJIUzI1NiIsImtpZCI6ImsxIn0",
        "eyJhbGciOiJub25lIn0",
        "eyJpc3MiOiJvd24iLCJleHAiOjQxMDI0NDQ4MDB9",
        "{\"keys\":[",
        "\"kty\":\"oct\"",
        "\"kty\":\"RSA\"",
        "\"kty\":\"EC\"",
        "\"crv\":\"P-256\"",
        "\"kid\":\"k1\"",
        "%2e",
        "&token=",
        "token=",
    ],
};

/// A key of 32 bytes, as a JWK.
const KEYS: &str =
    r#"{"keys":[{"kty":"oct","alg":"HS256","kid":"k1","k":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}]}"#;

/// The first byte says what the rest is: a header, a query, a cookie, or keys.
fn run(bytes: &[u8]) {
    let Some((choice, rest)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    if choice % 4 == 3 {
        drop(filter(text));
        return;
    }
    static FILTER: OnceLock<Option<Arc<JwtAuthn>>> = OnceLock::new();
    let Some(filter) = FILTER.get_or_init(|| filter(KEYS)) else { panic!("the filter is not taken") };
    let mut head = RequestHead { path: "/".to_owned(), ..RequestHead::default() };
    match choice % 4 {
        0 => drop(head.headers.append("authorization", format!("Bearer {text}").as_bytes())),
        1 => head.path = format!("/?a=1&token={text}"),
        _ => drop(head.headers.append("cookie", format!("token={text}").as_bytes())),
    }
    for requirement in [
        Requirement::Provider(0, None),
        Requirement::Any(vec![Requirement::Provider(0, None), Requirement::AllowMissing]),
        Requirement::AllowMissingOrFailed,
    ] {
        let mut found = Authenticated::default();
        let now = Duration::from_secs(1_700_000_000);
        let met = jwt::authenticate(filter, &requirement, &head, now, &mut found).is_ok();
        if met {
            let mut changed = head.clone();
            jwt::sanitize(filter, &mut changed);
            jwt::apply(&found, &mut changed);
        }
        jwt::keep(&found, &mut Metadata::new());
    }
}

/// A filter with these keys; `None` where they are refused.
fn filter(keys: &str) -> Option<Arc<JwtAuthn>> {
    const FILTERS: &str = "type.googleapis.com/envoy.extensions.filters";
    let config = json!({
        "@type": format!("{FILTERS}.http.jwt_authn.v3.JwtAuthentication"),
        "providers": { "own": {
            "issuer": "own", "local_jwks": { "inline_string": keys }, "forward_payload_header": "x-payload",
            "payload_in_metadata": "payload", "header_in_metadata": "header", "failed_status_in_metadata": "failed",
            "claim_to_headers": [{ "header_name": "x-sub", "claim_name": "sub" }, { "header_name": "x-deep", "claim_name": "a.b" }],
            "from_headers": [{ "name": "authorization", "value_prefix": "Bearer " }], "from_params": ["token"],
            "from_cookies": ["token"],
        } },
    });
    let listener: Value = json!({ "name": "l", "address": { "socket_address": { "address": "127.0.0.1", "port_value": 1 } },
        "filter_chains": [{ "filters": [{ "name": "http", "typed_config": {
            "@type": format!("{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager"),
            "stat_prefix": "x", "route_config": {},
            "http_filters": [{ "name": "jwt", "typed_config": config }, { "name": "envoy.filters.http.router" }],
        } }] }] });
    static JSON: OnceLock<Option<Json>> = OnceLock::new();
    let json = JSON.get_or_init(|| Json::load().ok()).as_ref()?;
    let message =
        Listener::decode(&*json.encode("envoy.config.listener.v3.Listener", &listener).ok()?).ok()?;
    let (compiled, _) = compile::listener(&message, &NoFiles).ok()?;
    let Terminal::Http(manager) = &compiled.chains.first()?.terminal else { return None };
    manager.filters.iter().find_map(|filter| match &filter.kind {
        HttpFilterKind::Jwt(jwt) => Some(Arc::clone(jwt)),
        _ => None,
    })
}
