//! A thousand broken files: each fault is told at its line, and the documents around it are read all the same.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

mod broken;

use broken::{Broken, broken};
use tulle_base::Severity;

#[test]
fn every_fault_is_told_at_its_line() {
    let mut wrong = Vec::new();
    for file in (0..1000).map(broken) {
        if let Err(reason) = check(&file) {
            wrong.push(format!("{}:{}: {reason}", file.name, file.line));
        }
    }
    assert!(wrong.is_empty(), "{} of 1000:\n{}", wrong.len(), wrong.join("\n"));
}

fn check(file: &Broken) -> Result<(), String> {
    let (objects, diagnostics) = tulle_api::parse_manifests(&file.name, &file.bytes);
    let errors: Vec<_> = diagnostics.iter().filter(|d| d.severity == Severity::Error).collect();
    let all = errors.iter().map(|d| format!("\n    {d}")).collect::<String>();
    let there = |d: &&&tulle_base::Diagnostic| {
        d.span.as_ref().is_some_and(|s| s.line == file.line && s.column > 0)
            && d.to_string().contains(file.says)
    };
    if !errors.iter().any(|d| there(&d)) {
        return Err(format!("{:?} is not said there:{all}", file.says));
    }
    if objects.len() != file.good {
        return Err(format!("{} of {} good documents are read:{all}", objects.len(), file.good));
    }
    Ok(())
}
