//! Sets of keys that were fetched, kept over a restart of the control plane: a file for each, in the state directory. They are
//! public; who could change them could as well take the signing key beside them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tulle_mesh::policy::{KeySource, jwks};

use super::LAST_GOOD;

/// Where sets are kept.
#[derive(Clone, Debug)]
pub(crate) struct Saved(PathBuf);

impl Saved {
    /// In this folder, which is made when it is needed. What is too old in it goes.
    pub(crate) fn new(folder: PathBuf) -> Self {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|at| at.elapsed().ok());
            if age.is_some_and(|age| age > LAST_GOOD) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        Self(folder)
    }

    /// The set of a source and how old it is, if it is not too old to be used.
    pub(super) fn read(&self, source: &KeySource) -> Option<(Duration, Arc<str>)> {
        let text = std::fs::read_to_string(self.path(source)).ok()?;
        let saved: Value = serde_json::from_str(&text).ok()?;
        if saved["source"] != name(source) {
            return None;
        }
        let fetched = UNIX_EPOCH.checked_add(Duration::from_secs(saved["fetched"].as_u64()?))?;
        // A clock that was put back makes it as old as can be.
        let age = SystemTime::now().duration_since(fetched).ok().filter(|age| *age <= LAST_GOOD)?;
        Some((age, jwks::usable(saved["keys"].as_str()?).ok()?.into()))
    }

    /// Keeps a set that was just fetched.
    pub(super) fn write(&self, source: &KeySource, keys: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let text = json!({ "source": name(source), "fetched": now, "keys": keys }).to_string();
        if let Err(error) = replace(&self.path(source), &text) {
            tracing::warn!(?source, %error, "keys of tokens are not kept over a restart");
        }
    }

    /// Forgets the set of a source.
    pub(super) fn forget(&self, source: &KeySource) {
        let _ = std::fs::remove_file(self.path(source));
    }

    /// Named by a hash (FNV-1a) of the source; which source it really is stands in the file.
    fn path(&self, source: &KeySource) -> PathBuf {
        let hash = name(source).bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        self.0.join(format!("{hash:016x}.json"))
    }
}

fn name(source: &KeySource) -> String {
    match source {
        KeySource::Inline(keys) => format!("inline {keys}"),
        KeySource::Address(address) => format!("address {address}"),
        KeySource::Discovered(issuer) => format!("issuer {issuer}"),
    }
}

/// A new file in place of the old one: whoever reads sees one of them whole.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let new = path.with_extension("new");
    std::fs::write(&new, text)?;
    std::fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &str = r#"{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "a"}]}"#;

    #[test]
    fn sets_outlive_their_reader() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) =
            (KeySource::Address("https://a/keys".into()), KeySource::Discovered("https://a".into()));
        let saved = Saved::new(dir.path().join("keys"));
        assert_eq!(saved.read(&one), None);
        saved.write(&one, KEYS);
        let again = Saved::new(dir.path().join("keys"));
        assert!(
            again
                .read(&one)
                .is_some_and(|(age, keys)| age < Duration::from_secs(60) && keys.contains("\"a\""))
        );
        assert_eq!(again.read(&two), None);
        again.forget(&one);
        assert_eq!(again.read(&one), None);
    }

    #[test]
    fn what_is_old_broken_or_of_another_source_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let source = KeySource::Address("https://a/keys".into());
        let saved = Saved::new(dir.path().to_owned());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let with = |source: &str, fetched: u64, keys: &str| {
            json!({ "source": source, "fetched": fetched, "keys": keys }).to_string()
        };
        for (text, used) in [
            (with("address https://a/keys", now, KEYS), true),
            (with("address https://b/keys", now, KEYS), false),
            (with("address https://a/keys", now - 90_000, KEYS), false),
            (with("address https://a/keys", now + 90_000, KEYS), false),
            (with("address https://a/keys", now, "{}"), false),
            ("{".to_owned(), false),
            (String::new(), false),
        ] {
            std::fs::write(saved.path(&source), &text).unwrap();
            assert_eq!(saved.read(&source).is_some(), used, "{text}");
        }
    }
}
