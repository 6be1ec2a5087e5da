//! Tokens: RequestAuthentication and what AuthorizationPolicies and routes make of claims.

use std::time::{Duration, SystemTime};

use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};

use crate::harness::{Mesh, Spec, http_get_with};
use crate::manifests::{client, documents, echo, injected_default, mission, service};

/// The issuer of every token.
pub const ISSUER: &str = "https://issuer.example.com";
const WITHIN: Duration = Duration::from_secs(20);

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let word = three.iter().fold(0_u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - three.len()));
        for i in 0..=three.len() {
            out.push(char::from(ALPHABET[(word >> (18 - 6 * i) & 63) as usize]));
        }
    }
    out
}

/// Somebody who signs tokens.
pub struct Signer {
    pair: KeyPair,
    id: &'static str,
}

impl Signer {
    pub fn new(id: &'static str) -> Self {
        Self { pair: KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(), id }
    }

    /// Its public key, as one of a set.
    pub fn public(&self) -> String {
        let x = base64url(self.pair.der_bytes());
        format!(r#"{{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "{}", "x": "{x}"}}"#, self.id)
    }

    /// A token with these claims, as JSON without braces.
    fn token(&self, claims: &str) -> String {
        let header = format!(r#"{{"alg": "EdDSA", "kid": "{}"}}"#, self.id);
        let signed =
            format!("{}.{}", base64url(header.as_bytes()), base64url(format!("{{{claims}}}").as_bytes()));
        format!("{signed}.{}", base64url(&self.pair.sign(signed.as_bytes()).unwrap()))
    }

    /// A good one for `shop` with further claims.
    pub fn good(&self, more: &str) -> String {
        self.token(&format!(
            r#""iss": "{ISSUER}", "sub": "ann", "aud": "shop", "exp": {}{more}"#,
            now() + 600
        ))
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn accepted(keys: &[&Signer]) -> String {
    let keys: Vec<String> = keys.iter().map(|k| k.public()).collect();
    format!(
        "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata:\n  name: tokens\nspec:\n  selector:\n    \
         matchLabels: {{app: admin-service}}\n  jwtRules:\n  - issuer: {ISSUER}\n    audiences: [shop]\n    \
         jwks: '{{\"keys\": [{}]}}'\n    fromHeaders:\n    - {{name: authorization, prefix: 'Bearer '}}\n    \
         fromParams: [token]\n    fromCookies: [session]\n    forwardOriginalToken: true\n    \
         outputPayloadToHeader: x-payload\n    outputClaimToHeaders:\n    - {{header: x-subject, claim: sub}}\n",
        keys.join(", ")
    )
}

/// At the gateway: only with a token, to a version by claim.
fn edge(key: &Signer) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata:\n  name: edge\n  namespace: istio-system\nspec:\n  \
         selector:\n    matchLabels: {{istio: ingressgateway}}\n  jwtRules:\n  - issuer: {ISSUER}\n    \
         forwardOriginalToken: true\n    jwks: '{{\"keys\": [{}]}}'\n---\n\
         apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata:\n  name: edge\n  namespace: istio-system\nspec:\n  \
         selector:\n    matchLabels: {{istio: ingressgateway}}\n  action: DENY\n  rules:\n  - from:\n    - source:\n        \
         notRequestPrincipals: ['*']\n    to:\n    - operation: {{notPaths: ['/keys']}}\n---\n\
         apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata:\n  name: edge\nspec:\n  selector: {{istio: ingressgateway}}\n  \
         servers:\n  - port: {{number: 80, name: http, protocol: HTTP}}\n    hosts: ['*']\n---\n\
         apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: edge\nspec:\n  hosts: ['*']\n  gateways: [edge]\n  \
         http:\n  - match: [{{uri: {{exact: /keys}}}}]\n    directResponse:\n      status: 200\n      body: {{string: '{{\"keys\": [{}]}}'}}\n  - match:\n    - headers:\n        '@request.auth.claims.realm.groups': {{exact: staff}}\n    directResponse:\n      \
         status: 200\n      body: {{string: staff}}\n  - directResponse:\n      status: 200\n      body: {{string: others}}\n",
        key.public(),
        key.public()
    )
}

#[test]
fn tokens_decide_who_somebody_is() {
    let (one, two) = (Signer::new("one"), Signer::new("two"));
    let manifests = [
        (
            "base.yaml",
            documents(&[
                injected_default(),
                service("admin-service", "http"),
                client("client", "client", ""),
            ]),
        ),
        ("echo.yaml", echo("admin-service", "v1")),
        ("09.yaml", mission("technical-09")),
        ("tokens.yaml", accepted(&[&one])),
        ("edge.yaml", edge(&one)),
    ];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    let url = "http://admin-service.default:9080/";
    let with = |token: &str| mesh.get_from("client", url, &[&format!("Authorization: Bearer {token}")]);
    let admin = one.good(r#", "role": "admin""#);
    mesh.eventually("an admin passes", WITHIN, || with(&admin).0 == 200);
    let (_, body) = with(&admin);
    let lower = body.to_ascii_lowercase();
    assert!(lower.contains("x-subject") && body.contains("ann") && lower.contains("x-payload"), "{body}");
    assert_eq!(with(&one.good(r#", "role": ["user", "superuser"]"#)).0, 200, "an element of a list");
    assert_eq!(mesh.get_from("client", &format!("{url}?token={admin}"), &[]).0, 200, "as a parameter");
    assert_eq!(mesh.get_from("client", url, &[&format!("Cookie: session={admin}")]).0, 200, "as a cookie");

    let signed = |iss: &str, aud: &str, exp: u64| {
        one.token(&format!(r#""iss": "{iss}", "sub": "ann", "aud": "{aud}", "exp": {exp}, "role": "admin""#))
    };
    let payload = admin.split('.').nth(1).unwrap();
    let none = format!("{}.{payload}.", base64url(br#"{"alg": "none"}"#));
    let unsigned = format!("{}.{payload}.AAAA", base64url(br#"{"alg": "none"}"#));
    let (start, signature) = admin.rsplit_once('.').unwrap();
    let other = one.good(r#", "role": "superuser""#);
    let forged = format!("{}.{signature}", start.replace(payload, other.split('.').nth(1).unwrap()));
    for (what, token, wanted) in [
        ("no role", one.good(""), 403),
        ("another role", one.good(r#", "role": "user""#), 403),
        ("expired", signed(ISSUER, "shop", now() - 3600), 401),
        ("for others", signed(ISSUER, "bank", now() + 600), 403),
        ("of another issuer", signed("https://evil.example.com", "shop", now() + 600), 401),
        ("without algorithm", none, 401),
        ("without algorithm, with something as signature", unsigned, 401),
        ("cut off", admin[..admin.len() - 8].to_owned(), 401),
        ("without signature", start.to_owned(), 401),
        ("changed", forged, 401),
        ("by a key that is not published", two.good(r#", "role": "admin""#), 401),
        ("no token at all", "x".to_owned(), 401),
    ] {
        assert_eq!(with(&token).0, wanted, "{what}");
    }
    let huge = one.good(&format!(r#", "role": "admin", "more": "{}""#, "x".repeat(70_000)));
    assert!(matches!(with(&huge).0, 0 | 400..=431), "a token of 90 kB");
    assert_eq!(mesh.get_from("client", url, &[]).0, 403, "without a token there is no role");
    let spoofed =
        mesh.get_from("client", url, &[&format!("Authorization: Bearer {admin}"), "x-subject: root"]);
    assert!(
        spoofed.0 == 200 && !spoofed.1.contains("root"),
        "what clients say of themselves goes: {}",
        spoofed.1
    );

    // At the gateway, by claims.
    let gateway = format!("{}/", mesh.ready["gateway"].as_str().unwrap());
    let at_edge = |token: &str| http_get_with(&gateway, &[("authorization", &format!("Bearer {token}"))]);
    let staff = one.good(r#", "realm": {"groups": ["staff", "x"]}"#);
    mesh.eventually("staff is told apart", WITHIN, || at_edge(&staff) == (200, "staff".to_owned()));
    assert_eq!(at_edge(&one.good("")), (200, "others".to_owned()));
    assert_eq!(http_get_with(&gateway, &[]).0, 403, "the gateway wants a token");
    assert_eq!(at_edge(&two.good("")).0, 401);

    // Keys change: first both, then the new one alone.
    let next = two.good(r#", "role": "admin""#);
    mesh.write("tokens.yaml", &accepted(&[&one, &two]));
    mesh.eventually("the new key is known", WITHIN, || with(&next).0 == 200);
    assert_eq!(with(&admin).0, 200, "the old one still is");
    mesh.write("tokens.yaml", &accepted(&[&two]));
    mesh.eventually("the old key is gone", WITHIN, || with(&admin).0 == 401);
    assert_eq!(with(&next).0, 200);

    // Keys by address, fetched by the control plane; where nothing can be fetched nobody passes, and the status says why.
    let fetched = |uri: &str| {
        let written = accepted(&[&two]);
        let start = written.find("    jwks: ").unwrap();
        let end = written[start..].find("\n    fromHeaders").unwrap() + start;
        format!("{}    jwksUri: {uri}{}", &written[..start], &written[end..])
    };
    mesh.write("tokens.yaml", &fetched("http://istio-ingressgateway.istio-system/keys"));
    mesh.eventually("the keys were fetched", WITHIN, || with(&admin).0 == 200);
    assert_eq!(with(&next).0, 401, "the key that is not published any more");
    mesh.write("tokens.yaml", &fetched("http://169.254.169.254/keys"));
    mesh.eventually("no key is known", WITHIN, || with(&admin).0 == 401);
}
