//! What a scrape sees of what workers counted.

#![allow(clippy::unwrap_used, reason = "a failure here is the test failing")]

use std::time::Duration;

use tulle_telemetry::metrics::{
    Exposure, Extra, ExtraKind, PeerLabels, Protocol, Reporter, RequestKey, RequestSample, SecurityPolicy,
    ServiceLabels, Store, TcpKey, TrafficKey, render,
};
use tulle_telemetry::{ResponseFlag, ResponseFlags};

fn worker(requests: u64) -> Store {
    let mut store = Store::default();
    let web = PeerLabels {
        workload: "web".into(),
        namespace: "shop".into(),
        principal: "spiffe://cluster.local/ns/shop/sa/web".into(),
        app: "we\"b".into(),
        ..PeerLabels::default()
    };
    let service = ServiceLabels {
        host: "cart.shop.svc.cluster.local".into(),
        name: "cart".into(),
        namespace: "shop".into(),
    };
    let traffic = TrafficKey {
        reporter: Reporter::Source,
        source: store.peer(&web),
        destination: store.peer(&PeerLabels::default()),
        service: store.service(&service),
    };
    let key = RequestKey {
        traffic,
        protocol: Protocol::Http,
        response_code: 200,
        grpc_status: None,
        flags: ResponseFlags::NONE,
        security: SecurityPolicy::Unknown,
    };
    for _ in 0..requests {
        let sample = RequestSample {
            duration: Some(Duration::from_micros(7_300)),
            request_bytes: 3,
            response_bytes: 2000,
        };
        store.record_request(&key, &sample);
    }
    let failed = RequestKey {
        protocol: Protocol::Grpc,
        response_code: 0,
        grpc_status: Some(14),
        flags: ResponseFlag::UpstreamConnectionFailure.into(),
        ..key
    };
    store.record_request(&failed, &RequestSample::default());
    store.add_messages(traffic, 2, 1);
    let tcp = TcpKey { traffic, flags: ResponseFlags::NONE, security: SecurityPolicy::Unknown };
    store.tcp_opened(&tcp);
    store.tcp_bytes(&tcp, 10, 20);
    let cluster = store.proxy.clusters.get("outbound|80||cart");
    cluster.upstream_rq_total.add(requests);
    cluster.count_status(200);
    cluster.membership_total.set(3);
    store
}

#[test]
fn workers_add_up_and_render_the_full_label_set() {
    let mut snapshot = worker(2).snapshot();
    snapshot.merge(worker(1).snapshot());
    snapshot.push(Extra::envoy("server.live", ExtraKind::Gauge, 1.0));
    snapshot.push(
        Extra::metric("istio_build", ExtraKind::Gauge, 1.0).with("component", "proxy").with("tag", "0.1.0"),
    );
    let text = render(&snapshot, Exposure::All);
    let labels = "reporter=\"source\",source_workload=\"web\",source_workload_namespace=\"shop\",\
        source_principal=\"spiffe://cluster.local/ns/shop/sa/web\",source_app=\"we\\\"b\",source_version=\"unknown\",\
        source_canonical_service=\"unknown\",source_canonical_revision=\"latest\",source_cluster=\"unknown\",\
        destination_workload=\"unknown\",destination_workload_namespace=\"unknown\",destination_principal=\"unknown\",\
        destination_app=\"unknown\",destination_version=\"unknown\",destination_canonical_service=\"unknown\",\
        destination_canonical_revision=\"latest\",destination_cluster=\"unknown\",\
        destination_service=\"cart.shop.svc.cluster.local\",destination_service_name=\"cart\",\
        destination_service_namespace=\"shop\"";
    let http = format!(
        "{labels},request_protocol=\"http\",response_code=\"200\",grpc_response_status=\"\",response_flags=\"-\",\
         connection_security_policy=\"unknown\""
    );
    for expected in [
        "# TYPE istio_requests_total counter".to_owned(),
        format!("istio_requests_total{{{http}}} 3"),
        format!("istio_request_duration_milliseconds_bucket{{{http},le=\"5\"}} 0"),
        format!("istio_request_duration_milliseconds_bucket{{{http},le=\"10\"}} 3"),
        format!("istio_request_duration_milliseconds_bucket{{{http},le=\"3600000\"}} 3"),
        format!("istio_request_duration_milliseconds_bucket{{{http},le=\"+Inf\"}} 3"),
        format!("istio_request_duration_milliseconds_sum{{{http}}} 21"),
        format!("istio_response_bytes_count{{{http}}} 3"),
        format!("istio_request_messages_total{{{labels}}} 4"),
        format!(
            "istio_tcp_received_bytes_total{{{labels},request_protocol=\"tcp\",response_flags=\"-\",\
             connection_security_policy=\"unknown\"}} 40"
        ),
        "envoy_cluster_upstream_rq_total{cluster_name=\"outbound|80||cart\"} 3".to_owned(),
        "envoy_cluster_upstream_rq{response_code_class=\"2xx\",cluster_name=\"outbound|80||cart\"} 2"
            .to_owned(),
        "envoy_cluster_membership_total{cluster_name=\"outbound|80||cart\"} 3".to_owned(),
        "envoy_server_live 1".to_owned(),
        "istio_build{component=\"proxy\",tag=\"0.1.0\"} 1".to_owned(),
    ] {
        assert!(text.lines().any(|line| line == expected), "{expected}\n---\n{text}");
    }
    assert!(text.contains("response_code=\"0\",grpc_response_status=\"14\",response_flags=\"UF\""), "{text}");
}

#[test]
fn each_family_has_one_head_and_its_lines_together() {
    let text = render(&worker(1).snapshot(), Exposure::All);
    let mut seen = Vec::new();
    for line in text.lines().filter(|l| l.starts_with("# TYPE ")) {
        let name = line.split(' ').nth(2).unwrap();
        assert!(!seen.contains(&name), "{name} twice");
        seen.push(name);
    }
}

#[test]
fn istio_shows_few_of_envoys_statistics() {
    let mut snapshot = worker(1).snapshot();
    snapshot.push(Extra::envoy("server.live", ExtraKind::Gauge, 1.0));
    let text = render(&snapshot, Exposure::IstioDefault);
    assert!(!text.contains("envoy_cluster_"), "{text}");
    assert!(text.contains("envoy_server_live 1") && text.contains("istio_requests_total"));
    assert_eq!(snapshot.cluster_stat("outbound|80||cart", "upstream_rq_total"), Some(1));
    assert!(snapshot.envoy_stats().contains(&("cluster.outbound|80||cart.membership_total".to_owned(), 3)));
}
