//! Clusters (CDS).

pub(crate) mod inbound;
pub(crate) mod outbound;
mod policy;

use std::collections::HashMap;

use tulle_base::Host;
use tulle_mesh::Snapshot;
use tulle_mesh::envoy_filter::PatchContext;
use tulle_mesh::proxies::ProxySettings;
use tulle_mesh::service::{Registry, Service};
use tulle_proto::envoy::cluster::{
    CircuitBreakers, Cluster, circuit_breakers::Thresholds, cluster as kinds, cluster::ClusterDiscoveryType,
};
use tulle_proto::envoy::core::{Http1ProtocolOptions, Http2ProtocolOptions, Metadata};
use tulle_proto::envoy::google::Value;
use tulle_proto::envoy::upstream_http::{
    HttpProtocolOptions, http_protocol_options as http, http_protocol_options::UpstreamProtocolOptions,
};
use tulle_proto::type_url;

use crate::dynamic;
use crate::envoy_filter::{self, Patches};
use crate::names;
use crate::pb::{duration, istio_metadata, list, object, pack, text, u32v};
use crate::resource::{Resource, Resources};
use crate::sources::Sources;

/// Key of the HTTP options among a cluster's typed options.
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// A cluster being built, with the HTTP options that are packed into it at the end.
struct Draft {
    cluster: Cluster,
    http: Option<HttpProtocolOptions>,
    sources: Sources,
}

impl Draft {
    /// A cluster of `discovery` with the mesh's defaults: no limits, its connect timeout.
    fn new(snapshot: &Snapshot, name: String, discovery: kinds::DiscoveryType) -> Self {
        let cluster = Cluster {
            name,
            connect_timeout: Some(duration(snapshot.mesh().connect_timeout)),
            cluster_discovery_type: Some(ClusterDiscoveryType::Type(discovery as i32)),
            circuit_breakers: Some(CircuitBreakers {
                thresholds: vec![no_limits()],
                ..CircuitBreakers::default()
            }),
            common_lb_config: Some(kinds::CommonLbConfig::default()),
            upstream_connection_options: snapshot.mesh().tcp_keepalive.map(policy::connection_options),
            ..Cluster::default()
        };
        Self { cluster, http: None, sources: Sources::default() }
    }

    fn http(&mut self) -> &mut HttpProtocolOptions {
        self.http.get_or_insert_default()
    }

    /// Bytes that are kept for an endpoint, if the proxy's settings say.
    fn buffer(mut self, settings: &ProxySettings) -> Self {
        let limit = settings.connections.upstream_buffer.and_then(u32v);
        self.cluster.per_connection_buffer_limit_bytes = limit;
        self
    }

    /// HTTP/2 always.
    fn http2(&mut self) {
        let config = http::ExplicitHttpConfig {
            protocol_config: Some(http::explicit_http_config::ProtocolConfig::Http2ProtocolOptions(
                Http2ProtocolOptions::default(),
            )),
        };
        self.http().upstream_protocol_options = Some(UpstreamProtocolOptions::ExplicitHttpConfig(config));
    }

    /// What the client speaks.
    fn downstream_protocol(&mut self) {
        let config = http::UseDownstreamHttpConfig {
            http_protocol_options: Some(Http1ProtocolOptions::default()),
            http2_protocol_options: Some(Http2ProtocolOptions::default()),
            ..Default::default()
        };
        self.http().upstream_protocol_options =
            Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(config));
    }

    /// Whether HTTP/2 is always spoken.
    fn is_http2(&self) -> bool {
        matches!(
            self.http.as_ref().and_then(|h| h.upstream_protocol_options.as_ref()),
            Some(UpstreamProtocolOptions::ExplicitHttpConfig(http::ExplicitHttpConfig {
                protocol_config: Some(http::explicit_http_config::ProtocolConfig::Http2ProtocolOptions(_)),
            }))
        )
    }

    fn is_original_dst(&self) -> bool {
        let wanted = kinds::DiscoveryType::OriginalDst as i32;
        matches!(self.cluster.cluster_discovery_type, Some(ClusterDiscoveryType::Type(t)) if t == wanted)
    }

    /// Makes it a cluster whose requests say themselves where they go. Its endpoints have no metadata that a transport could be
    /// chosen by.
    fn forward(&mut self, service: &Service) {
        let cluster = &mut self.cluster;
        cluster.transport_socket_matches.clear();
        cluster.lb_config = None;
        let tls = cluster.transport_socket.is_some();
        let names = self.http.as_ref().and_then(|h| h.upstream_http_protocol_options.as_ref());
        let checked = names.is_some_and(|n| n.auto_sni && n.auto_san_validation);
        if tls && !checked {
            // Said, or both would be the default.
            self.http().upstream_http_protocol_options.get_or_insert_default();
        }
        self.cluster.cluster_discovery_type = Some(dynamic::cluster_type(service, tls && !checked));
    }

    /// The cluster as patches for `place` leave it; what is left of it when one removes it. `hosts` are those of the services
    /// behind an inbound cluster.
    fn finish(
        mut self,
        patches: &Patches,
        place: PatchContext,
        hosts: &[&Host],
    ) -> Result<Resource, Sources> {
        if let Some(mut options) = self.http {
            // Envoy wants to be told which protocol; HTTP/1.1 is what clusters speak by default.
            options.upstream_protocol_options.get_or_insert_with(|| {
                UpstreamProtocolOptions::ExplicitHttpConfig(http::ExplicitHttpConfig {
                    protocol_config: Some(http::explicit_http_config::ProtocolConfig::HttpProtocolOptions(
                        Http1ProtocolOptions::default(),
                    )),
                })
            });
            self.cluster.typed_extension_protocol_options.insert(HTTP_OPTIONS.to_owned(), pack(&options));
        }
        let original = ClusterDiscoveryType::Type(kinds::DiscoveryType::OriginalDst as i32);
        let by_itself = |kind: &ClusterDiscoveryType| {
            *kind == original || matches!(kind, ClusterDiscoveryType::ClusterType(_))
        };
        if self.cluster.cluster_discovery_type.as_ref().is_some_and(by_itself) {
            self.cluster.lb_policy = kinds::LbPolicy::ClusterProvided as i32;
        }
        let Self { cluster, http: _, mut sources } = self;
        match envoy_filter::cluster(patches, place, cluster, hosts, &mut sources) {
            Some(cluster) => Ok(encode(&cluster, sources)),
            None => Err(sources),
        }
    }
}

fn encode(cluster: &Cluster, sources: Sources) -> Resource {
    Resource::new(cluster.name.clone(), type_url::CLUSTER, cluster, sources)
}

/// Adds the clusters that patches for `place` add.
fn add_patched(out: &mut Resources, patches: &Patches, place: PatchContext) {
    for (cluster, sources) in envoy_filter::added_clusters(patches, place, |name| out.has(name)) {
        out.add(Ok(encode(&cluster, sources)));
    }
}

/// Where unknown traffic passes to.
fn passthrough(snapshot: &Snapshot) -> Draft {
    let mut draft = Draft::new(snapshot, names::PASSTHROUGH.to_owned(), kinds::DiscoveryType::OriginalDst);
    draft.downstream_protocol();
    draft
}

/// Where unknown traffic ends.
fn black_hole(snapshot: &Snapshot) -> Draft {
    let mut draft = Draft::new(snapshot, names::BLACK_HOLE.to_owned(), kinds::DiscoveryType::Static);
    draft.cluster.circuit_breakers = None;
    draft.cluster.common_lb_config = None;
    draft
}

/// Limits that never bind.
fn no_limits() -> Thresholds {
    Thresholds {
        max_connections: u32v(u32::MAX),
        max_pending_requests: u32v(u32::MAX),
        max_requests: u32v(u32::MAX),
        max_retries: u32v(u32::MAX),
        track_remaining: true,
        ..Thresholds::default()
    }
}

/// Metadata of a cluster of `service`: who made it, and the service, for telemetry.
fn metadata(fields: HashMap<String, Value>, service: &Service) -> Option<Metadata> {
    let mut fields = fields;
    let name = match service.registry {
        Registry::Kubernetes => service.name(),
        Registry::External => service.hostname.as_str(),
    };
    let entry = object([
        ("host", text(service.hostname.as_str())),
        ("name", text(name)),
        ("namespace", text(service.namespace())),
    ]);
    fields.insert("services".to_owned(), list(vec![entry]));
    if service.mesh_external {
        fields.insert(
            "external".to_owned(),
            Value { kind: Some(tulle_proto::envoy::google::value::Kind::BoolValue(true)) },
        );
    }
    istio_metadata(fields)
}
