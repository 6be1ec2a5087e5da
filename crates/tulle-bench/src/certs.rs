//! Certificates for the mTLS hop, as a mesh would issue them: one root, two workloads with SPIFFE ids.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use std::fs;
use std::path::{Path, PathBuf};

/// PEM files.
pub(crate) struct Certs {
    pub(crate) root: PathBuf,
    pub(crate) client: Identity,
    pub(crate) server: Identity,
}

/// One workload's files.
pub(crate) struct Identity {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
    /// Chain and key in one file, as HAProxy wants it.
    pub(crate) both: PathBuf,
    pub(crate) spiffe: String,
}

impl Certs {
    /// Makes them in `folder`.
    pub(crate) fn create(folder: &Path) -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(vec![])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "bench root");
        let root = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let root_file = folder.join("root.pem");
        fs::write(&root_file, root.pem())?;
        let identity = |name: &str| identity(folder, name, &root);
        Ok(Self { client: identity("client")?, server: identity("server")?, root: root_file })
    }
}

fn identity(folder: &Path, name: &str, root: &CertifiedIssuer<'_, KeyPair>) -> anyhow::Result<Identity> {
    let spiffe = format!("spiffe://cluster.local/ns/bench/sa/{name}");
    let mut params = CertificateParams::new(vec![])?;
    params.subject_alt_names.push(SanType::URI(spiffe.as_str().try_into()?));
    params.extended_key_usages =
        vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, root)?;
    let file = |kind: &str| folder.join(format!("{name}-{kind}.pem"));
    let identity = Identity { chain: file("chain"), key: file("key"), both: file("both"), spiffe };
    fs::write(&identity.chain, certificate.pem())?;
    fs::write(&identity.key, key.serialize_pem())?;
    fs::write(&identity.both, certificate.pem() + &key.serialize_pem())?;
    Ok(identity)
}
