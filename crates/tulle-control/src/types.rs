//! The discovery types that are served, and what names that do not exist stand for.

use std::sync::Arc;

use tulle_proto::Message as _;
use tulle_proto::envoy::endpoint::ClusterLoadAssignment;
use tulle_proto::envoy::route::RouteConfiguration;
use tulle_proto::type_url;
use tulle_xds::Resource;
use tulle_xds::server::{Catalog, TypeConfig, TypeId};

/// The types served, by their short names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Types {
    pub(crate) cds: TypeId,
    pub(crate) eds: TypeId,
    pub(crate) lds: TypeId,
    pub(crate) rds: TypeId,
    pub(crate) nds: TypeId,
    pub(crate) sds: TypeId,
    pub(crate) trust: TypeId,
}

/// Clusters and endpoints first, then listeners and routes: make before break. Endpoints and routes that do not exist are
/// answered as empty, so that a stock Envoy does not wait for them.
pub(crate) fn catalog() -> Catalog {
    let endpoints = Arc::new(|name: &str| {
        let empty = ClusterLoadAssignment { cluster_name: name.to_owned(), ..Default::default() };
        Some(Resource::new(type_url::CLUSTER_LOAD_ASSIGNMENT, name, empty.to_wire().into()))
    });
    let routes = Arc::new(|name: &str| {
        let empty = RouteConfiguration { name: name.to_owned(), ..Default::default() };
        Some(Resource::new(type_url::ROUTE_CONFIGURATION, name, empty.to_wire().into()))
    });
    Catalog::new(vec![
        TypeConfig::ordered(type_url::CLUSTER, 0).with_full_state(),
        TypeConfig::ordered(type_url::CLUSTER_LOAD_ASSIGNMENT, 0).with_stand_in(endpoints),
        TypeConfig::ordered(type_url::LISTENER, 1).with_full_state(),
        TypeConfig::ordered(type_url::ROUTE_CONFIGURATION, 1).with_stand_in(routes),
        TypeConfig::independent(type_url::NAME_TABLE),
        TypeConfig::independent(type_url::SECRET),
        TypeConfig::independent(type_url::TRUST_BUNDLE),
    ])
}

impl Types {
    /// The ids in [`catalog`]; `None` for another catalogue.
    pub(crate) fn of(catalog: &Catalog) -> Option<Self> {
        Some(Self {
            cds: catalog.find(type_url::CLUSTER)?,
            eds: catalog.find(type_url::CLUSTER_LOAD_ASSIGNMENT)?,
            lds: catalog.find(type_url::LISTENER)?,
            rds: catalog.find(type_url::ROUTE_CONFIGURATION)?,
            nds: catalog.find(type_url::NAME_TABLE)?,
            sds: catalog.find(type_url::SECRET)?,
            trust: catalog.find(type_url::TRUST_BUNDLE)?,
        })
    }

    /// Istio's name of a type, for metrics and `/debug/syncz`.
    pub(crate) fn label(self, kind: TypeId) -> &'static str {
        match kind {
            k if k == self.cds => "cds",
            k if k == self.eds => "eds",
            k if k == self.lds => "lds",
            k if k == self.rds => "rds",
            k if k == self.sds => "sds",
            k if k == self.trust => "trust",
            _ => "nds",
        }
    }
}
