//! Rotation of the root under load, with proxies that are away or stand still, and a control plane that is killed at every step.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Mesh, Spec, processes_with, report, signal};
use crate::manifests::{client, documents, echo, injected_default, service};

const SLOW: Duration = Duration::from_secs(90);

/// STRICT mTLS, a new connection for each request, and no second try: a handshake that fails is a request that fails.
fn manifests() -> Vec<(&'static str, String)> {
    let rules = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default}\nspec: {mtls: {mode: STRICT}}\n---\n\
        apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: echo}\nspec:\n  host: echo\n  \
        trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 1}}}\n---\n\
        apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: echo}\nspec:\n  hosts: [echo]\n  \
        http: [{retries: {attempts: 0}, route: [{destination: {host: echo}}]}]\n";
    let clients = ["client", "offline", "paused", "frozen"].map(|name| client(name, name, ""));
    vec![
        ("base.yaml", documents(&[injected_default(), service("echo", "http"), rules.to_owned()])),
        ("pods.yaml", documents(&[echo("echo", "v1"), clients.join("---\n")])),
    ]
}

struct Rotating {
    mesh: Mesh,
}

impl Rotating {
    /// The process of a mesh's part whose command line has `word`.
    fn find(&self, word: &str) -> Option<u32> {
        let state = self.mesh.dir.path().join("state");
        let line = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut all = processes_with(state.to_str().unwrap()).into_iter();
        all.find(|pid| line(pid).split('\0').any(|a| a == word))
    }

    /// The proxy of a workload: the process that listens in its network namespace.
    fn proxy(&self, workload: &str) -> u32 {
        let own = self.mesh.exec("default", workload, &["readlink", "/proc/self/ns/net"]).output().unwrap();
        let own = String::from_utf8_lossy(&own.stdout).trim().to_owned();
        let state = self.mesh.dir.path().join("state");
        let in_pod = |pid: &u32| {
            let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let net = std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap_or_default();
            line.contains("sidecar\0--agent-config") && net.to_string_lossy() == own
        };
        let found = processes_with(state.to_str().unwrap()).into_iter().filter(in_pod).max();
        found.unwrap_or_else(|| panic!("no proxy of {workload} in {own}"))
    }

    fn ca(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let state = self.mesh.dir.path().join("state");
        let all = [&["ca", args[0], "--state-dir", state.to_str().unwrap()], &args[1..]].concat();
        let output = self.mesh.tulle(&all).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    fn status(&self) -> Value {
        let (_, out, problem) = self.ca(&["status", "-o", "json"]);
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{problem}"))
    }

    /// Kills the control plane and waits for the next one to answer.
    fn kill_control_plane(&self) {
        let pid = self.find("control-plane").expect("the control plane runs");
        signal(pid, "KILL");
        self.mesh.eventually("another control plane runs", SLOW, || {
            self.find("control-plane").is_some_and(|new| new != pid)
        });
        self.mesh
            .eventually("it answers", SLOW, || self.ca(&["status", "-o", "json"]).0.is_some_and(|c| c < 2));
    }

    /// From which phase to which the rotation went, as the audit log has it.
    fn steps(&self) -> Vec<(String, String)> {
        let log = std::fs::read_to_string(self.mesh.dir.path().join("state/istiod/audit.log")).unwrap();
        let events = log.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let of = |e: Value| (text(&e["details"]["from"]), text(&e["details"]["to"]));
        events.filter(|e| e["event"] == "ca.rotation").map(of).collect()
    }

    fn blocked_by(&self, workload: &str) -> bool {
        let status = self.status();
        let all = status["blockedBy"].as_array().cloned().unwrap_or_default();
        let name = format!("default/{workload}-");
        all.iter().any(|b| b.as_str().unwrap().starts_with(&name))
    }

    fn answers(&self, workload: &str) -> bool {
        self.mesh.get_from(workload, "http://echo:9080/", &[]).0 == 200
    }
}

#[test]
fn a_root_rotates_under_load_whoever_is_away_and_whenever_the_control_plane_is_killed() {
    let rotating = Rotating { mesh: Mesh::start(&Spec { manifests: &manifests(), ..Spec::default() }) };
    let mesh = &rotating.mesh;
    mesh.eventually("everybody trusts the root", SLOW, || {
        let status = rotating.status();
        let proxies = status["proxies"].as_array().unwrap();
        proxies.len() >= 6 && proxies.iter().all(|p| p["inStep"] == true)
    });
    let before = rotating.status();
    assert_eq!((&before["phase"], before["roots"].as_array().map(Vec::len)), (&json!("steady"), Some(1)));
    let old = before["roots"][0]["fingerprint"].as_str().unwrap().to_owned();
    let proxies = before["proxies"].as_array().unwrap();
    assert!(
        proxies.len() >= 6 && proxies.iter().all(|p| p["root"] == old && p["inStep"] == true),
        "{before:#}"
    );

    // Load that goes on until the end.
    let over = Arc::new(AtomicBool::new(false));
    let load = {
        let over = over.clone();
        let args = [mesh.binary(), "lab", "load", "http://echo:9080/", "-d", "3", "-r", "100", "-c", "4"];
        let mut command = mesh.exec("default", "client", &args);
        std::thread::spawn(move || {
            let (mut good, mut bad) = (0, Vec::new());
            while !over.load(Ordering::Relaxed) {
                let seen = report(command.output().unwrap());
                good += seen["status"]["200"].as_u64().unwrap_or(0);
                if seen["errors"] != json!({}) || seen["status"].as_object().is_none_or(|s| s.len() != 1) {
                    bad.push(seen);
                }
            }
            (good, bad)
        })
    };

    // One proxy cannot reach the control plane, one stands still.
    let address =
        mesh.exec("default", "offline", &["getent", "ahostsv4", "istiod.istio-system.svc"]).output().unwrap();
    let address = String::from_utf8_lossy(&address.stdout).split_whitespace().next().unwrap().to_owned();
    let route = |verb: &str| {
        // The proxy's container may change routes of its pod; the application's may not.
        let state = mesh.dir.path().join("state");
        let of = ["exec", "--state-dir", state.to_str().unwrap(), "offline", "-c", "istio-proxy", "--"];
        let all = [&of[..], &["ip", "route", verb, "blackhole", &address]].concat();
        assert!(mesh.tulle(&all).output().unwrap().status.success(), "{all:?}");
    };
    let connected = |workload: &str| {
        let status = rotating.status();
        let name = format!("default/{workload}-");
        let proxies = status["proxies"].as_array().unwrap();
        proxies.iter().any(|p| p["proxy"].as_str().unwrap().starts_with(&name) && p["inStep"] == true)
    };
    route("add");
    signal(rotating.proxy("offline"), "KILL");
    mesh.eventually("one proxy is away", SLOW, || !connected("offline"));
    let paused = rotating.proxy("paused");
    signal(paused, "STOP");

    let (code, _, problem) = rotating.ca(&["rotate", "--timeout", "5s"]);
    assert_eq!(code, Some(1), "{problem}");
    for name in
        ["default/offline-", "default/paused-", "it is not connected", "has not acknowledged", "--force"]
    {
        assert!(problem.contains(name), "{name} in {problem}");
    }
    assert!(!problem.contains("default/echo-"), "{problem}");
    rotating.kill_control_plane();
    let status = rotating.status();
    assert_eq!(status["phase"], "distributing", "{status:#}");
    mesh.eventually("only those who are away hold it up", SLOW, || {
        let status = rotating.status();
        status["blockedBy"].as_array().map(Vec::len) == Some(2)
    });
    assert!(rotating.blocked_by("offline") && rotating.blocked_by("paused"));

    // They come back; another one, which has acknowledged the new root, stands still before it is certified by it.
    let frozen = rotating.proxy("frozen");
    signal(frozen, "STOP");
    signal(paused, "CONT");
    route("del");
    mesh.eventually("the new root signs", SLOW, || rotating.status()["phase"] == "reissuing");
    mesh.eventually("the one that stands still holds it up", SLOW, || rotating.blocked_by("frozen"));
    rotating.kill_control_plane();
    assert_eq!(rotating.status()["phase"], "reissuing");
    mesh.eventually("it alone holds it up", SLOW, || {
        rotating.status()["blockedBy"].as_array().map(Vec::len) == Some(1)
    });
    assert!(rotating.blocked_by("frozen"));
    // It is taken up again while there is something left to do: once that is done, it would be the next rotation.
    let again = std::thread::scope(|scope| {
        let again = scope.spawn(|| rotating.ca(&["rotate", "--timeout", "90s"]));
        mesh.eventually("it is taken up again", SLOW, || {
            rotating.steps().contains(&("reissuing".to_owned(), "reissuing".to_owned()))
        });
        signal(frozen, "CONT");
        again.join().unwrap()
    });
    assert_eq!(again.0, Some(0), "{again:?}");
    rotating.kill_control_plane();

    let after = rotating.status();
    let new = after["roots"][0]["fingerprint"].as_str().unwrap();
    assert_eq!((&after["phase"], after["roots"].as_array().map(Vec::len)), (&json!("steady"), Some(1)));
    assert_ne!(new, old);
    mesh.eventually("everybody is back", SLOW, || {
        let status = rotating.status();
        let proxies = status["proxies"].as_array().unwrap();
        proxies.iter().all(|p| p["inStep"] == true && p["root"] == new)
    });
    for workload in ["offline", "paused", "frozen"] {
        mesh.eventually("it answers again", SLOW, || rotating.answers(workload));
    }
    // Nobody trusts the old root any more.
    for workload in ["client", "echo-v1", "offline", "paused", "frozen"] {
        mesh.eventually("the old root is gone", SLOW, || {
            let certs = mesh
                .exec("default", workload, &["curl", "-s", "http://127.0.0.1:15000/certs"])
                .output()
                .unwrap();
            let certs: Value = serde_json::from_slice(&certs.stdout).unwrap_or_default();
            let all = certs["certificates"].as_array().cloned().unwrap_or_default();
            all.iter().map(|c| c["ca_cert"].as_array().map_or(0, Vec::len)).sum::<usize>() == 1
        });
    }

    over.store(true, Ordering::Relaxed);
    let (good, bad) = load.join().unwrap();
    assert!(bad.is_empty(), "{bad:#?}");
    assert!(good > 500, "{good}");
    eprintln!("{good} requests, each with a handshake of its own; none failed");

    // Everything of it is in the audit log.
    let steps: Vec<_> = rotating.steps().into_iter().filter(|(from, to)| from != to).collect();
    let steps: Vec<_> = steps.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
    assert_eq!(steps, [("steady", "distributing"), ("distributing", "reissuing"), ("reissuing", "steady")]);
}
