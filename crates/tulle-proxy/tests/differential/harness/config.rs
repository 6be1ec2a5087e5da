//! Parts of a bootstrap. Texts `{NAME}` stand for the address of the upstream NAME, `{port:NAME}` for its port and
//! `{listener:NAME}` for the port of a listener; `"{port:NAME}"` may stand where a number is wanted. `{base64:NAME}` is the
//! address as headers of sessions have it, `{session:NAME}`, `{ended:NAME}` and `{lasting:NAME}` as cookies do.

use serde_json::{Value, json};

pub use crate::common::{any_host, router};

/// A filter with this type and configuration.
pub fn filter(name: &str, kind: &str, config: Value) -> Value {
    let mut typed = config;
    typed["@type"] = json!(format!("type.googleapis.com/{kind}"));
    json!({ "name": name, "typed_config": typed })
}

/// `to` with the members of `extra` in place of its own.
pub fn merged(mut to: Value, extra: &Value) -> Value {
    for (key, value) in extra.as_object().into_iter().flatten() {
        match (to.get_mut(key), value) {
            (Some(old @ Value::Object(_)), Value::Object(_)) => *old = merged(old.take(), value),
            _ => to[key] = value.clone(),
        }
    }
    to
}

/// A cluster of these upstreams.
pub fn cluster(name: &str, upstreams: &[&str], extra: &Value) -> Value {
    let endpoints: Vec<Value> = upstreams.iter().map(|u| endpoint(u)).collect();
    let cluster = json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": endpoints }] },
    });
    merged(cluster, extra)
}

/// An endpoint at this upstream.
pub fn endpoint(upstream: &str) -> Value {
    json!({ "endpoint": { "address": address_of(upstream) } })
}

/// The address of this upstream.
pub fn address_of(upstream: &str) -> Value {
    let ip = if upstream.starts_with("v6") { "::1" } else { "127.0.0.1" };
    json!({ "socket_address": { "address": ip, "port_value": format!("{{port:{upstream}}}") } })
}

/// Makes a cluster speak HTTP/2.
pub fn http2() -> Value {
    json!({ "typed_extension_protocol_options": { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": { "http2_protocol_options": {} } } } })
}

/// Makes a cluster use each connection once, so that no request meets a connection that its upstream is closing.
pub fn single_use() -> Value {
    json!({ "typed_extension_protocol_options": { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "common_http_protocol_options": { "max_requests_per_connection": 1 },
        "explicit_http_config": { "http_protocol_options": {} } } } })
}

/// A route to `cluster` for what `matches` says; `extra` is merged into the route, `action` into its action.
pub fn route(matches: Value, cluster: &str, action: Value) -> Value {
    json!({ "match": matches, "route": merged(json!({ "cluster": cluster }), &action) })
}

/// A route for a prefix.
pub fn prefix(prefix: &str, cluster: &str, action: Value) -> Value {
    route(json!({ "prefix": prefix }), cluster, action)
}

/// A route that answers with this text.
pub fn answering(matches: Value, text: &str) -> Value {
    json!({ "match": matches, "direct_response": { "status": 200, "body": { "inline_string": text } } })
}

/// A connection manager with these virtual hosts; `extra` is merged into it.
pub fn manager(virtual_hosts: Value, extra: &Value, log: Option<Value>) -> Value {
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "test",
        "route_config": { "name": "routes", "virtual_hosts": virtual_hosts, "validate_clusters": false },
        "http_filters": [router()],
    });
    if let Some(log) = log {
        manager["access_log"] = json!([log]);
    }
    json!([{ "name": "envoy.filters.network.http_connection_manager", "typed_config": merged(manager, extra) }])
}

/// An access log with this format.
pub fn access_log(path: &str, format: &Value) -> Value {
    filter(
        "envoy.access_loggers.file",
        "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        json!({ "path": path, "log_format": format }),
    )
}
