//! The pure function from snapshot and proxy to Envoy v3 resources.
//!
//! [`listeners`], [`clusters`], [`endpoints`], [`routes`] and [`name_table`] each answer one discovery type for one
//! [`Proxy`]. What a proxy gets for its outbound traffic depends on its [`View`] alone: proxies with equal
//! [`View::key`] get equal resources, so that a control plane makes and encodes them once. Inbound resources depend on
//! the workload. Equal input gives equal bytes; [`Resource::version`] is a hash of them.
//!
//! Names and shapes are Istio's (ARCHITECTURE.md, "What travels"), with provenance in
//! `metadata.filter_metadata["istio"]`.

mod access_log;
mod affected;
mod canonical;
mod cluster;
mod discovery;
mod dynamic;
mod edge;
mod endpoint;
mod envoy_filter;
mod external_auth;
mod families;
mod filters;
mod guards;
mod jwt;
mod listener;
mod locality;
mod names;
mod nds;
mod network;
mod pb;
mod proxy;
mod rate_limit;
mod rbac;
mod resource;
mod route;
mod sources;
mod telemetry;
mod tls;
mod tracing;
mod view;

use tulle_mesh::Snapshot;

pub use affected::{Types, affected};
pub use canonical::canonical;
pub use families::Families;
pub use names::{ClusterName, Direction};
pub use proxy::{Kind, NodeError, Proxy};
pub use resource::{PatchRef, Resource};
pub use view::View;

/// Every listener of `proxy` (LDS), sorted by name.
pub fn listeners(snapshot: &Snapshot, proxy: &Proxy, view: &View) -> Vec<Resource> {
    match proxy.kind {
        Kind::Sidecar => {
            let mut all = outbound_listeners(snapshot, view);
            all.extend(inbound_listeners(snapshot, proxy));
            resource::sorted(all)
        }
        Kind::Router => listener::gateway::listeners(snapshot, proxy, view),
    }
}

/// The outbound listeners of sidecars with this view: the same for all of them.
pub fn outbound_listeners(snapshot: &Snapshot, view: &View) -> Vec<Resource> {
    listener::outbound::listeners(snapshot, view)
}

/// The inbound listeners of a sidecar, of its workload: `virtualInbound`, and those that EnvoyFilters add.
pub fn inbound_listeners(snapshot: &Snapshot, proxy: &Proxy) -> Vec<Resource> {
    listener::inbound::listeners(snapshot, proxy)
}

/// Every cluster of `proxy` (CDS), sorted by name.
pub fn clusters(snapshot: &Snapshot, proxy: &Proxy, view: &View) -> Vec<Resource> {
    let mut all = outbound_clusters(snapshot, view);
    if proxy.kind == Kind::Sidecar {
        all.extend(inbound_clusters(snapshot, proxy));
    }
    resource::sorted(all)
}

/// The outbound clusters of proxies with this view: the same for all of them.
pub fn outbound_clusters(snapshot: &Snapshot, view: &View) -> Vec<Resource> {
    cluster::outbound::all(snapshot, view)
}

/// The outbound clusters of one host of the view.
pub fn clusters_of_host(snapshot: &Snapshot, view: &View, host: &tulle_base::Host) -> Vec<Resource> {
    match view.service(host) {
        Some(service) => cluster::outbound::of_one(snapshot, view, service),
        None => Vec::new(),
    }
}

/// The inbound clusters of a sidecar: of its workload.
pub fn inbound_clusters(snapshot: &Snapshot, proxy: &Proxy) -> Vec<Resource> {
    cluster::inbound::all(snapshot, proxy)
}

/// The endpoints of the cluster `name` (EDS); `None` when the view has no such EDS cluster.
pub fn endpoints(snapshot: &Snapshot, view: &View, name: &str) -> Option<Resource> {
    endpoint::assignment(snapshot, view, name)
}

/// The names of all EDS clusters of the view, sorted.
pub fn endpoint_names(snapshot: &Snapshot, view: &View) -> Vec<String> {
    endpoint::names(snapshot, view)
}

/// The route configuration `name` (RDS); `None` when nothing of the view refers to it.
pub fn routes(snapshot: &Snapshot, proxy: &Proxy, view: &View, name: &str) -> Option<Resource> {
    match proxy.kind {
        Kind::Sidecar => route::sidecar::configuration(snapshot, view, name),
        Kind::Router => route::gateway::configuration(snapshot, proxy, view, name),
    }
}

/// The names of all route configurations that `proxy`'s listeners refer to, sorted.
pub fn route_names(snapshot: &Snapshot, proxy: &Proxy, view: &View) -> Vec<String> {
    match proxy.kind {
        Kind::Sidecar => route::sidecar::names(view),
        Kind::Router => route::gateway::names(snapshot, proxy),
    }
}

/// The Secrets, beside those of its own namespace, that a gateway's listeners ask for by
/// `kubernetes-gateway://NAMESPACE/NAME`, sorted. Sidecars have none.
pub fn secrets(snapshot: &Snapshot, proxy: &Proxy) -> Vec<tulle_mesh::NsName> {
    match proxy.kind {
        Kind::Sidecar => Vec::new(),
        Kind::Router => edge::secrets(snapshot, proxy),
    }
}

/// The name table of the view (NDS): one resource.
pub fn name_table(snapshot: &Snapshot, view: &View) -> Resource {
    nds::table(snapshot, view)
}
