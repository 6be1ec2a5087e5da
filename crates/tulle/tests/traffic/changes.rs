//! Changes of traffic rules under load: no request fails and no connection is lost.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Mesh, Spec, report};
use crate::manifests::{client, documents, echo, injected_default, service};

/// The rules of one round: weights, subsets, timeouts, retries and TLS all differ from the round before.
fn rules(round: u32) -> String {
    let v1 = [90, 10, 50, 100][(round % 4) as usize];
    let timeout = [10, 15, 30][(round % 3) as usize];
    // From mutual TLS to another name, to none, and back.
    let tls = ["", "tls: {mode: ISTIO_MUTUAL, sni: echo.example.com}", "tls: {mode: DISABLE}"];
    let tls = tls[(round % 3) as usize];
    // The subset of v2 has another name in each round: the routes move on before the old one goes.
    let v2 = format!("v2-{}", round % 2);
    let old = format!("v2-{}", (round + 1) % 2);
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: echo\nspec:\n  host: echo\n  \
         trafficPolicy:\n    {tls}\n    connectionPool: {{tcp: {{maxConnections: {}}}}}\n  subsets:\n  \
         - {{name: v1, labels: {{version: v1}}}}\n  - {{name: {v2}, labels: {{version: v2}}}}\n  \
         - {{name: {old}, labels: {{version: v2}}}}\n---\n\
         apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: echo\nspec:\n  hosts: [echo]\n  http:\n  \
         - timeout: {timeout}s\n    retries: {{attempts: {}}}\n    route:\n    \
         - destination: {{host: echo, subset: v1}}\n      weight: {v1}\n    \
         - destination: {{host: echo, subset: {v2}}}\n      weight: {}\n",
        1000 + round,
        1 + round % 3,
        100 - v1,
    )
}

/// 500 connections with requests and 200 upgraded ones, while the rules change several times a second. A short run with fewer
/// requests by default; with `TULLE_SOAK_SECONDS` so long, and 1,000 requests per second.
#[test]
fn rules_change_under_load_without_a_failure() {
    let soak: Option<u64> = std::env::var("TULLE_SOAK_SECONDS").ok().and_then(|s| s.parse().ok());
    let (seconds, rate) = soak.map_or((12, 250), |seconds| (seconds, 1000));
    let manifests = [
        ("base.yaml", documents(&[injected_default(), service("echo", "http")])),
        ("pods.yaml", documents(&[echo("echo", "v1"), echo("echo", "v2"), client("client", "client", "")])),
        ("rules.yaml", rules(0)),
    ];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    let (duration, rate) = (seconds.to_string(), rate.to_string());
    let hold = [mesh.binary(), "lab", "hold", "echo:9080", "--upgrade", "-c", "200", "-d", &duration];
    let held = mesh
        .exec("default", "client", &hold)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let load = mesh.start_load("client", &["http://echo:9080/", "-d", &duration, "-r", &rate, "-c", "500"]);
    let began = Instant::now();
    let mut round = 0;
    while began.elapsed() < Duration::from_secs(seconds) {
        std::thread::sleep(Duration::from_millis(400));
        round += 1;
        mesh.write("rules.yaml", &rules(round));
    }
    let seen = report(load.wait_with_output().unwrap());
    let held = report(held.wait_with_output().unwrap());
    eprintln!("{round} changes: {seen} {held}");
    assert_eq!(seen["errors"], json!({}), "{seen}");
    assert_eq!(seen["status"].as_object().unwrap().keys().collect::<Vec<_>>(), ["200"], "{seen}");
    assert_eq!(held["failures"], json!({}), "{held}");
    assert_eq!(held["connections"], 200, "{held}");
}
