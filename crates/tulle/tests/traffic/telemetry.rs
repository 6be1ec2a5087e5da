//! What proxies counted, asked for on the port of the dashboard.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Mesh, Spec, http_get, processes_with, report, signal};
use crate::manifests::{client, documents, echo, injected_default, service};

/// The answer to a path of the dashboard.
fn ask(mesh: &Mesh, path: &str) -> Value {
    let dashboard = mesh.ready["dashboard"].as_str().expect("the ready file names the dashboard");
    let (status, body) = http_get(&format!("{dashboard}{path}"));
    serde_json::from_str(&body).unwrap_or_else(|_| Value::String(format!("{status} {body}")))
}

/// The result of an instant query.
fn query(mesh: &Mesh, query: &str) -> Value {
    let encoded: String = query.bytes().map(|b| format!("%{b:02x}")).collect();
    ask(mesh, &format!("/api/v1/query?query={encoded}"))["data"]["result"].clone()
}

/// The one number that a query gives.
fn number(mesh: &Mesh, text: &str) -> Option<f64> {
    query(mesh, text)[0]["value"][1].as_str()?.parse().ok()
}

#[test]
fn bookinfo_is_counted_to_the_request_and_the_store_outlives_the_control_plane() {
    let mesh = Mesh::start(&Spec { args: &["--demo", "bookinfo"], ..Spec::default() });
    for _ in 0..40 {
        assert_eq!(mesh.get("/productpage").0, 200);
    }
    let served = r#"sum(istio_requests_total{reporter="destination",destination_workload="productpage-v1",response_code="200"})"#;
    let limit = Duration::from_secs(60);
    mesh.eventually("every request is told of", limit, || number(&mesh, served) == Some(40.0));
    let sent = r#"sum(istio_requests_total{reporter="source",source_workload="istio-ingressgateway"})"#;
    mesh.eventually("and by the gateway", limit, || number(&mesh, sent) == Some(40.0));

    // Each proxy tells at a time of its own.
    let details = r#"istio_requests_total{reporter="destination",destination_workload="details-v1"}"#;
    mesh.eventually("details has told", limit, || !query(&mesh, details)[0].is_null());
    let all = query(&mesh, details);
    let labels = &all[0]["metric"];
    for (label, value) in [
        ("source_workload", "productpage-v1"),
        ("source_principal", "spiffe://cluster.local/ns/default/sa/bookinfo-productpage"),
        ("destination_service", "details.default.svc.cluster.local"),
        ("connection_security_policy", "mutual_tls"),
        ("request_protocol", "http"),
        ("response_flags", "-"),
        ("namespace", "default"),
        ("app", "details"),
    ] {
        assert_eq!(labels[label], value, "{label} of {labels}");
    }
    let told = r#"sum(istio_requests_total{reporter="source",connection_security_policy="mutual_tls",destination_workload="details-v1"})"#;
    mesh.eventually("the client knows, too", limit, || number(&mesh, told).is_some_and(|n| n >= 40.0));
    let p95 = r#"histogram_quantile(0.95, sum by (le) (istio_request_duration_milliseconds_bucket{reporter="source"}))"#;
    assert!(number(&mesh, p95).is_some_and(|ms| ms > 0.0 && ms < 60_000.0));
    // Six pods with sidecars, the gateway and the control plane.
    mesh.eventually("everybody is up", limit, || number(&mesh, "count(up)") == Some(8.0));
    mesh.eventually("seven proxies", limit, || number(&mesh, "sum(pilot_xds)").is_some_and(|n| n >= 7.0));

    let before = number(&mesh, r#"count_over_time(up{app="istiod"}[10m])"#).expect("it counts itself");
    let plane = processes_with(mesh.dir.path().join("state").to_str().unwrap());
    let plane: Vec<u32> =
        plane.into_iter().filter(|pid| processes_with("control-plane").contains(pid)).collect();
    assert_eq!(plane.len(), 1, "{plane:?}");
    signal(plane[0], "KILL");
    mesh.eventually("the store is there again, with what was in it", Duration::from_secs(90), || {
        number(&mesh, r#"count_over_time(up{app="istiod"}[10m])"#).is_some_and(|n| n > before)
    });
    mesh.eventually("and proxies tell it again", limit, || number(&mesh, served) == Some(40.0));
}

/// A load generator's own count against the rates of the graph.
#[test]
fn the_graph_shows_the_rate_of_a_load_generator_within_two_percent() {
    let manifests = [
        ("base.yaml", documents(&[injected_default(), client("client", "client", "")])),
        ("echo.yaml", documents(&[echo("echo", "v1"), service("echo", "http")])),
    ];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    let began = Instant::now();
    let load = mesh.start_load("client", &["http://echo:9080/", "-d", "75", "-c", "4", "-r", "40"]);
    let graph = || ask(&mesh, "/api/graph?window=30s");
    let edge = |graph: &Value| {
        let edges = graph["edges"].as_array().cloned().unwrap_or_default();
        edges.into_iter().find(|e| e["source"] == "default/client" && e["target"] == "default/echo-v1")
    };
    // A whole window of load, and the ticks that tell of it.
    std::thread::sleep(Duration::from_secs(50).saturating_sub(began.elapsed()));
    let seen = edge(&graph()).unwrap_or_else(|| panic!("no such edge in {}", graph()));
    let told = report(load.wait_with_output().unwrap());
    let (count, seconds) = (told["requests"].as_f64().unwrap(), told["seconds"].as_f64().unwrap());
    let (rate, shown) = (count / seconds, seen["rate"].as_f64().unwrap());
    eprintln!("the generator counted {rate:.2}/s, the graph shows {shown:.2}/s: {seen}");
    assert!((shown - rate).abs() <= 0.02 * rate, "{shown} for {rate}: {told}");
    assert_eq!(seen["errorRate"], 0.0);
    assert_eq!(seen["mtls"], 1.0);
    assert_eq!(seen["protocol"], "http");
    assert!(seen["p50"].as_f64().unwrap() <= seen["p99"].as_f64().unwrap());
}
