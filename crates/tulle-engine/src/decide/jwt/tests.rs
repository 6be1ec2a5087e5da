use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey, crypto};
use serde_json::{Value as Json, json};

use super::*;
use crate::runtime::jwt::JwtKey;
use crate::runtime::matcher::StringMatcher;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: u64 = 1_800_000_000;

fn provider(name: &str, issuer: &str) -> JwtProvider {
    JwtProvider {
        name: name.into(),
        issuer: issuer.into(),
        audiences: vec![],
        subjects: None,
        require_expiration: false,
        max_lifetime: None,
        clock_skew: Duration::from_secs(60),
        from_headers: vec![(HeaderName::new("authorization").unwrap(), "Bearer ".into())],
        from_params: vec!["access_token".into()],
        from_cookies: vec![],
        forward: false,
        payload_header: None,
        claim_headers: vec![],
        payload_in_metadata: "".into(),
        header_in_metadata: "".into(),
        failure_in_metadata: "".into(),
        space_delimited: vec![],
        clear_route_cache: false,
        keys: vec![JwtKey {
            id: "k1".into(),
            algorithm: "HS256".into(),
            family: AlgorithmFamily::Hmac,
            key: DecodingKey::from_secret(SECRET),
        }],
    }
}

fn filter(providers: Vec<JwtProvider>) -> JwtAuthn {
    JwtAuthn {
        providers,
        rules: vec![],
        named: Default::default(),
        bypass_cors_preflight: false,
        strip_failure: false,
    }
}

fn signed(header: &Json, payload: &Json, secret: &[u8]) -> String {
    let part = |json: &Json| URL_SAFE_NO_PAD.encode(json.to_string());
    let text = format!("{}.{}", part(header), part(payload));
    let key = EncodingKey::from_secret(secret);
    let signature = crypto::sign(text.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{text}.{signature}")
}

fn token(payload: &Json) -> String {
    signed(&json!({ "alg": "HS256", "kid": "k1", "typ": "JWT" }), payload, SECRET)
}

fn good() -> Json {
    json!({ "iss": "iss", "sub": "s1", "aud": "aud1", "exp": NOW + 50, "a": { "b": 7 }, "scope": "x y" })
}

/// The same with other claims.
fn with(changes: Json) -> Json {
    let mut payload = good();
    for (key, value) in changes.as_object().unwrap() {
        payload[key] = value.clone();
    }
    payload
}

fn request(fields: &[(&str, &str)], path: &str) -> RequestHead {
    RequestHead { path: path.into(), headers: fields.iter().copied().collect(), ..Default::default() }
}

fn bearer(token: &str) -> RequestHead {
    request(&[("authorization", &format!("Bearer {token}"))], "/")
}

fn check(filter: &JwtAuthn, requirement: &Requirement, head: &RequestHead) -> Result<(), JwtFault> {
    authenticate(filter, requirement, head, Duration::from_secs(NOW), &mut Authenticated::default())
}

#[test]
fn tokens_are_refused_with_envoys_words() {
    let mut only = provider("p", "iss");
    only.audiences = vec![bare_audience("aud1").into(), bare_audience("https://aud2/").into()];
    let filter = filter(vec![only]);
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let alg = part(r#"{"alg":"HS256"}"#);
    let header = |json: Json| signed(&json, &good(), SECRET);
    for (text, want) in [
        ("garbage".to_owned(), Some(JwtFault::Format)),
        ("a.b".into(), Some(JwtFault::Format)),
        (format!("{}.b.c", part("xx")), Some(JwtFault::HeaderJson)),
        (format!("{}.b.c", part("{}")), Some(JwtFault::NoAlgorithm)),
        (format!("{}.b.c", part(r#"{"alg":1}"#)), Some(JwtFault::NoAlgorithm)),
        (format!("{}.e30.c", part(r#"{"alg":"none"}"#)), Some(JwtFault::Algorithm)),
        (format!("{}.e30.", part(r#"{"alg":"none"}"#)), Some(JwtFault::Format)),
        (format!("{}.e30.c", part(r#"{"alg":"HS256","kid":1}"#)), Some(JwtFault::KeyId)),
        (format!("{alg}.{}.x", part("xx")), Some(JwtFault::PayloadJson)),
        (token(&json!({ "iss": 1 })), Some(JwtFault::Issuer)),
        (token(&json!({ "iss": "iss", "exp": "x" })), Some(JwtFault::Expiration)),
        (token(&json!({ "iss": "iss", "exp": -1 })), Some(JwtFault::ExpirationRange)),
        (token(&json!({ "iss": "iss", "exp": 1.5 })), Some(JwtFault::Expired)),
        (token(&json!({ "iss": "iss", "aud": 1 })), Some(JwtFault::Audience)),
        (token(&json!({ "iss": "iss", "sub": 1 })), Some(JwtFault::Subject)),
        (token(&with(json!({ "iss": "other" }))), Some(JwtFault::UnknownIssuer)),
        (token(&with(json!({ "aud": "nope" }))), Some(JwtFault::AudienceNotAllowed)),
        (token(&with(json!({ "aud": ["x", "aud2"] }))), None),
        (token(&json!({ "iss": "iss" })), Some(JwtFault::AudienceNotAllowed)),
        (token(&with(json!({ "exp": NOW - 30 }))), None),
        (token(&with(json!({ "exp": NOW - 70 }))), Some(JwtFault::Expired)),
        (token(&with(json!({ "nbf": NOW + 30 }))), None),
        (token(&with(json!({ "nbf": NOW + 90 }))), Some(JwtFault::NotYetValid)),
        (header(json!({ "alg": "HS256", "kid": "k2" })), Some(JwtFault::NoKey)),
        (header(json!({ "alg": "HS256" })), None),
        (header(json!({ "alg": "HS384", "kid": "k1" })), Some(JwtFault::NoKey)),
        (header(json!({ "alg": "RS256", "kid": "k1" })), Some(JwtFault::NoKey)),
        (
            signed(&json!({ "alg": "HS256" }), &good(), b"another secret of another issuer"),
            Some(JwtFault::Verification),
        ),
        (token(&good()), None),
    ] {
        let got = check(&filter, &Requirement::Provider(0, None), &bearer(&text));
        assert_eq!(got.err(), want, "{text}");
    }
    assert_eq!(JwtFault::AudienceNotAllowed.status(), 403);
    assert_eq!(JwtFault::Expired.status(), 401);
}

#[test]
fn life_and_subject_may_be_bounded() {
    let mut strict = provider("p", "iss");
    strict.require_expiration = true;
    strict.max_lifetime = Some(Duration::from_secs(100));
    strict.subjects = Some(StringMatcher::Prefix("s".into()));
    let filter = filter(vec![strict]);
    let got = |payload: &Json| check(&filter, &Requirement::Provider(0, None), &bearer(&token(payload)));
    assert_eq!(got(&good()), Ok(()));
    let mut endless = good();
    endless.as_object_mut().unwrap().remove("exp");
    assert_eq!(got(&endless), Err(JwtFault::Verification));
    assert_eq!(got(&with(json!({ "exp": NOW + 500 }))), Err(JwtFault::Verification));
    assert_eq!(got(&with(json!({ "iat": NOW - 80, "exp": NOW + 10 }))), Ok(()));
    assert_eq!(got(&with(json!({ "sub": "zz" }))), Err(JwtFault::Verification));
}

#[test]
fn tokens_are_found_where_the_provider_has_them() {
    let mut own = provider("p", "iss");
    own.from_headers = vec![(HeaderName::new("x-jwt").unwrap(), "JWT ".into())];
    own.from_params = vec!["tok".into()];
    own.from_cookies = vec!["c".into()];
    let filter = filter(vec![own]);
    let good = token(&good());
    let got = |head: RequestHead| check(&filter, &Requirement::Provider(0, None), &head);
    assert_eq!(got(request(&[("x-jwt", &format!("JWT {good}, more"))], "/")), Ok(()));
    assert_eq!(got(request(&[("x-jwt", &good)], "/")), Err(JwtFault::Missing));
    assert_eq!(got(request(&[("cookie", &format!("a=b; c={good}"))], "/")), Ok(()));
    assert_eq!(got(request(&[], &format!("/?tok={good}&z=1"))), Ok(()));
    assert_eq!(got(bearer(&good)), Err(JwtFault::Missing));
    let both = request(&[("x-jwt", "JWT a.b.c")], &format!("/?tok={good}"));
    assert!(got(both).is_err(), "a bad token beside a good one is refused");
}

#[test]
fn requirements_combine() {
    let mut second = provider("q", "iss2");
    second.from_headers = vec![(HeaderName::new("x-q").unwrap(), "".into())];
    second.from_params = vec![];
    let filter = filter(vec![provider("p", "iss"), second]);
    let both = || vec![Requirement::Provider(0, None), Requirement::Provider(1, None)];
    let (p, q) = (token(&good()), token(&with(json!({ "iss": "iss2" }))));
    let old = token(&with(json!({ "iss": "iss2", "exp": 1 })));
    let bearer = format!("Bearer {p}");
    let with_q = |q: &str| request(&[("authorization", &bearer), ("x-q", q)], "/");
    let (only_p, only_q) = (request(&[("authorization", &bearer)], "/"), request(&[("x-q", &q)], "/"));
    let none = request(&[], "/");
    let wrong = request(&[("authorization", &format!("Bearer {q}"))], "/");
    let table = [
        ("any", Requirement::Any(both())),
        ("all", Requirement::All(both())),
        ("missing", Requirement::AllowMissing),
        ("failed", Requirement::AllowMissingOrFailed),
        ("other audience", Requirement::Provider(0, Some(vec!["other".into()]))),
    ];
    let mut said = String::new();
    for (name, requirement) in &table {
        let heads = [&none, &only_p, &only_q, &with_q(&q), &with_q(&old), &wrong];
        let answers = heads.map(|head| match check(&filter, requirement, head) {
            Ok(()) => "ok".to_owned(),
            Err(fault) => fault.code().to_string(),
        });
        said.push_str(&format!("{name}: {}\n", answers.join(" ")));
    }
    expect_test::expect![[r#"
        any: 1 ok ok ok ok 24
        all: 1 1 1 ok 3 24
        missing: ok ok ok ok 3 24
        failed: ok ok ok ok ok ok
        other audience: 1 25 1 25 25 24
    "#]]
    .assert_eq(&said);
}

#[test]
fn accepted_tokens_change_the_request_as_their_provider_wants() {
    let mut rich = provider("p", "iss");
    rich.payload_header = Some((HeaderName::new("x-payload").unwrap(), false));
    rich.claim_headers = vec![
        (HeaderName::new("x-sub").unwrap(), vec!["sub".into()]),
        (HeaderName::new("x-n").unwrap(), vec!["a".into(), "b".into()]),
        (HeaderName::new("x-none").unwrap(), vec!["none".into()]),
    ];
    rich.payload_in_metadata = "payload".into();
    rich.space_delimited = vec!["scope".into()];
    rich.failure_in_metadata = "failure".into();
    let filter = filter(vec![rich]);
    let good = token(&good());
    let mut head = request(
        &[("authorization", &format!("Bearer {good}")), ("x-sub", "evil"), ("x-payload", "evil")],
        "/p?a=1",
    );
    sanitize(&filter, &mut head);
    let mut found = Authenticated::default();
    let requirement = Requirement::Provider(0, None);
    let now = Duration::from_secs(NOW);
    assert_eq!(authenticate(&filter, &requirement, &head, now, &mut found), Ok(()));
    assert!(!apply(&found, &mut head));
    let field =
        |name: &str| head.headers.get_all(name).map(String::from_utf8_lossy).collect::<Vec<_>>().join("|");
    assert_eq!(
        (field("x-sub"), field("x-n"), field("x-none"), field("authorization")),
        ("s1".into(), "7".into(), "".into(), "".into())
    );
    assert_eq!(field("x-payload"), good.split('.').nth(1).unwrap());
    assert!(writes_metadata(&found));
    let mut metadata = Metadata::new();
    keep(&found, &mut metadata);
    let claim = |path: &[&str]| {
        let path: Vec<Arc<str>> = path.iter().map(|step| (*step).into()).collect();
        crate::runtime::metadata::lookup(&metadata, METADATA, &path).cloned()
    };
    assert_eq!(claim(&["payload", "sub"]), Some(Value::String("s1".into())));
    let scopes = vec![Value::String("x".into()), Value::String("y".into())];
    assert_eq!(claim(&["payload", "scope"]), Some(Value::List(scopes)));

    let mut query = request(&[], &format!("/p?a=1&access_token={good}&b"));
    let mut found = Authenticated::default();
    assert_eq!(authenticate(&filter, &requirement, &query, now, &mut found), Ok(()));
    apply(&found, &mut query);
    assert_eq!(query.path, "/p?a=1&b");

    let mut found = Authenticated::default();
    assert!(authenticate(&filter, &requirement, &bearer("a.b"), now, &mut found).is_err());
    let mut metadata = Metadata::new();
    keep(&found, &mut metadata);
    let path = ["failure".into(), "code".into()];
    assert_eq!(crate::runtime::metadata::lookup(&metadata, METADATA, &path), Some(&Value::Number(4.0)));
}

/// Whatever is done to tokens, in whatever order they come: accepted is only what was signed.
#[test]
fn no_sequence_of_bad_tokens_gets_in() {
    let mut ours = provider("p", "iss");
    ours.audiences = vec![bare_audience("aud1").into()];
    ours.keys.push(JwtKey {
        id: "k2".into(),
        algorithm: String::new(),
        family: AlgorithmFamily::Ed,
        key: DecodingKey::from_ed_components(PUBLIC).unwrap(),
    });
    let filter = filter(vec![ours]);
    let accepted = |token: &str| check(&filter, &Requirement::Provider(0, None), &bearer(token)).is_ok();
    let signed_well = [token(&good()), token(&with(json!({ "sub": "admin", "jti": "x" })))];
    let body = |token: &str| token.rsplit_once('.').unwrap().0.to_owned();
    assert!(signed_well.iter().all(|token| accepted(token)), "and again: {:?}", accepted(&signed_well[0]));
    let other = b"another secret of another issuer";
    let public = URL_SAFE_NO_PAD.decode(PUBLIC).unwrap();
    let plain = json!({ "alg": "HS256", "kid": "k1" });
    let never = [
        signed(&plain, &good(), other),
        signed(&json!({ "alg": "HS256", "kid": "k2" }), &good(), &public),
        signed(&json!({ "alg": "EdDSA", "kid": "k2" }), &good(), SECRET),
        signed(&json!({ "alg": "none" }), &good(), SECRET),
        signed(&json!({ "alg": "None", "kid": "k1" }), &good(), SECRET),
        signed(&json!({ "alg": "HS256", "kid": "k1", "crit": ["x"], "jwk": {} }), &good(), other),
        token(&with(json!({ "exp": NOW - 100 }))),
        token(&with(json!({ "nbf": NOW + 100 }))),
        token(&with(json!({ "aud": "other" }))),
        token(&with(json!({ "iss": "other" }))),
        format!("{}.", body(&signed_well[0])),
        format!("{}.{}", body(&signed_well[0]), "A".repeat(100_000)),
        format!("{}.x", "A".repeat(100_000)),
        String::new(),
        "..".into(),
    ];
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut number = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 11).unwrap() % below.max(1)
    };
    let mut passed = 0;
    for _ in 0..20_000 {
        let source = &signed_well[number(2)];
        let text = match number(8) {
            0 => never[number(never.len())].clone(),
            1 => source[..number(source.len())].to_owned(),
            2 => source[number(source.len())..].to_owned(),
            3 | 4 => {
                // One character becomes another.
                let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ ";
                let mut bytes = source.clone().into_bytes();
                bytes[number(source.len())] = alphabet[number(alphabet.len())];
                String::from_utf8(bytes).unwrap()
            }
            5 => {
                // Parts of several tokens.
                let part = |token: &str, i: usize| token.split('.').nth(i).unwrap_or_default().to_owned();
                let pick = |n: usize| if n < 2 { &signed_well[n] } else { &never[n % never.len()] };
                let [a, b, c] = [0, 1, 2].map(|i| part(pick(number(2 + never.len())), i));
                format!("{a}.{b}.{c}")
            }
            6 => format!("{source}{}", [".", "=", "==", ".x", " x", "\t"][number(6)]),
            _ => source.clone(),
        };
        if accepted(&text) {
            passed += 1;
            assert!(signed_well.iter().any(|token| body(token) == body(text.trim())), "{text}");
        }
    }
    assert!(passed > 1_000, "good ones pass: {passed}");
}

/// A public key (RFC 8032, section 7.1, test 1).
const PUBLIC: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
