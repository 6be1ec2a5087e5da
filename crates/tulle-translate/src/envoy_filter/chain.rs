//! Patches of filter chains, and of the network and HTTP filters in them.

use tulle_mesh::envoy_filter::{
    ApplyTo, ChainMatch, FilterClass, ListenerMatch, ObjectMatch, Operation, PatchContext,
};
use tulle_proto::envoy::http_connection_manager::{HttpConnectionManager, HttpFilter, http_filter};
use tulle_proto::envoy::listener::{Filter, FilterChain, Listener, filter::ConfigType};
use tulle_proto::{Any, pack, type_url, unpack};

use super::{Of, Patches, added, list, listener, merge};
use crate::sources::Sources;

/// The filter that HTTP filters are in.
const HTTP_CONNECTION_MANAGER: &str = "envoy.filters.network.http_connection_manager";

/// What the patches of one chain have in common.
#[derive(Clone, Copy)]
struct Place<'a> {
    patches: &'a Patches,
    context: PatchContext,
    listener: &'a Listener,
}

/// A filter chain of `listener` as the patches for `context` leave it; `None` when one removes it.
pub(super) fn patch(
    patches: &Patches,
    context: PatchContext,
    listener: &Listener,
    mut chain: FilterChain,
    sources: &mut Sources,
) -> Option<FilterChain> {
    let place = Place { patches, context, listener };
    for of in place.to(ApplyTo::FilterChain, &chain) {
        let done = match of.patch.operation {
            Operation::Remove => {
                of.did(sources);
                return None;
            }
            Operation::Merge { replace_lists } => merge_chain(&mut chain, of, replace_lists),
            _ => false,
        };
        if done {
            of.did(sources);
        }
    }
    network_filters(place, &mut chain, sources);
    Some(chain)
}

impl<'a> Place<'a> {
    /// The patches for what is in `chain`.
    fn to(self, apply_to: ApplyTo, chain: &FilterChain) -> Vec<Of<'a>> {
        let all = self.patches.to(apply_to, self.context);
        all.filter(|of| listener::matches(self.listener, of.patch) && matches(self.listener, chain, *of))
            .collect()
    }
}

/// Whether the patch, which is for the listener, is for the chain.
fn matches(listener: &Listener, chain: &FilterChain, of: Of<'_>) -> bool {
    let ObjectMatch::Listener(ListenerMatch { port, name: _, chain: wanted, listener_filter: _ }) =
        &of.patch.object
    else {
        return true;
    };
    let own = chain.filter_chain_match.as_ref();
    let destination = own.and_then(|m| m.destination_port.as_ref()).map_or(0, |p| p.value);
    if listener::is_virtual(listener) && port.is_some_and(|port| port != destination) {
        return false;
    }
    let Some(wanted) = wanted else { return true };
    let ChainMatch {
        name,
        sni,
        transport_protocol,
        application_protocols,
        destination_port,
        filter: _,
        sub_filter: _,
    } = wanted;
    (name.is_empty() || *name == chain.name)
        && (sni.is_empty() || own.is_some_and(|m| m.server_names.contains(sni)))
        && (transport_protocol.is_empty() || own.is_some_and(|m| m.transport_protocol == *transport_protocol))
        && application_protocols.iter().all(|p| own.is_some_and(|m| m.application_protocols.contains(p)))
        && destination_port.is_none_or(|port| port == destination)
}

/// A transport socket of the same name is merged inside; with another one there is nothing to merge with, and the rest of
/// the patch is merged as it is.
fn merge_chain(chain: &mut FilterChain, of: Of<'_>, replace_lists: bool) -> bool {
    use tulle_proto::envoy::core::transport_socket::ConfigType;
    let (Some(value), Some(written)) = (of.value(), of.message::<FilterChain>()) else { return false };
    if let (Some(own), Some(theirs)) = (&mut chain.transport_socket, &written.transport_socket)
        && own.name == theirs.name
    {
        return match &mut own.config_type {
            Some(ConfigType::TypedConfig(config)) => merge::into_any(config, value, replace_lists),
            None => false,
        };
    }
    merge::into(chain, &value.message, replace_lists)
}

fn network_filters(place: Place<'_>, chain: &mut FilterChain, sources: &mut Sources) {
    let patches = place.to(ApplyTo::NetworkFilter, chain);
    for of in patches.iter().filter(|of| !matches!(of.patch.operation, Operation::Merge { .. })) {
        let named = filter_name(*of);
        let matches = |f: &Filter| named.is_some_and(|n| n == f.name);
        let matches: Option<&dyn Fn(&Filter) -> bool> = if named.is_some() { Some(&matches) } else { None };
        if list::apply(&mut chain.filters, of.patch.operation, of.message(), matches, network_end) {
            of.did(sources);
        }
    }
    let mut filters = std::mem::take(&mut chain.filters);
    for filter in &mut filters {
        for of in &patches {
            let named = filter_name(*of).is_none_or(|n| n == filter.name);
            if let (Operation::Merge { replace_lists }, true) = (of.patch.operation, named)
                && merge_network(filter, *of, replace_lists)
            {
                of.did(sources);
            }
        }
        if filter.name == HTTP_CONNECTION_MANAGER {
            http_filters(place, chain, filter, sources);
        }
        discover_network(place, filter, sources);
    }
    chain.filters = filters;
}

/// The network filter that a patch names.
fn filter_name<'a>(of: Of<'a>) -> Option<&'a str> {
    chain_match(of)?.filter.as_deref()
}

fn chain_match<'a>(of: Of<'a>) -> Option<&'a ChainMatch> {
    match &of.patch.object {
        ObjectMatch::Listener(m) => m.chain.as_ref(),
        _ => None,
    }
}

fn merge_network(filter: &mut Filter, of: Of<'_>, replace_lists: bool) -> bool {
    let (Some(value), Some(written)) = (of.value(), of.message::<Filter>()) else { return false };
    let Some(ConfigType::TypedConfig(config)) = &mut filter.config_type else { return false };
    if value.typed_config.is_some() && !merge::into_any(config, value, replace_lists) {
        return false;
    }
    if !written.name.is_empty() {
        filter.name = written.name;
    }
    true
}

fn http_filters(place: Place<'_>, chain: &FilterChain, filter: &mut Filter, sources: &mut Sources) {
    let Some(ConfigType::TypedConfig(config)) = &mut filter.config_type else { return };
    let patches = place.to(ApplyTo::HttpFilter, chain);
    let patches: Vec<Of<'_>> =
        patches.into_iter().filter(|of| filter_name(*of).is_none_or(|n| n == filter.name)).collect();
    let extensions = place.patches.any(&[ApplyTo::ExtensionConfig], place.context);
    if patches.is_empty() && !extensions {
        return;
    }
    let Ok(mut manager) = unpack::<HttpConnectionManager>(config) else { return };
    for of in patches.iter().filter(|of| !matches!(of.patch.operation, Operation::Merge { .. })) {
        let named = sub_filter(*of);
        let matches = |f: &HttpFilter| named.is_some_and(|n| n == f.name);
        let matches: Option<&dyn Fn(&HttpFilter) -> bool> =
            if named.is_some() { Some(&matches) } else { None };
        if list::apply(&mut manager.http_filters, of.patch.operation, of.message(), matches, http_end) {
            of.did(sources);
        }
    }
    for filter in &mut manager.http_filters {
        for of in &patches {
            let named = sub_filter(*of).is_none_or(|n| n == filter.name);
            if let (Operation::Merge { replace_lists }, true) = (of.patch.operation, named)
                && merge_http(filter, *of, replace_lists)
            {
                of.did(sources);
            }
        }
        discover_http(place, filter, sources);
    }
    *config = pack(&manager);
}

/// The HTTP filter that a patch names.
fn sub_filter<'a>(of: Of<'a>) -> Option<&'a str> {
    chain_match(of)?.sub_filter.as_deref()
}

fn merge_http(filter: &mut HttpFilter, of: Of<'_>, replace_lists: bool) -> bool {
    let (Some(value), Some(written)) = (of.value(), of.message::<HttpFilter>()) else { return false };
    let Some(http_filter::ConfigType::TypedConfig(config)) = &mut filter.config_type else { return false };
    if value.typed_config.is_some() && !merge::into_any(config, value, replace_lists) {
        return false;
    }
    if !written.name.is_empty() {
        filter.name = written.name;
    }
    filter.disabled |= written.disabled;
    filter.is_optional |= written.is_optional;
    true
}

/// The place of an HTTP filter that is added: by its class, else last but for the router, which must be the last.
fn http_end(filters: &[HttpFilter], class: FilterClass) -> usize {
    let is = |f: &HttpFilter, names: &[&str]| names.contains(&f.name.as_str());
    let after = |names: &[&str]| filters.iter().rposition(|f| is(f, names)).map(|i| i + 1);
    let authn = || after(&["envoy.filters.http.jwt_authn", "istio_authn"]);
    match class {
        FilterClass::Authn => authn().unwrap_or(0),
        FilterClass::Authz => {
            after(&["envoy.filters.http.rbac", "envoy.filters.http.ext_authz"]).or_else(authn).unwrap_or(0)
        }
        FilterClass::Stats => {
            filters.iter().position(|f| is(f, &["istio.stats"])).unwrap_or_else(|| before_router(filters))
        }
        FilterClass::Unspecified => before_router(filters),
    }
}

fn before_router(filters: &[HttpFilter]) -> usize {
    let terminal = |f: &HttpFilter| matches!(&f.config_type, Some(http_filter::ConfigType::TypedConfig(any)) if any.type_url == type_url::ROUTER);
    filters.len() - usize::from(filters.last().is_some_and(terminal))
}

/// The place of a network filter that is added: by its class, else last but for the one that ends the chain.
fn network_end(filters: &[Filter], class: FilterClass) -> usize {
    let terminal = |f: &Filter| {
        let ends = |url: &str| [type_url::HTTP_CONNECTION_MANAGER, type_url::TCP_PROXY].contains(&url);
        matches!(&f.config_type, Some(ConfigType::TypedConfig(any)) if ends(&any.type_url))
    };
    let last = filters.len() - usize::from(filters.last().is_some_and(terminal));
    match class {
        FilterClass::Authn => 0,
        FilterClass::Authz => {
            filters.iter().rposition(|f| f.name == "envoy.filters.network.rbac").map_or(0, |i| i + 1)
        }
        FilterClass::Stats => filters.iter().position(|f| f.name == "istio.stats").unwrap_or(last),
        FilterClass::Unspecified => last,
    }
}

/// Filters that ask for their configuration by name get it at once: there is no discovery of extensions here.
fn discover_http(place: Place<'_>, filter: &mut HttpFilter, sources: &mut Sources) {
    if let Some(http_filter::ConfigType::ConfigDiscovery(_)) = &filter.config_type
        && let Some(config) = extension(place, &filter.name, sources)
    {
        filter.config_type = Some(http_filter::ConfigType::TypedConfig(config));
    }
}

fn discover_network(place: Place<'_>, filter: &mut Filter, sources: &mut Sources) {
    if let Some(ConfigType::ConfigDiscovery(_)) = &filter.config_type
        && let Some(config) = extension(place, &filter.name, sources)
    {
        filter.config_type = Some(ConfigType::TypedConfig(config));
    }
}

fn extension(place: Place<'_>, name: &str, sources: &mut Sources) -> Option<Any> {
    let (of, config) =
        place.patches.all().filter(|of| of.patch.apply_to == ApplyTo::ExtensionConfig).find_map(|of| {
            let (given, config) = added::extension(of)?;
            (given == name).then_some((of, config))
        })?;
    of.did(sources);
    Some(config)
}
