//! What belongs to one proxy alone: a sidecar's inbound resources, a gateway's listeners and routes.

use std::sync::Arc;

use tulle_base::ResourceRef;
use tulle_mesh::Snapshot;
use tulle_translate::{Kind, Proxy, View};
use tulle_xds::server::TypeId;

use crate::ledger::Holder;
use crate::press::Press;
use crate::sets::Published;
use crate::types::Types;

/// One proxy's own sets.
pub(crate) struct Own {
    pub(crate) holder: Holder,
    clusters: Option<Published>,
    listeners: Published,
    routes: Option<Published>,
}

impl Own {
    /// Makes the sets and everything in them.
    pub(crate) fn new(press: &mut Press<'_>, snapshot: &Snapshot, proxy: &Proxy, view: &View) -> Self {
        let types = press.types;
        let holder = press.ledger.holder();
        let of = Some(holder);
        let mut own = Self {
            holder,
            clusters: (proxy.kind == Kind::Sidecar).then(|| Published::new(press.hub, types.cds, of)),
            listeners: Published::new(press.hub, types.lds, of),
            routes: (proxy.kind == Kind::Router).then(|| Published::new(press.hub, types.rds, of)),
        };
        own.make(press, snapshot, proxy, view);
        own
    }

    /// Makes everything again; what is as before is not sent.
    pub(crate) fn make(&mut self, press: &mut Press<'_>, snapshot: &Snapshot, proxy: &Proxy, view: &View) {
        let types = press.types;
        if let Some(clusters) = &mut self.clusters {
            let made = tulle_translate::inbound_clusters(snapshot, proxy);
            let all = press.share(types.cds, &made);
            press.replace(clusters, all);
        }
        let made = match proxy.kind {
            Kind::Sidecar => tulle_translate::inbound_listeners(snapshot, proxy),
            Kind::Router => tulle_translate::listeners(snapshot, proxy, view),
        };
        let all = press.share(types.lds, &made);
        press.replace(&mut self.listeners, all);
        if let Some(routes) = &mut self.routes {
            let made: Vec<_> = tulle_translate::route_names(snapshot, proxy, view)
                .iter()
                .filter_map(|name| tulle_translate::routes(snapshot, proxy, view, name))
                .collect();
            let all = press.share(types.rds, &made);
            press.replace(routes, all);
        }
    }

    pub(crate) fn clusters(&self) -> Option<&Published> {
        self.clusters.as_ref()
    }

    pub(crate) fn listeners(&self) -> Option<&Published> {
        Some(&self.listeners)
    }

    pub(crate) fn routes(&self) -> Option<&Published> {
        self.routes.as_ref()
    }

    /// The resources of the mesh that a resource was made of.
    pub(crate) fn made_by(&self, types: Types, kind: TypeId, name: &str) -> Option<&Arc<[ResourceRef]>> {
        let set = match kind {
            k if k == types.cds => self.clusters.as_ref(),
            k if k == types.lds => Some(&self.listeners),
            k if k == types.rds => self.routes.as_ref(),
            _ => None,
        };
        set.and_then(|s| s.made_by(name))
    }

    /// Forgets the sets; no stream is bound to them any more.
    pub(crate) fn withdraw(self, hub: &tulle_xds::server::Hub) {
        for set in [self.clusters, Some(self.listeners), self.routes].into_iter().flatten() {
            set.withdraw(hub);
        }
    }
}
