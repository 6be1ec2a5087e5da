//! Limits of requests: by EnvoyFilter, and by RateLimit.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Mesh, Spec};
use crate::manifests::{client, documents, echo, injected_default, mission, namespace, service, within};

/// The mission's limit with a bucket that does not fill again while a test looks.
fn of_twenty() -> String {
    let yaml = mission("istio-architecture-07");
    let small = yaml
        .replace("max_tokens: 10000", "max_tokens: 20")
        .replace("tokens_per_fill: 1000", "tokens_per_fill: 1")
        .replace("fill_interval: 1s", "fill_interval: 3600s");
    assert_ne!(small, yaml);
    within("small", &small)
}

/// How many requests of `count`, one after the other, pass and how many are refused.
fn answers(mesh: &Mesh, from: &str, url: &str, headers: &[&str], count: u32) -> (u64, u64) {
    let n = count.to_string();
    let mut all = vec![url, "-d", "120", "-c", "1", "-n", &n];
    headers.iter().for_each(|h| all.extend(["-H", h]));
    let seen = mesh.load_from(from, &all)["status"].clone();
    let of = |status: &str| seen[status].as_u64().unwrap_or(0);
    assert_eq!(of("200") + of("429"), u64::from(count), "{seen}");
    (of("200"), of("429"))
}

fn condition<'a>(status: &'a Value, kind: &str) -> &'a Value {
    let all = status["conditions"].as_array().unwrap();
    all.iter().find(|c| c["type"] == kind).unwrap_or_else(|| panic!("no {kind}: {status}"))
}

/// The status of an EnvoyFilter of the default namespace; nothing until it is there.
fn status_of(mesh: &Mesh, name: &str) -> Value {
    let state = mesh.dir.path().join("state");
    let args = ["get", "envoyfilters", "-n", "default", "-o", "json", "--state-dir", state.to_str().unwrap()];
    let shown = mesh.tulle(&args).output().unwrap();
    let all: Value = serde_json::from_slice(&shown.stdout).unwrap_or_default();
    let items = all["items"].as_array().cloned().unwrap_or_default();
    items.iter().find(|i| i["metadata"]["name"] == name).map(|i| i["status"].clone()).unwrap_or_default()
}

#[test]
fn an_envoy_filter_limits_each_tenants_pods() {
    let alone = within("outside", &client("client", "client", ""));
    let outside = documents(&[namespace("outside", false), alone]);
    let manifests = [
        (
            "base.yaml",
            documents(&[injected_default(), namespace("small", true), client("client", "client", "")]),
        ),
        // Without a sidecar, so that a debug build on a busy machine sends more than a thousand a second.
        ("outside.yaml", outside),
        ("pods.yaml", documents(&[echo("gold", "v1"), echo("silver", "v1")])),
        ("services.yaml", documents(&[service("gold", "http"), service("silver", "http")])),
        ("small.yaml", within("small", &documents(&[echo("bronze", "v1"), service("bronze", "http")]))),
        ("small-limit.yaml", of_twenty()),
        // The mission's own, word for word.
        ("istio-architecture-07.yaml", mission("istio-architecture-07")),
    ];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    // Twenty pass at once, and no more for an hour.
    let (passed, refused) = answers(&mesh, "client", "http://bronze.small:9080/", &[], 30);
    assert_eq!((passed, refused), (20, 10));
    let (status, body) = mesh.get_from("client", "http://bronze.small:9080/", &[]);
    assert_eq!((status, body.as_str()), (429, "local_rate_limited"));
    bursts_pass_and_then_a_thousand_a_second(&mesh);
    what_no_proxy_has_is_refused_by_name(&mesh);
}

/// The bucket of the mission's filter: ten thousand at once, then a thousand a second; other tenants do not feel it.
fn bursts_pass_and_then_a_thousand_a_second(mesh: &Mesh) {
    let sent: u64 = 30_000;
    let began = Instant::now();
    let args = ["http://gold.default:9080/", "-d", "240", "-c", "16", "-n", &sent.to_string()];
    let seen = mesh.load_from("outside/client", &args)["status"].clone();
    let seconds = began.elapsed().as_secs_f64();
    let (passed, refused) = (seen["200"].as_u64().unwrap_or(0), seen["429"].as_u64().unwrap_or(0));
    assert_eq!(passed + refused, sent, "{seen}");
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
    let allowed = 10_000 + (1_000.0 * (seconds + 1.0)) as u64;
    assert!(passed >= sent.min(10_000), "a burst passes: {seen}");
    assert!(passed <= allowed, "{passed} passed in {seconds:.1} s, {allowed} may");
    eprintln!("gold: {passed} of {sent} passed in {seconds:.1} s, {refused} were refused");
    let (passed, refused) = answers(mesh, "client", "http://silver:9080/", &[], 200);
    assert_eq!((passed, refused), (200, 0), "another tenant's pods");
}

/// A filter that the proxy does not have is refused by name; what else the EnvoyFilter says is in force.
fn what_no_proxy_has_is_refused_by_name(mesh: &Mesh) {
    mesh.write(
        "mixed.yaml",
        r#"apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: mixed, namespace: default}
spec:
  workloadSelector: {labels: {app: silver}}
  configPatches:
  - applyTo: HTTP_FILTER
    match: {context: SIDECAR_INBOUND}
    patch:
      operation: INSERT_FIRST
      value:
        name: envoy.filters.http.lua
        typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua, inline_code: "--"}
  - applyTo: VIRTUAL_HOST
    match: {context: SIDECAR_INBOUND}
    patch: {operation: MERGE, value: {response_headers_to_add: [{header: {key: x-patched, value: 'yes'}}]}}
  - applyTo: CLUSTER
    match: {cluster: {name: nobody}}
    patch: {operation: REMOVE}
"#,
    );
    let mut status = Value::Null;
    mesh.eventually("the status of the filter", Duration::from_secs(60), || {
        status = status_of(mesh, "mixed");
        status["conditions"].as_array().is_some_and(|c| c.iter().any(|c| c["reason"] == "Programmed"))
    });
    let accepted = condition(&status, "Accepted");
    let said = accepted["message"].as_str().unwrap();
    assert_eq!(accepted["status"], "False");
    let field = r#"spec.configPatches[0].patch.value.typed_config.@type: "#;
    assert!(said.starts_with(field) && said.contains("envoy.extensions.filters.http.lua.v3.Lua"), "{said}");
    assert_eq!(condition(&status, "Programmed")["status"], "True");
    let idle = status["validationMessages"].as_array().unwrap().iter();
    let idle: Vec<&str> =
        idle.filter_map(|m| m["message"].as_str()).filter(|m| m.contains("nothing")).collect();
    assert!(idle.len() == 1 && idle[0].starts_with("spec.configPatches[2]"), "{idle:?}");
    let curl = [mesh.binary(), "lab", "curl", "-s", "-i", "http://silver:9080/"];
    let answer = mesh.exec("default", "client", &curl).output().unwrap();
    let answer = String::from_utf8_lossy(&answer.stdout).to_ascii_lowercase();
    assert!(answer.contains("x-patched: yes"), "{answer}");
}

fn rate_limit(name: &str, app: &str, limits: &Value) -> String {
    let spec =
        json!({"selector": {"matchLabels": {"app": app}}, "limits": limits, "response": {"headers": true}});
    format!(
        "apiVersion: policy.tulle.dev/v1alpha1\nkind: RateLimit\nmetadata: {{name: {name}, namespace: default}}\nspec: {spec}\n"
    )
}

/// A bucket of `burst` that does not fill again while a test looks.
fn limit(burst: u32, more: Value) -> Value {
    let mut all = json!({"name": "one", "requests": 1, "unit": "DAY", "burst": burst});
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!([all])
}

#[test]
fn a_rate_limit_is_per_tenant_per_caller_and_for_all_proxies_together() {
    let apps = ["tenants", "callers", "shared"];
    let deployments = apps.map(|app| echo(app, "v1"));
    let manifests = [
        (
            "base.yaml",
            documents(&[injected_default(), client("client", "client", ""), client("other", "other", "")]),
        ),
        (
            "pods.yaml",
            documents(&deployments)
                .replace("name: shared-v1\nspec:\n  replicas: 1", "name: shared-v1\nspec:\n  replicas: 2"),
        ),
        ("edge.yaml", AT_THE_GATEWAY.to_owned()),
        ("services.yaml", documents(&apps.map(|app| service(app, "http")))),
        (
            "limits.yaml",
            documents(&[
                rate_limit(
                    "tenants",
                    "tenants",
                    &limit(
                        5,
                        json!({"per": [{"header": "x-tenant-id"}], "match": {"paths": ["/api/*"]},
                                     "overrides": [{"values": ["gold"], "requests": 1, "burst": 9}]}),
                    ),
                ),
                rate_limit("callers", "callers", &limit(5, json!({"per": [{"attribute": "PRINCIPAL"}]}))),
                rate_limit("shared", "shared", &limit(10, json!({"scope": "MESH"}))),
            ]),
        ),
    ];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    let tenants = "http://tenants:9080/api/x?y=1";
    for (tenant, passes) in
        [("x-tenant-id: a", 5), ("x-tenant-id: b", 5), ("x-tenant-id: gold", 9), ("x-other: c", 5)]
    {
        let (passed, refused) = answers(&mesh, "client", tenants, &[tenant], 12);
        assert_eq!((passed, refused), (passes, 12 - passes), "{tenant}");
    }
    assert_eq!(answers(&mesh, "client", "http://tenants:9080/else", &["x-tenant-id: a"], 12), (12, 0));
    for caller in ["client", "other"] {
        assert_eq!(answers(&mesh, caller, "http://callers:9080/", &[], 8), (5, 3), "{caller}");
    }
    let curl = [mesh.binary(), "lab", "curl", "-s", "-i", "http://callers:9080/"];
    let answer = mesh.exec("default", "client", &curl).output().unwrap();
    let answer = String::from_utf8_lossy(&answer.stdout).to_ascii_lowercase();
    for header in ["429", "x-ratelimit-limit: 5", "x-ratelimit-remaining: 0", "retry-after: "] {
        assert!(answer.contains(header), "{header}: {answer}");
    }
    mesh.eventually("the gateway", Duration::from_secs(60), || mesh.get("/elsewhere").0 == 200);
    let at_the_gateway: Vec<u16> = (0..5).map(|_| mesh.get("/edge").0).collect();
    assert_eq!(at_the_gateway, [200, 200, 200, 503, 503]);
    shared_by_two_and_then_all_for_one(&mesh);
}

/// A limit at the gateway, for everything that comes through it.
const AT_THE_GATEWAY: &str = "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: edge, namespace: default}
spec:
  hosts: ['*']
  gateways: [edge]
  http: [{name: tenants, route: [{destination: {host: tenants}}]}]
---
apiVersion: policy.tulle.dev/v1alpha1
kind: RateLimit
metadata: {name: edge, namespace: istio-system}
spec:
  selector: {matchLabels: {istio: ingressgateway}}
  response: {status: 503}
  limits: [{name: routes, per: [{attribute: ROUTE}], match: {paths: [/edge]}, requests: 1, unit: DAY, burst: 3}]
";

/// Each of two pods has half of the limit; the one that is left has all of it.
fn shared_by_two_and_then_all_for_one(mesh: &Mesh) {
    let bursts = || {
        let (_, dump) = mesh.get_from("shared-v1", "http://127.0.0.1:15000/config_dump", &[]);
        let dump: Value = serde_json::from_str(&dump).unwrap_or_default();
        let mut all = Vec::new();
        max_tokens(&dump, &mut all);
        all.sort_unstable();
        all.dedup();
        all
    };
    mesh.eventually("half for each", Duration::from_secs(60), || bursts() == [5]);
    let (passed, _) = answers(mesh, "client", "http://shared:9080/", &[], 60);
    assert_eq!(passed, 10, "five in each pod");
    mesh.write("pods.yaml", &documents(&["tenants", "callers", "shared"].map(|app| echo(app, "v1"))));
    mesh.eventually("all for one", Duration::from_secs(60), || bursts() == [10]);
}

/// The sizes of buckets in a configuration dump.
fn max_tokens(dump: &Value, out: &mut Vec<u64>) {
    match dump {
        Value::Object(members) => {
            out.extend(members.get("max_tokens").and_then(Value::as_u64));
            members.values().for_each(|v| max_tokens(v, out));
        }
        Value::Array(items) => items.iter().for_each(|v| max_tokens(v, out)),
        _ => {}
    }
}
