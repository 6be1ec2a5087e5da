//! Namespaces without a word about proxies: their pods are outside of the mesh.

use tulle_api::kubernetes::Namespace;
use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::pods::Pods;
use crate::whole::Whole;

/// A namespace has no label for injection, so that its pods get no proxy.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0102",
    name: "NamespaceNotInjected",
    severity: Severity::Info,
    about: "A namespace has no label for injection, so that its pods get no proxy",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for (object, _) in whole.all::<Namespace>() {
        let (name, labels) = (object.meta.name.as_str(), &object.meta.labels);
        let said = ["istio-injection", "istio.io/rev", "istio.io/dataplane-mode"];
        if name.starts_with("kube-")
            || name == whole.root_namespace()
            || said.iter().any(|k| labels.contains_key(*k))
        {
            continue;
        }
        let key = "sidecar.istio.io/inject";
        let decides = |p: &Pods<'_>| {
            p.in_mesh() || p.meta.labels.contains_key(key) || p.meta.annotations.contains_key(key)
        };
        let mut pods = whole.pods().of_namespace(name).peekable();
        if pods.peek().is_some() && pods.all(decides) {
            continue; // Each pod says for itself what it wants.
        }
        let message = "has no label for injection: its pods get no proxy and are outside of the mesh";
        let fix = "label it istio-injection: enabled, or disabled if that is meant";
        out.report(object, FieldPath::from("metadata.labels"), message, fix);
    }
}
