//! `tulle validate`: what is wrong with manifests, before anybody applies them.

use std::path::PathBuf;
use std::process::ExitCode;

use tulle_base::Severity;

use crate::findings::Findings;
use crate::outcome::Outcome;

/// Check manifests offline: every problem of every file, as `file:line: kind ns/name: field: message; fix`.
///
/// A document without metadata, as documentation shows them, is a part of a resource: what it says is checked, what it lacks is
/// a warning, and nothing of it would be applied. Text and files of other programs are named with a warning.
///
/// Ends with 1 if there are errors, with 2 if a path cannot be read. Example: tulle validate ./manifests
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files, folders (with everything below them that ends in .yaml, .yml or .json), or - for standard input.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Output format: text or json.
    #[arg(short, long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    output: String,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let found = Findings::read(&args.paths, drop)?;
    if args.output == "json" {
        found.print_json()
    } else {
        found.print_text()
    }
    let failed = found.count(Severity::Error) > 0;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
