//! Istio's routing YAML has its effect, and a changed file is in force at once.

use std::time::{Duration, Instant};

use crate::harness::{Mesh, Spec, report};
use crate::manifests::{client, documents, echo, injected_default, mission, service, split, subsets};

/// Whether `seen` of `n` is within three standard deviations of probability `p`.
fn within_three_sigma(seen: u64, n: u64, p: f64) -> bool {
    let (n, seen) = (n as f64, seen as f64);
    (seen - n * p).abs() <= 3.0 * (n * p * (1.0 - p)).sqrt()
}

/// Sends 5,000 requests to `reviews` and checks the share of subset v1; a second try keeps a true 3-sigma test from failing
/// once in 370 runs.
fn assert_share(mesh: &Mesh, p: f64) {
    for attempt in 0..2 {
        let seen = mesh.load_from(
            "client",
            &["http://reviews:9080/", "-n", "5000", "-c", "8", "-d", "120", "--count-by", "x-echo-name"],
        );
        assert_eq!(seen["status"]["200"], 5000, "{seen}");
        let v1 = seen["counted"]["reviews-v1"].as_u64().unwrap_or(0);
        eprintln!("{v1} of 5000 to v1, expected {}", 5000.0 * p);
        if within_three_sigma(v1, 5000, p) {
            return;
        }
        assert_eq!(attempt, 0, "{v1} of 5000 is not within 3 sigma of {p}: {seen}");
    }
}

fn reviews(route: String) -> Vec<(&'static str, String)> {
    vec![
        (
            "base.yaml",
            documents(&[injected_default(), service("reviews", ""), client("client", "client", "")]),
        ),
        ("echo.yaml", documents(&[echo("reviews", "v1"), echo("reviews", "v2")])),
        ("rule.yaml", subsets("reviews", &[("v1", "v1"), ("v2", "v2"), ("mobile", "v1"), ("desktop", "v2")])),
        ("route.yaml", route),
    ]
}

#[test]
fn mission_routes_by_header_and_weight() {
    let mesh = Mesh::start(&Spec { manifests: &reviews(mission("technical-02")), ..Spec::default() });
    for (agent, expected) in [("A Mobile Phone", "reviews-v1"), ("Desktop", "reviews-v2")] {
        for _ in 0..5 {
            let (status, body) =
                mesh.get_from("client", "http://reviews:9080/", &[&format!("user-agent: {agent}")]);
            assert_eq!(status, 200, "{body}");
            assert!(body.contains(&format!("\"name\":\"{expected}\"")), "{agent}: {body}");
        }
    }
    mesh.write("route.yaml", &mission("technical-03"));
    mesh.eventually("the weighted route is in force", Duration::from_secs(5), || {
        (0..10).any(|_| {
            mesh.get_from("client", "http://reviews:9080/", &["user-agent: Desktop"]).1.contains("reviews-v1")
        })
    });
    assert_share(&mesh, 0.8);
    mesh.write("route.yaml", &split("reviews", 90, 10));
    std::thread::sleep(Duration::from_secs(1));
    assert_share(&mesh, 0.9);
}

#[test]
fn an_edited_weight_is_in_force_within_a_second_without_a_failed_request() {
    let mesh = Mesh::start(&Spec { manifests: &reviews(split("reviews", 100, 0)), ..Spec::default() });
    let load = mesh.start_load(
        "client",
        &["http://reviews:9080/", "-d", "6", "-r", "300", "-c", "8", "--count-by", "x-echo-name"],
    );
    std::thread::sleep(Duration::from_secs(2));
    mesh.write("route.yaml", &split("reviews", 0, 100));
    let written = Instant::now();
    let took = mesh.eventually("the new weight is in force", Duration::from_secs(5), || {
        mesh.get_from("client", "http://reviews:9080/", &[]).1.contains("reviews-v2")
    });
    eprintln!("in force after at most {took:?}");
    assert!(written.elapsed() < Duration::from_secs(1) + Duration::from_millis(500), "{took:?}");
    let seen = report(load.wait_with_output().unwrap());
    assert_eq!(seen["errors"], serde_json::json!({}), "{seen}");
    assert_eq!(seen["status"].as_object().unwrap().keys().collect::<Vec<_>>(), ["200"], "{seen}");
    assert!(
        seen["counted"]["reviews-v1"].as_u64() > Some(0) && seen["counted"]["reviews-v2"].as_u64() > Some(0),
        "{seen}"
    );
}
