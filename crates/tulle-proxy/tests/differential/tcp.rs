//! Bytes through the TCP proxy.

use serde_json::{Value, json};

use crate::harness::{
    Area,
    answer::{hang_up, status},
    case::Talk,
    config::{access_log, filter, merged},
};

pub fn area() -> Area {
    let mut a = Area::new("tcp");
    a.logging("unused");
    let log = || {
        access_log("{log}", &json!({ "text_format_source": { "inline_string":
            "%RESPONSE_FLAGS% %UPSTREAM_CLUSTER% %UPSTREAM_HOST% %BYTES_RECEIVED% %BYTES_SENT% %PROTOCOL% %RESPONSE_CODE% %CONNECTION_TERMINATION_DETAILS% %UPSTREAM_TRANSPORT_FAILURE_REASON% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_PORT% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n" } }))
    };
    let proxy = |config: Value| {
        filter("envoy.filters.network.tcp_proxy", "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            merged(json!({ "stat_prefix": "tcp", "access_log": [log()] }), &config))
    };
    let rbac = |action: &str, principal: Value| {
        filter("envoy.filters.network.rbac", "envoy.extensions.filters.network.rbac.v3.RBAC", json!({ "stat_prefix": "r", "rules": {
            "action": action, "policies": { "p": { "permissions": [{ "any": true }], "principals": [principal] } } } }))
    };
    a.cluster("app", &["one"], json!({}));
    a.cluster("other", &["two"], json!({}));
    a.cluster("down", &["down"], json!({}));
    a.cluster("empty", &[], json!({}));
    a.cluster("full", &["one"], json!({ "circuit_breakers": { "thresholds": [{ "max_connections": 0 }] } }));
    a.listener("in", json!([proxy(json!({ "cluster": "app" }))]), json!({}));
    a.listener("down", json!([proxy(json!({ "cluster": "down" }))]), json!({}));
    a.listener("again", json!([proxy(json!({ "cluster": "down", "max_connect_attempts": 3 }))]), json!({}));
    a.listener("empty", json!([proxy(json!({ "cluster": "empty" }))]), json!({}));
    a.listener("nowhere", json!([proxy(json!({ "cluster": "nowhere" }))]), json!({}));
    a.listener("full", json!([proxy(json!({ "cluster": "full" }))]), json!({}));
    a.listener("idle", json!([proxy(json!({ "cluster": "app", "idle_timeout": "0.2s" }))]), json!({}));
    a.listener("life", json!([proxy(json!({ "cluster": "app", "max_downstream_connection_duration": "0.2s" }))]), json!({}));
    a.listener("weighted", json!([proxy(json!({ "weighted_clusters": { "clusters": [{ "name": "other", "weight": 1 }] } }))]), json!({}));
    let me = json!({ "remote_ip": { "address_prefix": "127.0.0.1", "prefix_len": 32 } });
    a.listener("allowed", json!([rbac("ALLOW", me.clone()), proxy(json!({ "cluster": "app" }))]), json!({}));
    a.listener("denied", json!([rbac("DENY", me), proxy(json!({ "cluster": "app" }))]), json!({}));

    let bytes = b"POST /tcp HTTP/1.1\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello".to_vec();
    for listener in ["in", "down", "again", "empty", "nowhere", "full", "weighted", "allowed", "denied"] {
        a.case(format!("{listener} sends"), listener, Talk::Tcp(bytes.clone()));
        a.case(format!("{listener} sends nothing"), listener, Talk::Tcp(Vec::new()));
    }
    a.case("from elsewhere", "denied", Talk::Tcp(bytes.clone())).from([127, 0, 0, 9]);
    a.case("from elsewhere, not allowed", "allowed", Talk::Tcp(bytes.clone())).from([127, 0, 0, 9]);
    a.case("upstream hangs up", "in", Talk::Tcp(bytes.clone())).answer(hang_up());
    a.case("large answer", "in", Talk::Tcp(bytes.clone())).answer(status(200).body("r".repeat(500_000)));
    a.case("idle", "idle", Talk::Tcp(bytes.clone())).answer(status(200).delay(700));
    a.case("life", "life", Talk::Tcp(bytes)).answer(status(200).delay(700));
    a
}
