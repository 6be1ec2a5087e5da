//! Access logs that go to services: entries of Envoy's access log service, and records for OpenTelemetry.

use serde_json::{Value, json};

use crate::harness::{
    Area,
    answer::{Answer, Ending, hang_up, status},
    case::{Case, Request, Talk, get, grpc, h2, post},
    config::{any_host, filter, http2, merged, prefix, single_use},
};

/// What a collector that takes everything answers over gRPC.
fn taken() -> Answer {
    status(200).header("content-type", "application/grpc").body([0; 5]).trailer("grpc-status", "0")
}

fn common(cluster: &str, name: &str) -> Value {
    json!({ "log_name": name, "transport_api_version": "V3", "buffer_flush_interval": "0.02s",
        "grpc_service": { "envoy_grpc": { "cluster_name": cluster } },
        "custom_tags": [
            { "tag": "fixed", "literal": { "value": "yes" } },
            { "tag": "header", "request_header": { "name": "x-a", "default_value": "none" } },
            { "tag": "missing", "request_header": { "name": "x-none" } },
        ] })
}

fn als(kind: &str, extra: Value) -> Value {
    let lower = kind.to_ascii_lowercase();
    let config = merged(json!({ "common_config": common("als", &format!("{lower} log")) }), &extra);
    filter(
        &format!("envoy.access_loggers.{lower}_grpc"),
        &format!("envoy.extensions.access_loggers.grpc.v3.{kind}GrpcAccessLogConfig"),
        config,
    )
}

fn text(text: &str) -> Value {
    json!({ "string_value": text })
}

fn otlp(to: Value, extra: Value) -> Value {
    let config = json!({
        "resource_attributes": { "values": [{ "key": "region", "value": text("north") }, { "key": "cluster_name", "value": text("other") }] },
        "body": text("%REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE% <%REQ(X-NONE)%>"),
        "attributes": { "values": [
            { "key": "status", "value": text("%RESPONSE_CODE%") },
            { "key": "bytes", "value": text("%BYTES_RECEIVED%/%BYTES_SENT%") },
            { "key": "missing", "value": text("%REQ(X-NONE)%") },
            { "key": "a", "value": text("%REQ(X-A)%") },
            { "key": "nested", "value": { "kvlist_value": { "values": [
                { "key": "z", "value": text("%PROTOCOL%") },
                { "key": "b", "value": { "array_value": { "values": [text("%RESPONSE_FLAGS%"), text("plain")] } } } ] } } },
        ] },
    });
    filter(
        "envoy.access_loggers.open_telemetry",
        "envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig",
        merged(merged(config, &to), &extra),
    )
}

pub fn area() -> Area {
    let mut a = Area::new("log_services");
    a.cluster("app", &["one"], single_use());
    a.cluster("app2", &["two"], http2());
    a.cluster("down", &["down"], json!({}));
    a.cluster("als", &["als"], http2());
    a.cluster("grpclogs", &["grpclogs"], http2());
    a.cluster("httplogs", &["httplogs"], json!({}));
    let routes = || {
        any_host(json!([
            merged(prefix("/app", "app", json!({ "prefix_rewrite": "/new" })), &json!({ "name": "the route" })),
            prefix("/h2", "app2", json!({})),
            prefix("/down", "down", json!({})),
            prefix("/retry", "app", json!({ "retry_policy": { "retry_on": "5xx", "num_retries": 1, "retry_back_off": { "base_interval": "0.001s" } } })),
            prefix("/slow", "app", json!({ "timeout": "0.1s" })),
            { "name": "direct", "match": { "prefix": "/direct" }, "direct_response": { "status": 418, "body": { "inline_string": "tea" } } },
            prefix("/gone", "nowhere", json!({})),
        ]))
    };
    let logged = |log: Value| json!({ "access_log": [log] });
    let fields = json!({
        "additional_request_headers_to_log": ["X-A", ":path", "x-none"],
        "additional_response_headers_to_log": ["x-b", "x-none"],
        "additional_response_trailers_to_log": ["x-t"],
    });
    a.http("als", routes(), logged(als("Http", fields)));
    a.http("als tcp", routes(), logged(als("Tcp", json!({}))));
    a.http("otlp", routes(), logged(otlp(json!({ "common_config": { "log_name": "the log", "transport_api_version": "V3",
        "buffer_flush_interval": "0.02s", "grpc_service": { "envoy_grpc": { "cluster_name": "grpclogs" } } } }), json!({}))));
    a.http("otlp http", routes(), logged(otlp(json!({ "log_name": "other", "buffer_flush_interval": "0.02s", "disable_builtin_labels": true,
        "http_service": { "http_uri": { "uri": "http://collector/v1/logs", "cluster": "httplogs", "timeout": "1s" },
            "request_headers_to_add": [{ "header": { "key": "x-own", "value": "mine" } }] } }),
        json!({ "custom_tags": [{ "tag": "fixed", "literal": { "value": "yes" } }] }))));
    a.http("otlp filtered", routes(), logged(merged(
        otlp(json!({ "log_name": "f", "buffer_flush_interval": "0.02s", "grpc_service": { "envoy_grpc": { "cluster_name": "grpclogs" } } }), json!({})),
        &json!({ "filter": { "status_code_filter": { "comparison": { "op": "GE", "value": { "default_value": 400, "runtime_key": "k" } } } } }))));
    let proxy = |name: &str, cluster: &str, log: Value| {
        filter("envoy.filters.network.tcp_proxy", "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            json!({ "stat_prefix": name, "cluster": cluster, "access_log": [log] }))
    };
    a.listener("raw", json!([proxy("raw", "app", als("Tcp", json!({})))]), json!({}));
    a.listener("raw http", json!([proxy("raw", "app", als("Http", json!({})))]), json!({}));
    a.listener("raw down", json!([proxy("raw", "down", als("Tcp", json!({})))]), json!({}));
    let raw_otlp = otlp(json!({ "log_name": "raw", "buffer_flush_interval": "0.02s", "grpc_service": { "envoy_grpc": { "cluster_name": "grpclogs" } } }), json!({}));
    a.listener("raw otlp", json!([proxy("raw", "app", raw_otlp)]), json!({}));
    let named = |case: &mut Case| {
        case.answer_of("als", taken()).answer_of("grpclogs", taken()).answer_of("httplogs", status(200).body("")).spans(1);
    };
    let tagged = |request: Request| request.header("x-a", "alpha").header("user-agent", "tests").header("referer", "http://before/");
    for listener in ["als", "als tcp", "otlp", "otlp http"] {
        let mut add = |name: &str, talk: Talk, answers: Vec<Answer>| {
            named(a.case(format!("{listener} {name}"), listener, talk).answers(answers));
        };
        let good = || vec![status(200).header("x-b", "beta")];
        add("plain", tagged(get("/app/x?q=1")).into(), good());
        add("body", tagged(post("/app/x", "0123456789")).into(), good());
        add("h2", h2(tagged(get("/h2/x"))), vec![status(200).trailer("x-t", "tea")]);
        add("grpc", h2(grpc("/h2/s/m")), vec![taken()]);
        add("down", get("/down").into(), good());
        add("retry", get("/retry").into(), vec![status(503)]);
        add("reset", get("/app").into(), vec![hang_up()]);
        add("slow", get("/slow").into(), vec![status(200).delay(400)]);
        add("direct", get("/direct").into(), good());
        add("no cluster", get("/gone").into(), good());
        add("no route", get("/nothing").into(), good());
    }
    named(a.case("filtered out and in", "otlp filtered", vec![get("/app"), get("/direct")]));
    for listener in ["raw", "raw http", "raw down", "raw otlp"] {
        named(a.case(format!("{listener} bytes"), listener, Talk::Tcp(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_vec()))
            .answer(status(200).ending(Ending::Close)));
    }
    a
}
