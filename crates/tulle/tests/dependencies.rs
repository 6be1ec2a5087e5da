//! What is depended on, held against `deny.toml` as `cargo deny check bans licenses sources` does: that program takes longer to build
//! than this project, so its lists are read here, from what `cargo metadata` says of the locked versions. Advisories need the network and
//! the program: `cargo deny check advisories`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

const DENY: &str = include_str!("../../../deny.toml");
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

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

/// The packages that are built for the targets of `deny.toml`, tests included.
fn packages() -> Vec<Value> {
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    let targets = list("graph", "targets");
    assert_eq!(targets.len(), 2, "{targets:?}");
    for target in targets {
        let output = Command::new(env!("CARGO"))
            .args([
                "metadata",
                "--format-version",
                "1",
                "--locked",
                "--offline",
                "--filter-platform",
                &target,
            ])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
        let nodes = metadata["resolve"]["nodes"].as_array().expect("nodes");
        let used: BTreeSet<&str> = nodes.iter().filter_map(|n| n["id"].as_str()).collect();
        for package in metadata["packages"].as_array().expect("packages") {
            let id = package["id"].as_str().expect("an id");
            if used.contains(id) {
                all.insert(id.to_owned(), package.clone());
            }
        }
    }
    assert!(all.len() > 100, "{}", all.len());
    all.into_values().collect()
}

fn text<'a>(package: &'a Value, field: &str) -> &'a str {
    package[field].as_str().unwrap_or_default()
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
    let wrong: Vec<String> = packages()
        .iter()
        .filter(|p| !allowed(text(p, "license"), &allow))
        .map(|p| format!("{} {}: {:?}", text(p, "name"), text(p, "version"), p["license"]))
        .collect();
    assert!(wrong.is_empty(), "not allowed by deny.toml:\n{}", wrong.join("\n"));
}

#[test]
fn everything_comes_from_the_registry_or_from_here() {
    let wrong: Vec<String> = packages()
        .iter()
        .filter(|p| !p["source"].is_null() && text(p, "source") != REGISTRY)
        .map(|p| format!("{}: {}", text(p, "name"), p["source"]))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (section, key) in [("sources", "unknown-registry = \"deny\""), ("sources", "unknown-git = \"deny\"")]
    {
        assert!(DENY.contains(key), "[{section}] says no more {key}");
    }
}

#[test]
fn nothing_is_banned_comes_twice_or_in_any_version() {
    let packages = packages();
    let banned = list("bans", "deny");
    assert!(banned.iter().any(|b| b == "ring"), "{banned:?}");
    let names: BTreeSet<&str> = packages.iter().map(|p| text(p, "name")).collect();
    let found: Vec<&String> = banned.iter().filter(|b| names.contains(b.as_str())).collect();
    assert!(found.is_empty(), "banned by deny.toml: {found:?}");

    let skip: BTreeSet<String> = list("bans", "skip").into_iter().collect();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in &packages {
        let (name, version) = (text(package, "name"), text(package, "version"));
        if !skip.contains(&format!("{name}@{version}")) {
            versions.entry(name).or_default().insert(version);
        }
    }
    let twice: Vec<_> = versions.into_iter().filter(|(_, v)| v.len() > 1).collect();
    assert!(twice.is_empty(), "twice, and not named in deny.toml: {twice:?}");
    let all: BTreeSet<String> =
        packages.iter().map(|p| format!("{}@{}", text(p, "name"), text(p, "version"))).collect();
    let needless: Vec<&String> = skip.iter().filter(|s| !all.contains(*s)).collect();
    assert!(needless.is_empty(), "named in deny.toml, and not there: {needless:?}");

    let ours = packages.iter().filter(|p| p["source"].is_null());
    for package in ours {
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let any = dependency["req"] == "*" && dependency["path"].is_null();
            assert!(!any, "{} takes any version of {}", text(package, "name"), dependency["name"]);
        }
    }
}
