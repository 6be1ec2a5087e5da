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

/// The known host nearest to one that is not known, in the form that a resource of `namespace` would write.
pub fn near_host(snapshot: &Snapshot, written: &str, namespace: &str) -> Option<String> {
    let mesh = snapshot.mesh();
    let visible = snapshot.services().filter(|s| s.export_to.visible_to(namespace)).take(MAX_CANDIDATES);
    let hosts: Vec<&str> = visible.map(|s| s.hostname.as_str()).collect();
    let names: Vec<&str> = hosts.iter().map(|h| short(h, namespace, mesh)).collect();
    nearest(written, names.iter().copied())
        .or_else(|| nearest(written, hosts.iter().copied()))
        .map(str::to_owned)
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
}
