//! What a workload, or a proxy that was taken over, cannot reach: keys, other pods' admin ports and identities, privileges.

use serde_json::Value;

use crate::harness::{Mesh, Spec, processes_with};
use crate::manifests::{client, documents, echo, injected_default, service};

/// Everything that the admin port of a proxy answers to GET.
const PATHS: [&str; 9] = [
    "/",
    "/help",
    "/certs",
    "/clusters",
    "/config_dump?include_eds",
    "/listeners",
    "/server_info",
    "/stats",
    "/stats/prometheus",
];

fn manifests() -> Vec<(&'static str, String)> {
    let with_socket = client("web", "web", "").replace(
        "      containers:\n",
        "      volumes: [{name: workload-socket, emptyDir: {}}]\n      containers:\n",
    );
    let with_socket = with_socket.replace(
        "        image: curlimages/curl:8\n",
        "        image: curlimages/curl:8\n        volumeMounts: [{name: workload-socket, mountPath: /run/identity}]\n",
    );
    vec![
        ("base.yaml", documents(&[injected_default(), service("echo", "http")])),
        ("pods.yaml", documents(&[echo("echo", "v1"), with_socket, client("other", "other", "")])),
    ]
}

/// The proxies of a mesh.
fn proxies(mesh: &Mesh) -> Vec<u32> {
    let state = mesh.dir.path().join("state");
    let line = |pid: &u32| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let all = processes_with(state.to_str().unwrap()).into_iter();
    let is_proxy = |pid: &u32| {
        let line = String::from_utf8_lossy(&line(pid)).into_owned();
        let words: Vec<&str> = line.split('\0').collect();
        words.windows(2).any(|w| matches!(w, ["sidecar" | "router", "--agent-config"]))
    };
    all.filter(is_proxy).collect()
}

fn field(status: &str, name: &str) -> String {
    let line = status.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("{name} in {status}")).trim().to_owned()
}

#[test]
fn nothing_of_a_proxy_is_anybody_elses() {
    let mesh = Mesh::start(&Spec { manifests: &manifests(), ..Spec::default() });
    let get = |workload: &str, url: &str| {
        let output = mesh.exec("default", workload, &["curl", "-s", "-f", "-m", "10", url]).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };

    // No admin endpoint tells a key.
    for path in PATHS {
        let (_, text) = get("web", &format!("http://127.0.0.1:15000{path}"));
        assert!(!text.is_empty(), "{path}");
        assert!(!text.contains("PRIVATE KEY"), "{path}");
        if path.starts_with("/config_dump") {
            assert!(text.contains("ROOTCA") && text.contains("inline"), "the secrets are in it: {text}");
            let dump: Value = serde_json::from_str(&text).unwrap();
            let none = |value: &Value| !value.to_string().contains("private_key\":{\"inline");
            assert!(none(&dump), "{path}");
        }
    }

    // The admin port is the pod's own.
    let pods = mesh.ready["pods"].as_array().unwrap();
    let ip = pods.iter().find(|p| p["name"].as_str().unwrap().starts_with("web-")).unwrap()["ip"]
        .as_str()
        .unwrap();
    assert!(get("web", "http://127.0.0.1:15000/ready").0);
    for from in ["other", "web"] {
        assert!(!get(from, &format!("http://{ip}:15000/ready")).0, "from {from}");
    }

    // Proxies have few privileges, and cannot get others.
    let all = proxies(&mesh);
    assert!(all.len() >= 4, "{all:?}");
    let needed: u64 = (1 << 12) | (1 << 10);
    for pid in all {
        let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
        for name in ["CapEff", "CapPrm", "CapInh"] {
            let has = u64::from_str_radix(&field(&status, name), 16).unwrap();
            assert_eq!(has & !needed, 0, "{name} of {pid}: {has:x}");
        }
        assert_eq!(field(&status, "NoNewPrivs"), "1", "{pid}");
    }

    // Identity is given to processes of the pod that has the volume for it. (That those of others get none: the proxy's own tests.)
    if !has_curl() {
        return;
    }
    let args = ["curl", "-s", "-m", "3", "--http2-prior-knowledge", "-H", "workload.spiffe.io: true"];
    let more =
        ["-H", "content-type: application/grpc", "-H", "te: trailers", "--data-binary", "@-", "-o", "-"];
    let url = ["--unix-socket", "/run/identity/socket", "http://localhost/SpiffeWorkloadAPI/FetchX509SVID"];
    let mut child = mesh
        .exec("default", "web", &[&args[..], &more[..], &url[..]].concat())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &[0; 5]).unwrap();
    let answer = child.wait_with_output().unwrap();
    let answer = String::from_utf8_lossy(&answer.stdout);
    assert!(answer.contains("spiffe://cluster.local/ns/default/sa/web"), "{answer}");
}

/// Whether the machine has a curl that speaks HTTP/2; pods see its programs.
fn has_curl() -> bool {
    let version = std::process::Command::new("curl").arg("--version").output();
    let found = version.is_ok_and(|v| String::from_utf8_lossy(&v.stdout).contains("HTTP2"));
    assert!(found || std::env::var("CI").as_deref() != Ok("true"), "no curl with HTTP/2");
    found
}
