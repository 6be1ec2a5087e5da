//! The ConfigMap `istio`, whose texts `mesh` and `meshNetworks` are documents of their own.

use tulle_base::{Diagnostic, Diagnostics, Severity};

use super::mesh_config::MeshConfig;
use super::networks::MeshNetworks;
use super::proxy::MeshProxyConfig;
use crate::kubernetes::ConfigMap;
use crate::node::{Data, Node};
use crate::schema::{At, Context, Field};
use crate::yaml;

/// Key of the mesh's settings.
pub(crate) const MESH: &str = "mesh";
/// Key of the networks.
pub(crate) const NETWORKS: &str = "meshNetworks";

/// What the ConfigMap `istio` holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Settings of the whole mesh, if the key is there and good.
    pub mesh: Option<MeshConfig>,
    /// How other networks are reached, if the key is there and good.
    pub networks: Option<MeshNetworks>,
}

/// Whether a ConfigMap of this name holds a mesh's settings: `istio`, or `istio-REVISION`.
pub(crate) fn holds_settings(name: &str) -> bool {
    name == "istio" || name.starts_with("istio-")
}

/// Reads the texts of the ConfigMap `istio`. What is wrong with them is said by path, such as
/// `data.mesh.defaultConfig.concurrency`, without places.
pub fn read_config_map(given: &ConfigMap) -> (Settings, Diagnostics) {
    let mut found = Diagnostics::new();
    let settings = Settings {
        mesh: given.data.get(MESH).and_then(|text| read(text, MESH, &mut found)),
        networks: given.data.get(NETWORKS).and_then(|text| read(text, NETWORKS, &mut found)),
    };
    (settings, found)
}

/// The annotation of pods with settings of their proxies, a YAML text.
pub const PROXY_ANNOTATION: &str = "proxy.istio.io/config";

/// Reads the annotation [`PROXY_ANNOTATION`] of a pod; `None` if it cannot be read, with the reason.
pub fn read_proxy_annotation(text: &str) -> (Option<MeshProxyConfig>, Diagnostics) {
    let mut found = Diagnostics::new();
    let metadata = At::ROOT.field("metadata");
    let annotations = metadata.field("annotations");
    let read = read_at(text, &annotations.field(PROXY_ANNOTATION), &mut found);
    (read, found)
}

fn read<T: Field + Default>(text: &str, key: &str, found: &mut Diagnostics) -> Option<T> {
    let data = At::ROOT.field("data");
    read_at(text, &data.field(key), found)
}

fn read_at<T: Field + Default>(text: &str, at: &At<'_>, found: &mut Diagnostics) -> Option<T> {
    let read = yaml::read_document(text, 1);
    for problem in &read.problems {
        let message = format!("line {} of the text {}", problem.line, problem.message);
        found.push(Diagnostic::error(at.path(), message).with_fix(problem.fix.clone()));
    }
    if !read.problems.is_empty() {
        return None;
    }
    let node = match &*read.values {
        [] => return Some(T::default()),
        [node] if node.is_null() => return Some(T::default()),
        [node] => node,
        _ => {
            found.push(Diagnostic::error(at.path(), "holds several documents").with_fix("keep one"));
            return None;
        }
    };
    let mut cx = Context::new("".into(), Severity::Error);
    let value = T::decode(node, at, &mut cx);
    let failed = cx.failed();
    found.extend(cx.finish().into_iter().map(|d| Diagnostic { span: None, ..d }));
    value.filter(|_| !failed)
}

/// Puts what the texts of such a ConfigMap hold in the place of the texts, so that places in them can be found. A text
/// begins on the line below its key, as block texts do.
pub(crate) fn unfold(document: &mut Node) {
    let Data::Map(entries) = &mut document.data else { return };
    let Some(data) = entries.iter_mut().find(|e| &*e.key == "data") else { return };
    let Data::Map(entries) = &mut data.value.data else { return };
    for entry in entries.iter_mut().filter(|e| matches!(&*e.key, MESH | NETWORKS)) {
        let Some(text) = entry.value.as_str().filter(|t| t.contains('\n')) else { continue };
        let mut read = yaml::read_document(text, entry.line.saturating_add(1));
        if read.problems.is_empty() && read.values.len() == 1 {
            entry.value = read.values.remove(0);
        }
    }
}
