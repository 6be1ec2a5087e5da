//! What `/config_dump` shows, as Envoy's messages.

use bytes::Bytes;
use tulle_proto::Message as _;
use tulle_proto::envoy::admin::{
    BootstrapConfigDump, ClustersConfigDump, ConfigDump, EndpointsConfigDump, ListenersConfigDump,
    RoutesConfigDump, SecretsConfigDump, UpdateFailureState, clusters_config_dump, endpoints_config_dump,
    listeners_config_dump, routes_config_dump, secrets_config_dump,
};
use tulle_proto::envoy::bootstrap::Bootstrap;
use tulle_proto::envoy::core::{DataSource, data_source};
use tulle_proto::envoy::tls::{CertificateValidationContext, Secret, TlsCertificate, secret};
use tulle_proto::{Any, pack, type_url};

use super::book::{Refusal, Shelf};
use super::main_thread::Main;

impl Main {
    /// The configuration in force, encoded (`envoy.admin.v3.ConfigDump`); endpoints only if asked for. Keys are not in it, but the
    /// bootstrap and inline TLS contexts are: redact before showing.
    pub(crate) fn config_dump(&self, with_endpoints: bool) -> Vec<u8> {
        let book = self.book.borrow();
        let mut configs = Vec::new();
        let bootstrap = Bootstrap::from_wire(&self.bootstrap).ok().filter(|_| !self.bootstrap.is_empty());
        let statics = bootstrap.as_ref().and_then(|b| b.static_resources.clone()).unwrap_or_default();
        configs.push(pack(&BootstrapConfigDump { bootstrap, last_updated: None }));
        configs.push(pack(&ClustersConfigDump {
            static_clusters: statics
                .clusters
                .iter()
                .map(|c| clusters_config_dump::StaticCluster { cluster: Some(pack(c)), last_updated: None })
                .collect(),
            dynamic_active_clusters: rows(&book.clusters, type_url::CLUSTER, dynamic_cluster),
            dynamic_warming_clusters: book
                .clusters
                .warming()
                .filter_map(|(_, held)| held.raw.as_ref())
                .map(|raw| dynamic_cluster(&raw.version, any(type_url::CLUSTER, &raw.payload), None))
                .collect(),
            ..ClustersConfigDump::default()
        }));
        configs.push(pack(&ListenersConfigDump {
            static_listeners: statics
                .listeners
                .iter()
                .map(|l| listeners_config_dump::StaticListener {
                    listener: Some(pack(l)),
                    last_updated: None,
                })
                .collect(),
            dynamic_listeners: dynamic_listeners(&book.listeners),
            ..ListenersConfigDump::default()
        }));
        configs.push(pack(&RoutesConfigDump {
            dynamic_route_configs: rows(
                &book.routes,
                type_url::ROUTE_CONFIGURATION,
                |version, any, error_state| routes_config_dump::DynamicRouteConfig {
                    version_info: version.to_owned(),
                    route_config: Some(any),
                    error_state,
                    ..Default::default()
                },
            ),
            ..RoutesConfigDump::default()
        }));
        if with_endpoints {
            configs.push(pack(&EndpointsConfigDump {
                dynamic_endpoint_configs: rows(
                    &book.endpoints,
                    type_url::CLUSTER_LOAD_ASSIGNMENT,
                    |version, any, error_state| endpoints_config_dump::DynamicEndpointConfig {
                        version_info: version.to_owned(),
                        endpoint_config: Some(any),
                        error_state,
                        ..Default::default()
                    },
                ),
                ..EndpointsConfigDump::default()
            }));
        }
        configs.push(pack(&self.secrets_dump()));
        ConfigDump { configs }.to_wire()
    }

    /// Certificates and roots in force: public parts only.
    fn secrets_dump(&self) -> SecretsConfigDump {
        let dynamic = |name: String, kind: secret::Type| secrets_config_dump::DynamicSecret {
            name: name.clone(),
            secret: Some(pack(&Secret { name, r#type: Some(kind) })),
            ..Default::default()
        };
        let certificates = self.secrets.certificates().into_iter().map(|(name, certificate)| {
            let chain = Some(inline(pem(certificate.chain())));
            dynamic(
                name,
                secret::Type::TlsCertificate(TlsCertificate {
                    certificate_chain: chain,
                    ..Default::default()
                }),
            )
        });
        let bundles = self.secrets.bundles().into_iter().map(|(name, bundle)| {
            let trusted_ca = Some(inline(pem(bundle.roots())));
            let context = CertificateValidationContext { trusted_ca, ..Default::default() };
            dynamic(name, secret::Type::ValidationContext(context))
        });
        SecretsConfigDump {
            dynamic_active_secrets: certificates.chain(bundles).collect(),
            ..SecretsConfigDump::default()
        }
    }
}

fn dynamic_cluster(
    version: &str,
    cluster: Any,
    error_state: Option<UpdateFailureState>,
) -> clusters_config_dump::DynamicCluster {
    clusters_config_dump::DynamicCluster {
        version_info: version.to_owned(),
        cluster: Some(cluster),
        error_state,
        ..Default::default()
    }
}

/// One row for each resource that xDS brought, sorted by name.
fn rows<T, R>(
    shelf: &Shelf<T>,
    type_url: &str,
    row: impl Fn(&str, Any, Option<UpdateFailureState>) -> R,
) -> Vec<R> {
    let mut raws: Vec<_> = shelf.iter().filter_map(|(_, held)| held.raw.as_ref()).collect();
    raws.sort_by(|a, b| a.name.cmp(&b.name));
    raws.into_iter()
        .map(|raw| {
            let failure = shelf.refused().find(|(name, _)| **name == raw.name).map(|(_, r)| failure(r));
            row(&raw.version, any(type_url, &raw.payload), failure)
        })
        .collect()
}

fn dynamic_listeners<T>(shelf: &Shelf<T>) -> Vec<listeners_config_dump::DynamicListener> {
    use listeners_config_dump::{DynamicListener, DynamicListenerState};
    let state = |raw: &super::book::Raw| DynamicListenerState {
        version_info: raw.version.to_string(),
        listener: Some(any(type_url::LISTENER, &raw.payload)),
        ..Default::default()
    };
    let mut all: std::collections::BTreeMap<String, DynamicListener> = std::collections::BTreeMap::new();
    for (name, held) in shelf.iter() {
        if let Some(raw) = &held.raw {
            all.entry(name.to_string()).or_default().active_state = Some(state(raw));
        }
    }
    for (name, held) in shelf.warming() {
        if let Some(raw) = &held.raw {
            all.entry(name.to_string()).or_default().warming_state = Some(state(raw));
        }
    }
    for (name, refusal) in shelf.refused() {
        all.entry(name.to_string()).or_default().error_state = Some(failure(refusal));
    }
    for (name, listener) in &mut all {
        listener.name.clone_from(name);
    }
    all.into_values().collect()
}

fn failure(refusal: &Refusal) -> UpdateFailureState {
    UpdateFailureState {
        details: refusal.message.clone(),
        version_info: refusal.version.to_string(),
        ..Default::default()
    }
}

fn any(type_url: &str, payload: &Bytes) -> Any {
    Any { type_url: type_url.to_owned(), value: payload.to_vec() }
}

fn inline(text: String) -> DataSource {
    DataSource { specifier: Some(data_source::Specifier::InlineString(text)), ..Default::default() }
}

fn pem(chain: &[rustls_pki_types::CertificateDer<'static>]) -> String {
    use base64::Engine as _;
    let mut out = String::new();
    for certificate in chain {
        out.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = base64::engine::general_purpose::STANDARD.encode(certificate);
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at(rest.len().min(64));
            out.push_str(line);
            out.push('\n');
            rest = more;
        }
        out.push_str("-----END CERTIFICATE-----\n");
    }
    out
}
