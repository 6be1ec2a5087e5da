//! The dashboard's answers in a whole mesh: what is shown is what happens.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Mesh, Spec, http_get, report};
use crate::manifests::{bin, client, documents, echo, injected_default, service, subsets};

const LIMIT: Duration = Duration::from_secs(60);

fn address(mesh: &Mesh) -> String {
    mesh.ready["dashboard"].as_str().expect("the ready file names the dashboard").to_owned()
}

fn ask(mesh: &Mesh, path: &str) -> Value {
    let (status, body) = http_get(&format!("{}{path}", address(mesh)));
    serde_json::from_str(&body).unwrap_or_else(|_| Value::String(format!("{status} {body}")))
}

/// One request as a browser or a program sends it: status, head and body.
fn send(mesh: &Mesh, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String, Value) {
    use std::io::Read;
    let host = address(mesh).trim_start_matches("http://").to_owned();
    let mut socket = TcpStream::connect(&host).unwrap();
    let headers: String = headers.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(body.as_bytes()).unwrap();
    let mut reply = String::new();
    socket.read_to_string(&mut reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), serde_json::from_str(body).unwrap_or(Value::Null))
}

fn tulle(mesh: &Mesh, args: &[&str]) -> String {
    let state = mesh.dir.path().join("state");
    let output = mesh.tulle(args).arg("--state-dir").arg(state).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn find(list: &Value, test: impl Fn(&Value) -> bool) -> Option<&Value> {
    list.as_array()?.iter().find(|one| test(one))
}

/// Must show 1 of the dashboard, as far as the server makes it.
#[test]
fn the_graph_of_bookinfo_is_there_after_ten_seconds_and_shows_a_fault_where_it_is() {
    let mesh = Mesh::start(&Spec { args: &["--demo", "bookinfo"], ..Spec::default() });
    let gateway = mesh.ready["gateway"].as_str().unwrap().to_owned();
    let load = std::thread::spawn({
        let began = Instant::now();
        move || {
            let mut answered = 0_u32;
            while began.elapsed() < Duration::from_secs(70) {
                let next = began + Duration::from_millis(u64::from(answered) * 200);
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
                assert_eq!(http_get(&format!("{gateway}/productpage")).0, 200);
                answered += 1;
            }
            f64::from(answered) / began.elapsed().as_secs_f64()
        }
    });
    std::thread::sleep(Duration::from_secs(10));
    let graph = ask(&mesh, "/api/graph?window=10s&idle=1&layout=1");
    let wanted = ["productpage-v1", "details-v1", "reviews-v1", "reviews-v2", "reviews-v3", "ratings-v1"];
    for name in wanted {
        let id = format!("default/{name}");
        let node =
            find(&graph["nodes"], |n| n["id"] == *id).unwrap_or_else(|| panic!("no {name} in {graph}"));
        assert_eq!(node["pods"]["synced"], 1, "{node}");
        assert!(graph["layout"]["places"][&id].is_array(), "{id} has a place");
    }
    let edge = |graph: &Value, source: &str, target: &str| {
        find(&graph["edges"], |e| e["source"] == source && e["target"] == target).cloned()
    };
    let gateway = "istio-system/istio-ingressgateway";
    let entrance = edge(&graph, gateway, "default/productpage-v1").expect("the gateway calls productpage");
    assert_eq!((&entrance["mtls"], &entrance["health"]), (&1.0.into(), &"healthy".into()), "{entrance}");
    assert_eq!(
        entrance["principals"]["destination"],
        "spiffe://cluster.local/ns/default/sa/bookinfo-productpage"
    );

    std::thread::sleep(Duration::from_secs(35));
    let shown = ask(&mesh, "/api/graph?window=30s");
    let entrance = edge(&shown, gateway, "default/productpage-v1").unwrap()["rate"].as_f64().unwrap();
    let service = ask(&mesh, "/api/services/default/productpage?window=30s");
    assert!((service["rate"].as_f64().unwrap() - entrance).abs() <= 0.02 * entrance, "{service}");

    // A fault between productpage and reviews: that edge turns red, and says that the fault was injected.
    let (status, _, refused) = send(&mesh, "PUT", "/api/resources", &[], FAULT);
    assert_eq!((status, &refused["error"]["reason"]), (403, &"Anonymous".into()), "{refused}");
    let token = tulle(&mesh, &["dashboard", "--make-token", "write"]);
    let bearer = format!("Bearer {}", token.trim());
    let (status, _, wrote) = send(&mesh, "PUT", "/api/resources", &[("Authorization", &bearer)], FAULT);
    assert_eq!((status, &wrote["applied"][0]["operation"]), (200, &"create".into()), "{wrote}");
    let rate = load.join().unwrap();
    eprintln!("the load generator counted {rate:.3}/s, the graph showed {entrance:.3}/s");
    assert!((entrance - rate).abs() <= 0.02 * rate, "{entrance} for {rate}");
    let mut seen = Value::Null;
    mesh.eventually("the edge to reviews is red because of a fault", LIMIT, || {
        mesh.get("/productpage");
        let graph = ask(&mesh, "/api/graph?window=10s");
        let edges = graph["edges"].as_array().cloned().unwrap_or_default();
        let red = |e: &Value| {
            e["source"] == "default/productpage-v1"
                && e["service"] == "service:default/reviews"
                && e["health"] == "failing"
        };
        seen = edges.into_iter().find(red).unwrap_or_default();
        find(&seen["reasons"], |r| r["code"] == "flag:FI").is_some()
    });
    eprintln!("after the fault: {}", seen["reasons"]);
    let reason = find(&seen["reasons"], |r| r["code"] == "flag:FI").unwrap();
    assert_eq!(reason["resource"]["id"], "VirtualService/default/reviews", "{reason}");
    assert!(reason["text"].as_str().unwrap().contains("VirtualService default/reviews, "), "{reason}");
    assert!(find(&seen["badges"], |b| b == "fault").is_some(), "{seen}");
    // Others are as before.
    let details = edge(&ask(&mesh, "/api/graph?window=10s"), "default/productpage-v1", "default/details-v1");
    assert_eq!(details.unwrap()["errors"], 0.0);

    // The change is told, with who made it, and what became of it.
    let overview = ask(&mesh, "/api/overview");
    let change =
        find(&overview["changes"], |c| c["resource"]["id"] == "VirtualService/default/reviews").unwrap();
    assert_eq!(
        (&change["source"], &change["operation"]),
        (&"dashboard".into(), &"create".into()),
        "{change}"
    );
    let resource = ask(&mesh, "/api/resources/VirtualService/default/reviews");
    assert_eq!(resource["programmed"]["state"], "programmed", "{resource}");
    assert!(
        find(&resource["programmed"]["proxies"], |p| p["id"].as_str().unwrap().starts_with("productpage"))
            .is_some()
    );
    assert_eq!(
        find(&overview["checks"], |c| c["id"] == "proxies-synced").unwrap()["status"],
        "ok",
        "{overview}"
    );
}

const FAULT: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec:
  hosts: [reviews]
  http:
  - fault: {abort: {httpStatus: 503, percentage: {value: 100}}}
    route:
    - destination: {host: reviews}
";

/// Must show 4: rate, errors, latency, connections and breaker state are the same in the API, in `tulle top` and in the metrics.
#[test]
fn the_numbers_are_the_same_in_the_api_in_top_and_in_metrics() {
    let rule = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: echo, namespace: default}
spec:
  host: echo
  trafficPolicy:
    connectionPool: {http: {http2MaxRequests: 100}}
    outlierDetection: {consecutive5xxErrors: 5, interval: 1s, baseEjectionTime: 60s, maxEjectionPercent: 100}
"
    .to_owned();
    let manifests = [
        ("base.yaml", documents(&[injected_default(), client("client", "client", "")])),
        ("echo.yaml", documents(&[bin("echo", 1, 8080), rule])),
    ];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    let began = Instant::now();
    let load = mesh.start_load("client", &["http://echo:8080/status/200", "-d", "60", "-c", "4", "-r", "40"]);
    std::thread::sleep(Duration::from_secs(50).saturating_sub(began.elapsed()));
    // The moment is said, so that all look at the same.
    let time = ask(&mesh, "/api/services?window=30s")["time"].as_f64().unwrap() - 1.0;
    let api = ask(&mesh, &format!("/api/services?window=30s&time={time}"));
    let moment = time.to_string();
    let top = tulle(&mesh, &["top", "--once", "-o", "json", "--window", "30s", "--time", &moment]);
    let top: Value = serde_json::from_str(&top).unwrap();
    let table = tulle(&mesh, &["top", "--once", "--window", "30s"]);
    let one = ask(&mesh, &format!("/api/services/default/echo?window=30s&time={time}"));
    let metric = |text: &str| -> f64 {
        let encoded: String = text.bytes().map(|b| format!("%{b:02x}")).collect();
        let answer = ask(&mesh, &format!("/api/v1/query?query={encoded}&time={time}"));
        answer["data"]["result"][0]["value"][1].as_str().unwrap_or("nan").parse().unwrap()
    };
    let told = report(load.wait_with_output().unwrap());
    let wanted = told["requests"].as_f64().unwrap() / told["seconds"].as_f64().unwrap();
    let echo = |list: &Value| find(&list["services"], |s| s["id"] == "default/echo").cloned().unwrap();
    let (api, top) = (echo(&api), echo(&top));
    eprintln!("api {api}\ntop {top}\n{table}");
    let number = |value: &Value, name: &str| value[name].as_f64().unwrap_or(f64::NAN);
    let near = |name: &str, a: f64, b: f64, part: f64| {
        assert!((a - b).abs() <= part * b.abs().max(0.001), "{name}: {a} and {b}");
    };
    near("the generator's rate", number(&api, "rate"), wanted, 0.02);
    for name in ["rate", "errorRate", "p50", "p95", "p99", "connections", "breaker", "health", "mtls"] {
        assert_eq!(top[name], api[name], "{name} in top and in the API");
    }
    assert_eq!(api["rate"], one["rate"], "the list and the page");
    // Prometheus' rate() extrapolates between ticks of 5 s: within 2 % over 30 s.
    let query = |name: &str| metric(&one["queries"][name].as_str().unwrap().replace("[1m]", "[30s]"));
    near("rate in metrics", query("rate"), number(&api, "rate"), 0.02);
    // While requests go on, the two do not see the same of them; `golden.rs` compares quantiles when nothing moves any more.
    for name in ["p50", "p95", "p99"] {
        assert!(query(name) > 0.0, "{name}");
    }
    assert_eq!(number(&api, "errorRate"), 0.0);
    near("connections", query("connections"), number(&api, "connections"), 0.0);
    assert!(number(&api, "connections") >= 1.0);
    assert_eq!((&api["breaker"]["state"], &top["breaker"]["state"]), (&"closed".into(), &"closed".into()));
    assert_eq!(api["mtls"], 1.0);
    let endpoint = &one["endpoints"]["list"][0];
    assert_eq!(
        (&endpoint["breaker"], &endpoint["workload"]),
        (&"closed".into(), &"default/echo".into()),
        "{endpoint}"
    );
    near("the only endpoint has all", number(endpoint, "rate"), number(&api, "rate"), 0.05);

    // Five failures: the breaker opens, everywhere.
    let failing = ["http://echo:8080/status/503", "-d", "20", "-c", "2", "-r", "20"];
    let load = mesh.start_load("client", &failing);
    mesh.eventually("the breaker is open", LIMIT, || {
        ask(&mesh, "/api/services/default/echo?window=10s")["breaker"]["state"] == "open"
    });
    let one = ask(&mesh, "/api/services/default/echo?window=10s");
    let table = tulle(&mesh, &["top", "--once", "--window", "10s"]);
    eprintln!("{}\n{table}", one["breaker"]);
    assert!(table.contains("open (1/1 ejected)"), "{table}");
    assert_eq!(one["endpoints"]["list"][0]["breaker"], "open", "{one}");
    assert_eq!(one["endpoints"]["list"][0]["ejectedBy"][0], "default/client");
    let ejected = r#"sum(envoy_cluster_outlier_detection_ejections_active{cluster_name=~".*echo.*"})"#;
    let encoded: String = ejected.bytes().map(|b| format!("%{b:02x}")).collect();
    assert_eq!(ask(&mesh, &format!("/api/v1/query?query={encoded}"))["data"]["result"][0]["value"][1], "1");
    let _ = load.wait_with_output();
}

/// Login, validation, writes with their versions, rollouts, and what outlives the control plane.
#[test]
fn configuration_is_written_by_who_logged_in_and_its_versions_come_back() {
    let manifests = [
        ("base.yaml", documents(&[injected_default(), client("client", "client", "")])),
        (
            "echo.yaml",
            documents(&[
                echo("echo", "v1"),
                echo("echo", "v2"),
                service("echo", "http"),
                subsets("echo", &[("v1", "v1"), ("v2", "v2")]),
            ]),
        ),
    ];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    // Whoever can read the state directory logs in, once.
    let session = ask(&mesh, "/api/session");
    assert_eq!((&session["mode"], &session["canWrite"]), (&"anonymous".into(), &false.into()), "{session}");
    let url = tulle(&mesh, &["dashboard", "--print"]);
    let (page, token) = url.trim().split_once("#token=").expect("a token behind the address");
    assert_eq!(page, format!("{}/login", address(&mesh)));
    let body = serde_json::json!({"token": token}).to_string();
    let (status, head, session) =
        send(&mesh, "POST", "/api/login", &[("Content-Type", "application/json")], &body);
    assert_eq!((status, &session["canWrite"]), (200, &true.into()), "{session}");
    let cookie = head.lines().find_map(|l| l.strip_prefix("set-cookie: ")).unwrap();
    assert!(cookie.contains("httponly") && cookie.contains("samesite=strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    assert_eq!(send(&mesh, "POST", "/api/login", &[], &body).0, 401, "it is good once");
    let csrf = session["csrf"].as_str().unwrap().to_owned();
    let own = address(&mesh);
    let logged_in = [("Cookie", cookie.as_str()), ("X-Tulle-Csrf", csrf.as_str()), ("Origin", own.as_str())];

    // A page of somebody else, and one that does not know the secret, write nothing.
    let split = |v2: u32| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: echo, namespace: default}}\nspec:\n  hosts: [echo]\n  \
             http:\n  - route:\n    - {{destination: {{host: echo, subset: v1}}, weight: {}}}\n    - {{destination: {{host: echo, subset: v2}}, \
             weight: {v2}}}\n",
            100 - v2
        )
    };
    for (headers, reason) in [
        (vec![("Cookie", cookie.as_str())], "BadCsrf"),
        (
            vec![("Cookie", cookie.as_str()), ("X-Tulle-Csrf", &csrf), ("Origin", "http://evil.example")],
            "BadOrigin",
        ),
    ] {
        let (status, _, refused) = send(&mesh, "PUT", "/api/resources", &headers, &split(10));
        assert_eq!((status, &refused["error"]["reason"]), (403, &reason.into()), "{refused}");
    }
    let host = [("Host", "evil.example")];
    assert_ne!(send(&mesh, "GET", "/api/services", &host, "").0, 200, "a name that is not ours");

    // What is wrong is told as one types, at its place, and is not applied.
    let wrong = split(10).replace("subset: v2", "subset: v9");
    let (_, _, found) = send(&mesh, "POST", "/api/validate", &logged_in, &wrong);
    assert!(
        find(&found["diagnostics"], |d| d["message"].as_str().unwrap().contains("v9")).is_some(),
        "{found}"
    );
    let broken = split(10).replace("weight: 90", "weight: x");
    let (status, _, refused) = send(&mesh, "PUT", "/api/resources", &logged_in, &broken);
    assert_eq!(status, 422, "{refused}");
    assert!(find(&refused["diagnostics"], |d| d["line"].is_u64()).is_some(), "{refused}");

    // Tried, then done; the versions are told with what changed.
    let (_, _, tried) = send(&mesh, "PUT", "/api/resources?dryRun=1", &logged_in, &split(10));
    assert_eq!(
        (&tried["dryRun"], &tried["applied"][0]["operation"]),
        (&true.into(), &"create".into()),
        "{tried}"
    );
    let id = "/api/resources/VirtualService/default/echo";
    assert_eq!(send(&mesh, "GET", id, &[], "").0, 404, "it was tried only");
    for weight in [10, 50] {
        let (status, _, wrote) = send(&mesh, "PUT", "/api/resources", &logged_in, &split(weight));
        assert_eq!(status, 200, "{wrote}");
        mesh.eventually("it is in force", LIMIT, || ask(&mesh, id)["programmed"]["state"] == "programmed");
    }
    let resource = ask(&mesh, id);
    let versions = &resource["versions"];
    assert_eq!(
        (&versions[0]["version"], &versions[0]["operation"]),
        (&2.into(), &"update".into()),
        "{versions}"
    );
    assert!(versions[0]["who"].as_str().unwrap().starts_with("session 1"), "{versions}");
    assert!(versions[0]["summary"].as_str().unwrap().contains("weight: 90 → 50"), "{versions}");
    let stale = format!("{id}?resourceVersion=1");
    assert_eq!(send(&mesh, "PUT", &stale, &logged_in, &split(30)).0, 409, "it is another by now");
    let diff = ask(&mesh, "/api/diff?resource=VirtualService/default/echo&from=1&to=live");
    assert_eq!(diff["changes"][0]["from"], 90, "{diff}");
    assert!(
        diff["unified"].as_str().unwrap().lines().any(|l| l.starts_with("-") && l.ends_with("weight: 90")),
        "{diff}"
    );

    // Both sides of the split, with what the numbers are worth.
    let load = mesh.start_load("client", &["http://echo:9080/", "-d", "30", "-c", "2", "-r", "20"]);
    let mut rollout = Value::Null;
    mesh.eventually("both sides had requests", LIMIT, || {
        let all = ask(&mesh, "/api/rollouts?window=30s");
        rollout = find(&all["rollouts"], |r| r["service"] == "default/echo").cloned().unwrap_or_default();
        rollout["variants"]
            .as_array()
            .is_some_and(|v| v.iter().all(|v| v["samples"].as_f64().unwrap_or(0.0) >= 40.0))
    });
    let _ = load.wait_with_output();
    let canary = find(&rollout["variants"], |v| v["role"] == "canary").unwrap();
    assert!(
        canary["successLow"].as_f64().unwrap() < 1.0 && canary["successHigh"].as_f64().unwrap() > 0.999,
        "{canary}"
    );
    assert_eq!(rollout["comparison"]["verdict"], "no difference seen", "{rollout}");

    // Back to what it was; then the control plane is killed, and knows it all the same.
    let (status, _, reverted) = send(&mesh, "POST", &format!("{id}/revert?version=1"), &logged_in, "");
    assert_eq!((status, &reverted["applied"][0]["operation"]), (200, &"update".into()), "{reverted}");
    mesh.eventually("three versions", LIMIT, || ask(&mesh, id)["versions"][0]["version"] == 3);
    assert!(ask(&mesh, id)["yaml"].as_str().unwrap().contains("weight: 90"));
    let state = mesh.dir.path().join("state");
    let planes = crate::harness::processes_with(state.to_str().unwrap());
    let planes: Vec<u32> =
        planes.into_iter().filter(|p| crate::harness::processes_with("control-plane").contains(p)).collect();
    crate::harness::signal(planes[0], "KILL");
    mesh.eventually("versions outlive the control plane", Duration::from_secs(90), || {
        let versions = ask(&mesh, id)["versions"].clone();
        versions[0]["version"] == 3 && versions[2]["version"] == 1
    });
    assert_eq!(send(&mesh, "DELETE", id, &logged_in, "").0, 403, "sessions end with the process");
    let bearer = format!("Bearer {}", tulle(&mesh, &["dashboard", "--make-token", "write"]).trim());
    let (status, _, deleted) = send(&mesh, "DELETE", id, &[("Authorization", &bearer)], "");
    assert_eq!((status, &deleted["deleted"]["name"]), (200, &"echo".into()), "{deleted}");
    mesh.eventually("it is gone", LIMIT, || send(&mesh, "GET", id, &[], "").0 == 404);
    let audit = std::fs::read_to_string(state.join("istiod/audit.log")).unwrap_or_default();
    for said in ["\"dashboard.used\"", "PUT resources", "DELETE resources", "BadOrigin"] {
        assert!(audit.contains(said), "{said} in the audit log");
    }
}

/// Events come as they happen, and pods read nothing without a token.
#[test]
fn events_are_told_and_pods_read_nothing_without_a_token() {
    let manifests = [
        ("base.yaml", documents(&[injected_default(), client("client", "client", "")])),
        ("echo.yaml", documents(&[echo("echo", "v1"), service("echo", "http")])),
    ];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    let from_pod = |headers: &[&str]| {
        let url = "http://istiod.istio-system.svc.cluster.local:20001/api/v1/query?query=up";
        mesh.get_from("client", url, headers).0
    };
    assert_eq!(from_pod(&[]), 401);
    let bearer =
        format!("Authorization: Bearer {}", tulle(&mesh, &["dashboard", "--make-token", "read"]).trim());
    assert_eq!(from_pod(&[&bearer]), 200);

    let host = address(&mesh).trim_start_matches("http://").to_owned();
    let mut socket = TcpStream::connect(&host).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(socket, "GET /api/events HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    // Ticks come for as long as one listens.
    let mut lines = BufReader::new(socket).lines().map_while(Result::ok).take_while(|_| Instant::now() < end);
    assert!(lines.by_ref().any(|l| l == "event: hello"));
    mesh.write(
        "echo.yaml",
        &documents(&[echo("echo", "v1"), service("echo", "http"), FAULT.replace("reviews", "echo")]),
    );
    assert!(lines.by_ref().any(|l| l == "event: config"), "the change is told");
    let change = lines.by_ref().find(|l| l.starts_with("data: ")).unwrap();
    assert!(change.contains("VirtualService/default/echo") && change.contains("\"create\""), "{change}");
    assert!(lines.by_ref().any(|l| l == "event: tick"));
    assert_eq!(ask(&mesh, "/api/control-plane")["events"]["clients"], 1);
}
