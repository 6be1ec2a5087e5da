//! EnvoyFilter to patches: what is written as YAML becomes the messages that it means.

use std::sync::Arc;

use regex::Regex;
use tulle_api::istio as api;
use tulle_base::Selector;

use super::cx::Cx;
use super::policy::gateway;
use crate::envoy_filter::{
    ApplyTo, EnvoyFilter, FilterClass, ListenerMatch, ObjectMatch, Operation, Patch, PatchContext,
    PatchTarget, ProxyMatch, Version,
};

mod matching;
mod value;

/// Longer expressions for versions match no proxy, as Istio has it.
const MAX_VERSION: usize = 1024;
/// The patches of an EnvoyFilter. What is refused is told, and the rest stays.
pub(super) fn filter(cx: &mut Cx<'_>, spec: &api::EnvoyFilter) -> EnvoyFilter {
    let api::EnvoyFilter { workload_selector, target_refs, config_patches, priority } = spec;
    let patches = config_patches.iter().enumerate().filter_map(|(i, p)| patch(cx, i, p)).collect();
    let labels = workload_selector.as_ref().map(|api::LabelSelector { labels }| labels.clone());
    let target = if target_refs.is_empty() {
        PatchTarget::Selector(Selector(labels.unwrap_or_default()))
    } else {
        let named = target_refs.iter().enumerate();
        PatchTarget::Gateways(
            named.filter_map(|(i, t)| gateway(cx, &format!("spec.targetRefs[{i}]"), t)).collect(),
        )
    };
    EnvoyFilter { meta: cx.meta.clone(), target, priority: priority.unwrap_or(0), patches }
}

fn patch(cx: &mut Cx<'_>, index: usize, given: &api::EnvoyConfigObjectPatch) -> Option<Patch> {
    let api::EnvoyConfigObjectPatch { apply_to: written, matches, patch } = given;
    let at = format!("spec.configPatches[{index}]");
    let apply_to = apply_to(cx, &at, (*written)?)?;
    let api::EnvoyPatch { operation, value, filter_class } = patch.as_ref()?;
    let class = class(*filter_class);
    let word = (*operation)?.as_str();
    let operation = self::operation(apply_to, (*operation)?, class)?;
    if !fits(apply_to, operation) {
        let reason = format!("{word} does not go with {}", (*written)?.as_str());
        cx.not_applied(true, &format!("{at}.patch.operation"), &reason);
        return None;
    }
    let added = matches!(operation, Operation::Add(_));
    let classed = added && matches!(apply_to, ApplyTo::HttpFilter | ApplyTo::NetworkFilter);
    cx.not_applied(
        class != FilterClass::Unspecified && !classed,
        &format!("{at}.patch.filterClass"),
        "it says where a filter is added, with operation ADD",
    );
    let (context, proxy, object) = conditions(cx, &at, apply_to, matches.as_ref())?;
    let value = match operation {
        Operation::Remove => {
            let path = format!("{at}.patch.value");
            let written = value.as_ref().is_some_and(|v| v.as_object().is_none_or(|v| !v.is_empty()));
            cx.not_applied(written, &path, "what is removed is said by the match");
            None
        }
        _ => Some(Arc::new(value::message(cx, &format!("{at}.patch.value"), apply_to, value.as_ref()?)?)),
    };
    Some(Patch { index, apply_to, context, proxy, object, operation, value })
}

fn apply_to(cx: &mut Cx<'_>, at: &str, written: api::EnvoyApplyTo) -> Option<ApplyTo> {
    Some(match written {
        api::EnvoyApplyTo::Listener => ApplyTo::Listener,
        api::EnvoyApplyTo::FilterChain => ApplyTo::FilterChain,
        api::EnvoyApplyTo::NetworkFilter => ApplyTo::NetworkFilter,
        api::EnvoyApplyTo::HttpFilter => ApplyTo::HttpFilter,
        api::EnvoyApplyTo::ListenerFilter => ApplyTo::ListenerFilter,
        api::EnvoyApplyTo::RouteConfiguration => ApplyTo::RouteConfiguration,
        api::EnvoyApplyTo::VirtualHost => ApplyTo::VirtualHost,
        api::EnvoyApplyTo::HttpRoute => ApplyTo::HttpRoute,
        api::EnvoyApplyTo::Cluster => ApplyTo::Cluster,
        api::EnvoyApplyTo::ExtensionConfig => ApplyTo::ExtensionConfig,
        api::EnvoyApplyTo::Bootstrap => {
            let message =
                "BOOTSTRAP is refused: proxies have read their bootstrap before they are told anything";
            cx.refuse(
                &format!("{at}.applyTo"),
                message,
                "use annotation proxy.istio.io/config or a ProxyConfig",
            );
            return None;
        }
        // Validation says so.
        api::EnvoyApplyTo::Invalid => return None,
    })
}

fn class(written: Option<api::EnvoyFilterClass>) -> FilterClass {
    match written {
        None | Some(api::EnvoyFilterClass::Unspecified) => FilterClass::Unspecified,
        Some(api::EnvoyFilterClass::Authn) => FilterClass::Authn,
        Some(api::EnvoyFilterClass::Authz) => FilterClass::Authz,
        Some(api::EnvoyFilterClass::Stats) => FilterClass::Stats,
    }
}

/// Whether what is patched is in a list whose order counts.
fn is_ordered(apply_to: ApplyTo) -> bool {
    matches!(
        apply_to,
        ApplyTo::HttpFilter | ApplyTo::NetworkFilter | ApplyTo::ListenerFilter | ApplyTo::HttpRoute
    )
}

/// What is done.
fn operation(apply_to: ApplyTo, written: api::EnvoyPatchOperation, class: FilterClass) -> Option<Operation> {
    use api::EnvoyPatchOperation as Written;
    Some(match written {
        Written::Merge => Operation::Merge { replace_lists: false },
        Written::MergeAndReplaceList => Operation::Merge { replace_lists: true },
        Written::Add => Operation::Add(class),
        Written::Remove => Operation::Remove,
        // Where there is no order, what is inserted is added.
        Written::InsertBefore | Written::InsertAfter | Written::InsertFirst if !is_ordered(apply_to) => {
            Operation::Add(class)
        }
        Written::InsertBefore => Operation::InsertBefore,
        Written::InsertAfter => Operation::InsertAfter,
        Written::InsertFirst => Operation::InsertFirst,
        Written::Replace => Operation::Replace,
        Written::Invalid => return None,
    })
}

/// Whether the operation goes with what is patched (Istio leaves out what does not, without a word).
fn fits(apply_to: ApplyTo, operation: Operation) -> bool {
    let replaceable =
        is_ordered(apply_to) && apply_to != ApplyTo::HttpRoute || apply_to == ApplyTo::VirtualHost;
    match (apply_to, operation) {
        (ApplyTo::RouteConfiguration, op) => matches!(op, Operation::Merge { .. }),
        (ApplyTo::ExtensionConfig, op) => matches!(op, Operation::Add(_)),
        (_, Operation::Replace) => replaceable,
        (_, _) => true,
    }
}

fn conditions(
    cx: &mut Cx<'_>,
    at: &str,
    apply_to: ApplyTo,
    matches: Option<&api::EnvoyConfigObjectMatch>,
) -> Option<(PatchContext, ProxyMatch, ObjectMatch)> {
    let Some(api::EnvoyConfigObjectMatch { context, proxy, object_types }) = matches else {
        return Some((PatchContext::Any, ProxyMatch::default(), ObjectMatch::Any));
    };
    let context = match context {
        None | Some(api::EnvoyPatchContext::Any) => PatchContext::Any,
        Some(api::EnvoyPatchContext::SidecarInbound) => PatchContext::SidecarInbound,
        Some(api::EnvoyPatchContext::SidecarOutbound) => PatchContext::SidecarOutbound,
        Some(api::EnvoyPatchContext::Gateway) => PatchContext::Gateway,
        Some(api::EnvoyPatchContext::Waypoint) => {
            cx.not_applied(true, &format!("{at}.match.context"), "waypoints are not built");
            return None;
        }
    };
    let proxy = match proxy {
        None => ProxyMatch::default(),
        Some(api::EnvoyProxyMatch { proxy_version, metadata }) => {
            ProxyMatch { version: version(cx, at, proxy_version)?, metadata: metadata.clone() }
        }
    };
    let object = match object_types {
        None => ObjectMatch::Any,
        Some(api::EnvoyObjectTypes::Waypoint(_)) => {
            cx.not_applied(true, &format!("{at}.match.waypoint"), "waypoints are not built");
            return None;
        }
        Some(api::EnvoyObjectTypes::Listener(l)) => ObjectMatch::Listener(matching::listener(l)),
        Some(api::EnvoyObjectTypes::RouteConfiguration(r)) => ObjectMatch::Routes(matching::routes(r)),
        Some(api::EnvoyObjectTypes::Cluster(c)) => ObjectMatch::Cluster(matching::cluster(c)),
    };
    let path = format!("{at}.match.context");
    let named = apply_to == ApplyTo::ExtensionConfig && context != PatchContext::Any;
    cx.not_applied(named, &path, "an extension is found by its name");
    unused(cx, at, apply_to, &object);
    Some((context, proxy, object))
}

/// Conditions that what is patched does not have.
fn unused(cx: &mut Cx<'_>, at: &str, apply_to: ApplyTo, object: &ObjectMatch) {
    let all = format!("{at}.match");
    if apply_to == ApplyTo::ExtensionConfig {
        let path = match object {
            ObjectMatch::Any => return,
            ObjectMatch::Listener(_) => "listener",
            ObjectMatch::Routes(_) => "routeConfiguration",
            ObjectMatch::Cluster(_) => "cluster",
        };
        return cx.not_applied(true, &format!("{all}.{path}"), "an extension is found by its name");
    }
    match object {
        ObjectMatch::Listener(ListenerMatch { port: _, name: _, chain, listener_filter }) => {
            let chains =
                matches!(apply_to, ApplyTo::FilterChain | ApplyTo::NetworkFilter | ApplyTo::HttpFilter);
            let path = format!("{all}.listener.filterChain");
            cx.not_applied(chain.is_some() && !chains, &path, "it is for what is in filter chains");
            let filter = chain.as_ref().is_some_and(|c| c.filter.is_some());
            let reason = "it is for NETWORK_FILTER and HTTP_FILTER";
            cx.not_applied(filter && apply_to == ApplyTo::FilterChain, &format!("{path}.filter"), reason);
            let other = !listener_filter.is_empty() && apply_to != ApplyTo::ListenerFilter;
            cx.not_applied(other, &format!("{all}.listener.listenerFilter"), "it is for LISTENER_FILTER");
        }
        ObjectMatch::Routes(routes) => {
            let path = format!("{all}.routeConfiguration.vhost");
            let host = routes.host.is_some() && apply_to == ApplyTo::RouteConfiguration;
            cx.not_applied(host, &path, "it is for VIRTUAL_HOST and HTTP_ROUTE");
            let route = routes.host.as_ref().is_some_and(|h| h.route.is_some());
            let other = route && apply_to != ApplyTo::HttpRoute;
            cx.not_applied(other && !host, &format!("{path}.route"), "it is for HTTP_ROUTE");
        }
        ObjectMatch::Cluster(c) => {
            let more = c.port.is_some() || !c.service.is_empty() || !c.subset.is_empty();
            let path = format!("{all}.cluster");
            cx.not_applied(
                more && !c.name.is_empty(),
                &path,
                "beside name, the other conditions do not count",
            );
        }
        ObjectMatch::Any => {}
    }
}

fn version(cx: &mut Cx<'_>, at: &str, written: &str) -> Option<Option<Version>> {
    if written.is_empty() {
        return Some(None);
    }
    let path = format!("{at}.match.proxy.proxyVersion");
    if written.len() > MAX_VERSION {
        cx.not_applied(
            true,
            &path,
            &format!("an expression of more than {MAX_VERSION} bytes matches no proxy"),
        );
        return None;
    }
    match Regex::new(written) {
        Ok(regex) => Some(Some(Version(regex))),
        Err(error) => {
            cx.refuse(&path, &format!("is not an expression: {error}"), "");
            None
        }
    }
}
