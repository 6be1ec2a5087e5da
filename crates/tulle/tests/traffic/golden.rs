//! The dashboard example of the mission's `istio-architecture.md` out of real traffic: rate, errors, latency, connections and breaker of
//! each service, which the dashboard, `tulle top`, our own store and a real Prometheus say alike.
//!
//! The window holds the whole of the load, and nothing happens at its ends: so the counts of all four are the load generator's, and
//! quantiles come from the same buckets by the same estimate.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::{Mesh, Spec};
use crate::manifests::{bin, client, documents, injected_default, namespace};
use crate::prometheus::{encoded, host_program, ours, program, prometheus, targets};

const LIMIT: Duration = Duration::from_secs(90);
/// How often proxies tell, with what a busy machine adds; seconds.
const TICK: f64 = 8.0;

const BREAKER: &str = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: NAME}\nspec:\n  host: NAME\n  \
     trafficPolicy:\n    outlierDetection: {consecutive5xxErrors: 5, interval: 1s, baseEjectionTime: 10m, maxEjectionPercent: 100}\n";

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// The number that an instant query has at a moment; `None` without one.
fn number(mesh: &Mesh, ask: fn(&Mesh, &str) -> Value, query: &str, time: f64) -> Option<f64> {
    let answer = ask(mesh, &format!("/api/v1/query?time={time:.3}&query={}", encoded(query)));
    let result = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{query}: {answer}")).clone();
    assert!(result.len() <= 1, "{query}: {answer}");
    result.first()?["value"][1].as_str()?.parse().ok()
}

fn selector(service: &str) -> String {
    format!(r#"reporter="source",destination_service="{service}.default.svc.cluster.local""#)
}

/// What happened in the window of so many seconds that ends at the moment of the query.
fn during(metric: &str, by: &str, window: f64) -> String {
    format!("(sum {by} ({metric}) - (sum {by} ({metric} offset {window}s)))")
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * b.abs().max(1.0)
}

/// Sends exactly so many requests, and returns how many were answered with a status from 500 on.
fn load(mesh: &Mesh, url: &str, requests: u64) -> u64 {
    let report = mesh.load_from("client", &[url, "-n", &requests.to_string(), "-c", "4", "-d", "60"]);
    let statuses = report["status"].as_object().unwrap_or_else(|| panic!("{report}"));
    let all: u64 = statuses.values().filter_map(Value::as_u64).sum();
    assert_eq!(all, requests, "{report}");
    statuses.iter().filter(|(s, _)| s.starts_with('5')).filter_map(|(_, n)| n.as_u64()).sum()
}

/// A service with the requests of the window, and those of them that failed.
struct Called {
    name: &'static str,
    requests: u64,
    failed: u64,
    breaker: &'static str,
}

#[test]
fn dashboard_top_store_and_prometheus_say_the_same_of_each_service() {
    let Some(server) = program("prometheus") else { return };
    let folder = tempfile::Builder::new().prefix("gold").tempdir_in("/tmp").unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(at("targets.json"), "[]").unwrap();
    let config = format!(
        "global: {{scrape_interval: 2s}}\nscrape_configs:\n- job_name: pods\n  \
         file_sd_configs: [{{files: [{}], refresh_interval: 1s}}]\n",
        at("targets.json")
    );
    std::fs::write(at("prometheus.yml"), config).unwrap();
    let (config, data) =
        (format!("--config.file={}", at("prometheus.yml")), format!("--storage.tsdb.path={}", at("data")));
    let command = [server.to_str().unwrap(), &config, &data, "--web.listen-address=0.0.0.0:9090"];
    let monitoring = host_program("prometheus", &command, 9090, &json!({})).replace(
        r#""metadata":{"name":"prometheus"}"#,
        r#""metadata":{"name":"prometheus","namespace":"monitoring"}"#,
    );
    // Of Envoy's own statistics a Prometheus sees what is asked for.
    let shown = r#"proxy.istio.io/config: "proxyStatsMatcher: {inclusionPrefixes: [cluster.outbound]}""#;
    let manifests = [
        (
            "services.yaml",
            documents(&[
                injected_default(),
                namespace("monitoring", false),
                bin("payment-service", 2, 9080),
                bin("account-adapter", 1, 9080),
                BREAKER.replace("NAME", "payment-service"),
                BREAKER.replace("NAME", "account-adapter"),
            ]),
        ),
        ("client.yaml", documents(&[client("client", "client", shown), monitoring])),
    ];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    std::fs::write(at("targets.json"), targets(&mesh).to_string()).unwrap();

    let counted = |wanted: &[(&str, u64)]| {
        let same = |ask| {
            wanted.iter().all(|(service, n)| {
                let query = format!("sum(istio_requests_total{{{}}})", selector(service));
                number(&mesh, ask, &query, now()) == Some(*n as f64)
            })
        };
        same(ours) && same(prometheus)
    };
    let url = |service: &str, path: &str| format!("http://{service}:9080{path}");
    let warm = [("payment-service", 8), ("account-adapter", 8)];
    for (service, n) in warm {
        assert_eq!(load(&mesh, &url(service, "/get"), n), 0);
    }
    mesh.eventually("both stores have what came before", LIMIT, || counted(&warm));

    // The window is counted back from a proxy's last tick: what came before has to lie a tick behind it.
    std::thread::sleep(Duration::from_secs_f64(TICK));
    let began = now();
    let mut called = [
        Called { name: "payment-service", requests: 0, failed: 0, breaker: "closed" },
        Called { name: "account-adapter", requests: 0, failed: 0, breaker: "open" },
    ];
    for (service, path, n) in [
        (0, "/get", 300),
        (0, "/delay/0.03", 40),
        // Apart, so that no endpoint fails five times in a row.
        (0, "/status/503", 1),
        (0, "/get", 100),
        (0, "/status/503", 2),
        (0, "/delay/0.2", 8),
        (1, "/get", 100),
        // Five in a row leave the only endpoint out: what comes then finds none.
        (1, "/status/500", 6),
        (1, "/get", 20),
    ] {
        called[service].failed += load(&mesh, &url(called[service].name, path), n);
        called[service].requests += n;
    }
    assert_eq!((called[0].failed, called[1].failed), (3, 26), "as the load generator saw it");
    let totals = called.each_ref().map(|c| (c.name, c.requests + 8));
    mesh.eventually("both stores have everything", LIMIT, || counted(&totals));
    // Gauges come with the same tick; a tick later nothing moves any more.
    let window = (now() - began + TICK).ceil();
    let time = began + window;
    std::thread::sleep(Duration::from_secs_f64((time - now()).max(0.0) + 0.5));

    let services = dashboard(&mesh, &format!("/api/services?time={time:.3}&window={window}s"));
    let (state, moment, seconds) =
        (mesh.dir.path().join("state"), format!("{time:.3}"), format!("{window}s"));
    let top = |format: &str| {
        let args = ["top", "--once", "-o", format, "--time", &moment, "--window", &seconds, "-n", "default"];
        let output = mesh.tulle(&args).arg("--state-dir").arg(&state).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let (from_top, table) = (serde_json::from_str::<Value>(&top("json")).unwrap(), top("table"));
    eprintln!("the load generator: {:?}\n{table}", called.each_ref().map(|c| (c.name, c.requests, c.failed)));
    for one in &called {
        let row = of(&services, one.name);
        alike(&row, &of(&from_top, one.name));
        in_the_table(&table, &row);
        counts(one, &row, window);
        for ask in [ours, prometheus] {
            metrics(&mesh, ask, &row, (time, window));
        }
    }
}

fn dashboard(mesh: &Mesh, path: &str) -> Value {
    ours(mesh, path)
}

/// The row of a service.
fn of(services: &Value, name: &str) -> Value {
    let id = format!("default/{name}");
    let row = services["services"].as_array().and_then(|all| all.iter().find(|s| s["id"] == *id));
    row.unwrap_or_else(|| panic!("no {id} in {services}")).clone()
}

const NUMBERS: [&str; 8] =
    ["requests", "rate", "errorRate", "successRate", "p50", "p95", "p99", "connections"];

/// Two rows say the same.
fn alike(a: &Value, b: &Value) {
    for name in NUMBERS {
        let (x, y) = (a[name].as_f64(), b[name].as_f64());
        assert!(x.zip(y).is_some_and(|(x, y)| near(x, y)), "{name}: {a} and {b}");
    }
    assert_eq!((&a["breaker"], &a["health"]), (&b["breaker"], &b["health"]));
}

/// The table for people has the row's numbers, as it rounds them.
fn in_the_table(table: &str, row: &Value) {
    let id = row["id"].as_str().unwrap();
    let line = table.lines().find(|l| l.starts_with(id)).unwrap_or_else(|| panic!("no {id} in {table}"));
    let rate = format!(" {:.1} ", row["rate"].as_f64().unwrap());
    let errors = format!(" {:.1}% ", row["errorRate"].as_f64().unwrap() * 100.0);
    let state = row["breaker"]["state"].as_str().unwrap();
    for text in [rate.as_str(), &errors, state] {
        assert!(line.contains(text), "{text:?} in {line}");
    }
}

/// The row says what the load generator counted.
fn counts(called: &Called, row: &Value, window: f64) {
    let Called { name, requests, failed, breaker } = *called;
    let number = |name: &str| row[name].as_f64().unwrap_or_else(|| panic!("{name} of {row}"));
    let share = failed as f64 / requests as f64;
    assert!(near(number("requests"), requests as f64), "{row}");
    assert!(near(number("errorRate"), share) && near(number("successRate"), 1.0 - share), "{row}");
    // A rate is over the time between two ticks, which lie as near to the ends of the window as they come.
    let seconds = requests as f64 / number("rate");
    assert!((seconds - window).abs() <= TICK, "{name}: measured over {seconds} s of {window} s");
    assert!(number("p50") <= number("p95") && number("p95") <= number("p99") && number("p50") > 0.0, "{row}");
    assert!(number("connections") >= 1.0 || breaker == "open", "{row}");
    assert_eq!(row["breaker"]["state"], breaker, "{row}");
}

/// The metrics say what the row says.
fn metrics(mesh: &Mesh, ask: fn(&Mesh, &str) -> Value, row: &Value, (time, window): (f64, f64)) {
    let name = row["name"].as_str().unwrap();
    let selector = selector(name);
    let value = |query: &str| number(mesh, ask, query, time).unwrap_or_else(|| panic!("no data for {query}"));
    let total = during(&format!("istio_requests_total{{{selector}}}"), "", window);
    let failing = format!(r#"istio_requests_total{{{selector},response_code=~"0|5.."}}"#);
    // Nothing had failed before.
    let share = format!("sum({failing}) / {total}");
    let buckets = format!("istio_request_duration_milliseconds_bucket{{{selector}}}");
    let quantile = |q: f64| format!("histogram_quantile({q}, {})", during(&buckets, "by (le)", window));
    let queries = ours(mesh, &format!("/api/services/default/{name}?time={time:.3}&window={window}s"));
    let query = |name: &str| queries["queries"][name].as_str().unwrap().to_owned();
    for (expected, query) in [
        (&row["requests"], total.clone()),
        (&row["errorRate"], share),
        (&row["p50"], quantile(0.5)),
        (&row["p95"], quantile(0.95)),
        (&row["p99"], quantile(0.99)),
        (&row["connections"], query("connections")),
        (&row["breaker"]["ejected"], query("ejected")),
        (&row["breaker"]["endpoints"], query("endpoints")),
    ] {
        let (found, expected) =
            (value(&query), expected.as_f64().unwrap_or_else(|| panic!("{query}: {row}")));
        assert!(near(found, expected), "{name}: {query} is {found}, the dashboard says {expected}");
    }
    // What the page offers to copy measures a little less of the window, at both ends.
    let rate = value(&query("rate"));
    let shown = row["rate"].as_f64().unwrap();
    assert!((rate / shown - 1.0).abs() <= 2.0 * TICK / window, "{name}: {rate} for {shown}");
}
