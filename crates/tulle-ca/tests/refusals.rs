//! Who gets a certificate, for which name, and who does not.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize, SanType};
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use tulle_base::SpiffeId;
use tulle_ca::{
    Authorities, Authority, Bindings, CaService, IssuedBook, PeerCertificate, Setup, TokenSubject,
    TokenVerifier, TtlPolicy,
};
use tulle_identity::material::read_certificates;
use tulle_identity::{CertInfo, PeerIdentity, WorkloadKey};
use tulle_proto::istio::ca::{CREATE_CERTIFICATE, IstioCertificateRequest, IstioCertificateResponse};
use tulle_telemetry::audit::{AuditLog, Sink};

struct OnlyPod(&'static str);

impl Bindings for OnlyPod {
    fn check(&self, subject: &TokenSubject) -> Result<(), String> {
        match &subject.pod {
            Some((_, uid)) if uid != self.0 => Err(format!("pod with uid {uid}")),
            _ => Ok(()),
        }
    }
}

struct World {
    service: CaService,
    signer: KeyPair,
    authority: Arc<Authority>,
    audit: AuditLog,
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authorities =
            Arc::new(Authorities::open(dir.path(), None, "cluster.local", SystemTime::now()).unwrap());
        let authority = authorities.current().signing.clone();
        let signer = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let tokens = TokenVerifier::from_pem(&signer.public_key_pem()).unwrap();
        let policy = TtlPolicy::new(Duration::from_secs(3600));
        let audit_file = dir.path().join("audit.log");
        let audit = AuditLog::start("control-plane", "test", &[Sink::File(audit_file)]).unwrap();
        let service = CaService::new(Setup {
            authorities,
            trust_domain: "cluster.local".to_owned(),
            aliases: Arc::new(Arc::new(vec!["old.example".to_owned()]).into()),
            tokens,
            bindings: Arc::new(OnlyPod("pod-uid")),
            policy,
            issued: Arc::new(IssuedBook::open(dir.path(), SystemTime::now())),
            audit: audit.clone(),
        });
        Self { service, signer, authority, audit, dir }
    }

    /// The audit log, once everything that was recorded is in it.
    fn audited(&self) -> Vec<Value> {
        loop {
            let text = std::fs::read_to_string(self.dir.path().join("audit.log")).unwrap();
            let lines: Vec<Value> = text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
            if lines.len() as u64 >= self.audit.recorded() {
                return lines;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = good_claims();
        change(&mut claims);
        sign(&self.signer, &claims)
    }

    async fn ask(&self, ask: Ask<'_>) -> Result<Vec<String>, Status> {
        let mut request = tonic::Request::new(IstioCertificateRequest {
            csr: ask.csr,
            validity_duration: ask.ttl,
            metadata: None,
        });
        if let Some(token) = ask.token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        if let Some(id) = ask.certificate {
            request.extensions_mut().insert(self.peer(id));
        }
        let mut client = tonic::client::Grpc::new(self.service.clone());
        client.ready().await.unwrap();
        let codec: ProstCodec<IstioCertificateRequest, IstioCertificateResponse> = ProstCodec::default();
        let path = http::uri::PathAndQuery::from_static(CREATE_CERTIFICATE);
        client.unary(request, path, codec).await.map(|r| r.into_inner().cert_chain)
    }

    /// A client certificate as the acceptor would have verified it.
    fn peer(&self, id: &SpiffeId) -> PeerCertificate {
        let certificate =
            self.authority.serving_certificate(id, &[], Duration::from_secs(60), SystemTime::now()).unwrap();
        PeerCertificate(Arc::new(PeerIdentity::read(certificate.chain()).unwrap().unwrap()))
    }
}

struct Ask<'a> {
    token: Option<&'a str>,
    certificate: Option<&'a SpiffeId>,
    csr: String,
    ttl: i64,
}

impl<'a> Ask<'a> {
    fn token(token: &'a str) -> Self {
        Self { token: Some(token), certificate: None, csr: csr(), ttl: 0 }
    }
}

fn csr() -> String {
    csr_of("cart")
}

fn csr_of(account: &str) -> String {
    let key = WorkloadKey::generate().unwrap();
    key.signing_request(&SpiffeId::new("cluster.local", "shop", account)).unwrap()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn good_claims() -> Value {
    json!({
        "iss": "https://kubernetes.default.svc.cluster.local",
        "sub": "system:serviceaccount:shop:cart",
        "aud": ["istio-ca"],
        "iat": now(), "nbf": now(), "exp": now() + 600,
        "kubernetes.io": {
            "namespace": "shop",
            "pod": {"name": "cart-0", "uid": "pod-uid"},
            "serviceaccount": {"name": "cart", "uid": "sa-uid"},
        },
    })
}

fn sign(key: &KeyPair, claims: &Value) -> String {
    encode(&Header::new(Algorithm::ES256), claims, &EncodingKey::from_ec_der(&key.serialize_der())).unwrap()
}

fn leaf(chain: &[String]) -> CertInfo {
    CertInfo::read(&read_certificates(chain[0].as_bytes()).unwrap()[0]).unwrap()
}

#[tokio::test]
async fn a_good_token_gets_exactly_its_own_name() {
    let world = World::new();
    let token = world.token(|_| {});
    let chain = world.ask(Ask { ttl: 120, ..Ask::token(&token) }).await.unwrap();
    assert_eq!(chain.len(), 2);
    assert_eq!(chain[1], world.authority.root_pem());
    let info = leaf(&chain);
    assert_eq!(info.uri_sans, ["spiffe://cluster.local/ns/shop/sa/cart"]);
    assert!(info.dns_sans.is_empty() && info.subject.is_empty());
    let life = info.not_after - i64::try_from(now()).unwrap();
    assert!((115..=120).contains(&life), "{life}");
    let age = i64::try_from(now()).unwrap() - info.not_before;
    assert!((10..=20).contains(&age), "{age}");
    let again = leaf(&world.ask(Ask::token(&token)).await.unwrap());
    assert_ne!(info.serial, again.serial);
}

/// A request for these names, as a client that lies would send it.
fn asking(names: Vec<SanType>, authority: bool) -> String {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = names;
    if authority {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    }
    params.serialize_request(&key).unwrap().pem().unwrap()
}

#[tokio::test]
async fn requests_for_another_identity_are_refused() {
    let world = World::new();
    let token = world.token(|_| {});
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    let own = || uri("spiffe://cluster.local/ns/shop/sa/cart");
    let dns = SanType::DnsName("istiod.istio-system.svc".try_into().unwrap());
    let address = SanType::IpAddress([10, 0, 0, 1].into());
    let cases = [
        (
            vec![uri("spiffe://cluster.local/ns/kube-system/sa/admin")],
            "spiffe://cluster.local/ns/kube-system/sa/admin",
        ),
        (vec![own(), uri("spiffe://cluster.local/ns/shop/sa/pay")], "spiffe://cluster.local/ns/shop/sa/pay"),
        (vec![uri("spiffe://evil.example/ns/shop/sa/cart")], "spiffe://evil.example/ns/shop/sa/cart"),
        (vec![uri("spiffe://cluster.local/ns/shop/sa/cart/")], "sa/cart/"),
        (vec![uri("https://cluster.local/ns/shop/sa/cart")], "https://"),
        (vec![own(), dns], "the DNS name istiod.istio-system.svc"),
        (vec![address], "an IP address"),
    ];
    for (names, asked) in cases {
        let refused = world.ask(Ask { csr: asking(names, false), ..Ask::token(&token) }).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{asked}");
        let (message, caller) =
            (refused.message(), "but its sender is spiffe://cluster.local/ns/shop/sa/cart");
        assert!(message.contains(asked) && message.contains(caller), "{asked}: {message}");
    }
    let refused = world.ask(Ask { csr: asking(vec![own()], true), ..Ask::token(&token) }).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("certificate authority"), "{}", refused.message());
    let counters = world.service.counters();
    assert_eq!(counters.overreaching.load(std::sync::atomic::Ordering::Relaxed), 8);
    assert_eq!(counters.issued.load(std::sync::atomic::Ordering::Relaxed), 0);
    let audited = world.audited();
    assert!(audited.iter().all(|l| l["event"] == "certificate.refused" && l["outcome"] == "refused"));
    assert_eq!(audited.len(), 8);
    assert_eq!(audited[0]["actor"], "spiffe://cluster.local/ns/shop/sa/cart");
    assert_eq!(audited[0]["details"]["pod"], "shop/cart-0");

    // What a request may ask for gets the caller's own name, under the trust domain's own name.
    for names in [vec![], vec![own()], vec![uri("spiffe://old.example/ns/shop/sa/cart")]] {
        let chain = world.ask(Ask { csr: asking(names, false), ..Ask::token(&token) }).await.unwrap();
        let info = leaf(&chain);
        assert_eq!(info.uri_sans, ["spiffe://cluster.local/ns/shop/sa/cart"]);
        assert!(info.dns_sans.is_empty() && info.subject.is_empty());
    }
    let audited = world.audited();
    let issued = audited.last().unwrap();
    assert_eq!((issued["event"].as_str(), issued["number"].as_u64()), (Some("certificate.issued"), Some(11)));
    assert_eq!(issued["details"]["credential"], "token");
}

#[tokio::test]
async fn what_is_issued_is_no_authority() {
    let world = World::new();
    let key = KeyPair::generate().unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
    let token = world.token(|_| {});
    let chain = world.ask(Ask { csr, ..Ask::token(&token) }).await.unwrap();
    // What it signs leads nowhere.
    let der = read_certificates(chain[0].as_bytes()).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_der(&der[0], key).unwrap();
    let victim = KeyPair::generate().unwrap();
    let forged =
        CertificateParams::new(vec!["x.svc".to_owned()]).unwrap().signed_by(&victim, &issuer).unwrap();
    assert!(!leads(&world, forged.der(), &der));
}

/// Whether a verifier that trusts the root believes a certificate with these intermediates.
fn leads(world: &World, leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> bool {
    let anchors = [webpki::anchor_from_trusted_cert(&world.authority.roots()[0]).unwrap()];
    let leaf = webpki::EndEntityCert::try_from(leaf).unwrap();
    leaf.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        &anchors,
        intermediates,
        rustls_pki_types::UnixTime::now(),
        webpki::KeyUsage::server_auth(),
        None,
        None,
    )
    .is_ok()
}

/// A stolen root cannot speak for hosts outside of the mesh to those who honour its constraints.
#[test]
fn the_root_is_constrained_to_names_of_the_cluster() {
    let world = World::new();
    let id = SpiffeId::new("cluster.local", "istio-system", "istiod");
    let certify = |dns: &str| {
        let names = [dns.to_owned()];
        let made =
            world.authority.serving_certificate(&id, &names, Duration::from_secs(60), SystemTime::now());
        made.unwrap().chain()[0].clone()
    };
    for inside in ["istiod.istio-system.svc", "istiod.istio-system.svc.cluster.local", "istiod.istio-system"]
    {
        assert!(leads(&world, &certify(inside), &[]), "{inside}");
    }
    for outside in ["bank.example", "svc.example", "localhost"] {
        assert!(!leads(&world, &certify(outside), &[]), "{outside}");
    }
}

#[tokio::test]
async fn who_asks_too_often_waits() {
    let world = World::new();
    let token = world.token(|_| {});
    let request = csr();
    for _ in 0..20 {
        world.ask(Ask { csr: request.clone(), ..Ask::token(&token) }).await.unwrap();
    }
    let refused = loop {
        // A slow machine may earn one more meanwhile.
        if let Err(refused) = world.ask(Ask { csr: request.clone(), ..Ask::token(&token) }).await {
            break refused;
        }
    };
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("try again in"), "{}", refused.message());
    assert!(world.service.counters().limited.load(std::sync::atomic::Ordering::Relaxed) > 0);
    // Others are not held up.
    let other = SpiffeId::new("cluster.local", "shop", "other");
    world.ask(Ask { token: None, certificate: Some(&other), csr: csr_of("other"), ttl: 0 }).await.unwrap();
}

#[tokio::test]
async fn tokens_that_are_not_good_are_refused() {
    let world = World::new();
    let stranger = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let good = world.token(|_| {});
    let parts: Vec<&str> = good.split('.').collect();
    let b64 = |v: Value| BASE64_URL_SAFE_NO_PAD.encode(v.to_string());
    let mac = encode(
        &Header::new(Algorithm::HS256),
        &good_claims(),
        &EncodingKey::from_secret(world.signer.public_key_pem().as_bytes()),
    )
    .unwrap();
    let cases: Vec<(&str, String, &str)> = vec![
        ("forged", sign(&stranger, &good_claims()), "signature"),
        ("none", format!("{}.{}.", b64(json!({"alg":"none","typ":"JWT"})), parts[1]), "signature"),
        (
            "none with a signature",
            format!("{}.{}.{}", b64(json!({"alg":"none"})), parts[1], parts[2]),
            "signature",
        ),
        ("a MAC with the public key", mac, "signature"),
        ("truncated", good[..good.len() - 9].to_owned(), "signature"),
        ("two parts", format!("{}.{}", parts[0], parts[1]), "signature"),
        ("empty", String::new(), "signature"),
        ("noise", "x".repeat(300), "signature"),
        ("other claims", format!("{}.{}.{}", parts[0], b64(json!({"sub": "x"})), parts[2]), "signature"),
        ("huge", "a".repeat(20_000), "longer"),
        ("expired", world.token(|c| c["exp"] = json!(now() - 60)), "expired"),
        ("not yet", world.token(|c| c["nbf"] = json!(now() + 600)), "not valid yet"),
        ("another audience", world.token(|c| c["aud"] = json!(["api"])), "audience"),
        ("no audience", world.token(|c| drop(c.as_object_mut().unwrap().remove("aud"))), "claim"),
        ("no expiry", world.token(|c| drop(c.as_object_mut().unwrap().remove("exp"))), "claim"),
        ("another issuer", world.token(|c| c["iss"] = json!("https://evil")), "issuer"),
        (
            "contradiction",
            world.token(|c| c["sub"] = json!("system:serviceaccount:shop:admin")),
            "another account",
        ),
        (
            "a slash",
            world.token(|c| {
                c["sub"] = json!("system:serviceaccount:shop:x/y");
                c["kubernetes.io"]["serviceaccount"]["name"] = json!("x/y");
            }),
            "Kubernetes name",
        ),
        ("not a pod's", world.token(|c| c["kubernetes.io"] = json!({})), "claim"),
        (
            "a pod that is gone",
            world.token(|c| c["kubernetes.io"]["pod"]["uid"] = json!("old")),
            "pod with uid old",
        ),
    ];
    for (name, token, reason) in cases {
        let refused = world.ask(Ask::token(&token)).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{name}");
        assert!(refused.message().contains(reason), "{name}: {}", refused.message());
    }
    let nothing = world.ask(Ask { token: None, certificate: None, csr: csr(), ttl: 0 }).await.unwrap_err();
    assert_eq!(nothing.code(), Code::Unauthenticated);
    let counters = world.service.counters();
    assert_eq!(counters.issued.load(std::sync::atomic::Ordering::Relaxed), 0);
    assert_eq!(counters.unauthenticated.load(std::sync::atomic::Ordering::Relaxed), 21);
}

#[tokio::test]
async fn a_current_certificate_will_do_too() {
    let world = World::new();
    let id = SpiffeId::new("cluster.local", "shop", "cart");
    let ask = Ask { token: None, certificate: Some(&id), csr: csr(), ttl: 0 };
    assert_eq!(leaf(&world.ask(ask).await.unwrap()).uri_sans, [id.to_string()]);
    // An expired token beside a good certificate does no harm; a good one of somebody else does.
    let expired = world.token(|c| c["exp"] = json!(now() - 60));
    world.ask(Ask { certificate: Some(&id), ..Ask::token(&expired) }).await.unwrap();
    let token = world.token(|_| {});
    let other = SpiffeId::new("cluster.local", "shop", "other");
    let refused = world.ask(Ask { certificate: Some(&other), ..Ask::token(&token) }).await.unwrap_err();
    assert!(refused.message().contains("spiffe://cluster.local/ns/shop/sa/other"), "{}", refused.message());
    let foreign = SpiffeId::new("elsewhere", "shop", "cart");
    let ask = Ask { token: None, certificate: Some(&foreign), csr: csr(), ttl: 0 };
    assert_eq!(world.ask(ask).await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn signing_requests_must_be_small_sound_and_their_own() {
    let world = World::new();
    let token = world.token(|_| {});
    let rsa = |size| {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size).unwrap();
        CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap()
    };
    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let p384 = CertificateParams::default().serialize_request(&p384).unwrap().pem().unwrap();
    for good in [rsa(RsaKeySize::_2048), p384] {
        world.ask(Ask { csr: good, ..Ask::token(&token) }).await.unwrap();
    }
    let ed = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let ed = CertificateParams::default().serialize_request(&ed).unwrap().pem().unwrap();
    // Somebody else's key under our signature.
    let tampered = {
        let honest = csr();
        let body: String = honest.lines().filter(|l| !l.starts_with('-')).collect();
        let mut der = base64::prelude::BASE64_STANDARD.decode(body).unwrap();
        let last = der.len() - 1;
        der[last] ^= 1;
        let text = base64::prelude::BASE64_STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----\n")
    };
    let cases = [
        ("", "PEM"),
        ("garbage", "PEM"),
        ("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "PKCS #10"),
        (world.authority.root_pem().as_str(), "PEM"),
        (tampered.as_str(), "own key"),
        (ed.as_str(), "kind"),
        ("x".repeat(17 << 10).as_str(), "longer"),
    ]
    .map(|(csr, reason)| (csr.to_owned(), reason));
    for (csr, reason) in cases {
        let refused = world.ask(Ask { csr: csr.clone(), ..Ask::token(&token) }).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{csr}");
        assert!(refused.message().contains(reason), "{reason}: {}", refused.message());
    }
    let negative = world.ask(Ask { ttl: -1, ..Ask::token(&token) }).await.unwrap_err();
    assert_eq!(negative.code(), Code::InvalidArgument);
    // The message as a whole has a limit below gRPC's.
    let huge = world.ask(Ask { csr: "x".repeat(100 << 10), ..Ask::token(&token) }).await.unwrap_err();
    assert!(matches!(huge.code(), Code::OutOfRange | Code::ResourceExhausted), "{huge:?}");
}

#[test]
fn the_root_survives_a_restart_and_is_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let first = Authority::self_signed(dir.path(), "cluster.local", now).unwrap().root_pem();
    let again = Authority::self_signed(dir.path(), "cluster.local", now).unwrap().root_pem();
    assert_eq!(first, again);
    let file = dir.path().join("ca/root.pem");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, &text[..text.len() / 2]).unwrap();
    let error = Authority::self_signed(dir.path(), "cluster.local", now).unwrap_err();
    assert!(error.to_string().contains("root.pem"), "{error}");
    std::fs::write(&file, text).unwrap();
    // Expired: refuses to start rather than issue what nobody believes.
    let later = now + Duration::from_secs(11 * 365 * 86_400);
    assert!(Authority::self_signed(dir.path(), "cluster.local", later).is_err());
}

#[test]
fn a_plugged_in_intermediate_is_proven_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let ca = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
        params
    };
    let root_key = KeyPair::generate().unwrap();
    let root = ca("root").self_signed(&root_key).unwrap();
    let root_issuer = rcgen::Issuer::new(ca("root"), root_key);
    let key = KeyPair::generate().unwrap();
    let intermediate = ca("intermediate").signed_by(&key, &root_issuer).unwrap();
    write("ca-key.pem", &key.serialize_pem());
    write("ca-cert.pem", &intermediate.pem());
    assert!(
        Authority::plugged(dir.path(), SystemTime::now()).unwrap_err().to_string().contains("root-cert.pem")
    );
    write("root-cert.pem", &root.pem());
    let authority = Authority::plugged(dir.path(), SystemTime::now()).unwrap();
    let request = tulle_ca::SigningRequest::read(&csr()).unwrap();
    let id = SpiffeId::new("cluster.local", "a", "b");
    let issued = authority.issue(&id, &request, Duration::from_secs(60), SystemTime::now()).unwrap();
    assert_eq!(issued.chain.len(), 2, "the root is not in it");
    assert_eq!(issued.chain[1].replace("\r\n", "\n"), intermediate.pem().replace("\r\n", "\n"));
    // Another root does not vouch for it.
    let stranger = KeyPair::generate().unwrap();
    write("root-cert.pem", &ca("root").self_signed(&stranger).unwrap().pem());
    assert!(Authority::plugged(dir.path(), SystemTime::now()).is_err());
}

#[test]
fn the_control_planes_certificate_has_its_names() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::self_signed(dir.path(), "cluster.local", SystemTime::now()).unwrap();
    let id = SpiffeId::new("cluster.local", "istio-system", "istiod");
    let names = ["istiod.istio-system.svc".to_owned()];
    let certificate =
        authority.serving_certificate(&id, &names, Duration::from_secs(60), SystemTime::now()).unwrap();
    assert_eq!(certificate.info().dns_sans, names);
    assert_eq!(certificate.info().uri_sans, [id.to_string()]);
    let bad =
        authority.serving_certificate(&id, &["ü".to_owned()], Duration::from_secs(60), SystemTime::now());
    assert!(bad.is_err());
}
