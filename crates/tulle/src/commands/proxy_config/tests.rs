//! Tables over what a proxy of ours has told (`recorded/`; how to record anew stands in tests/traffic/proxy_config.rs).
//! `UPDATE=1 cargo test -p tulle recorded` writes the expected tables.

use serde_json::{Value, json};

use super::dump::{ClusterName, made_by};
use super::{bootstrap, clusters, endpoints, filter_chains, listeners, routes, secrets, show};

fn recorded(name: &str) -> Value {
    let text = match name {
        "clusters" => include_str!("recorded/clusters.json"),
        _ => include_str!("recorded/config_dump.json"),
    };
    serde_json::from_str(text).unwrap()
}

#[test]
fn recorded_dumps_become_istioctls_tables() {
    let (dump, ends) = (recorded("config_dump"), recorded("clusters"));
    let verbose = |verbose| listeners::Filter { verbose, ..Default::default() };
    let parts = [
        ("bootstrap", bootstrap::summary(&dump)),
        ("clusters", clusters::summary(&dump, &clusters::Filter::default())),
        ("listeners", listeners::summary(&dump, &verbose(true))),
        ("listeners --verbose=false", listeners::summary(&dump, &verbose(false))),
        ("routes", routes::summary(&dump, &routes::Filter { name: None, verbose: true })),
        ("routes --verbose=false", routes::summary(&dump, &routes::Filter { name: None, verbose: false })),
        // Whatever the time, the recorded certificates have ended by then.
        ("secrets", secrets::summary(&dump, 4_000_000_000)),
        ("endpoints", endpoints::summary(&ends)),
    ];
    let all: String =
        parts.iter().map(|(name, text)| format!("$ tulle proxy-config {name}\n{text}\n")).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/commands/proxy_config/recorded/tables.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &all).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    assert!(all == expected, "the tables differ from {path}; is\n{all}");
}

#[test]
fn keys_are_taken_out_whoever_wrote_the_dump() {
    let dump = json!({ "configs": [{ "@type": "type.googleapis.com/envoy.admin.v3.SecretsConfigDump",
        "dynamic_active_secrets": [{ "name": "default", "secret": { "tls_certificate": {
            "certificate_chain": { "inline_bytes": "bm90aGluZw==" }, "private_key": { "inline_bytes": "S0VZ" } } } }] }] });
    let shown = secrets::shown(&dump).to_string();
    assert!(!shown.contains("S0VZ") && shown.contains("[redacted]"), "{shown}");
    let table = secrets::summary(&dump, 0);
    assert!(table.lines().nth(1).unwrap().contains("false"), "what is no certificate is not valid: {table}");
    assert_eq!(secrets::summary(&json!({}), 0), "No active or warming secrets found.\n");
}

#[test]
fn names_and_paths_are_read() {
    let name = ClusterName::parse("outbound|80|v1|cart.shop.svc.cluster.local");
    assert_eq!((&*name.direction, name.port, &*name.subset), ("outbound", Some(80), "v1"));
    assert_eq!(ClusterName::parse("PassthroughCluster").fqdn, "PassthroughCluster");
    let by =
        |path: &str| made_by(&json!({ "metadata": { "filter_metadata": { "istio": { "config": path } } } }));
    assert_eq!(by("/apis/networking.istio.io/v1/namespaces/shop/virtual-service/cart"), "cart.shop");
    assert_eq!(by("/apis//v1/namespaces/shop/service/cart"), "", "no rule is about it");
    assert_eq!(by("/apis/x"), "<unknown>");
    assert_eq!(made_by(&json!({})), "");
}

#[test]
fn chains_say_what_they_take_and_where_it_goes() {
    let matches = json!({ "server_names": ["a.test", "b.test"], "transport_protocol": "tls", "destination_port": 443,
        "application_protocols": ["istio-peer-exchange", "istio"], "prefix_ranges": [{ "address_prefix": "10.0.0.0", "prefix_len": 8 }] });
    let shown = filter_chains::matches(&matches);
    assert_eq!(shown, "SNI: a.test,b.test; Trans: tls; App: TCP TLS; Addr: 10.0.0.0/8:443");
    assert_eq!(filter_chains::matches(&json!({ "destination_port": 80 })), "Addr: *:80");
    assert_eq!(filter_chains::matches(&Value::Null), "ALL");
    let http = |config: Value| json!([{ "name": filter_chains::HTTP, "typed_config": config }]);
    let inline = |routes: Value, domain: &str| {
        filter_chains::destination(&http(
            json!({ "route_config": { "virtual_hosts": [{ "domains": [domain], "routes": routes }] } }),
        ))
    };
    let all = json!([{ "match": { "prefix": "/" }, "route": { "cluster": "inbound|80||" } }]);
    assert_eq!(inline(all.clone(), "*"), "Cluster: inbound|80||");
    assert_eq!(inline(all, "a.test"), "Inline Route: a.test /*");
    assert_eq!(filter_chains::destination(&json!([])), "Non-HTTP/Non-TCP");
    let tcp = |config: Value| {
        filter_chains::destination(&json!([{ "name": filter_chains::TCP, "typed_config": config }]))
    };
    assert_eq!(tcp(json!({ "cluster": "PassthroughCluster" })), "PassthroughCluster");
    let split = json!({ "weighted_clusters": { "clusters": [{ "name": "a", "weight": 1 }, { "name": "b", "weight": 3 }] } });
    assert_eq!(tcp(split), "Clusters: a (1), b (3)");
}

#[test]
fn fields_are_named_as_protobuf_names_them_and_metadata_stays() {
    let cluster = json!({ "@type": "x", "connect_timeout": "1s", "typed_extension_protocol_options": { "envoy.x_y": { "max_age": 1 } },
        "metadata": { "filter_metadata": { "istio": { "some_key": 1 } } } });
    assert_eq!(
        show::messages([&cluster]),
        json!([{ "connectTimeout": "1s",
        "typedExtensionProtocolOptions": { "envoy.x_y": { "maxAge": 1 } },
        "metadata": { "filterMetadata": { "istio": { "some_key": 1 } } } }])
    );
    let node = json!({ "node": { "metadata": { "service_name": "x" } } });
    assert_eq!(show::renamed(&node), node);
}
