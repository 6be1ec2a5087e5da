//! Rules about `EnvoyFilter`.

use super::common::{regex, selector_labels, target_refs};
use super::rules::Rules;
use crate::istio::{
    EnvoyApplyTo as ApplyTo, EnvoyConfigObjectPatch, EnvoyFilter, EnvoyListenerMatch, EnvoyObjectTypes,
    EnvoyPatch, EnvoyPatchOperation as Operation, LabelSelector,
};
use crate::schema::At;

/// The network filter that HTTP filters are in.
const HTTP_CONNECTION_MANAGER: [&str; 2] =
    ["envoy.filters.network.http_connection_manager", "envoy.http_connection_manager"];

/// Checks an EnvoyFilter.
pub(super) fn check(given: &EnvoyFilter, at: &At<'_>, rules: &mut Rules) {
    let EnvoyFilter { workload_selector, target_refs: targets, config_patches, priority: _ } = given;
    rules.exclusive(
        at,
        &[("workloadSelector", workload_selector.is_some()), ("targetRefs", !targets.is_empty())],
    );
    if let Some(LabelSelector { labels }) = workload_selector {
        selector_labels(labels, &at.field("workloadSelector").field("labels"), rules);
    }
    target_refs(None, targets, at, rules);
    let list = at.field("configPatches");
    for (i, patch) in config_patches.iter().enumerate() {
        check_patch(patch, &list.index(i), rules);
    }
}

fn check_patch(given: &EnvoyConfigObjectPatch, at: &At<'_>, rules: &mut Rules) {
    let EnvoyConfigObjectPatch { apply_to, matches, patch } = given;
    let apply_to = apply_to.unwrap_or(ApplyTo::Invalid);
    if apply_to == ApplyTo::Invalid {
        rules.error(&at.field("applyTo"), "is required", "say what is patched, such as HTTP_FILTER");
    }
    check_change(patch.as_ref(), &at.field("patch"), rules);
    let here = at.field("match");
    let Some(matches) = matches else { return };
    if let Some(proxy) = &matches.proxy
        && !proxy.proxy_version.is_empty()
    {
        regex(&proxy.proxy_version, &here.field("proxy").field("proxyVersion"), rules);
    }
    let (kind, wanted) = match &matches.object_types {
        None => return,
        Some(EnvoyObjectTypes::Listener(listener)) => {
            check_listener(listener, apply_to, &here.field("listener"), rules);
            ("listener", is_listener(apply_to))
        }
        Some(EnvoyObjectTypes::RouteConfiguration(_)) => ("routeConfiguration", is_route(apply_to)),
        Some(EnvoyObjectTypes::Cluster(_)) => ("cluster", apply_to == ApplyTo::Cluster),
        Some(EnvoyObjectTypes::Waypoint(_)) => ("waypoint", true),
    };
    if !wanted && apply_to != ApplyTo::Invalid && apply_to != ApplyTo::ExtensionConfig {
        let message = format!("does not go with applyTo {}", apply_to.as_str());
        rules.error(&here.field(kind), message, "match what is patched");
    }
}

fn is_listener(apply_to: ApplyTo) -> bool {
    matches!(
        apply_to,
        ApplyTo::Listener
            | ApplyTo::FilterChain
            | ApplyTo::NetworkFilter
            | ApplyTo::HttpFilter
            | ApplyTo::ListenerFilter
    )
}

fn is_route(apply_to: ApplyTo) -> bool {
    matches!(apply_to, ApplyTo::RouteConfiguration | ApplyTo::VirtualHost | ApplyTo::HttpRoute)
}

fn check_listener(given: &EnvoyListenerMatch, apply_to: ApplyTo, at: &At<'_>, rules: &mut Rules) {
    let Some(filter) = given.filter_chain.as_ref().and_then(|c| c.filter.as_ref()) else { return };
    let chain = at.field("filterChain");
    let here = chain.field("filter");
    if filter.name.is_empty() {
        rules.error(&here.field("name"), "is required", "name the filter");
    }
    if filter.sub_filter.is_none() {
        return;
    }
    if !matches!(apply_to, ApplyTo::HttpFilter | ApplyTo::Invalid) {
        rules.error(&here.field("subFilter"), "is for applyTo HTTP_FILTER only", "remove it");
    } else if !filter.name.is_empty() && !HTTP_CONNECTION_MANAGER.contains(&filter.name.as_str()) {
        let message = format!("{} has no HTTP filters", filter.name);
        rules.error(&here.field("name"), message, format!("write {}", HTTP_CONNECTION_MANAGER[0]));
    }
}

fn check_change(given: Option<&EnvoyPatch>, at: &At<'_>, rules: &mut Rules) {
    let Some(EnvoyPatch { operation, value, filter_class: _ }) = given else {
        rules.error(at, "is required", "say what is done");
        return;
    };
    match operation.unwrap_or(Operation::Invalid) {
        Operation::Invalid => {
            rules.error(&at.field("operation"), "is required", "say what is done, such as MERGE");
        }
        Operation::Remove => {}
        other if value.is_none() => {
            rules.error(&at.field("value"), format!("is required for {}", other.as_str()), "");
        }
        _ => {}
    }
    if let Some(value) = value.as_ref().filter(|v| !v.is_object()) {
        rules.error(&at.field("value"), format!("must be a mapping but is {value}"), "");
    }
}
