//! Nothing is ignored silently: what is not supported is refused by its path, what has no effect is noted with a reason.

mod support;

use expect_test::{Expect, expect};
use serde_json::{Value, json};
use tulle_engine::compile::{self, NoFiles};
use tulle_proto::envoy::{
    bootstrap::Bootstrap, cluster::Cluster, endpoint::ClusterLoadAssignment, listener::Listener,
    route::RouteConfiguration,
};
use tulle_proto::type_url::{self, HTTP_CONNECTION_MANAGER as HCM};

const FILTERS: &str = "type.googleapis.com/envoy.extensions.filters.http";

/// Every problem, then every note.
fn said<T>(result: compile::Compiled<T>) -> String {
    match result {
        Ok((_, notes)) => notes.iter().map(|note| format!("{note}\n")).collect(),
        Err(error) => {
            let lines = error.problems.iter().map(|(path, message)| format!("refused {path}: {message}\n"));
            lines.collect()
        }
    }
}

fn listener() -> Value {
    json!({
        "name": "l",
        "address": { "socket_address": { "address": "127.0.0.1", "port_value": 80 } },
        "filter_chains": [{ "filters": [{ "name": "hcm", "typed_config": {
            "@type": HCM,
            "stat_prefix": "s",
            "rds": { "config_source": { "ads": {} }, "route_config_name": "r" },
            "http_filters": [{ "name": "envoy.filters.http.router", "typed_config": { "@type": type_url::ROUTER } }],
        } }] }],
    })
}

#[track_caller]
fn on_listener(changes: &[(&str, Value)], want: Expect) {
    let mut document = listener();
    changes.iter().for_each(|(path, value)| support::put(&mut document, path, value.clone()));
    want.assert_eq(&said(compile::listener(&support::message::<Listener>(&document), &NoFiles)));
}

#[track_caller]
fn on_cluster(changes: &[(&str, Value)], want: Expect) {
    let mut document =
        json!({ "name": "c", "type": "EDS", "eds_cluster_config": { "eds_config": { "ads": {} } } });
    changes.iter().for_each(|(path, value)| support::put(&mut document, path, value.clone()));
    want.assert_eq(&said(compile::cluster(&support::message::<Cluster>(&document), &NoFiles)));
}

#[track_caller]
fn on_route(route: Value, want: Expect) {
    let document =
        json!({ "name": "t", "virtual_hosts": [{ "name": "v", "domains": ["*"], "routes": [route] }] });
    want.assert_eq(&said(compile::routes(&support::message::<RouteConfiguration>(&document), &NoFiles)));
}

const MANAGER: &str = "filter_chains[0].filters[0].typed_config";

#[test]
fn all_problems_of_a_listener_at_once() {
    on_listener(
        &[
            ("transparent", json!(true)),
            ("socket_options", json!([{ "level": "1", "name": "2", "int_value": "3" }])),
            ("address.socket_address.protocol", json!("UDP")),
            (&format!("{MANAGER}.codec_type"), json!("HTTP3")),
            (&format!("{MANAGER}.max_request_headers_kb"), json!(0)),
            (&format!("{MANAGER}.original_ip_detection_extensions"), json!([{ "name": "x" }])),
            (&format!("{MANAGER}.http_filters[1]"), json!({ "name": "late" })),
        ][..6],
        expect![[r#"
            refused socket_options: is not supported
            refused transparent: is not supported: use redirection instead of TPROXY
            refused address.socket_address.protocol: UDP is not supported
            refused filter_chains[0].filters[0].typed_config.original_ip_detection_extensions: is not supported
            refused filter_chains[0].filters[0].typed_config.codec_type: HTTP/3 is not spoken here
            refused filter_chains[0].filters[0].typed_config.max_request_headers_kb: 0 must be between 1 and 8192
        "#]],
    );
}

#[test]
fn notes_say_why_a_field_has_no_effect() {
    on_listener(
        &[
            ("tcp_fast_open_queue_length", json!(5)),
            ("enable_reuse_port", json!(false)),
            (&format!("{MANAGER}.tracing"), json!({ "random_sampling": { "value": 1 }, "verbose": true })),
            (&format!("{MANAGER}.http3_protocol_options"), json!({})),
        ],
        expect![[r#"
            tcp_fast_open_queue_length: has no effect: TCP fast open is not used
            enable_reuse_port: has no effect: every worker has a socket of its own
            filter_chains[0].filters[0].typed_config.http3_protocol_options: has no effect: HTTP/3 is not spoken here
            filter_chains[0].filters[0].typed_config.tracing.verbose: has no effect: spans tell retries, timeouts and policies as events instead
        "#]],
    );
}

#[test]
fn filters_are_known_or_optional() {
    let lua = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua";
    let router =
        json!({ "name": "envoy.filters.http.router", "typed_config": { "@type": type_url::ROUTER } });
    let filters = |lua_is_optional: bool| {
        json!([
            { "name": "lua", "is_optional": lua_is_optional, "typed_config": { "@type": lua } },
            router.clone(),
        ])
    };
    let path = format!("{MANAGER}.http_filters");
    on_listener(
        &[(&path, filters(false))],
        expect![[r#"
            refused filter_chains[0].filters[0].typed_config.http_filters[0].typed_config: HTTP filter "envoy.extensions.filters.http.lua.v3.Lua" is not supported
        "#]],
    );
    on_listener(
        &[(&path, filters(true))],
        expect![[r#"
        filter_chains[0].filters[0].typed_config.http_filters[0].typed_config: has no effect: the filter is optional, and type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua is not known here
    "#]],
    );
    // A filter that is known is never optional: authorization that cannot be applied must not vanish.
    let broken = json!([
        { "name": "rbac", "is_optional": true, "typed_config": {
            "@type": type_url::HTTP_RBAC, "rules": { "policies": { "p": {} } } } },
        router,
    ]);
    on_listener(
        &[(&path, broken)],
        expect![[r#"
        refused filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.rules.policies.p.permissions: needs at least one
        refused filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.rules.policies.p.principals: needs at least one
    "#]],
    );
    on_listener(
        &[(&path, json!([]))],
        expect![[r#"
        refused filter_chains[0].filters[0].typed_config.http_filters: needs at least envoy.filters.http.router
    "#]],
    );
}

#[test]
fn logs_for_services_say_who_they_are_and_who_takes_them() {
    let path = format!("{MANAGER}.access_log");
    let logs = |kind: &str, config: Value| {
        let mut typed = config;
        typed["@type"] = json!(format!("type.googleapis.com/envoy.extensions.access_loggers.{kind}"));
        json!([{ "name": "log", "typed_config": typed }])
    };
    on_listener(
        &[(
            &path,
            logs(
                "grpc.v3.HttpGrpcAccessLogConfig",
                json!({ "common_config": {
            "transport_api_version": "V2",
            "grpc_service": { "google_grpc": { "target_uri": "x", "stat_prefix": "s" } },
            "custom_tags": [{ "tag": "t" }],
            "grpc_stream_retry_policy": { "num_retries": 2 },
            "filter_state_objects_to_log": ["a"],
        } }),
            ),
        )],
        expect![[r#"
            refused filter_chains[0].filters[0].typed_config.access_log[0].typed_config.common_config.transport_api_version: xDS v2 is not spoken; use V3
            refused filter_chains[0].filters[0].typed_config.access_log[0].typed_config.common_config.log_name: must not be empty
            refused filter_chains[0].filters[0].typed_config.access_log[0].typed_config.common_config.custom_tags[0]: needs literal, environment, request_header, metadata or value
            refused filter_chains[0].filters[0].typed_config.access_log[0].typed_config.common_config.grpc_service.google_grpc: is not supported: use envoy_grpc
        "#]],
    );
    on_listener(
        &[(&path, logs("grpc.v3.TcpGrpcAccessLogConfig", json!({})))],
        expect![[r#"
        refused filter_chains[0].filters[0].typed_config.access_log[0].typed_config.common_config: is required
    "#]],
    );
    on_listener(
        &[(&path, logs("open_telemetry.v3.OpenTelemetryAccessLogConfig", json!({})))],
        expect![[r#"
        refused filter_chains[0].filters[0].typed_config.access_log[0].typed_config: needs grpc_service or http_service
    "#]],
    );
    let grpc = json!({ "envoy_grpc": { "cluster_name": "c" } });
    on_listener(
        &[(
            &path,
            logs(
                "open_telemetry.v3.OpenTelemetryAccessLogConfig",
                json!({
                    "grpc_service": grpc,
                    "http_service": { "http_uri": { "uri": "http://c/v1/logs", "cluster": "c", "timeout": "1s" } },
                    "body": { "int_value": "7" },
                }),
            ),
        )],
        expect![[r#"
            refused filter_chains[0].filters[0].typed_config.access_log[0].typed_config: has more than one of common_config, grpc_service and http_service; keep one of them
            refused filter_chains[0].filters[0].typed_config.access_log[0].typed_config.body: is not supported: use string_value, array_value or kvlist_value
        "#]],
    );
    on_listener(
        &[(
            &path,
            logs(
                "open_telemetry.v3.OpenTelemetryAccessLogConfig",
                json!({
                    "grpc_service": grpc,
                    "attributes": { "values": [{ "key": "a", "value": { "string_value": "%NOPE%" } }] },
                    "formatters": [{ "name": "envoy.formatter.cel" }],
                }),
            ),
        )],
        expect![[r#"
            refused filter_chains[0].filters[0].typed_config.access_log[0].typed_config.formatters[0]: formatter "envoy.formatter.cel" is not supported
            refused filter_chains[0].filters[0].typed_config.access_log[0].typed_config: operator %NOPE% is not supported
        "#]],
    );
}

#[test]
fn chains_must_be_told_apart() {
    let chain = |matches: Value| {
        let mut chain = listener()["filter_chains"][0].clone();
        chain["filter_chain_match"] = matches;
        chain
    };
    let chains = json!([
        chain(json!({ "destination_port": 80, "application_protocols": ["istio", "h2"] })),
        chain(json!({ "destination_port": 80, "application_protocols": ["http/1.1"] })),
        chain(json!({ "destination_port": 80, "application_protocols": ["h2"] })),
        chain(
            json!({ "server_names": ["*"], "prefix_ranges": [{ "address_prefix": "10.0.0.0", "prefix_len": 33 }] })
        ),
    ]);
    on_listener(
        &[("filter_chains", chains)],
        expect![[r#"
        refused filter_chains[3].filter_chain_match.server_names[0]: "*": a wildcard may only be the first label, as in *.example.com
        refused filter_chains[3].filter_chain_match.prefix_ranges[0].prefix_len: 33 must be between 0 and 32
        refused filter_chains[2].filter_chain_match: matches the same connections as filter_chains[0]
    "#]],
    );
}

#[test]
fn clusters() {
    on_cluster(&[], expect![[r#""#]]);
    on_cluster(
        &[
            ("lb_policy", json!("MAGLEV")),
            ("maglev_lb_config", json!({ "table_size": "10" })),
            ("connect_timeout", json!("0s")),
            (
                "health_checks",
                json!([{
                    "timeout": "1s", "interval": "0s", "unhealthy_threshold": 0, "alt_port": 80,
                    "http_health_check": {
                        "path": "healthz", "expected_statuses": [{ "start": 200, "end": 700 }],
                        "request_headers_to_add": [{ "header": { "key": "a", "value": "%PROTOCOL%" } }],
                    },
                }]),
            ),
            ("lb_subset_config", json!({})),
            ("outlier_detection", json!({ "max_ejection_percent": 101, "interval": "0s" })),
            (
                "upstream_bind_config",
                json!({ "source_address": { "address": "not an address", "port_value": 0 } }),
            ),
        ],
        expect![[r#"
            refused lb_subset_config: subsets of endpoints are not supported; use a cluster for each
            refused maglev_lb_config.table_size: must be a prime of at most 5000011
            refused connect_timeout: must be above zero
            refused upstream_bind_config.source_address.address: "not an address" is not an IP address
            refused health_checks[0].alt_port: is not supported
            refused health_checks[0].interval: must be above zero
            refused health_checks[0].unhealthy_threshold: 0 must be between 1 and 4294967295
            refused health_checks[0].healthy_threshold: is required
            refused health_checks[0].http_health_check.path: must begin with /
            refused health_checks[0].http_health_check.request_headers_to_add: a: variables have no value in health checks
            refused health_checks[0].http_health_check.expected_statuses[0]: [200, 700) is no range within [100, 600)
            refused outlier_detection.max_ejection_percent: 101 must be between 0 and 100
            refused outlier_detection.interval: must be above zero
        "#]],
    );
    on_cluster(
        &[
            ("respect_dns_ttl", json!(true)),
            ("track_timeout_budgets", json!(true)),
            (
                "upstream_connection_options",
                json!({ "set_local_interface_name_on_upstream_connections": true }),
            ),
        ],
        expect![[r#"
            track_timeout_budgets: has no effect: statistics are those of the metric contract
            upstream_connection_options.set_local_interface_name_on_upstream_connections: has no effect: nothing reads it
        "#]],
    );
    on_cluster(
        &[("type", json!("ORIGINAL_DST"))],
        expect![[r#"
            refused lb_policy: CLUSTER_PROVIDED and type ORIGINAL_DST or envoy.clusters.dynamic_forward_proxy belong together
        "#]],
    );
}

#[test]
fn routes() {
    on_route(
        json!({
            "match": { "safe_regex": { "regex": "(" }, "headers": [
                { "name": "a b", "string_match": { "exact": "x" } },
                { "name": "x", "string_match": { "prefix": "" } },
            ] },
            "route": {
                "weighted_clusters": { "clusters": [{ "name": "a", "weight": 0 }] },
                "retry_policy": { "retry_on": "5xx,gateway-eror", "retry_back_off": { "base_interval": "1s", "max_interval": "0.5s" } },
                "prefix_rewrite": "/x",
                "regex_rewrite": { "pattern": { "regex": "a" }, "substitution": "\\1" },
                "hash_policy": [{ "filter_state": { "key": "k" } }],
            },
        }),
        expect![[r#"
            refused virtual_hosts[0].routes[0].match.safe_regex.regex: "(" is not a regular expression: error: unclosed group
            refused virtual_hosts[0].routes[0].match.headers[0].name: `a b` is no field name: use letters, digits and any of !#$%&'*+-.^_`|~
            refused virtual_hosts[0].routes[0].match.headers[1].string_match.prefix: must not be empty
            refused virtual_hosts[0].routes[0].route.weighted_clusters.clusters: the sum of the weights must be above zero and below 2^32
            refused virtual_hosts[0].routes[0].route: only one of prefix_rewrite, regex_rewrite and path_rewrite may be given
            refused virtual_hosts[0].routes[0].route.retry_policy.retry_on: "gateway-eror" is not a reason to retry; did you mean gateway-error?
            refused virtual_hosts[0].routes[0].route.retry_policy.retry_back_off.max_interval: must be at least base_interval
            refused virtual_hosts[0].routes[0].route.hash_policy[0].filter_state: is not supported
        "#]],
    );
    on_route(
        json!({
            "match": { "prefix": "/" },
            "direct_response": { "status": 100, "body": { "filename": "/etc/passwd" } },
            "request_headers_to_add": [
                { "header": { "key": ":path", "value": "/" } },
                { "header": { "key": "x", "value": "%NOPE%" } },
            ],
            "typed_per_filter_config": {
                "envoy.filters.http.fault": {
                    "@type": format!("{FILTERS}.fault.v3.HTTPFault"),
                    "abort": { "http_status": 700, "percentage": { "numerator": 1 } },
                },
                "envoy.filters.http.jwt_authn": { "@type": format!("{FILTERS}.jwt_authn.v3.JwtAuthentication") },
            },
        }),
        expect![[r#"
            refused virtual_hosts[0].routes[0].typed_per_filter_config["envoy.filters.http.fault"].abort.http_status: 700 must be between 200 and 599
            refused virtual_hosts[0].routes[0].typed_per_filter_config["envoy.filters.http.jwt_authn"]: filter configuration "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication" is not supported
            refused virtual_hosts[0].routes[0].direct_response.status: 100 must be between 200 and 599
            refused virtual_hosts[0].routes[0].request_headers_to_add[0].header.key: ":path" cannot be set here; use a rewrite of the route
            refused virtual_hosts[0].routes[0].request_headers_to_add[1].header.value: %NOPE% is not a variable that can be used here
        "#]],
    );
}

#[test]
fn a_route_table_has_each_domain_once() {
    let host = |name: &str, domains: Value| json!({ "name": name, "domains": domains });
    let document = json!({ "name": "t", "virtual_hosts": [
        host("a", json!(["a.com", "*"])), host("b", json!(["A.com", "*.com"])), host("b", json!(["*"])),
    ] });
    let result = compile::routes(&support::message::<RouteConfiguration>(&document), &NoFiles);
    expect![[r#"
        refused virtual_hosts[1].domains[0]: "A.com" is there twice; each domain may have one virtual host
        refused virtual_hosts[2].domains[0]: "*" is there twice; each domain may have one virtual host
        refused virtual_hosts[2].name: "b" is there twice
    "#]]
    .assert_eq(&said(result));
}

#[test]
fn endpoints() {
    let document = json!({ "cluster_name": "c", "endpoints": [
        { "priority": 1, "lb_endpoints": [
            { "endpoint": { "address": { "socket_address": { "address": "a.example", "port_value": 1 } } } },
            { "load_balancing_weight": 0, "endpoint": { "address": { "socket_address": { "address": "1.2.3.4", "port_value": 99999 } } } },
            { "endpoint_name": "x" },
            { "endpoint": { "address": { "socket_address": { "address": "1.2.3.4", "port_value": 1 } },
                "health_check_config": { "port_value": 70000 } } },
            { "endpoint": { "address": { "socket_address": { "address": "1.2.3.4", "port_value": 1 } },
                "health_check_config": { "address": { "pipe": { "path": "/x" } } } } },
        ] },
    ] });
    let result = compile::endpoints(&support::message::<ClusterLoadAssignment>(&document));
    expect![[r#"
        refused endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address: "a.example" is not an IP address
        refused endpoints[0].lb_endpoints[1].load_balancing_weight: 0 must be between 1 and 4294967295
        refused endpoints[0].lb_endpoints[2].endpoint_name: is not supported
        refused endpoints[0].lb_endpoints[3].endpoint.health_check_config.port_value: 70000 must be between 0 and 65535
        refused endpoints[0].lb_endpoints[4].endpoint.health_check_config.address: must be an IP address
        refused endpoints: priorities must begin at 0 and leave none out
    "#]].assert_eq(&said(result));
}

#[test]
fn bootstraps() {
    let document = json!({
        "node": { "id": "a", "user_agent_name": "envoy" },
        "layered_runtime": { "layers": [{ "name": "l", "admin_layer": {} }] },
        "dynamic_resources": { "lds_config": { "ads": {} } },
        "static_resources": {
            "listeners": [{ "name": "l" }],
            "clusters": [{ "name": "c" }, { "name": "c" }],
        },
        "hds_config": {},
    });
    let result = compile::bootstrap(&support::message::<Bootstrap>(&document), &NoFiles);
    expect![[r#"
        refused hds_config: health discovery is not supported
        refused dynamic_resources.ads_config: is required: lds_config or cds_config asks for ads
        refused static_resources.listeners[0].address: is required
        refused static_resources.listeners[0]: needs filter_chains or default_filter_chain
        refused static_resources.clusters[1].name: "c" is there twice
    "#]]
    .assert_eq(&said(result));
}

#[test]
fn a_nack_is_one_line() {
    let document = json!({ "name": "c", "lb_policy": "MAGLEV", "maglev_lb_config": { "table_size": "4" }, "filters": [{}] });
    let error =
        compile::cluster(&support::message::<Cluster>(&document), &NoFiles).expect_err("it is refused");
    expect!["c: filters: is not supported; maglev_lb_config.table_size: must be a prime of at most 5000011"]
        .assert_eq(&error.to_string());
}

#[test]
fn filters_take_what_envoy_takes_and_refuse_the_rest_by_name() {
    let always = json!({ "default_value": { "numerator": 100 }, "runtime_key": "k" });
    let bucket = json!({ "max_tokens": 1, "fill_interval": "0.04s" });
    let filter = |kind: &str, config: Value| {
        let mut config = config;
        config["@type"] = json!(format!("{FILTERS}.{kind}"));
        json!({ "name": kind, "typed_config": config })
    };
    let router =
        json!({ "name": "envoy.filters.http.router", "typed_config": { "@type": type_url::ROUTER } });
    let filters = json!([
        filter(
            "local_ratelimit.v3.LocalRateLimit",
            json!({
                "stage": 11, "token_bucket": bucket, "filter_enabled": always, "local_cluster_rate_limit": {},
                "status": {}, "max_dynamic_descriptors": 0,
                "rate_limits": [{ "stage": 1, "limit": {}, "actions": [{ "remote_address": {} }, { "extension": { "name": "x" } }, { "generic_key": {} }] }],
                "descriptors": [
                    { "entries": [{ "key": "a" }], "token_bucket": { "max_tokens": 1, "fill_interval": "1s" } },
                    { "entries": [{ "key": "a" }], "token_bucket": { "max_tokens": 1, "fill_interval": "1s" } },
                    { "token_bucket": { "max_tokens": 0, "fill_interval": "0.01s" } },
                ],
            })
        ),
        filter(
            "ratelimit.v3.RateLimit",
            json!({
                "request_type": "some", "rate_limited_status": {},
                "rate_limit_service": { "grpc_service": { "google_grpc": {} }, "transport_api_version": "V3" },
                "rate_limits": [{ "apply_on_stream_done": true, "actions": [{ "remote_address": {} }] }],
            })
        ),
        filter(
            "header_mutation.v3.HeaderMutation",
            json!({ "mutations": {
            "request_mutations": [{ "remove": ":path" }, {}, { "append": { "header": { "key": "host", "value": "x" } } }],
            "query_parameter_mutations": [{}, { "append": { "record": { "key": "a", "value": 3 } } }],
            "response_trailers_mutations": [{ "remove": "x" }],
        } })
        ),
        filter("set_metadata.v3.Config", json!({ "metadata": [{ "value": { "a": 1 } }] })),
        filter("buffer.v3.Buffer", json!({ "max_request_bytes": 0 })),
        filter("health_check.v3.HealthCheck", json!({ "pass_through_mode": false, "cache_time": "1s" })),
        filter("csrf.v3.CsrfPolicy", json!({})),
        filter(
            "compressor.v3.Compressor",
            json!({
                "compressor_library": { "name": "b", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.compression.gzip.decompressor.v3.Gzip" } },
                "response_direction_config": { "status_header_enabled": true },
            })
        ),
        filter(
            "decompressor.v3.Decompressor",
            json!({ "decompressor_library": { "name": "g", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.compression.gzip.decompressor.v3.Gzip", "max_inflate_ratio": 5000 } } })
        ),
        router,
    ]);
    on_listener(
        &[(&format!("{MANAGER}.http_filters"), filters)],
        expect![[r#"
        refused filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.local_cluster_rate_limit: is not supported: limits hold for one proxy
        refused filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.stat_prefix: must not be empty
        refused filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.stage: 11 must be between 0 and 10
        refused filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.token_bucket.fill_interval: must be 50ms or more
        refused filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.descriptors[1]: is there twice; each descriptor may have one bucket
        refused filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.descriptors[2].entries: needs at least one
        refused filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.max_dynamic_descriptors: 0 must be between 1 and 4294967295
        refused filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.rate_limits[0].stage: is for the rules of routes and virtual hosts
        refused filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.rate_limits[0].limit: is for the rate limit service
        refused filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.rate_limits[0].actions[1].extension: is not supported
        refused filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.rate_limits[0].actions[2].generic_key.descriptor_value: must not be empty
        refused filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.rate_limits[0].limit: needs dynamic_metadata or rate_limit
        refused filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.status.code: must not be 0
        refused filter_chains[0].filters[0].typed_config.http_filters[1].typed_config.domain: must not be empty
        refused filter_chains[0].filters[0].typed_config.http_filters[1].typed_config.request_type: "some" must be internal, external or both
        refused filter_chains[0].filters[0].typed_config.http_filters[1].typed_config.rate_limit_service.grpc_service.google_grpc: is not supported: use envoy_grpc
        refused filter_chains[0].filters[0].typed_config.http_filters[1].typed_config.rate_limits[0].apply_on_stream_done: is not supported: limits are asked before the request goes on
        refused filter_chains[0].filters[0].typed_config.http_filters[2].typed_config.mutations.response_trailers_mutations: trailers pass as they are
        refused filter_chains[0].filters[0].typed_config.http_filters[2].typed_config.mutations.request_mutations[0].remove: ":path" cannot be removed: no request can do without it
        refused filter_chains[0].filters[0].typed_config.http_filters[2].typed_config.mutations.request_mutations[1]: needs append, remove or remove_on_match
        refused filter_chains[0].filters[0].typed_config.http_filters[2].typed_config.mutations.request_mutations[2].append.header.key: "host" cannot be set here; use a rewrite of the route
        refused filter_chains[0].filters[0].typed_config.http_filters[2].typed_config.mutations.query_parameter_mutations[0]: needs either append or remove
        refused filter_chains[0].filters[0].typed_config.http_filters[2].typed_config.mutations.query_parameter_mutations[1].append.record.value: must be a text
        refused filter_chains[0].filters[0].typed_config.http_filters[3].typed_config.metadata[0].metadata_namespace: must not be empty
        refused filter_chains[0].filters[0].typed_config.http_filters[4].typed_config.max_request_bytes: 0 must be between 1 and 4294967295
        refused filter_chains[0].filters[0].typed_config.http_filters[5].typed_config.cache_time: is for pass_through_mode only
        refused filter_chains[0].filters[0].typed_config.http_filters[6].typed_config.filter_enabled: is required
        refused filter_chains[0].filters[0].typed_config.http_filters[7].typed_config.compressor_library.typed_config: compressor "envoy.extensions.compression.gzip.decompressor.v3.Gzip" is not supported; did you mean envoy.extensions.compression.gzip.compressor.v3.Gzip?
        refused filter_chains[0].filters[0].typed_config.http_filters[7].typed_config.response_direction_config.status_header_enabled: is not supported
        refused filter_chains[0].filters[0].typed_config.http_filters[8].typed_config.decompressor_library.typed_config.max_inflate_ratio: 5000 must be between 1 and 1032
    "#]],
    );
}

#[test]
fn what_routes_say_about_filters_is_checked_too() {
    let of = |kind: &str| format!("{FILTERS}.{kind}");
    on_route(
        json!({
            "match": { "prefix": "/" },
            "route": { "cluster": "c", "rate_limits": [{ "hits_addend": { "number": 2 }, "actions": [{ "masked_remote_address": { "v4_prefix_mask_len": 33 } }] }] },
            "typed_per_filter_config": {
                "limit": { "@type": of("local_ratelimit.v3.LocalRateLimit"), "stat_prefix": "p" },
                "buffer": { "@type": of("buffer.v3.BufferPerRoute") },
                "compressor": { "@type": of("compressor.v3.CompressorPerRoute"), "disabled": false },
                "global": { "@type": of("ratelimit.v3.RateLimitPerRoute"), "override_option": "IGNORE_POLICY" },
            },
        }),
        expect![[r#"
            refused virtual_hosts[0].routes[0].typed_per_filter_config.buffer: needs disabled or buffer
            refused virtual_hosts[0].routes[0].typed_per_filter_config.compressor.disabled: must be true
            refused virtual_hosts[0].routes[0].typed_per_filter_config.global.override_option: is not supported
            refused virtual_hosts[0].routes[0].typed_per_filter_config.limit.token_bucket: is required
            refused virtual_hosts[0].routes[0].route.rate_limits[0].actions[0].masked_remote_address.v4_prefix_mask_len: 33 must be between 0 and 32
        "#]],
    );
}

#[test]
fn authorization_services_say_what_is_missing() {
    let filter = json!({
        "@type": type_url::EXT_AUTHZ,
        "stat_prefix": "x",
        "encode_raw_headers": true,
        "shadow_mode": true,
        "http_service": {
            "server_uri": { "uri": "http://auth", "timeout": "1s" },
            "path_prefix": "pre",
            "path_override": "/over",
            "retry_policy": {},
        },
    });
    let router =
        json!({ "name": "envoy.filters.http.router", "typed_config": { "@type": type_url::ROUTER } });
    on_listener(
        &[(&format!("{MANAGER}.http_filters"), json!([{ "name": "auth", "typed_config": filter }, router]))],
        expect![[r#"
            refused filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.encode_raw_headers: is not supported
            refused filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.shadow_mode: is not supported
            refused filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.http_service.retry_policy: is not supported
            refused filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.http_service.server_uri.cluster: must not be empty
        "#]],
    );
}
