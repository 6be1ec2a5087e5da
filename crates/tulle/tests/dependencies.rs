//! What is depended on, held against `deny.toml` as `cargo deny check bans licenses sources` does. That program would have to be built
//! from source in each run, so its lists are read here, from what `cargo tree` says of the locked versions. Advisories need the network
//! and the program: `cargo deny check advisories`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

const DENY: &str = include_str!("../../../deny.toml");

/// The texts between quotes that follow `key` in a list of `section`; for entries that are tables, those of their first key.
fn list(section: &str, key: &str) -> Vec<String> {
    let from = DENY.find(&format!("\n[{section}]")).unwrap_or_else(|| panic!("deny.toml has no [{section}]"));
    let rest = &DENY[from + 1..];
    let body = rest.find("\n[").map_or(rest, |end| &rest[..end]);
    let start = body.find(&format!("\n{key} = [")).unwrap_or_else(|| panic!("[{section}] has no {key}"));
    let mut lines = body[start + 1..].lines().skip_while(|l| !l.starts_with(key));
    let first = lines.next().unwrap_or_default().split_once('[').map_or("", |(_, rest)| rest);
    let mut all = Vec::new();
    for line in std::iter::once(first).chain(lines) {
        let line = line.trim();
        if line.starts_with(']') {
            break;
        }
        let mut quoted = line.split('"').skip(1).step_by(2);
        if line.starts_with('{') {
            all.extend(quoted.next().map(str::to_owned));
        } else {
            all.extend(quoted.map(str::to_owned));
        }
        if line.ends_with(']') {
            break;
        }
    }
    all
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    licence: String,
    /// What `cargo tree` adds to a package that is not of the registry: a path or an address.
    place: String,
}

/// The packages that are built for the targets of `deny.toml`, tests included. (`cargo metadata` also lists what no feature asks for.)
fn packages() -> BTreeSet<Package> {
    let mut all = BTreeSet::new();
    let targets = list("graph", "targets");
    assert_eq!(targets.len(), 2, "{targets:?}");
    for target in targets {
        let edges = ["--edges", "normal,build,dev", "--prefix", "none", "--format", "{p}|{l}"];
        let output = Command::new(env!("CARGO"))
            .args(["tree", "--workspace", "--locked", "--offline", "--target", &target])
            .args(edges)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let Some((package, licence)) = line.split_once('|') else { continue };
            let mut words = package.splitn(3, ' ');
            let (name, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let place = words.next().unwrap_or_default().replace("(proc-macro)", "");
            all.insert(Package {
                name: name.to_owned(),
                version: version.trim_start_matches('v').to_owned(),
                licence: licence.trim_end_matches("(*)").trim().to_owned(),
                place: place.replace("(*)", "").trim().to_owned(),
            });
        }
    }
    assert!(all.len() > 100, "{}", all.len());
    all
}

/// Whether an SPDX expression can be satisfied with these licences.
fn allowed(expression: &str, allow: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let verdict = either(&tokens, &mut at, allow);
    verdict && at == tokens.len()
}

fn either(tokens: &[&str], at: &mut usize, allow: &[String]) -> bool {
    let mut verdict = both(tokens, at, allow);
    while tokens.get(*at) == Some(&"OR") {
        *at += 1;
        verdict |= both(tokens, at, allow);
    }
    verdict
}

fn both(tokens: &[&str], at: &mut usize, allow: &[String]) -> bool {
    let mut verdict = one(tokens, at, allow);
    while tokens.get(*at) == Some(&"AND") {
        *at += 1;
        verdict &= one(tokens, at, allow);
    }
    verdict
}

fn one(tokens: &[&str], at: &mut usize, allow: &[String]) -> bool {
    let Some(token) = tokens.get(*at) else { return false };
    *at += 1;
    if *token == "(" {
        let verdict = either(tokens, at, allow);
        let closed = tokens.get(*at) == Some(&")");
        *at += 1;
        return verdict && closed;
    }
    let mut licence = (*token).to_owned();
    if tokens.get(*at) == Some(&"WITH") {
        licence = format!("{licence} WITH {}", tokens.get(*at + 1).unwrap_or(&""));
        *at += 2;
    }
    allow.contains(&licence)
}

#[test]
fn expressions_are_read_as_spdx_says() {
    let allow = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
    for (expression, verdict) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("MIT AND GPL-3.0", false),
        ("ISC AND (GPL-3.0 OR MIT)", true),
        ("(GPL-3.0 OR MIT) AND OpenSSL", false),
        ("Apache-2.0 WITH LLVM-exception OR GPL-3.0", true),
        ("Apache-2.0", false),
        ("", false),
    ] {
        assert_eq!(allowed(expression, &allow), verdict, "{expression}");
    }
}

#[test]
fn licences_are_those_that_are_allowed() {
    let allow = list("licenses", "allow");
    assert!(allow.iter().any(|l| l == "MIT"), "{allow:?}");
    let wrong: Vec<Package> = packages().into_iter().filter(|p| !allowed(&p.licence, &allow)).collect();
    assert!(wrong.is_empty(), "not allowed by deny.toml: {wrong:#?}");
}

#[test]
fn everything_comes_from_the_registry_or_from_here() {
    // Other registries and repositories are named behind the version.
    let wrong: Vec<Package> = packages()
        .into_iter()
        .filter(|p| !(p.place.is_empty() || p.name.starts_with("tulle") && p.place.starts_with("(/")))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for rule in ["unknown-registry = \"deny\"", "unknown-git = \"deny\""] {
        assert!(DENY.contains(rule), "deny.toml says no more {rule}");
    }
}

#[test]
fn nothing_is_banned_comes_twice_or_in_any_version() {
    let packages = packages();
    let banned = list("bans", "deny");
    assert!(banned.iter().any(|b| b == "ring"), "{banned:?}");
    let found: Vec<&Package> = packages.iter().filter(|p| banned.contains(&p.name)).collect();
    assert!(found.is_empty(), "banned by deny.toml: {found:#?}");

    let full = |p: &Package| format!("{}@{}", p.name, p.version);
    let skip: BTreeSet<String> = list("bans", "skip").into_iter().collect();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages.iter().filter(|p| !skip.contains(&full(p))) {
        versions.entry(&package.name).or_default().insert(&package.version);
    }
    let twice: Vec<_> = versions.into_iter().filter(|(_, v)| v.len() > 1).collect();
    assert!(twice.is_empty(), "twice, and not named in deny.toml: {twice:?}");
    let all: BTreeSet<String> = packages.iter().map(full).collect();
    let needless: Vec<&String> = skip.iter().filter(|s| !all.contains(*s)).collect();
    assert!(needless.is_empty(), "named in deny.toml, and not there: {needless:?}");

    let manifests = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let mut files = vec![format!("{manifests}/Cargo.toml")];
    for entry in std::fs::read_dir(format!("{manifests}/crates")).expect("the crates").flatten() {
        files.push(entry.path().join("Cargo.toml").display().to_string());
    }
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(!text.contains("= \"*\""), "{file} takes any version of something");
    }
}
