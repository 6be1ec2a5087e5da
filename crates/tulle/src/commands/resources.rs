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

#[cfg(test)]
mod tests {
    use super::*;

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
