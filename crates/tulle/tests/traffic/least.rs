//! Least privilege from traffic: policies made of what was counted, grants that nobody used, and who speaks in the clear.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Mesh, Spec};
use crate::manifests::{client, documents, echo, injected_default, namespace, service, within};

const WITHIN: Duration = Duration::from_secs(60);
const URL: &str = "http://echo.default:9080/";

/// A command against the mesh: exit code and output.
fn ask(mesh: &Mesh, args: &[&str]) -> (i32, String) {
    let state = mesh.dir.path().join("state");
    let all = [args, &["--state-dir", state.to_str().unwrap()]].concat();
    let output = mesh.tulle(&all).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code().unwrap_or(-1), text + &String::from_utf8_lossy(&output.stderr))
}

fn json(mesh: &Mesh, args: &[&str]) -> Value {
    let (_, text) = ask(mesh, &[args, &["-o", "json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn what_is_suggested_lets_the_same_traffic_pass_and_nothing_else() {
    let own = [
        injected_default(),
        service("echo", "http"),
        echo("echo", "v1"),
        service("ledger", "tcp"),
        echo("ledger", "v1"),
        client("web", "web", ""),
        client("job", "job", ""),
        client("stranger", "stranger", ""),
    ];
    let outside =
        documents(&[namespace("plain", false), within("plain", &client("outsider", "outsider", ""))]);
    let manifests = [("own.yaml", documents(&own)), ("plain.yaml", outside)];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    let ledger = "http://ledger.default:9080/";
    let status = |from: &str, url: &str| mesh.get_from(from, url, &[]).0;
    for _ in 0..3 {
        assert_eq!((status("web", URL), status("job", URL), status("web", ledger)), (200, 200, 200));
    }
    let suggest = ["authz", "suggest", "-n", "default", "--window", "1h"];
    let told = |text: &str| text.matches("sa/web").count() == 2 && text.contains("sa/job");
    mesh.eventually("both services' callers are known", WITHIN, || told(&ask(&mesh, &suggest).1));
    let (code, yaml) = ask(&mesh, &suggest);
    assert_eq!(code, 0, "{yaml}");
    assert!(yaml.contains("methods, paths and hosts are not counted"), "{yaml}");
    assert_eq!(yaml.matches("- \"8080\"").count(), 2, "the port of both workloads: {yaml}");

    // What is written is accepted, and puts the traffic in force.
    let file = mesh.dir.path().join("suggested.yaml");
    std::fs::write(&file, &yaml).unwrap();
    let file = file.to_str().unwrap();
    let (code, findings) = ask(&mesh, &["analyze", "--live", file]);
    assert_eq!(code, 0, "{findings}");
    assert!(!findings.contains("suggested.yaml"), "nothing to say about it: {findings}");
    assert_eq!(
        (status("stranger", URL), status("stranger", ledger), status("plain/outsider", URL)),
        (200, 200, 200)
    );
    let (code, said) = ask(&mesh, &["apply", "-f", file]);
    assert_eq!(code, 0, "{said}");
    mesh.eventually("others are refused", WITHIN, || {
        status("stranger", URL) == 403
            && status("stranger", ledger) == 0
            && status("plain/outsider", URL) == 403
    });
    assert_eq!((status("web", URL), status("job", URL), status("web", ledger)), (200, 200, 200));
    assert_eq!(status("job", ledger), 0, "the job never called the ledger");

    // The same again, although others were refused meanwhile: the outsider passed once, in the clear.
    mesh.eventually("what was refused is told", WITHIN, || ask(&mesh, &suggest).1.contains("in the clear"));
    let again = json(&mesh, &suggest);
    let first = &again["items"][0];
    assert_eq!(first["metadata"]["name"], "allow-echo");

    // Grants that nobody used.
    let wide = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: wide}\nspec:\n  \
                selector: {matchLabels: {app: echo}}\n  rules:\n  \
                - from: [{source: {principals: [cluster.local/ns/default/sa/web, cluster.local/ns/default/sa/gone]}}]\n  \
                - from: [{source: {namespaces: [nowhere]}}]\n";
    mesh.write("wide.yaml", wide);
    let (code, said) = ask(&mesh, &["delete", "authorizationpolicy", "allow-echo"]);
    assert_eq!(code, 0, "{said}");
    let gap = ["authz", "gap", "-n", "default", "--window", "1h"];
    mesh.eventually("the rule that is used is counted", WITHIN, || {
        let _ = status("web", URL);
        let all = json(&mesh, &gap);
        let wide = all["unused"].as_array().unwrap().iter().filter(|g| g["policy"] == "wide");
        let wide: Vec<_> =
            wide.map(|g| (g["rule"].as_u64().unwrap(), g["value"].as_str().unwrap())).collect();
        wide == [(0, "cluster.local/ns/default/sa/gone"), (1, "")]
    });
    assert_eq!(ask(&mesh, &gap).0, 1);

    // Who speaks in the clear.
    let ready = ["mtls", "ready", "-n", "default", "--window", "1h"];
    let rows = json(&mesh, &ready)["workloads"].clone();
    let of = |name: &str| rows.as_array().unwrap().iter().find(|r| r["workload"] == name).unwrap().clone();
    assert_eq!(of("echo-v1")["state"], "plaintext", "{rows:#}");
    assert!(of("echo-v1")["plaintext"]["unknown clients"].as_u64() >= Some(1), "{rows:#}");
    assert_eq!(of("ledger-v1")["state"], "ready", "{rows:#}");
    assert_eq!(of("stranger")["state"], "no traffic", "{rows:#}");
    let (code, table) = ask(&mesh, &ready);
    assert!(code == 1 && table.contains("unknown clients ("), "{table}");
}
