//! Traces: spans as collectors of OpenTelemetry and Zipkin get them, and the headers that travel on.

use serde_json::{Value, json};

use crate::harness::{
    Area,
    answer::{Answer, Ending, hang_up, status},
    case::{Request, Talk, get, grpc, h2, post},
    config::{any_host, filter, http2, merged, prefix, single_use},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// What a collector that takes everything answers over gRPC.
fn taken() -> Answer {
    status(200).header("content-type", "application/grpc").body([0; 5]).trailer("grpc-status", "0")
}

fn otel(to: Value) -> Value {
    filter("envoy.tracers.opentelemetry", "envoy.config.trace.v3.OpenTelemetryConfig", merged(json!({ "service_name": "shop" }), &to))
}

fn over_grpc() -> Value {
    otel(json!({ "grpc_service": { "envoy_grpc": { "cluster_name": "otlp" }, "timeout": "1s" } }))
}

fn over_http() -> Value {
    otel(json!({ "http_service": { "http_uri": { "uri": "http://collector/v1/traces", "cluster": "collector", "timeout": "1s" },
        "request_headers_to_add": [{ "header": { "key": "x-own", "value": "mine" } }] } }))
}

fn zipkin(extra: Value) -> Value {
    let config = json!({ "collector_cluster": "zipkin", "collector_endpoint": "/api/v2/spans", "collector_endpoint_version": "HTTP_JSON" });
    filter("envoy.tracers.zipkin", "envoy.config.trace.v3.ZipkinConfig", merged(config, &extra))
}

fn routes() -> Value {
    any_host(json!([
        merged(prefix("/named", "app", json!({})), &json!({ "decorator": { "operation": "the operation" } })),
        merged(prefix("/quiet", "app", json!({})), &json!({ "decorator": { "operation": "quiet", "propagate": false } })),
        merged(prefix("/tagged", "app", json!({})), &json!({ "tracing": { "custom_tags": [
            { "tag": "of.both", "literal": { "value": "route" } }, { "tag": "of.route", "literal": { "value": "yes" } }] } })),
        merged(prefix("/never", "app", json!({})), &json!({ "tracing": { "random_sampling": { "numerator": 0 } } })),
        prefix("/app", "app", json!({ "prefix_rewrite": "/new" })),
        prefix("/h2", "app2", json!({})),
        prefix("/down", "down", json!({})),
        prefix("/retry", "app", json!({ "retry_policy": { "retry_on": "5xx", "num_retries": 2, "retry_back_off": { "base_interval": "0.001s" } } })),
        prefix("/slow", "app", json!({ "timeout": "0.1s" })),
        { "match": { "prefix": "/direct" }, "direct_response": { "status": 418, "body": { "inline_string": "tea" } } },
        prefix("/gone", "nowhere", json!({})),
    ]))
}

/// How a client may tell its context.
fn contexts() -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    vec![
        ("none", vec![]),
        ("w3c", vec![("traceparent", format!("00-{TRACE}-{SPAN}-01"))]),
        ("w3c state", vec![("traceparent", format!("00-{TRACE}-{SPAN}-01")), ("tracestate", "a=1,b=2".to_owned())]),
        ("w3c unsampled", vec![("traceparent", format!("00-{TRACE}-{SPAN}-00"))]),
        ("w3c malformed", vec![("traceparent", format!("00-{TRACE}-zz-01"))]),
        ("w3c future", vec![("traceparent", format!("01-{TRACE}-{SPAN}-01"))]),
        ("state alone", vec![("tracestate", "a=1".to_owned())]),
        ("b3 single", vec![("b3", format!("{TRACE}-{SPAN}-1"))]),
        ("b3 single parent", vec![("b3", format!("{TRACE}-{SPAN}-1-0000000000000007"))]),
        ("b3 single unsampled", vec![("b3", format!("{TRACE}-{SPAN}-0"))]),
        ("b3 deny", vec![("b3", "0".to_owned())]),
        ("b3 multi", vec![("x-b3-traceid", TRACE.to_owned()), ("x-b3-spanid", SPAN.to_owned()), ("x-b3-sampled", "1".to_owned())]),
        ("b3 multi parent", vec![("x-b3-traceid", TRACE.to_owned()), ("x-b3-spanid", SPAN.to_owned()), ("x-b3-parentspanid", "0000000000000007".to_owned()), ("x-b3-sampled", "1".to_owned())]),
        ("b3 multi short", vec![("x-b3-traceid", SPAN.to_owned()), ("x-b3-spanid", SPAN.to_owned()), ("x-b3-sampled", "1".to_owned())]),
        ("b3 multi unsampled", vec![("x-b3-traceid", TRACE.to_owned()), ("x-b3-spanid", SPAN.to_owned()), ("x-b3-sampled", "0".to_owned())]),
        ("both", vec![("traceparent", format!("00-{TRACE}-{SPAN}-01")), ("b3", format!("{SPAN}-{SPAN}-1"))]),
        ("forced", vec![("x-envoy-force-trace", "1".to_owned())]),
        ("client", vec![("x-client-trace-id", "theirs".to_owned())]),
    ]
}

pub fn area() -> Area {
    let mut a = Area::new("tracing");
    a.cluster("app", &["one"], single_use());
    a.cluster("app2", &["two"], http2());
    a.cluster("down", &["down"], json!({}));
    a.cluster("otlp", &["otlp"], http2());
    a.cluster("collector", &["collector"], json!({}));
    a.cluster("zipkin", &["zipkin"], json!({}));
    let tags = json!([
        { "tag": "of.both", "literal": { "value": "manager" } },
        { "tag": "of.header", "request_header": { "name": "x-a", "default_value": "none" } },
        { "tag": "of.nothing", "request_header": { "name": "x-none" } },
        { "tag": "component", "literal": { "value": "mine" } },
    ]);
    let mut add = |name: &str, direction: &str, provider: Value, extra: Value| {
        let tracing = merged(json!({ "provider": provider, "custom_tags": tags }), &extra);
        let manager = crate::harness::config::manager(routes(), &json!({ "tracing": tracing }), None);
        a.listener(name, manager, json!({ "traffic_direction": direction }));
    };
    let spawn = json!({ "spawn_upstream_span": true });
    add("otel in", "INBOUND", over_grpc(), json!({}));
    add("otel out", "OUTBOUND", over_grpc(), json!({}));
    add("otel tries", "OUTBOUND", over_grpc(), spawn.clone());
    add("otel http", "INBOUND", over_http(), json!({}));
    add("otel quiet", "OUTBOUND", over_grpc(), json!({ "no_context_propagation": true, "max_path_tag_length": 4 }));
    add("zipkin in", "INBOUND", zipkin(json!({})), json!({}));
    add("zipkin out", "OUTBOUND", zipkin(json!({})), json!({}));
    add("zipkin apart", "INBOUND", zipkin(json!({ "shared_span_context": false, "trace_id_128bit": true })), json!({}));
    add("zipkin tries", "OUTBOUND", zipkin(json!({})), spawn);
    add("zipkin w3c", "INBOUND", zipkin(json!({ "trace_context_option": "USE_B3_WITH_W3C_PROPAGATION" })), json!({}));
    let mut case = |name: String, listener: &str, talk: Talk, answers: Vec<Answer>, spans: usize| {
        a.case(name, listener, talk)
            .answers(answers)
            .answer_of("otlp", taken())
            .answer_of("collector", status(200).body(""))
            .answer_of("zipkin", status(202).body(""))
            .spans(spans);
    };
    let good = || vec![status(200)];
    let told = |request: Request| request.header("user-agent", "tests").header("x-a", "alpha");
    let with = |request: Request, fields: &[(&'static str, String)]| fields.iter().fold(told(request), |r, (n, v)| r.header(n, v));
    for listener in ["otel in", "otel out", "otel tries", "zipkin in", "zipkin out", "zipkin apart", "zipkin tries", "zipkin w3c"] {
        let tries = usize::from(listener.ends_with("tries"));
        for (name, fields) in contexts() {
            let zipkin = listener.starts_with("zipkin");
            let w3c = !zipkin || listener == "zipkin w3c";
            let unsampled = (name == "w3c unsampled" && w3c) || (zipkin && matches!(name, "b3 single unsampled" | "b3 deny" | "b3 multi unsampled"));
            let none = unsampled || (name == "w3c malformed" && !zipkin);
            case(format!("{listener} {name}"), listener, with(get("/app/x?q=1"), &fields).into(), good(), if none { 0 } else { 1 + tries });
        }
    }
    for listener in ["otel in", "otel out", "otel tries", "otel http", "otel quiet", "zipkin in", "zipkin out", "zipkin tries"] {
        let tries = usize::from(listener.ends_with("tries"));
        let mut each = |name: &str, talk: Talk, answers: Vec<Answer>, tried: usize| {
            case(format!("{listener}: {name}"), listener, talk, answers, 1 + tried * tries);
        };
        each("named", told(get("/named")).into(), good(), 1);
        each("named by the answer", told(get("/named")).into(), vec![status(200).header("x-envoy-decorator-operation", "theirs")], 1);
        each("named by the client", told(get("/named")).header("x-envoy-decorator-operation", "mine").into(), good(), 1);
        each("named for itself", told(get("/quiet")).into(), good(), 1);
        each("tagged", told(get("/tagged")).into(), good(), 1);
        each("long", told(get(&format!("/app/{}", "x".repeat(300)))).into(), good(), 1);
        each("post", told(post("/app", "0123456789")).into(), good(), 1);
        each("h2", h2(told(get("/h2"))), good(), 1);
        each("grpc", h2(told(grpc("/h2/s/m"))), vec![taken()], 1);
        each("grpc fails", h2(told(grpc("/h2/s/m"))), vec![status(200).header("content-type", "application/grpc").body([0; 5]).trailer("grpc-status", "13").trailer("grpc-message", "no%20luck")], 1);
        each("grpc fails at once", h2(told(grpc("/h2/s/m"))), vec![status(200).header("content-type", "application/grpc").header("grpc-status", "14").header("grpc-message", "away").body("")], 1);
        each("404", told(get("/app")).into(), vec![status(404)], 1);
        each("500", told(get("/app")).into(), vec![status(500)], 1);
        each("retried", told(get("/retry")).into(), vec![status(503), status(200)], 2);
        each("given up", told(get("/retry")).into(), vec![status(503)], 3);
        each("hung up", told(get("/app")).into(), vec![hang_up()], 1);
        each("broken off", told(get("/app")).into(), vec![status(200).ending(Ending::BreakOff)], 1);
        each("slow", told(get("/slow")).into(), vec![status(200).delay(400)], 1);
        each("down", told(get("/down")).into(), good(), 1);
        each("direct", told(get("/direct")).into(), good(), 0);
        each("no cluster", told(get("/gone")).into(), good(), 0);
        each("no route", told(get("/nothing")).into(), good(), 0);
        case(format!("{listener}: never"), listener, told(get("/never")).into(), good(), usize::from(false));
    }
    a
}
