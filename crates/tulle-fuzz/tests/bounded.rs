//! A short run of every target: its seeds, and mutations of them that are the same each time. `TULLE_FUZZ_ROUNDS=N` makes it
//! longer, `TULLE_FUZZ_SEED=N` another one, `TULLE_FUZZ_ONLY=NAME` one of one target.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that panics is a test that fails")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use tulle_fuzz::mutate::{Dice, mutate};
use tulle_fuzz::{TARGETS, Target, seeds};

/// Mutations of each target.
const ROUNDS: usize = 1500;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|n| n.parse().unwrap())
}

#[test]
fn no_input_is_too_much() {
    let rounds = number("TULLE_FUZZ_ROUNDS").map_or(ROUNDS, |n| usize::try_from(n).unwrap());
    let mut found = Vec::new();
    let only = std::env::var("TULLE_FUZZ_ONLY").ok();
    for target in TARGETS.iter().filter(|t| only.as_ref().is_none_or(|name| t.name == name)) {
        if let Err(what) = fuzz(target, rounds, number("TULLE_FUZZ_SEED").unwrap_or(0)) {
            found.push(format!("{}: {what}", target.name));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn fuzz(target: &Target, rounds: usize, seed: u64) -> Result<(), String> {
    let seeds = seeds(target.name).unwrap();
    assert!(seeds.len() > 2, "{} has no seeds", target.name);
    for bytes in &seeds {
        run(target, bytes)?;
    }
    let mut dice = Dice::new(seed ^ u64::try_from(target.name.len()).unwrap() << 32);
    let mut pool = seeds.clone();
    for round in 0..rounds {
        let mut bytes = pool[dice.below(pool.len())].clone();
        mutate(&mut bytes, &seeds, target.words, &mut dice);
        run(target, &bytes)?;
        // Some go on from where others came to.
        if round % 8 == 0 && bytes.len() < 8192 {
            let at = seeds.len() + dice.below(seeds.len() * 2);
            if at < pool.len() { pool[at] = bytes } else { pool.push(bytes) }
        }
    }
    eprintln!("{}: {} seeds, {rounds} mutations", target.name, seeds.len());
    Ok(())
}

fn run(target: &Target, bytes: &[u8]) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| (target.run)(bytes)))
        .map_err(|_| format!("panics on {}", bytes.escape_ascii()))
}
