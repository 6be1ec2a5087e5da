//! The boards of the dashboard in a whole mesh: who is encrypted, who may call whom, what rules decided, how far proxies are.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Mesh, Spec, http_get};
use crate::manifests::{client, documents, echo, injected_default, namespace, service, within};
use crate::prometheus::host_program;

const LIMIT: Duration = Duration::from_secs(60);

/// `friend` may read; whoever shows no identity, or another one, may not.
const POLICIES: &str = r#"apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: readers, namespace: default}
spec:
  selector: {matchLabels: {app: echo}}
  action: ALLOW
  rules:
  - from: [{source: {principals: [cluster.local/ns/default/sa/friend]}}]
    to: [{operation: {methods: [GET]}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody-deletes, namespace: default}
spec:
  selector: {matchLabels: {app: echo}}
  action: DENY
  rules:
  - from: [{source: {principals: [cluster.local/ns/default/sa/friend]}}]
    to: [{operation: {paths: [/secret]}}]
"#;

fn ask(mesh: &Mesh, path: &str) -> Value {
    let dashboard = mesh.ready["dashboard"].as_str().expect("the ready file names the dashboard");
    let (status, body) = http_get(&format!("{dashboard}{path}"));
    serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {status} {body}"))
}

/// The one of a list that has this value in a field.
fn with<'a>(list: &'a Value, field: &str, value: &str) -> &'a Value {
    let found = list.as_array().and_then(|all| all.iter().find(|one| one[field] == value));
    found.unwrap_or_else(|| panic!("no {field} {value} in {list}"))
}

#[test]
fn boards_say_who_is_encrypted_who_may_call_and_how_far_proxies_are() {
    let outside = documents(&[namespace("outside", false), within("outside", &client("plain", "plain", ""))]);
    let manifests = [
        (
            "base.yaml",
            documents(&[
                injected_default(),
                client("friend", "friend", ""),
                client("stranger", "stranger", ""),
                echo("echo", "v1"),
                service("echo", "http"),
                POLICIES.to_owned(),
            ]),
        ),
        ("outside.yaml", outside),
    ];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    let url = "http://echo.default:9080/";
    let call = |who: &str, path: &str| mesh.get_from(who, &format!("{url}{path}"), &[]).0;
    mesh.eventually("the policies are in force", LIMIT, || {
        call("friend", "") == 200 && call("stranger", "") == 403 && call("friend", "secret") == 403
    });

    // Who may call whom is what requests are answered.
    let access = ask(&mesh, "/api/security/access?to=default/echo-v1");
    for (who, verdict, status) in [
        ("default/friend", "partly", 200),
        ("default/stranger", "denied", 403),
        ("outside/plain", "denied", 403),
    ] {
        let row = with(&access["rows"], "from", who);
        assert_eq!(row["verdict"], verdict, "{row}");
        assert_eq!(call(who, ""), status, "{row}");
    }
    let partly = with(&access["rows"], "from", "default/friend");
    assert!(partly["conditions"].to_string().contains("/secret"), "{partly}");

    let mut boards = [Value::Null, Value::Null];
    mesh.eventually("rules, denials and plain text are counted", LIMIT, || {
        for (who, path) in [("friend", ""), ("friend", "secret"), ("stranger", ""), ("outside/plain", "")] {
            call(who, path);
        }
        boards = ["encryption", "policies"].map(|b| ask(&mesh, &format!("/api/security/{b}?window=30s")));
        let [encryption, policies] = &boards;
        let edge = |from: &str, state: &str| {
            let edges = encryption["edges"].as_array().cloned().unwrap_or_default();
            edges
                .iter()
                .any(|e| e["source"] == *from && e["target"] == "default/echo-v1" && e["state"] == *state)
        };
        let decided = |name: &str, what: &str| {
            let all = policies["policies"].as_array().cloned().unwrap_or_default();
            all.iter().any(|p| p["resource"]["name"] == *name && p["rules"][0][what].as_f64() > Some(0.0))
        };
        let implicit = policies["implicit"].as_array().is_some_and(|all| {
            all.iter().any(|w| w["workload"] == "default/echo-v1" && w["denied"].as_f64() > Some(0.0))
        });
        edge("default/friend", "encrypted")
            && edge("unknown", "plaintext")
            && decided("readers", "allowed")
            && decided("nobody-deletes", "denied")
            && implicit
    });
    let [encryption, policies] = &boards;
    let plain = encryption["edges"].as_array().unwrap().iter().find(|e| e["state"] == "plaintext").unwrap();
    assert!(plain["reason"].as_str().unwrap().contains("PERMISSIVE"), "{plain}");
    let echo = with(&encryption["workloads"], "id", "default/echo-v1");
    assert!(echo["plaintextRate"].as_f64() > Some(0.0) && echo["injected"] == true, "{echo}");
    let share = encryption["share"].as_f64().unwrap();
    assert!(share > 0.0 && share < 1.0, "{encryption}");
    let unused: Vec<&Value> = policies["policies"].as_array().unwrap().iter().map(|p| &p["unused"]).collect();
    assert_eq!(unused, [&Value::Bool(false), &Value::Bool(false)], "{policies}");

    certificates(&mesh);
    proxies_and_workloads(&mesh);
}

/// Each workload with a proxy has a certificate of the root that signs.
fn certificates(mesh: &Mesh) {
    let certificates = ask(mesh, "/api/security/certificates");
    assert_eq!(
        (&certificates["phase"], &certificates["roots"][0]["role"]),
        (&"steady".into(), &"signing".into())
    );
    for workload in
        ["default/friend", "default/stranger", "default/echo-v1", "istio-system/istio-ingressgateway"]
    {
        let one = with(&certificates["workloads"], "workload", workload);
        assert_eq!(
            (&one["state"], &one["root"]),
            (&"fresh".into(), &certificates["roots"][0]["fingerprint"]),
            "{one}"
        );
    }
}

/// Every pod has a proxy that has everything, but the one that wants none: that is said, with the way out.
fn proxies_and_workloads(mesh: &Mesh) {
    let mut proxies = Value::Null;
    mesh.eventually("every proxy has everything", LIMIT, || {
        proxies = ask(mesh, "/api/proxies");
        let all = proxies["proxies"].as_array().cloned().unwrap_or_default();
        all.len() == 4 && all.iter().all(|p| p["state"] == "SYNCED")
    });
    let plain = with(&proxies["unconnected"], "workload", "outside/plain");
    assert!(plain["reason"].as_str().unwrap().contains("inject"), "{plain}");
    let friend = with(&proxies["proxies"], "workload", "default/friend");
    assert!(
        friend["lastPush"].as_f64() > Some(0.0) && friend["certificateExpires"].as_f64() > Some(0.0),
        "{friend}"
    );
    for kind in ["cds", "lds", "eds", "rds"] {
        assert_eq!(friend["types"][kind]["state"], "SYNCED", "{friend}");
    }
    let id = friend["id"].as_str().unwrap();
    let dump = ask(mesh, &format!("/api/proxies/{id}/dump"));
    assert!(dump.to_string().contains("outbound|9080||echo.default.svc.cluster.local"), "{id}");

    let workloads = ask(mesh, "/api/workloads?window=30s&namespace=default");
    assert_eq!(workloads["workloads"].as_array().map(Vec::len), Some(3), "{workloads}");
    let echo = with(&workloads["workloads"], "id", "default/echo-v1");
    for counted in ["total", "ready", "injected", "synced"] {
        assert_eq!(echo["pods"][counted], 1, "{counted} of {echo}");
    }
    assert!(echo["inbound"]["rate"].as_f64() > Some(0.0), "{echo}");
    let one = ask(mesh, "/api/workloads/default/echo-v1?window=30s");
    let named: Vec<&str> =
        one["policies"].as_array().unwrap().iter().filter_map(|p| p["name"].as_str()).collect();
    assert_eq!(named, ["nobody-deletes", "readers"], "{one}");
    assert_eq!(
        (&one["mtlsMode"]["mode"], &one["podsList"][0]["proxy"]["state"]),
        (&"PERMISSIVE".into(), &"SYNCED".into())
    );
    with(&one["peers"]["inbound"], "id", "default/friend");
    for missing in
        ["/api/workloads/default/none", "/api/proxies/none.default/dump", "/api/security/access?to=a/b"]
    {
        assert_eq!(ask(mesh, missing)["error"]["reason"], "NotFound", "{missing}");
    }
}

/// `tulle dashboard TOOL` until it is dropped, and where it serves.
struct Forwarded {
    child: std::process::Child,
    address: String,
}

impl Forwarded {
    fn start(mesh: &Mesh, args: &[&str]) -> Self {
        let state = mesh.dir.path().join("state");
        let mut command = mesh.tulle(&["dashboard"]);
        command.args(args).args(["--port", "0"]).arg("--state-dir").arg(state).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { child, address: address.trim().to_owned() }
    }
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn pages_of_proxies_and_of_programs_in_the_mesh_are_reached_and_what_is_missing_is_said() {
    let folder = tempfile::Builder::new().prefix("pages").tempdir_in("/tmp").unwrap();
    std::fs::write(folder.path().join("index.html"), "the pages of Grafana").unwrap();
    let command = ["python3", "-m", "http.server", "3000", "--directory", folder.path().to_str().unwrap()];
    let grafana = host_program("grafana", &command, 3000, &json!({}))
        .replace(r#""metadata":{"name":"grafana"}"#, r#""metadata":{"name":"grafana","namespace":"tools"}"#);
    let manifests = [(
        "base.yaml",
        documents(&[injected_default(), namespace("tools", false), client("friend", "friend", ""), grafana]),
    )];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });

    let grafana = Forwarded::start(&mesh, &["grafana", "-n", "tools"]);
    for _ in 0..3 {
        assert_eq!(http_get(&format!("{}/", grafana.address)), (200, "the pages of Grafana".to_owned()));
    }
    let envoy = Forwarded::start(&mesh, &["envoy", "deploy/friend"]);
    let (status, info) = http_get(&format!("{}/server_info", envoy.address));
    assert!(status == 200 && info.contains("sidecar~"), "{status} {info}");

    let state = mesh.dir.path().join("state");
    for (args, code, said) in [
        (&["kiali"][..], 1, "kiali does not run in namespace istio-system"),
        (&["prometheus", "-n", "tools"], 1, "/api/v1/query"),
        (&["envoy"], 2, "whose proxy?"),
        (&["envoy", "nobody"], 1, "tulle status lists the pods"),
    ] {
        let output = mesh.tulle(&["dashboard"]).args(args).arg("--state-dir").arg(&state).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(code) && error.contains(said),
            "{args:?}: {:?} {error}",
            output.status
        );
    }
}

/// The first rule answers for one user, the second sends on what others ask.
const RULES: &str = r#"apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: echo, namespace: default}
spec:
  hosts: [echo]
  http:
  - match: [{headers: {x-user: {exact: jane}}}]
    fault: {abort: {httpStatus: 503, percentage: {value: 100}}}
    route: [{destination: {host: echo}}]
  - route: [{destination: {host: echo}}]
"#;

#[test]
fn each_rule_of_a_route_is_counted_for_itself() {
    let base = [
        injected_default(),
        client("client", "client", ""),
        echo("echo", "v1"),
        service("echo", "http"),
        RULES.to_owned(),
    ];
    let mesh = Mesh::start(&Spec { manifests: &[("base.yaml", documents(&base))], ..Spec::default() });
    let call = |headers: &[&str]| mesh.get_from("client", "http://echo.default:9080/", headers).0;
    for _ in 0..4 {
        assert_eq!(call(&["x-user: jane"]), 503);
    }
    for _ in 0..9 {
        assert_eq!(call(&[]), 200);
    }
    let mut service = Value::Null;
    mesh.eventually("both rules are counted", LIMIT, || {
        service = ask(&mesh, "/api/services/default/echo?window=1m");
        let requests = |rule: usize| service["routes"][rule]["requests"].as_f64().unwrap_or(0.0);
        (requests(0), requests(1)) == (4.0, 9.0)
    });
    let routes = &service["routes"];
    for (rule, name, error_rate) in [(0, "http[0]", 1.0), (1, "http[1]", 0.0)] {
        let route = &routes[rule];
        assert_eq!((&route["name"], &route["errorRate"]), (&name.into(), &error_rate.into()), "{route}");
        assert_eq!((&route["grpc"], route["p95"].as_f64() > Some(0.0)), (&0.0.into(), true), "{route}");
    }
    // A rule is no label of Istio's metrics, and not scraped either.
    let all =
        service["queries"]["routes"].as_str().expect("the page says how to ask Prometheus' API").to_owned();
    let encoded: String = all.bytes().map(|b| format!("%{b:02x}")).collect();
    mesh.eventually("Prometheus' API tells the same by rule", LIMIT, || {
        let answer = ask(&mesh, &format!("/api/v1/query?query={encoded}"));
        let rules = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        rules.iter().any(|r| r["metric"]["route_rule"] == "http[1]" && r["metric"]["result"] == "ok")
    });
    let names = ask(&mesh, "/api/v1/labels?match[]=istio_requests_total");
    assert!(!names.to_string().contains("route"), "{names}");
}
