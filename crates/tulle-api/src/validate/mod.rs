//! Rules about single objects, beyond the types of their fields: Istio's validation and the parts of Kubernetes' that
//! matter on one machine. What takes several objects to decide is for the analyzers.
//!
//! One file per kind; [`rules`] collects, [`names`] and [`common`] know what several kinds share.

mod authorization_policy;
mod common;
mod destination_rule;
mod envoy_filter;
mod fault;
mod gateway;
mod gateway_api;
mod hosts;
mod http_route;
mod ingress;
mod kubernetes;
mod load_balancer;
mod mesh;
mod metadata;
mod names;
mod peer_authentication;
mod pod;
mod proxy_config;
mod rate_limit;
mod request_authentication;
mod retry;
mod rules;
mod service_entry;
mod sidecar;
mod telemetry;
mod virtual_service;
mod wasm_plugin;
mod workload_group;

use tulle_base::Diagnostics;

use crate::kind::Spec;
use crate::mesh::holds_settings;
use crate::object::Object;
use crate::schema::{At, Notice};
use rules::Rules;

/// Every rule that `object` breaks on its own, as Istio's and Kubernetes' validation would, in the order of the fields. Each
/// finding names its field; its place is that of the object, if it came from a file.
pub fn validate(object: &Object) -> Diagnostics {
    let mut rules = Rules::new(object);
    let spec = At::ROOT.field("spec");
    kind_notice(object, &mut rules);
    metadata::check(object, &mut rules);
    match &object.spec {
        Spec::VirtualService(s) => virtual_service::check(s, &object.meta, &spec, &mut rules),
        Spec::DestinationRule(s) => destination_rule::check(s, &object.meta, &spec, &mut rules),
        Spec::Gateway(s) => gateway::check(s, &object.meta, &spec, &mut rules),
        Spec::ServiceEntry(s) => service_entry::check(s, &object.meta, &spec, &mut rules),
        Spec::WorkloadEntry(s) => service_entry::check_workload(s, &spec, &mut rules),
        Spec::Sidecar(s) => sidecar::check(s, &object.meta, &spec, &mut rules),
        Spec::PeerAuthentication(s) => peer_authentication::check(s, &spec, &mut rules),
        Spec::RequestAuthentication(s) => request_authentication::check(s, &spec, &mut rules),
        Spec::AuthorizationPolicy(s) => authorization_policy::check(s, &spec, &mut rules),
        Spec::Telemetry(s) => telemetry::check(s, &spec, &mut rules),
        Spec::Service(s) => kubernetes::check_service(s, &spec, &mut rules),
        Spec::Pod(s) => pod::check(s, &spec, &mut rules),
        Spec::Deployment(s) => {
            kubernetes::check_replicas(s.replicas, &spec, &mut rules);
            kubernetes::check_template(Some(&s.selector), &s.template, &spec, &mut rules);
        }
        Spec::ReplicaSet(s) => {
            kubernetes::check_replicas(s.replicas, &spec, &mut rules);
            if let Some(template) = &s.template {
                kubernetes::check_template(Some(&s.selector), template, &spec, &mut rules);
            }
        }
        Spec::StatefulSet(s) => {
            kubernetes::check_replicas(s.replicas, &spec, &mut rules);
            kubernetes::check_template(Some(&s.selector), &s.template, &spec, &mut rules);
        }
        Spec::DaemonSet(s) => kubernetes::check_template(Some(&s.selector), &s.template, &spec, &mut rules),
        Spec::Job(s) => kubernetes::check_job(s, &spec, &mut rules),
        Spec::ConfigMap(s) => {
            kubernetes::check_config_map(s, &mut rules);
            if holds_settings(&object.meta.name) {
                mesh::check_config_map(s, &object.meta.name, &mut rules);
            }
        }
        Spec::IstioOperator(s) => mesh::check_operator(s, &spec, &mut rules),
        Spec::RateLimit(s) => rate_limit::check(s, &spec, &mut rules),
        Spec::EnvoyFilter(s) => envoy_filter::check(s, &spec, &mut rules),
        Spec::WorkloadGroup(s) => workload_group::check(s, &spec, &mut rules),
        Spec::ProxyConfig(s) => proxy_config::check(s, &spec, &mut rules),
        Spec::WasmPlugin(s) => wasm_plugin::check(s, &spec, &mut rules),
        Spec::TrafficExtension(s) => wasm_plugin::check_extension(s, &spec, &mut rules),
        Spec::Secret(s) => kubernetes::check_secret(s, &mut rules),
        Spec::EndpointSlice(s) => kubernetes::check_endpoint_slice(s, &mut rules),
        Spec::Namespace(_)
        | Spec::ServiceAccount(_)
        | Spec::Node(_)
        | Spec::Event(_)
        | Spec::Endpoints(_) => {}
        Spec::Ingress(s) => ingress::check(s, &spec, &mut rules),
        Spec::IngressClass(s) => ingress::check_class(s, &spec, &mut rules),
        other => gateway_api::check(other, &spec, &mut rules),
    }
    rules.finish()
}

/// Says when a kind as a whole has no effect, or none yet.
fn kind_notice(object: &Object, rules: &mut Rules) {
    let message = match object.kind().info().notice {
        Notice::Planned(missing) => format!("kept, not in force yet: {missing}"),
        Notice::NoEffect(reason) => format!("has no effect: {reason}"),
        Notice::None | Notice::Deprecated(_) | Notice::NotPortable(_) => return,
    };
    rules.warn(&At::ROOT.field("kind"), message, "");
}
