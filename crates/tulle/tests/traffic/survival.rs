//! What goes on while the control plane is away, and while certificates change.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Mesh, Spec, processes_with, report, signal};
use crate::manifests::{client, documents, echo, injected_default, service};

fn echo_mesh() -> Vec<(&'static str, String)> {
    let strict = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata:\n  name: default\nspec:\n  mtls: {mode: STRICT}\n";
    let tcp = "apiVersion: v1\nkind: Service\nmetadata:\n  name: echo-tcp\nspec:\n  selector: {app: echo}\n  \
               ports:\n  - {name: tcp, port: 9000}\n";
    vec![
        (
            "base.yaml",
            documents(&[injected_default(), service("echo", "http"), tcp.to_owned(), strict.to_owned()]),
        ),
        ("pods.yaml", documents(&[echo("echo", "v1"), client("client", "client", "")])),
    ]
}

/// Longer by `TULLE_SOAK_SECONDS` where somebody wants to see more than a quick check.
fn soak(default: u64) -> u64 {
    std::env::var("TULLE_SOAK_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(default)
}

#[test]
fn requests_go_on_while_the_control_plane_is_killed() {
    let mesh = Mesh::start(&Spec { manifests: &echo_mesh(), ..Spec::default() });
    let seconds = soak(8).to_string();
    let load = mesh.start_load("client", &["http://echo:9080/", "-d", &seconds, "-r", "200", "-c", "8"]);
    std::thread::sleep(Duration::from_secs(1));
    let state = mesh.dir.path().join("state");
    let find = || {
        let all = processes_with(state.to_str().unwrap());
        let line = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        all.into_iter().find(|pid| line(pid).split('\0').any(|a| a == "control-plane"))
    };
    let pid = find().expect("the control plane runs");
    signal(pid, "KILL");
    // A pod that is made while it is away starts when it is back.
    mesh.write("late.yaml", &documents(&[echo("late", "v1"), service("late", "http")]));
    mesh.eventually("another control plane runs", Duration::from_secs(20), || {
        find().is_some_and(|new| new != pid)
    });
    mesh.eventually("the new pod serves through its proxy", Duration::from_secs(40), || {
        mesh.get_from("client", "http://late:9080/", &[]).0 == 200
    });
    let seen = report(load.wait_with_output().unwrap());
    assert_eq!(seen["errors"], json!({}), "{seen}");
    assert_eq!(seen["status"].as_object().unwrap().keys().collect::<Vec<_>>(), ["200"], "{seen}");
    eprintln!("{seen}");
}

#[test]
fn certificates_rotate_under_open_connections() {
    let life = soak(24);
    let ttl = format!("{life}s");
    let mesh = Mesh::start(&Spec { args: &["--cert-ttl", &ttl], manifests: &echo_mesh(), ..Spec::default() });
    let serial = || {
        let certs =
            mesh.exec("default", "client", &["curl", "-s", "http://127.0.0.1:15000/certs"]).output().unwrap();
        let certs: serde_json::Value = serde_json::from_slice(&certs.stdout).expect("/certs is JSON");
        certs["certificates"][0]["cert_chain"][0]["serial_number"]
            .as_str()
            .expect("a serial number")
            .to_owned()
    };
    let first = serial();
    let seconds = (life * 3 / 2).to_string();
    let args = [mesh.binary(), "lab", "hold", "echo-tcp:9000", "-c", "200", "-d", &seconds];
    let held = mesh.exec("default", "client", &args).output().unwrap();
    let seen = report(held);
    assert_eq!(seen["failures"], json!({}), "{seen}");
    assert!(seen["messages"].as_u64() >= Some(200 * life), "{seen}");
    assert_ne!(serial(), first, "the certificate was renewed meanwhile");
    eprintln!("{seen}");
}
