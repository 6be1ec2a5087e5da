//! Sessions are resumed between peers with certificates, and nobody is believed for longer by that.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a failure here is the test failing")]

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConfig, ServerConnection};
use rustls_pki_types::ServerName;
use tulle_identity::tls::{ClientAuth, ClientSessions, Recheck, ServerResumption, explain};
use tulle_identity::{
    Certificate, CertificateSource, ClientTls, PeerIdentity, PeerRules, SanMatcher, ServerTls, TrustBundle,
    VerifyPeer, Watched,
};

struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Ca {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let cert = params.self_signed(&key).unwrap();
        Self { pem: cert.pem(), issuer: Issuer::new(params, key) }
    }

    fn svid(&self, account: &str, life: i64) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(id(account).as_str().try_into().unwrap())];
        params.not_after = (std::time::SystemTime::now() + Duration::from_secs(life.unsigned_abs())).into();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Certificate::from_pem(cert.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    fn bundle(&self) -> TrustBundle {
        TrustBundle::from_pem(self.pem.as_bytes()).unwrap().for_trust_domain("cluster.local")
    }
}

fn id(account: &str) -> String {
    format!("spiffe://cluster.local/ns/shop/sa/{account}")
}

struct Server {
    certificate: Watched<Certificate>,
    trust: Watched<TrustBundle>,
    config: Arc<ServerConfig>,
    resumption: ServerResumption,
}

struct Client {
    certificate: Watched<Certificate>,
    trust: Watched<TrustBundle>,
    config: Arc<ClientConfig>,
    sessions: Arc<ClientSessions>,
    recheck: Recheck,
}

impl Server {
    fn new(ca: &Ca) -> Self {
        let (certificate, trust) = (Watched::of(ca.svid("server", 3600)), Watched::of(ca.bundle()));
        let mut tls = ServerTls::new(CertificateSource::one(certificate.clone()));
        tls.client_auth =
            ClientAuth::Required(VerifyPeer::Chain { trust: trust.clone(), rules: PeerRules::default() });
        let (config, resumption) = tls.build_resuming().unwrap();
        Self { certificate, trust, config, resumption: resumption.unwrap() }
    }
}

impl Client {
    fn new(ca: &Ca, life: i64) -> Self {
        let (certificate, trust) = (Watched::of(ca.svid("client", life)), Watched::of(ca.bundle()));
        let rules = PeerRules::names(vec![SanMatcher::uri(id("server"))]);
        let mut tls = ClientTls::new(VerifyPeer::Chain { trust: trust.clone(), rules });
        tls.certificate = Some(CertificateSource::one(certificate.clone()));
        let (config, sessions, recheck) = tls.build_resuming().unwrap();
        Self { certificate, trust, config, sessions, recheck }
    }
}

/// Connects to `server` at a port, passes a byte each way, and says whether the session was resumed.
fn connect(client: &Client, server: &Server, port: u16) -> Result<HandshakeKind, String> {
    connect_while(client, server, port, || {})
}

/// The same; `change` runs after the server's first answer.
fn connect_while(
    client: &Client,
    server: &Server,
    port: u16,
    change: impl FnOnce(),
) -> Result<HandshakeKind, String> {
    let mut change = Some(change);
    let name = ServerName::try_from("outbound_.80_._.server").unwrap();
    let mut config = ClientConfig::clone(&client.config);
    config.resumption = client.sessions.of(SocketAddr::from(([10, 0, 0, 1], port)));
    let mut c = ClientConnection::new(Arc::new(config), name.clone()).unwrap();
    let mut s = ServerConnection::new(server.resumption.begin(&server.config)).unwrap();
    let mut asked = false;
    for _ in 0..10 {
        let mut wire = Vec::new();
        while c.wants_write() {
            c.write_tls(&mut wire).unwrap();
        }
        let mut rest = &wire[..];
        while !rest.is_empty() {
            s.read_tls(&mut rest).unwrap();
            s.process_new_packets().map_err(|e| explain(&e))?;
        }
        wire.clear();
        while s.wants_write() {
            s.write_tls(&mut wire).unwrap();
        }
        change.take().into_iter().for_each(|change| change());
        let mut rest = &wire[..];
        while !rest.is_empty() {
            c.read_tls(&mut rest).unwrap();
            c.process_new_packets().map_err(|e| explain(&e))?;
        }
        if !asked && !c.is_handshaking() && !s.is_handshaking() {
            client.recheck.server(&c, &name).map_err(|e| explain(&e))?;
            server.resumption.finish(&s).map_err(|e| explain(&e))?;
            asked = true;
            s.writer().write_all(b"x").unwrap();
        }
    }
    let mut byte = [0];
    c.reader().read_exact(&mut byte).unwrap();
    let peer = PeerIdentity::read(s.peer_certificates().unwrap()).unwrap().unwrap();
    assert_eq!(peer.principal().map(|p| p.to_string()), Some(id("client")), "known in either way");
    assert_eq!(c.handshake_kind(), s.handshake_kind());
    Ok(c.handshake_kind().unwrap())
}

#[test]
fn a_session_is_resumed_at_its_own_endpoint_as_often_as_there_are_tickets() {
    let ca = Ca::new();
    let (client, server, other) = (Client::new(&ca, 3600), Server::new(&ca), Server::new(&ca));
    assert_eq!(connect(&client, &server, 1), Ok(HandshakeKind::Full));
    for _ in 0..5 {
        assert_eq!(connect(&client, &server, 1), Ok(HandshakeKind::Resumed), "each brings the next ticket");
    }
    assert_eq!(connect(&client, &server, 2), Ok(HandshakeKind::Full), "another endpoint");
    // What the first server gave is worth nothing at another.
    assert_eq!(connect(&client, &other, 1), Ok(HandshakeKind::Full));
}

#[test]
fn whoever_is_not_trusted_any_more_is_refused_and_who_renewed_begins_anew() {
    let (old, new) = (Ca::new(), Ca::new());
    let (client, server) = (Client::new(&old, 3600), Server::new(&old));
    let both = Arc::new(Ca { pem: format!("{}{}", old.pem, new.pem), issuer: Ca::new().issuer }.bundle());
    assert_eq!(connect(&client, &server, 1), Ok(HandshakeKind::Full));
    assert_eq!(connect(&client, &server, 1), Ok(HandshakeKind::Resumed));
    // Each step of a rotation of the root: a full handshake that succeeds, and sessions again.
    for step in 0..4 {
        match step {
            0 => server.trust.set(Arc::clone(&both)),
            1 => client.trust.set(Arc::clone(&both)),
            2 => client.certificate.set(Arc::new(new.svid("client", 3600))),
            _ => server.certificate.set(Arc::new(new.svid("server", 3600))),
        }
        assert_eq!(connect(&client, &server, 1), Ok(HandshakeKind::Full), "{step}");
        assert_eq!(connect(&client, &server, 1), Ok(HandshakeKind::Resumed), "{step}");
    }
    // A client that stayed with the old root is not let in by its session.
    client.certificate.set(Arc::new(old.svid("client", 3600)));
    assert_eq!(connect(&client, &server, 1), Ok(HandshakeKind::Full));
    server.trust.set(Arc::new(new.bundle()));
    let refused = connect(&client, &server, 1).unwrap_err();
    assert!(refused.contains("authority"), "{refused}");
    // Nor is a server whose session the client has.
    client.certificate.set(Arc::new(new.svid("client", 3600)));
    assert_eq!(connect(&client, &server, 1), Ok(HandshakeKind::Full));
    client.trust.set(Arc::new(old.bundle()));
    assert!(connect(&client, &server, 1).is_err());
}

#[test]
fn a_session_is_not_kept_when_anything_changed_during_its_handshake() {
    let ca = Ca::new();
    let (client, server) = (Client::new(&ca, 3600), Server::new(&ca));
    let changes: [&dyn Fn(); 4] = [
        &|| client.certificate.set(Arc::new(ca.svid("client", 3600))),
        &|| client.trust.set(Arc::new(ca.bundle())),
        &|| server.certificate.set(Arc::new(ca.svid("server", 3600))),
        &|| server.trust.set(Arc::new(ca.bundle())),
    ];
    for (i, change) in changes.iter().enumerate() {
        // In a full handshake, and in one that resumes a session: what it brings carries the certificates of that session on.
        assert_eq!(connect_while(&client, &server, 1, change), Ok(HandshakeKind::Full), "{i}");
        assert_eq!(connect(&client, &server, 1), Ok(HandshakeKind::Full), "{i}");
        assert_eq!(connect_while(&client, &server, 1, change), Ok(HandshakeKind::Resumed), "{i}");
        assert_eq!(connect(&client, &server, 1), Ok(HandshakeKind::Full), "{i}");
        assert_eq!(connect(&client, &server, 1), Ok(HandshakeKind::Resumed), "{i}");
        // For the next one.
        client.trust.set(Arc::new(ca.bundle()));
    }
}

#[test]
fn a_session_does_not_outlive_the_certificate_that_it_began_with() {
    let ca = Ca::new();
    let (client, server) = (Client::new(&ca, 2), Server::new(&ca));
    assert_eq!(connect(&client, &server, 1), Ok(HandshakeKind::Full));
    assert_eq!(connect(&client, &server, 1), Ok(HandshakeKind::Resumed));
    // Certificates end with a whole second.
    let end = Instant::now() + Duration::from_secs(4);
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(100));
    }
    let refused = connect(&client, &server, 1).unwrap_err();
    assert!(refused.contains("expired"), "{refused}");
    client.certificate.set(Arc::new(ca.svid("client", 3600)));
    assert_eq!(connect(&client, &server, 1), Ok(HandshakeKind::Full), "whoever renews it is let in");
}

/// What it spares; printed, not asserted.
#[test]
fn the_time_of_full_and_of_resumed_handshakes() {
    let ca = Ca::new();
    let (client, server) = (Client::new(&ca, 3600), Server::new(&ca));
    let time = |port: &dyn Fn(u16) -> u16, kind: HandshakeKind| {
        let began = Instant::now();
        for i in 0..200 {
            assert_eq!(connect(&client, &server, port(i)), Ok(kind));
        }
        began.elapsed() / 200
    };
    let full = time(&|i| i + 1, HandshakeKind::Full);
    let resumed = time(&|_| 1, HandshakeKind::Resumed);
    eprintln!("both sides of a handshake on one core: {full:?} in full, {resumed:?} resumed");
}
