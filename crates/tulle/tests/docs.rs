//! The documents' examples: commands that exist, YAML that is accepted, links that lead somewhere.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;
use tulle_base::Severity;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every Markdown file of the project with its text.
fn documents() -> Vec<(PathBuf, String)> {
    let top = ["README.md", "ARCHITECTURE.md"].map(|name| root().join(name));
    let docs = std::fs::read_dir(root().join("docs")).unwrap().map(|e| e.unwrap().path());
    let all = top.into_iter().chain(docs.filter(|p| p.extension().is_some_and(|e| e == "md")));
    all.map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

/// The fenced blocks of `language` in `text`, each with the line that it begins at.
fn blocks(text: &str, language: &str) -> Vec<(usize, String)> {
    let (mut out, mut open): (Vec<(usize, String)>, Option<bool>) = (Vec::new(), None);
    for (number, line) in text.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), open) {
            (Some(info), None) => {
                open = Some(info == language);
                if info == language {
                    out.push((number + 2, String::new()));
                }
            }
            (Some(_), Some(_)) => open = None,
            (None, Some(true)) => {
                let block = &mut out.last_mut().unwrap().1;
                block.push_str(line);
                block.push('\n');
            }
            (None, _) => {}
        }
    }
    out
}

#[test]
fn commands_exist_with_the_options_shown() {
    for (path, text) in documents() {
        for (line, block) in blocks(&text, "sh") {
            for command in block.lines().map(|l| l.split('#').next().unwrap().trim()) {
                let rest = command
                    .strip_prefix("tulle ")
                    .or_else(|| command.strip_prefix("cargo run --release -- "));
                if let Some(rest) = rest {
                    check_command(&format!("{}:{line}", path.display()), rest);
                }
            }
        }
    }
}

/// `tulle COMMAND --help` must know the command and every long option before a `--`; where commands are below it, that of the one named.
fn check_command(place: &str, arguments: &str) {
    let words: Vec<&str> = arguments.split_whitespace().take_while(|w| *w != "--").collect();
    let help = |command: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_tulle")).args(command).arg("--help").output().unwrap();
        assert!(output.status.success(), "{place}: tulle {} is no command", command.join(" "));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let mut command = &words[..1];
    let mut text = help(command);
    if text.contains("\nCommands:\n") {
        command = &words[..2];
        text = help(command);
    }
    for option in words.iter().filter(|w| w.starts_with("--")) {
        let name = option.split('=').next().unwrap();
        assert!(text.contains(name), "{place}: tulle {} has no option {name}", command.join(" "));
    }
}

#[test]
fn yaml_is_accepted() {
    let mut checked = 0;
    for (path, text) in documents() {
        for (line, block) in blocks(&text, "yaml") {
            let name = format!("{}:{line}", path.display());
            let (objects, diagnostics) = tulle_api::parse_manifests(&name, block.as_bytes());
            // The page of the analyzers shows what is wrong: its examples are read, and judged by tulle-analysis.
            let wrong_on_purpose = path.ends_with("docs/analysis.md");
            let bad = diagnostics.iter().find(|d| !wrong_on_purpose || d.severity == Severity::Error);
            assert!(bad.is_none(), "{bad:?}");
            checked += objects.len();
        }
    }
    assert!(checked > 0, "there is at least one example");
}

#[test]
fn links_lead_somewhere() {
    for (path, text) in documents() {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") || target.starts_with('#') {
                continue;
            }
            let file = path.parent().unwrap().join(target.split('#').next().unwrap());
            assert!(file.exists(), "{}: {target} does not exist", path.display());
        }
    }
}
