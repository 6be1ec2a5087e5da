//! Near endpoints first, and others when those fail.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Mesh, Spec};
use crate::manifests::{bin, client, documents, echo, injected_default, service};

/// The same pods, which say where they are.
fn placed(yaml: &str, labels: &str, locality: &str) -> String {
    // The labels of the template: those of the selector must not have it.
    let (before, after) = (format!("{{{labels}}}\n"), format!("{{{labels}, istio-locality: {locality}}}\n"));
    let at = yaml.rfind(&before).expect("the template has labels");
    format!("{}{after}{}", &yaml[..at], &yaml[at + before.len()..])
}

fn rule(host: &str, policy: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: {host}\nspec:\n  host: {host}\n  \
         trafficPolicy: {{{policy}}}\n"
    )
}

/// The share of each pod among answers to the client, by name.
fn shares(mesh: &Mesh, host: &str, count: u32) -> serde_json::Value {
    let (url, n) = (format!("http://{host}:9080/"), count.to_string());
    let seen =
        mesh.load_from("client", &[&url, "-n", &n, "-c", "4", "-d", "60", "--count-by", "x-echo-name"]);
    assert_eq!(seen["status"]["200"], count, "{seen}");
    seen["counted"].clone()
}

#[test]
fn near_endpoints_are_asked_first_and_others_when_they_fail() {
    let pod = |version: &str, locality: &str| {
        placed(&echo("echo", version), &format!("app: echo, version: {version}"), locality)
    };
    let client = placed(&client("client", "client", ""), "app: client", "r1.z1, team: red");
    let of_echo = |name: &str| service(name, "http").replace(&format!("app: {name}"), "app: echo");
    let manifests = [
        ("base.yaml", documents(&[injected_default(), client])),
        (
            "pods.yaml",
            documents(&[pod("near", "r1.z1"), pod("zone", "r1.z2"), pod("far", "r2.z1, team: red")]),
        ),
        ("services.yaml", documents(&["any", "near", "shared", "team", "fresh"].map(of_echo))),
        (
            "rules.yaml",
            documents(&[
                rule(
                    "near",
                    "outlierDetection: {consecutive5xxErrors: 3, maxEjectionPercent: 100, baseEjectionTime: 600s}",
                ),
                rule(
                    "shared",
                    "loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {distribute: [{from: r1/z1/*, to: {r1/*: 70, r2/*: 30}}]}}",
                ),
                rule(
                    "team",
                    "outlierDetection: {consecutive5xxErrors: 1000}, loadBalancer: {localityLbSetting: {failoverPriority: [team]}}",
                ),
                rule(
                    "fresh",
                    "loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 15s, minimumPercent: 10}}",
                ),
            ]),
        ),
    ];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    let began = Instant::now();
    let any = shares(&mesh, "any", 300);
    assert_eq!(
        any.as_object().unwrap().len(),
        3,
        "without outlier detection nobody fails over, so all are asked: {any}"
    );
    assert_eq!(shares(&mesh, "near", 100), json!({"echo-near": 100}), "the client's own zone");
    let shared = shares(&mesh, "shared", 1000);
    let far = shared["echo-far"].as_u64().unwrap_or(0);
    assert!((240..=360).contains(&far), "30 % by the rule: {shared}");
    assert_eq!(shares(&mesh, "team", 100), json!({"echo-far": 100}), "the label counts, not the place");
    // The near one is taken away: its zone is gone, and the region's other zone takes over at once.
    let others = [pod("zone", "r1.z2"), pod("far", "r2.z1, team: red")];
    mesh.write("pods.yaml", &documents(&others));
    mesh.eventually("the near pod is gone", Duration::from_secs(30), || {
        shares(&mesh, "near", 20) == json!({"echo-zone": 20})
    });
    // A new one gets little at first where that is asked for. The others have to be warm by then.
    std::thread::sleep(Duration::from_secs(15).saturating_sub(began.elapsed()));
    mesh.write("pods.yaml", &documents(&[&others[..], &[pod("late", "r1.z1")]].concat()));
    let late = |host: &str, count: u32| shares(&mesh, host, count)["echo-late"].as_u64().unwrap_or(0);
    mesh.eventually("the new pod is asked", Duration::from_secs(30), || late("fresh", 60) > 0);
    let (warming, usual) = (late("fresh", 900), late("any", 900));
    assert!((1..=180).contains(&warming), "less than half of the others' weight: {warming} of 900");
    assert!(usual > 200, "a third elsewhere: {usual} of 900");
}

#[test]
fn retries_leave_the_region_that_fails_if_they_may() {
    // Near pods answer this path with 503, the far one with 200.
    const PATH: &str = "/status/503";
    let in_group =
        |yaml: &str, labels: &str, locality: &str| placed(yaml, labels, &format!("{locality}, group: both"));
    let near = in_group(&bin("failing", 2, 9080), "app: failing", "r1.z1");
    let far = in_group(&echo("echo", "far"), "app: echo, version: far", "r2.z1");
    let client = placed(&client("client", "client", ""), "app: client", "r1.z1");
    let host = |name: &str, more: &str| {
        documents(&[
            service(name, "http").replace(&format!("app: {name}"), "group: both"),
            rule(name, "outlierDetection: {consecutive5xxErrors: 100000}"),
            format!(
                "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}}}\nspec:\n  hosts: [{name}]\n  \
                 http: [{{retries: {{attempts: 3, retryOn: 5xx{more}}}, route: [{{destination: {{host: {name}}}}}]}}]\n"
            ),
        ])
    };
    let manifests = [
        ("base.yaml", documents(&[injected_default(), client, near, far])),
        ("hosts.yaml", documents(&[host("leaves", ", retryRemoteLocalities: true"), host("stays", "")])),
    ];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    let ask = |host: &str| mesh.get_from("client", &format!("http://{host}:9080{PATH}"), &[]);
    mesh.eventually("the rules are in force", Duration::from_secs(30), || ask("leaves").0 == 200);
    for _ in 0..10 {
        let (status, body) = ask("leaves");
        assert!(
            status == 200 && body.contains("echo-far"),
            "two tries near, then elsewhere: {status} {body}"
        );
        assert_eq!(ask("stays").0, 503, "all tries near");
    }
}
