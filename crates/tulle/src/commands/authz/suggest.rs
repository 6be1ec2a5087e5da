//! `tulle authz suggest`: the smallest ALLOW policies for the traffic that was observed.

use std::process::ExitCode;

use crate::commands::resources::Api;
use crate::least::live::Live;
use crate::least::observed::{Observed, Telemetry};
use crate::least::suggest::{Suggestion, Suggestions, Wanted, suggest};
use crate::outcome::Outcome;

/// Write the smallest ALLOW policies that let the observed traffic pass: for each application the identities that called it, and the
/// ports that they used.
///
/// Metrics know callers, workloads and ports, but not methods, paths and hosts: those stay open to the callers. Requests in the clear
/// have no identity, and no policy is written for them; comments say so. Nothing is changed: read it, then apply it.
///
/// Example: tulle authz suggest -n shop --window 24h > policies.yaml
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only for workloads of this namespace.
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// For workloads that nobody called, write a policy that lets nobody in.
    #[arg(long)]
    deny_unused: bool,
    /// Form of the output.
    #[arg(short, long, value_name = "FORM", default_value = "yaml", value_parser = ["yaml", "json"])]
    output: String,
    #[command(flatten)]
    telemetry: Telemetry,
    #[command(flatten)]
    api: Api,
}

#[allow(clippy::print_stdout, reason = "the result of a command goes to stdout")]
pub(crate) fn run(args: &Args) -> Outcome {
    let seen = args.telemetry.ask(args.api.state())?;
    let live = Live::ask(&args.api)?;
    let wanted = Wanted { namespace: args.namespace.clone(), deny_unused: args.deny_unused };
    let all = suggest(&live, &seen, &wanted);
    if args.output == "json" {
        println!("{:#}", json(&all));
    } else {
        print!("{}", text(&seen, &all));
    }
    Ok(ExitCode::SUCCESS)
}

fn json(all: &Suggestions) -> serde_json::Value {
    let items: Vec<_> = all.policies.iter().map(|s| s.policy.clone()).collect();
    let notes: Vec<&String> = all.policies.iter().flat_map(|s| &s.notes).chain(&all.notes).collect();
    serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items, "metadata": {"notes": notes}})
}

/// YAML whose comments say what it is made of, and what it does not know.
fn text(seen: &Observed, all: &Suggestions) -> String {
    let at = |seconds| {
        let at = jiff::Timestamp::from_second(i64::try_from(seconds).unwrap_or_default());
        at.map(|at| at.to_string()).unwrap_or_default()
    };
    let mut out = format!(
        "# The smallest ALLOW policies for what proxies counted from {} to {}.\n\
         # Identities and ports are known; methods, paths and hosts are not counted, so that they stay open to these callers.\n",
        at(seen.since()),
        at(seen.until)
    );
    let comment = |out: &mut String, note: &String| out.push_str(&format!("# {note}\n"));
    all.notes.iter().for_each(|note| comment(&mut out, note));
    for Suggestion { policy, notes } in &all.policies {
        out.push_str("---\n");
        notes.iter().for_each(|note| comment(&mut out, note));
        out.push_str(&tulle_api::to_yaml(policy));
    }
    out
}
