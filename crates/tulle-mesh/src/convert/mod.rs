//! From documents to model items, each by itself.
//!
//! Every field is applied, or reported as without effect: conversions take records apart without `..`. (Pods are the
//! exception: of what runs in them only addresses, identity and port names matter here.)

mod collector;
mod cx;
mod destination_rule;
mod envoy_filter;
mod gateway;
mod ingress;
mod kube;
mod kubernetes;
pub(crate) mod networks;
mod policy;
mod provider;
mod rate_limit;
mod service_entry;
pub(crate) mod settings;
mod sidecar;
mod telemetry;
mod tokens;
pub(crate) mod virtual_service;

use tulle_api::{Object, Spec};
use tulle_base::Diagnostics;

use crate::config::MeshConfig;
use crate::item::Item;
use crate::meta::Meta;
pub(crate) use cx::Descriptors;

use cx::Cx;

/// The model item of `object`, and what was found wrong with it. `None` when it is nothing that the model holds (any
/// more), such as a pod that has ended.
pub(crate) fn model(object: &Object, mesh: &MeshConfig, json: &Descriptors) -> (Option<Item>, Diagnostics) {
    let meta = Meta {
        resource: object.resource(),
        version: object.version().to_owned(),
        created: object.meta.creation_timestamp.as_ref().map(|t| t.as_str().to_owned()).unwrap_or_default(),
    };
    let mut cx = Cx { meta: &meta, domain: &mesh.domain, notes: Diagnostics::new(), json: json.clone() };
    let item = item(&mut cx, object, mesh);
    let mut notes = cx.notes;
    for note in &mut notes {
        note.span.clone_from(&object.origin);
    }
    (item, notes)
}

fn item(cx: &mut Cx<'_>, object: &Object, mesh: &MeshConfig) -> Option<Item> {
    Some(match &object.spec {
        Spec::Service(spec) => Item::Services(vec![kubernetes::service(cx, object, spec, mesh)?]),
        Spec::EndpointSlice(spec) => Item::Slice(kubernetes::slice(object, spec)?),
        Spec::Pod(spec) => Item::Workload(kubernetes::workload(cx, object, spec)?),
        Spec::Node(_) => Item::Node(kubernetes::node(object)),
        Spec::ServiceEntry(spec) => Item::Services(service_entry::services(cx, object, spec, mesh)),
        Spec::WorkloadEntry(spec) => Item::Entry(Box::new(service_entry::entry(cx, object, spec))),
        Spec::VirtualService(spec) => Item::Routes(virtual_service::routes(cx, object, spec, mesh)),
        Spec::DestinationRule(spec) => Item::Destination(Box::new(destination_rule::rule(cx, spec, mesh))),
        Spec::Gateway(spec) => Item::Gateway(gateway::gateway(cx, spec)),
        Spec::EnvoyFilter(spec) => Item::Patches(envoy_filter::filter(cx, spec)),
        Spec::RateLimit(spec) => Item::RateLimit(rate_limit::rate_limit(cx, spec)),
        Spec::Telemetry(spec) => Item::Telemetry(Box::new(telemetry::telemetry(cx, spec))),
        Spec::Sidecar(spec) => Item::Sidecar(sidecar::sidecar(cx, spec)),
        Spec::PeerAuthentication(spec) => Item::Peer(policy::peer(cx, spec, &mesh.root_namespace)),
        Spec::RequestAuthentication(spec) => Item::Tokens(tokens::tokens(cx, spec)),
        Spec::AuthorizationPolicy(spec) => {
            let dry_run = object
                .meta
                .annotations
                .get("istio.io/dry-run")
                .is_some_and(|v| tulle_api::parse_bool(v) == Some(true));
            Item::Authorization(policy::authorization(cx, spec, dry_run))
        }
        Spec::GatewayClass(spec) => Item::Class(kube::class(cx, spec)),
        Spec::GatewayApiGateway(spec) => Item::KubeGateway(kube::gateway(cx, spec)),
        Spec::HttpRoute(spec) => Item::KubeRoute(Box::new(kube::http(cx, spec))),
        Spec::GrpcRoute(spec) => Item::KubeRoute(Box::new(kube::grpc(cx, spec))),
        Spec::TlsRoute(spec) => Item::KubeRoute(Box::new(kube::tls(cx, spec))),
        Spec::TcpRoute(spec) => Item::KubeRoute(Box::new(kube::tcp(cx, spec))),
        Spec::UdpRoute(spec) => Item::KubeRoute(Box::new(kube::udp(cx, spec))),
        Spec::ListenerSet(spec) => Item::ListenerSet(kube::listener_set(cx, spec)),
        Spec::ReferenceGrant(spec) => Item::Grant(kube::grant(cx, spec)),
        Spec::Namespace(_) => Item::Namespace(kubernetes::namespace(object)),
        Spec::Secret(spec) => Item::Certificate(kubernetes::certificate(object, spec)?),
        Spec::BackendTlsPolicy(spec) => Item::BackendTls(kube::backend_tls(cx, spec)),
        Spec::Ingress(spec) => Item::Ingress(ingress::ingress(cx, object, spec)),
        Spec::IngressClass(spec) => Item::IngressClass(ingress::class(cx, object, spec)),
        Spec::IstioOperator(spec) => Item::Settings(Box::new(settings::of_operator(cx, spec))),
        Spec::ConfigMap(spec) if settings::is_of_the_mesh(object, mesh) => {
            Item::Settings(Box::new(settings::of_config_map(cx, object, spec)?))
        }
        Spec::ConfigMap(spec) => Item::Authorities(kubernetes::authorities(object, spec)?),
        // The node agent's, when it starts a proxy.
        Spec::ProxyConfig(_) => {
            cx.inform("it is in force in proxies that start after it");
            return None;
        }
        // The control plane's, when a workload registers itself.
        Spec::WorkloadGroup(_) => return None,
        // Kinds that are not in force yet say so.
        Spec::WasmPlugin(_)
        | Spec::TrafficExtension(_)
        | Spec::XBackend(_)
        | Spec::XBackendTrafficPolicy(_)
        | Spec::XMesh(_) => {
            cx.not_in_force(object.kind());
            return None;
        }
        // What the node agent runs, and what is written down about it.
        Spec::ServiceAccount(_)
        | Spec::Deployment(_)
        | Spec::ReplicaSet(_)
        | Spec::StatefulSet(_)
        | Spec::DaemonSet(_)
        | Spec::Job(_)
        | Spec::Event(_)
        | Spec::Endpoints(_) => return None,
    })
}
