//! Patches of listeners and listener filters.

use tulle_mesh::envoy_filter::{ApplyTo, ListenerMatch, ObjectMatch, Operation, Patch, PatchContext};
use tulle_proto::envoy::core::{address, socket_address::PortSpecifier};
use tulle_proto::envoy::listener::{FilterChain, Listener, ListenerFilter, listener_filter::ConfigType};

use super::{Of, Patches, added, chain, list, merge};
use crate::sources::Sources;

/// What patches of listeners may be applied to.
const KINDS: &[ApplyTo] = &[
    ApplyTo::Listener,
    ApplyTo::ListenerFilter,
    ApplyTo::FilterChain,
    ApplyTo::NetworkFilter,
    ApplyTo::HttpFilter,
    ApplyTo::ExtensionConfig,
];

/// A listener as the patches for `place` leave it; `None` when one removes it.
pub(crate) fn patch(
    patches: &Patches,
    place: PatchContext,
    mut listener: Listener,
    sources: &mut Sources,
) -> Option<Listener> {
    if !patches.any(KINDS, place) {
        return Some(listener);
    }
    for of in patches.to(ApplyTo::Listener, place) {
        if !matches(&listener, of.patch) {
            continue;
        }
        let done = match of.patch.operation {
            Operation::Remove => {
                of.did(sources);
                return None;
            }
            Operation::Merge { replace_lists } => of.merge_into(&mut listener, replace_lists),
            _ => false,
        };
        if done {
            of.did(sources);
        }
    }
    for of in patches.to(ApplyTo::ListenerFilter, place) {
        if matches(&listener, of.patch) && listener_filter(&mut listener.listener_filters, of) {
            of.did(sources);
        }
    }
    chains(patches, place, &mut listener, sources);
    Some(listener)
}

/// Whether the patch is for the listener. In the virtual listeners ports are those of chains.
pub(super) fn matches(listener: &Listener, patch: &Patch) -> bool {
    let ObjectMatch::Listener(wanted) = &patch.object else { return true };
    let ListenerMatch { port, name, chain: _, listener_filter: _ } = wanted;
    if !name.is_empty() && *name != listener.name {
        return false;
    }
    if patch.apply_to != ApplyTo::Listener && is_virtual(listener) {
        return true;
    }
    port.is_none_or(|port| port_of(listener) == Some(port))
}

pub(super) fn is_virtual(listener: &Listener) -> bool {
    matches!(listener.name.as_str(), "virtualInbound" | "virtualOutbound")
}

fn port_of(listener: &Listener) -> Option<u32> {
    match listener.address.as_ref()?.address.as_ref()? {
        address::Address::SocketAddress(socket) => match socket.port_specifier {
            Some(PortSpecifier::PortValue(port)) => Some(port),
            _ => None,
        },
        _ => None,
    }
}

fn listener_filter(filters: &mut Vec<ListenerFilter>, of: Of<'_>) -> bool {
    let named = match &of.patch.object {
        ObjectMatch::Listener(m) if !m.listener_filter.is_empty() => Some(m.listener_filter.as_str()),
        _ => None,
    };
    let matches = |f: &ListenerFilter| named.is_some_and(|n| n == f.name);
    if let Operation::Merge { replace_lists } = of.patch.operation {
        let mut done = false;
        for filter in filters.iter_mut().filter(|f| matches(f)) {
            done |= merge_filter(filter, of, replace_lists);
        }
        return done;
    }
    let matches: Option<&dyn Fn(&ListenerFilter) -> bool> =
        if named.is_some() { Some(&matches) } else { None };
    list::apply(filters, of.patch.operation, of.message(), matches, |all, _| all.len())
}

fn merge_filter(filter: &mut ListenerFilter, of: Of<'_>, replace_lists: bool) -> bool {
    let (Some(value), Some(written)) = (of.value(), of.message::<ListenerFilter>()) else { return false };
    let Some(ConfigType::TypedConfig(config)) = &mut filter.config_type else { return false };
    if value.typed_config.is_some() && !merge::into_any(config, value, replace_lists) {
        return false;
    }
    if !written.name.is_empty() {
        filter.name = written.name;
    }
    true
}

fn chains(patches: &Patches, place: PatchContext, listener: &mut Listener, sources: &mut Sources) {
    let chains = std::mem::take(&mut listener.filter_chains);
    let patched = |c: FilterChain, listener: &Listener, sources: &mut Sources| {
        chain::patch(patches, place, listener, c, sources)
    };
    listener.filter_chains = chains.into_iter().filter_map(|c| patched(c, listener, sources)).collect();
    if let Some(default) = listener.default_filter_chain.take() {
        listener.default_filter_chain = patched(default, listener, sources);
    }
    for of in patches.to(ApplyTo::FilterChain, place) {
        if matches!(of.patch.operation, Operation::Add(_))
            && matches(listener, of.patch)
            && let Some(mut chain) = of.message::<FilterChain>()
        {
            added::note(&mut chain.metadata, of);
            listener.filter_chains.push(chain);
            of.did(sources);
        }
    }
}
