//! The rotation against a CA in the same process, with short lives.

#![allow(clippy::unwrap_used, reason = "a failure here is the test failing")]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer as Signer, KeyPair,
};
use rustls_pki_types::CertificateDer;
use tulle_base::SpiffeId;
use tulle_identity::ca::{CaError, Issued, Issuer};
use tulle_identity::rotate::Rotation;
use tulle_identity::{Secrets, Trust, Watched};

/// Signs everything for four seconds, after failing `failures` times.
struct TestCa {
    signer: Signer<'static, KeyPair>,
    root: CertificateDer<'static>,
    failures: u64,
    asked: AtomicU64,
}

impl TestCa {
    fn new(failures: u64) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap().der().clone();
        Self { signer: Signer::new(params, key), root, failures, asked: AtomicU64::new(0) }
    }

    fn sign(&self, request: &str) -> Result<Issued, CaError> {
        if self.asked.fetch_add(1, Ordering::Relaxed) < self.failures {
            return Err(tonic::Status::unavailable("not yet").into());
        }
        let mut request = CertificateSigningRequestParams::from_pem(request).unwrap();
        let now = x509_parser::time::ASN1Time::now().to_datetime();
        request.params.not_before = now;
        request.params.not_after = now + Duration::from_secs(4);
        let leaf = request.signed_by(&self.signer).unwrap();
        Ok(Issued { chain: vec![leaf.der().clone()], roots: vec![self.root.clone()] })
    }
}

impl Issuer for TestCa {
    fn issue(
        &self,
        request: String,
        _ttl: Duration,
    ) -> Pin<Box<dyn Future<Output = Result<Issued, CaError>> + Send + '_>> {
        Box::pin(async move { self.sign(&request) })
    }
}

fn rotation(ca: Arc<TestCa>, secrets: &Secrets) -> Rotation {
    Rotation {
        issuer: ca,
        id: SpiffeId::new("cluster.local", "shop", "cart"),
        ttl: Duration::from_secs(4),
        certificate: secrets.certificate("default"),
        trust: Trust::new("cluster.local", None, secrets.bundle("ROOTCA")),
        copy: None,
        status: Watched::empty(),
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_certificate_comes_after_failures_and_is_replaced_at_half_of_its_life() {
    let secrets = Secrets::default();
    let ca = Arc::new(TestCa::new(2));
    let rotation = rotation(Arc::clone(&ca), &secrets);
    let (status, cell) = (rotation.status.clone(), secrets.certificate("default"));
    let task = tokio::spawn(rotation.run());

    let first = tokio::time::timeout(Duration::from_secs(5), cell.changed_since(0)).await.unwrap();
    let serial = cell.get().unwrap().info().serial.clone();
    assert_eq!(cell.get().unwrap().info().uri_sans, ["spiffe://cluster.local/ns/shop/sa/cart"]);
    assert_eq!(secrets.bundle("ROOTCA").get().unwrap().trust_domains(), ["cluster.local"]);
    tokio::task::yield_now().await;
    assert_eq!(status.get().map(|s| (s.issued, s.failures)), Some((1, 2)));

    tokio::time::timeout(Duration::from_secs(4), cell.changed_since(first)).await.unwrap();
    assert_ne!(cell.get().unwrap().info().serial, serial);
    task.abort();
}
