//! Tokens: where they are found, which are valid, what is required, and what goes on.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::harness::{
    Area,
    case::{Request, get, grpc, h2, request},
    config::{any_host, filter, merged, prefix, router},
};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
/// In the year 2100.
const LATER: u64 = 4_102_444_800;

fn signed(header: Header, claims: &Value, secret: &[u8]) -> String {
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(secret)).unwrap()
}

fn token(claims: Value) -> String {
    let header = Header { kid: Some("k1".into()), ..Header::new(Algorithm::HS256) };
    signed(header, &merged(json!({ "iss": "own", "sub": "ann", "exp": LATER }), &claims), SECRET)
}

fn bearer(request: Request, token: &str) -> Request {
    request.header("authorization", &format!("Bearer {token}"))
}

pub fn area() -> Area {
    let mut a = Area::new("jwt");
    a.logging("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%");
    a.cluster("app", &["one"], json!({}));
    let keys = json!({ "keys": [{ "kty": "oct", "alg": "HS256", "kid": "k1", "k": URL_SAFE_NO_PAD.encode(SECRET) }] });
    let keys = || json!({ "local_jwks": { "inline_string": keys.to_string() } });
    let provider = |more: Value| merged(merged(json!({ "issuer": "own" }), &keys()), &more);
    let own = |change: Value| {
        let kind = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig";
        json!({ "typed_per_filter_config": { "j": merged(json!({ "@type": kind }), &change) } })
    };
    let needs = |path: &str, requires: Value| json!({ "match": { "prefix": path }, "requires": requires });
    let by = |name: &str| json!({ "provider_name": name });
    let config = json!({
        "providers": {
            "own": provider(json!({})),
            "forwards": provider(json!({ "forward": true, "forward_payload_header": "x-payload" })),
            "padded": provider(json!({ "forward_payload_header": "x-payload", "pad_forward_payload_header": true })),
            "audience": provider(json!({ "audiences": ["shop", "store"] })),
            "elsewhere": provider(json!({ "from_headers": [{ "name": "x-token", "value_prefix": "T-" }], "from_params": ["token"], "from_cookies": ["session"] })),
            "claims": provider(json!({ "claim_to_headers": [
                { "header_name": "x-sub", "claim_name": "sub" }, { "header_name": "x-deep", "claim_name": "deep.er" },
                { "header_name": "x-number", "claim_name": "number" }, { "header_name": "x-list", "claim_name": "list" }, { "header_name": "x-yes", "claim_name": "yes" }] })),
            "other": merged(json!({ "issuer": "other" }), &keys()),
            "anybody": keys(),
            "subjects": provider(json!({ "subjects": { "prefix": "a" } })),
            "short": provider(json!({ "require_expiration": true, "max_lifetime": "3600s" })),
            "skewed": provider(json!({ "clock_skew_seconds": 1 })),
        },
        "rules": [
            needs("/free", json!({})), needs("/own", by("own")), needs("/forwards", by("forwards")), needs("/padded", by("padded")),
            needs("/audience", by("audience")), needs("/elsewhere", by("elsewhere")), needs("/claims", by("claims")), needs("/anybody", by("anybody")),
            needs("/subjects", by("subjects")), needs("/short", by("short")), needs("/skewed", by("skewed")),
            needs("/several", json!({ "provider_and_audiences": { "provider_name": "own", "audiences": ["other"] } })),
            needs("/any", json!({ "requires_any": { "requirements": [by("own"), by("other")] } })),
            needs("/all", json!({ "requires_all": { "requirements": [by("own"), by("elsewhere")] } })),
            needs("/missing", json!({ "requires_any": { "requirements": [by("own"), { "allow_missing": {} }] } })),
            needs("/failing", json!({ "requires_any": { "requirements": [by("own"), { "allow_missing_or_failed": {} }] } })),
        ],
        "bypass_cors_preflight": true,
        "requirement_map": { "mapped": by("own") },
    });
    let routes = any_host(json!([
        merged(prefix("/own/off", "app", json!({})), &own(json!({ "disabled": true }))),
        merged(prefix("/free/mapped", "app", json!({})), &own(json!({ "requirement_name": "mapped" }))),
        prefix("/", "app", json!({})),
    ]));
    let filters = json!({ "http_filters": [filter("j", "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication", config), router()] });
    a.http("in", routes, filters);
    let wrong_key = |claims: Value| {
        let header = Header { kid: Some("k1".into()), ..Header::new(Algorithm::HS256) };
        signed(header, &merged(json!({ "iss": "own", "exp": LATER }), &claims), b"another secret of thirty-two byte")
    };
    let unsigned = {
        let part = |v: Value| URL_SAFE_NO_PAD.encode(v.to_string());
        format!("{}.{}.", part(json!({ "alg": "none" })), part(json!({ "iss": "own", "exp": LATER })))
    };
    let headed = |change: fn(&mut Header)| {
        let mut header = Header { kid: Some("k1".into()), ..Header::new(Algorithm::HS256) };
        change(&mut header);
        signed(header, &json!({ "iss": "own", "exp": LATER }), SECRET)
    };
    let tokens = [
        ("good", token(json!({}))),
        ("of an audience", token(json!({ "aud": "shop" }))),
        ("of audiences", token(json!({ "aud": ["x", "other"] }))),
        ("expired", token(json!({ "exp": 1_500_000_000 }))),
        ("early", token(json!({ "nbf": LATER - 10 }))),
        ("without an end", signed(Header { kid: Some("k1".into()), ..Header::new(Algorithm::HS256) }, &json!({ "iss": "own", "sub": "ann" }), SECRET)),
        ("of another issuer", token(json!({ "iss": "other" }))),
        ("of another subject", token(json!({ "sub": "bob" }))),
        ("of many claims", token(json!({ "deep": { "er": "x" }, "number": 7, "list": ["a", 1], "yes": true }))),
        ("of another key", wrong_key(json!({}))),
        ("unsigned", unsigned),
        ("of another kid", headed(|h| h.kid = Some("k2".into()))),
        ("without kid", headed(|h| h.kid = None)),
        ("of another algorithm", headed(|h| h.alg = Algorithm::HS384)),
        ("of two parts", "abc.def".to_owned()),
        ("of no text", "!.!.!".to_owned()),
        ("empty", String::new()),
    ];
    const PATHS: &[&str] = &["/free", "/own", "/forwards", "/padded", "/audience", "/claims", "/anybody", "/subjects", "/short", "/skewed", "/several", "/any", "/missing", "/failing", "/own/off", "/free/mapped", "/nothing"];
    for path in PATHS {
        a.case(format!("{path} without a token"), "in", get(path));
        for (what, token) in &tokens {
            a.case(format!("{path} {what}"), "in", bearer(get(path), token));
        }
    }
    let good = token(json!({}));
    let at = "/elsewhere";
    a.case("in its own header", "in", get(at).header("x-token", &format!("T-{good}")));
    a.case("in its own header without the prefix", "in", get(at).header("x-token", &good));
    a.case("in the query", "in", get(&format!("{at}?a=1&token={good}&b=2")));
    a.case("in a cookie", "in", get(at).header("cookie", &format!("a=1; session={good}")));
    a.case("in the header of others", "in", bearer(get(at), &good));
    a.case("in two places", "in", get(&format!("{at}?token={good}")).header("x-token", &format!("T-{}", token(json!({ "exp": 1 })))));
    a.case("all of one", "in", bearer(get("/all"), &good));
    a.case("all of two", "in", bearer(get("/all"), &good).header("x-token", &format!("T-{good}")));
    a.case("two headers", "in", bearer(bearer(get("/own"), &good), "x.y.z"));
    a.case("lower case bearer", "in", get("/own").header("authorization", &format!("bearer {good}")));
    a.case("basic", "in", get("/own").header("authorization", "Basic YTpi"));
    a.case("access_token", "in", get(&format!("/own?access_token={good}")));
    a.case("a preflight", "in", request("OPTIONS", "/own").header("origin", "http://x.test").header("access-control-request-method", "GET"));
    a.case("options", "in", request("OPTIONS", "/own"));
    a.case("claims of the client", "in", bearer(get("/claims"), &good).header("x-sub", "root").header("x-deep", "1"));
    a.case("payload of the client", "in", bearer(get("/forwards"), &good).header("x-payload", "forged"));
    a.case("over h2", "in", h2(bearer(get("/own"), &good)));
    a.case("refused over h2", "in", h2(get("/own")));
    a.case("refused grpc", "in", h2(grpc("/own")));
    a
}
