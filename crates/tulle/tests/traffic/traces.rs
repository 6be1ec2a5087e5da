//! One request through five services whose applications pass headers on is one trace: in a collector of OpenTelemetry, which is this
//! test's own binary in a pod, and in the store of the control plane.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tulle_proto::Message as _;
use tulle_proto::otlp::{ExportTraceServiceRequest, ResourceSpans, Span, text_of};

use crate::harness::{Mesh, Spec, http_get, http_get_with};
use crate::manifests::documents;
use crate::taker;

/// Where the collector writes what it gets; also what makes this test the collector.
const FILE: &str = "TULLE_TEST_COLLECTOR";
const SOON: Duration = Duration::from_secs(60);

/// The collector: takes spans over gRPC and writes one JSON object a line.
#[test]
#[ignore = "runs in a pod of the other test"]
fn the_collector() {
    let Ok(file) = std::env::var(FILE) else { return };
    taker::serve(&file, |_, message| {
        let message = ExportTraceServiceRequest::from_wire(message).unwrap_or_default();
        let of = |resource: ResourceSpans| {
            let attributes = resource.resource.unwrap_or_default().attributes;
            let service = attributes.iter().find(|kv| kv.key == "service.name");
            let service = text_of(service.and_then(|kv| kv.value.as_ref())).to_owned();
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.map(|span| line(&service, &span)).collect::<Vec<_>>()
        };
        message.resource_spans.into_iter().flat_map(of).collect()
    });
}

fn line(service: &str, span: &Span) -> Value {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let tags: BTreeMap<&str, &str> =
        span.attributes.iter().map(|kv| (kv.key.as_str(), text_of(kv.value.as_ref()))).collect();
    let events: Vec<&str> = span.events.iter().map(|e| e.name.as_str()).collect();
    json!({
        "service": service, "trace": hex(&span.trace_id), "span": hex(&span.span_id), "parent": hex(&span.parent_span_id),
        "name": span.name, "kind": span.kind, "tags": tags, "events": events,
    })
}

fn manifests(binary: &Path, file: &Path) -> String {
    let (binary, file) = (binary.display(), file.display());
    let collector = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: observability}}\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{name: collector, namespace: observability}}\n\
         spec: {{selector: {{app: collector}}, ports: [{{name: grpc-otlp, port: 4317}}]}}\n---\n\
         apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: collector, namespace: observability}}\n\
         spec:\n  replicas: 1\n  selector: {{matchLabels: {{app: collector}}}}\n  template:\n    \
         metadata: {{labels: {{app: collector}}}}\n    spec:\n      containers:\n      - name: collector\n        \
         image: test/collector\n        command: [{binary}, --exact, 'traces::the_collector', --ignored, --nocapture]\n        \
         env: [{{name: {FILE}, value: {file}}}]\n        readinessProbe: {{tcpSocket: {{port: 4317}}, periodSeconds: 1}}\n"
    );
    let settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n    \
         extensionProviders:\n    - name: otel\n      opentelemetry: {service: collector.observability.svc.cluster.local, port: 4317}\n"
        .to_owned();
    let telemetry = "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: all, namespace: istio-system}\nspec:\n  \
         tracing:\n  - providers: [{name: otel}]\n    randomSamplingPercentage: 100\n    customTags:\n      \
         tenant: {header: {name: x-tenant, defaultValue: nobody}}\n"
        .to_owned();
    // A second pod of details in which nobody listens: its sidecar answers 503. It is ejected again and again, and of reviews those answer
    // that call ratings, so that one of the first requests sees everything.
    let broken = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: details-v2, namespace: default}\nspec:\n  replicas: 1\n  \
         selector: {matchLabels: {app: details, version: v2}}\n  template:\n    metadata: {labels: {app: details, version: v2}}\n    \
         spec:\n      containers: [{name: nobody, image: 'curlimages/curl:8'}]\n"
        .to_owned();
    let rules = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: details-again, namespace: default}\nspec:\n  \
         hosts: [details]\n  http:\n  - route: [{destination: {host: details}}]\n    retries: {attempts: 3, retryOn: 5xx}\n---\n\
         apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: details-out, namespace: default}\nspec:\n  \
         host: details\n  trafficPolicy:\n    outlierDetection: {consecutive5xxErrors: 1, interval: 1s, baseEjectionTime: 1s, maxEjectionPercent: 100}\n---\n\
         apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: reviews-black, namespace: default}\nspec:\n  \
         hosts: [reviews]\n  http:\n  - route: [{destination: {host: reviews, subset: v2}}]\n---\n\
         apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: reviews-black, namespace: default}\nspec:\n  \
         host: reviews\n  subsets: [{name: v2, labels: {version: v2}}]\n"
        .to_owned();
    documents(&[settings, collector, telemetry, broken, rules])
}

/// The spans that the collector has got of each trace.
fn collected(file: &Path) -> BTreeMap<String, Vec<Value>> {
    let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for text in fs::read_to_string(file).unwrap_or_default().lines() {
        let Ok(span) = serde_json::from_str::<Value>(text) else { continue };
        all.entry(span["trace"].as_str().unwrap_or_default().to_owned()).or_default().push(span);
    }
    all
}

/// Whether spans are one tree: one root, every parent there.
fn is_whole(spans: &[Value]) -> bool {
    let roots = spans.iter().filter(|s| s["parent"] == "").count();
    roots == 1 && spans.iter().all(|s| s["parent"] == "" || spans.iter().any(|p| p["span"] == s["parent"]))
}

fn services(spans: &[Value]) -> Vec<String> {
    let mut all: Vec<String> =
        spans.iter().map(|s| s["service"].as_str().unwrap_or_default().to_owned()).collect();
    all.sort();
    all.dedup();
    all
}

fn has_event(spans: &[Value], name: &str) -> bool {
    spans.iter().flat_map(|s| s["events"].as_array().into_iter().flatten()).any(|e| e == name)
}

const FIVE: [&str; 5] = [
    "details.default",
    "istio-ingressgateway.istio-system",
    "productpage.default",
    "ratings.default",
    "reviews.default",
];

#[test]
fn one_request_through_five_services_is_one_trace_with_its_retries_and_ejections() {
    let dir = tempfile::Builder::new().prefix("tulcol").tempdir_in("/tmp").unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let (binary, file) = (dir.path().join("collector"), dir.path().join("spans.jsonl"));
    fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    let yaml = manifests(&binary, &file);
    let mesh = Mesh::start(&Spec {
        args: &["--demo", "bookinfo"],
        manifests: &[("traces.yaml", yaml)],
        ..Spec::default()
    });

    let gateway = mesh.ready["gateway"].as_str().unwrap().to_owned();
    let page = || http_get_with(&format!("{gateway}/productpage"), &[("x-tenant", "t1")]).0;
    let mut seen: Vec<Value> = Vec::new();
    mesh.eventually("a trace with all five, a retry and an ejection", SOON, || {
        page();
        std::thread::sleep(Duration::from_millis(300));
        let all = collected(&file);
        let wanted = |spans: &&Vec<Value>| {
            services(spans) == FIVE
                && has_event(spans, "retry")
                && has_event(spans, "ejection")
                && is_whole(spans)
        };
        seen = all.values().find(wanted).cloned().unwrap_or_default();
        !seen.is_empty()
    });
    // The server's sidecar tries again as well, where nobody listens.
    let retries = |s: &&Value| s["kind"] == 3 && s["events"].to_string().contains("retry");
    let retried = seen.iter().find(retries).unwrap();
    assert_eq!(
        (retried["service"].as_str(), retried["kind"].as_i64()),
        (Some("productpage.default"), Some(3))
    );
    let tag = |span: &Value, name: &str| span["tags"][name].as_str().unwrap_or_default().to_owned();
    assert_eq!(retried["name"], "details.default.svc.cluster.local:9080/*");
    assert!(tag(retried, "upstream_cluster").starts_with("outbound|9080|"), "{retried}");
    assert_eq!(tag(retried, "istio.canonical_service"), "productpage");
    assert_eq!(
        (tag(retried, "istio.mesh_id"), tag(retried, "istio.namespace")),
        ("cluster.local".into(), "default".into())
    );
    assert!(tag(retried, "node_id").starts_with("sidecar~"), "{retried}");
    let root = seen.iter().find(|s| s["parent"] == "").unwrap();
    assert_eq!((root["service"].as_str(), tag(root, "tenant")), (Some(FIVE[1]), "t1".to_owned()));
    let ids: Vec<String> =
        seen.iter().map(|s| tag(s, "guid:x-request-id")).filter(|id| !id.is_empty()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");

    let events = |name: &str| seen.iter().filter(|s| s["events"].to_string().contains(name)).count();
    eprintln!(
        "one trace: {} spans of {} services, {} with a retry, {} with an ejection",
        seen.len(),
        services(&seen).len(),
        events("\"retry\""),
        events("\"ejection\"")
    );
    let id = root["trace"].as_str().unwrap();
    let dashboard = mesh.ready["dashboard"].as_str().unwrap();
    let ask = |path: &str| {
        serde_json::from_str::<Value>(&http_get(&format!("{dashboard}{path}")).1).unwrap_or_default()
    };
    let mut kept = Value::Null;
    mesh.eventually("the store has all of it", SOON, || {
        kept = ask(&format!("/api/traces/{id}"));
        // The collector gets spans by the batch: what is whole already may get more of them.
        let collected = collected(&file).get(id).map(Vec::len);
        collected.is_some() && kept["spans"].as_array().map(Vec::len) == collected
    });
    let spans = kept["spans"].as_array().unwrap();
    assert_eq!(spans.iter().filter(|s| s["parent_id"] == "").count(), 1, "{kept}");
    assert_eq!(kept["services"], json!(FIVE));
    let events: Vec<&str> = spans
        .iter()
        .flat_map(|s| s["events"].as_array().into_iter().flatten())
        .filter_map(|e| e["name"].as_str())
        .collect();
    assert!(events.contains(&"retry") && events.contains(&"ejection"), "{events:?}");
    let request = &ids[0];
    mesh.eventually("records of the request join over its hops", SOON, || {
        let found = ask(&format!("/api/requests?request_id={request}"));
        found["requests"]
            .as_array()
            .is_some_and(|all| all.len() >= 2 && all.iter().all(|r| r["trace_id"] == id))
    });
    requests_are_tapped(&mesh, &gateway);
}

/// `tulle tap` shows requests as they happen, filtered, as lines and as JSON.
fn requests_are_tapped(mesh: &Mesh, gateway: &str) {
    let state = mesh.dir.path().join("state");
    let state = state.to_str().unwrap();
    // What is sampled is shown, all of it here.
    let tapping = |args: &[&str]| {
        let all = [&["tap", "--state-dir", state][..], args].concat();
        let tap = mesh.tulle(&all).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let tap = std::cell::RefCell::new(tap);
        mesh.eventually("the tap has seen its requests", SOON, || {
            let url = format!("{gateway}/productpage?secret=1");
            http_get_with(&url, &[("authorization", "Bearer secret")]);
            tap.borrow_mut().try_wait().unwrap().is_some()
        });
        let done = tap.into_inner().wait_with_output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let lines =
        tapping(&["-n", "istio-system", "--path", "/productpage", "--reporter", "source", "--max", "3"]);
    assert_eq!(lines.lines().count(), 3, "{lines}");
    for line in lines.lines() {
        assert!(line.contains("  client  200  ") && line.contains("/productpage  "), "{line}");
        assert!(line.contains(" -> default/productpage-v1") && line.ends_with("  mtls"), "{line}");
    }
    let lines =
        tapping(&["--to", "default/ratings-v1", "--reporter", "destination", "--max", "2", "-o", "json"]);
    assert_eq!(lines.lines().count(), 2, "{lines}");
    for line in lines.lines() {
        let request: Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (request["destination"]["workload"].as_str(), request["source"]["workload"].as_str()),
            (Some("ratings-v1"), Some("reviews-v2")),
            "{request}"
        );
        assert!(!line.contains("secret"), "{line}");
    }
    let failed = tapping(&["--to", "default/details-v2", "--status", "5xx", "--max", "1", "-o", "wide"]);
    assert!(failed.contains("  503  ") && failed.contains("request_id="), "{failed}");
    let wrong = mesh.tulle(&["tap", "--state-dir", state, "--status", "often"]).output().unwrap();
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert!(wrong.status.code() == Some(1) && said.contains("neither a status such as 503"), "{said}");
}
