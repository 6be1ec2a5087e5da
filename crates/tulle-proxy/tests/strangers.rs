//! Clients with certificates that must not be accepted: each is refused for its own reason, which is counted, and in no order do any
//! of them reach the application.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use common::{Backend, Proxy, any_host, cluster, http, listener, tls::server_tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType, date_time_ymd};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use serde_json::json;
use tulle_identity::{Certificate, Secrets, TrustBundle};
use tulle_proxy::worker::Settings;
use tulle_telemetry::audit::{AuditLog, Sink};

const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";
const CART: &str = "spiffe://cluster.local/ns/shop/sa/cart";

type Root = CertifiedIssuer<'static, KeyPair>;

fn root() -> Root {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate with these URI names, and what `change` does to it.
fn issue(
    root: &Root,
    uris: &[&str],
    change: impl Fn(&mut CertificateParams),
) -> (rcgen::Certificate, KeyPair) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, root).unwrap(), key)
}

/// Believes every server: what is asked here is what servers believe.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A client with its certificate.
struct Client(Arc<ClientConfig>);

impl Client {
    fn new(certificate: Option<(rcgen::Certificate, KeyPair)>) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)));
        Self(Arc::new(match certificate {
            None => config.with_no_client_auth(),
            Some((chain, key)) => {
                let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                config.with_client_auth_cert(vec![chain.der().clone()], key).unwrap()
            }
        }))
    }

    /// Whether a request is answered.
    fn passes(&self, at: SocketAddr) -> bool {
        let connection = ClientConnection::new(Arc::clone(&self.0), "cart.test".try_into().unwrap()).unwrap();
        let socket = TcpStream::connect(at).unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
        let mut stream = StreamOwned::new(connection, socket);
        let mut answer = [0; 12];
        stream.write_all(b"GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").is_ok()
            && stream.read_exact(&mut answer).is_ok()
            && answer.starts_with(b"HTTP/1.1 200")
    }
}

#[test]
fn strangers_are_refused_for_their_own_reason_and_never_get_in() {
    let (ca, foreign) = (root(), root());
    let app = Backend::echo();
    let (cert, key) = issue(&ca, &[CART], |_| {});
    let own = Certificate::from_pem(cert.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    let bundle = TrustBundle::from_pem(ca.pem().as_bytes()).unwrap().for_trust_domain("cluster.local");
    let secrets = Secrets::default();
    secrets.certificate("default").set(Arc::new(own));
    secrets.bundle("ROOTCA").set(Arc::new(bundle));
    let mut inbound = listener(
        "in",
        http(any_host(json!([{ "match": { "prefix": "/" }, "route": { "cluster": "app" } }])), json!({})),
    );
    inbound["stat_prefix"] = json!("in");
    inbound["filter_chains"][0]["transport_socket"] = server_tls(&["http/1.1"]);
    let dir = tempfile::tempdir().unwrap();
    let audit_file = dir.path().join("audit.log");
    let audit = AuditLog::start("proxy", "test", &[Sink::File(audit_file.clone())]).unwrap();
    let proxy = Proxy::with(
        json!({ "listeners": [inbound], "clusters": [cluster("app", &[app.address])] }),
        Settings { secrets, audit: audit.clone(), ..Settings::default() },
    );
    let at = proxy.address("in");
    let none = |_: &mut CertificateParams| {};
    let (no_cert, names, error) = ("ssl.fail_verify_no_cert", "ssl.fail_verify_san", "ssl.fail_verify_error");
    let strangers = [
        ("without a certificate", None, no_cert),
        ("of a foreign root", Some(issue(&foreign, &[WEB], none)), error),
        ("expired", Some(issue(&ca, &[WEB], |p| p.not_after = date_time_ymd(2001, 1, 1))), error),
        ("not yet valid", Some(issue(&ca, &[WEB], |p| p.not_before = date_time_ymd(2999, 1, 1))), error),
        ("without a name", Some(issue(&ca, &[], none)), names),
        ("with two names", Some(issue(&ca, &[WEB, CART], none)), names),
        ("of another trust domain", Some(issue(&ca, &["spiffe://far.org/ns/shop/sa/web"], none)), names),
        (
            "with a name that is no SPIFFE id",
            Some(issue(&ca, &["https://cluster.local/ns/shop/sa/web"], none)),
            names,
        ),
        (
            "with a DNS name alone",
            Some(issue(&ca, &[], |p| {
                p.subject_alt_names = vec![SanType::DnsName("web.shop".try_into().unwrap())];
            })),
            names,
        ),
    ];
    let strangers: Vec<_> =
        strangers.into_iter().map(|(what, cert, why)| (what, Client::new(cert), why)).collect();
    let friend = Client::new(Some(issue(&ca, &[WEB], none)));
    let stat = |name: &str| proxy.stat(&format!("listener.in.{name}"));
    for (what, client, why) in &strangers {
        let before = [no_cert, names, error].map(stat);
        assert!(!client.passes(at), "{what}");
        common::eventually("it is counted", || {
            stat(why) > before[[no_cert, names, error].iter().position(|n| n == why).unwrap()]
        });
        let after = [no_cert, names, error].map(stat);
        assert_eq!(after.iter().sum::<u64>(), before.iter().sum::<u64>() + 1, "{what}: one reason");
    }
    assert_eq!(app.hits(), 0);
    // Each is in the audit log once, with its own reason.
    let mut lines: Vec<serde_json::Value> = Vec::new();
    common::eventually("it is written", || {
        let text = std::fs::read_to_string(&audit_file).unwrap();
        lines = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        lines.len() == strangers.len()
    });
    let reasons = [
        "no certificate was shown",
        "not signed by the trusted authority",
        "has expired",
        "not valid yet",
        "0 URI names",
        "2 URI names",
        "trust domain",
        "not an SVID",
        "0 URI names",
    ];
    for (line, reason) in lines.iter().zip(reasons) {
        assert_eq!(
            (line["event"].as_str(), line["actor"].as_str()),
            (Some("peer.refused"), Some("")),
            "{line}"
        );
        assert!(line["reason"].as_str().unwrap().contains(reason), "{reason}: {line}");
    }
    assert!(friend.passes(at));

    // In whatever order they come: what reaches the application is what friends send.
    let (mut state, mut sent) = (0x9e37_79b9_u32, 1);
    for _ in 0..150 {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let who = usize::try_from(state).unwrap() % (strangers.len() + 3);
        match strangers.get(who) {
            Some((what, client, _)) => assert!(!client.passes(at), "{what}"),
            None => {
                assert!(friend.passes(at));
                sent += 1;
            }
        }
    }
    assert_eq!(app.hits(), sent);
}
