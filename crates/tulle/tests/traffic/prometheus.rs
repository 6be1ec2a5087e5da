//! The metric contract, asked of a real Prometheus that scrapes a running mesh.
//!
//! Every query of `contract.txt` and every expression of the shipped dashboards returns data; every exposition passes
//! `promtool check metrics` but for names that are Istio's; the shipped alerts pass `promtool check rules` and can be evaluated.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Mesh, Spec, http_get};
use crate::manifests::{client, documents, echo, injected_default, namespace, service};

/// A Prometheus needs this long to have seen enough.
const LIMIT: Duration = Duration::from_secs(150);

/// A server of one gRPC call, for each of two messages; it fails every other call.
const GRPC: &str = r##"
import http.server, itertools, time
turn = itertools.count()
class Calls(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = {"/metrics": b"# HELP app_requests_total Of it\n# TYPE app_requests_total counter\napp_requests_total 7\n", "/huge": b"x" * (32 << 20)}.get(self.path, b"<html>")
        if self.path == "/slow":
            time.sleep(60)
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b"\0\0\0\0\2hi" * 2
        self.send_response(200)
        for name, value in (("content-type", "application/grpc"), ("grpc-status", "13" if next(turn) % 2 else "0"), ("content-length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("", 8080), Calls).serve_forever()
"##;

/// Traffic of all kinds until it is stopped: requests of a tenant, calls of gRPC, failures, bytes.
const TRAFFIC: &str = r#"
import http.client, socket, time
def ask(host, path, method="GET", body=None, headers={}):
    c = http.client.HTTPConnection(host, 9080, timeout=5)
    try:
        c.request(method, path, body, headers)
        c.getresponse().read()
    except OSError:
        pass
    c.close()
while True:
    trace = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    ask("echo", "/", headers={"x-tenant-id": "acme", **trace})
    ask("echo", "/fail")
    ask("echo", "/nowhere")
    ask("calls", "/pkg.Service/Method", "POST", b"\0\0\0\0\5hello", {"content-type": "application/grpc", "te": "trailers"})
    s = socket.create_connection(("echo-tcp", 9000), 5)
    s.sendall(b"hello" * 100)
    s.recv(10)
    s.close()
    time.sleep(0.2)
"#;

const RULES: &str = r#"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: echo}
spec:
  hosts: [echo]
  http:
  - match: [{uri: {exact: /fail}}]
    fault: {abort: {httpStatus: 503, percentage: {value: 100}}}
    route: [{destination: {host: echo}}]
  - match: [{uri: {exact: /nowhere}}]
    route: [{destination: {host: nobody}}]
  - route: [{destination: {host: echo}}]
---
apiVersion: v1
kind: Service
metadata: {name: nobody}
spec:
  selector: {app: nobody}
  ports: [{name: http, port: 9080}]
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: tenants, namespace: istio-system}
spec:
  metrics:
  - providers: [{name: prometheus}]
    overrides:
    - match: {metric: REQUEST_COUNT}
      tagOverrides:
        tenant_id: {value: "has(request.headers['x-tenant-id']) ? request.headers['x-tenant-id'] : 'none'"}
---
apiVersion: v1
kind: Service
metadata: {name: echo-tcp}
spec:
  selector: {app: echo}
  ports: [{name: tcp, port: 9000, targetPort: 9000}]
"#;

pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    if found.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no {name} in PATH");
        eprintln!("skipped: no {name} in PATH");
    }
    found
}

/// A Deployment of one container that runs a program of the host.
pub(crate) fn host_program(name: &str, command: &[&str], port: u16, annotations: &Value) -> String {
    let labels = json!({ "app": name });
    let document = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": {
            "replicas": 1, "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels, "annotations": annotations },
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{
                        "name": "program", "image": "host", "command": command,
                        "ports": [{ "containerPort": port }],
                        "readinessProbe": { "tcpSocket": { "port": port }, "periodSeconds": 1 },
                    }],
                },
            },
        },
    });
    format!("{document}\n")
}

/// The targets of a Prometheus: proxies' merged metrics, and the control plane's, with the labels that discovery gives them.
pub(crate) fn targets(mesh: &Mesh) -> Value {
    let pods = mesh.ready["pods"].as_array().cloned().unwrap_or_default();
    let one = |pod: &Value| {
        let text = |key: &str| pod[key].as_str().unwrap_or_default().to_owned();
        let (name, namespace) = (text("name"), text("namespace"));
        let app = name.split('-').next().unwrap_or_default().to_owned();
        let port = match namespace.as_str() {
            "monitoring" => return None,
            _ if app == "istiod" => 15014,
            _ => 15020,
        };
        let path = if port == 15014 { "/metrics" } else { "/stats/prometheus" };
        let labels = json!({ "namespace": namespace, "pod": name, "app": app, "__metrics_path__": path });
        Some(json!({ "targets": [format!("{}:{port}", text("ip"))], "labels": labels }))
    };
    pods.iter().filter_map(one).collect()
}

pub(crate) fn encoded(query: &str) -> String {
    query.bytes().map(|b| format!("%{b:02x}")).collect()
}

/// What the Prometheus in the mesh answers.
pub(crate) fn prometheus(mesh: &Mesh, path: &str) -> Value {
    let (_, body) = mesh.get_from("monitoring/prometheus", &format!("http://127.0.0.1:9090{path}"), &[]);
    serde_json::from_str(&body).unwrap_or(Value::String(body))
}

/// What our own store answers.
pub(crate) fn ours(mesh: &Mesh, path: &str) -> Value {
    let dashboard = mesh.ready["dashboard"].as_str().expect("the ready file names the dashboard");
    let (_, body) = http_get(&format!("{dashboard}{path}"));
    serde_json::from_str(&body).unwrap_or(Value::String(body))
}

/// Whether an answer has a number in it.
fn has_data(answer: &Value) -> bool {
    let result = &answer["data"]["result"];
    let of = |series: &Value| series["value"][1].as_str().is_some_and(|v| v != "NaN");
    result.as_array().is_some_and(|all| all.iter().any(of))
}

/// The queries that have no data yet.
fn missing(queries: &[String], mut ask: impl FnMut(&str) -> Value) -> Vec<String> {
    let answers = queries.iter().map(|q| (q, ask(&format!("/api/v1/query?query={}", encoded(q)))));
    answers.filter(|(_, answer)| !has_data(answer)).map(|(q, answer)| format!("{q}\n    {answer}")).collect()
}

/// Asks until everything has data, and does something before each round.
fn all_answer(who: &str, queries: &[String], mut before: impl FnMut(), mut ask: impl FnMut(&str) -> Value) {
    let began = Instant::now();
    let mut left = queries.to_vec();
    loop {
        before();
        let without = missing(&left, &mut ask);
        if without.is_empty() {
            eprintln!("{who}: all {} queries have data after {:?}", queries.len(), began.elapsed());
            return;
        }
        assert!(began.elapsed() < LIMIT, "{who}: no data for\n{}", without.join("\n"));
        left.retain(|q| without.iter().any(|w| w.starts_with(&format!("{q}\n"))));
        std::thread::sleep(Duration::from_secs(2));
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The expressions of the shipped dashboards, with every variable set to everything.
fn expressions() -> Vec<String> {
    let mut out = BTreeSet::new();
    for entry in std::fs::read_dir(root().join("dashboards")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let dashboard: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let uid = dashboard["uid"].as_str().unwrap();
        assert_eq!(path.file_stem().and_then(|s| s.to_str()), Some(uid), "files are called as their uid");
        let targets = dashboard["panels"].as_array().unwrap().iter().flat_map(|p| p["targets"].as_array());
        for target in targets.flatten() {
            let text = target["expr"].as_str().unwrap().replace("$__rate_interval", "1m");
            let text = ["$namespace", "$service", "$workload"].iter().fold(text, |t, v| t.replace(v, ".*"));
            assert!(!text.contains('$'), "{uid}: {text}");
            out.insert(text);
        }
    }
    out.into_iter().collect()
}

/// What `promtool check metrics` finds, but for what Istio's names are like.
fn lint(promtool: &Path, exposition: &str) -> Vec<String> {
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(exposition.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let found = [output.stdout, output.stderr].concat();
    let istios = |line: &str| {
        let of_istio = ["istio_", "pilot_", "citadel_", "galley_", "envoy_", "istiod_", "xds_cache_"];
        of_istio.iter().any(|prefix| line.starts_with(prefix))
            && (line.contains("should have \"_total\" suffix")
                || line.contains("should not have \"_total\" suffix")
                || line.contains("should not have \"_count\" suffix")
                || line.contains("use base unit")
                || line.contains("metric name should not contain abbreviated units"))
    };
    String::from_utf8_lossy(&found).lines().filter(|l| !istios(l)).map(str::to_owned).collect()
}

#[test]
fn prometheus_kiali_flagger_and_grafana_find_what_they_ask_for() {
    let (Some(server), Some(promtool)) = (program("prometheus"), program("promtool")) else { return };
    let rules = root().join("dashboards/alerts.yaml");
    let checked = Command::new(&promtool).args(["check", "rules"]).arg(&rules).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success() && said.contains("12 rules"), "{said}");

    let folder = tempfile::Builder::new().prefix("prom").tempdir_in("/tmp").unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(at("targets.json"), "[]").unwrap();
    std::fs::copy(&rules, at("alerts.yaml")).unwrap();
    let config = format!(
        "global: {{scrape_interval: 2s, evaluation_interval: 5s}}\nrule_files: [{}]\nscrape_configs:\n- job_name: pods\n  \
         file_sd_configs: [{{files: [{}], refresh_interval: 1s}}]\n",
        at("alerts.yaml"),
        at("targets.json")
    );
    std::fs::write(at("prometheus.yml"), config).unwrap();
    std::fs::write(at("calls.py"), GRPC).unwrap();
    std::fs::write(at("traffic.py"), TRAFFIC).unwrap();
    let (config, data) =
        (format!("--config.file={}", at("prometheus.yml")), format!("--storage.tsdb.path={}", at("data")));
    let command = [
        server.to_str().unwrap(),
        &config,
        &data,
        "--web.listen-address=0.0.0.0:9090",
        "--enable-feature=exemplar-storage",
    ];
    let scraped = |port: &str, path: &str| json!({ "prometheus.io/scrape": "true", "prometheus.io/port": port, "prometheus.io/path": path });
    let script = at("calls.py");
    let server_command = ["python3", script.as_str()];
    let manifests = [
        (
            "services.yaml",
            documents(&[
                injected_default(),
                namespace("monitoring", false),
                service("echo", "http"),
                service("calls", "http"),
                RULES.trim_start().to_owned(),
            ]),
        ),
        (
            "pods.yaml",
            documents(&[
                echo("echo", "v1"),
                client("client", "client", ""),
                host_program("calls", &server_command, 8080, &scraped("8080", "/metrics")),
                host_program("broken", &server_command, 8080, &scraped("8080", "/broken")),
                host_program("slow", &server_command, 8080, &scraped("8080", "/slow")),
                host_program("huge", &server_command, 8080, &scraped("8080", "/huge")),
                host_program("down", &server_command, 8080, &scraped("9", "/metrics")),
                host_program("prometheus", &command, 9090, &json!({})).replace(
                    r#""metadata":{"name":"prometheus"}"#,
                    r#""metadata":{"name":"prometheus","namespace":"monitoring"}"#,
                ),
            ]),
        ),
    ];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    std::fs::write(at("targets.json"), targets(&mesh).to_string()).unwrap();
    let mut traffic = mesh.exec("default", "client", &["python3", &at("traffic.py")]).spawn().unwrap();

    // Somebody outside of the mesh calls as well.
    let plain = || mesh.get_from("monitoring/prometheus", "http://echo.default:9080/", &[]).0;
    assert_eq!(plain(), 200);
    let mut queries: Vec<String> = include_str!("contract.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    queries.extend(expressions());
    let mut round = 0;
    // Somebody outside calls, and something changes, for the control plane to work on.
    let stir = || {
        plain();
        round += 1;
        mesh.write("change.yaml", &service(&format!("change-{round}"), "http"));
    };
    all_answer("Prometheus", &queries, stir, |path| prometheus(&mesh, path));
    // Our own store has what proxies and the control plane tell it; agents and processes are scraped alone.
    let scraped_alone = ["istio_agent_", "process_", "envoy_cluster_upstream_cx_active"];
    let told: Vec<String> =
        queries.iter().filter(|q| scraped_alone.iter().all(|s| !q.contains(s))).cloned().collect();
    all_answer("our own store", &told, || assert_eq!(plain(), 200), |path| ours(&mesh, path));

    // An application whose metrics cannot be had costs only its own.
    for pod in ["broken", "slow", "huge", "down"] {
        let failures = format!("istio_agent_scrape_failures_total{{app=\"{pod}\"}} > 0 and on (app) up == 1");
        all_answer(pod, &[failures], || (), |path| prometheus(&mesh, path));
    }
    all_answer(
        "the application",
        &["app_requests_total == 7".to_owned()],
        || (),
        |path| prometheus(&mesh, path),
    );

    let alerts = prometheus(&mesh, "/api/v1/rules");
    let rules = alerts["data"]["groups"][0]["rules"].as_array().cloned().unwrap_or_default();
    assert_eq!(rules.len(), 12, "{alerts}");
    for rule in &rules {
        assert!(rule["lastError"].is_null(), "{rule}");
    }
    let exemplars = encoded("istio_request_duration_milliseconds_bucket");
    let exemplars =
        prometheus(&mesh, &format!("/api/v1/query_exemplars?query={exemplars}&start=0&end=9999999999"));
    assert!(exemplars.to_string().contains("4bf92f3577b34da6a3ce929d0e0e4736"), "{exemplars}");

    for pod in mesh.ready["pods"].as_array().unwrap() {
        let (name, ip) = (pod["name"].as_str().unwrap(), pod["ip"].as_str().unwrap());
        let port = match pod["namespace"].as_str() {
            Some("monitoring") => continue,
            _ if name.starts_with("istiod") => "15014/metrics",
            _ => "15020/stats/prometheus",
        };
        let (status, text) = mesh.get_from("monitoring/prometheus", &format!("http://{ip}:{port}"), &[]);
        assert_eq!(status, 200, "{name}");
        assert_eq!(lint(&promtool, &text), Vec::<String>::new(), "{name}");
        labelled(name, &text);
    }
    traffic.kill().unwrap();
    let _ = traffic.wait();
}

/// Every series of Istio's metrics has every label of its family, and none is empty but the gRPC status of what is no gRPC.
fn labelled(pod: &str, text: &str) {
    let ends = [
        "workload",
        "workload_namespace",
        "principal",
        "app",
        "version",
        "cluster",
        "canonical_service",
        "canonical_revision",
    ];
    let mut shared: Vec<String> =
        ["reporter", "destination_service", "destination_service_name", "destination_service_namespace"]
            .map(str::to_owned)
            .to_vec();
    shared.extend(["source", "destination"].iter().flat_map(|side| ends.map(|end| format!("{side}_{end}"))));
    let more = |name: &str| -> &[&str] {
        match name {
            n if n.starts_with("istio_tcp_") => {
                &["request_protocol", "response_flags", "connection_security_policy"]
            }
            n if n.contains("_messages_") => &[],
            _ => &[
                "request_protocol",
                "response_flags",
                "connection_security_policy",
                "response_code",
                "grpc_response_status",
            ],
        }
    };
    let families = ["istio_requests_total", "istio_request_", "istio_response_", "istio_tcp_"];
    for line in text.lines().filter(|l| families.iter().any(|f| l.starts_with(f))) {
        let (name, rest) = line.split_once('{').unwrap_or_else(|| panic!("{pod}: no labels in {line}"));
        for label in shared.iter().map(String::as_str).chain(more(name).iter().copied()) {
            assert!(rest.contains(&format!("{label}=\"")), "{pod}: {name} has no {label}: {line}");
            let empty = rest.contains(&format!("{label}=\"\""));
            assert!(!empty || label == "grpc_response_status", "{pod}: {name} has an empty {label}: {line}");
        }
    }
}
