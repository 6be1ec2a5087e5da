//! Names that are made up: pods of a set, revisions of a template.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Kubernetes' letters for made-up names: no vowels, so no words.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Makes up names; a seed repeats them.
#[derive(Debug)]
pub struct Names(fastrand::Rng);

impl Names {
    /// Names that differ on every run.
    pub fn random() -> Self {
        Self(fastrand::Rng::new())
    }

    /// The same names for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// A suffix of five letters.
    pub(super) fn suffix(&mut self) -> String {
        (0..5).map(|_| char::from(LETTERS[self.0.usize(..LETTERS.len())])).collect()
    }
}

/// Ten letters (or fewer) that stand for a text.
pub(super) fn revision(text: &str, letters: usize) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let mut rest = hasher.finish();
    (0..letters)
        .map(|_| {
            let letter = LETTERS[usize::try_from(rest % LETTERS.len() as u64).unwrap_or(0)];
            rest /= LETTERS.len() as u64;
            char::from(letter)
        })
        .collect()
}
