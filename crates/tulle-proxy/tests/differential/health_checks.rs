//! Active health checks: how upstreams are asked, and where requests go then.

use serde_json::{Value, json};

use crate::harness::{
    Area,
    answer::{Answer, hang_up, status},
    case::{Turn, get, turn},
    config::{address_of, any_host, endpoint, http2, merged, prefix},
};

/// As bytes are written in health checks: in hexadecimal.
fn hex(text: &str) -> Value {
    json!({ "text": text.bytes().map(|b| format!("{b:02x}")).collect::<String>() })
}

fn serving(state: u8) -> Answer {
    status(200)
        .header("content-type", "application/grpc")
        .body([0, 0, 0, 0, 2, 8, state])
        .trailer("grpc-status", "0")
}

pub fn area() -> Area {
    let mut a = Area::new("health checks");
    let every = |kind: Value| {
        merged(
            json!({ "timeout": "1s", "interval": "0.1s", "unhealthy_threshold": 1, "healthy_threshold": 1,
                "no_traffic_interval": "0.1s", "unhealthy_interval": "0.1s" }),
            &kind,
        )
    };
    let checked = |check: Value, more: Value| {
        merged(json!({ "lb_policy": "ROUND_ROBIN", "health_checks": [every(check)] }), &more)
    };
    let strict = json!({ "common_lb_config": { "healthy_panic_threshold": { "value": 0 } } });
    let http = |more: Value| json!({ "http_health_check": merged(json!({ "path": "/health" }), &more) });
    let tcp = |more: Value| json!({ "tcp_health_check": more });
    let request = "GET /health HTTP/1.1\r\nhost: h\r\n\r\n";
    let mut routes = Vec::new();
    let mut add = |a: &mut Area, name: &str, upstreams: &[(&str, Option<Answer>)], extra: Value| {
        let names: Vec<String> = upstreams.iter().map(|(u, _)| if u.starts_with("down") { format!("down{name}") } else { format!("{name}{u}") }).collect();
        for (full, (_, answer)) in names.iter().zip(upstreams) {
            if let Some(answer) = answer {
                a.check(full, answer.clone());
            }
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        a.cluster(name, &names, extra);
        routes.push(prefix(&format!("/{name}"), name, json!({})));
    };
    let (well, ill) = (|| Some(status(200)), || Some(status(503)));
    add(&mut a, "http", &[("a", well()), ("b", ill()), ("c", Some(hang_up()))], checked(http(json!({})), strict.clone()));
    add(&mut a, "fields", &[("a", well())], checked(http(json!({ "host": "checked.test", "path": "/health?x=y", "method": "HEAD",
        "request_headers_to_add": [{ "header": { "key": "x-check", "value": "yes" } }], "request_headers_to_remove": ["user-agent"] })), strict.clone()));
    add(&mut a, "expected", &[("a", Some(status(204))), ("b", well()), ("c", Some(status(429)))],
        checked(http(json!({ "expected_statuses": [{ "start": 201, "end": 300 }] })), strict.clone()));
    add(&mut a, "h2", &[("a", well()), ("b", ill())], merged(checked(http(json!({ "codec_client_type": "HTTP2" })), strict.clone()), &http2()));
    add(&mut a, "allill", &[("a", ill()), ("b", ill())], checked(http(json!({})), json!({})));
    add(&mut a, "strictill", &[("a", ill()), ("b", ill())], checked(http(json!({})), strict.clone()));
    add(&mut a, "down", &[("a", well()), ("down", None)], checked(http(json!({})), strict.clone()));
    add(&mut a, "tcp", &[("a", None), ("down", None)], checked(tcp(json!({})), strict.clone()));
    add(&mut a, "talk", &[("a", well()), ("b", ill())],
        checked(tcp(json!({ "send": hex(request), "receive": [hex("200 "), hex("from talk")] })), strict.clone()));
    add(&mut a, "grpc", &[("a", Some(serving(1))), ("b", Some(serving(2))), ("c", ill())],
        merged(checked(json!({ "grpc_health_check": {} }), strict.clone()), &http2()));
    add(&mut a, "grpcnamed", &[("a", Some(serving(1)))],
        merged(checked(json!({ "grpc_health_check": { "service_name": "shop.Cart", "authority": "checked.test" } }), strict), &http2()));
    // Endpoints may say themselves how they are asked.
    let own = |upstream: &str, config: Value| merged(endpoint(upstream), &json!({ "endpoint": { "health_check_config": config } }));
    a.check("elsewherec", status(200));
    a.check("elsewheren", status(200));
    a.check("elsewherei", status(503));
    a.check("elsewhered", status(503));
    let endpoints = json!([own("elsewherep", json!({ "port_value": "{port:elsewherec}" })), own("elsewheren", json!({ "hostname": "own.test" })),
        own("elsewhereq", json!({ "address": address_of("elsewherei") })), own("elsewhered", json!({ "disable_active_health_check": true }))]);
    a.cluster("elsewhere", &[], merged(checked(http(json!({ "host": "checked.test" })), json!({ "common_lb_config": { "healthy_panic_threshold": { "value": 0 } } })),
        &json!({ "load_assignment": { "endpoints": [{ "lb_endpoints": endpoints }] } })));
    routes.push(prefix("/elsewhere", "elsewhere", json!({})));
    a.http("in", any_host(json!(routes)), json!({}));
    // Both have asked by then, whether they wait for the first answers before they listen or not.
    a.case("everybody was asked", "in", Turn::from(&get("/none")).pause(2000)).checks();
    for name in ["http", "fields", "expected", "h2", "allill", "strictill", "down", "tcp", "talk", "grpc", "grpcnamed"] {
        let requests: Vec<Turn> = (0..4).map(|_| turn(get(&format!("/{name}")).bytes(), "GET")).collect();
        a.case(name, "in", requests).answer(status(200).body("well"));
    }
    let requests: Vec<Turn> = (0..4).map(|_| turn(get("/elsewhere").bytes(), "GET")).collect();
    // Which one of those that are well is chance.
    a.case("elsewhere", "in", requests).answer(status(200).body("well")).answer_of("elsewhereq", status(500)).blind();
    a
}
