//! Which configurations are taken and which refused: small changes of a bootstrap that both read, Envoy by `--mode validate`, ours by
//! compiling it as it compiles what an xDS server sends. What ours refuses it must refuse by the field; what is refused by one of
//! them only is listed with the reason.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use prost::Message as _;
use serde_json::{Value, json};
use tulle_engine::compile::{self, NoFiles};
use tulle_proto::{envoy::bootstrap::Bootstrap, json::Json};

use crate::configs_differences::DIFFERENCES;
use crate::harness::config::{any_host, filter, manager, merged, router};

/// A change, and a part of the field path by which ours refuses it.
struct Case {
    name: String,
    resources: Value,
    field: &'static str,
}

fn listed(name: &str) -> Option<&'static str> {
    DIFFERENCES.iter().find(|(listed, _)| *listed == name).map(|(_, why)| *why)
}

fn cluster(change: Value) -> Value {
    let endpoint = json!({ "endpoint": { "address": { "socket_address": { "address": "127.0.0.1", "port_value": 9 } } } });
    let own = json!({ "name": "app", "type": "STATIC", "connect_timeout": "1s",
        "load_assignment": { "cluster_name": "app", "endpoints": [{ "lb_endpoints": [endpoint] }] } });
    merged(own, &change)
}

/// A route table's virtual hosts, in a manager with these members.
fn listener(virtual_hosts: Value, more: Value, change: Value) -> Value {
    let own = json!({ "name": "in",
        "address": { "socket_address": { "address": "127.0.0.1", "port_value": 10_000 } },
        "filter_chains": [{ "filters": manager(virtual_hosts, &more, None) }] });
    merged(own, &change)
}

fn to_app() -> Value {
    json!({ "match": { "prefix": "/" }, "route": { "cluster": "app" } })
}

/// The cases as they are written down.
#[derive(Default)]
struct Table(Vec<Case>);

impl Table {
    fn add(&mut self, name: &str, field: &'static str, resources: Value) {
        self.0.push(Case { name: name.to_owned(), resources, field });
    }

    fn cluster(&mut self, name: &str, field: &'static str, change: Value) {
        let listener = listener(any_host(json!([to_app()])), json!({}), json!({}));
        self.add(
            &format!("cluster {name}"),
            field,
            json!({ "listeners": [listener], "clusters": [cluster(change)] }),
        );
    }

    fn listener(&mut self, name: &str, field: &'static str, change: Value) {
        let listener = listener(any_host(json!([to_app()])), json!({}), change);
        self.add(
            &format!("listener {name}"),
            field,
            json!({ "listeners": [listener], "clusters": [cluster(json!({}))] }),
        );
    }

    fn manager(&mut self, name: &str, field: &'static str, change: Value) {
        let listener = listener(any_host(json!([to_app()])), change, json!({}));
        self.add(
            &format!("manager {name}"),
            field,
            json!({ "listeners": [listener], "clusters": [cluster(json!({}))] }),
        );
    }

    fn hosts(&mut self, name: &str, field: &'static str, hosts: Value) {
        let listener = listener(hosts, json!({}), json!({}));
        self.add(
            &format!("hosts {name}"),
            field,
            json!({ "listeners": [listener], "clusters": [cluster(json!({}))] }),
        );
    }

    fn route(&mut self, name: &str, field: &'static str, route: Value) {
        let listener = listener(any_host(json!([route])), json!({}), json!({}));
        self.add(
            &format!("route {name}"),
            field,
            json!({ "listeners": [listener], "clusters": [cluster(json!({}))] }),
        );
    }

    fn filter(&mut self, name: &str, field: &'static str, kind: &str, config: Value) {
        let own = filter("f", &format!("envoy.extensions.filters.http.{kind}"), config);
        self.manager(&format!("with {name}"), field, json!({ "http_filters": [own, router()] }));
    }
}

fn clusters(t: &mut Table) {
    let endpoints = |list: Value| json!({ "load_assignment": { "endpoints": [{ "lb_endpoints": list }] } });
    let address = |ip: &str, port: u32| json!({ "endpoint": { "address": { "socket_address": { "address": ip, "port_value": port } } } });
    let options = |config: Value| {
        json!({ "typed_extension_protocol_options": { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": merged(json!({
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions" }), &config) } })
    };
    let h2 = |config: Value| options(json!({ "explicit_http_config": { "http2_protocol_options": config } }));
    let check = |config: Value| {
        json!({ "health_checks": [merged(json!({ "timeout": "1s", "interval": "1s", "unhealthy_threshold": 1, "healthy_threshold": 1,
        "http_health_check": { "path": "/" } }), &config)] })
    };
    for (name, field, change) in [
        ("as it is", "", json!({})),
        ("without a name", "name", json!({ "name": "" })),
        ("timeout of nothing", "connect_timeout", json!({ "connect_timeout": "0s" })),
        ("negative timeout", "connect_timeout", json!({ "connect_timeout": "-1s" })),
        ("port too large", "port_value", endpoints(json!([address("127.0.0.1", 70_000)]))),
        ("host name where static", "address", endpoints(json!([address("app.test", 80)]))),
        ("no address", "address", endpoints(json!([address("", 80)]))),
        (
            "weight of nothing",
            "load_balancing_weight",
            endpoints(json!([merged(address("127.0.0.1", 80), &json!({ "load_balancing_weight": 0 }))])),
        ),
        (
            "priority too high",
            "priority",
            json!({ "load_assignment": { "endpoints": [{ "priority": 129, "lb_endpoints": [] }] } }),
        ),
        ("another cluster's endpoints", "", json!({ "load_assignment": { "cluster_name": "other" } })),
        ("policy unknown", "lb_policy", json!({ "lb_policy": 99 })),
        (
            "ring too small",
            "ring_hash_lb_config",
            json!({ "lb_policy": "RING_HASH", "ring_hash_lb_config": { "minimum_ring_size": 100, "maximum_ring_size": 10 } }),
        ),
        (
            "ring too large",
            "ring_hash_lb_config",
            json!({ "lb_policy": "RING_HASH", "ring_hash_lb_config": { "minimum_ring_size": 9_000_000 } }),
        ),
        (
            "table no prime",
            "table_size",
            json!({ "lb_policy": "MAGLEV", "maglev_lb_config": { "table_size": 100 } }),
        ),
        (
            "one choice",
            "choice_count",
            json!({ "lb_policy": "LEAST_REQUEST", "least_request_lb_config": { "choice_count": 1 } }),
        ),
        (
            "original destination balanced",
            "lb_policy",
            json!({ "type": "ORIGINAL_DST", "load_assignment": null }),
        ),
        (
            "original destination of endpoints",
            "load_assignment",
            json!({ "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED" }),
        ),
        (
            "two logical addresses",
            "load_assignment",
            merged(
                json!({ "type": "LOGICAL_DNS" }),
                &endpoints(json!([address("a.test", 80), address("b.test", 80)])),
            ),
        ),
        ("no resolution at all", "type", json!({ "type": 77 })),
        (
            "percent too high",
            "max_ejection_percent",
            json!({ "outlier_detection": { "max_ejection_percent": 101 } }),
        ),
        ("interval of nothing", "interval", json!({ "outlier_detection": { "interval": "0s" } })),
        (
            "panic too high",
            "healthy_panic_threshold",
            json!({ "common_lb_config": { "healthy_panic_threshold": { "value": 101 } } }),
        ),
        (
            "panic negative",
            "healthy_panic_threshold",
            json!({ "common_lb_config": { "healthy_panic_threshold": { "value": -1 } } }),
        ),
        (
            "priority of breakers unknown",
            "priority",
            json!({ "circuit_breakers": { "thresholds": [{ "priority": 9 }] } }),
        ),
        (
            "budget too high",
            "budget_percent",
            json!({ "circuit_breakers": { "thresholds": [{ "retry_budget": { "budget_percent": { "value": 101 } } }] } }),
        ),
        ("check without a timeout", "timeout", check(json!({ "timeout": null }))),
        ("check without an interval", "interval", check(json!({ "interval": null }))),
        ("check without a threshold", "unhealthy_threshold", check(json!({ "unhealthy_threshold": null }))),
        ("check of nothing", "health_checks", check(json!({ "http_health_check": null }))),
        ("check without a path", "path", check(json!({ "http_health_check": { "path": "" } }))),
        (
            "check with bad ranges",
            "expected_statuses",
            check(
                json!({ "http_health_check": { "path": "/", "expected_statuses": [{ "start": 300, "end": 200 }] } }),
            ),
        ),
        (
            "check of empty ranges",
            "expected_statuses",
            check(
                json!({ "http_health_check": { "path": "/", "expected_statuses": [{ "start": 50, "end": 700 }] } }),
            ),
        ),
        (
            "check with CONNECT",
            "method",
            check(json!({ "http_health_check": { "path": "/", "method": "CONNECT" } })),
        ),
        ("window too small", "initial_stream_window_size", h2(json!({ "initial_stream_window_size": 100 }))),
        (
            "window too large",
            "initial_connection_window_size",
            h2(json!({ "initial_connection_window_size": 4_294_967_295u32 })),
        ),
        ("no streams", "max_concurrent_streams", h2(json!({ "max_concurrent_streams": 0 }))),
        (
            "idle for ever",
            "",
            options(
                json!({ "common_http_protocol_options": { "idle_timeout": "0s" }, "explicit_http_config": { "http_protocol_options": {} } }),
            ),
        ),
        (
            "no headers allowed",
            "max_headers_count",
            options(
                json!({ "common_http_protocol_options": { "max_headers_count": 0 }, "explicit_http_config": { "http_protocol_options": {} } }),
            ),
        ),
        ("no protocol", "", options(json!({}))),
        ("unknown field", "nonsense", json!({ "nonsense": 1 })),
        ("wrong type", "name", json!({ "name": 7 })),
        (
            "unknown socket",
            "transport_socket",
            json!({ "transport_socket": { "name": "x", "typed_config": { "@type": "type.googleapis.com/envoy.config.core.v3.Node" } } }),
        ),
        ("socket of nothing", "transport_socket", json!({ "transport_socket": { "name": "" } })),
        (
            "bad certificate",
            "trusted_ca",
            json!({ "transport_socket": { "name": "tls", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": { "validation_context": { "trusted_ca": { "inline_string": "no certificate" } } } } } }),
        ),
        (
            "match without a name",
            "transport_socket_matches",
            json!({ "transport_socket_matches": [{ "match": {} }] }),
        ),
        (
            "bad source",
            "upstream_bind_config",
            json!({ "upstream_bind_config": { "source_address": { "address": "nowhere", "port_value": 0 } } }),
        ),
        ("refresh too often", "dns_refresh_rate", json!({ "type": "STRICT_DNS", "dns_refresh_rate": "0s" })),
        ("no buffer", "", json!({ "per_connection_buffer_limit_bytes": 0 })),
    ] {
        t.cluster(name, field, change);
    }
    let two = json!([cluster(json!({})), cluster(json!({}))]);
    t.add("clusters of one name", "clusters[1]", json!({ "clusters": two }));
}

fn listeners(t: &mut Table) {
    let chain = |matches: Value| json!({ "filters": manager(any_host(json!([to_app()])), &json!({}), None), "filter_chain_match": matches });
    let chains = |list: Vec<Value>| json!({ "filter_chains": list });
    for (name, field, change) in [
        ("as it is", "", json!({})),
        ("without an address", "address", json!({ "address": null })),
        (
            "at a name",
            "address",
            json!({ "address": { "socket_address": { "address": "app.test", "port_value": 80 } } }),
        ),
        (
            "port too large",
            "port_value",
            json!({ "address": { "socket_address": { "port_value": 65_536 } } }),
        ),
        ("without chains", "filter_chains", json!({ "filter_chains": [] })),
        ("chain without filters", "filters", json!({ "filter_chains": [{}] })),
        (
            "unknown filter",
            "filters",
            json!({ "filter_chains": [{ "filters": [filter("x", "envoy.config.core.v3.Node", json!({}))] }] }),
        ),
        ("filter of nothing", "filters", json!({ "filter_chains": [{ "filters": [{ "name": "x" }] }] })),
        (
            "filter without a name",
            "name",
            json!({ "filter_chains": [{ "filters": [merged(manager(any_host(json!([to_app()])), &json!({}), None)[0].clone(), &json!({ "name": "" }))] }] }),
        ),
        (
            "the same match twice",
            "filter_chain",
            chains(vec![chain(json!({ "destination_port": 80 })), chain(json!({ "destination_port": 80 }))]),
        ),
        ("two without a match", "filter_chain", chains(vec![chain(json!({})), chain(json!({}))])),
        (
            "prefix too long",
            "prefix_len",
            chains(vec![chain(
                json!({ "prefix_ranges": [{ "address_prefix": "10.0.0.0", "prefix_len": 33 }] }),
            )]),
        ),
        (
            "prefix of no address",
            "address_prefix",
            chains(vec![chain(json!({ "prefix_ranges": [{ "address_prefix": "ten", "prefix_len": 8 }] }))]),
        ),
        (
            "port of chain too large",
            "destination_port",
            chains(vec![chain(json!({ "destination_port": 70_000 }))]),
        ),
        ("port of chain 0", "destination_port", chains(vec![chain(json!({ "destination_port": 0 }))])),
        (
            "name with a wildcard inside",
            "server_names",
            chains(vec![chain(json!({ "server_names": ["a.*.test"] }))]),
        ),
        (
            "unknown listener filter",
            "listener_filters",
            json!({ "listener_filters": [filter("x", "envoy.config.core.v3.Node", json!({}))] }),
        ),
        (
            "negative listener timeout",
            "listener_filters_timeout",
            json!({ "listener_filters_timeout": "-1s" }),
        ),
        (
            "TLS without a certificate",
            "common_tls_context",
            json!({ "filter_chains": [merged(chain(json!({})), &json!({ "transport_socket": { "name": "tls", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", "common_tls_context": {} } } }))] }),
        ),
        (
            "TLS of versions that do not exist",
            "tls_minimum_protocol_version",
            json!({ "filter_chains": [merged(chain(json!({})), &json!({ "transport_socket": { "name": "tls", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", "common_tls_context": { "tls_params": { "tls_minimum_protocol_version": 17 } } } } }))] }),
        ),
        ("direction unknown", "traffic_direction", json!({ "traffic_direction": 7 })),
        (
            "TCP without a cluster",
            "cluster",
            json!({ "filter_chains": [{ "filters": [filter("t", "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", json!({ "stat_prefix": "t" }))] }] }),
        ),
        (
            "TCP without a prefix",
            "stat_prefix",
            json!({ "filter_chains": [{ "filters": [filter("t", "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", json!({ "cluster": "app" }))] }] }),
        ),
        (
            "TCP of no weights",
            "weighted_clusters",
            json!({ "filter_chains": [{ "filters": [filter("t", "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", json!({ "stat_prefix": "t",
            "weighted_clusters": { "clusters": [] } }))] }] }),
        ),
        (
            "TCP of a weight of nothing",
            "weight",
            json!({ "filter_chains": [{ "filters": [filter("t", "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", json!({ "stat_prefix": "t",
            "weighted_clusters": { "clusters": [{ "name": "app", "weight": 0 }] } }))] }] }),
        ),
        (
            "TCP that never connects",
            "max_connect_attempts",
            json!({ "filter_chains": [{ "filters": [filter("t", "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", json!({ "stat_prefix": "t",
            "cluster": "app", "max_connect_attempts": 0 }))] }] }),
        ),
    ] {
        t.listener(name, field, change);
    }
}

fn managers(t: &mut Table) {
    let log = |config: Value| json!({ "access_log": [filter("l", "envoy.extensions.access_loggers.file.v3.FileAccessLog", config)] });
    let format = |text: &str| {
        log(json!({ "path": "/dev/null", "log_format": { "text_format_source": { "inline_string": text } } }))
    };
    let unknown = filter("x", "envoy.config.core.v3.Node", json!({}));
    for (name, field, change) in [
        ("without a prefix", "stat_prefix", json!({ "stat_prefix": "" })),
        ("without routes", "route", json!({ "route_config": null })),
        ("without filters", "http_filters", json!({ "http_filters": [] })),
        (
            "router not last",
            "http_filters",
            json!({ "http_filters": [router(), filter("b", "envoy.extensions.filters.http.buffer.v3.Buffer", json!({ "max_request_bytes": 1 }))] }),
        ),
        ("two routers", "http_filters", json!({ "http_filters": [router(), router()] })),
        ("unknown filter", "http_filters", json!({ "http_filters": [unknown.clone(), router()] })),
        (
            "unknown filter that is optional",
            "",
            json!({ "http_filters": [merged(unknown, &json!({ "is_optional": true })), router()] }),
        ),
        (
            "filter without a name",
            "name",
            json!({ "http_filters": [merged(router(), &json!({ "name": "" }))] }),
        ),
        ("codec unknown", "codec_type", json!({ "codec_type": 9 })),
        ("head too large", "max_request_headers_kb", json!({ "max_request_headers_kb": 8193 })),
        ("head of nothing", "max_request_headers_kb", json!({ "max_request_headers_kb": 0 })),
        ("head of 96 KiB", "", json!({ "max_request_headers_kb": 96 })),
        (
            "no fields allowed",
            "max_headers_count",
            json!({ "common_http_protocol_options": { "max_headers_count": 0 } }),
        ),
        ("negative timeout", "stream_idle_timeout", json!({ "stream_idle_timeout": "-1s" })),
        (
            "stripping ports twice",
            "strip",
            json!({ "strip_any_host_port": true, "strip_matching_host_port": true }),
        ),
        ("server unknown", "server_header_transformation", json!({ "server_header_transformation": 5 })),
        (
            "certificate details unknown",
            "forward_client_cert_details",
            json!({ "forward_client_cert_details": 9 }),
        ),
        (
            "upgrade twice",
            "upgrade_configs",
            json!({ "upgrade_configs": [{ "upgrade_type": "websocket" }, { "upgrade_type": "websocket" }] }),
        ),
        (
            "window too small",
            "initial_stream_window_size",
            json!({ "http2_protocol_options": { "initial_stream_window_size": 1 } }),
        ),
        ("log without a path", "path", log(json!({ "path": "" }))),
        ("log of an unknown operator", "log_format", format("%NO_SUCH_THING%")),
        ("log of half an operator", "log_format", format("50% done")),
        ("log of an operator with bad arguments", "log_format", format("%REQ()%")),
        ("log of a bad length", "log_format", format("%REQ(A):x%")),
        (
            "log without a filter's comparison",
            "filter",
            merged(log(json!({ "path": "/dev/null" })), &json!({})),
        ),
        (
            "reply of a bad status",
            "status_code",
            json!({ "local_reply_config": { "mappers": [{ "filter": { "not_health_check_filter": {} }, "status_code": 100 }] } }),
        ),
        (
            "reply without a filter",
            "filter",
            json!({ "local_reply_config": { "mappers": [{ "status_code": 500 }] } }),
        ),
        ("via with a line end", "via", json!({ "via": "a\r\nb" })),
        ("server name with a line end", "server_name", json!({ "server_name": "a\nb" })),
        (
            "slash action unknown",
            "path_with_escaped_slashes_action",
            json!({ "path_with_escaped_slashes_action": 9 }),
        ),
    ] {
        t.manager(name, field, change);
    }
}

fn hosts(t: &mut Table) {
    let host =
        |change: Value| merged(json!({ "name": "h", "domains": ["*"], "routes": [to_app()] }), &change);
    for (name, field, list) in [
        ("without a name", "name", json!([host(json!({ "name": "" }))])),
        ("without domains", "domains", json!([host(json!({ "domains": [] }))])),
        ("of an empty domain", "domains", json!([host(json!({ "domains": [""] }))])),
        (
            "of two names alike",
            "name",
            json!([host(json!({ "domains": ["a"] })), host(json!({ "domains": ["b"] }))]),
        ),
        ("of one domain twice", "domains", json!([host(json!({ "domains": ["a", "a"] }))])),
        (
            "of one domain in two",
            "domains",
            json!([host(json!({ "domains": ["a"] })), host(json!({ "name": "i", "domains": ["a"] }))]),
        ),
        ("of everything twice", "domains", json!([host(json!({})), host(json!({ "name": "i" }))])),
        (
            "of a domain in upper case",
            "domains",
            json!([host(json!({ "domains": ["a"] })), host(json!({ "name": "i", "domains": ["A"] }))]),
        ),
        ("wildcard inside", "domains", json!([host(json!({ "domains": ["a*b"] }))])),
        ("wildcard at both ends", "domains", json!([host(json!({ "domains": ["*a*"] }))])),
        ("without routes", "", json!([host(json!({ "routes": [] }))])),
        ("tls unknown", "require_tls", json!([host(json!({ "require_tls": 9 }))])),
        (
            "adding a pseudo header",
            "request_headers_to_add",
            json!([host(
                json!({ "request_headers_to_add": [{ "header": { "key": ":path", "value": "/" } }] })
            )]),
        ),
        (
            "adding host",
            "request_headers_to_add",
            json!([host(
                json!({ "request_headers_to_add": [{ "header": { "key": "host", "value": "a" } }] })
            )]),
        ),
        (
            "adding a bad name",
            "key",
            json!([host(
                json!({ "request_headers_to_add": [{ "header": { "key": "a b", "value": "/" } }] })
            )]),
        ),
        (
            "adding no name",
            "key",
            json!([host(json!({ "request_headers_to_add": [{ "header": { "key": "", "value": "/" } }] }))]),
        ),
        (
            "adding a line end",
            "value",
            json!([host(
                json!({ "request_headers_to_add": [{ "header": { "key": "a", "value": "b\r\nc: d" } }] })
            )]),
        ),
        (
            "adding an unknown variable",
            "value",
            json!([host(
                json!({ "request_headers_to_add": [{ "header": { "key": "a", "value": "%NO_SUCH_THING%" } }] })
            )]),
        ),
        (
            "adding half a variable",
            "value",
            json!([host(
                json!({ "request_headers_to_add": [{ "header": { "key": "a", "value": "%REQ(a" } }] })
            )]),
        ),
        (
            "removing host",
            "request_headers_to_remove",
            json!([host(json!({ "request_headers_to_remove": ["host"] }))]),
        ),
        (
            "removing a pseudo header",
            "request_headers_to_remove",
            json!([host(json!({ "request_headers_to_remove": [":path"] }))]),
        ),
    ] {
        t.hosts(name, field, list);
    }
}

fn routes(t: &mut Table) {
    let when = |matches: Value| json!({ "match": matches, "route": { "cluster": "app" } });
    let to = |action: Value| json!({ "match": { "prefix": "/" }, "route": action });
    let app = |more: Value| to(merged(json!({ "cluster": "app" }), &more));
    let regex = |text: &str| json!({ "safe_regex": { "regex": text } });
    let header = |matcher: Value| {
        when(json!({ "prefix": "/", "headers": [merged(json!({ "name": "a" }), &matcher)] }))
    };
    for (name, field, route) in [
        ("without a match", "match", json!({ "route": { "cluster": "app" } })),
        ("without a path", "match", when(json!({}))),
        ("without an action", "routes[0]", json!({ "match": { "prefix": "/" } })),
        ("regex that is none", "regex", when(regex("("))),
        ("regex that looks ahead", "regex", when(regex("(?=a)b"))),
        ("regex of a back reference", "regex", when(regex("(a)\\1"))),
        ("empty regex", "regex", when(regex(""))),
        ("huge regex", "regex", when(regex(&"a{1,1000}".repeat(20)))),
        (
            "segments with a slash at the end",
            "path_separated_prefix",
            when(json!({ "path_separated_prefix": "/a/" })),
        ),
        ("segments without a slash", "path_separated_prefix", when(json!({ "path_separated_prefix": "a" }))),
        ("segments with a query", "path_separated_prefix", when(json!({ "path_separated_prefix": "/a?b" }))),
        (
            "header without a name",
            "name",
            when(json!({ "prefix": "/", "headers": [{ "present_match": true }] })),
        ),
        ("header without a matcher", "", header(json!({}))),
        ("range upside down", "", header(json!({ "range_match": { "start": 10, "end": 1 } }))),
        ("empty prefix of a header", "prefix", header(json!({ "string_match": { "prefix": "" } }))),
        ("string of nothing", "string_match", header(json!({ "string_match": {} }))),
        (
            "query parameter without a name",
            "name",
            when(json!({ "prefix": "/", "query_parameters": [{ "present_match": true }] })),
        ),
        (
            "fraction over all",
            "",
            when(json!({ "prefix": "/", "runtime_fraction": { "default_value": { "numerator": 101 } } })),
        ),
        ("to no cluster", "cluster", to(json!({}))),
        ("to an empty cluster", "cluster", to(json!({ "cluster": "" }))),
        ("to no weighted clusters", "clusters", to(json!({ "weighted_clusters": { "clusters": [] } }))),
        (
            "to weights of nothing",
            "weight",
            to(json!({ "weighted_clusters": { "clusters": [{ "name": "app", "weight": 0 }] } })),
        ),
        ("to a header without a name", "cluster_header", to(json!({ "cluster_header": "" }))),
        ("negative timeout", "timeout", app(json!({ "timeout": "-1s" }))),
        (
            "two path rewrites",
            "rewrite",
            app(
                json!({ "prefix_rewrite": "/a", "regex_rewrite": { "pattern": { "regex": "a" }, "substitution": "b" } }),
            ),
        ),
        (
            "rewrite by a bad regex",
            "regex",
            app(json!({ "regex_rewrite": { "pattern": { "regex": "(" }, "substitution": "b" } })),
        ),
        (
            "rewrite of a group that is not there",
            "substitution",
            app(json!({ "regex_rewrite": { "pattern": { "regex": "a" }, "substitution": "\\2" } })),
        ),
        ("rewrite with a line end", "prefix_rewrite", app(json!({ "prefix_rewrite": "/a\r\nb" }))),
        (
            "host rewrite with a line end",
            "host_rewrite_literal",
            app(json!({ "host_rewrite_literal": "a\nb" })),
        ),
        (
            "status of a missing cluster unknown",
            "cluster_not_found_response_code",
            app(json!({ "cluster_not_found_response_code": 9 })),
        ),
        (
            "retry with words that do not exist",
            "retry_on",
            app(json!({ "retry_policy": { "retry_on": "5xx,nonsense" } })),
        ),
        (
            "retry with a back-off of nothing",
            "base_interval",
            app(
                json!({ "retry_policy": { "retry_on": "5xx", "retry_back_off": { "base_interval": "0s" } } }),
            ),
        ),
        (
            "retry with a back-off upside down",
            "max_interval",
            app(
                json!({ "retry_policy": { "retry_on": "5xx", "retry_back_off": { "base_interval": "1s", "max_interval": "0.1s" } } }),
            ),
        ),
        (
            "retry with a back-off of nothing said",
            "base_interval",
            app(json!({ "retry_policy": { "retry_on": "5xx", "retry_back_off": {} } })),
        ),
        ("mirror to nowhere", "cluster", app(json!({ "request_mirror_policies": [{ "cluster": "" }] }))),
        ("hash of nothing", "hash_policy", app(json!({ "hash_policy": [{}] }))),
        (
            "hash of a cookie without a name",
            "name",
            app(json!({ "hash_policy": [{ "cookie": { "name": "" } }] })),
        ),
        ("hash of a header without a name", "header_name", app(json!({ "hash_policy": [{ "header": {} }] }))),
        ("limits without actions", "actions", app(json!({ "rate_limits": [{ "actions": [] }] }))),
        (
            "limits of a late stage",
            "stage",
            app(json!({ "rate_limits": [{ "stage": 11, "actions": [{ "remote_address": {} }] }] })),
        ),
        (
            "redirect with a bad code",
            "response_code",
            json!({ "match": { "prefix": "/" }, "redirect": { "response_code": 9 } }),
        ),
        (
            "redirect with a line end",
            "path_redirect",
            json!({ "match": { "prefix": "/" }, "redirect": { "path_redirect": "/a\r\nb" } }),
        ),
        (
            "redirect to a port too large",
            "port_redirect",
            json!({ "match": { "prefix": "/" }, "redirect": { "port_redirect": 70_000 } }),
        ),
        (
            "answer with status 99",
            "status",
            json!({ "match": { "prefix": "/" }, "direct_response": { "status": 99 } }),
        ),
        (
            "answer with status 600",
            "status",
            json!({ "match": { "prefix": "/" }, "direct_response": { "status": 600 } }),
        ),
        (
            "answer that is too long",
            "body",
            json!({ "match": { "prefix": "/" }, "direct_response": { "status": 200, "body": { "inline_string": "x".repeat(4097) } } }),
        ),
        (
            "filter config of an unknown type",
            "typed_per_filter_config",
            merged(
                to_app(),
                &json!({ "typed_per_filter_config": { "f": { "@type": "type.googleapis.com/envoy.config.core.v3.Node" } } }),
            ),
        ),
        ("unknown field", "nonsense", app(json!({ "nonsense": true }))),
        (
            "upgrade without a type",
            "upgrade_type",
            app(json!({ "upgrade_configs": [{ "upgrade_type": "" }] })),
        ),
        (
            "longest stream negative",
            "max_stream_duration",
            app(json!({ "max_stream_duration": { "max_stream_duration": "-1s" } })),
        ),
    ] {
        t.route(name, field, route);
    }
}

fn filters(t: &mut Table) {
    let percent = |n: u32| json!({ "numerator": n });
    let bucket = |change: Value| json!({ "stat_prefix": "l", "token_bucket": merged(json!({ "max_tokens": 1, "tokens_per_fill": 1, "fill_interval": "1s" }), &change) });
    let service = json!({ "grpc_service": { "envoy_grpc": { "cluster_name": "app" } } });
    for (name, field, kind, config) in [
        (
            "a fault of a bad status",
            "http_status",
            "fault.v3.HTTPFault",
            json!({ "abort": { "http_status": 100, "percentage": percent(1) } }),
        ),
        (
            "a fault of nothing",
            "abort",
            "fault.v3.HTTPFault",
            json!({ "abort": { "percentage": percent(1) } }),
        ),
        (
            "a fault of a delay of nothing",
            "fixed_delay",
            "fault.v3.HTTPFault",
            json!({ "delay": { "fixed_delay": "0s", "percentage": percent(1) } }),
        ),
        ("a buffer of nothing", "max_request_bytes", "buffer.v3.Buffer", json!({ "max_request_bytes": 0 })),
        ("a buffer without a size", "max_request_bytes", "buffer.v3.Buffer", json!({})),
        ("csrf without a share", "filter_enabled", "csrf.v3.CsrfPolicy", json!({})),
        ("a local limit without a prefix", "stat_prefix", "local_ratelimit.v3.LocalRateLimit", json!({})),
        (
            "a local limit that fills too often",
            "fill_interval",
            "local_ratelimit.v3.LocalRateLimit",
            bucket(json!({ "fill_interval": "0.01s" })),
        ),
        (
            "a local limit of no tokens",
            "max_tokens",
            "local_ratelimit.v3.LocalRateLimit",
            bucket(json!({ "max_tokens": 0 })),
        ),
        (
            "a local limit that never fills",
            "tokens_per_fill",
            "local_ratelimit.v3.LocalRateLimit",
            bucket(json!({ "tokens_per_fill": 0 })),
        ),
        (
            "a limit without a domain",
            "domain",
            "ratelimit.v3.RateLimit",
            json!({ "rate_limit_service": merged(service.clone(), &json!({ "transport_api_version": "V3" })) }),
        ),
        (
            "a limit without a service",
            "rate_limit_service",
            "ratelimit.v3.RateLimit",
            json!({ "domain": "d" }),
        ),
        (
            "a limit of a late stage",
            "stage",
            "ratelimit.v3.RateLimit",
            json!({ "domain": "d", "stage": 11, "rate_limit_service": merged(service.clone(), &json!({ "transport_api_version": "V3" })) }),
        ),
        ("authorization by nobody", "", "ext_authz.v3.ExtAuthz", json!({ "transport_api_version": "V3" })),
        (
            "authorization with no body",
            "max_request_bytes",
            "ext_authz.v3.ExtAuthz",
            merged(
                service.clone(),
                &json!({ "transport_api_version": "V3", "with_request_body": { "max_request_bytes": 0 } }),
            ),
        ),
        (
            "authorization by an old version",
            "transport_api_version",
            "ext_authz.v3.ExtAuthz",
            merged(service, &json!({ "transport_api_version": "V2" })),
        ),
        ("a compressor without a library", "compressor_library", "compressor.v3.Compressor", json!({})),
        ("a health check without a mode", "pass_through_mode", "health_check.v3.HealthCheck", json!({})),
        (
            "a health check that keeps what it does not ask",
            "cache_time",
            "health_check.v3.HealthCheck",
            json!({ "pass_through_mode": false, "cache_time": "1s" }),
        ),
        (
            "tokens of an unknown provider",
            "provider_name",
            "jwt_authn.v3.JwtAuthentication",
            json!({ "rules": [{ "match": { "prefix": "/" }, "requires": { "provider_name": "nobody" } }] }),
        ),
        (
            "tokens without keys",
            "",
            "jwt_authn.v3.JwtAuthentication",
            json!({ "providers": { "p": { "issuer": "i" } } }),
        ),
        (
            "tokens with bad keys",
            "local_jwks",
            "jwt_authn.v3.JwtAuthentication",
            json!({ "providers": { "p": { "issuer": "i", "local_jwks": { "inline_string": "{" } } },
            "rules": [{ "match": { "prefix": "/" }, "requires": { "provider_name": "p" } }] }),
        ),
        (
            "rules of nobody",
            "principals",
            "rbac.v3.RBAC",
            json!({ "rules": { "policies": { "p": { "permissions": [{ "any": true }], "principals": [] } } } }),
        ),
        (
            "rules about nothing",
            "permissions",
            "rbac.v3.RBAC",
            json!({ "rules": { "policies": { "p": { "permissions": [], "principals": [{ "any": true }] } } } }),
        ),
        (
            "rules of a bad range",
            "address_prefix",
            "rbac.v3.RBAC",
            json!({ "rules": { "policies": { "p": { "permissions": [{ "any": true }], "principals": [{ "remote_ip": { "address_prefix": "x", "prefix_len": 8 } }] } } } }),
        ),
        (
            "rules of a bad port",
            "destination_port",
            "rbac.v3.RBAC",
            json!({ "rules": { "policies": { "p": { "permissions": [{ "destination_port": 70_000 }], "principals": [{ "any": true }] } } } }),
        ),
        ("an action unknown", "action", "rbac.v3.RBAC", json!({ "rules": { "action": 9 } })),
        (
            "a mutation of nothing",
            "request_mutations",
            "header_mutation.v3.HeaderMutation",
            json!({ "mutations": { "request_mutations": [{}] } }),
        ),
        (
            "a mutation of a bad name",
            "key",
            "header_mutation.v3.HeaderMutation",
            json!({ "mutations": { "request_mutations": [{ "append": { "header": { "key": "a b", "value": "c" } } }] } }),
        ),
        (
            "a router that is strict about nothing",
            "strict_check_headers",
            "router.v3.Router",
            json!({ "strict_check_headers": ["x-nonsense"] }),
        ),
    ] {
        t.filter(name, field, kind, config);
    }
}

/// What ours says of a bootstrap: nothing if it takes it.
fn ours(bootstrap: &Value) -> Result<(), String> {
    let json = Json::load().unwrap();
    let bytes = json.encode("envoy.config.bootstrap.v3.Bootstrap", bootstrap).map_err(|e| e.to_string())?;
    let message = Bootstrap::decode(bytes.as_slice()).unwrap();
    compile::bootstrap(&message, &NoFiles).map(drop).map_err(|problems| problems.to_string())
}

/// What Envoy says.
fn envoys(program: &str, bootstrap: &Value, file: &Path) -> Result<(), String> {
    std::fs::write(file, bootstrap.to_string()).unwrap();
    let out = Command::new(program)
        .args(["--mode", "validate", "-l", "error", "--disable-hot-restart", "-c"])
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
}

fn all() -> Vec<Case> {
    let mut table = Table::default();
    clusters(&mut table);
    listeners(&mut table);
    managers(&mut table);
    hosts(&mut table);
    routes(&mut table);
    filters(&mut table);
    table.0
}

/// Whatever ours refuses, it says where.
#[test]
fn refusals_name_their_field() {
    let mut wrong = Vec::new();
    for Case { name, resources, field } in all() {
        if let Err(error) = ours(&json!({ "static_resources": resources }))
            && !error.contains(field)
        {
            wrong.push(format!("{name}: {field} is not in {error:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Both take and refuse the same.
#[test]
fn configurations_are_taken_and_refused_as_by_envoy() {
    let Some(program) = crate::harness::envoy() else { return };
    let mut cases = all();
    if let Ok(part) = std::env::var("CASE") {
        cases.retain(|case| case.name.contains(&part));
    }
    let dir = tempfile::tempdir().unwrap();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let (taken, refused, differ) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(Case { name, resources, .. }) = cases.get(n) else { return };
                    let bootstrap = json!({ "static_resources": resources });
                    let envoy = envoys(&program, &bootstrap, &dir.path().join(format!("{n}.json")));
                    let ours = ours(&bootstrap);
                    let why = listed(name);
                    match (envoy.is_ok() == ours.is_ok(), why) {
                        (true, None) if ours.is_ok() => drop(taken.fetch_add(1, Ordering::Relaxed)),
                        (true, None) => drop(refused.fetch_add(1, Ordering::Relaxed)),
                        (false, Some(_)) => drop(differ.fetch_add(1, Ordering::Relaxed)),
                        (true, Some(_)) => {
                            wrong.lock().unwrap().push(format!("{name}: listed, but does not differ"))
                        }
                        (false, None) => {
                            wrong.lock().unwrap().push(format!("{name}: Envoy {envoy:?}, ours {ours:?}"))
                        }
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    eprintln!(
        "configurations: both take {taken:?}, both refuse {refused:?}, {differ:?} differ as listed, {} wrong",
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
