//! Istio's messages (`ISTnnnn`).

mod access_log_without_provider;
mod claim_routing_without_tokens;
mod conflicting_gateways;
mod conflicting_service_entry_protocol;
mod envoy_filter_add;
mod envoy_filter_proxy_version;
mod envoy_filter_relative;
mod envoy_filter_remove;
mod envoy_filter_replace;
mod external_name_port_name;
mod gateway_credential;
mod gateway_port_not_on_service;
mod image_auto_deployment;
mod image_auto_pod;
mod ineffective_policy;
mod ingress_misses_subset_rules;
mod internal_gateway_reference;
mod jwks_fetch_unrestricted;
mod localhost_listener;
mod negative_condition;
mod proxy_user_id;
mod selector_on_kubernetes_gateway;
mod subset_without_pods;
mod telemetry_same_workload;
mod telemetry_twice_in_namespace;
mod unknown_destination_rule_host;

use crate::analyzer::Analyzer;

/// Each with the name of its file and of its examples.
pub(super) const ALL: &[(&str, Analyzer)] = &[
    ("ingress_misses_subset_rules", ingress_misses_subset_rules::ANALYZER),
    ("localhost_listener", localhost_listener::ANALYZER),
    ("proxy_user_id", proxy_user_id::ANALYZER),
    ("conflicting_gateways", conflicting_gateways::ANALYZER),
    ("image_auto_deployment", image_auto_deployment::ANALYZER),
    ("image_auto_pod", image_auto_pod::ANALYZER),
    ("claim_routing_without_tokens", claim_routing_without_tokens::ANALYZER),
    ("external_name_port_name", external_name_port_name::ANALYZER),
    ("envoy_filter_relative", envoy_filter_relative::ANALYZER),
    ("envoy_filter_replace", envoy_filter_replace::ANALYZER),
    ("envoy_filter_add", envoy_filter_add::ANALYZER),
    ("envoy_filter_remove", envoy_filter_remove::ANALYZER),
    ("envoy_filter_proxy_version", envoy_filter_proxy_version::ANALYZER),
    ("access_log_without_provider", access_log_without_provider::ANALYZER),
    ("telemetry_same_workload", telemetry_same_workload::ANALYZER),
    ("telemetry_twice_in_namespace", telemetry_twice_in_namespace::ANALYZER),
    ("gateway_credential", gateway_credential::ANALYZER),
    ("gateway_port_not_on_service", gateway_port_not_on_service::ANALYZER),
    ("internal_gateway_reference", internal_gateway_reference::ANALYZER),
    ("selector_on_kubernetes_gateway", selector_on_kubernetes_gateway::ANALYZER),
    ("ineffective_policy", ineffective_policy::ANALYZER),
    ("negative_condition", negative_condition::ANALYZER),
    ("subset_without_pods", subset_without_pods::ANALYZER),
    ("unknown_destination_rule_host", unknown_destination_rule_host::ANALYZER),
    ("jwks_fetch_unrestricted", jwks_fetch_unrestricted::ANALYZER),
    ("conflicting_service_entry_protocol", conflicting_service_entry_protocol::ANALYZER),
];
