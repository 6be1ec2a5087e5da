//! `tulle apply`: brings objects to what files say.

use std::path::PathBuf;
use std::process::ExitCode;

use http::Method;
use tulle_api::{Object, parse_manifests};
use tulle_apiserver::Client;
use tulle_base::Severity;

use super::resources::{Api, path, succeeded, title};
use crate::outcome::{Failure, Outcome};

/// Largest file that is read; the parser refuses less, and says so.
const MAX_BYTES: u64 = 17 << 20;

/// Apply manifests to the running mesh (server-side apply). Objects that are wrong are told with file and line; the others are
/// applied, and the exit code is 1.
///
/// Example: tulle apply -f ./manifests
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files or folders of manifests.
    #[arg(short, long = "filename", value_name = "PATH", required = true)]
    filename: Vec<PathBuf>,
    #[command(flatten)]
    api: Api,
    /// Takes over fields that somebody else set.
    #[arg(long)]
    force_conflicts: bool,
    /// Name under which the fields are owned.
    #[arg(long, value_name = "NAME", default_value = "tulle")]
    field_manager: String,
    /// Checks everything and writes nothing.
    #[arg(long)]
    dry_run: bool,
}

/// The objects of files and folders, and whether something was wrong with one of them, which is told on stderr.
#[allow(clippy::print_stderr, reason = "diagnostics are not the result")]
pub(crate) fn read(paths: &[PathBuf]) -> Result<(Vec<Object>, bool), Failure> {
    use std::io::Read as _;
    let (mut objects, mut wrong) = (Vec::new(), false);
    for file in tulle_store::manifest_files(paths).map_err(Failure::usage)? {
        let mut bytes = Vec::new();
        let read = std::fs::File::open(&file).and_then(|f| f.take(MAX_BYTES).read_to_end(&mut bytes));
        read.map_err(|e| Failure::usage(anyhow::anyhow!("{}: {e}", file.display())))?;
        let (found, problems) = parse_manifests(&file.display().to_string(), &bytes);
        for problem in problems.iter().filter(|p| p.severity >= Severity::Warning) {
            eprintln!("{}: {problem}", problem.severity);
            wrong |= problem.severity == Severity::Error;
        }
        objects.extend(found);
    }
    Ok((objects, wrong))
}

#[allow(clippy::print_stdout, clippy::print_stderr, reason = "what was applied is the result of the command")]
pub(crate) fn run(args: &Args) -> Outcome {
    let (objects, mut wrong) = read(&args.filename)?;
    let (runtime, client) = args.api.connect()?;
    for object in &objects {
        match runtime.block_on(apply(args, &client, object)) {
            Ok(what) => println!("{} {what}", title(object)),
            Err(failure) => {
                wrong = true;
                eprintln!("error: {}: {:#}", object.resource(), failure.into_error());
            }
        }
    }
    Ok(if wrong { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

async fn apply(args: &Args, client: &Client, object: &Object) -> Result<&'static str, Failure> {
    let manager: String =
        args.field_manager.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let (force, dry) = (args.force_conflicts, if args.dry_run { "&dryRun=All" } else { "" });
    let place = path(object.kind(), &object.meta.namespace, &object.meta.name);
    let target = format!("{place}?fieldManager={manager}&force={force}{dry}");
    let mut body = object.to_json();
    body["apiVersion"] = object.kind().info().api_version().into();
    let media = "application/apply-patch+yaml";
    let reply =
        client.request(Method::PATCH, &target, media, "application/json", body.to_string().into_bytes());
    let reply = reply.await.map_err(Failure::unreachable)?;
    let created = reply.code == 201;
    succeeded(reply)?;
    Ok(match (created, args.dry_run) {
        (true, false) => "created",
        (false, false) => "applied",
        (true, true) => "would be created (dry run)",
        (false, true) => "would be applied (dry run)",
    })
}
