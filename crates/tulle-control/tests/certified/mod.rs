//! A control plane whose TLS port workloads reach with certificates that their tokens get them.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "tests share it, and not every one uses everything"
)]

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::json;
use tulle_api::parse_manifests;
use tulle_base::SpiffeId;
use tulle_control::{Config, ControlPlane};
use tulle_identity::ca::{CaClient, CaError, Issuer};
use tulle_identity::connect::Connector;
use tulle_identity::{Certificate, CertificateSource, Watched, WorkloadKey};
use tulle_store::{Memory, Store};
use tulle_xds::client;

/// A control plane with a signer of tokens.
pub struct World {
    pub control: ControlPlane,
    pub store: Arc<Memory>,
    signer: KeyPair,
    dir: tempfile::TempDir,
}

impl World {
    pub async fn start(ttl: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let signer = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut config = Config::new(dir.path().to_owned(), signer.public_key_pem());
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        (config.plain, config.secure, config.monitoring) = (any, any, Vec::new());
        config.cert_ttl = ttl;
        let store = Arc::new(Memory::new());
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: cart-0, namespace: shop}\n\
                   spec: {serviceAccountName: cart, containers: [{name: cart, image: cart}]}\n";
        for object in parse_manifests("pod.yaml", pod.as_bytes()).0 {
            store.put(object).await.unwrap();
        }
        let control = ControlPlane::start(config, store.clone()).await.unwrap();
        control.ready().await;
        std::fs::write(dir.path().join("root.pem"), &control.root_pem).unwrap();
        Self { control, store, signer, dir }
    }

    pub async fn token(&self, account: &str) -> PathBuf {
        let reference = tulle_base::ResourceRef::new("", "Pod", "shop", "cart-0");
        let uid = self.store.get(&reference).await.unwrap().map(|p| p.meta.uid.clone());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({
            "iss": "https://kubernetes.default.svc.cluster.local", "aud": ["istio-ca"], "exp": now + 600,
            "sub": format!("system:serviceaccount:shop:{account}"),
            "kubernetes.io": {
                "namespace": "shop", "serviceaccount": {"name": account},
                "pod": {"name": "cart-0", "uid": uid.unwrap_or_else(|| "gone".into())},
            },
        });
        let key = EncodingKey::from_ec_der(&self.signer.serialize_der());
        let token = encode(&Header::new(Algorithm::ES256), &claims, &key).unwrap();
        let path = self.dir.path().join(format!("token-{account}"));
        std::fs::write(&path, token).unwrap();
        path
    }

    pub fn connector(&self, own: Watched<Certificate>) -> Connector {
        let roots = self.dir.path().join("root.pem");
        let own = CertificateSource::one(own);
        let known = Watched::empty();
        Connector::mesh("istiod.istio-system.svc", vec![self.control.secure], roots, known, own).unwrap()
    }

    /// A certificate for `account`, as its token gets it.
    pub async fn certify(&self, account: &str) -> Result<Watched<Certificate>, CaError> {
        let key = WorkloadKey::generate().unwrap();
        let csr = key.signing_request(&SpiffeId::new("cluster.local", "shop", account)).unwrap();
        let channel = self.connector(Watched::empty()).channel();
        let ca = CaClient::new(channel, self.token(account).await, "Kubernetes".into());
        let issued = ca.issue(csr, Duration::from_secs(3600)).await?;
        Ok(Watched::of(Certificate::issued(issued.chain, &key)?))
    }

    /// Connections that show `own`.
    pub fn secure(&self, own: Watched<Certificate>) -> client::Connector {
        let connector = self.connector(own);
        client::connector(move || {
            let connector = connector.clone();
            async move { connector.connect().await.map_err(io::Error::other) }
        })
    }

    pub async fn put(&self, yaml: &str) {
        let (objects, problems) = parse_manifests("x.yaml", yaml.as_bytes());
        assert!(problems.iter().all(|p| p.severity != tulle_base::Severity::Error), "{problems:?}");
        for object in objects {
            self.store.put(object).await.unwrap();
        }
    }
}
