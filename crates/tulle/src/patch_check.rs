//! What the proxy would refuse of what EnvoyFilters bring: what they add is compiled as the proxy does, in resources that hold
//! nothing else. The control plane does not know the proxy; only this program has both.

use std::sync::Arc;

use tulle_api::Object;
use tulle_base::{Diagnostic, Diagnostics, FieldPath};
use tulle_engine::compile::{self, Compiled, NoFiles};
use tulle_mesh::envoy_filter::{ApplyTo, EnvoyFilter, Operation, Patch};
use tulle_mesh::{Change, MeshConfig, Snapshot};
use tulle_proto::envoy::core::{Address, SocketAddress, address, socket_address::PortSpecifier};
use tulle_proto::envoy::http_connection_manager::{
    HttpConnectionManager, HttpFilter, http_connection_manager::RouteSpecifier, http_filter,
};
use tulle_proto::envoy::listener::{Filter, FilterChain, Listener, ListenerFilter, filter};
use tulle_proto::envoy::route::{Route, RouteConfiguration, VirtualHost};
use tulle_proto::envoy::router::Router;
use tulle_proto::envoy::tcp_proxy::{TcpProxy, tcp_proxy::ClusterSpecifier};
use tulle_proto::{Any, pack, type_url, unpack};

/// What is wrong in the patches of all EnvoyFilters among `objects`, by the fields of their documents.
pub(crate) fn check(objects: &[Arc<Object>]) -> Diagnostics {
    let filters = objects.iter().filter(|o| o.kind() == tulle_api::Kind::EnvoyFilter);
    let filters: Vec<&Arc<Object>> = filters.collect();
    let changes: Vec<Change> = filters.iter().map(|o| Change::Put(Arc::clone(o))).collect();
    let (snapshot, _) = Snapshot::new(MeshConfig::default()).apply(&changes);
    let mut out = Diagnostics::new();
    for object in filters {
        let Some(filter) = snapshot.envoy_filter(&object.resource()) else { continue };
        for mut found in filter.patches.iter().flat_map(|patch| problems(filter, patch)) {
            found.span.clone_from(&object.origin);
            out.push(found);
        }
    }
    out
}

fn problems(filter: &EnvoyFilter, patch: &Patch) -> Diagnostics {
    // What is merged is a part of something that is not known here.
    let whole = !matches!(patch.operation, Operation::Merge { .. } | Operation::Remove);
    let Some((above, told)) = probe(patch).filter(|_| whole) else { return Diagnostics::new() };
    let at = format!("spec.configPatches[{}].patch.value", patch.index);
    let here = |path: &str| {
        let below = path.strip_prefix(above)?;
        let dot = if above.is_empty() && !below.is_empty() { "." } else { "" };
        Some(FieldPath::from(format!("{at}{dot}{below}").as_str()))
    };
    let resource = &filter.meta.resource;
    let refused = told.refused.into_iter().filter_map(|(path, message)| {
        let message = format!("the proxy refuses it: {message}");
        Some(Diagnostic::error(here(path.as_str())?, message).with_resource(resource.clone()))
    });
    let noted = told.noted.into_iter().filter_map(|note| {
        let message = format!("has no effect: {}", note.message);
        Some(Diagnostic::warning(here(note.field.as_str())?, message).with_resource(resource.clone()))
    });
    refused.chain(noted).collect()
}

/// What the compiler says.
struct Told {
    refused: Vec<(FieldPath, String)>,
    noted: Diagnostics,
}

impl<T> From<Compiled<T>> for Told {
    fn from(compiled: Compiled<T>) -> Self {
        match compiled {
            Ok((_, noted)) => Self { refused: Vec::new(), noted },
            Err(error) => Self { refused: error.problems, noted: Diagnostics::new() },
        }
    }
}

/// Compiles what the patch brings; with the path at which it stands there.
fn probe(patch: &Patch) -> Option<(&'static str, Told)> {
    let bytes = patch.value.as_ref()?.message.bytes().to_vec();
    let any = |name: &str| Any { type_url: name.to_owned(), value: bytes };
    Some(match patch.apply_to {
        ApplyTo::HttpFilter => {
            let filter: HttpFilter =
                unpack(&any("envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter"))
                    .ok()?;
            let is_router = matches!(&filter.config_type, Some(http_filter::ConfigType::TypedConfig(c)) if c.type_url == type_url::ROUTER);
            let all = if is_router { vec![filter] } else { vec![filter, router()] };
            let listener = listener(vec![manager(all)], Vec::new());
            (
                "filter_chains[0].filters[0].typed_config.http_filters[0]",
                compile::listener(&listener, &NoFiles).into(),
            )
        }
        ApplyTo::NetworkFilter => {
            let filter: Filter = unpack(&any("envoy.config.listener.v3.Filter")).ok()?;
            let ends = [type_url::HTTP_CONNECTION_MANAGER, type_url::TCP_PROXY];
            let is_last = matches!(&filter.config_type, Some(filter::ConfigType::TypedConfig(c)) if ends.contains(&c.type_url.as_str()));
            let all = if is_last { vec![filter] } else { vec![filter, tcp_proxy()] };
            ("filter_chains[0].filters[0]", compile::listener(&listener(all, Vec::new()), &NoFiles).into())
        }
        ApplyTo::ListenerFilter => {
            let filter: ListenerFilter = unpack(&any("envoy.config.listener.v3.ListenerFilter")).ok()?;
            let listener = listener(vec![tcp_proxy()], vec![filter]);
            ("listener_filters[0]", compile::listener(&listener, &NoFiles).into())
        }
        ApplyTo::Listener => {
            ("", compile::listener(&unpack(&any(type_url::LISTENER)).ok()?, &NoFiles).into())
        }
        ApplyTo::Cluster => ("", compile::cluster(&unpack(&any(type_url::CLUSTER)).ok()?, &NoFiles).into()),
        ApplyTo::VirtualHost => {
            let host: VirtualHost = unpack(&any("envoy.config.route.v3.VirtualHost")).ok()?;
            ("virtual_hosts[0]", compile::routes(&table(host), &NoFiles).into())
        }
        ApplyTo::HttpRoute => {
            let route: Route = unpack(&any("envoy.config.route.v3.Route")).ok()?;
            ("virtual_hosts[0].routes[0]", compile::routes(&table(any_host(vec![route])), &NoFiles).into())
        }
        // A chain without its listener, a table without its hosts and an extension without its filter say too little.
        ApplyTo::FilterChain | ApplyTo::RouteConfiguration | ApplyTo::ExtensionConfig => return None,
    })
}

fn listener(filters: Vec<Filter>, listener_filters: Vec<ListenerFilter>) -> Listener {
    let socket = SocketAddress {
        address: "127.0.0.1".to_owned(),
        port_specifier: Some(PortSpecifier::PortValue(1)),
        ..SocketAddress::default()
    };
    Listener {
        name: "probe".to_owned(),
        address: Some(Address { address: Some(address::Address::SocketAddress(socket)) }),
        filter_chains: vec![FilterChain { filters, ..FilterChain::default() }],
        listener_filters,
        ..Listener::default()
    }
}

fn manager(http_filters: Vec<HttpFilter>) -> Filter {
    let config = HttpConnectionManager {
        stat_prefix: "probe".to_owned(),
        route_specifier: Some(RouteSpecifier::RouteConfig(table(any_host(Vec::new())))),
        http_filters,
        ..HttpConnectionManager::default()
    };
    network("envoy.filters.network.http_connection_manager", pack(&config))
}

fn tcp_proxy() -> Filter {
    let config = TcpProxy {
        stat_prefix: "probe".to_owned(),
        cluster_specifier: Some(ClusterSpecifier::Cluster("probe".to_owned())),
        ..TcpProxy::default()
    };
    network("envoy.filters.network.tcp_proxy", pack(&config))
}

fn network(name: &str, config: Any) -> Filter {
    Filter { name: name.to_owned(), config_type: Some(filter::ConfigType::TypedConfig(config)) }
}

fn router() -> HttpFilter {
    HttpFilter {
        name: "envoy.filters.http.router".to_owned(),
        config_type: Some(http_filter::ConfigType::TypedConfig(pack(&Router::default()))),
        ..HttpFilter::default()
    }
}

fn table(host: VirtualHost) -> RouteConfiguration {
    RouteConfiguration {
        name: "probe".to_owned(),
        virtual_hosts: vec![host],
        ..RouteConfiguration::default()
    }
}

fn any_host(routes: Vec<Route>) -> VirtualHost {
    VirtualHost { name: "probe".to_owned(), domains: vec!["*".to_owned()], routes, ..VirtualHost::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a patch.
    fn said(patch: &str) -> Vec<String> {
        let text = format!(
            "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {{name: f, namespace: shop}}\n\
             spec: {{configPatches: [{{{patch}}}]}}\n"
        );
        let (objects, problems) = tulle_api::parse_manifests("f.yaml", text.as_bytes());
        assert!(problems.is_empty(), "{problems:?}");
        let objects: Vec<Arc<Object>> = objects.into_iter().map(Arc::new).collect();
        check(&objects).iter().map(|d| format!("{} {}: {}", d.severity, d.field, d.message)).collect()
    }

    fn limit(more: &str) -> String {
        format!(
            "applyTo: HTTP_FILTER, patch: {{operation: INSERT_FIRST, value: {{name: l, typed_config: {{'@type': {}, \
             stat_prefix: l, token_bucket: {{max_tokens: 1, fill_interval: 1s}}{more}}}}}}}",
            type_url::LOCAL_RATE_LIMIT
        )
    }

    #[test]
    fn what_the_proxy_refuses_is_told_by_the_path_in_the_document() {
        assert_eq!(said(&limit("")), [""; 0]);
        let refused = said(&limit(", local_cluster_rate_limit: {}"));
        let path = "error spec.configPatches[0].patch.value.typed_config.local_cluster_rate_limit: the proxy refuses it: ";
        assert!(refused.len() == 1 && refused[0].starts_with(path), "{refused:#?}");
        let route = "applyTo: HTTP_ROUTE, patch: {operation: INSERT_FIRST, value: {match: {prefix: /}, direct_response: {status: 1}}}";
        let refused = said(route);
        let path = "error spec.configPatches[0].patch.value.direct_response.status: ";
        assert!(refused.len() == 1 && refused[0].starts_with(path), "{refused:#?}");
        let cluster = "applyTo: CLUSTER, patch: {operation: ADD, value: {name: c, type: STATIC, ring_hash_lb_config: {}}}";
        assert!(
            said(cluster).iter().all(|s| s.contains(" spec.configPatches[0].patch.value")),
            "{:?}",
            said(cluster)
        );
        // A part of something else is not looked at.
        assert_eq!(
            said("applyTo: CLUSTER, patch: {operation: MERGE, value: {connect_timeout: 1s}}"),
            [""; 0]
        );
    }
}
