//! Documents to messages and back, and what is said about mistakes.

use expect_test::{Expect, expect};
use prost::Message as _;
use serde_json::{Value, json};
use tulle_proto::envoy::{bootstrap::Bootstrap, cluster::Cluster, google, tls};
use tulle_proto::json::Json;
use tulle_proto::type_url::{self, HTTP_CONNECTION_MANAGER as HCM};
use tulle_proto::unpack;

fn document() -> Value {
    json!({
        "node": { "id": "a", "metadata": { "LABELS": { "app": "x" }, "LIST": [1, true, null, "y"] } },
        "static_resources": {
            "listeners": [{
                "name": "in",
                "address": { "socket_address": { "address": "0.0.0.0", "port_value": 8080 } },
                "listenerFiltersTimeout": "0.25s",
                "per_connection_buffer_limit_bytes": 65536,
                "filter_chains": [{ "filters": [{ "name": "hcm", "typed_config": {
                    "@type": format!("{HCM}"),
                    "codec_type": "HTTP2",
                    "stat_prefix": "in",
                    "http_filters": [{ "name": "istio.alpn", "typed_config": {
                        "@type": "type.googleapis.com/istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig",
                        "alpnOverride": [{ "upstreamProtocol": "HTTP11", "alpnOverride": ["istio", "http/1.1"] }],
                    } }],
                } }] }],
            }],
            "clusters": [{
                "name": "c",
                "type": "STRICT_DNS",
                "max_requests_per_connection": "7",
                "typed_extension_protocol_options": { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": { "http2_protocol_options": {} },
                } },
            }],
        },
    })
}

#[test]
fn a_bootstrap_becomes_its_message_and_its_json() {
    let json = Json::load().unwrap();
    let bytes = json.encode(type_url::BOOTSTRAP, &document()).unwrap();
    let bootstrap = Bootstrap::decode(bytes.as_slice()).unwrap();
    let statics = bootstrap.static_resources.clone().unwrap();
    let listener = &statics.listeners[0];
    assert_eq!(listener.listener_filters_timeout, Some(google::Duration { seconds: 0, nanos: 250_000_000 }));
    assert_eq!(listener.per_connection_buffer_limit_bytes.map(|v| v.value), Some(65536));
    let options: tulle_proto::envoy::upstream_http::HttpProtocolOptions =
        unpack(statics.clusters[0].typed_extension_protocol_options.values().next().unwrap()).unwrap();
    assert!(options.upstream_protocol_options.is_some());
    let shown = json.decode(type_url::BOOTSTRAP, &bytes).unwrap();
    assert_eq!(shown["node"]["metadata"]["LIST"], json!([1.0, true, null, "y"]));
    let filter = &shown["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    assert_eq!(filter["codec_type"], "HTTP2");
    assert_eq!(filter["http_filters"][0]["typed_config"]["alpn_override"][0]["upstream_protocol"], "HTTP11");
    // What was written reads back as the same message (maps have no order in binary form).
    let again = json.encode(type_url::BOOTSTRAP, &shown).unwrap();
    assert_eq!(Bootstrap::decode(again.as_slice()).unwrap(), bootstrap);
}

#[track_caller]
fn check(statics: Value, want: Expect) {
    let document = json!({ "static_resources": statics });
    let error =
        Json::load().expect("built in").encode(type_url::BOOTSTRAP, &document).expect_err("it has mistakes");
    want.assert_eq(&error.to_string());
}

#[test]
fn every_mistake_is_told_with_its_place() {
    check(
        json!({
            "listners": [],
            "clusters": [
                { "name": 5, "type": "STRICT_DSN", "connect_timeout": 5, "lb_policy": "RANDM" },
                { "lb_subset_config": [], "max_requests_per_connection": -1, "metadata": { "a": "b" } },
            ],
        }),
        expect![[r#"
            static_resources.clusters[0].connect_timeout: must be a duration in seconds such as 0.25s, not 5
            static_resources.clusters[0].lb_policy: "RANDM" is not a value of envoy.config.cluster.v3.Cluster.LbPolicy; did you mean RANDOM?
            static_resources.clusters[0].name: must be a text (write it in quotes), not a number
            static_resources.clusters[0].type: "STRICT_DSN" is not a value of envoy.config.cluster.v3.Cluster.DiscoveryType; did you mean STRICT_DNS?
            static_resources.clusters[1].lb_subset_config: must be an object, not a list
            static_resources.clusters[1].max_requests_per_connection: must be a whole number from 0 to 4294967295, not -1
            static_resources.clusters[1].metadata.a: is not a field of envoy.config.core.v3.Metadata; known are filter_metadata, typed_filter_metadata
            static_resources.listners: is not a field of envoy.config.bootstrap.v3.Bootstrap.StaticResources; did you mean listeners?"#]],
    );
}

#[test]
fn any_needs_a_known_type_and_oneofs_one_choice() {
    check(
        json!({
            "listeners": [{ "filter_chains": [{ "filters": [
                { "typed_config": { "stat_prefix": "a" } },
                { "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProx",
                } },
            ] }] }],
            "clusters": [{ "type": "EDS", "cluster_type": { "name": "x" } }],
        }),
        expect![[r#"
            static_resources.clusters[0].type: cannot stand beside cluster_type
            static_resources.listeners[0].filter_chains[0].filters[0].typed_config: needs @type, such as type.googleapis.com/envoy.extensions...
            static_resources.listeners[0].filter_chains[0].filters[1].typed_config.@type: "envoy.extensions.filters.network.tcp_proxy.v3.TcpProx" is not a known message; did you mean envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy?"#]],
    );
}

#[test]
fn secrets_are_not_written() {
    let pem = |text: &str| tulle_proto::envoy::core::DataSource {
        specifier: Some(tulle_proto::envoy::core::data_source::Specifier::InlineString(text.into())),
        ..Default::default()
    };
    let certificate = tls::TlsCertificate {
        certificate_chain: Some(pem("public")),
        private_key: Some(pem("hush")),
        ..Default::default()
    };
    let secret =
        tls::Secret { name: "s".into(), r#type: Some(tls::secret::Type::TlsCertificate(certificate)) };
    let text = Json::load().unwrap().any(&tulle_proto::pack(&secret)).to_string();
    assert!(text.contains("public") && text.contains("[redacted]") && !text.contains("hush"), "{text}");

    // Where a key lies is no secret, and the reader needs it.
    let key = tulle_proto::envoy::core::DataSource {
        specifier: Some(tulle_proto::envoy::core::data_source::Specifier::Filename("/etc/key.pem".into())),
        ..Default::default()
    };
    let certificate = tls::TlsCertificate { private_key: Some(key), ..Default::default() };
    let secret =
        tls::Secret { name: "s".into(), r#type: Some(tls::secret::Type::TlsCertificate(certificate)) };
    let text = Json::load().unwrap().any(&tulle_proto::pack(&secret)).to_string();
    assert!(text.contains("/etc/key.pem") && !text.contains("[redacted]"), "{text}");
}

#[test]
fn an_unknown_any_keeps_its_bytes() {
    let any = google::Any { type_url: "type.googleapis.com/x.Y".into(), value: vec![1, 2] };
    let shown = Json::load().unwrap().any(&any);
    assert_eq!(shown, json!({"@type": "type.googleapis.com/x.Y", "value": "AQI="}));
}

/// JSON made of names that the schema knows, of types that may not fit.
fn any_json() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let names =
        "(name|type|metadata|filter_metadata|@type|load_assignment|endpoints|connect_timeout|value|fields)";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z0-9.s]{0,8}".prop_map(Value::from),
        Just(Value::from(type_url::CLUSTER)),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names, inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 100, ..Default::default() })]

    #[test]
    fn no_document_panics(document in any_json()) {
        let _ = Json::load().unwrap().encode(type_url::CLUSTER, &document);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        if Cluster::decode(bytes.as_slice()).is_ok() {
            let any = google::Any { type_url: type_url::CLUSTER.into(), value: bytes };
            let _ = Json::load().unwrap().any(&any);
        }
    }
}
