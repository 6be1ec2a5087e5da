//! `docs/analysis.md` says what there is; `UPDATE_EXPECT=1` writes it anew.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use tulle_analysis::absent::ABSENT;
use tulle_analysis::{Analyzer, analyzers};

const HEAD: &str = "\
# Analysis

`tulle validate` looks at each object by itself; `tulle analyze` looks at all of them together as well:

```sh
tulle analyze ./manifests
tulle analyze ./manifests -o json
tulle analyze --live
tulle analyze --suppress 'IST0102=Namespace shop' -n shop ./manifests
tulle analyze --list-analyzers
```

`--live` looks at the objects of the running mesh; what paths say replaces what is there. `-n` reports only what concerns a
namespace, `--suppress CODE=RESOURCE` leaves findings out (`*` stands for any run of characters in either).

A finding names file and line, resource and field, what is wrong and the way out, and has a code: Istio's where Istio has one
for the same, `TULnnnn` otherwise. It ends with 1 if there are errors. What is not part of the files is not held against them:
selectors, for example, are judged only in namespaces whose workloads are there.

Calls between services (for TUL0301 and TUL0302) are known as far as configuration tells of them: addresses in environment
variables and arguments of containers, single hosts in the egress of a Sidecar, and identities that AuthorizationPolicies
allow.

A namespace is one for tests (TUL0307) if a word of its name, or of the value of a label such as `environment`, is `test`,
`staging`, `dev`, `qa`, `chaos` or the like.

Not looked for, because configuration does not tell: whether a mesh is worth having at all, retries that applications make by
themselves, and whether proxies and the control plane have enough processor and memory.

Each analyzer is a file below `crates/tulle-analysis/src/analyzers`, with a good and a bad example in
`crates/tulle-analysis/tests/examples`.

This page is written by `UPDATE_EXPECT=1 cargo test -p tulle-analysis --test documentation`.

";

fn document() -> String {
    let mut out = HEAD.to_owned();
    let mut section = |title: &str, prefix: &str| {
        write!(out, "## {title}\n\n| code | name | severity | finds |\n|---|---|---|---|\n").unwrap();
        for (_, a) in analyzers::all().filter(|(_, a)| a.code.starts_with(prefix)) {
            writeln!(out, "| {} | {} | {} | {} |", a.code, a.name, a.severity, a.about).unwrap();
        }
        out.push('\n');
    };
    section("Security", "TUL01");
    section("Routing and selection", "TUL02");
    section("Resilience", "TUL03");
    section("Istio's own", "IST");
    out.push_str("## Istio's codes without an analyzer\n\n| code | name | why |\n|---|---|---|\n");
    for (code, name, why) in ABSENT {
        writeln!(out, "| {code} | {name} | {why} |").unwrap();
    }
    out.push_str("\n## Each code\n\nWhat differs between its bad and its good example, and what is said of the bad one.\n");
    let mut all: Vec<_> = analyzers::all().collect();
    all.sort_by_key(|(_, a)| a.code);
    for (name, analyzer) in all {
        out.push_str(&example(name, analyzer));
    }
    out
}

/// The section of one analyzer: what it finds, an example of it, what is said of that, and the way out.
fn example(name: &str, analyzer: &Analyzer) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/examples").join(name);
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    let (bad, good) = (read("bad.yaml"), read("good.yaml"));
    let only = |these: &str, others: &str| {
        let others: BTreeSet<&str> = others.split("---\n").map(str::trim_end).collect();
        let own: Vec<&str> = these
            .split("---\n")
            .map(str::trim_end)
            .filter(|d| !d.is_empty() && !others.contains(d))
            .collect();
        own.join("\n---\n")
    };
    let said: String = read("bad.txt").lines().map(|l| l.split_once(": ").map_or(l, |(_, l)| l)).fold(
        String::new(),
        |mut text, line| {
            writeln!(text, "{line}").unwrap();
            text
        },
    );
    let Analyzer { code, name, severity, about, .. } = analyzer;
    let (bad, good) = (only(&bad, &good), only(&good, &bad));
    let mut out = format!("\n### {code} {name}\n\n{about} ({severity}).\n\n");
    if !bad.is_empty() {
        write!(out, "```yaml\n{bad}\n```\n\n").unwrap();
    }
    write!(out, "```text\n{said}```\n\nThe way out:").unwrap();
    match good.as_str() {
        "" => out.push_str(" without that.\n"),
        good => write!(out, "\n\n```yaml\n{good}\n```\n").unwrap(),
    }
    out
}

#[test]
fn the_page_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/analysis.md");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&file, document()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), document(), "UPDATE_EXPECT=1 writes it anew");
}

#[test]
fn every_code_is_found_or_explained_once() {
    let mut seen = BTreeSet::new();
    let codes = analyzers::all().map(|(_, a)| a.code).chain(ABSENT.iter().map(|(code, _, _)| *code));
    for code in codes {
        assert!(seen.insert(code), "{code} is there twice");
    }
}
