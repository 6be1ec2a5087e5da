//! Who holds a certificate, and of which root: what must be known before a root is dropped, also after the process was killed.
//!
//! One line a certificate, appended; read again at the start, without those that have expired or were replaced.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use crate::files;

/// Lines after which the file is written anew, if most of them are of no use any more.
const COMPACT_AFTER: usize = 4096;

/// The certificate that a workload got last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// Namespace and name of the pod, if the token named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<(String, String)>,
    /// Its uid.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// SPIFFE id.
    pub id: String,
    /// Serial number, lower-case hex.
    pub serial: String,
    /// Seconds since the epoch at which it expires.
    pub not_after: u64,
    /// [`fingerprint`] of the root that it leads to.
    pub root: String,
}

impl Holding {
    /// Who it is: the pod by its uid, else the identity.
    fn key(&self) -> &str {
        if self.uid.is_empty() { &self.id } else { &self.uid }
    }
}

/// The first 16 hex digits of a certificate's SHA-256.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    digest(&SHA256, certificate).as_ref().iter().take(8).map(|b| format!("{b:02x}")).collect()
}

/// The last certificate of each workload.
#[derive(Debug, Default)]
pub struct IssuedBook(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    by_key: HashMap<String, Holding>,
    file: Option<Book>,
}

#[derive(Debug)]
struct Book {
    path: std::path::PathBuf,
    file: File,
    lines: usize,
}

impl IssuedBook {
    /// What is noted in `state_dir`. A file that cannot be read is begun anew, and said so: certificates that are not known of expire
    /// by themselves.
    pub fn open(state_dir: &Path, now: SystemTime) -> Self {
        let path = files::issued_file(state_dir);
        let mut state = State { by_key: read(&path), file: None };
        state.forget_expired(now);
        match rewrite(&path, &state.by_key) {
            Ok(book) => state.file = Some(book),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "certificates issued are not noted")
            }
        }
        Self(Mutex::new(state))
    }

    /// Notes a certificate.
    pub fn note(&self, holding: Holding, now: SystemTime) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = serde_json::to_string(&holding).unwrap_or_default();
        state.by_key.insert(holding.key().to_owned(), holding);
        let known = state.by_key.len();
        let Some(book) = &mut state.file else { return };
        if let Err(error) = writeln!(book.file, "{line}") {
            tracing::error!(path = %book.path.display(), %error, "a certificate was not noted");
        }
        book.lines += 1;
        if book.lines > COMPACT_AFTER.max(2 * known) {
            let path = book.path.clone();
            state.forget_expired(now);
            match rewrite(&path, &state.by_key) {
                Ok(book) => state.file = Some(book),
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "certificates issued are not noted")
                }
            }
        }
    }

    /// The last certificates that have not expired.
    pub fn held(&self, now: SystemTime) -> Vec<Holding> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.forget_expired(now);
        state.by_key.values().cloned().collect()
    }
}

impl State {
    fn forget_expired(&mut self, now: SystemTime) {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.by_key.retain(|_, holding| holding.not_after > now);
    }
}

fn read(path: &Path) -> HashMap<String, Holding> {
    let mut all = HashMap::new();
    let Ok(file) = File::open(path) else { return all };
    for line in BufReader::new(file).lines() {
        // The last line may have been cut off by the end of the process.
        match line.map(|line| serde_json::from_str::<Holding>(&line)) {
            Ok(Ok(holding)) => drop(all.insert(holding.key().to_owned(), holding)),
            Ok(Err(_)) => tracing::warn!(path = %path.display(), "a line cannot be read; passed over"),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "cannot be read to its end");
                break;
            }
        }
    }
    all
}

fn rewrite(path: &Path, all: &HashMap<String, Holding>) -> io::Result<Book> {
    let mut text = String::new();
    for holding in all.values() {
        text.push_str(&serde_json::to_string(holding).unwrap_or_default());
        text.push('\n');
    }
    files::write_private(path, &text)?;
    let file = OpenOptions::new().append(true).mode(0o600).open(path)?;
    Ok(Book { path: path.to_owned(), file, lines: all.len() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn holding(uid: &str, serial: &str, not_after: u64) -> Holding {
        let (pod, id) =
            (Some(("shop".to_owned(), "cart".to_owned())), "spiffe://d/ns/shop/sa/cart".to_owned());
        Holding { pod, uid: uid.to_owned(), id, serial: serial.to_owned(), not_after, root: "r".to_owned() }
    }

    #[test]
    fn the_last_of_each_survives_the_process_until_it_expires() {
        let dir = tempfile::tempdir().unwrap();
        let at = |s| UNIX_EPOCH + Duration::from_secs(s);
        let issued = IssuedBook::open(dir.path(), at(10));
        issued.note(holding("a", "1", 100), at(10));
        issued.note(holding("a", "2", 200), at(11));
        issued.note(holding("b", "3", 50), at(12));
        drop(issued);
        let path = files::issued_file(dir.path());
        let torn = format!("{}{{\"pod\":[\"sh", std::fs::read_to_string(&path).unwrap());
        std::fs::write(&path, torn).unwrap();
        let again = IssuedBook::open(dir.path(), at(60));
        assert_eq!(again.held(at(60)), [holding("a", "2", 200)]);
        assert!(again.held(at(200)).is_empty());
    }

    #[test]
    fn the_file_does_not_grow_with_every_renewal() {
        let dir = tempfile::tempdir().unwrap();
        let issued = IssuedBook::open(dir.path(), UNIX_EPOCH);
        for i in 0..3 * COMPACT_AFTER {
            issued.note(holding("a", &i.to_string(), 100), UNIX_EPOCH);
        }
        let lines = std::fs::read_to_string(files::issued_file(dir.path())).unwrap().lines().count();
        assert!(lines <= COMPACT_AFTER + 1, "{lines}");
    }
}
