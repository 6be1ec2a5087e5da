//! What a scrape sees of what workers counted.

#![allow(clippy::unwrap_used, reason = "a failure here is the test failing")]

use std::time::Duration;

use tulle_telemetry::metrics::{
    Exposure, Extra, ExtraKind, Feed, Format, LabelRules, Metric, PeerId, PeerLabels, Protocol, Reporter,
    RequestKey, RequestSample, SecurityPolicy, ServiceId, ServiceLabels, Store, TagsId, TcpKey, TraceHeader,
    TraceId, TrafficKey, render, render_as,
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
        tags: TagsId::default(),
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
            ..RequestSample::default()
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
    store.add_messages(traffic, 2, 1, 0);
    let tcp = TcpKey { traffic, flags: ResponseFlags::NONE, security: SecurityPolicy::Unknown };
    store.tcp_opened(&tcp, 0);
    store.tcp_bytes(&tcp, 10, 20, 0);
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

/// A store that counts two requests, of these tenants, under these rules.
fn counted(rules: &LabelRules, tenants: [&str; 2]) -> Store {
    let mut store = Store::default();
    let id = store.rules(rules);
    for tenant in tenants {
        let tags = store.tags(id, &mut |_, out| out.push_str(tenant));
        let traffic = TrafficKey {
            reporter: Reporter::Source,
            source: PeerId::default(),
            destination: PeerId::default(),
            service: ServiceId::default(),
            tags,
        };
        let key = RequestKey {
            traffic,
            protocol: Protocol::Http,
            response_code: 200,
            grpc_status: None,
            flags: ResponseFlags::NONE,
            security: SecurityPolicy::MutualTls,
        };
        let sample = RequestSample {
            duration: Some(Duration::from_millis(7)),
            wall: 1_500,
            ..RequestSample::default()
        };
        store.record_traced(&key, &sample, || {
            TraceId::of_headers(|header| {
                (header == TraceHeader::Traceparent)
                    .then_some(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".as_slice())
            })
        });
    }
    store
}

#[test]
fn overrides_add_replace_and_remove_labels_and_leave_metrics_out() {
    let mut rules = LabelRules::default();
    rules.set(Metric::Requests, "tenant_id", 0);
    rules.set(Metric::RequestBytes, "source_app", 0);
    rules.remove(Metric::Requests, "source_principal");
    rules.drop(Metric::ResponseBytes);
    let store = counted(&rules, ["acme", "a\"b"]);
    let text = render(&store.snapshot(), Exposure::All);
    let lines = |name: &str| text.lines().filter(|l| l.starts_with(name)).collect::<Vec<_>>();
    let requests = lines("istio_requests_total{");
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().any(|l| l.contains("tenant_id=\"acme\"")));
    assert!(requests.iter().any(|l| l.contains("tenant_id=\"a\\\"b\"")));
    assert!(requests.iter().all(|l| !l.contains("source_principal")));
    // Without the label both are one series.
    let durations = lines("istio_request_duration_milliseconds_count");
    assert_eq!(durations.len(), 1);
    assert!(durations[0].ends_with(" 2") && !durations[0].contains("tenant_id"), "{durations:?}");
    assert!(lines("istio_request_bytes_count").iter().any(|l| l.contains("source_app=\"acme\"")));
    assert!(lines("istio_response_bytes").is_empty() && lines("# TYPE istio_response_bytes").is_empty());
    // What the control plane is told is the same.
    let delta = Feed::default().delta(&store.snapshot(), 100);
    let named =
        |name: &str| delta.series.iter().filter(|s| delta.texts[s.name as usize] == name).collect::<Vec<_>>();
    assert_eq!(named("istio_requests_total").len(), 2);
    assert_eq!(named("istio_request_duration_milliseconds").len(), 1);
    assert!(named("istio_response_bytes").is_empty());
    assert!(delta.texts.iter().any(|t| t == "tenant_id"));
}

#[test]
fn openmetrics_has_exemplars_and_names_that_stay_the_same() {
    let snapshot = counted(&LabelRules::default(), ["a", "a"]).snapshot();
    let text = render_as(&snapshot, Exposure::All, Format::OpenMetrics);
    assert!(text.contains("# TYPE istio_requests counter\n"), "{text}");
    assert!(text.lines().any(|l| l.starts_with("istio_requests_total{") && l.ends_with(" 2")));
    let bucket = text.lines().find(|l| l.contains("le=\"10\"}")).unwrap();
    assert!(bucket.ends_with(" 2 # {trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"} 7 1.500"), "{bucket}");
    assert!(!render(&snapshot, Exposure::All).contains("trace_id"));
}
