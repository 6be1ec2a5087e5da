//! What `apply`, `get` and `delete` have in common: the client, the names of kinds, the answers.

use std::path::PathBuf;

use serde_json::Value;
use tulle_api::kind::KindInfo;
use tulle_api::{Kind, Object};
use tulle_apiserver::{Client, Reply};
use tulle_base::nearest::nearest;

use super::mesh::StateDir;
use crate::outcome::Failure;

/// Where the API is.
#[derive(Debug, clap::Args)]
pub(crate) struct Api {
    /// The API to speak with; default: that of the mesh on this machine.
    #[arg(long, value_name = "FILE", env = "KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    #[command(flatten)]
    state: StateDir,
}

impl Api {
    /// The mesh on this machine.
    pub(crate) fn state(&self) -> &StateDir {
        &self.state
    }

    /// A client for it, and the runtime that it needs.
    pub(crate) fn connect(&self) -> Result<(tokio::runtime::Runtime, Client), Failure> {
        let own = self.state.paths().kubeconfig();
        let given = self.kubeconfig.as_ref().filter(|p| !p.as_os_str().is_empty());
        if given.is_none() && !own.exists() {
            return Err(Failure::unreachable(anyhow::anyhow!(
                "no mesh runs with the state directory {}; start one with tulle up, or give --state-dir or --kubeconfig",
                self.state.paths().root().display()
            )));
        }
        let client = Client::from_kubeconfig(given.unwrap_or(&own)).map_err(Failure::usage)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Failure::not_so(anyhow::anyhow!("start a runtime: {e}")))?;
        Ok((runtime, client))
    }
}

/// The kind that a user names: `vs`, `virtualservice`, `virtualservices`, `VirtualService`, with or without its group.
pub(crate) fn kind(name: &str) -> Result<Kind, Failure> {
    let lower = name.to_lowercase();
    let (short, group) = lower.split_once('.').map_or((lower.as_str(), None), |(s, g)| (s, Some(g)));
    let words = |i: &KindInfo| {
        let mut words = vec![i.plural.to_owned(), i.kind.to_lowercase()];
        words.extend(i.short.iter().map(|s| (*s).to_owned()));
        words
    };
    let found = Kind::ALL.iter().copied().find(|k| {
        let info = k.info();
        group.is_none_or(|g| g == info.group) && words(info).iter().any(|w| w == short)
    });
    found.ok_or_else(|| {
        let all: Vec<String> = Kind::ALL.iter().flat_map(|k| words(k.info())).collect();
        let fix = nearest(short, all.iter().map(String::as_str));
        let fix = fix.map_or_else(String::new, |n| format!("; did you mean {n}?"));
        Failure::usage(anyhow::anyhow!("there is no kind {name}{fix}"))
    })
}

/// Where objects of a kind are in the API; an empty namespace for all of them.
pub(crate) fn path(kind: Kind, namespace: &str, name: &str) -> String {
    let info = kind.info();
    let base = match info.group {
        "" => format!("/api/{}", info.versions[0]),
        group => format!("/apis/{group}/{}", info.versions[0]),
    };
    let place = if info.namespaced && !namespace.is_empty() {
        format!("/namespaces/{namespace}")
    } else {
        String::new()
    };
    let name = if name.is_empty() { String::new() } else { format!("/{name}") };
    format!("{base}{place}/{}{name}", info.plural)
}

/// Kind and name as kubectl writes them: `virtualservice.networking.istio.io/cart`.
pub(crate) fn title(object: &Object) -> String {
    let info = object.kind().info();
    let kind = info.kind.to_lowercase();
    let dot = if info.group.is_empty() { "" } else { "." };
    format!("{kind}{dot}{}/{}", info.group, object.meta.name)
}

/// The body of a success; advice goes to stderr.
#[allow(clippy::print_stderr, reason = "advice is not the result")]
pub(crate) fn succeeded(reply: Reply) -> Result<Value, Failure> {
    for warning in &reply.warnings {
        eprintln!("warning: {warning}");
    }
    if (200..300).contains(&reply.code) {
        return Ok(reply.body);
    }
    let message = reply.body["message"].as_str().unwrap_or("no reason was given");
    Err(Failure::not_so(anyhow::anyhow!("{message}")))
}

/// A value as YAML: mappings and lists in block form, text in quotes where it could be read as something else.
pub(crate) fn yaml(value: &Value) -> String {
    let mut out = String::new();
    write_yaml(value, 0, &mut out);
    out
}

fn write_yaml(value: &Value, indent: usize, out: &mut String) {
    let pad = "  ".repeat(indent);
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                out.push_str(&format!("{pad}{}:", scalar(&Value::from(key.as_str()))));
                below(value, indent, out);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for item in list {
                let mut inner = String::new();
                write_yaml(item, indent + 1, &mut inner);
                // The dash stands in the place of the first line's indentation.
                let inner = if nested(item) { inner[pad.len() + 2..].to_owned() } else { inner };
                out.push_str(&format!("{pad}- {inner}"));
            }
        }
        other => out.push_str(&format!("{}\n", scalar(other))),
    }
}

fn below(value: &Value, indent: usize, out: &mut String) {
    if nested(value) {
        out.push('\n');
        // Lists of mappings stand at their key, as kubectl writes them.
        write_yaml(value, if value.is_array() { indent } else { indent + 1 }, out);
    } else {
        out.push_str(&format!(" {}\n", scalar(value)));
    }
}

fn nested(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if plain(text) => text.clone(),
        // JSON's form of everything else is YAML's too.
        other => other.to_string(),
    }
}

/// Whether text is read as that text without quotes.
fn plain(text: &str) -> bool {
    const WORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'))
        && !WORDS.contains(&text.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn yaml_is_read_back_as_it_was() {
        let value = json!({"a": {"b": [{"c": "1", "d": ["x", 2, [], {}]}, "on", [["deep"]]], "e f": null}, "t": "line\nbreak: x", "n": 1.5});
        let text = yaml(&value);
        assert_eq!(tulle_api::parse_document("t", text.as_bytes()).unwrap().to_json(), value, "{text}");
        assert!(text.starts_with("a:\n  b:\n  - c: \"1\"\n"), "{text}");
    }

    #[test]
    fn kinds_have_many_names() {
        for name in ["vs", "VirtualService", "virtualservices", "virtualservices.networking.istio.io"] {
            assert_eq!(kind(name).unwrap(), Kind::VirtualService);
        }
        assert!(kind("virtualservise").is_err());
        assert_eq!(path(Kind::Namespace, "x", "shop"), "/api/v1/namespaces/shop");
        assert_eq!(path(Kind::Deployment, "shop", ""), "/apis/apps/v1/namespaces/shop/deployments");
    }
}
