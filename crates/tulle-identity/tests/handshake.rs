//! Handshakes between two sides that take their certificates and roots from cells: who is let in, and what a rotation changes.

#![allow(clippy::unwrap_used, reason = "a failure here is the test failing")]

use std::io::{Read, Write};
use std::sync::Arc;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use rustls::{ClientConnection, ServerConnection};
use rustls_pki_types::ServerName;
use tulle_base::SpiffeId;
use tulle_identity::tls::{ClientAuth, explain};
use tulle_identity::{
    Certificate, CertificateSource, ClientTls, PeerIdentity, PeerRules, Revocations, SanMatcher, ServerTls,
    TrustBundle, VerifyPeer, Watched,
};

struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Ca {
    fn new() -> Self {
        Self::named("authority")
    }

    fn named(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let cert = params.self_signed(&key).unwrap();
        Self { pem: cert.pem(), issuer: Issuer::new(params, key) }
    }

    fn issue(&self, sans: Vec<SanType>) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = sans;
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Certificate::from_pem(cert.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    /// A list of revoked certificates, good for a year around now.
    fn revoke(&self, serials: &[&[u8]]) -> String {
        let date = |year| rcgen::date_time_ymd(year, 1, 1);
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from_slice(serial),
            revocation_time: date(2020),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date(2020),
            next_update: date(4000),
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    fn svid(&self, account: &str) -> Certificate {
        self.issue(vec![uri(&id(account))])
    }

    fn bundle(&self) -> TrustBundle {
        TrustBundle::from_pem(self.pem.as_bytes()).unwrap().for_trust_domain("cluster.local")
    }
}

fn id(account: &str) -> String {
    SpiffeId::new("cluster.local", "shop", account).to_string()
}

fn uri(text: &str) -> SanType {
    SanType::URI(Ia5String::try_from(text).unwrap())
}

/// One side each, with cells that a test may change between handshakes.
struct Pair {
    server_cert: Watched<Certificate>,
    client_cert: Watched<Certificate>,
    trust: Watched<TrustBundle>,
    server: Arc<rustls::ServerConfig>,
    client: Arc<rustls::ClientConfig>,
}

impl Pair {
    fn new(ca: &Ca, expected: Vec<SanMatcher>, required: bool) -> Self {
        let (server_cert, client_cert) = (Watched::of(ca.svid("server")), Watched::of(ca.svid("client")));
        let trust = Watched::of(ca.bundle());
        let mut server = ServerTls::new(CertificateSource::one(server_cert.clone()));
        let rules = VerifyPeer::Chain { trust: trust.clone(), rules: PeerRules::default() };
        server.client_auth = if required { ClientAuth::Required(rules) } else { ClientAuth::Optional(rules) };
        let mut client =
            ClientTls::new(VerifyPeer::Chain { trust: trust.clone(), rules: PeerRules::names(expected) });
        client.certificate = Some(CertificateSource::one(client_cert.clone()));
        Self {
            server_cert,
            client_cert,
            trust,
            server: server.build().unwrap(),
            client: client.build().unwrap(),
        }
    }

    /// Shakes hands; what each side learnt about the other, or the first error.
    fn shake(&self) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
        let name = ServerName::try_from("outbound_.80_._.server").unwrap();
        let mut client = ClientConnection::new(self.client.clone(), name).unwrap();
        let mut server = ServerConnection::new(self.server.clone()).unwrap();
        for _ in 0..10 {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            let mut wire = &wire[..];
            while !wire.is_empty() {
                server.read_tls(&mut wire).unwrap();
                server.process_new_packets()?;
            }
            let mut wire = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut wire).unwrap();
            }
            let mut wire = &wire[..];
            while !wire.is_empty() {
                client.read_tls(&mut wire).unwrap();
                client.process_new_packets()?;
            }
            if !client.is_handshaking() && !server.is_handshaking() {
                return Ok((client, server));
            }
        }
        panic!("the handshake does not end");
    }

    fn server_seen_by_client(&self) -> Result<PeerIdentity, rustls::Error> {
        self.shake().map(|(c, _)| PeerIdentity::read(c.peer_certificates().unwrap()).unwrap().unwrap())
    }
}

#[test]
fn both_sides_learn_the_others_id_over_tls_1_3() {
    let pair = Pair::new(&Ca::new(), vec![SanMatcher::uri(id("server"))], true);
    let (client, server) = pair.shake().unwrap();
    assert_eq!(client.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    assert_eq!(client.negotiated_key_exchange_group().unwrap().name(), rustls::NamedGroup::X25519);
    let peer = PeerIdentity::read(server.peer_certificates().unwrap()).unwrap().unwrap();
    assert_eq!(peer.spiffe, Some(SpiffeId::new("cluster.local", "shop", "client")));
    assert_eq!(peer.principal().map(AsRef::as_ref), Some(id("client").as_str()));
    assert_eq!(peer.fingerprint().len(), 64);
}

#[test]
fn a_server_with_another_name_is_refused() {
    let pair = Pair::new(&Ca::new(), vec![SanMatcher::uri(id("somebody-else"))], true);
    let error = explain(&pair.shake().unwrap_err());
    assert!(error.contains("none of the certificate's names"), "{error}");
}

#[test]
fn a_certificate_of_another_root_is_refused() {
    let pair = Pair::new(&Ca::new(), vec![], true);
    pair.server_cert.set(Arc::new(Ca::new().svid("server")));
    let error = explain(&pair.shake().unwrap_err());
    assert!(error.contains("not signed by the trusted authority"), "{error}");
}

#[test]
fn what_is_no_svid_of_the_trust_domain_is_refused() {
    let ca = Ca::new();
    let pair = Pair::new(&ca, vec![], true);
    let cases: [(Vec<SanType>, &str); 4] = [
        (vec![SanType::DnsName("server".try_into().unwrap())], "0 URI names"),
        (vec![uri(&id("a")), uri(&id("b"))], "2 URI names"),
        (vec![uri("spiffe://cluster.local/other")], "not an SVID"),
        (vec![uri("spiffe://elsewhere/ns/shop/sa/server")], "trust domain"),
    ];
    for (sans, expected) in cases {
        pair.server_cert.set(Arc::new(ca.issue(sans)));
        let error = explain(&pair.shake().unwrap_err());
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_client_without_certificate_is_let_in_only_where_it_is_optional() {
    let ca = Ca::new();
    for required in [true, false] {
        let pair = Pair::new(&ca, vec![], required);
        pair.client_cert.clear();
        assert_eq!(pair.shake().is_ok(), !required, "required: {required}");
    }
}

#[test]
fn without_certificate_or_bundle_everything_is_refused() {
    let ca = Ca::new();
    let pair = Pair::new(&ca, vec![], true);
    pair.trust.clear();
    assert!(explain(&pair.shake().unwrap_err()).contains("no trust bundle"));
    pair.trust.set(Arc::new(ca.bundle()));
    pair.server_cert.clear();
    assert!(pair.shake().is_err());
}

#[test]
fn a_rotation_reaches_the_next_handshake_and_leaves_standing_connections_alone() {
    let (old, new) = (Ca::new(), Ca::new());
    let pair = Pair::new(&old, vec![], true);
    let (mut client, mut server) = pair.shake().unwrap();
    let before = pair.server_seen_by_client().unwrap().info().unwrap().serial;

    // Another root takes over: first both are trusted, then the new certificates come.
    let both = format!("{}{}", old.pem, new.pem);
    let bundle = TrustBundle::from_pem(both.as_bytes()).unwrap().for_trust_domain("cluster.local");
    pair.trust.set(Arc::new(bundle));
    pair.server_cert.set(Arc::new(new.svid("server")));
    assert_ne!(pair.server_seen_by_client().unwrap().info().unwrap().serial, before);

    client.writer().write_all(b"still here").unwrap();
    let mut wire = Vec::new();
    client.write_tls(&mut wire).unwrap();
    server.read_tls(&mut &wire[..]).unwrap();
    server.process_new_packets().unwrap();
    let mut got = [0; 10];
    server.reader().read_exact(&mut got).unwrap();
    assert_eq!(&got, b"still here");
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::default().self_signed(&KeyPair::generate().unwrap()).unwrap();
    let error = Certificate::from_pem(cert.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "the private key does not belong to the certificate");
}

fn pinned(ca: &Ca, rules: impl FnOnce(&Certificate) -> PeerRules) -> Result<(), rustls::Error> {
    let pair = Pair::new(ca, vec![], true);
    let server = pair.server_cert.get().unwrap();
    let mut client = ClientTls::new(VerifyPeer::Chain { trust: pair.trust.clone(), rules: rules(&server) });
    client.certificate = Some(CertificateSource::one(pair.client_cert.clone()));
    Pair { client: client.build().unwrap(), ..pair }.shake().map(drop)
}

#[test]
fn a_certificate_is_held_against_digests_of_itself_or_of_its_key() {
    use aws_lc_rs::digest::{SHA256, digest};
    let ca = Ca::new();
    let sha = |bytes: &[u8]| -> [u8; 32] { digest(&SHA256, bytes).as_ref().try_into().unwrap() };
    let of_key = |c: &Certificate| {
        let cert = webpki::EndEntityCert::try_from(&c.chain()[0]).unwrap();
        sha(&cert.subject_public_key_info())
    };
    let other = [7; 32];
    pinned(&ca, |c| PeerRules {
        certificate_digests: vec![other, sha(&c.chain()[0])],
        ..PeerRules::default()
    })
    .unwrap();
    pinned(&ca, |c| PeerRules { key_digests: vec![of_key(c)], ..PeerRules::default() }).unwrap();
    // One of the two suffices.
    pinned(&ca, |c| PeerRules {
        key_digests: vec![of_key(c)],
        certificate_digests: vec![other],
        ..PeerRules::default()
    })
    .unwrap();
    let refused = pinned(&ca, |c| PeerRules {
        key_digests: vec![other, sha(&c.chain()[0])],
        certificate_digests: vec![other, of_key(c)],
        ..PeerRules::default()
    });
    assert!(explain(&refused.unwrap_err()).contains("digest"));
    // The right digest does not stand for the right name.
    let refused = pinned(&ca, |c| PeerRules {
        key_digests: vec![of_key(c)],
        ..PeerRules::names(vec![SanMatcher::uri(id("somebody"))])
    });
    assert!(explain(&refused.unwrap_err()).contains("names"));
}

#[test]
fn a_revoked_certificate_is_refused_wherever_the_list_comes_from() {
    let ca = Ca::new();
    let serial = |c: &Certificate| {
        let (_, cert) = x509_parser::parse_x509_certificate(&c.chain()[0]).unwrap();
        cert.raw_serial().to_vec()
    };
    let lists = |pem: &str| Revocations::from_pem(pem.as_bytes(), false).unwrap();
    let with = |list: Revocations| PeerRules { revocations: Some(Arc::new(list)), ..PeerRules::default() };
    pinned(&ca, |_| with(lists(&ca.revoke(&[b"\x01\x02"])))).unwrap();
    let refused = pinned(&ca, |c| with(lists(&ca.revoke(&[b"\x01\x02", &serial(c)])))).unwrap_err();
    assert_eq!(refused, rustls::CertificateError::Revoked.into());
    // Somebody else's list says nothing about it, and what cannot be looked up is not let in.
    let unknown = pinned(&ca, |_| with(lists(&Ca::named("somebody else").revoke(&[])))).unwrap_err();
    assert_eq!(unknown, rustls::CertificateError::UnknownRevocationStatus.into());
    // Nor does one that only claims to be the issuer's.
    pinned(&ca, |_| with(lists(&Ca::new().revoke(&[])))).unwrap_err();

    let pair = Pair::new(&ca, vec![], true);
    pair.shake().unwrap();
    let revoked = ca.revoke(&[&serial(&pair.client_cert.get().unwrap())]);
    pair.trust.set(Arc::new(ca.bundle().with_revocations(lists(&revoked))));
    assert_eq!(pair.shake().unwrap_err(), rustls::CertificateError::Revoked.into());
    assert!(Revocations::from_pem(ca.pem.as_bytes(), false).is_err(), "a certificate is no list");
}

#[test]
fn a_root_speaks_for_its_own_trust_domain_alone() {
    let (own, foreign) = (Ca::named("own"), Ca::named("foreign"));
    let pair = Pair::new(&own, vec![], true);
    let roots = tulle_identity::material::read_certificates(foreign.pem.as_bytes()).unwrap();
    let federated = own.bundle().federated(vec!["partner.example".to_owned()], roots).unwrap();
    pair.trust.set(Arc::new(federated));
    pair.shake().unwrap();
    let shown = |ca: &Ca, name: &str| {
        pair.server_cert.set(Arc::new(ca.issue(vec![uri(name)])));
        pair.shake().map(drop).map_err(|e| explain(&e))
    };
    for name in ["spiffe://partner.example/ns/a/sa/b", "spiffe://partner.example/any/path"] {
        assert_eq!(shown(&foreign, name), Ok(()), "{name}");
    }
    for (ca, name) in [
        (&foreign, "spiffe://cluster.local/ns/shop/sa/server"),
        (&own, "spiffe://partner.example/ns/a/sa/b"),
        (&foreign, "spiffe://other.example/ns/a/sa/b"),
        (&own, "spiffe://other.example/ns/a/sa/b"),
        (&foreign, "spiffe://partner.example.evil/ns/a/sa/b"),
        (&foreign, "spiffe://partner.example"),
    ] {
        assert!(shown(ca, name).is_err(), "{name}");
    }
}
