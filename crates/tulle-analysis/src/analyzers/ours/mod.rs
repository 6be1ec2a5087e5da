//! Ours (`TULnnnn`): 01xx security, 02xx routing and selection, 03xx resilience.

mod allow_all_but;
mod callee_outlasts_caller;
mod canary_without_outlier_detection;
mod denies_everything;
mod dropped_delegate_rule;
mod ejects_everything;
mod export_to_mistakes;
mod fault_outside_test;
mod fault_replaces_retries;
mod fault_without_end;
mod hidden_destination;
mod http_rules_on_tcp;
mod mirrored_writes;
mod mirrors_everything;
mod mtls_without_authorization;
mod overlapping_gateway_routes;
mod permissive_mtls;
mod pool_never_ejects;
mod port_level_mtls_port;
mod port_settings_reset;
mod prefix_is_not_a_segment;
mod retries_over_timeout;
mod retries_without_per_try_timeout;
mod root_peer_authentication_selector;
mod second_peer_authentication;
mod selects_nothing;
mod several_destination_rules;
mod several_service_entries;
mod shadowed_rule;
mod stacked_retries;
mod sticky_canary;
mod tls_off_towards_strict;
mod token_not_required;
mod unbound_gateway;
mod weight_zero;

use crate::analyzer::Analyzer;

/// Each with the name of its file and of its examples.
pub(super) const ALL: &[(&str, Analyzer)] = &[
    ("permissive_mtls", permissive_mtls::ANALYZER),
    ("mtls_without_authorization", mtls_without_authorization::ANALYZER),
    ("tls_off_towards_strict", tls_off_towards_strict::ANALYZER),
    ("port_level_mtls_port", port_level_mtls_port::ANALYZER),
    ("root_peer_authentication_selector", root_peer_authentication_selector::ANALYZER),
    ("second_peer_authentication", second_peer_authentication::ANALYZER),
    ("token_not_required", token_not_required::ANALYZER),
    ("http_rules_on_tcp", http_rules_on_tcp::ANALYZER),
    ("denies_everything", denies_everything::ANALYZER),
    ("allow_all_but", allow_all_but::ANALYZER),
    ("selects_nothing", selects_nothing::ANALYZER),
    ("shadowed_rule", shadowed_rule::ANALYZER),
    ("weight_zero", weight_zero::ANALYZER),
    ("overlapping_gateway_routes", overlapping_gateway_routes::ANALYZER),
    ("several_destination_rules", several_destination_rules::ANALYZER),
    ("several_service_entries", several_service_entries::ANALYZER),
    ("prefix_is_not_a_segment", prefix_is_not_a_segment::ANALYZER),
    ("dropped_delegate_rule", dropped_delegate_rule::ANALYZER),
    ("unbound_gateway", unbound_gateway::ANALYZER),
    ("hidden_destination", hidden_destination::ANALYZER),
    ("export_to_mistakes", export_to_mistakes::ANALYZER),
    ("mirrored_writes", mirrored_writes::ANALYZER),
    ("mirrors_everything", mirrors_everything::ANALYZER),
    ("stacked_retries", stacked_retries::ANALYZER),
    ("callee_outlasts_caller", callee_outlasts_caller::ANALYZER),
    ("retries_over_timeout", retries_over_timeout::ANALYZER),
    ("retries_without_per_try_timeout", retries_without_per_try_timeout::ANALYZER),
    ("canary_without_outlier_detection", canary_without_outlier_detection::ANALYZER),
    ("sticky_canary", sticky_canary::ANALYZER),
    ("fault_outside_test", fault_outside_test::ANALYZER),
    ("fault_without_end", fault_without_end::ANALYZER),
    ("fault_replaces_retries", fault_replaces_retries::ANALYZER),
    ("pool_never_ejects", pool_never_ejects::ANALYZER),
    ("ejects_everything", ejects_everything::ANALYZER),
    ("port_settings_reset", port_settings_reset::ANALYZER),
];
