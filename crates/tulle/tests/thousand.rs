//! `tulle validate` on a folder of a thousand broken files: each fault at its line, no crash, within bounded memory.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

#[path = "../../tulle-api/tests/broken/mod.rs"]
mod broken;

use std::process::Command;

/// Address space that the process may have, in KiB. It holds the program, its allocator's reserve and the largest file.
const MOST_MEMORY: u32 = 1 << 20;

#[test]
fn every_fault_of_a_folder_is_told_within_a_gibibyte() {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<_> = (0..1000).map(broken::broken).collect();
    for file in &files {
        std::fs::write(folder.path().join(&file.name), &file.bytes).unwrap();
    }
    let script = format!("ulimit -v {MOST_MEMORY} && exec \"$0\" validate -o json \"$1\"");
    let output = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_tulle")])
        .arg(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["files"], 1000);
    let problems = said["problems"].as_array().unwrap();
    let mut wrong = Vec::new();
    for file in &files {
        let path = folder.path().join(&file.name).display().to_string();
        let told = problems.iter().any(|p| {
            let words = format!("{}: {}; {}", p["field"], p["message"], p["fix"]).replace("\\\"", "\"");
            p["file"] == *path
                && p["line"] == file.line
                && p["severity"] == "error"
                && words.contains(&bare(file.says))
        });
        if !told {
            wrong.push(format!("{}:{}: {}", file.name, file.line, file.says));
        }
    }
    assert!(wrong.is_empty(), "{} of 1000:\n{}", wrong.len(), wrong.join("\n"));
}

/// What a message says, without the field in front of it, which JSON has apart.
fn bare(says: &str) -> String {
    says.rsplit_once(": ").map_or(says, |(_, message)| message).to_owned()
}
