//! A thousand files, each broken in one way on a line that is known, and what must be said about it.
//!
//! Everything follows from the number of the file, so that a failure can be looked at again.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses a part")]

mod documents;
mod ways;

use documents::{good, sample};

/// A file with one broken document among good ones.
pub struct Broken {
    /// What was done to it, and its number.
    pub name: String,
    /// The file.
    pub bytes: Vec<u8>,
    /// The line that was broken, from 1.
    pub line: u32,
    /// What one message about that line says.
    pub says: &'static str,
    /// How many good documents stand around it.
    pub good: usize,
}

/// A source of numbers that are the same in every run (SplitMix64).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `most`.
    pub fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(most.max(1)).unwrap_or(u64::MAX)).unwrap_or(0)
    }

    /// One of `all`.
    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// A document of which one line is broken.
pub struct Document {
    /// Its text in lines, without `---`.
    pub text: Vec<u8>,
    /// The broken line, from 0.
    pub line: usize,
    pub says: &'static str,
}

/// How the bytes of a file are written.
const DRESSES: [&str; 4] = ["lf", "crlf", "bom", "bom-crlf"];

/// File `number` of the thousand.
pub fn broken(number: usize) -> Broken {
    let mut dice = Dice::new(u64::try_from(number).unwrap_or(0).wrapping_mul(0x1234_5677) ^ 0x0074_756c_6c65);
    let (way, break_it) = ways::WAYS[number % ways::WAYS.len()];
    let before = dice.below(4);
    let after = dice.below(3);
    let mut file = String::new();
    for i in 0..before {
        file.push_str(&good(&mut dice, i));
        file.push_str("---\n");
    }
    file.push_str(&"# A comment.\n".repeat(dice.below(3)));
    let document = break_it(&mut dice);
    let line = file.lines().count() + document.line + 1;
    let mut bytes = file.into_bytes();
    bytes.extend_from_slice(&document.text);
    for i in 0..after {
        bytes.extend_from_slice(b"---\n");
        bytes.extend_from_slice(good(&mut dice, before + i).as_bytes());
    }
    let dress = dice.pick(&DRESSES);
    Broken {
        name: format!("{number:04}-{way}-{dress}.yaml"),
        bytes: dressed(bytes, dress),
        line: u32::try_from(line).unwrap_or(u32::MAX),
        says: document.says,
        good: before + after,
    }
}

fn dressed(bytes: Vec<u8>, dress: &str) -> Vec<u8> {
    let mut out = if dress.starts_with("bom") { b"\xef\xbb\xbf".to_vec() } else { Vec::new() };
    if !dress.ends_with("crlf") {
        out.extend(bytes);
        return out;
    }
    for byte in bytes {
        if byte == b'\n' {
            out.push(b'\r');
        }
        out.push(byte);
    }
    out
}

/// A good document in which the first line that contains `key` is replaced; `says` is expected there.
pub fn replaced(dice: &mut Dice, key: &str, line: &str, says: &'static str) -> Document {
    edited(dice, key, says, |old| {
        let indent = &old[..old.len() - old.trim_start().len()];
        let dash = if old.trim_start().starts_with("- ") { "- " } else { "" };
        format!("{indent}{dash}{line}")
    })
}

/// A good document in which the first line that contains `key` becomes what `edit` makes of it.
pub fn edited(dice: &mut Dice, key: &str, says: &'static str, edit: impl FnOnce(&str) -> String) -> Document {
    let text = sample(dice);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let at = lines.iter().position(|l| l.contains(key)).unwrap_or_else(|| panic!("no {key} in\n{text}"));
    lines[at] = edit(&lines[at]);
    Document { text: (lines.join("\n") + "\n").into_bytes(), line: at, says }
}
