//! Mutual TLS in tests: an authority, identities, and transport sockets that ask for them.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, IsCa, KeyPair, SanType,
};
use serde_json::{Value, json};
use tulle_identity::{Certificate, Secrets, TrustBundle};
use tulle_proxy::worker::Settings;

/// The identity of clients.
pub const CLIENT: &str = "spiffe://cluster.local/ns/shop/sa/web";
/// The identity of servers.
pub const SERVER: &str = "spiffe://cluster.local/ns/shop/sa/cart";

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn issue(&self, uri: &str) -> Certificate {
        self.issue_for(uri, &[])
    }

    /// A certificate that carries host names too.
    pub fn issue_for(&self, uri: &str, hosts: &[&str]) -> Certificate {
        let hosts: Vec<String> = hosts.iter().map(|h| (*h).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        Certificate::from_pem(cert.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    /// A certificate with its key, as PEM; its subject is not its issuer's, which would mean that it signed itself.
    pub fn written(&self, uri: &str) -> (String, String) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    /// The authority's own certificate, as PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn settings(&self, uri: &str) -> Settings {
        let secrets = Secrets::default();
        secrets.certificate("default").set(Arc::new(self.issue(uri)));
        secrets.bundle("ROOTCA").set(Arc::new(TrustBundle::from_pem(self.0.pem().as_bytes()).unwrap()));
        Settings { secrets, ..Settings::default() }
    }
}

fn common_tls(alpn: &[&str], san: Option<&str>) -> Value {
    let mut validation = json!({});
    if let Some(san) = san {
        validation =
            json!({ "match_typed_subject_alt_names": [{ "san_type": "URI", "matcher": { "exact": san } }] });
    }
    json!({
        "alpn_protocols": alpn,
        "tls_certificate_sds_secret_configs": [{ "name": "default", "sds_config": { "ads": {} } }],
        "combined_validation_context": {
            "default_validation_context": validation,
            "validation_context_sds_secret_config": { "name": "ROOTCA", "sds_config": { "ads": {} } },
        },
    })
}

pub fn server_tls(alpn: &[&str]) -> Value {
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": common_tls(alpn, None),
            "require_client_certificate": true,
        },
    })
}

pub fn over_tls(mut cluster: Value, alpn: &[&str], san: &str) -> Value {
    cluster["transport_socket"] = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": common_tls(alpn, Some(san)),
            "sni": "outbound_.80_._.cart.shop.svc.cluster.local",
        },
    });
    cluster
}
