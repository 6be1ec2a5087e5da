//! What the mission writes as parts of resources, given what each lacks, and its rules for releases: what they say is measured.
//! The client alone has a sidecar, for all of it happens there.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Mesh, Spec};
use crate::manifests::{bin, client, documents, echo, mission, namespace, near, service, subsets, within};

/// A part of a resource with the name that it lacks, and with `spec` in front of what it says.
fn complete(part: &str, name: &str, spec: &str) -> String {
    let head = format!("metadata:\n  name: {name}\n  namespace: {name}\nspec:\n{spec}");
    let whole = mission(part).replacen("spec:\n", &head, 1);
    assert!(whole.contains(&head), "{part}: {whole}");
    whole
}

/// The retries of resilience-04 with what is said of retries elsewhere: how often, and that a slow try counts as failed.
fn complete_04() -> String {
    let whole = complete("resilience-04", "fourth", "  hosts: [payment-service]\n");
    let more = "    retries:\n      attempts: 2\n      retryOn: 5xx,reset,connect-failure,refused-stream\n";
    let retries = whole.replacen("    retries:\n", more, 1);
    assert_ne!(retries, whole);
    retries
}

/// Pods of the echo program whose label says another version than their name.
fn release(app: &str, name: &str, version: &str) -> String {
    echo(app, name).replace(&format!("version: {name}}}"), &format!("version: {version}}}"))
}

fn manifests() -> Vec<(&'static str, String)> {
    let at = |ns: &str, parts: &[String]| documents(&[namespace(ns, false), within(ns, &documents(parts))]);
    let first = "  hosts: [order-service]\n  http: [{route: [{destination: {host: order-service}}]}]\n";
    // Nobody listens on the other port.
    let closed = bin("order-service", 1, 9080).replace(
        "  - port: 9080\n",
        "  - {name: http-closed, port: 9081, targetPort: 8099}\n  - port: 9080\n",
    );
    let echoes = |names: &[&str]| -> Vec<String> {
        let mut all: Vec<String> = names.iter().map(|name| echo("order-service", name)).collect();
        all.push(service("order-service", "http"));
        all.push(subsets("order-service", &names.iter().map(|n| (*n, *n)).collect::<Vec<_>>()));
        all
    };
    let releases = [
        release("order-service", "stable", "v1.4.2"),
        release("order-service", "canary", "v1.5.0"),
        service("order-service", "http"),
    ];
    vec![
        ("client.yaml", documents(&[namespace("default", true), client("client", "client", "")])),
        ("first.yaml", at("first", &[closed])),
        ("resilience-01.yaml", complete("resilience-01", "first", first)),
        ("fourth.yaml", at("fourth", &[bin("payment-service", 1, 9080)])),
        ("resilience-04.yaml", complete_04()),
        ("fifth.yaml", at("fifth", &[bin("order-service", 2, 9080)])),
        ("resilience-05.yaml", complete("resilience-05", "fifth", "  host: order-service\n")),
        ("sixth.yaml", at("sixth", &echoes(&["v1", "v2"]))),
        ("resilience-06.yaml", complete("resilience-06", "sixth", "  hosts: [order-service]\n")),
        ("releases.yaml", at("order-prod", &releases)),
        ("standards-03.yaml", mission("standards-03")),
        // Both documents have one name: this one stands in a namespace of its own.
        ("shadow.yaml", at("order-shadow", &echoes(&["stable", "shadow"]))),
        ("standards-04.yaml", mission("standards-04").replace("order-prod", "order-shadow")),
        ("staging.yaml", at("order-staging", &[bin("inventory-service", 1, 9080)])),
        ("standards-05.yaml", mission("standards-05")),
    ]
}

#[test]
fn the_missions_parts_and_releases_do_what_they_say() {
    let mesh = Mesh::start(&Spec { manifests: &manifests(), ..Spec::default() });
    std::thread::scope(|all| {
        all.spawn(|| each_try_and_the_whole_have_their_time(&mesh));
        all.spawn(|| a_whole_of_three_tries(&mesh));
        all.spawn(|| the_less_busy_pod_gets_more(&mesh));
        all.spawn(|| some_are_delayed_and_some_aborted(&mesh));
        all.spawn(|| {
            a_header_or_one_in_ten_goes_to_v2(&mesh);
            one_in_ten_goes_to_the_new_release(&mesh);
            one_in_ten_is_mirrored(&mesh);
        });
    });
}

fn stat(mesh: &Mesh, host: &str, port: u16, name: &str) -> u64 {
    let (_, text) = mesh.get_from("client", "http://127.0.0.1:15000/stats", &[]);
    let line = format!("cluster.outbound|{port}||{host}.svc.cluster.local.{name}: ");
    text.lines().find_map(|l| l.strip_prefix(&line)?.trim().parse().ok()).unwrap_or(0)
}

/// How long it takes until a request has ended, and how: the status and body, or curl's words.
fn timed(mesh: &Mesh, url: &str) -> (u16, String, Duration) {
    let began = Instant::now();
    let curl = [mesh.binary(), "lab", "curl", "-s", "-m", "60", "-w", "\n%{http_code}", url];
    let output = mesh.exec("default", "client", &curl).output().unwrap();
    let took = began.elapsed();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match text.rsplit_once('\n') {
        Some((body, code)) => (code.trim().parse().unwrap_or(0), body.to_owned(), took),
        None => (0, String::from_utf8_lossy(&output.stderr).into_owned(), took),
    }
}

/// resilience-01: `attempts: 3`, `perTryTimeout: 5s`, `timeout: 15s`.
fn each_try_and_the_whole_have_their_time(mesh: &Mesh) {
    let host = "order-service.first";
    std::thread::scope(|all| {
        all.spawn(|| {
            // By Istio's default conditions a slow try is not repeated.
            let (status, body, took) = timed(mesh, &format!("http://{host}:9080/delay/20"));
            eprintln!("resilience-01: a slow answer ended after {took:?}");
            assert_eq!((status, body.as_str()), (504, "upstream request timeout"), "after {took:?}");
            assert!(took > Duration::from_millis(4900) && took < Duration::from_secs(15), "{took:?}");
        });
        all.spawn(|| {
            // The head is there in time for the try; the rest is not for the whole.
            let (status, said, took) =
                timed(mesh, &format!("http://{host}:9080/drip?duration=40&numbytes=80"));
            eprintln!("resilience-01: a dripping answer ended after {took:?}: {said}");
            assert_eq!(status, 0, "it never looks whole: {said}");
            assert!(took > Duration::from_millis(14_900) && took < Duration::from_secs(35), "{took:?}");
        });
    });
    let before = stat(mesh, host, 9081, "upstream_rq_retry");
    assert_eq!(timed(mesh, &format!("http://{host}:9081/")).0, 503);
    assert_eq!(
        stat(mesh, host, 9081, "upstream_rq_retry") - before,
        3,
        "no connection is tried three times more"
    );
}

/// resilience-04: "Total request timeout" of 15 s, "Each retry attempt timeout" of 5 s: tries at 0, 5 and 10 s.
fn a_whole_of_three_tries(mesh: &Mesh) {
    let host = "payment-service.fourth";
    let (status, body, took) = timed(mesh, &format!("http://{host}:9080/delay/40"));
    eprintln!("resilience-04: a slow answer ended after {took:?}");
    assert_eq!((status, body.as_str()), (504, "upstream request timeout"), "after {took:?}");
    assert!(took > Duration::from_millis(14_900) && took < Duration::from_secs(35), "{took:?}");
    assert_eq!(stat(mesh, host, 9080, "upstream_rq_retry"), 2, "three tries");
    assert!(stat(mesh, host, 9080, "upstream_rq_per_try_timeout") >= 2);
}

/// resilience-05: "Route to least busy instance". While one pod is busy with a single request, the other gets three of four:
/// the less busy one of two that are drawn, which may be the same.
fn the_less_busy_pod_gets_more(mesh: &Mesh) {
    let pods: Vec<String> = (mesh.ready["pods"].as_array().unwrap().iter())
        .filter(|p| p["namespace"] == "fifth")
        .filter_map(|p| Some(p["name"].as_str()?.to_owned()))
        .collect();
    assert_eq!(pods.len(), 2, "{}", mesh.ready["pods"]);
    let url = |path: &str| format!("http://order-service.fifth:9080{path}");
    // Its requests must all come while the other one is busy; on a very slow machine there is a second try.
    for _ in 0..3 {
        let (busy, seen) = std::thread::scope(|all| {
            let busy = all.spawn(|| timed(mesh, &url("/delay/12")));
            mesh.eventually("the slow request is under way", Duration::from_secs(10), || {
                let (_, text) = mesh.get_from("client", "http://127.0.0.1:15000/clusters", &[]);
                text.lines().any(|l| l.contains("order-service.fifth.") && l.ends_with("::rq_active::1"))
            });
            let get = url("/get");
            let args =
                [&get, "-n", "300", "-c", "1", "-d", "9", "--count-text", &pods[0], "--count-text", &pods[1]];
            let seen = mesh.load_from("client", &args);
            (busy.join().unwrap().1, seen)
        });
        let busy = serde_json::from_str::<Value>(&busy).unwrap()["pod"].as_str().unwrap().to_owned();
        let n = seen["requests"].as_u64().unwrap();
        let other = pods.iter().find(|p| **p != busy).unwrap();
        let idle = seen["counted"][other].as_u64().unwrap_or(0);
        eprintln!("resilience-05: {idle} of {n} went to the idle pod");
        assert_eq!(seen["status"]["200"], n, "{seen}");
        if n >= 100 {
            assert!(near(idle, n, 0.75), "{idle} of {n}: {seen}");
            return;
        }
    }
    panic!("too slow for a hundred requests in nine seconds");
}

/// What of `n` requests comes from which pod.
fn shares(mesh: &Mesh, host: &str, n: u64, header: &str) -> Value {
    let (url, count) = (format!("http://{host}:9080/"), n.to_string());
    let args = [&url, "-n", &count, "-c", "4", "-d", "60", "--count-by", "x-echo-name", "-H", header];
    let seen = mesh.load_from("client", &args);
    assert_eq!(seen["status"]["200"], n, "{seen}");
    seen["counted"].clone()
}

/// resilience-06: `x-version: v2` gets v2; of all others "10% to new version".
fn a_header_or_one_in_ten_goes_to_v2(mesh: &Mesh) {
    let host = "order-service.sixth";
    assert_eq!(shares(mesh, host, 50, "x-version: v2"), json!({"order-service-v2": 50}));
    let seen = shares(mesh, host, 1000, "x-version: v1");
    eprintln!("resilience-06: {seen}");
    assert!(near(seen["order-service-v2"].as_u64().unwrap_or(0), 1000, 0.1), "{seen}");
}

/// standards-03: 90 to stable, which is v1.4.2, and 10 to canary, which is v1.5.0.
fn one_in_ten_goes_to_the_new_release(mesh: &Mesh) {
    let seen = shares(mesh, "order-service.order-prod", 1000, "x: y");
    eprintln!("standards-03: {seen}");
    assert!(near(seen["order-service-canary"].as_u64().unwrap_or(0), 1000, 0.1), "{seen}");
}

/// standards-04: answers come from stable; shadow gets a tenth of the requests as well, whose answers nobody sees.
fn one_in_ten_is_mirrored(mesh: &Mesh) {
    let host = "order-service.order-shadow";
    let copies = || {
        let (_, text) = mesh.get_from("client", "http://127.0.0.1:15000/stats", &[]);
        let line = format!("cluster.outbound|9080|shadow|{host}.svc.cluster.local.upstream_rq_completed: ");
        text.lines().find_map(|l| l.strip_prefix(&line)?.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    assert_eq!(shares(mesh, host, 1000, "x: y"), json!({"order-service-stable": 1000}));
    // Copies may come later than the answers.
    mesh.eventually("copies have arrived", Duration::from_secs(20), || near(copies(), 1000, 0.1));
    std::thread::sleep(Duration::from_millis(300));
    eprintln!("standards-04: {} of 1000 were mirrored", copies());
    assert!(near(copies(), 1000, 0.1), "{}", copies());
}

/// standards-05: 10 % are delayed by 3 s, 5 % are answered 503.
fn some_are_delayed_and_some_aborted(mesh: &Mesh) {
    let url = "http://inventory-service.order-staging:9080/get";
    let seen = mesh.load_from("client", &[url, "-n", "400", "-c", "20", "-d", "100", "--count-slow", "2.9"]);
    let aborted = seen["status"]["503"].as_u64().unwrap_or(0);
    let slow = seen["counted"]["slow"].as_u64().unwrap_or(0);
    eprintln!("standards-05: {slow} of 400 were delayed, {aborted} aborted");
    assert_eq!(seen["status"]["200"].as_u64().unwrap_or(0) + aborted, 400, "{seen}");
    assert!(near(slow, 400, 0.1) && near(aborted, 400, 0.05), "{seen}");
}
