//! The signing key and what is signed with it.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as STANDARD;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyUsagePurpose, NameConstraints, PublicKeyData, SanType, SerialNumber,
    SubjectPublicKeyInfo, date_time_ymd,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use tulle_base::SpiffeId;
use tulle_identity::material::MaterialError;
use tulle_identity::{CertInfo, Certificate, WorkloadKey};
use zeroize::Zeroizing;

use crate::csr::SigningRequest;
use crate::files;
use crate::key::{CaKey, CaKeyError};

/// How long a self-signed root is valid: ten years, as Istio's.
const ROOT_LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);
/// How far back certificates begin, for clocks that are behind; as Istio's, but at most a tenth of the certificate's life, so that
/// whoever renews at half of it does not renew at once.
const BACKDATE: Duration = Duration::from_secs(120);

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of the layout is missing.
    #[error("{0} is missing")]
    Missing(PathBuf),
    /// The certificate cannot be read.
    #[error("{path}: not a CA certificate: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the library said.
        source: rcgen::Error,
    },
    /// The key cannot be read.
    #[error("{path}: {source}")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CaKeyError,
    },
    /// Others than the owner may read the key.
    #[error("{path}: its mode is {mode:o}, so that others may read the signing key; chmod 600 it")]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The folder holds another root than the one in force.
    #[error(
        "{folder}: neither root-cert.pem nor next-root-cert.pem is the root in force ({path}); workloads that trust that root would \
         refuse those certified by another: put the new files beside the old ones as next-*.pem and run tulle ca rotate, \
         or remove {path} to break with the old root"
    )]
    OtherRoot {
        /// The folder.
        folder: PathBuf,
        /// The file with the roots in force.
        path: PathBuf,
    },
    /// The record of a rotation cannot be read.
    #[error("{path}: not the state of a rotation: {reason}")]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No certificate is in a file.
    #[error("{0} holds no certificate")]
    NoCertificate(PathBuf),
    /// What is signed with the key would not be believed by those who trust the root.
    #[error("certificates signed with this key do not lead to the root: {0}")]
    Unproven(webpki::Error),
    /// The library failed at something that does not depend on input.
    #[error("the root cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// A first certificate could not be issued.
    #[error("a first certificate cannot be issued: {0}")]
    First(#[from] IssueError),
}

/// Why something was not signed.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The signing certificate has expired, or is about to.
    #[error("the signing certificate expires too soon; rotate the CA")]
    Expired,
    /// A name cannot be written into a certificate.
    #[error("{0:?} cannot be a name in a certificate")]
    Name(String),
    /// The system gives no randomness.
    #[error("no randomness for a serial number")]
    Random,
    /// The library refuses.
    #[error("signing failed: {0}")]
    Sign(#[from] rcgen::Error),
    /// What was issued cannot be used (serving certificates only).
    #[error(transparent)]
    Material(#[from] MaterialError),
    /// A key could not be made (serving certificates only).
    #[error(transparent)]
    Key(#[from] tulle_identity::key::KeyError),
}

/// What was signed.
#[derive(Clone, Debug)]
pub struct Issued {
    /// PEM: the certificate, then intermediates; without the root.
    pub chain: Vec<String>,
    /// Serial number, lower-case hex.
    pub serial: String,
    /// When it expires.
    pub not_after: SystemTime,
}

/// A signing key with its certificates. The key can be used, but not seen.
pub struct Authority {
    issuer: Issuer<'static, CaKey>,
    signing: CertificateDer<'static>,
    /// From the signing certificate towards the root, the root left out.
    intermediates: Vec<CertificateDer<'static>>,
    roots: Vec<CertificateDer<'static>>,
    not_after: SystemTime,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

impl Authority {
    /// The self-signed root of `state_dir`; made at the first start (ECDSA P-256, ten years). A file that is there but cannot be
    /// used is an error, never replaced: every workload trusts the root that it has.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub fn self_signed(
        state_dir: &Path,
        trust_domain: &str,
        now: SystemTime,
    ) -> Result<Self, AuthorityError> {
        let path = files::root_file(state_dir);
        let io = |source| AuthorityError::File { path: path.clone(), source };
        let stored = files::read(&path).map_err(io)?;
        let pem = match stored {
            Some(pem) => {
                let mode = files::mode(&path).map_err(io)?;
                if mode & 0o077 != 0 {
                    return Err(AuthorityError::Mode { path, mode });
                }
                pem
            }
            None => {
                let pem = Self::make(trust_domain, now)?;
                files::write_private(&path, &pem).map_err(io)?;
                tracing::info!(path = %path.display(), "made a new root certificate");
                pem
            }
        };
        Self::from_pem(&pem, &path, now)
    }

    /// Key and self-signed root in one text, which was read from `path`.
    pub(crate) fn from_pem(pem: &str, path: &Path, now: SystemTime) -> Result<Self, AuthorityError> {
        let roots = certificates(pem, path)?;
        Self::new(pem, roots.first().cloned().into_iter().collect(), roots, path, now)
    }

    /// A key that somebody else made, in the layout of Istio's `cacerts`: `ca-key.pem`, `ca-cert.pem`, `root-cert.pem` and, where
    /// there is more between the two, `cert-chain.pem`.
    ///
    /// # Errors
    /// [`AuthorityError`], also when the four do not belong together.
    pub fn plugged(dir: &Path, now: SystemTime) -> Result<Self, AuthorityError> {
        Self::plugged_as(dir, "", now)
    }

    /// The same, with `prefix` before the name of each file.
    pub(crate) fn plugged_as(dir: &Path, prefix: &str, now: SystemTime) -> Result<Self, AuthorityError> {
        let load = |name: &str| {
            let path = dir.join(format!("{prefix}{name}"));
            let text =
                files::read(&path).map_err(|source| AuthorityError::File { path: path.clone(), source })?;
            Ok::<_, AuthorityError>((path, text))
        };
        let need = |name: &str| {
            let (path, text) = load(name)?;
            let text = text.ok_or_else(|| AuthorityError::Missing(path.clone()))?;
            Ok::<_, AuthorityError>((path, text))
        };
        let (key_path, key) = need("ca-key.pem")?;
        let (cert_path, cert) = need("ca-cert.pem")?;
        let (root_path, root) = need("root-cert.pem")?;
        if let Ok(mode) = files::mode(&key_path)
            && mode & 0o007 != 0
        {
            tracing::warn!(path = %key_path.display(), mode = format_args!("{mode:o}"), "anybody may read the signing key");
        }
        let roots = certificates(&root, &root_path)?;
        let mut chain = certificates(&cert, &cert_path)?;
        if let (path, Some(more)) = load("cert-chain.pem")? {
            for certificate in certificates(&more, &path)? {
                if !chain.contains(&certificate) {
                    chain.push(certificate);
                }
            }
        }
        Self::new(&key, chain, roots, &key_path, now)
    }

    fn new(
        key: &str,
        chain: Vec<CertificateDer<'static>>,
        roots: Vec<CertificateDer<'static>>,
        path: &Path,
        now: SystemTime,
    ) -> Result<Self, AuthorityError> {
        let unreadable = |source| AuthorityError::Unreadable { path: path.to_owned(), source };
        let signing = chain.first().ok_or_else(|| AuthorityError::NoCertificate(path.to_owned()))?.clone();
        let key =
            CaKey::from_pem(key).map_err(|source| AuthorityError::Key { path: path.to_owned(), source })?;
        let issuer = Issuer::from_ca_cert_der(&signing, key).map_err(unreadable)?;
        let info = CertInfo::read(&signing).map_err(|_| AuthorityError::NoCertificate(path.to_owned()))?;
        let not_after = UNIX_EPOCH + Duration::from_secs(u64::try_from(info.not_after).unwrap_or(0));
        let intermediates = chain.into_iter().filter(|c| !roots.contains(c)).collect();
        let authority = Self { issuer, signing, intermediates, roots, not_after };
        authority.prove(now)?;
        Ok(authority)
    }

    /// Signs a workload certificate for `id`, valid for `ttl` or until the signing certificate expires, whichever is first.
    ///
    /// # Errors
    /// [`IssueError`].
    pub fn issue(
        &self,
        id: &SpiffeId,
        request: &SigningRequest,
        ttl: Duration,
        now: SystemTime,
    ) -> Result<Issued, IssueError> {
        let key = SubjectPublicKeyInfo::from_der(request.public_key())?;
        let (der, serial, not_after) = self.sign(&key, vec![uri(id)?], ttl, now)?;
        let mut chain = vec![pem(&der)];
        chain.extend(self.intermediates.iter().map(pem));
        Ok(Issued { chain, serial, not_after })
    }

    /// Makes a key and a certificate for the control plane itself, with `id` and DNS names. The key stays in this process.
    ///
    /// # Errors
    /// [`IssueError`].
    pub fn serving_certificate(
        &self,
        id: &SpiffeId,
        dns: &[String],
        ttl: Duration,
        now: SystemTime,
    ) -> Result<Certificate, IssueError> {
        let mut names = vec![uri(id)?];
        for name in dns {
            names.push(SanType::DnsName(ia5(name)?));
        }
        let key = WorkloadKey::generate()?;
        let (leaf, _, _) = self.sign(&key, names, ttl, now)?;
        let mut chain = vec![leaf];
        chain.extend(self.intermediates.iter().cloned());
        Ok(Certificate::issued(chain, &key)?)
    }

    /// The root(s), PEM: what workloads are given to trust.
    pub fn root_pem(&self) -> String {
        self.roots.iter().map(pem).collect()
    }

    /// The root(s), DER.
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// The signing certificate, DER.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.signing
    }

    /// When the signing certificate expires.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    fn sign(
        &self,
        key: &impl PublicKeyData,
        names: Vec<SanType>,
        ttl: Duration,
        now: SystemTime,
    ) -> Result<(CertificateDer<'static>, String, SystemTime), IssueError> {
        let not_after = (now + ttl).min(self.not_after);
        if not_after <= now {
            return Err(IssueError::Expired);
        }
        let serial = random_serial()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = names;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.not_before =
            date_time_ymd(1970, 1, 1) + since_epoch(now.checked_sub(BACKDATE.min(ttl / 10)).unwrap_or(now));
        params.not_after = date_time_ymd(1970, 1, 1) + since_epoch(not_after);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(key, &self.issuer)?;
        let serial = serial.iter().map(|b| format!("{b:02x}")).collect();
        Ok((certificate.der().clone(), serial, not_after))
    }

    /// A new root: key and certificate in PEM, one after the other.
    pub(crate) fn make(trust_domain: &str, now: SystemTime) -> Result<Zeroizing<String>, AuthorityError> {
        let path = PathBuf::from("a new root");
        let (key, mut pem) = CaKey::generate().map_err(|source| AuthorityError::Key { path, source })?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, trust_domain);
        params.distinguished_name.push(DnType::CommonName, "Tulle root CA");
        params.serial_number = Some(SerialNumber::from_slice(&random_serial()?));
        params.not_before = date_time_ymd(1970, 1, 1) + since_epoch(now.checked_sub(BACKDATE).unwrap_or(now));
        params.not_after = date_time_ymd(1970, 1, 1) + since_epoch(now + ROOT_LIFE);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.name_constraints = Some(constraints(trust_domain));
        let certificate = params.self_signed(&key)?;
        pem.push_str(&certificate.pem());
        Ok(pem)
    }

    /// Issues a certificate and verifies it as a workload would.
    fn prove(&self, now: SystemTime) -> Result<(), AuthorityError> {
        let probe = WorkloadKey::generate().map_err(IssueError::Key)?;
        let id = SpiffeId::new("probe", "probe", "probe");
        let (leaf, _, _) = self.sign(&probe, vec![uri(&id)?], Duration::from_secs(60), now)?;
        let anchors: Result<Vec<_>, _> = self.roots.iter().map(webpki::anchor_from_trusted_cert).collect();
        let anchors = anchors.map_err(AuthorityError::Unproven)?;
        let leaf = webpki::EndEntityCert::try_from(&leaf).map_err(AuthorityError::Unproven)?;
        leaf.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            &self.intermediates,
            UnixTime::since_unix_epoch(since_epoch(now)),
            webpki::KeyUsage::server_auth(),
            None,
            None,
        )
        .map(drop)
        .map_err(AuthorityError::Unproven)
    }
}

/// What a root of ours may certify beside SPIFFE ids: the control plane's names within the cluster, and no address. Constraints on
/// URIs would have every SVID refused by verifiers that do not know them (webpki among them); that an SVID is of the right trust
/// domain is checked by name.
fn constraints(trust_domain: &str) -> NameConstraints {
    let mut names = vec!["svc", "cluster.local", "istio-system"];
    if !trust_domain.is_empty() && !names.contains(&trust_domain) {
        names.push(trust_domain);
    }
    NameConstraints {
        permitted_subtrees: names.into_iter().map(|n| GeneralSubtree::DnsName(n.to_owned())).collect(),
        excluded_subtrees: vec![
            GeneralSubtree::IpAddress(CidrSubnet::V4([0; 4], [0; 4])),
            GeneralSubtree::IpAddress(CidrSubnet::V6([0; 16], [0; 16])),
        ],
    }
}

/// 127 random bits: positive, and at most 20 bytes (RFC 5280 section 4.1.2.2).
fn random_serial() -> Result<[u8; 16], IssueError> {
    let mut serial = [0u8; 16];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_| IssueError::Random)?;
    serial[0] = (serial[0] & 0x7f) | 0x40;
    Ok(serial)
}

pub(crate) fn certificates(pem: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, AuthorityError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(AuthorityError::NoCertificate(path.to_owned())),
    }
}

/// RFC 7468.
pub(crate) fn pem(der: &CertificateDer<'static>) -> String {
    let encoded = STANDARD.encode(der);
    let mut text = String::with_capacity(encoded.len() + encoded.len() / 64 + 60);
    text.push_str("-----BEGIN CERTIFICATE-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

fn uri(id: &SpiffeId) -> Result<SanType, IssueError> {
    Ok(SanType::URI(ia5(&id.to_string())?))
}

fn ia5(name: &str) -> Result<Ia5String, IssueError> {
    Ia5String::try_from(name).map_err(|_| IssueError::Name(name.to_owned()))
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}
