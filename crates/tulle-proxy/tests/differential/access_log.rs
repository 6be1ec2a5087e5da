//! Access log lines: every operator that has one answer, in text and in JSON, in different ends of a request.

use serde_json::{Value, json};

use crate::harness::{
    Area,
    answer::{Answer, Ending, hang_up, status},
    case::{Request, Talk, get, grpc, h2, post, raw, request},
    config::{access_log, any_host, filter, http2, merged, prefix, single_use},
};

const OPERATORS: &[&str] = &[
    "%PROTOCOL%", "%RESPONSE_CODE%", "%RESPONSE_FLAGS%", "%RESPONSE_FLAGS_LONG%", "%RESPONSE_CODE_DETAILS%", "%CONNECTION_TERMINATION_DETAILS%",
    "%UPSTREAM_TRANSPORT_FAILURE_REASON%", "%BYTES_RECEIVED%", "%BYTES_SENT%", "%ROUTE_NAME%", "%UPSTREAM_CLUSTER%", "%UPSTREAM_CLUSTER_RAW%", "%UPSTREAM_HOST%",
    "%UPSTREAM_REMOTE_ADDRESS%", "%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%", "%UPSTREAM_PROTOCOL%",
    "%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "%DOWNSTREAM_LOCAL_ADDRESS%", "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%", "%DOWNSTREAM_REMOTE_ADDRESS%",
    "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%", "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%", "%REQ(:METHOD)%", "%REQ(:PATH)%",
    "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", "%REQ(:AUTHORITY)%", "%REQ(:SCHEME)%", "%REQ(HOST)%", "%REQ(X-A)%", "%REQ(X-A):3%", "%REQ(X-NONE?X-A)%", "%REQ(X-NONE)%", "%REQ(USER-AGENT)%",
    "%REQ(X-FORWARDED-FOR)%", "%REQ(X-FORWARDED-PROTO)%", "%RESP(X-B)%", "%RESP(X-B):2%", "%RESP(CONTENT-LENGTH)%", "%RESP(SERVER)%",
    "%REQUESTED_SERVER_NAME%", "%VIRTUAL_CLUSTER_NAME%", "%FILTER_CHAIN_NAME%", "%GRPC_STATUS%", "%GRPC_STATUS_NUMBER%",  "%GRPC_STATUS(NUMBER)%",
    "%DOWNSTREAM_TLS_VERSION%", "%DOWNSTREAM_PEER_URI_SAN%", "%DYNAMIC_METADATA(a:b)%", "%METADATA(ROUTE:com.test:key)%", "%UPSTREAM_METADATA(com.test:key)%", "%START_TIME(%Y)%", "100%%",
];

/// Operators that ours reads but does not fill in as Envoy does.
const GAPS: &[&str] = &[
    "%RESP(:STATUS)%", "%METADATA(ROUTE:com.test:deep:er)%", "%CLUSTER_METADATA(com.test:key)%", "%METADATA(CLUSTER:com.test:key)%", "%UPSTREAM_REMOTE_PORT%", "%DOWNSTREAM_LOCAL_PORT%", "%TRAILER(X-T)%",
];

fn text() -> Value {
    json!({ "text_format_source": { "inline_string": format!("{}\n", OPERATORS.join(" | ")) } })
}

fn json_format(omit: bool) -> Value {
    let mut members: serde_json::Map<String, Value> =
        OPERATORS.iter().filter(|o| !o.contains("100%%")).enumerate().map(|(n, o)| (format!("m{n:02}"), json!(o))).collect();
    members.insert("mixed".into(), json!("<%RESPONSE_CODE%|%REQ(x-none)%|%REQ(x-a)%>"));
    members.insert("nested".into(), json!({ "b": "%RESPONSE_CODE%", "a": ["%REQ(x-a)%", 1, true, null, { "x": "%REQ(x-none)%" }] }));
    members.insert("quote".into(), json!("\"%REQ(x-a)%\" \\ \u{e4} \u{1}"));
    json!({ "json_format": members, "omit_empty_values": omit })
}

pub fn area() -> Area {
    let mut a = Area::new("access_log");
    let metadata = json!({ "metadata": { "filter_metadata": { "com.test": { "key": "value", "deep": { "er": [1, "two", true] } } } } });
    a.cluster("app", &["one"], merged(single_use(), &metadata));
    a.cluster("app2", &["two"], merged(http2(), &metadata));
    a.cluster("down", &["down"], json!({}));
    let retry = json!({ "retry_policy": { "retry_on": "5xx", "retry_back_off": { "base_interval": "0.001s" } } });
    let routes = || {
        any_host(json!([
            merged(prefix("/app", "app", json!({ "prefix_rewrite": "/new" })), &merged(json!({ "name": "the route" }), &metadata)),
            prefix("/h2", "app2", json!({})),
            prefix("/down", "down", json!({})),
            prefix("/retry", "app", retry.clone()),
            prefix("/slow", "app", json!({ "timeout": "0.1s" })),
            { "name": "direct", "match": { "prefix": "/direct" }, "direct_response": { "status": 418, "body": { "inline_string": "tea" } } },
            { "match": { "prefix": "/redirect" }, "redirect": { "path_redirect": "/x" } },
            prefix("/gone", "nowhere", json!({})),
        ]))
    };
    let logs = |formats: Vec<Value>| json!({ "access_log": formats });
    for (name, format) in [("text", text()), ("json", json_format(false)), ("omit", json_format(true))] {
        a.http(name, routes(), logs(vec![access_log("{log}", &format)]));
    }
    let gaps: serde_json::Map<String, Value> =
        GAPS.iter().enumerate().map(|(n, o)| (format!("m{n}"), json!(o))).collect();
    a.http("gaps", routes(), logs(vec![access_log("{log}", &json!({ "json_format": gaps }))]));
    a.case("gaps plain", "gaps", get("/app/x")).lines(1);
    a.case("gaps trailers", "gaps", h2(get("/h2/x"))).answer(status(200).trailer("x-t", "tea")).lines(1);
    let filtered = |filter_: Value, what: &str| {
        let format = json!({ "text_format_source": { "inline_string": format!("{what} %RESPONSE_CODE%\n") } });
        merged(access_log("{log}", &format), &json!({ "filter": filter_ }))
    };
    let compare = |op: &str, value: u32| json!({ "comparison": { "op": op, "value": { "default_value": value, "runtime_key": "k" } } });
    a.http(
        "filters",
        routes(),
        logs(vec![
            filtered(json!({ "status_code_filter": compare("GE", 500) }), "ge 500"),
            filtered(json!({ "status_code_filter": compare("EQ", 200) }), "eq 200"),
            filtered(json!({ "status_code_filter": compare("LE", 418) }), "le 418"),
            filtered(json!({ "status_code_filter": compare("NE", 200) }), "ne 200"),
            filtered(json!({ "duration_filter": compare("GE", 60_000) }), "long"),
            filtered(json!({ "duration_filter": compare("LE", 60_000) }), "short"),
            filtered(json!({ "not_health_check_filter": {} }), "no health check"),
            filtered(json!({ "response_flag_filter": {} }), "any flag"),
            filtered(json!({ "response_flag_filter": { "flags": ["UF", "NR"] } }), "uf or nr"),
            filtered(json!({ "header_filter": { "header": { "name": "x-a", "string_match": { "prefix": "a" } } } }), "header"),
            filtered(json!({ "header_filter": { "header": { "name": "x-a", "present_match": true, "invert_match": true } } }), "no header"),
            filtered(json!({ "grpc_status_filter": { "statuses": ["OK"] } }), "grpc ok"),
            filtered(json!({ "grpc_status_filter": { "statuses": ["OK"], "exclude": true } }), "grpc not ok"),
            filtered(json!({ "grpc_status_filter": { "statuses": ["UNAVAILABLE", "INTERNAL"] } }), "grpc unavailable"),
            filtered(json!({ "runtime_filter": { "runtime_key": "k", "percent_sampled": { "numerator": 0 } } }), "never"),
            filtered(json!({ "runtime_filter": { "runtime_key": "k", "percent_sampled": { "numerator": 100 } } }), "always"),
            filtered(json!({ "and_filter": { "filters": [{ "status_code_filter": compare("GE", 400) }, { "status_code_filter": compare("LE", 499) }] } }), "4xx"),
            filtered(json!({ "or_filter": { "filters": [{ "status_code_filter": compare("EQ", 200) }, { "response_flag_filter": {} }] } }), "ok or flag"),
            filtered(json!({ "not_health_check_filter": {} }), "end"),
        ]),
    );
    a.http("default", routes(), logs(vec![filter("envoy.access_loggers.file", "envoy.extensions.access_loggers.file.v3.FileAccessLog", json!({ "path": "{log}",
        "log_format": { "text_format_source": { "inline_string": "%PROTOCOL% %REQ(:PATH)% %RESPONSE_CODE%" } } })),
        filter("envoy.access_loggers.file", "envoy.extensions.access_loggers.file.v3.FileAccessLog", json!({ "path": "{log}", "format": "%REQ(:METHOD)% end\n" }))]));
    let rich = |r: Request| r.header("x-a", "a \"b\"\t\\").header("user-agent", "test").header("x-request-id", "id");
    let up = status(200).header("x-b", "b1").header("x-b", "b2");
    for listener in ["text", "json", "omit", "filters", "default"] {
        let last = if listener == "filters" { "end" } else { "" };
        let mut add = |name: &str, talk: Talk, answer: Answer| {
            a.case(format!("{listener} {name}"), listener, talk).answer(answer).lines_like(last, 1);
        };
        add("plain", get("/app/x?q=1").into(), status(200));
        add("rich", rich(post("/app/x", "hello")).into(), up.clone());
        add("h2", h2(rich(post("/h2/x", "hello").trailer("x-u", "1"))), up.clone().trailer("x-t", "tea"));
        add("grpc", h2(grpc("/h2")), status(200).header("content-type", "application/grpc").body("x").trailer("grpc-status", "5"));
        add("grpc unavailable", h2(grpc("/h2")), status(200).header("content-type", "application/grpc").header("grpc-status", "14").body(""));
        add("direct", rich(get("/direct")).into(), status(200));
        add("head", request("HEAD", "/app").into(), status(200));
        add("redirect", get("/redirect").into(), status(200));
        add("no route", get("/").into(), status(200));
        add("no cluster", get("/gone").into(), status(200));
        add("nobody there", get("/down").into(), status(200));
        add("hangs up", get("/app").into(), hang_up());
        add("resets", h2(get("/h2")), status(200).ending(Ending::Reset));
        add("retry", get("/retry").into(), status(503));
        add("slow", get("/slow").into(), status(200).delay(400));
        add("breaks off", get("/app").into(), status(200).body("part").ending(Ending::BreakOff));
        add("malformed", raw("GET / HTTP/1.1\r\nhost: test\r\nbroken\r\n\r\n"), status(200));
    }
    a
}
