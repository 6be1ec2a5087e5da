//! The messages that resources hold as `Any`: filters, transport sockets, options, logs. The bytes of each type in every place
//! where one may stand, also where it may not.

use prost::Message as _;
use tulle_engine::compile::{self, NoFiles};
use tulle_proto::{
    Any,
    envoy::{
        accesslog::{AccessLog, access_log},
        cluster::{Cluster, LoadBalancingPolicy, cluster as in_cluster, load_balancing_policy},
        core::{TransportSocket, TypedExtensionConfig, transport_socket},
        http_connection_manager::{HttpConnectionManager, HttpFilter, http_connection_manager, http_filter},
        listener::{Filter, FilterChain, Listener, ListenerFilter, filter, listener_filter},
        route::{
            RetryPolicy, Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, retry_policy,
            route, route_action, route_match,
        },
    },
    type_url,
};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "xds_any",
    run,
    words: &["\u{0}", "(", "a{1000}", "*", "%", "\u{8}\u{1}", "\u{12}\u{2}", "type.googleapis.com/"],
};

/// The first byte says which type, in the order of [`type_url::ALL`].
fn run(bytes: &[u8]) {
    let Some((choice, rest)) = bytes.split_first() else { return };
    let url = type_url::ALL[usize::from(*choice) % type_url::ALL.len()];
    let any = Any { type_url: url.to_owned(), value: rest.to_vec() };
    for listener in [
        in_chain(any.clone()),
        in_manager(any.clone()),
        as_listener_filter(any.clone()),
        as_listener_socket(any.clone()),
        as_listener_log(any.clone()),
    ] {
        let _ = compile::listener(&listener, &NoFiles);
    }
    for cluster in [as_cluster_socket(any.clone()), as_cluster_option(any.clone()), as_balancer(any.clone())]
    {
        let _ = compile::cluster(&cluster, &NoFiles);
    }
    let _ = compile::routes(&in_routes(any), &NoFiles);
}

fn chained(filters: Vec<Filter>) -> Listener {
    Listener {
        name: "listener".to_owned(),
        filter_chains: vec![FilterChain { filters, ..FilterChain::default() }],
        ..Listener::default()
    }
}

fn network(any: Any) -> Filter {
    Filter { name: "network".to_owned(), config_type: Some(filter::ConfigType::TypedConfig(any)) }
}

fn in_chain(any: Any) -> Listener {
    chained(vec![network(any)])
}

/// As an HTTP filter, as an access log, and in the routes of a connection manager.
fn in_manager(any: Any) -> Listener {
    let manager = HttpConnectionManager {
        stat_prefix: "test".to_owned(),
        http_filters: vec![HttpFilter {
            name: "http".to_owned(),
            config_type: Some(http_filter::ConfigType::TypedConfig(any.clone())),
            ..HttpFilter::default()
        }],
        access_log: vec![log(any.clone())],
        route_specifier: Some(http_connection_manager::RouteSpecifier::RouteConfig(in_routes(any))),
        ..HttpConnectionManager::default()
    };
    let manager =
        Any { type_url: type_url::HTTP_CONNECTION_MANAGER.to_owned(), value: manager.encode_to_vec() };
    in_chain(manager)
}

fn log(any: Any) -> AccessLog {
    AccessLog {
        name: "log".to_owned(),
        config_type: Some(access_log::ConfigType::TypedConfig(any)),
        ..AccessLog::default()
    }
}

fn as_listener_filter(any: Any) -> Listener {
    let filter = ListenerFilter {
        name: "first".to_owned(),
        config_type: Some(listener_filter::ConfigType::TypedConfig(any)),
        ..ListenerFilter::default()
    };
    Listener { listener_filters: vec![filter], ..chained(Vec::new()) }
}

fn socket(any: Any) -> TransportSocket {
    TransportSocket {
        name: "socket".to_owned(),
        config_type: Some(transport_socket::ConfigType::TypedConfig(any)),
    }
}

fn as_listener_socket(any: Any) -> Listener {
    let mut listener = chained(Vec::new());
    listener.filter_chains[0].transport_socket = Some(socket(any));
    listener
}

fn as_listener_log(any: Any) -> Listener {
    Listener { access_log: vec![log(any)], ..chained(Vec::new()) }
}

fn cluster() -> Cluster {
    Cluster { name: "cluster".to_owned(), ..Cluster::default() }
}

fn as_cluster_socket(any: Any) -> Cluster {
    let matched = in_cluster::TransportSocketMatch {
        name: "match".to_owned(),
        transport_socket: Some(socket(any.clone())),
        ..in_cluster::TransportSocketMatch::default()
    };
    Cluster { transport_socket: Some(socket(any)), transport_socket_matches: vec![matched], ..cluster() }
}

fn as_cluster_option(any: Any) -> Cluster {
    let options = ["envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "other"];
    Cluster {
        typed_extension_protocol_options: options
            .into_iter()
            .map(|name| (name.to_owned(), any.clone()))
            .collect(),
        ..cluster()
    }
}

fn extension(any: Any) -> TypedExtensionConfig {
    TypedExtensionConfig { name: "extension".to_owned(), typed_config: Some(any) }
}

fn as_balancer(any: Any) -> Cluster {
    let policy = load_balancing_policy::Policy { typed_extension_config: Some(extension(any)) };
    Cluster { load_balancing_policy: Some(LoadBalancingPolicy { policies: vec![policy] }), ..cluster() }
}

/// Per route, per virtual host, for the table, and as what retries look at.
fn in_routes(any: Any) -> RouteConfiguration {
    let named = |any: &Any| [("http".to_owned(), any.clone())].into();
    let retry = RetryPolicy {
        retry_host_predicate: vec![retry_policy::RetryHostPredicate {
            name: "predicate".to_owned(),
            config_type: Some(retry_policy::retry_host_predicate::ConfigType::TypedConfig(any.clone())),
        }],
        ..RetryPolicy::default()
    };
    let action = RouteAction {
        cluster_specifier: Some(route_action::ClusterSpecifier::Cluster("cluster".to_owned())),
        retry_policy: Some(retry),
        ..RouteAction::default()
    };
    let matched = RouteMatch {
        path_specifier: Some(route_match::PathSpecifier::Prefix("/".to_owned())),
        ..RouteMatch::default()
    };
    let route = Route {
        r#match: Some(matched),
        action: Some(route::Action::Route(action)),
        typed_per_filter_config: named(&any),
        ..Route::default()
    };
    let host = VirtualHost {
        name: "host".to_owned(),
        domains: vec!["*".to_owned()],
        routes: vec![route],
        typed_per_filter_config: named(&any),
        ..VirtualHost::default()
    };
    RouteConfiguration {
        name: "routes".to_owned(),
        virtual_hosts: vec![host],
        typed_per_filter_config: named(&any),
        ..RouteConfiguration::default()
    }
}
