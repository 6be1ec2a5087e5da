//! No manifest, however broken, ends in more than diagnostics with the right lines.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use std::path::Path;
use std::time::{Duration, Instant};

use proptest::prelude::RngExt as _;
use proptest::test_runner::{RngAlgorithm, TestRng};

/// Every manifest of the other tests.
fn manifests() -> Vec<Vec<u8>> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let folders = ["mission", "diagnostics", "valid"].map(|f| tests.join(f));
    let files = folders.iter().flat_map(|f| std::fs::read_dir(f).unwrap()).map(|e| e.unwrap().path());
    let mut files: Vec<_> = files.filter(|f| f.extension().is_some_and(|e| e == "yaml")).collect();
    files.sort();
    files.iter().map(|f| std::fs::read(f).unwrap()).collect()
}

fn at(random: &mut TestRng, len: usize) -> usize {
    if len == 0 { 0 } else { random.random_range(0..len) }
}

/// Breaks `bytes` in one of the ways that people and programs break files.
fn mutate(bytes: &mut Vec<u8>, random: &mut TestRng) {
    const PIECES: [&[u8]; 24] = [
        b"\t",
        b"\r\n",
        b"\n---\n",
        b": ",
        b"- ",
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"",
        b"'",
        b"*a",
        b"&a ",
        b"<<: *a\n",
        b"!x ",
        b"|\n",
        b"99999999999999999999999",
        b"-1",
        b"1e999",
        b"null",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\0",
        b"((((((((((",
    ];
    let place = at(random, bytes.len());
    let line_start = bytes[..place].iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
    let line_end = bytes[place..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| place + n + 1);
    match random.random_range(0..8) {
        0 => bytes.truncate(place),
        1 => drop(bytes.drain(line_start..line_end)),
        2 => {
            let line = bytes[line_start..line_end].to_vec();
            bytes.splice(line_start..line_start, line);
        }
        3 => drop(bytes.splice(line_start..line_start, b"  ".iter().copied())),
        4 if !bytes.is_empty() => bytes[place] = random.random(),
        5 => {
            // A key becomes another word, or loses a letter.
            if let Some(colon) = bytes[line_start..line_end].iter().position(|b| *b == b':') {
                let key = line_start + at(random, colon);
                bytes.remove(key);
            }
        }
        _ => {
            let piece = PIECES[at(random, PIECES.len())];
            bytes.splice(place..place, piece.iter().copied());
        }
    }
}

fn check(bytes: &[u8]) {
    // CR alone breaks lines too.
    let lines = u32::try_from(bytes.iter().filter(|b| matches!(b, b'\n' | b'\r')).count()).unwrap() + 2;
    let (objects, diagnostics) = tulle_api::parse_manifests("mutated.yaml", bytes);
    for diagnostic in diagnostics {
        let span = diagnostic.span.as_ref().unwrap_or_else(|| panic!("no place: {diagnostic}"));
        assert!((1..=lines).contains(&span.line), "{diagnostic} in {lines} lines");
    }
    for object in objects {
        let again = tulle_api::decode_object(&object.to_json());
        assert_eq!(again.map(|o| o.spec), Ok(object.spec));
    }
}

#[test]
fn two_thousand_mutated_manifests() {
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let manifests = manifests();
    for round in 0..2000 {
        let mut bytes = manifests[round % manifests.len()].clone();
        for _ in 0..=random.random_range(0..4) {
            mutate(&mut bytes, &mut random);
        }
        check(&bytes);
    }
}

#[test]
fn random_bytes_and_tokens() {
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    for _ in 0..1000 {
        let mut bytes = Vec::new();
        for _ in 0..random.random_range(0..60) {
            mutate(&mut bytes, &mut random);
            bytes.push(random.random());
        }
        check(&bytes);
    }
}

/// Twice the size takes about twice the time, and no shape takes long.
#[test]
fn large_and_odd_files_take_linear_time() {
    let header = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let many_keys: String = (0..40_000).map(|i| format!("  k{i}: v\n")).collect();
    let shapes = [
        format!("{header}data:\n{many_keys}"),
        format!("{header}data: {{{}}}", (0..40_000).map(|i| format!("k{i}: v,")).collect::<String>()),
        format!("{header}data: {{a: \"{}\"}}", "x".repeat(1 << 20)),
        format!("{header}data:\n  a: |\n{}", "    line\n".repeat(100_000)),
        format!("{header}data: {}", "[".repeat(200_000)),
        format!("{header}data: {}", "{a: ".repeat(100_000)),
        format!("{header}data:\n{}", "- ".repeat(100_000)),
        format!("{header}data: {}", "? ".repeat(100_000)),
        "---\n".repeat(100_000),
        format!("{header}{}", "#\n".repeat(300_000)),
        "\n".repeat(1 << 20),
        " ".repeat(1 << 20),
        "a: &a b\n".to_owned() + &"c: *a\n".repeat(50_000),
        (0..3000).map(|i| format!("{}a:\n", " ".repeat(i))).collect(),
        format!("{header}data: {{a: \"{}", "\\x".repeat(100_000)),
    ];
    for (i, shape) in shapes.iter().enumerate() {
        let start = Instant::now();
        check(shape.as_bytes());
        let took = start.elapsed();
        assert!(took < Duration::from_secs(20), "shape {i} took {took:?}");
    }
}
