//! What resources say about themselves in a whole mesh, waiting for it, and changes that may come in any order.

use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Mesh, Spec, report};
use crate::manifests::{client, documents, echo, injected_default, service, split, subsets};

fn reviews() -> Vec<(&'static str, String)> {
    vec![
        (
            "base.yaml",
            documents(&[injected_default(), service("reviews", "http"), client("client", "client", "")]),
        ),
        ("pods.yaml", documents(&[echo("reviews", "v1"), echo("reviews", "v2")])),
    ]
}

fn wait(mesh: &Mesh, args: &[&str]) -> Output {
    let state = mesh.dir.path().join("state");
    let mut all = vec!["wait", "--state-dir", state.to_str().unwrap()];
    all.extend(args);
    mesh.tulle(&all).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn waiting_ends_when_a_change_is_in_force_and_says_why_it_is_not() {
    let mesh = Mesh::start(&Spec { manifests: &reviews(), ..Spec::default() });
    let (rule, route) = (mesh.manifest("rule.yaml"), mesh.manifest("route.yaml"));
    mesh.write("rule.yaml", &subsets("reviews", &[("v1", "v1"), ("v2", "v2")]));
    mesh.write("route.yaml", &split("reviews", 0, 100));
    let done =
        wait(&mesh, &["-f", rule.to_str().unwrap(), "-f", route.to_str().unwrap(), "--timeout", "60s"]);
    assert!(done.status.success(), "{}", text(&done));
    // It is in force now, not a moment later.
    for _ in 0..20 {
        assert!(mesh.get_from("client", "http://reviews:9080/", &[]).1.contains("reviews-v2"));
    }
    mesh.write("route.yaml", &split("reviews", 0, 100).replace("v2", "v7"));
    let late = wait(&mesh, &["-f", route.to_str().unwrap(), "--timeout", "3s"]);
    assert_eq!(late.status.code(), Some(1), "{}", text(&late));
    let why = "subset v7 of host reviews.default.svc.cluster.local is not defined by any DestinationRule";
    assert!(
        text(&late).contains("VirtualService default/reviews: ") && text(&late).contains(why),
        "{}",
        text(&late)
    );
    assert!(
        mesh.get_from("client", "http://reviews:9080/", &[]).1.contains("reviews-v2"),
        "the last good one"
    );
    let state = mesh.dir.path().join("state");
    let status =
        mesh.tulle(&["status", "-o", "json", "--state-dir", state.to_str().unwrap()]).output().unwrap();
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    let resources = status["resources"].as_array().unwrap();
    assert!(
        resources.iter().any(|r| r["name"] == "reviews"
            && r["condition"] == "not Programmed"
            && r["message"].as_str().unwrap().contains(why)),
        "{status:#}"
    );
    std::fs::remove_file(&route).unwrap();
    let gone = wait(&mesh, &["vs/reviews", "--for", "deleted", "--timeout", "60s"]);
    assert!(gone.status.success(), "{}", text(&gone));
    assert_eq!(wait(&mesh, &["nothing/reviews"]).status.code(), Some(2));
    let nowhere = mesh.tulle(&["wait", "vs/reviews", "--state-dir", "/nonexistent"]).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(3), "{}", text(&nowhere));
}

#[test]
fn rules_and_routes_may_come_and_go_in_any_order_under_load() {
    let mesh = Mesh::start(&Spec { manifests: &reviews(), ..Spec::default() });
    let load = mesh.start_load("client", &["http://reviews:9080/", "-d", "24", "-r", "200", "-c", "8"]);
    let rule = || subsets("reviews", &[("v1", "v1"), ("v2", "v2")]);
    let pause = |ms| std::thread::sleep(Duration::from_millis(ms));
    // A longer and a shorter time between the two, each first once, coming and going.
    for (i, between) in [0, 150, 700].into_iter().enumerate() {
        for route_first in [true, false] {
            let mut come = [("rule.yaml", rule()), ("route.yaml", split("reviews", 30, 70))];
            if route_first {
                come.reverse();
            }
            for (name, yaml) in &come {
                mesh.write(name, yaml);
                pause(between);
            }
            let (rule, route) = (mesh.manifest("rule.yaml"), mesh.manifest("route.yaml"));
            let files = ["-f", rule.to_str().unwrap(), "-f", route.to_str().unwrap(), "--timeout", "60s"];
            let done = wait(&mesh, &files);
            assert!(done.status.success(), "{}", text(&done));
            let mut go = ["route.yaml", "rule.yaml"];
            // All four pairs of orders are among the six.
            if (i + usize::from(route_first)) % 2 == 0 {
                go.reverse();
            }
            for name in go {
                std::fs::remove_file(mesh.manifest(name)).unwrap();
                pause(between);
            }
            for name in ["vs/reviews", "dr/reviews"] {
                let gone = wait(&mesh, &[name, "--for", "deleted", "--timeout", "60s"]);
                assert!(gone.status.success(), "{}", text(&gone));
            }
        }
    }
    let seen = report(load.wait_with_output().unwrap());
    assert_eq!(seen["errors"], json!({}), "{seen}");
    assert_eq!(seen["status"].as_object().unwrap().keys().collect::<Vec<_>>(), ["200"], "{seen}");
    eprintln!("{seen}");
}
