//! Ingress and IngressClass.

use tulle_api::{Object, kubernetes as k8s};
use tulle_base::Host;

use super::cx::Cx;
use crate::ingress::{
    Ingress, IngressBackend, IngressClass, IngressPath, IngressPort, IngressRule, IngressTls,
};
use crate::routing::StringMatch;

/// The class in its old form.
const CLASS: &str = "kubernetes.io/ingress.class";
/// Makes a class the one of Ingresses without class.
const IS_DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";

/// The class of an IngressClass.
pub(super) fn class(cx: &Cx<'_>, object: &Object, spec: &k8s::IngressClass) -> IngressClass {
    let k8s::IngressClass { controller, parameters: _ } = spec; // the last is said by the reader
    let is_default = object.meta.annotations.get(IS_DEFAULT).is_some_and(|v| v == "true");
    IngressClass { meta: cx.meta.clone(), controller: controller.clone(), is_default }
}

/// The rules of an Ingress.
pub(super) fn ingress(cx: &mut Cx<'_>, object: &Object, spec: &k8s::Ingress) -> Ingress {
    let k8s::Ingress { ingress_class_name, default_backend, tls, rules } = spec;
    let default_backend = default_backend.as_ref().and_then(|b| backend(cx, "spec.defaultBackend", b));
    let mut out = Ingress {
        meta: cx.meta.clone(),
        annotated_class: object.meta.annotations.get(CLASS).cloned(),
        class: Some(ingress_class_name.clone()).filter(|c| !c.is_empty()),
        tls: Vec::new(),
        rules: Vec::new(),
        default_backend,
    };
    for (i, k8s::IngressTls { hosts, secret_name }) in tls.iter().enumerate() {
        let why = "without a Secret there is no certificate";
        cx.not_applied(secret_name.is_empty(), &format!("spec.tls[{i}]"), why);
        let hosts: Vec<Host> = hosts.iter().map(|h| Host::new(h)).collect();
        let hosts = if hosts.is_empty() { vec![Host::new("*")] } else { hosts };
        out.tls.push(IngressTls { hosts, secret: secret_name.clone() });
    }
    for (i, k8s::IngressRule { host, http }) in rules.iter().enumerate() {
        let mut paths = Vec::new();
        for (j, path) in http.iter().flat_map(|h| &h.paths).enumerate() {
            let k8s::IngressPath { path: text, path_type, backend: to } = path;
            let field = format!("spec.rules[{i}].http.paths[{j}].backend");
            if let Some(backend) = backend(cx, &field, to) {
                paths.push(IngressPath { uri: uri(path_type, text), backend });
            }
        }
        let host = Host::new(if host.is_empty() { "*" } else { host });
        out.rules.push(IngressRule { host, paths });
    }
    out
}

/// A destination; `None` for a port that is none, which is said.
fn backend(cx: &mut Cx<'_>, field: &str, given: &k8s::IngressBackend) -> Option<IngressBackend> {
    let k8s::IngressBackend { service, resource: _ } = given; // only Services are backends
    let Some(k8s::IngressServiceBackend { name, port }) = service else {
        return Some(IngressBackend { field: field.to_owned(), host: None, port: IngressPort::Number(0) });
    };
    let host = Host::new(&format!("{name}.{}.svc.{}", cx.meta.namespace(), cx.domain));
    let port = match port {
        Some(k8s::IngressServicePort { name, number: _ }) if !name.is_empty() => {
            IngressPort::Name(name.clone())
        }
        Some(k8s::IngressServicePort { name: _, number }) => {
            let number = number.map(|n| u32::try_from(n).unwrap_or_default());
            IngressPort::Number(cx.port(number, &format!("{field}.service.port.number"))?)
        }
        None => IngressPort::Number(0),
    };
    Some(IngressBackend { field: field.to_owned(), host: Some(host), port })
}

/// A path. Those that are left to the implementation are read as Istio reads them: exact, or with `*` or `.*` at the end a
/// prefix, as raw text.
fn uri(path_type: &str, path: &str) -> Option<StringMatch> {
    match (path_type, path) {
        ("Exact", _) => Some(StringMatch::Exact(path.to_owned())),
        ("Prefix", _) => match path.trim_end_matches('/') {
            "" => None,
            prefix => Some(StringMatch::Segments(prefix.to_owned())),
        },
        (_, "" | "*" | "/*" | ".*") => None,
        (_, _) => {
            let prefix = path.strip_suffix(".*").or_else(|| path.strip_suffix("/*"));
            Some(match prefix {
                Some(prefix) => StringMatch::Prefix(prefix.to_owned()),
                None => StringMatch::Exact(path.to_owned()),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_by_their_type() {
        let segments = |p: &str| Some(StringMatch::Segments(p.into()));
        assert_eq!(uri("Prefix", "/a/"), segments("/a"));
        assert_eq!(uri("Prefix", "/"), None);
        assert_eq!(uri("Exact", "/a/"), Some(StringMatch::Exact("/a/".into())));
        assert_eq!(uri("ImplementationSpecific", "/a/*"), Some(StringMatch::Prefix("/a".into())));
        assert_eq!(uri("ImplementationSpecific", "/a.*"), Some(StringMatch::Prefix("/a".into())));
        assert_eq!(uri("ImplementationSpecific", "/a"), Some(StringMatch::Exact("/a".into())));
        assert_eq!(uri("ImplementationSpecific", "/*"), None);
    }
}
