//! What proxies with equal views share: their outbound resources, made once for all of them.

use std::collections::HashMap;
use std::sync::Arc;

use tulle_base::{Host, ResourceRef};
use tulle_mesh::{ChangedKeys, Snapshot};
use tulle_proto::type_url;
use tulle_translate::{ClusterName, Kind, Proxy, Types as Affected, View};
use tulle_xds::resource::Follow;
use tulle_xds::server::{Hub, Layers, SetId, TypeId};

use crate::ledger::Holder;
use crate::own::Own;
use crate::press::Press;
use crate::sets::Published;
use crate::types::Types;

/// One view with the sets of its resources.
pub(crate) struct Shared {
    pub(crate) holder: Holder,
    view: View,
    /// A proxy with this view, without a pod of its own.
    like: Proxy,
    clusters: Published,
    endpoints: Published,
    listeners: Published,
    routes: Published,
    names: Published,
    /// EDS clusters by host.
    clusters_of: HashMap<Host, Vec<String>>,
    /// How many streams are on it.
    pub(crate) users: usize,
}

impl Shared {
    /// Makes the view of `proxy` and everything in it.
    pub(crate) fn new(press: &mut Press<'_>, snapshot: &Snapshot, proxy: &Proxy) -> Self {
        let types = press.types;
        let holder = press.ledger.holder();
        let of = Some(holder);
        let mut shared = Self {
            holder,
            view: View::of(snapshot, proxy),
            like: proxy.representative(snapshot),
            clusters: Published::new(press.hub, types.cds, of),
            endpoints: Published::new(press.hub, types.eds, of),
            listeners: Published::new(press.hub, types.lds, of),
            routes: Published::new(press.hub, types.rds, of),
            names: Published::new(press.hub, types.nds, of),
            clusters_of: HashMap::new(),
            users: 0,
        };
        shared.make(press, snapshot, Affected::ALL);
        shared
    }

    /// The view as it is now.
    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    /// Makes again what `changed` concerns.
    pub(crate) fn update(&mut self, press: &mut Press<'_>, snapshot: &Snapshot, changed: &ChangedKeys) {
        let affected = tulle_translate::affected(snapshot, &self.like, &self.view, changed);
        if affected.is_empty() {
            return;
        }
        if affected.view {
            self.view = View::of(snapshot, &self.like);
        }
        if affected == (Affected { endpoints: true, ..Affected::default() }) {
            return self.only_endpoints(press, snapshot, changed);
        }
        self.make(press, snapshot, affected);
    }

    /// The sets that a proxy is bound to, type by type in the catalogue's order; `secrets` and `trust` are kept elsewhere.
    pub(crate) fn layers(&self, own: &Own, secrets: Layers, trust: SetId) -> Vec<Layers> {
        let with = |shared: &Published, own: Option<&Published>| -> Layers {
            [Some(shared), own].into_iter().flatten().map(|p| p.id).collect()
        };
        vec![
            with(&self.clusters, own.clusters()),
            with(&self.endpoints, None),
            with(&self.listeners, own.listeners()),
            with(&self.routes, own.routes()),
            with(&self.names, None),
            secrets,
            Layers::from([trust]),
        ]
    }

    /// The resources of the mesh that a resource was made of.
    pub(crate) fn made_by(&self, types: Types, kind: TypeId, name: &str) -> Option<&Arc<[ResourceRef]>> {
        let set = match kind {
            k if k == types.cds => &self.clusters,
            k if k == types.eds => &self.endpoints,
            k if k == types.lds => &self.listeners,
            k if k == types.rds => &self.routes,
            _ => return None,
        };
        set.made_by(name)
    }

    /// Forgets all sets; no stream is bound to them any more.
    pub(crate) fn withdraw(self, hub: &Hub) {
        for set in [self.clusters, self.endpoints, self.listeners, self.routes, self.names] {
            set.withdraw(hub);
        }
    }

    fn only_endpoints(&mut self, press: &mut Press<'_>, snapshot: &Snapshot, changed: &ChangedKeys) {
        let eds = press.types.eds;
        for name in changed.endpoints.iter().filter_map(|host| self.clusters_of.get(host)).flatten() {
            let made = tulle_translate::endpoints(snapshot, &self.view, name);
            let resource = made.map(|r| press.pool.share(eds, &r, None));
            press.set(&mut self.endpoints, name, resource);
        }
    }

    fn make(&mut self, press: &mut Press<'_>, snapshot: &Snapshot, affected: Affected) {
        let types = press.types;
        let Affected { clusters, endpoints, listeners, routes, names, view: _ } = affected;
        if endpoints || clusters {
            self.make_endpoints(press, snapshot);
        }
        if clusters {
            let made = tulle_translate::outbound_clusters(snapshot, &self.view);
            let all = made.iter().map(|r| {
                let follow = self.endpoints.contains(&r.name).then(|| Follow {
                    type_url: type_url::CLUSTER_LOAD_ASSIGNMENT.into(),
                    name: r.name.clone(),
                });
                press.pool.share(types.cds, r, follow)
            });
            let all = all.collect();
            press.replace(&mut self.clusters, all);
        }
        // A gateway's listeners and routes are its own.
        if self.like.kind == Kind::Sidecar {
            if listeners {
                let made = tulle_translate::outbound_listeners(snapshot, &self.view);
                let all = press.share(types.lds, &made);
                press.replace(&mut self.listeners, all);
            }
            if routes {
                let made: Vec<_> = tulle_translate::route_names(snapshot, &self.like, &self.view)
                    .iter()
                    .filter_map(|name| tulle_translate::routes(snapshot, &self.like, &self.view, name))
                    .collect();
                let all = press.share(types.rds, &made);
                press.replace(&mut self.routes, all);
            }
        }
        if names {
            let table = [tulle_translate::name_table(snapshot, &self.view)];
            let all = press.share(types.nds, &table);
            press.replace(&mut self.names, all);
        }
    }

    fn make_endpoints(&mut self, press: &mut Press<'_>, snapshot: &Snapshot) {
        let names = tulle_translate::endpoint_names(snapshot, &self.view);
        self.clusters_of.clear();
        let mut made = Vec::with_capacity(names.len());
        for name in names {
            let Some(resource) = tulle_translate::endpoints(snapshot, &self.view, &name) else { continue };
            made.push(resource);
            if let Some(parsed) = ClusterName::parse(&name) {
                self.clusters_of.entry(parsed.host.as_str().into()).or_default().push(name);
            }
        }
        let all = press.share(press.types.eds, &made);
        press.replace(&mut self.endpoints, all);
    }
}
