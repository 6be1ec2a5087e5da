//! Which discovery types of a proxy a change concerns.

use tulle_base::Host;
use tulle_mesh::envoy_filter::Patched;
use tulle_mesh::port::Serving;
use tulle_mesh::{ChangedKeys, Snapshot};

use crate::edge::servers;
use crate::proxy::{Kind, Proxy};
use crate::view::View;

/// Discovery types that may differ after a change. `false` is certain: that type need not be made again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Types {
    /// CDS.
    pub clusters: bool,
    /// EDS.
    pub endpoints: bool,
    /// LDS.
    pub listeners: bool,
    /// RDS.
    pub routes: bool,
    /// NDS.
    pub names: bool,
    /// The proxy sees other things than before: its [`View`] must be made again (it must be also where any other field
    /// but `endpoints` is set).
    pub view: bool,
}

impl Types {
    /// Everything.
    pub const ALL: Self =
        Self { clusters: true, endpoints: true, listeners: true, routes: true, names: true, view: true };

    /// Whether nothing need be done.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// What `changed` concerns of `proxy`, whose view was `before`. `after` is the snapshot with the change.
pub fn affected(after: &Snapshot, proxy: &Proxy, before: &View, changed: &ChangedKeys) -> Types {
    let ChangedKeys {
        services,
        endpoints,
        routes,
        destinations,
        gateways,
        policies,
        scopes,
        patches,
        limits,
        telemetry,
        workloads,
        mesh,
    } = changed;
    let root = &after.mesh().root_namespace;
    let own = |namespaces: &std::collections::BTreeSet<String>| {
        namespaces.contains(proxy.namespace()) || namespaces.contains(root)
    };
    let rescoped = proxy.kind == Kind::Sidecar && own(scopes);
    if *mesh || rescoped || workloads.contains(&proxy.pod) {
        return Types::ALL;
    }
    let mut out = Types::default();
    if services.iter().any(|host| sees(after, before, host)) {
        // The view holds the services themselves.
        out =
            Types { clusters: true, endpoints: true, listeners: true, routes: true, names: true, view: true };
    }
    out.endpoints |= endpoints.iter().any(|host| before.service(host).is_some());
    if destinations.iter().any(|host| before.services().any(|s| host.covers(&s.hostname))) {
        // Subsets are clusters and endpoints of their own; hashing and default retries are the routes'.
        out.clusters = true;
        out.endpoints = true;
        out.routes = true;
        out.listeners |= before.passes();
        // How bytes are carried is the listeners'.
        out.listeners |= destinations.iter().any(|host| carries_bytes(after, before, host));
    }
    let patched = patches.iter().filter(|(ns, _)| *ns == proxy.namespace() || *ns == root);
    for (_, Patched { listeners, routes, clusters }) in patched {
        out.listeners |= listeners;
        out.routes |= routes;
        out.clusters |= clusters;
        out.view = true;
    }
    // Limits are on what comes in, and at gateways.
    out.listeners |= own(limits) || own(policies);
    if own(telemetry) {
        out.listeners = true;
        out.view = true;
    }
    match proxy.kind {
        Kind::Sidecar => {
            if !routes.is_empty() && before.is_scoped() {
                // Imported routes bring their destinations along: other services may be seen now.
                return Types::ALL;
            }
            if !routes.is_empty() {
                out.routes = true;
                // Routes for TCP and TLS are in the listeners. Labels of clients may matter now.
                out.listeners = true;
                out.view = true;
            }
        }
        Kind::Router => {
            let mine =
                |name: &tulle_mesh::NsName| servers(after, proxy).iter().any(|b| b.gateway.name() == *name);
            if gateways.iter().any(|name| mine(name) || after.gateway(name).is_none()) {
                if View::key_of(after, proxy) != before.key() {
                    // It has, or had, clusters for what passes by server name, or shows backends another certificate.
                    return Types::ALL;
                }
                out.routes = true;
                out.listeners = true;
            }
            // Policies of the Gateways served here, which routes may say.
            let served = |ns: &String| servers(after, proxy).iter().any(|b| b.gateway.meta.namespace() == ns);
            if !policies.is_empty() && (own(policies) || policies.iter().any(served)) {
                out.routes = true;
                out.listeners = true;
            }
        }
    }
    out
}

/// Whether the proxy saw the host before, or sees it now.
fn sees(after: &Snapshot, before: &View, host: &Host) -> bool {
    before.service(host).is_some() || after.service(host, &before.namespace).is_some()
}

/// Whether connections are forwarded as bytes to a service that `host` covers.
fn carries_bytes(snapshot: &Snapshot, view: &View, host: &Host) -> bool {
    let opaque = |p: &tulle_mesh::service::ServicePort| p.protocol.serving() != Some(Serving::Http);
    view.services().any(|s| host.covers(&s.hostname) && s.ports.iter().any(opaque))
        || snapshot
            .routes()
            .flat_map(|(_, set)| set.tls.iter().chain(&set.tcp))
            .flat_map(|rule| &rule.destinations)
            .any(|to| host.covers(&to.destination.host))
}
