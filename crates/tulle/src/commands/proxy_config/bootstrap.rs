//! What a proxy began with.

use std::process::ExitCode;

use serde_json::Value;

use super::admin::{Kept, Workload};
use super::dump::{self, text};
use super::secrets;
use super::show::{Form, renamed};
use crate::outcome::Outcome;

/// Show the bootstrap of a workload's proxy. Private keys are never shown.
///
/// Example: tulle proxy-config bootstrap -n shop deploy/web
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    workload: Workload,
    #[command(flatten)]
    kept: Kept,
    /// Output format; short shows versions.
    #[arg(short, long, value_name = "FORMAT", default_value = "json")]
    output: Form,
}

#[allow(clippy::print_stdout, reason = "the answer is the output of the command")]
pub(super) fn run(args: &Args) -> Outcome {
    let said = args.workload.json(&args.kept, dump::PATH)?;
    let mut part = dump::part(&said, "BootstrapConfigDump").cloned().unwrap_or_default();
    secrets::hide(&mut part);
    let text = args.output.text(&renamed(&part));
    print!("{}", text.unwrap_or_else(|| summary(&said)));
    Ok(ExitCode::SUCCESS)
}

/// The versions in it.
pub(super) fn summary(said: &Value) -> String {
    let part = dump::part(said, "BootstrapConfigDump").unwrap_or(&Value::Null);
    let node = &part["bootstrap"]["node"];
    let mut out = String::new();
    let istio = text(&node["metadata"]["ISTIO_VERSION"]);
    if !istio.is_empty() {
        out.push_str(&format!("Istio Version: {istio}\n"));
    }
    let (agent, version) = (text(&node["user_agent_name"]), text(&node["user_agent_version"]));
    let build = &node["user_agent_build_version"]["version"];
    if !agent.is_empty() && !version.is_empty() {
        out.push_str(&format!("Proxy Version: {agent} {version}\n"));
    } else if build.is_object() {
        let part = |name: &str| build[name].as_u64().unwrap_or_default();
        let version = ["major_number", "minor_number", "patch"].map(|name| part(name).to_string()).join(".");
        out.push_str(&format!("Envoy Version: {version}\n"));
    }
    out
}
