//! Which objects a patch is for.

use tulle_api::istio as api;

use crate::envoy_filter::{
    ChainMatch, ClusterMatch, ListenerMatch, RouteAction, RouteMatch, RoutesMatch, VirtualHostMatch,
};

/// A port; 0 is none.
fn port(written: Option<u32>) -> Option<u32> {
    written.filter(|p| *p != 0)
}

pub(super) fn listener(given: &api::EnvoyListenerMatch) -> ListenerMatch {
    // Of portName the schema says that it has no effect.
    let api::EnvoyListenerMatch { port_number, port_name: _, filter_chain, listener_filter, name } = given;
    ListenerMatch {
        port: port(*port_number),
        name: name.clone(),
        chain: filter_chain.as_ref().map(chain),
        listener_filter: listener_filter.clone(),
    }
}

fn chain(given: &api::EnvoyFilterChainMatch) -> ChainMatch {
    let api::EnvoyFilterChainMatch {
        name,
        sni,
        transport_protocol,
        application_protocols,
        filter,
        destination_port,
    } = given;
    let (filter, sub_filter) = match filter {
        None => (None, None),
        Some(api::EnvoyFilterMatch { name, sub_filter }) => {
            let below = sub_filter.as_ref().map(|api::EnvoySubFilterMatch { name }| name.clone());
            (Some(canonical(name).to_owned()), below)
        }
    };
    ChainMatch {
        name: name.clone(),
        sni: sni.clone(),
        transport_protocol: transport_protocol.clone(),
        application_protocols: application_protocols
            .split(',')
            .filter(|p| !p.is_empty())
            .map(str::to_owned)
            .collect(),
        destination_port: port(*destination_port),
        filter,
        sub_filter,
    }
}

/// The name that filters have today, for the one old name that validation lets pass.
fn canonical(name: &str) -> &str {
    match name {
        "envoy.http_connection_manager" => "envoy.filters.network.http_connection_manager",
        other => other,
    }
}

pub(super) fn routes(given: &api::EnvoyRouteConfigurationMatch) -> RoutesMatch {
    let api::EnvoyRouteConfigurationMatch { port_number, port_name, gateway, vhost, name } = given;
    RoutesMatch {
        port: port(*port_number),
        port_name: port_name.clone(),
        gateway: gateway.clone(),
        name: name.clone(),
        host: vhost.as_ref().map(|api::EnvoyVirtualHostMatch { name, domain_name, route: of }| {
            VirtualHostMatch {
                name: name.clone(),
                domain: domain_name.clone(),
                route: of.as_ref().map(route),
            }
        }),
    }
}

fn route(given: &api::EnvoyRouteMatch) -> RouteMatch {
    let api::EnvoyRouteMatch { name, action } = given;
    let action = match action {
        None | Some(api::EnvoyRouteAction::Any) => None,
        Some(api::EnvoyRouteAction::Route) => Some(RouteAction::Route),
        Some(api::EnvoyRouteAction::Redirect) => Some(RouteAction::Redirect),
        Some(api::EnvoyRouteAction::DirectResponse) => Some(RouteAction::DirectResponse),
    };
    RouteMatch { name: name.clone(), action }
}

pub(super) fn cluster(given: &api::EnvoyClusterMatch) -> ClusterMatch {
    let api::EnvoyClusterMatch { port_number, service, subset, name } = given;
    ClusterMatch {
        port: port(*port_number),
        service: service.clone(),
        subset: subset.clone(),
        name: name.clone(),
    }
}
