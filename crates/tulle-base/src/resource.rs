//! References to resources, and the provenance that travels with everything made from them.

use std::fmt;

/// Names one resource: group, kind, namespace and name.
///
/// The version is left out on purpose: `v1`, `v1beta1` and `v1alpha3` of one kind are the same resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceRef {
    /// API group, empty for the core group.
    pub group: String,
    /// Kind as written in manifests, such as `VirtualService`.
    pub kind: String,
    /// Namespace, empty for resources that belong to the whole cluster.
    pub namespace: String,
    /// Name within the namespace.
    pub name: String,
}

impl ResourceRef {
    /// A reference from its four parts.
    pub fn new(
        group: impl Into<String>,
        kind: impl Into<String>,
        namespace: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        Self { group: group.into(), kind: kind.into(), namespace: namespace.into(), name: name.into() }
    }

    /// The API path that Istio writes into `filter_metadata["istio"].config`, for example
    /// `/apis/networking.istio.io/v1/namespaces/shop/virtual-service/cart`.
    ///
    /// The kind is in kebab case and singular, as Istio's `config.Meta.Key` consumers expect it.
    pub fn api_path(&self, version: &str) -> String {
        format!(
            "/apis/{}/{}/namespaces/{}/{}/{}",
            self.group,
            version,
            self.namespace,
            kebab(&self.kind),
            self.name
        )
    }

    /// Reads what [`ResourceRef::api_path`] wrote; `None` when `path` has another shape.
    pub fn from_api_path(path: &str) -> Option<Self> {
        let mut parts = path.strip_prefix("/apis/")?.split('/');
        let (group, _version) = (parts.next()?, parts.next()?);
        if parts.next()? != "namespaces" {
            return None;
        }
        let (namespace, kind, name) = (parts.next()?, parts.next()?, parts.next()?);
        parts.next().is_none().then(|| Self::new(group, camel(kind), namespace, name))
    }
}

impl fmt::Display for ResourceRef {
    /// `VirtualService shop/cart`, or `Namespace shop` for a resource without namespace.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// Which resource, and which rule of it, made a route, cluster, filter chain, policy or endpoint set.
///
/// Travels in xDS as `metadata.filter_metadata["istio"]` with the fields `config` (the API path) and `rule`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Provenance {
    /// The resource.
    pub resource: ResourceRef,
    /// Version of its API, for the `config` path.
    pub version: String,
    /// The rule within it, such as `http[2]` or `spec.rules[0]`; empty for the resource as a whole.
    pub rule: String,
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.resource)?;
        if self.rule.is_empty() { Ok(()) } else { write!(f, " {}", self.rule) }
    }
}

/// A run of capitals is one word: `HTTPRoute` is `http-route`.
fn kebab(kind: &str) -> String {
    let letters: Vec<char> = kind.chars().collect();
    let mut out = String::with_capacity(kind.len() + 4);
    for (i, c) in letters.iter().enumerate() {
        let after_small = i > 0 && !letters[i - 1].is_ascii_uppercase();
        let before_small = i > 0 && letters.get(i + 1).is_some_and(|next| !next.is_ascii_uppercase());
        if c.is_ascii_uppercase() && (after_small || before_small) {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// Words that kinds write in capitals.
const CAPITALS: [&str; 5] = ["http", "grpc", "tls", "tcp", "udp"];

fn camel(kebab: &str) -> String {
    let mut out = String::with_capacity(kebab.len());
    for word in kebab.split('-') {
        if CAPITALS.contains(&word) {
            out.push_str(&word.to_ascii_uppercase());
        } else {
            let mut letters = word.chars();
            out.extend(letters.next().map(|c| c.to_ascii_uppercase()));
            out.push_str(letters.as_str());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_path_round_trip() {
        let r = ResourceRef::new("networking.istio.io", "VirtualService", "shop", "cart");
        let path = r.api_path("v1");
        assert_eq!(path, "/apis/networking.istio.io/v1/namespaces/shop/virtual-service/cart");
        assert_eq!(ResourceRef::from_api_path(&path), Some(r));
        assert_eq!(ResourceRef::from_api_path("/apis/x/y"), None);
    }

    #[test]
    fn capitals_are_one_word() {
        for (kind, path) in [
            ("HTTPRoute", "http-route"),
            ("BackendTLSPolicy", "backend-tls-policy"),
            ("GRPCRoute", "grpc-route"),
        ] {
            let r = ResourceRef::new("gateway.networking.k8s.io", kind, "shop", "a");
            assert_eq!(
                r.api_path("v1"),
                format!("/apis/gateway.networking.k8s.io/v1/namespaces/shop/{path}/a")
            );
            assert_eq!(ResourceRef::from_api_path(&r.api_path("v1")), Some(r));
        }
    }
}
