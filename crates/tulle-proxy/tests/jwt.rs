//! Tokens: what a request must bring, and what becomes of it. The expectations are what a stock Envoy 1.40 answers.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use common::{Backend, Proxy, any_host, cluster, get, http, listener, request, router};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

const EXTENSIONS: &str = "type.googleapis.com/envoy.extensions.filters.http";
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn token(issuer: &str, more: Value) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut claims = json!({ "iss": issuer, "sub": "ann", "exp": now + 600, "groups": "a b" });
    more.as_object().unwrap().iter().for_each(|(key, value)| claims[key] = value.clone());
    let header = Header { kid: Some("k1".into()), ..Header::new(Algorithm::HS256) };
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(SECRET)).unwrap()
}

/// A filter with the providers `own` and `other`; `more` is merged into it.
fn filter(more: Value) -> Value {
    let keys = json!({ "keys": [{ "kty": "oct", "alg": "HS256", "kid": "k1", "k": URL_SAFE_NO_PAD.encode(SECRET) }] });
    let keys = json!({ "inline_string": keys.to_string() });
    let mut config = json!({
        "@type": format!("{EXTENSIONS}.jwt_authn.v3.JwtAuthentication"),
        "providers": {
            "own": {
                "issuer": "own", "local_jwks": keys, "payload_in_metadata": "payload",
                "claim_to_headers": [{ "header_name": "x-sub", "claim_name": "sub" }],
            },
            "other": { "issuer": "other", "local_jwks": keys, "from_headers": [{ "name": "x-other" }] },
        },
        "rules": [
            { "match": { "prefix": "/free" } },
            { "match": { "prefix": "/maybe" }, "requires": { "requires_any": { "requirements": [
                { "provider_name": "own" }, { "allow_missing": {} },
            ] } } },
            { "match": { "prefix": "/" }, "requires": { "provider_name": "own" } },
        ],
        "requirement_map": { "other": { "provider_name": "other" } },
    });
    more.as_object().unwrap().iter().for_each(|(key, value)| config[key] = value.clone());
    json!({ "name": "jwt", "typed_config": config })
}

fn proxy(filters: Vec<Value>, app: &Backend) -> Proxy {
    let kind = format!("{EXTENSIONS}.jwt_authn.v3.PerRouteConfig");
    let own = |change: Value| {
        let mut config = change;
        config["@type"] = json!(kind);
        json!({ "jwt": config })
    };
    let hosts = any_host(json!([
        { "match": { "path": "/off" }, "route": { "cluster": "app" }, "typed_per_filter_config": own(json!({ "disabled": true })) },
        { "match": { "path": "/other" }, "route": { "cluster": "app" },
          "typed_per_filter_config": own(json!({ "requirement_name": "other" })) },
        { "match": { "path": "/bad" }, "route": { "cluster": "app" },
          "typed_per_filter_config": own(json!({ "requirement_name": "none" })) },
        { "match": { "prefix": "/", "headers": [{ "name": "x-sub", "string_match": { "exact": "ann" } }] },
          "route": { "cluster": "app", "prefix_rewrite": "/anns/" } },
        { "match": { "prefix": "/" }, "route": { "cluster": "app" } },
    ]));
    let mut all = filters;
    all.push(router());
    Proxy::start(json!({
        "listeners": [listener("in", http(hosts, json!({ "http_filters": all })))],
        "clusters": [cluster("app", &[app.address])],
    }))
}

#[test]
fn a_request_needs_the_token_that_its_rule_asks_for() {
    let app = Backend::echo();
    let proxy = proxy(vec![filter(json!({}))], &app);
    let bearer = |path: &str, token: &str| {
        request(proxy.address("in"), &format!("GET {path}"), &[("authorization", &format!("Bearer {token}"))])
    };
    let missing = get(proxy.address("in"), "/x?y=1");
    assert_eq!((missing.status, missing.body.as_str()), (401, "Jwt is missing"));
    assert_eq!(missing.headers["www-authenticate"], "Bearer realm=\"http://test/x?y=1\"");
    let good = bearer("/x", &token("own", json!({})));
    assert_eq!(good.status, 200);
    assert!(good.body.contains("x-sub: ann") && !good.body.contains("authorization"), "{}", good.body);
    let old = bearer("/x", &token("own", json!({ "exp": 1 })));
    assert_eq!((old.status, old.body.as_str()), (401, "Jwt is expired"));
    assert_eq!(old.headers["www-authenticate"], "Bearer realm=\"http://test/x\", error=\"invalid_token\"");
    assert_eq!(bearer("/x", &token("who", json!({}))).body, "Jwt issuer is not configured");
    assert_eq!(
        (get(proxy.address("in"), "/free").status, get(proxy.address("in"), "/maybe").status),
        (200, 200)
    );
    assert_eq!(bearer("/maybe", "a.b.c").status, 401);
    assert_eq!(get(proxy.address("in"), "/off").status, 200);
    assert_eq!(get(proxy.address("in"), "/other").status, 401);
    let other = request(proxy.address("in"), "GET /other", &[("x-other", &token("other", json!({})))]);
    assert_eq!(other.status, 200);
    assert_eq!(get(proxy.address("in"), "/bad").status, 403);
    let evil = request(proxy.address("in"), "GET /free", &[("x-sub", "admin")]);
    assert!(!evil.body.contains("admin"), "a client cannot write what the filter writes: {}", evil.body);
}

#[test]
fn rules_see_what_tokens_say() {
    let app = Backend::text("hello");
    let rbac = json!({ "name": "rbac", "typed_config": {
        "@type": format!("{EXTENSIONS}.rbac.v3.RBAC"),
        "rules": { "action": "ALLOW", "policies": { "p": {
            "permissions": [{ "any": true }],
            "principals": [{ "metadata": {
                "filter": "envoy.filters.http.jwt_authn", "path": [{ "key": "payload" }, { "key": "groups" }],
                "value": { "list_match": { "one_of": { "string_match": { "exact": "b" } } } },
            } }],
        } } },
    } });
    let mut jwt = filter(json!({}));
    jwt["typed_config"]["providers"]["own"]["normalize_payload_in_metadata"] =
        json!({ "space_delimited_claims": ["groups"] });
    let proxy = proxy(vec![jwt, rbac], &app);
    let status = |groups: &str| {
        let token = token("own", json!({ "groups": groups }));
        request(proxy.address("in"), "GET /", &[("authorization", &format!("Bearer {token}"))]).status
    };
    assert_eq!((status("a b"), status("a c")), (200, 403));
}

#[test]
fn the_route_may_depend_on_what_the_token_says() {
    let app = Backend::echo();
    let mut jwt = filter(json!({}));
    jwt["typed_config"]["providers"]["own"]["clear_route_cache"] = json!(true);
    let proxy = proxy(vec![jwt], &app);
    let token = token("own", json!({}));
    let response =
        request(proxy.address("in"), "GET /cart", &[("authorization", &format!("Bearer {token}"))]);
    assert!(response.body.starts_with("GET /anns/cart HTTP/1.1\n"), "{}", response.body);
}

#[test]
fn a_refusal_may_be_silent_and_a_preflight_pass() {
    let app = Backend::text("hello");
    let proxy =
        proxy(vec![filter(json!({ "strip_failure_response": true, "bypass_cors_preflight": true }))], &app);
    let refused = get(proxy.address("in"), "/");
    assert_eq!(
        (refused.status, refused.body.as_str(), refused.headers.get("www-authenticate")),
        (401, "", None)
    );
    let preflight = [("origin", "http://x"), ("access-control-request-method", "GET")];
    assert_eq!(request(proxy.address("in"), "OPTIONS /", &preflight).status, 200);
}
