//! Settings of the mesh as documents say them, and what follows: the last of those that say something is in force, field by
//! field. What the program was started with comes first, then IstioOperators from the oldest on, then the ConfigMap `istio`.

use tulle_api::mesh as api;

use crate::config::MeshConfig;
use crate::convert::networks::networks;
use crate::convert::settings::put_in_force;
use crate::destination::DestinationRule;
use crate::item::Item;
use crate::meta::Meta;
use crate::provider::{ExtensionProvider, ProviderKind};
use crate::routing::RouteSet;
use crate::service::Service;
use crate::snapshot::Snapshot;
use crate::visibility::ExportTo;

/// Settings that a document says.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The document.
    pub meta: Meta,
    /// What it says.
    pub written: api::MeshConfig,
    /// Networks, where it says any.
    pub networks: Option<api::MeshNetworks>,
}

impl Settings {
    /// Whether it is the ConfigMap, which is over all others.
    fn is_config_map(&self) -> bool {
        self.meta.resource.kind == "ConfigMap"
    }
}

/// `given` with what documents say.
pub(crate) fn in_force<'a>(given: &MeshConfig, documents: impl Iterator<Item = &'a Settings>) -> MeshConfig {
    let mut all: Vec<&Settings> = documents.collect();
    all.sort_by(|a, b| a.is_config_map().cmp(&b.is_config_map()).then_with(|| a.meta.by_age(&b.meta)));
    let mut out = given.clone();
    for settings in all {
        put_in_force(&mut out, &settings.written);
        if let Some(written) = &settings.networks {
            out.networks = networks(written);
        }
    }
    out
}

/// The item under settings that say otherwise who sees what says nothing about that; `None` where it is the same.
pub(crate) fn exported_again(item: &Item, mesh: &MeshConfig) -> Option<Item> {
    let again = |default: &[String], meta: &Meta| ExportTo::parse_or([], default, meta.namespace());
    match item {
        Item::Services(services) if services.iter().any(|s| s.exports_by_default) => {
            let one =
                |s: &Service| Service { export_to: again(&mesh.service_export_to, &s.meta), ..s.clone() };
            Some(Item::Services(services.iter().map(one).collect()))
        }
        Item::Routes(routes) if routes.exports_by_default => Some(Item::Routes(RouteSet {
            export_to: again(&mesh.routes_export_to, &routes.meta),
            ..routes.clone()
        })),
        Item::Destination(rule) if rule.exports_by_default => {
            Some(Item::Destination(Box::new(DestinationRule {
                export_to: again(&mesh.destination_export_to, &rule.meta),
                ..DestinationRule::clone(rule)
            })))
        }
        _ => None,
    }
    .filter(|new| new != item)
}

impl MeshConfig {
    /// What a provider is that a Telemetry names, in any case. `prometheus` is there without being defined, as in Istio.
    pub fn telemetry_provider(&self, name: &str) -> Option<&ProviderKind> {
        const BUILT_IN: &[(&str, ProviderKind)] = &[("prometheus", ProviderKind::Prometheus)];
        let defined = self.providers.iter().find(|p| p.name.eq_ignore_ascii_case(name)).map(|p| &p.kind);
        let built_in =
            || BUILT_IN.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, kind)| kind);
        defined.or_else(built_in)
    }
}

impl Snapshot {
    /// The extension provider of this name, as policies write it.
    pub fn extension_provider(&self, name: &str) -> Option<&ExtensionProvider> {
        self.mesh().providers.iter().find(|p| p.name == name)
    }
}
