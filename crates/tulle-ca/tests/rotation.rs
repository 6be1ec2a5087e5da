//! From one root to the next, over the end of the process at every step.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::path::Path;
use std::time::SystemTime;

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair};
use tulle_ca::{Authorities, Phase, RotateError, fingerprint};

struct Kept {
    dir: tempfile::TempDir,
    cacerts: Option<tempfile::TempDir>,
}

impl Kept {
    fn self_signed() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), cacerts: None }
    }

    /// What a process finds that starts now.
    fn open(&self) -> Authorities {
        self.try_open().unwrap()
    }

    fn try_open(&self) -> Result<Authorities, tulle_ca::AuthorityError> {
        let cacerts = self.cacerts.as_ref().map(tempfile::TempDir::path);
        Authorities::open(self.dir.path(), cacerts, "cluster.local", SystemTime::now())
    }
}

/// The signing root, everything trusted, and the phase.
fn state(authorities: &Authorities) -> (String, Vec<String>, Phase) {
    let now = authorities.current();
    let all = now.roots().iter().map(fingerprint).collect();
    (fingerprint(&now.signing.roots()[0]), all, now.phase)
}

fn key_files(dir: &Path) -> usize {
    let files = std::fs::read_dir(dir.join("ca")).unwrap();
    files
        .filter(|f| std::fs::read_to_string(f.as_ref().unwrap().path()).unwrap().contains("PRIVATE KEY"))
        .count()
}

#[test]
fn a_rotation_goes_on_where_it_was() {
    let kept = Kept::self_signed();
    let now = SystemTime::now();
    let (old, trusted, phase) = state(&kept.open());
    assert_eq!((trusted, phase), (vec![old.clone()], Phase::Steady));

    kept.open().begin(now).unwrap();
    let (signing, trusted, phase) = state(&kept.open());
    assert_eq!((&signing, phase, trusted.len()), (&old, Phase::Distributing, 2));
    let new = trusted[1].clone();
    let refused = kept.open().begin(now).unwrap_err();
    assert!(matches!(refused, RotateError::UnderWay(Phase::Distributing)), "{refused}");

    assert_eq!(kept.open().advance(now).unwrap(), Phase::Reissuing);
    let reopened = kept.open();
    let (signing, trusted, phase) = state(&reopened);
    assert_eq!((&signing, phase), (&new, Phase::Reissuing));
    assert_eq!(trusted, [new.clone(), old.clone()], "the old one is still trusted");

    assert_eq!(kept.open().advance(now).unwrap(), Phase::Steady);
    assert_eq!(state(&kept.open()), (new.clone(), vec![new], Phase::Steady));
    assert!(matches!(kept.open().advance(now), Err(RotateError::None)));
    assert_eq!(key_files(kept.dir.path()), 1, "the old key is gone");
}

#[test]
fn an_abort_leads_back() {
    let kept = Kept::self_signed();
    let now = SystemTime::now();
    let (old, ..) = state(&kept.open());
    assert!(matches!(kept.open().abort(now), Err(RotateError::None)));
    kept.open().begin(now).unwrap();
    assert_eq!(kept.open().abort(now).unwrap(), Phase::Steady);
    assert_eq!(state(&kept.open()), (old.clone(), vec![old.clone()], Phase::Steady));
    assert_eq!(key_files(kept.dir.path()), 1);

    // With certificates of the new root about, the way back is a rotation.
    kept.open().begin(now).unwrap();
    kept.open().advance(now).unwrap();
    assert_eq!(kept.open().abort(now).unwrap(), Phase::Reissuing);
    let back = kept.open();
    let (signing, trusted, _) = state(&back);
    assert_eq!((&signing, trusted.len(), back.current().aborting), (&old, 2, true));
    assert_eq!(kept.open().advance(now).unwrap(), Phase::Steady);
    assert_eq!(state(&kept.open()), (old.clone(), vec![old], Phase::Steady));
}

/// The end comes between the two writes that finish a rotation: it is finished again.
#[test]
fn the_end_at_the_last_moment_does_no_harm() {
    let kept = Kept::self_signed();
    let now = SystemTime::now();
    kept.open().begin(now).unwrap();
    kept.open().advance(now).unwrap();
    let file = kept.dir.path().join("ca/rotation.json");
    let state_file = std::fs::read(&file).unwrap();
    kept.open().advance(now).unwrap();
    let (new, ..) = state(&kept.open());
    std::fs::write(&file, state_file).unwrap();
    let (signing, _, phase) = state(&kept.open());
    assert_eq!((signing, phase), (new.clone(), Phase::Reissuing));
    assert_eq!(kept.open().advance(now).unwrap(), Phase::Steady);
    assert_eq!(state(&kept.open()).0, new);
}

#[test]
fn a_broken_state_is_refused_without_telling_keys() {
    let kept = Kept::self_signed();
    kept.open().begin(SystemTime::now()).unwrap();
    let file = kept.dir.path().join("ca/rotation.json");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, &text[..text.len() - 20]).unwrap();
    let error = kept.try_open().unwrap_err().to_string();
    assert!(error.contains("rotation.json") && !error.contains("PRIVATE"), "{error}");
    assert!(
        !format!("{:?}", {
            std::fs::write(&file, text).unwrap();
            kept.open()
        })
        .contains("PRIVATE")
    );
}

#[test]
fn only_the_owner_may_read_keys() {
    use std::os::unix::fs::PermissionsExt;
    let kept = Kept::self_signed();
    kept.open().begin(SystemTime::now()).unwrap();
    for file in ["ca/root.pem", "ca/rotation.json"] {
        let mode = std::fs::metadata(kept.dir.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let root = kept.dir.path().join("ca/root.pem");
    std::fs::remove_file(kept.dir.path().join("ca/rotation.json")).unwrap();
    std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o640)).unwrap();
    let error = kept.try_open().unwrap_err().to_string();
    assert!(error.contains("640") && error.contains("chmod 600"), "{error}");
}

/// Writes an authority that an offline root made, as somebody plugs it in.
fn plug(dir: &Path, prefix: &str, name: &str, rsa: bool) {
    let authority = |cn: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, cn);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let root_key = KeyPair::generate().unwrap();
    let root_params = authority(&format!("{name} root"));
    let root = root_params.clone().self_signed(&root_key).unwrap();
    let issuer = rcgen::Issuer::new(root_params, root_key);
    let key = if rsa {
        KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap()
    } else {
        KeyPair::generate().unwrap()
    };
    let certificate = authority(&format!("{name} intermediate")).signed_by(&key, &issuer).unwrap();
    let write = |file: &str, text: String| std::fs::write(dir.join(format!("{prefix}{file}")), text).unwrap();
    write("ca-key.pem", key.serialize_pem());
    write("ca-cert.pem", certificate.pem());
    write("root-cert.pem", root.pem());
    write("cert-chain.pem", format!("{}{}", certificate.pem(), root.pem()));
}

#[test]
fn plugged_in_keys_rotate_to_those_beside_them() {
    let kept = Kept { cacerts: Some(tempfile::tempdir().unwrap()), ..Kept::self_signed() };
    let folder = kept.cacerts.as_ref().unwrap().path().to_owned();
    let now = SystemTime::now();
    plug(&folder, "", "first", true);
    let (first, ..) = state(&kept.open());
    let none = kept.open().begin(now).unwrap_err();
    assert!(none.to_string().contains("next-ca-key.pem"), "{none}");

    // Other files in place of the old ones would break the mesh.
    let aside = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(&folder).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), aside.path().join(file.file_name())).unwrap();
    }
    plug(&folder, "", "other", false);
    let error = kept.try_open().unwrap_err().to_string();
    assert!(error.contains("tulle ca rotate") && error.contains("in-force.pem"), "{error}");
    for file in std::fs::read_dir(aside.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), folder.join(file.file_name())).unwrap();
    }

    plug(&folder, "next-", "second", false);
    kept.open().begin(now).unwrap();
    let (signing, trusted, _) = state(&kept.open());
    assert_eq!((&signing, trusted.len()), (&first, 2));
    kept.open().advance(now).unwrap();
    kept.open().advance(now).unwrap();
    let (second, trusted, phase) = state(&kept.open());
    assert_ne!(second, first);
    assert_eq!((trusted, phase), (vec![second.clone()], Phase::Steady));

    // Once the new files are where the old ones were, nothing has changed.
    for file in ["ca-key.pem", "ca-cert.pem", "root-cert.pem", "cert-chain.pem"] {
        std::fs::rename(folder.join(format!("next-{file}")), folder.join(file)).unwrap();
    }
    assert_eq!(state(&kept.open()).0, second);
}
