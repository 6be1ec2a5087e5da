//! Documents to messages and back, and what is said about mistakes.

use expect_test::{Expect, expect};
use prost::Message as _;
use tulle_proto::envoy::{bootstrap::Bootstrap, cluster::Cluster, google, tls};
use tulle_proto::json::{Node, Schema, bootstrap_to_binary, parse_document};
use tulle_proto::{type_url, unpack};

const BOOTSTRAP: &str = r#"
node: {id: a, cluster: b, metadata: {LABELS: {app: x}, LIST: [1, true, null, y]}}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}
static_resources:
  listeners:
  - name: in
    address: {socket_address: {address: 0.0.0.0, port_value: 8080}}
    listenerFiltersTimeout: 0.25s
    per_connection_buffer_limit_bytes: 65536
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          codec_type: HTTP2
          stat_prefix: in
          route_config: {name: r, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: c}}]}]}
          http_filters:
          - name: istio.alpn
            typed_config:
              "@type": type.googleapis.com/istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig
              alpnOverride: [{upstreamProtocol: HTTP11, alpnOverride: [istio, http/1.1]}]
  clusters:
  - name: c
    type: STRICT_DNS
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
"#;

#[test]
fn a_bootstrap_becomes_its_message_and_its_json() {
    let bytes = bootstrap_to_binary(BOOTSTRAP).unwrap();
    let bootstrap = Bootstrap::decode(bytes.as_slice()).unwrap();
    let statics = bootstrap.static_resources.clone().unwrap();
    let listener = &statics.listeners[0];
    assert_eq!(listener.listener_filters_timeout, Some(google::Duration { seconds: 0, nanos: 250_000_000 }));
    assert_eq!(listener.per_connection_buffer_limit_bytes.map(|v| v.value), Some(65536));
    let options: tulle_proto::envoy::upstream_http::HttpProtocolOptions =
        unpack(statics.clusters[0].typed_extension_protocol_options.values().next().unwrap()).unwrap();
    assert!(options.upstream_protocol_options.is_some());
    let json = Schema::load().message_to_json(&bootstrap).unwrap();
    assert_eq!(json["node"]["metadata"]["LIST"], serde_json::json!([1.0, true, null, "y"]));
    let filter = &json["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    assert_eq!(filter["codec_type"], "HTTP2");
    assert_eq!(filter["http_filters"][0]["typed_config"]["alpn_override"][0]["upstream_protocol"], "HTTP11");
    // What was written reads back as the same message (maps have no order in binary form).
    let again = Schema::load().encode("envoy.config.bootstrap.v3.Bootstrap", &Node::from(&json)).unwrap();
    assert_eq!(Bootstrap::decode(again.as_slice()).unwrap(), bootstrap);
}

#[track_caller]
fn check(document: &str, want: Expect) {
    let problems = bootstrap_to_binary(document).unwrap_err();
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    want.assert_eq(&lines.join("\n"));
}

#[test]
fn every_mistake_is_told_with_its_place() {
    check(
        "static_resources:\n  listners: []\n  clusters:\n  - name: 5\n    type: STRICT_DSN\n    connect_timeout: 5\n    \
         lb_policy: RANDM\n  - lb_subset_config: []\n    max_requests_per_connection: -1\n    metadata: {a: b}\n",
        expect![[r#"
            line 2: static_resources.listners: is not a field of envoy.config.bootstrap.v3.Bootstrap.StaticResources; did you mean listeners?
            line 4: static_resources.clusters[0].name: must be a text (write it in quotes), not a number
            line 5: static_resources.clusters[0].type: "STRICT_DSN" is not a value of envoy.config.cluster.v3.Cluster.DiscoveryType; did you mean STRICT_DNS?
            line 6: static_resources.clusters[0].connect_timeout: must be a duration in seconds such as 0.25s, not "5"
            line 7: static_resources.clusters[0].lb_policy: "RANDM" is not a value of envoy.config.cluster.v3.Cluster.LbPolicy; did you mean RANDOM?
            line 8: static_resources.clusters[1].lb_subset_config: must be an object, not a list
            line 9: static_resources.clusters[1].max_requests_per_connection: must be a whole number from 0 to 4294967295, not -1
            line 10: static_resources.clusters[1].metadata.a: is not a field of envoy.config.core.v3.Metadata; known are filter_metadata, typed_filter_metadata"#]],
    );
}

#[test]
fn any_needs_a_known_type_and_oneofs_one_choice() {
    check(
        "static_resources:\n  listeners:\n  - filter_chains:\n    - filters:\n      - typed_config: {stat_prefix: a}\n      \
         - typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProx}\n    \
         - transport_socket: {}\n  clusters:\n  - type: EDS\n    cluster_type: {name: x}\n",
        expect![[r#"
            line 5: static_resources.listeners[0].filter_chains[0].filters[0].typed_config: needs @type, such as type.googleapis.com/envoy.extensions...
            line 6: static_resources.listeners[0].filter_chains[0].filters[1].typed_config.@type: "envoy.extensions.filters.network.tcp_proxy.v3.TcpProx" is not a known message; did you mean envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy?
            line 10: static_resources.clusters[0].cluster_type: cannot stand beside type"#]],
    );
}

#[test]
fn syntax_comes_first() {
    check("a: [1\nb: 2\n", expect!["line 2: illegal placement of ':' indicator"]);
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
    let text = Schema::load().any_to_json(&tulle_proto::pack(&secret)).to_string();
    assert!(text.contains("public") && text.contains("[redacted]") && !text.contains("hush"), "{text}");
}

#[test]
fn an_unknown_any_keeps_its_bytes() {
    let any = google::Any { type_url: "type.googleapis.com/x.Y".into(), value: vec![1, 2] };
    let json = Schema::load().any_to_json(&any);
    assert_eq!(json, serde_json::json!({"@type": "type.googleapis.com/x.Y", "value": "AQI="}));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 200, ..Default::default() })]

    #[test]
    fn no_text_panics(text in "[\\PC\n]{0,200}") {
        let _ = parse_document(&text);
    }

    #[test]
    fn no_document_panics(text in "(\\{|\\[|name|type|: |, |a|1|\\}|\\]|metadata|\"@type\"|\n  ){0,40}") {
        if let Ok(node) = parse_document(&text) {
            let _ = Schema::load().encode("envoy.config.cluster.v3.Cluster", &node);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        if Cluster::decode(bytes.as_slice()).is_ok() {
            let any = google::Any { type_url: type_url::CLUSTER.into(), value: bytes };
            let _ = Schema::load().any_to_json(&any);
        }
    }
}
