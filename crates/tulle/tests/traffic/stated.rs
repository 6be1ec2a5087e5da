//! The traffic YAML of the mission has its stated effect, measured. One mesh, everything at the same time: most of it waits.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Mesh, Spec};
use crate::manifests::{bin, client, documents, echo, mission, namespace, near, service, subsets, within};

/// Pods of the echo program with a label of the mission's tenant pools.
fn pool(version: &str, tier: &str) -> String {
    echo("payment-service", version).replace(
        &format!("labels: {{app: payment-service, version: {version}}}"),
        &format!("labels: {{app: payment-service, version: {version}, tenant-tier: {tier}}}"),
    )
}

fn manifests() -> Vec<(&'static str, String)> {
    let here =
        |name: &str, parts: &[String]| documents(&[namespace(name, true), within(name, &documents(parts))]);
    let payment = [echo("payment-service", "v1"), echo("payment-service", "v2")];
    let canary = documents(&[payment[0].clone(), payment[1].clone(), service("payment-service", "http")]);
    let ends = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: ending\n  annotations: \
                {tulle.io/fault-expires: 60s}\nspec:\n  hosts: [ending]\n  http:\n  - fault: {abort: {httpStatus: 418, \
                percentage: {value: 100}}}\n    route: [{destination: {host: ending}}]\n";
    vec![
        ("client.yaml", documents(&[namespace("default", true), client("client", "client", "")])),
        (
            "core.yaml",
            documents(&[
                namespace("platform-core", true),
                within("platform-core", &bin("order-service", 2, 8084)),
            ]),
        ),
        ("resilience-02.yaml", mission("resilience-02")),
        ("resilience-03.yaml", mission("resilience-03")),
        ("faults.yaml", here("faults", &[bin("account-service", 1, 9080), bin("ratings", 1, 9080)])),
        ("istio-architecture-04.yaml", within("faults", &mission("istio-architecture-04"))),
        ("technical-04.yaml", within("faults", &mission("technical-04"))),
        ("retries.yaml", here("retries", &[bin("service-a", 1, 9080)])),
        ("technical-06.yaml", within("retries", &mission("technical-06"))),
        (
            "mirrors.yaml",
            here(
                "mirrors",
                &[
                    echo("service-a", "v1"),
                    echo("service-a", "v2"),
                    service("service-a", "http"),
                    subsets("service-a", &[("v1", "v1"), ("v2", "v2")]),
                ],
            ),
        ),
        ("technical-05.yaml", within("mirrors", &mission("technical-05"))),
        ("canary.yaml", here("canary", &[canary])),
        ("istio-architecture-03.yaml", within("canary", &mission("istio-architecture-03"))),
        (
            "pools.yaml",
            here(
                "pools",
                &[
                    pool("v1", "premium"),
                    pool("v2", "standard"),
                    pool("v3", "basic"),
                    service("payment-service", "http"),
                ],
            ),
        ),
        ("istio-architecture-06.yaml", within("pools", &mission("istio-architecture-06"))),
        ("ending.yaml", documents(&[bin("ending", 1, 9080), ends.into()])),
    ]
}

#[test]
fn the_missions_traffic_yaml_does_what_it_says() {
    let mesh = Mesh::start(&Spec { manifests: &manifests(), ..Spec::default() });
    // First those that count on few requests at a time; the waits are side by side.
    a_fault_ends_at_its_time(&mesh, false);
    std::thread::scope(|all| {
        all.spawn(|| five_errors_take_a_pod_out_for_thirty_seconds(&mesh));
        all.spawn(|| a_request_ends_at_its_timeout(&mesh));
        all.spawn(|| an_answer_ends_at_its_timeout(&mesh));
        all.spawn(|| half_of_the_requests_are_delayed(&mesh));
        all.spawn(|| some_requests_are_delayed_and_some_aborted(&mesh));
        all.spawn(|| {
            retries_hide_a_third_of_failures(&mesh);
            every_request_is_mirrored_once(&mesh);
            one_in_ten_goes_to_the_canary(&mesh);
            tenants_have_their_pools(&mesh);
        });
    });
    a_fault_ends_at_its_time(&mesh, true);
}

/// The circuits of a host as the client's proxy has them, by address.
fn circuits(mesh: &Mesh, host: &str) -> BTreeMap<String, String> {
    let (_, text) = mesh.get_from("client", "http://127.0.0.1:15000/clusters", &[]);
    text.lines()
        .filter(|l| l.starts_with("outbound|") && l.contains(host))
        .filter_map(|l| l.rsplit_once("::circuit::"))
        .map(|(endpoint, state)| (endpoint.to_owned(), state.to_owned()))
        .collect()
}

/// The same by `tulle proxy-config endpoints`: the words of each row.
fn shown_circuits(mesh: &Mesh, host: &str) -> Vec<Vec<String>> {
    let state = mesh.dir.path().join("state");
    let args = ["proxy-config", "endpoints", "--state-dir", state.to_str().unwrap(), "client"];
    let output = mesh.tulle(&args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let rows = text.lines().filter(|line| line.contains("outbound|") && line.contains(host));
    rows.map(|row| row.split_whitespace().map(str::to_owned).collect()).collect()
}

/// resilience-02: "Open after 5 errors", "Eject for 30s", "Max 50% of instances".
fn five_errors_take_a_pod_out_for_thirty_seconds(mesh: &Mesh) {
    const HOST: &str = "order-service.platform-core";
    let url = |path: &str| format!("http://{HOST}:8084{path}");
    let open = || circuits(mesh, HOST).values().filter(|state| *state == "open").count();
    assert_eq!(circuits(mesh, HOST).len(), 2, "{:?}", circuits(mesh, HOST));
    assert_eq!(open(), 0);
    // Four tries each, by the retries of resilience-03: five errors of one pod are there with the third request.
    for _ in 0..4 {
        assert_eq!(mesh.get_from("client", &url("/status/503"), &[]).0, 503);
    }
    let since = Instant::now();
    assert_eq!(open(), 1, "one of two, which is half");
    let shown = shown_circuits(mesh, HOST);
    let ejected = |row: &&Vec<String>| row[2] == "FAILED" && row[4] == "open" && row[5] == "1";
    assert_eq!(shown.len(), 2, "{shown:?}");
    assert_eq!(shown.iter().filter(ejected).count(), 1, "{shown:?}");
    let pods: std::collections::BTreeSet<String> = (0..6)
        .map(|_| {
            let (status, body) = mesh.get_from("client", &url("/get"), &[]);
            assert_eq!(status, 200, "{body}");
            serde_json::from_str::<Value>(&body).unwrap()["pod"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(pods.len(), 1, "the other one gets everything: {pods:?}");
    mesh.eventually("it is asked again", Duration::from_secs(90), || {
        std::thread::sleep(Duration::from_millis(500));
        open() == 0
    });
    let out = since.elapsed();
    eprintln!("a pod was out for {out:?}");
    // It comes back with the first check, every 30 s, after its 30 s are over.
    assert!(out > Duration::from_secs(26), "{out:?}");
    assert!(circuits(mesh, HOST).values().any(|state| state == "half_open"), "{:?}", circuits(mesh, HOST));
    let shown = shown_circuits(mesh, HOST);
    assert!(shown.iter().any(|row| row[2] == "OK" && row[4] == "half_open" && row[5] == "1"), "{shown:?}");
    let both = || {
        let (status, body) = mesh.get_from("client", &url("/get"), &[]);
        status == 200
            && !pods.contains(serde_json::from_str::<Value>(&body).unwrap()["pod"].as_str().unwrap())
    };
    mesh.eventually("the pod answers again", Duration::from_secs(30), both);
    let closed = || circuits(mesh, HOST).values().all(|state| state == "closed");
    mesh.eventually("its circuit is closed", Duration::from_secs(30), closed);
}

/// resilience-03 and technical-06: 10 s in all and 2 s for each of four tries, and not the 20 s that the service takes.
fn a_request_ends_at_its_timeout(mesh: &Mesh) {
    let began = Instant::now();
    let (status, body) = mesh.get_from("client", "http://service-a.retries:9080/delay/20", &[]);
    let took = began.elapsed();
    assert_eq!((status, body.as_str()), (504, "upstream request timeout"), "after {took:?}");
    eprintln!("a request of 20 s ended after {took:?}");
    assert!(took > Duration::from_millis(7900) && took < Duration::from_secs(16), "{took:?}");
    assert_eq!(mesh.get_from("client", "http://service-a.retries:9080/delay/1", &[]).0, 200);
}

/// technical-06: an answer that begins in time and then drips for 20 s is cut off at 10 s, and never looks whole.
fn an_answer_ends_at_its_timeout(mesh: &Mesh) {
    let began = Instant::now();
    let url = "http://service-a.retries:9080/drip?duration=20&numbytes=40";
    let (status, said) = mesh.get_from("client", url, &[]);
    let took = began.elapsed();
    eprintln!("an answer that takes 20 s was cut off after {took:?}: {said}");
    assert_eq!(status, 0, "{said}");
    assert!(took > Duration::from_millis(9900) && took < Duration::from_secs(18), "{took:?}");
}

/// istio-architecture-04: "Inject 5-second delay for 50% of requests".
fn half_of_the_requests_are_delayed(mesh: &Mesh) {
    let url = "http://account-service.faults:9080/get";
    let seen = mesh.load_from("client", &[url, "-n", "160", "-c", "40", "-d", "100", "--count-slow", "4.9"]);
    assert_eq!(seen["status"]["200"], 160, "{seen}");
    let slow = seen["counted"]["slow"].as_u64().unwrap_or(0);
    eprintln!("{slow} of 160 were delayed: {seen}");
    assert!(near(slow, 160, 0.5), "{seen}");
}

/// technical-04: 10 % are delayed by 5 s, 5 % are answered 503.
fn some_requests_are_delayed_and_some_aborted(mesh: &Mesh) {
    let url = "http://ratings.faults:9080/get";
    let seen = mesh.load_from("client", &[url, "-n", "400", "-c", "40", "-d", "100", "--count-slow", "4.9"]);
    let aborted = seen["status"]["503"].as_u64().unwrap_or(0);
    let slow = seen["counted"]["slow"].as_u64().unwrap_or(0);
    eprintln!("{slow} of 400 were delayed, {aborted} aborted: {seen}");
    assert_eq!(seen["status"]["200"].as_u64().unwrap_or(0) + aborted, 400, "{seen}");
    assert!(near(slow, 400, 0.1) && near(aborted, 400, 0.05), "{seen}");
}

/// technical-06: 30 % of all tries fail, and with three retries 98 to 99 % of the requests succeed.
fn retries_hide_a_third_of_failures(mesh: &Mesh) {
    let url = "http://service-a.retries:9080/unstable?failure_rate=0.3";
    let seen = mesh.load_from("client", &[url, "-n", "1500", "-c", "4", "-d", "120"]);
    let good = seen["status"]["200"].as_u64().unwrap_or(0);
    eprintln!("{good} of 1500 succeeded: {seen}");
    assert!(good >= 1470 && seen["errors"] == serde_json::json!({}), "{seen}");
    let (_, stats) = mesh.get_from("client", "http://127.0.0.1:15000/stats", &[]);
    let name = "cluster.outbound|9080||service-a.retries.svc.cluster.local.upstream_rq_retry: ";
    let retries: u64 = stats.lines().find_map(|l| l.strip_prefix(name)?.parse().ok()).unwrap_or(0);
    // 0.3 + 0.09 + 0.027 for each.
    assert!((500..=750).contains(&retries), "{retries} retries");
}

/// technical-05: answers come from v1, and v2 gets a copy of each request, whose answer nobody sees.
fn every_request_is_mirrored_once(mesh: &Mesh) {
    let got = |version: &str| {
        let pod = format!("mirrors/service-a-{version}");
        let (_, text) = mesh.get_from(&pod, "http://127.0.0.1:15000/stats", &[]);
        let line = text.lines().find_map(|l| l.strip_prefix("cluster.inbound|8080||.upstream_rq_total: "));
        line.and_then(|n| n.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    let before = (got("v1"), got("v2"));
    let url = "http://service-a.mirrors:9080/";
    let seen =
        mesh.load_from("client", &[url, "-n", "300", "-c", "4", "-d", "60", "--count-by", "x-echo-name"]);
    assert_eq!(seen["counted"], serde_json::json!({"service-a-v1": 300}), "{seen}");
    mesh.eventually("every copy has arrived", Duration::from_secs(20), || got("v2") - before.1 >= 300);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!((got("v1") - before.0, got("v2") - before.1), (300, 300), "each once");
}

/// istio-architecture-03: "Route 90% to v1, 10% to v2", "Standard Bank gets v2".
fn one_in_ten_goes_to_the_canary(mesh: &Mesh) {
    let run = |headers: &[&str], n: &str| {
        let url = "http://payment-service.canary:9080/";
        let mut args = vec![url, "-n", n, "-c", "4", "-d", "60", "--count-by", "x-echo-name"];
        headers.iter().for_each(|h| args.extend(["-H", h]));
        mesh.load_from("client", &args)["counted"].clone()
    };
    assert_eq!(run(&["x-tenant-id: STD-001"], "50"), serde_json::json!({"payment-service-v2": 50}));
    let seen = run(&[], "1500");
    let canary = seen["payment-service-v2"].as_u64().unwrap_or(0);
    eprintln!("{canary} of 1500 to the canary");
    assert!(near(canary, 1500, 0.1), "{seen}");
}

/// istio-architecture-06: each tenant has its pool.
fn tenants_have_their_pools(mesh: &Mesh) {
    for (tenant, pod) in [("STD-001", "v1"), ("NED-001", "v2"), ("ABC-001", "v3")] {
        let header = format!("x-tenant-id: {tenant}");
        let url = "http://payment-service.pools:9080/";
        let args = [url, "-n", "30", "-c", "2", "-d", "60", "--count-by", "x-echo-name", "-H", &header];
        let seen = mesh.load_from("client", &args);
        assert_eq!(seen["counted"], serde_json::json!({format!("payment-service-{pod}"): 30}), "{seen}");
    }
}

/// Our own annotation: a forgotten experiment ends by itself, and its status says so.
fn a_fault_ends_at_its_time(mesh: &Mesh, over: bool) {
    let status = || mesh.get_from("client", "http://ending:9080/get", &[]).0;
    if !over {
        return assert_eq!(status(), 418, "the experiment goes on");
    }
    mesh.eventually("the experiment ends", Duration::from_secs(120), || status() == 200);
}
