//! A control plane with a plugged-in intermediate, and workloads that it certifies.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, reason = "several tests share it")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::json;
use tokio::runtime::Runtime;
use tulle_base::SpiffeId;
use tulle_control::{Config, ControlPlane};
use tulle_identity::ca::CaClient;
use tulle_identity::connect::Connector;
use tulle_identity::rotate::Rotation;
use tulle_identity::{CertificateSource, Secrets, Trust, Watched};
use tulle_proxy::worker::Settings;
use tulle_proxy::workload::{Identity, bind, serve};
use tulle_store::{Memory, Store as _};

/// A CA that an offline root made, with the runtime that everything here runs on.
pub struct MeshCa {
    pub runtime: Runtime,
    pub dir: tempfile::TempDir,
    control: ControlPlane,
    signer: KeyPair,
}

/// A workload with a certificate, and the socket at which it gives identity away.
pub struct Workload {
    pub id: String,
    pub secrets: Secrets,
    pub socket: PathBuf,
}

impl Workload {
    pub fn settings(&self) -> Settings {
        Settings { secrets: self.secrets.clone(), ..Settings::default() }
    }
}

/// Key, intermediate and root in the layout of `cacerts`.
fn plug(dir: &Path) {
    let authority = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
        params
    };
    let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let root = authority("offline root").self_signed(&root_key).unwrap();
    let issuer = rcgen::Issuer::new(authority("offline root"), root_key);
    let intermediate = authority("intermediate").signed_by(&key, &issuer).unwrap();
    std::fs::create_dir_all(dir).unwrap();
    for (file, text) in [
        ("ca-key.pem", key.serialize_pem()),
        ("ca-cert.pem", intermediate.pem()),
        ("root-cert.pem", root.pem()),
        ("cert-chain.pem", intermediate.pem()),
    ] {
        std::fs::write(dir.join(file), text).unwrap();
    }
}

impl MeshCa {
    pub fn start() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let dir = tempfile::Builder::new().prefix("ca").tempdir_in("/tmp").unwrap();
        plug(&dir.path().join("cacerts"));
        let signer = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut config = Config::new(dir.path().to_owned(), signer.public_key_pem());
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        (config.plain, config.secure, config.monitoring) = (any, any, Vec::new());
        config.cacerts = Some(dir.path().join("cacerts"));
        let control = runtime.block_on(async {
            let store = Arc::new(Memory::new());
            for name in ["web", "cart"] {
                let pod = format!(
                    "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}-0, namespace: shop}}\n\
                     spec: {{serviceAccountName: {name}, containers: [{{name: app, image: app}}]}}\n"
                );
                for object in tulle_api::parse_manifests("pod.yaml", pod.as_bytes()).0 {
                    store.put(object).await.unwrap();
                }
            }
            let control = ControlPlane::start(config, store).await.unwrap();
            control.ready().await;
            control
        });
        std::fs::write(dir.path().join("root.pem"), &control.root_pem).unwrap();
        Self { runtime, dir, control, signer }
    }

    pub fn root_file(&self) -> PathBuf {
        self.dir.path().join("root.pem")
    }

    fn token(&self, account: &str) -> PathBuf {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({
            "iss": "https://kubernetes.default.svc.cluster.local", "aud": ["istio-ca"], "exp": now + 600,
            "sub": format!("system:serviceaccount:shop:{account}"),
            "kubernetes.io": {
                "namespace": "shop", "serviceaccount": {"name": account}, "pod": {"name": format!("{account}-0"), "uid": ""},
            },
        });
        let key = EncodingKey::from_ec_der(&self.signer.serialize_der());
        let path = self.dir.path().join(format!("token-{account}"));
        std::fs::write(&path, encode(&Header::new(Algorithm::ES256), &claims, &key).unwrap()).unwrap();
        path
    }

    /// A workload as a proxy sets it up: its own certificate at once, one to give away when somebody asks.
    pub fn workload(&self, account: &str) -> Workload {
        let _in_runtime = self.runtime.enter();
        let secrets = Secrets::default();
        let id = SpiffeId::new("cluster.local", "shop", account);
        let (own, bundle) = (secrets.certificate("default"), secrets.bundle("ROOTCA"));
        let connector = Connector::mesh(
            "istiod.istio-system.svc",
            vec![self.control.secure],
            self.root_file(),
            bundle.clone(),
            CertificateSource::one(own.clone()),
        );
        let issuer =
            Arc::new(CaClient::new(connector.unwrap().channel(), self.token(account), "Kubernetes".into()));
        let trust = Trust::new("cluster.local", Some(self.root_file()), bundle.clone());
        let rotation = |certificate, copy| Rotation {
            issuer: issuer.clone(),
            id: id.clone(),
            ttl: Duration::from_secs(3600),
            certificate,
            trust: trust.clone(),
            copy,
            status: Watched::empty(),
        };
        self.runtime.spawn(rotation(own.clone(), None).run());
        let svid = Watched::empty();
        let wanted = Arc::new(tokio::sync::Notify::new());
        let (copy, asked) = (rotation(Watched::empty(), Some(svid.clone())), wanted.clone());
        self.runtime.spawn(async move {
            asked.notified().await;
            copy.run().await;
        });
        let socket = self.dir.path().join(format!("{account}.sock"));
        let begin = Arc::new(move || wanted.notify_one());
        let identity = Identity { svid, bundle, begin, audit: Default::default() };
        self.runtime.spawn(serve(bind(&socket).unwrap(), identity));
        self.runtime.block_on(own.changed_since(0));
        Workload { id: id.to_string(), secrets, socket }
    }
}
