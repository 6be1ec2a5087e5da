//! Requests and connections are counted and logged in Istio's words, on both sides of a hop.

mod common;

use common::{
    Backend, Client, Proxy, any_host, block_on, cluster, eventually, get,
    h2::{H2Client, backend, head},
    http, http2, listener, router, tcp,
};
use serde_json::{Value, json};
use tulle_base::agent::NodeConfig;
use tulle_http::{HeaderList, Known, Method, ResponseHead};
use tulle_proxy::worker::Settings;
use tulle_telemetry::metrics::{Exposure, render};

fn filter(name: &str, config: Value) -> Value {
    let mut typed = config;
    typed["@type"] = json!(format!("type.googleapis.com/{}", type_of(name)));
    json!({ "name": name, "typed_config": typed })
}

fn type_of(name: &str) -> &'static str {
    match name {
        "istio.stats" => "stats.PluginConfig",
        "envoy.filters.http.grpc_stats" => "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
        "envoy.filters.http.buffer" => "envoy.extensions.filters.http.buffer.v3.Buffer",
        _ => "io.istio.http.peer_metadata.Config",
    }
}

fn metadata(directions: [&str; 2]) -> Value {
    let [discovery, propagation] = directions;
    filter(
        "istio.peer_metadata",
        json!({
            discovery: [{ "istio_headers": {} }],
            propagation: [{ "istio_headers": {} }],
        }),
    )
}

fn settings(workload: &str, app: &str) -> Settings {
    let node = NodeConfig {
        pod: format!("{workload}-1"),
        namespace: "shop".into(),
        service_account: "default".into(),
        workload: workload.into(),
        cluster_id: "Kubernetes".into(),
        labels: [("app".into(), app.into()), ("version".into(), "v1".into())].into(),
        ..NodeConfig::default()
    };
    Settings { node, ..Settings::default() }
}

fn metrics(proxy: &mut Proxy) -> String {
    render(&block_on(proxy.fleet().remote().stats()), Exposure::IstioDefault)
}

/// The value of the series with this name and all these labels.
fn series(text: &str, name: &str, labels: &[(&str, &str)]) -> Option<u64> {
    let fits = |line: &&str| {
        line.starts_with(&format!("{name}{{"))
            && labels.iter().all(|(k, v)| line.contains(&format!("{k}=\"{v}\"")))
    };
    text.lines().find(fits)?.rsplit(' ').next()?.parse().ok()
}

#[test]
fn a_hop_is_counted_on_both_sides_with_who_called_whom() {
    let app = Backend::text("hello");
    let mut inbound = listener(
        "in",
        http(
            any_host(json!([{ "match": { "prefix": "/" }, "route": { "cluster": "inbound|9080||" } }])),
            json!({ "http_filters": [
            metadata(["downstream_discovery", "downstream_propagation"]), filter("istio.stats", json!({})), router() ] }),
        ),
    );
    inbound["traffic_direction"] = json!("INBOUND");
    let mut local = cluster("inbound|9080||", &[app.address]);
    local["metadata"] = json!({ "filter_metadata": { "istio": { "services": [
        { "host": "reviews.shop.svc.cluster.local", "name": "reviews", "namespace": "shop" } ] } } });
    let mut server = Proxy::with(
        json!({ "listeners": [inbound], "clusters": [local] }),
        settings("reviews-v1", "reviews"),
    );
    let mut outbound = listener(
        "out",
        http(
            any_host(json!([{ "match": { "prefix": "/" },
            "route": { "cluster": "outbound|9080||reviews.shop.svc.cluster.local" } }])),
            json!({ "http_filters": [
            metadata(["upstream_discovery", "upstream_propagation"]), filter("istio.stats", json!({})), router() ] }),
        ),
    );
    outbound["traffic_direction"] = json!("OUTBOUND");
    let mut remote = cluster("outbound|9080||reviews.shop.svc.cluster.local", &[server.address("in")]);
    remote["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["metadata"] = json!({ "filter_metadata": {
        "istio": { "workload": "reviews-v1;shop;reviews;v1;Kubernetes" } } });
    let mut client = Proxy::with(
        json!({ "listeners": [outbound], "clusters": [remote] }),
        settings("productpage-v1", "productpage"),
    );
    let mut c = Client::connect(client.address("out"));
    for _ in 0..3 {
        let response = c.get("/");
        assert_eq!(response.status, 200);
        assert!(!response.headers.contains_key("x-envoy-peer-metadata"));
    }
    let common = [
        ("source_workload", "productpage-v1"),
        ("source_workload_namespace", "shop"),
        ("source_app", "productpage"),
        ("destination_workload", "reviews-v1"),
        ("destination_app", "reviews"),
        ("destination_service", "reviews.shop.svc.cluster.local"),
        ("destination_service_name", "reviews"),
        ("destination_service_namespace", "shop"),
        ("request_protocol", "http"),
        ("response_code", "200"),
        ("response_flags", "-"),
    ];
    for (proxy, reporter, security) in [(&mut client, "source", "none"), (&mut server, "destination", "none")]
    {
        let text = metrics(proxy);
        let mut labels = common.to_vec();
        labels.push(("reporter", reporter));
        labels.push(("connection_security_policy", security));
        assert_eq!(series(&text, "istio_requests_total", &labels), Some(3), "{text}");
        assert_eq!(series(&text, "istio_request_duration_milliseconds_count", &labels), Some(3));
    }
}

/// A proxy in front of `app` whose metrics have these overrides.
fn overridden(app: &Backend, metrics: &Value) -> Proxy {
    let inbound = listener(
        "in",
        http(
            any_host(json!([{ "match": { "prefix": "/" }, "route": { "cluster": "app" } }])),
            json!({ "http_filters": [filter("istio.stats", json!({ "metrics": metrics })), router()] }),
        ),
    );
    Proxy::with(
        json!({ "listeners": [inbound], "clusters": [cluster("app", &[app.address])] }),
        settings("web-v1", "web"),
    )
}

#[test]
fn overrides_take_labels_from_requests_and_leave_others_out() {
    let app = Backend::text("hello");
    let mut proxy = overridden(
        &app,
        &json!([
            { "name": "requests_total", "dimensions": {
                "tenant_id": "has(request.headers['x-tenant-id']) ? request.headers['x-tenant-id'] : 'none'",
                "class": "response.code >= 500 ? 'bad' : 'good'",
                "request_host": "request.host",
                "destination_app": "'renamed'",
                "gone": "request.headers['x-not-there']",
            }, "tags_to_remove": ["source_principal"] },
            { "name": "request_bytes", "drop": true },
        ]),
    );
    let mut c = Client::connect(proxy.address("in"));
    for tenant in ["acme", "acme", "other"] {
        c.send(format!("GET / HTTP/1.1\r\nhost: shop\r\nx-tenant-id: {tenant}\r\n\r\n"));
        assert_eq!(c.receive().unwrap().status, 200);
    }
    c.send("GET / HTTP/1.1\r\nhost: shop\r\n\r\n");
    assert_eq!(c.receive().unwrap().status, 200);
    let text = metrics(&mut proxy);
    let counted = |labels: &[(&str, &str)]| series(&text, "istio_requests_total", labels);
    let of =
        |tenant| [("tenant_id", tenant), ("class", "good"), ("request_host", "shop"), ("gone", "unknown")];
    assert_eq!(counted(&of("acme")), Some(2), "{text}");
    assert_eq!(counted(&of("other")), Some(1), "{text}");
    assert_eq!(counted(&[("tenant_id", "none"), ("destination_app", "renamed")]), Some(1), "{text}");
    let lines = |start: &str| text.lines().filter(|l| l.starts_with(start)).collect::<Vec<_>>();
    assert!(lines("istio_requests_total{").iter().all(|l| !l.contains("source_principal")), "{text}");
    // Others are as they were, and one series each.
    assert_eq!(lines("istio_request_duration_milliseconds_count{").len(), 1, "{text}");
    assert!(lines("istio_request_bytes").is_empty(), "{text}");
    let own = [("source_principal", "spiffe://cluster.local/ns/shop/sa/default")];
    assert_eq!(series(&text, "istio_response_bytes_count", &own), Some(4), "{text}");
}

#[test]
fn many_and_huge_values_are_bounded_and_what_is_lost_is_counted() {
    let app = Backend::text("hello");
    let mut proxy = overridden(
        &app,
        &json!([{ "name": "requests_total", "dimensions": { "who": "request.headers['x-who']" } }]),
    );
    let mut c = Client::connect(proxy.address("in"));
    let huge = "h".repeat(40_000);
    c.send(format!("GET / HTTP/1.1\r\nhost: shop\r\nx-who: {huge}\r\n\r\n"));
    assert_eq!(c.receive().unwrap().status, 200);
    for i in 0..2_500 {
        c.send(format!("GET / HTTP/1.1\r\nhost: shop\r\nx-who: w{i}\r\n\r\n"));
        assert_eq!(c.receive().unwrap().status, 200);
    }
    let text = metrics(&mut proxy);
    let lines: Vec<&str> = text.lines().filter(|l| l.starts_with("istio_requests_total{")).collect();
    // 2,000 values, and one for all others.
    assert_eq!(lines.len(), 2_001);
    assert!(lines.iter().all(|l| l.len() < 2_000));
    assert_eq!(
        series(&text, "istio_requests_total", &[("who", "other")]),
        Some(501),
        "nothing is lost of the sum"
    );
    assert!(text.contains("\ntulle_metrics_overflow_total 502\n"), "one was cut, 501 are others");
}

#[test]
fn the_access_log_says_what_happened() {
    let app = Backend::text("hello");
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let log = json!([{
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": path,
            "log_format": { "text_format_source": { "inline_string":
                "%REQ(:METHOD)% %REQ(:PATH)% %PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% \
                 %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_CLUSTER% %ROUTE_NAME%\n" } },
        },
    }]);
    let proxy = Proxy::start(json!({
        "listeners": [listener("in", http(any_host(json!([
            { "name": "main", "match": { "prefix": "/a" }, "route": { "cluster": "app" } },
            { "name": "lost", "match": { "prefix": "/b" }, "route": { "cluster": "none" } },
        ])), json!({ "access_log": log })))],
        "clusters": [cluster("app", &[app.address]), cluster("none", &[])],
    }));
    let at = proxy.address("in");
    get(at, "/a?b=c");
    get(at, "/b");
    get(at, "/c");
    let mut bad = Client::connect(at);
    bad.send("GET / HTTP/1.1\r\n\r\n");
    bad.rest();
    let read = || std::fs::read_to_string(&path).unwrap();
    eventually("four lines", || read().lines().count() == 4);
    let text = read();
    for line in [
        "GET /a?b=c HTTP/1.1 200 - via_upstream 0 5 app main",
        "GET /b HTTP/1.1 503 UH no_healthy_upstream 0 19 none lost",
        "GET /c HTTP/1.1 404 NR route_not_found 0 0 - -",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(text.contains(" 400 DPE missing_host_header "), "{text}");
}

#[test]
fn grpc_messages_and_tcp_bytes_are_counted() {
    let app = backend(|_, body| {
        let mut head = ResponseHead::new(200);
        head.headers.append(Known::ContentType, b"application/grpc");
        let mut trailers = HeaderList::new();
        trailers.append(Known::GrpcStatus, b"0");
        (head, body.to_vec(), trailers)
    });
    let mut out = listener(
        "out",
        http(
            any_host(json!([
                { "match": { "prefix": "/shop.Held" }, "route": { "cluster": "app" } },
                { "match": { "prefix": "/" }, "route": { "cluster": "app" }, "typed_per_filter_config": {
                    "envoy.filters.http.buffer": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute",
                        "disabled": true,
                    },
                } },
            ])),
            json!({ "http_filters": [
            filter("envoy.filters.http.buffer", json!({ "max_request_bytes": 100 })),
            filter("envoy.filters.http.grpc_stats", json!({ "emit_filter_state": true })),
            filter("istio.stats", json!({})),
            router(),
        ] }),
        ),
    );
    out["traffic_direction"] = json!("OUTBOUND");
    let raw = Backend::raw(|stream| {
        use std::io::{Read as _, Write as _};
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(b"12345").unwrap();
    });
    let mut filters = tcp("raw");
    filters.as_array_mut().unwrap().insert(0, filter("istio.stats", json!({})));
    let mut bytes = listener("bytes", filters);
    bytes["traffic_direction"] = json!("OUTBOUND");
    let mut proxy = Proxy::with(
        json!({
            "listeners": [out, bytes],
            "clusters": [http2(cluster("app", &[app.address])), cluster("raw", &[raw.address])],
        }),
        settings("web-v1", "web"),
    );
    for path in ["/shop.Cart/Get", "/shop.Held/Get"] {
        let mut call = head(path);
        call.method = Method::Post;
        call.headers.append(Known::ContentType, b"application/grpc");
        let body = b"\0\0\0\0\x02hi\0\0\0\0\x01x";
        let received = H2Client::connect(proxy.address("out")).all(&[(call, body)]).remove(0);
        assert_eq!(received.trailers.get(Known::GrpcStatus), Some(&b"0"[..]), "{path}");
    }
    let mut client = Client::connect(proxy.address("bytes"));
    client.send("abc");
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.rest(), b"12345");
    eventually("closed", || proxy.vitals().downstream_connections <= 1);
    let text = metrics(&mut proxy);
    let source = ("source_workload", "web-v1");
    let grpc = [source, ("request_protocol", "grpc"), ("grpc_response_status", "0")];
    assert_eq!(series(&text, "istio_requests_total", &grpc), Some(2), "{text}");
    assert_eq!(series(&text, "istio_request_messages_total", &[source]), Some(4), "{text}");
    assert_eq!(series(&text, "istio_response_messages_total", &[source]), Some(4));
    let tcp = [source, ("request_protocol", "tcp")];
    assert_eq!(series(&text, "istio_tcp_connections_opened_total", &tcp), Some(1));
    assert_eq!(series(&text, "istio_tcp_connections_closed_total", &tcp), Some(1));
    assert_eq!(series(&text, "istio_tcp_received_bytes_total", &tcp), Some(3));
    assert_eq!(series(&text, "istio_tcp_sent_bytes_total", &tcp), Some(5));
}
