//! The authority in force, and the way from one root to the next.
//!
//! ```text
//! STEADY ── begin ─▶ DISTRIBUTING ── advance ─▶ REISSUING ── advance ─▶ STEADY
//!    ▲  old signs,      old signs,                 new signs,             new signs,
//!    │  old trusted     both trusted               both trusted           new trusted
//!    └──── abort ───────────┘
//! ```
//!
//! An abort while certificates of the new root are about turns the rotation around: the old root signs again, and once everybody has
//! a certificate of it the new one is dropped. Whether a step is safe is decided by whoever knows the proxies; here each step is one
//! atomic write, so that a process that is killed at any moment goes on where it was. Keys and state are in the same file: there is
//! never one without the other.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::authority::{Authority, AuthorityError, certificates, pem};
use crate::files;

/// Version of the form of the state file.
const VERSION: u32 = 1;
/// Before the names of files with the next plugged-in key.
pub(crate) const NEXT: &str = "next-";

/// How far a rotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// None is under way.
    Steady,
    /// Everybody is given the other root to trust; nothing is signed with it.
    Distributing,
    /// Everybody is given a certificate of the root that signs; the other one is still trusted.
    Reissuing,
}

impl Phase {
    /// The word in status and audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Distributing => "distributing",
            Self::Reissuing => "reissuing",
        }
    }
}

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// One is under way.
    #[error("a rotation is under way ({})", .0.as_str())]
    UnderWay(Phase),
    /// None is under way.
    #[error("no rotation is under way")]
    None,
    /// There is no state directory: the authority was given to this process.
    #[error("this authority cannot be rotated: its key is not kept here")]
    Fixed,
    /// The plugged-in key has no successor.
    #[error(
        "{0}: put the new key and certificates there as next-ca-key.pem, next-ca-cert.pem, next-root-cert.pem and, where needed, next-cert-chain.pem"
    )]
    NoNext(PathBuf),
    /// The successor's root is trusted already.
    #[error("{0}: next-root-cert.pem is the root in force; nothing would be rotated")]
    SameRoot(PathBuf),
    /// The new authority cannot be used, or the state cannot be written.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

/// Where an authority comes from.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Origin {
    /// Key and root, PEM.
    Kept(String),
    /// Files of the folder of plugged-in keys, with this before their names.
    Folder(String),
}

impl Drop for Origin {
    fn drop(&mut self) {
        if let Self::Kept(pem) = self {
            pem.zeroize();
        }
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    phase: Phase,
    aborting: bool,
    /// Seconds since the epoch.
    started: u64,
    since: u64,
    signing: Origin,
    other: Origin,
}

/// What signs and what is trusted, at one moment.
#[derive(Clone, Debug)]
pub struct InForce {
    /// Signs.
    pub signing: Arc<Authority>,
    /// The root that comes, or goes.
    pub other: Option<Arc<Authority>>,
    /// How far a rotation is.
    pub phase: Phase,
    /// Whether it goes back to the root that it came from.
    pub aborting: bool,
    /// Seconds since the epoch at which it began; 0 for none.
    pub started: u64,
    /// Seconds since the epoch at which this phase began; 0 for none.
    pub since: u64,
}

impl InForce {
    fn steady(signing: Authority) -> Self {
        let signing = Arc::new(signing);
        Self { signing, other: None, phase: Phase::Steady, aborting: false, started: 0, since: 0 }
    }

    /// Every root that workloads are to trust, the signing one first.
    pub fn roots(&self) -> Vec<CertificateDer<'static>> {
        let mut roots = self.signing.roots().to_vec();
        for root in self.other.iter().flat_map(|other| other.roots()) {
            if !roots.contains(root) {
                roots.push(root.clone());
            }
        }
        roots
    }

    /// The same in PEM.
    pub fn roots_pem(&self) -> String {
        self.roots().iter().map(pem).collect()
    }
}

/// Holds the authority in force and changes it step by step.
pub struct Authorities {
    in_force: ArcSwap<InForce>,
    place: Option<Place>,
    /// One step at a time.
    step: Mutex<()>,
}

struct Place {
    state_dir: PathBuf,
    cacerts: Option<PathBuf>,
    trust_domain: String,
}

impl std::fmt::Debug for Authorities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Authorities").field(&self.in_force.load()).finish()
    }
}

impl Authorities {
    /// The authority of `state_dir`, or the one plugged in at `cacerts`, wherever its last rotation was.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub fn open(
        state_dir: &Path,
        cacerts: Option<&Path>,
        trust_domain: &str,
        now: SystemTime,
    ) -> Result<Self, AuthorityError> {
        let place = Place {
            state_dir: state_dir.to_owned(),
            cacerts: cacerts.map(Path::to_owned),
            trust_domain: trust_domain.to_owned(),
        };
        let in_force = match place.stored()? {
            Some(stored) => place.resume(&stored, now)?,
            None => InForce::steady(place.steady(now)?),
        };
        Ok(Self { in_force: ArcSwap::from_pointee(in_force), place: Some(place), step: Mutex::new(()) })
    }

    /// An authority that stays as it is.
    pub fn fixed(authority: Authority) -> Self {
        let in_force = ArcSwap::from_pointee(InForce::steady(authority));
        Self { in_force, place: None, step: Mutex::new(()) }
    }

    /// What is in force now.
    pub fn current(&self) -> Arc<InForce> {
        self.in_force.load_full()
    }

    /// Begins a rotation to a new root: a new self-signed one, or the one plugged in as `next-*.pem`. From now on both are to be
    /// trusted, and the old one signs.
    ///
    /// # Errors
    /// [`RotateError`]; then nothing has changed.
    pub fn begin(&self, now: SystemTime) -> Result<(), RotateError> {
        let _step = self.step.lock().unwrap_or_else(PoisonError::into_inner);
        let place = self.place.as_ref().ok_or(RotateError::Fixed)?;
        let current = self.current();
        if current.phase != Phase::Steady {
            return Err(RotateError::UnderWay(current.phase));
        }
        let (signing, other) = match &place.cacerts {
            Some(folder) => {
                let (_, prefix) = place.plugged(now)?;
                let next = if prefix == NEXT { "" } else { NEXT };
                if !folder.join(format!("{next}ca-key.pem")).exists() {
                    return Err(RotateError::NoNext(folder.clone()));
                }
                (Origin::Folder(prefix.to_owned()), Origin::Folder(next.to_owned()))
            }
            None => {
                let path = files::root_file(&place.state_dir);
                let old = place.read(&path)?.ok_or_else(|| AuthorityError::Missing(path.clone()))?;
                let new = Authority::make(&place.trust_domain, now)?;
                (Origin::Kept(old.to_string()), Origin::Kept(new.to_string()))
            }
        };
        let since = seconds(now);
        let phase = Phase::Distributing;
        let stored =
            Stored { version: VERSION, phase, aborting: false, started: since, since, signing, other };
        let in_force = place.resume(&stored, now)?;
        if in_force.other.as_ref().is_some_and(|o| o.roots() == current.signing.roots()) {
            return Err(RotateError::SameRoot(place.cacerts.clone().unwrap_or_default()));
        }
        place.write(&stored)?;
        self.in_force.store(Arc::new(in_force));
        Ok(())
    }

    /// Takes the next step: lets the new root sign, or, once that is so, drops the other one for good.
    ///
    /// # Errors
    /// [`RotateError`]; then nothing has changed.
    pub fn advance(&self, now: SystemTime) -> Result<Phase, RotateError> {
        let _step = self.step.lock().unwrap_or_else(PoisonError::into_inner);
        let place = self.place.as_ref().ok_or(RotateError::Fixed)?;
        let Some(mut stored) = place.stored()? else { return Err(RotateError::None) };
        match stored.phase {
            Phase::Steady => return Err(RotateError::None),
            Phase::Distributing => {
                std::mem::swap(&mut stored.signing, &mut stored.other);
                stored.phase = Phase::Reissuing;
                stored.since = seconds(now);
                let in_force = place.resume(&stored, now)?;
                place.write(&stored)?;
                self.in_force.store(Arc::new(in_force));
            }
            Phase::Reissuing => self.settle(place, &stored.signing)?,
        }
        Ok(self.current().phase)
    }

    /// Goes back to the old root: at once if nothing was signed with the new one, else by a rotation the other way round.
    ///
    /// # Errors
    /// [`RotateError`]; then nothing has changed.
    pub fn abort(&self, now: SystemTime) -> Result<Phase, RotateError> {
        let _step = self.step.lock().unwrap_or_else(PoisonError::into_inner);
        let place = self.place.as_ref().ok_or(RotateError::Fixed)?;
        let Some(mut stored) = place.stored()? else { return Err(RotateError::None) };
        match stored.phase {
            Phase::Steady => return Err(RotateError::None),
            Phase::Distributing => self.settle(place, &stored.signing)?,
            Phase::Reissuing => {
                std::mem::swap(&mut stored.signing, &mut stored.other);
                stored.aborting = !stored.aborting;
                stored.since = seconds(now);
                let in_force = place.resume(&stored, now)?;
                place.write(&stored)?;
                self.in_force.store(Arc::new(in_force));
            }
        }
        Ok(self.current().phase)
    }

    /// What signs stays alone.
    fn settle(&self, place: &Place, signing: &Origin) -> Result<(), AuthorityError> {
        match signing {
            Origin::Kept(pem) => {
                let path = files::root_file(&place.state_dir);
                files::write_private(&path, pem).map_err(|source| AuthorityError::File { path, source })?;
            }
            Origin::Folder(_) => place.record(&self.current().signing)?,
        }
        let path = files::rotation_file(&place.state_dir);
        files::remove(&path).map_err(|source| AuthorityError::File { path, source })?;
        let current = self.current();
        let signing = Arc::clone(&current.signing);
        let steady =
            InForce { signing, other: None, phase: Phase::Steady, aborting: false, started: 0, since: 0 };
        self.in_force.store(Arc::new(steady));
        Ok(())
    }
}

impl Place {
    fn read(&self, path: &Path) -> Result<Option<Zeroizing<String>>, AuthorityError> {
        files::read(path).map_err(|source| AuthorityError::File { path: path.to_owned(), source })
    }

    fn stored(&self) -> Result<Option<Stored>, AuthorityError> {
        let path = files::rotation_file(&self.state_dir);
        let Some(text) = self.read(&path)? else { return Ok(None) };
        let wrong = |reason: String| AuthorityError::State { path: path.clone(), reason };
        // Never the text itself, of which serde tells places alone: there are keys in it.
        let stored: Stored = serde_json::from_str(&text)
            .map_err(|e| wrong(format!("line {}, column {}", e.line(), e.column())))?;
        if stored.version != VERSION {
            return Err(wrong(format!("version {} is not {VERSION}", stored.version)));
        }
        Ok(Some(stored))
    }

    fn write(&self, stored: &Stored) -> Result<(), AuthorityError> {
        let path = files::rotation_file(&self.state_dir);
        let text = serde_json::to_string(stored)
            .map(Zeroizing::new)
            .map_err(|e| AuthorityError::State { path: path.clone(), reason: e.to_string() })?;
        files::write_private(&path, &text).map_err(|source| AuthorityError::File { path, source })
    }

    fn resume(&self, stored: &Stored, now: SystemTime) -> Result<InForce, AuthorityError> {
        let load = |origin: &Origin| match origin {
            Origin::Kept(pem) => Authority::from_pem(pem, &files::rotation_file(&self.state_dir), now),
            Origin::Folder(prefix) => {
                let folder = self.cacerts.as_deref().ok_or_else(|| AuthorityError::State {
                    path: files::rotation_file(&self.state_dir),
                    reason: "it is of plugged-in keys, but no folder of them was given".to_owned(),
                })?;
                Authority::plugged_as(folder, prefix, now)
            }
        };
        Ok(InForce {
            signing: Arc::new(load(&stored.signing)?),
            other: Some(Arc::new(load(&stored.other)?)),
            phase: stored.phase,
            aborting: stored.aborting,
            started: stored.started,
            since: stored.since,
        })
    }

    fn steady(&self, now: SystemTime) -> Result<Authority, AuthorityError> {
        if self.cacerts.is_none() {
            return Authority::self_signed(&self.state_dir, &self.trust_domain, now);
        }
        let (authority, _) = self.plugged(now)?;
        self.record(&authority)?;
        Ok(authority)
    }

    /// The plugged-in authority whose root is in force, and what is before the names of its files.
    fn plugged(&self, now: SystemTime) -> Result<(Authority, &'static str), AuthorityError> {
        let folder = self.cacerts.as_deref().unwrap_or(Path::new(""));
        let path = files::in_force_file(&self.state_dir);
        let in_force = self.read(&path)?.map(|text| certificates(&text, &path)).transpose()?;
        let plain = Authority::plugged_as(folder, "", now)?;
        let Some(in_force) = in_force else { return Ok((plain, "")) };
        // Roots may be added to the file; that one of those in force is gone says that it is another.
        let is = |authority: &Authority| in_force.iter().all(|root| authority.roots().contains(root));
        if is(&plain) {
            return Ok((plain, ""));
        }
        if folder.join(format!("{NEXT}ca-key.pem")).exists() {
            let next = Authority::plugged_as(folder, NEXT, now)?;
            if is(&next) {
                return Ok((next, NEXT));
            }
        }
        Err(AuthorityError::OtherRoot { folder: folder.to_owned(), path })
    }

    /// Notes the roots in force of a plugged-in authority.
    fn record(&self, authority: &Authority) -> Result<(), AuthorityError> {
        let path = files::in_force_file(&self.state_dir);
        let text = authority.root_pem();
        if self.read(&path)?.is_some_and(|there| there.as_str() == text) {
            return Ok(());
        }
        files::write_private(&path, &text).map_err(|source| AuthorityError::File { path, source })
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
