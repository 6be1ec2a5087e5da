//! Roots of others in what proxies are given to trust: `caCertificates` and `trustDomainAliases` of the mesh's settings.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod support;

use prost::Message as _;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use support::{Mesh, Proxy, accept_all};
use tulle_proto::trust::TrustBundle;
use tulle_proto::type_url;

fn root() -> rcgen::Certificate {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap()
}

fn settings(lines: &str) -> String {
    let lines: String = lines.lines().map(|l| format!("    {l}\n")).collect();
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: |\n{lines}"
    )
}

fn quoted(certificate: &rcgen::Certificate) -> String {
    serde_json::to_string(&certificate.pem()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_are_given_the_roots_of_others_with_whom_they_speak_for() {
    let mesh = Mesh::start("").await;
    let proxy = Proxy::connect(&mesh, "cart-0", accept_all);
    let bundle = |held: &std::collections::BTreeMap<(String, String), bytes::Bytes>| {
        let found = held.get(&(type_url::TRUST_BUNDLE.to_owned(), "default".to_owned()));
        found.map(|bytes| TrustBundle::decode(bytes.clone()).unwrap())
    };
    proxy
        .until("the first bundle", |held| {
            bundle(held).is_some_and(|b| {
                let [own] = &b.domains[..] else { return false };
                own.names == ["cluster.local"] && own.roots == b.signing_roots && own.roots.len() == 1
            })
        })
        .await;
    let (partner, more) = (root(), root());
    mesh.put(&settings(&format!(
        "trustDomainAliases: [old.example]\ncaCertificates:\n- {{pem: {}, trustDomains: [partner.example]}}\n- {{pem: {}}}\n\
         - {{pem: nonsense, trustDomains: [broken.example]}}\n\
         - {{spiffeBundleUrl: 'https://127.0.0.1:1/bundle', trustDomains: [unreachable.example]}}",
        quoted(&partner),
        quoted(&more)
    )));
    proxy
        .until("the roots of others", |held| {
            bundle(held).is_some_and(|b| {
                let [own, other] = &b.domains[..] else { return false };
                own.names == ["cluster.local", "old.example"]
                    && own.roots.len() == 2
                    && own.roots[1] == more.der().to_vec()
                    && other.names == ["partner.example"]
                    && other.roots == [partner.der().to_vec()]
                    && b.signing_roots.len() == 1
            })
        })
        .await;
    mesh.put(&settings("trustDomainAliases: []"));
    proxy.until("the end of that", |held| bundle(held).is_some_and(|b| b.domains.len() == 1)).await;
    mesh.control.stop().await;
}
