//! The API's certificate, from an authority of its own that is made once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::access::write_private;

/// How long the authority is valid, and how long a certificate that is made at each start.
const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);
const LIFE: Duration = Duration::from_secs(398 * 86_400);
/// For clocks that are behind.
const BACKDATE: Duration = Duration::from_secs(300);
/// Names that the API is called by.
const NAMES: [&str; 5] = [
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The authority's file holds something else.
    #[error("{}: not a key and a CA certificate; remove it to have a new one made (kubeconfig files change then)", .0.display())]
    Unreadable(PathBuf),
    /// A certificate cannot be made.
    #[error("the API's certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// The TLS library refuses.
    #[error("the API's certificate cannot be used: {0}")]
    Use(#[from] rustls::Error),
}

/// The server's side of TLS, and the certificate of its authority in PEM for clients.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// For the server.
    pub config: Arc<ServerConfig>,
    /// For clients.
    pub authority: String,
}

/// A certificate for loopback names, signed by the authority in `file`, which is made if it is not there (ECDSA P-256, ten
/// years, readable for this user alone). HTTP/2 and HTTP/1.1 are offered.
///
/// # Errors
/// [`TlsError`].
pub fn server_tls(file: &Path) -> Result<ServerTls, TlsError> {
    let failed = |source| TlsError::File { path: file.to_owned(), source };
    let pem = match fs::read_to_string(file) {
        Ok(pem) => pem,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let pem = make_authority()?;
            write_private(file, pem.as_bytes()).map_err(failed)?;
            pem
        }
        Err(e) => return Err(failed(e)),
    };
    let unreadable = || TlsError::Unreadable(file.to_owned());
    let key = KeyPair::from_pem(&pem).map_err(|_| unreadable())?;
    let start = pem.find("-----BEGIN CERTIFICATE-----").ok_or_else(unreadable)?;
    let authority = pem[start..].to_owned();
    let authority_der = CertificateDer::from_pem_slice(authority.as_bytes()).map_err(|_| unreadable())?;
    let issuer = Issuer::from_ca_cert_der(&authority_der, key).map_err(|_| unreadable())?;
    let own_key = KeyPair::generate()?;
    let certificate = parameters(LIFE, "tulle API")?.signed_by(&own_key, &issuer)?;
    let own_key = PrivateKeyDer::try_from(own_key.serialize_der()).map_err(|_| unreadable())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], own_key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(ServerTls { config: Arc::new(config), authority })
}

fn make_authority() -> Result<String, TlsError> {
    let key = KeyPair::generate()?;
    let mut params = parameters(AUTHORITY_LIFE, "tulle API authority")?;
    params.subject_alt_names.clear();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages.clear();
    let certificate = params.self_signed(&key)?;
    Ok(format!("{}{}", key.serialize_pem(), certificate.pem()))
}

fn parameters(life: Duration, name: &str) -> Result<CertificateParams, TlsError> {
    let mut params = CertificateParams::default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    params.not_before = date_time_ymd(1970, 1, 1) + now.saturating_sub(BACKDATE);
    params.not_after = date_time_ymd(1970, 1, 1) + now + life;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names = vec![
        SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()),
        SanType::IpAddress(std::net::Ipv6Addr::LOCALHOST.into()),
    ];
    for name in NAMES {
        params.subject_alt_names.push(SanType::DnsName(Ia5String::try_from(name)?));
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        let first = server_tls(&file).unwrap();
        assert_eq!(server_tls(&file).unwrap().authority, first.authority);
        assert!(!first.authority.contains("PRIVATE"));
        fs::write(&file, "rubbish").unwrap();
        assert!(matches!(server_tls(&file), Err(TlsError::Unreadable(_))));
    }
}
