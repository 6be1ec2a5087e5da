//! Host names as resources write them, and the known ones.

use tulle_base::Host;
use tulle_base::nearest::nearest;
use tulle_mesh::{MeshConfig, Snapshot};

/// Candidates that are compared at most when a near name is looked for.
const MAX_CANDIDATES: usize = 5_000;

/// The fully qualified form of `name` as written in `namespace`: a name without a dot is a service there.
pub fn fqdn(name: &str, namespace: &str, mesh: &MeshConfig) -> Host {
    if name.contains('.') || name.contains('*') || name.is_empty() {
        Host::new(name)
    } else {
        Host::new(&format!("{name}.{namespace}.svc.{}", mesh.domain))
    }
}

/// The shortest form by which a resource of `namespace` can name `host`.
pub fn short<'a>(host: &'a str, namespace: &str, mesh: &MeshConfig) -> &'a str {
    let own = format!(".{namespace}.svc.{}", mesh.domain);
    host.strip_suffix(own.as_str()).filter(|s| !s.contains('.')).unwrap_or(host)
}

/// The known host that a resource of `namespace` most likely meant by one that is not known, in the form that it would write:
/// a service of the same namespace with nearly that name, one of that very name elsewhere, or nearly that external host.
pub fn near_host(snapshot: &Snapshot, written: &str, namespace: &str) -> Option<String> {
    let mesh = snapshot.mesh();
    let suffix = format!(".svc.{}", mesh.domain);
    let wanted = fqdn(written, namespace, mesh);
    let visible = snapshot.services().filter(|s| s.export_to.visible_to(namespace)).take(MAX_CANDIDATES);
    let hosts: Vec<&str> = visible.map(|s| s.hostname.as_str()).collect();
    let inner = wanted.as_str().strip_suffix(&suffix).unwrap_or(wanted.as_str());
    let Some((name, of)) = inner.split_once('.').filter(|(_, of)| !of.contains('.')) else {
        let external = hosts.iter().copied().filter(|h| !h.ends_with(&suffix));
        return nearest(wanted.as_str(), external).map(str::to_owned);
    };
    let inside = || hosts.iter().filter_map(|h| h.strip_suffix(&suffix)?.split_once('.'));
    let near = nearest(name, inside().filter(|(_, ns)| *ns == of).map(|(n, _)| n)).map(|n| (n, of));
    let found = near.or_else(|| inside().find(|(n, _)| *n == name));
    found.map(|(n, ns)| short(&format!("{n}.{ns}{suffix}"), namespace, mesh).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_belong_to_the_namespace() {
        let mesh = MeshConfig::default();
        assert_eq!(fqdn("cart", "shop", &mesh).as_str(), "cart.shop.svc.cluster.local");
        assert_eq!(fqdn("a.example.com", "shop", &mesh).as_str(), "a.example.com");
        assert_eq!(short("cart.shop.svc.cluster.local", "shop", &mesh), "cart");
        assert_eq!(short("cart.shop.svc.cluster.local", "pay", &mesh), "cart.shop.svc.cluster.local");
    }

    #[test]
    fn near_names_and_the_same_name_elsewhere() {
        let text = "{apiVersion: v1, kind: Service, metadata: {name: cart, namespace: shop}, spec: {ports: [{port: 80}]}}\n---\n\
                    {apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: api, namespace: shop}, \
                    spec: {hosts: [api.example.com], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}}";
        let (objects, problems) = tulle_api::parse_manifests("", text.as_bytes());
        assert_eq!(objects.len(), 2, "{problems:?}");
        let put = |o| tulle_mesh::Change::Put(std::sync::Arc::new(o));
        let changes: Vec<_> = objects.into_iter().map(put).collect();
        let (snapshot, _) = Snapshot::new(MeshConfig::default()).apply(&changes);
        let near = |written, namespace| near_host(&snapshot, written, namespace);
        assert_eq!(near("crat", "shop").as_deref(), Some("cart"));
        assert_eq!(
            near("crat.shop.svc.cluster.local", "pay").as_deref(),
            Some("cart.shop.svc.cluster.local")
        );
        assert_eq!(near("cart", "pay").as_deref(), Some("cart.shop.svc.cluster.local"));
        assert_eq!(near("api.exmple.com", "pay").as_deref(), Some("api.example.com"));
        assert_eq!(near("checkout", "shop"), None);
    }
}
