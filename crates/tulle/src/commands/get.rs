//! `tulle get`: what there is.

use std::process::ExitCode;

use http::Method;
use serde_json::Value;
use tulle_api::Kind;

use super::resources::{Api, kind, path, succeeded};
use crate::outcome::{Failure, Outcome};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// Show resources of the running mesh.
///
/// Example: tulle get virtualservices -A -o wide
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Kind, or KIND/NAME.
    #[arg(value_name = "KIND")]
    kind: String,
    /// One of them.
    name: Option<String>,
    /// Namespace; default: that of the kubeconfig.
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// All namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only those with these labels.
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<String>,
    /// Form of the output.
    #[arg(short, long, value_name = "FORM", value_parser = ["json", "yaml", "wide", "name"])]
    output: Option<String>,
    #[command(flatten)]
    api: Api,
}

#[allow(clippy::print_stdout, clippy::print_stderr, reason = "what there is is the result of the command")]
pub(crate) fn run(args: &Args) -> Outcome {
    let (word, name) = match args.kind.split_once('/') {
        Some((kind, name)) => (kind, name),
        None => (args.kind.as_str(), args.name.as_deref().unwrap_or_default()),
    };
    let kind = kind(word)?;
    let (runtime, client) = args.api.connect()?;
    let namespace = args.namespace.clone().unwrap_or_else(|| client.namespace().to_owned());
    let everywhere = args.all_namespaces && name.is_empty();
    let namespace = if everywhere { String::new() } else { namespace };
    let mut target = path(kind, &namespace, name);
    if let Some(selector) = &args.selector {
        let escaped: String = selector.bytes().map(|b| format!("%{b:02x}")).collect();
        target.push_str(&format!("?labelSelector={escaped}"));
    }
    let form = args.output.as_deref().unwrap_or_default();
    let accept = if matches!(form, "json" | "yaml" | "name") { "application/json" } else { TABLE };
    let reply = client.request(Method::GET, &target, "application/json", accept, Vec::new());
    let body = succeeded(runtime.block_on(reply).map_err(Failure::unreachable)?)?;
    match form {
        "json" => println!("{body:#}"),
        "yaml" => print!("{}", tulle_api::to_yaml(&body)),
        "name" => print_names(kind, &body),
        _ => {
            let text = table(&body, form == "wide", everywhere && kind.info().namespaced);
            if text.is_empty() {
                eprintln!("there are no {}", kind.info().plural);
            }
            print!("{text}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[allow(clippy::print_stdout, reason = "names are the result of the command")]
fn print_names(kind: Kind, body: &Value) {
    let one = std::slice::from_ref(body);
    let items = body["items"].as_array().map_or(one, Vec::as_slice);
    for item in items {
        println!(
            "{}/{}",
            kind.info().kind.to_lowercase(),
            item["metadata"]["name"].as_str().unwrap_or_default()
        );
    }
}

/// The rows of a `metav1.Table` under each other; empty if there are none.
fn table(body: &Value, wide: bool, namespaces: bool) -> String {
    let none = Vec::new();
    let columns = body["columnDefinitions"].as_array().unwrap_or(&none);
    let shown: Vec<usize> =
        (0..columns.len()).filter(|i| wide || columns[*i]["priority"].as_i64().unwrap_or(0) == 0).collect();
    let cell = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let mut lines: Vec<Vec<String>> = Vec::new();
    for row in body["rows"].as_array().unwrap_or(&none) {
        let mut line: Vec<String> = shown.iter().map(|i| cell(&row["cells"][*i])).collect();
        if namespaces {
            line.insert(0, cell(&row["object"]["metadata"]["namespace"]));
        }
        lines.push(line);
    }
    if lines.is_empty() {
        return String::new();
    }
    let mut head: Vec<String> = shown.iter().map(|i| cell(&columns[*i]["name"]).to_uppercase()).collect();
    if namespaces {
        head.insert(0, "NAMESPACE".to_owned());
    }
    lines.insert(0, head);
    let width = |n: usize| lines.iter().map(|l| l[n].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    let join = |line: &Vec<String>| {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(c, w)| format!("{c:w$}")).collect();
        format!("{}\n", cells.join("   ").trim_end())
    };
    lines.iter().map(join).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let body = serde_json::json!({
            "columnDefinitions": [{"name": "Name", "priority": 0}, {"name": "IP", "priority": 1}, {"name": "Age", "priority": 0}],
            "rows": [{"cells": ["a", "1.2.3.4", "5s"], "object": {"metadata": {"namespace": "shop"}}},
                {"cells": ["longer", null, 7], "object": {"metadata": {"namespace": "b"}}}]});
        assert_eq!(
            table(&body, false, true),
            "NAMESPACE   NAME     AGE\nshop        a        5s\nb           longer   7\n"
        );
        assert_eq!(
            table(&body, true, false),
            "NAME     IP        AGE\na        1.2.3.4   5s\nlonger             7\n"
        );
    }
}
