//! `tulle version`: which build this is.

use std::process::ExitCode;

use crate::outcome::Outcome;

/// Print the version of this binary.
///
/// Example: tulle version -o json
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Output format: text or json.
    #[arg(short, long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    output: String,
}

#[allow(clippy::print_stdout, reason = "the result of a command goes to stdout")]
#[allow(clippy::unnecessary_wraps, reason = "all commands have one shape")]
pub(crate) fn run(args: &Args) -> Outcome {
    let version = env!("CARGO_PKG_VERSION");
    if args.output == "json" {
        println!("{}", serde_json::json!({ "version": version }));
    } else {
        println!("tulle {version}");
    }
    Ok(ExitCode::SUCCESS)
}
