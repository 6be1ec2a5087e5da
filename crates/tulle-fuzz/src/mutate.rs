//! Mutations that are the same in every run.

/// A source of numbers that follows from its seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The numbers that belong to `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `most`; 0 if there is none.
    pub fn below(&mut self, most: usize) -> usize {
        let most = u64::try_from(most.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.roll() % most).unwrap_or(0)
    }
}

/// Longest input that mutations make.
const LONGEST: usize = 64 * 1024;

/// Changes `bytes` in one to six ways; `others` are inputs to take parts of, `words` text to put in.
pub fn mutate(bytes: &mut Vec<u8>, others: &[Vec<u8>], words: &[&str], dice: &mut Dice) {
    for _ in 0..=dice.below(6) {
        let at = dice.below(bytes.len() + 1);
        let end = (at + 1 + dice.below(64)).min(bytes.len());
        match dice.below(9) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at.min(end)..end)),
            2 => {
                let part = bytes[at.min(end)..end].to_vec();
                insert(bytes, at, &part);
            }
            3 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            4 if at < bytes.len() => bytes[at] = dice.roll().to_le_bytes()[0],
            5 => insert(bytes, at, &dice.roll().to_le_bytes()[..1 + dice.roll() as usize % 8]),
            6 if !others.is_empty() => {
                let other = &others[dice.below(others.len())];
                let from = dice.below(other.len());
                let part = &other[from..(from + 1 + dice.below(200)).min(other.len())];
                insert(bytes, at, part);
            }
            7 | 8 if !words.is_empty() => insert(bytes, at, words[dice.below(words.len())].as_bytes()),
            _ => {}
        }
    }
    bytes.truncate(LONGEST);
}

fn insert(bytes: &mut Vec<u8>, at: usize, part: &[u8]) {
    bytes.splice(at..at, part.iter().copied());
}
