//! What Istio ignores in the mission's own YAML has the effect that it says.

use std::time::Duration;

use crate::harness::{Mesh, Spec};
use crate::manifests::{client, documents, echo, injected_default, mission, namespace, service, within};

/// Pods of httpbin, labelled `app: bin`.
fn bin(name: &str, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\nspec:\n  replicas: {replicas}\n  selector:\n    \
         matchLabels: {{app: {name}}}\n  template:\n    metadata:\n      labels: {{app: {name}}}\n    spec:\n      containers:\n      \
         - name: bin\n        image: mccutchen/go-httpbin:2\n        ports:\n        - containerPort: 8080\n        \
         readinessProbe:\n          tcpSocket: {{port: 8080}}\n          periodSeconds: 1\n"
    )
}

/// A Service `name` in front of the pods of `bin`.
fn in_front_of_bin(name: &str) -> String {
    service(name, "http").replace(&format!("app: {name}"), "app: bin")
}

fn rule(host: &str, policy: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: {host}\nspec:\n  host: {host}\n  \
         trafficPolicy: {{{policy}}}\n"
    )
}

/// Status and number of answers to `count` requests, one after the other.
fn statuses(mesh: &Mesh, url: &str, count: u32) -> serde_json::Value {
    let n = count.to_string();
    mesh.load_from("client", &[url, "-n", &n, "-c", "1", "-d", "60"])["status"].clone()
}

/// A statistic of the client's proxy.
fn stat(mesh: &Mesh, name: &str) -> u64 {
    let (status, text) = mesh.get_from("client", "http://127.0.0.1:15000/stats", &[]);
    assert_eq!(status, 200, "{text}");
    let value = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
    value.and_then(|v| v.trim().parse().ok()).unwrap_or(0)
}

#[test]
fn what_istio_ignores_has_the_effect_that_is_written() {
    let far = 60;
    let outlier = |more: &str| {
        format!(
            "outlierDetection: {{consecutiveErrors: 3, {more}, interval: {far}s, baseEjectionTime: {far}s, maxEjectionPercent: 100}}"
        )
    };
    let services = ["gateway-errors", "other-errors", "never-ejects", "defaults"].map(in_front_of_bin);
    let manifests = [
        ("base.yaml", documents(&[injected_default(), client("client", "client", ""), bin("bin", 1)])),
        ("services.yaml", documents(&services)),
        (
            "rules.yaml",
            documents(&[
                rule("gateway-errors", &outlier("consecutive5xxErrors: 0")),
                rule("other-errors", &outlier("consecutiveGatewayErrors: 0")),
                rule("never-ejects", "outlierDetection: {consecutive5xxErrors: 1}"),
            ]),
        ),
        ("defaults.yaml", defaults()),
        // The mission's own, word for word.
        ("account.yaml", documents(&[bin("account-service", 2), service("account-service", "http")])),
        ("istio-architecture-02.yaml", mission("istio-architecture-02")),
        ("inventory.yaml", inventory()),
        ("standards-06.yaml", mission("standards-06")),
        ("payment.yaml", payment()),
        ("standards-02.yaml", mission("standards-02")),
    ];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    consecutive_errors_are_of_both_sorts(&mesh);
    the_missions_circuit_breaker_opens(&mesh);
    a_small_pool_never_ejects_by_default(&mesh);
    a_destination_rule_gives_default_retries(&mesh);
    a_virtual_service_gives_defaults_to_its_routes(&mesh);
    an_inner_star_is_one_segment(&mesh);
}

/// `consecutiveErrors: N` ejects after N gateway errors, and after N errors of the other sort.
fn consecutive_errors_are_of_both_sorts(mesh: &Mesh) {
    let gateway = |path: &str| format!("http://gateway-errors:9080{path}");
    assert_eq!(
        statuses(mesh, &gateway("/status/500"), 6),
        serde_json::json!({"500": 6}),
        "500 is no gateway error"
    );
    assert_eq!(mesh.get_from("client", &gateway("/get"), &[]).0, 200, "a success ends the row");
    assert_eq!(statuses(mesh, &gateway("/status/503"), 3), serde_json::json!({"503": 3}));
    assert_eq!(mesh.get_from("client", &gateway("/get"), &[]), (503, "no healthy upstream".into()));

    let other = |path: &str| format!("http://other-errors:9080{path}");
    assert_eq!(statuses(mesh, &other("/status/500"), 2), serde_json::json!({"500": 2}));
    assert_eq!(mesh.get_from("client", &other("/get"), &[]).0, 200, "two in a row are not three");
    assert_eq!(statuses(mesh, &other("/status/500"), 3), serde_json::json!({"500": 3}));
    assert_eq!(mesh.get_from("client", &other("/get"), &[]), (503, "no healthy upstream".into()));
}

/// The mission's circuit breaker: five errors in a row take a pod out, and at most half of the pods.
fn the_missions_circuit_breaker_opens(mesh: &Mesh) {
    let out = || {
        let (_, text) = mesh.get_from("client", "http://127.0.0.1:15000/clusters", &[]);
        let flags = text
            .lines()
            .filter(|l| l.starts_with("outbound|9080||account-service.") && l.contains("health_flags"));
        flags.filter(|l| l.contains("failed_outlier_check")).count()
    };
    assert_eq!(statuses(mesh, "http://account-service:9080/status/503", 4), serde_json::json!({"503": 4}));
    assert_eq!(out(), 0, "no pod had five errors");
    assert_eq!(statuses(mesh, "http://account-service:9080/status/503", 36), serde_json::json!({"503": 36}));
    assert_eq!(out(), 1, "one of two, which is half");
    let pods: std::collections::BTreeSet<String> = (0..4)
        .map(|_| {
            let (status, body) = mesh.get_from("client", "http://account-service:9080/get", &[]);
            assert_eq!(status, 200, "{body}");
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            body["pod"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(pods.len(), 1, "the other one gets everything: {pods:?}");
}

/// As in Istio: a tenth of one host is none.
fn a_small_pool_never_ejects_by_default(mesh: &Mesh) {
    assert_eq!(statuses(mesh, "http://never-ejects:9080/status/500", 10), serde_json::json!({"500": 10}));
    assert_eq!(mesh.get_from("client", "http://never-ejects:9080/get", &[]).0, 200);
}

/// The service of the mission's standards-06, and a VirtualService that sets retries for one path only.
fn inventory() -> String {
    let routes = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: inventory-service\nspec:\n  \
                  hosts: [inventory-service]\n  http:\n  - match: [{uri: {exact: /status/502}}]\n    \
                  route: [{destination: {host: inventory-service}}]\n    retries: {attempts: 1, retryOn: 5xx}\n  \
                  - route: [{destination: {host: inventory-service}}]\n";
    let objects = [bin("inventory-service", 1), service("inventory-service", "http"), routes.into()];
    documents(&[namespace("inventory-prod", true), within("inventory-prod", &documents(&objects))])
}

/// `trafficPolicy.retries` of the mission: three, where the VirtualService sets none.
fn a_destination_rule_gives_default_retries(mesh: &Mesh) {
    let retries = || {
        stat(
            mesh,
            "cluster.outbound|9080||inventory-service.inventory-prod.svc.cluster.local.upstream_rq_retry",
        )
    };
    let url = |path: &str| format!("http://inventory-service.inventory-prod:9080{path}");
    let before = retries();
    assert_eq!(mesh.get_from("client", &url("/status/500"), &[]).0, 500);
    assert_eq!(retries() - before, 3, "the rule's default");
    assert_eq!(mesh.get_from("client", &url("/get"), &[]).0, 200, "ends the row of errors");
    let before = retries();
    assert_eq!(mesh.get_from("client", &url("/status/502"), &[]).0, 502);
    assert_eq!(retries() - before, 1, "the route's own");
}

/// `retries` and `timeout` beside `http`, as the mission writes them, and routes with and without their own.
fn defaults() -> String {
    "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: defaults\nspec:\n  hosts: [defaults]\n  \
     retries:\n    attempts: 2\n    perTryTimeout: 1s\n    retryOn: 5xx\n  timeout: 2s\n  http:\n  \
     - match: [{headers: {x-own: {exact: timeout}}}]\n    route: [{destination: {host: defaults}}]\n    timeout: 20s\n    \
     retries: {attempts: 0}\n  - match: [{headers: {x-own: {exact: retries}}}]\n    \
     route: [{destination: {host: defaults}}]\n    retries: {attempts: 1, retryOn: 5xx}\n  \
     - route: [{destination: {host: defaults}}]\n"
        .into()
}

fn a_virtual_service_gives_defaults_to_its_routes(mesh: &Mesh) {
    let retries =
        || stat(mesh, "cluster.outbound|9080||defaults.default.svc.cluster.local.upstream_rq_retry");
    let (plain, own) = ("http://defaults:9080/status/500", ["x-own: retries"]);
    let before = retries();
    assert_eq!(mesh.get_from("client", plain, &[]).0, 500);
    assert_eq!(retries() - before, 2, "the default");
    let before = retries();
    assert_eq!(mesh.get_from("client", plain, &own).0, 500);
    assert_eq!(retries() - before, 1, "the route's own");
    let slow = "http://defaults:9080/delay/3";
    assert_eq!(mesh.get_from("client", slow, &[]), (504, "upstream request timeout".into()));
    assert_eq!(mesh.get_from("client", slow, &["x-own: timeout"]).0, 200);
}

/// The service of the mission's standards-02 with the two clients that it names.
fn payment() -> String {
    let labelled = echo("payment-service", "v1").replace(
        "labels: {app: payment-service, version: v1}",
        "labels: {app: payment-service, version: v1, app.kubernetes.io/name: payment-service}",
    );
    documents(&[
        namespace("payment-prod", true),
        within("payment-prod", &documents(&[labelled, service("payment-service", "http")])),
        namespace("order-prod", true),
        within("order-prod", &client("order-service", "order-service", "")),
    ])
}

/// The mission's `/v1/payments/*/refund`: any one segment, no more and no less.
fn an_inner_star_is_one_segment(mesh: &Mesh) {
    let post = |path: &str| {
        let url = format!("http://payment-service.payment-prod:9080{path}");
        mesh.fetch_from("order-prod/order-service", &url, &[], "POST").0
    };
    mesh.eventually("the policy is in force", Duration::from_secs(10), || post("/elsewhere") == 403);
    let answers = [
        ("/v1/payments", 200),
        ("/v1/payments/17/refund", 200),
        ("/v1/payments/*/refund", 200),
        ("/v1/payments/17/more/refund", 403),
        ("/v1/payments//refund", 403),
        ("/v1/payments/17/refund/again", 403),
        ("/v1/payments/17", 403),
    ];
    for (path, status) in answers {
        assert_eq!(post(path), status, "POST {path}");
    }
    let get = |path: &str| {
        let url = format!("http://payment-service.payment-prod:9080{path}");
        mesh.get_from("order-prod/order-service", &url, &[]).0
    };
    assert_eq!(get("/v1/payments/17/refund"), 403, "only POST is allowed");
}
