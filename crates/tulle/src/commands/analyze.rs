//! `tulle analyze`: what is wrong between manifests, or between the objects of a running mesh.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use tulle_analysis::{MeshConfig, Suppression, analyzers};
use tulle_api::{Object, decode_object};
use tulle_base::{Diagnostic, ResourceRef, Severity};
use tulle_local::host::client;

use super::mesh::{StateDir, failure};
use crate::findings::Findings;
use crate::outcome::{Failure, Outcome};
use crate::patch_check;

/// Check manifests against each other: all that `validate` finds, and pitfalls that take several objects to see.
///
/// Each finding has a code: Istio's (ISTnnnn) where there is one, TULnnnn otherwise. Ends with 1 if there are errors, with 2 if a
/// path cannot be read, with 3 if the mesh cannot be reached. Example: tulle analyze ./manifests
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files, folders (with everything below them that ends in .yaml, .yml or .json), or - for standard input.
    #[arg(required_unless_present_any = ["live", "list_analyzers"], value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Also look at the objects of the running mesh; what the paths say replaces what is there.
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    state: StateDir,
    /// Report only what concerns this namespace; everything is looked at all the same.
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// Leave out a code for a resource, as in 'IST0102=Namespace shop'; * stands for any run of characters. May be given
    /// several times.
    #[arg(short = 'S', long, value_name = "CODE=RESOURCE")]
    suppress: Vec<Suppression>,
    /// List the analyzers with their codes, and end.
    #[arg(short = 'L', long)]
    list_analyzers: bool,
    /// Output format: text or json.
    #[arg(short, long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    output: String,
}

pub(crate) fn run(args: &Args) -> Outcome {
    if args.list_analyzers {
        list(args.output == "json");
        return Ok(ExitCode::SUCCESS);
    }
    let mut objects: Vec<Arc<Object>> = Vec::new();
    let mut found = Findings::read(&args.paths, |object| objects.push(object))?;
    if args.live {
        let written: HashSet<ResourceRef> = objects.iter().map(|o| o.resource()).collect();
        let live = live(&args.state)?;
        let kept = live.into_iter().filter(|o| !written.contains(&o.resource())).map(Arc::new);
        let kept: Vec<Arc<Object>> = kept.collect();
        found.add_mesh(kept.iter().map(|o| o.resource()));
        objects.extend(kept);
    }
    found.add(tulle_analysis::analyze(&objects, MeshConfig::default()))?;
    found.add(patch_check::check(&objects))?;
    found.diagnostics.retain(|finding| {
        args.namespace.as_ref().is_none_or(|ns| concerns(finding, ns))
            && !args.suppress.iter().any(|s| s.covers(finding))
    });
    if args.output == "json" {
        found.print_json()
    } else {
        found.print_text()
    }
    let failed = found.count(Severity::Error) > 0;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Whether a finding is about the namespace or something in it. What could not be read as a resource concerns everybody.
fn concerns(finding: &Diagnostic, namespace: &str) -> bool {
    finding.resource.as_ref().is_none_or(|resource| {
        resource.namespace == namespace || (resource.kind == "Namespace" && resource.name == namespace)
    })
}

/// The objects of the running mesh.
fn live(state: &StateDir) -> Result<Vec<Object>, Failure> {
    let paths = state.paths();
    let names = client::names(&paths).map_err(failure)?;
    let found = client::objects(&paths, &names).map_err(failure)?;
    // What went away in between is not there; what cannot be read is of another version, and no finding.
    Ok(found.into_iter().flatten().filter_map(|json| decode_object(&json).ok()).collect())
}

#[allow(clippy::print_stdout, reason = "the result of a command goes to stdout")]
fn list(as_json: bool) {
    let mut all: Vec<&tulle_analysis::Analyzer> = analyzers::all().map(|(_, a)| a).collect();
    all.sort_by_key(|a| a.code);
    if as_json {
        let rows = all.iter().map(|a| {
            let severity = a.severity.to_string();
            serde_json::json!({"code": a.code, "name": a.name, "severity": severity, "finds": a.about})
        });
        println!("{}", serde_json::Value::Array(rows.collect()));
        return;
    }
    for a in all {
        println!("{} {:<8} {}: {}", a.code, a.severity.to_string(), a.name, a.about);
    }
}

#[cfg(test)]
mod tests {
    use tulle_base::FieldPath;

    use super::*;

    #[test]
    fn a_namespace_and_what_is_in_it() {
        let about = |kind: &str, namespace: &str, name: &str| {
            Diagnostic::error(FieldPath::root(), "x")
                .with_resource(ResourceRef::new("", kind, namespace, name))
        };
        assert!(concerns(&about("Service", "shop", "cart"), "shop"));
        assert!(concerns(&about("Namespace", "", "shop"), "shop"));
        assert!(concerns(&Diagnostic::error(FieldPath::root(), "x"), "shop"));
        assert!(!concerns(&about("Service", "pay", "shop"), "shop"));
        assert!(!concerns(&about("Namespace", "", "pay"), "shop"));
    }
}
