//! `tulle analyze`: what is wrong between manifests.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use tulle_api::Object;
use tulle_base::Severity;

use crate::findings::Findings;
use crate::outcome::Outcome;

/// Check manifests against each other: all that `validate` finds, and pitfalls that take several objects to see.
///
/// Each finding has a code: Istio's (ISTnnnn) where there is one, TULnnnn otherwise. Ends with 1 if there are errors, with 2 if a
/// path cannot be read. Example: tulle analyze ./manifests
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
    let mut objects: Vec<Arc<Object>> = Vec::new();
    let mut found = Findings::read(&args.paths, |object| objects.push(object))?;
    found.add(tulle_analysis::analyze(&objects, tulle_analysis::MeshConfig::default()))?;
    if args.output == "json" {
        found.print_json()
    } else {
        found.print_text()
    }
    let failed = found.count(Severity::Error) > 0;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
