//! What proxies have in force, and how far they are, as people read it: `tulle proxy-config` and `tulle proxy-status`.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Mesh, Spec};
use crate::manifests::{client, documents, echo, injected_default, service, split, subsets};

const SOON: Duration = Duration::from_secs(30);

/// What a command prints, and its exit code.
fn ask(mesh: &Mesh, args: &[&str]) -> (String, Option<i32>) {
    let state = mesh.dir.path().join("state");
    let all = [args, &["--state-dir", state.to_str().unwrap()]].concat();
    let output = mesh.tulle(&all).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!text.is_empty() || !output.status.success(), "{args:?} says nothing");
    (text + &String::from_utf8_lossy(&output.stderr), output.status.code())
}

/// What `proxy-config` shows of the client's proxy.
fn shown(mesh: &Mesh, args: &[&str]) -> String {
    let (text, code) = ask(mesh, &[&["proxy-config"], args, &["deploy/client"]].concat());
    assert_eq!(code, Some(0), "{args:?}: {text}");
    text
}

/// The cells of its rows, without the head.
fn rows(mesh: &Mesh, args: &[&str]) -> Vec<Vec<String>> {
    let cells = |line: &str| {
        line.split("     ").map(str::trim).filter(|c| !c.is_empty()).map(str::to_owned).collect()
    };
    shown(mesh, args).lines().skip(1).map(cells).collect()
}

#[test]
fn proxies_tell_what_they_have_in_force() {
    let base = documents(&[
        injected_default(),
        service("web", "http"),
        echo("web", "v1"),
        echo("web", "v2"),
        subsets("web", &[("v1", "v1"), ("v2", "v2")]),
        split("web", 80, 20),
        client("client", "client", ""),
    ]);
    let mesh = Mesh::start(&Spec { manifests: &[("base.yaml", base)], ..Spec::default() });
    mesh.eventually("the mesh works", SOON, || mesh.get_from("client", "http://web:9080/", &[]).0 == 200);
    record(&mesh);

    let web = "web.default.svc.cluster.local";
    let found = rows(&mesh, &["clusters", "--fqdn", web, "--port", "9080", "--direction", "outbound"]);
    let subset =
        |name: &str| [web, "9080", name, "outbound", "EDS", "web.default"].map(str::to_owned).to_vec();
    assert_eq!(found, [subset("-"), subset("v1"), subset("v2")]);
    assert_eq!(rows(&mesh, &["c", "--fqdn", web, "--subset", "v2"]), [subset("v2")]);

    let found = rows(&mesh, &["routes", "--name", "9080"]);
    let route =
        found.iter().find(|row| row[1] == format!("{web}:9080")).unwrap_or_else(|| panic!("{found:?}"));
    assert_eq!(route[2..], ["web, web.default + 1 more...", "/*", "web.default"], "{found:?}");
    let found = rows(&mesh, &["routes", "--name", "9080", "--verbose=false"]);
    assert!(found.len() == 1 && found[0][0] == "9080", "{found:?}");

    let found = rows(&mesh, &["listeners", "--port", "9080"]);
    assert!(
        found.iter().any(|row| row[0].starts_with("0.0.0.0") && row[1] == "9080" && row[3] == "Route: 9080"),
        "{found:?}"
    );
    let found = rows(&mesh, &["listeners", "--port", "15006", "--verbose=false"]);
    assert!(found.len() == 1 && found[0][1..] == ["15006", "HTTP+TCP"], "{found:?}");
    assert!(
        rows(&mesh, &["listeners", "--type", "HTTP", "--verbose=false"]).iter().all(|row| row[2] == "HTTP")
    );
    let all: Value =
        serde_json::from_str(&shown(&mesh, &["listeners", "--port", "9080", "-o", "json"])).unwrap();
    assert_eq!(all[0]["address"]["socketAddress"]["portValue"], 9080, "{all:#}");

    let cluster = format!("outbound|9080|v1|{web}");
    let found = rows(&mesh, &["endpoints", "--cluster", &cluster]);
    assert!(found.len() == 1 && found[0][1] == "HEALTHY" && found[0][3] == cluster, "{found:?}");
    let yaml = shown(&mesh, &["endpoints", "-o", "yaml"]);
    assert!(yaml.starts_with("- ") && yaml.contains(&cluster), "{yaml}");

    keys_stay_where_they_are(&mesh);
    levels_are_shown_and_changed(&mesh);
    everything_at_once(&mesh);
    all_are_up_to_date(&mesh);
}

fn keys_stay_where_they_are(mesh: &Mesh) {
    let found = rows(mesh, &["secrets"]);
    let row =
        |name: &str| found.iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("{name}: {found:?}"));
    assert_eq!(row("default")[1..4], ["Cert Chain", "ACTIVE", "true"]);
    assert_eq!(row("ROOTCA")[1..4], ["CA", "ACTIVE", "true"]);
    for args in
        [&["secrets", "-o", "json"][..], &["secrets", "-o", "yaml"], &["all", "-o", "json"], &["bootstrap"]]
    {
        let text = shown(mesh, args);
        assert!(!text.contains("PRIVATE KEY"), "{args:?}");
    }
    assert!(
        shown(mesh, &["secrets", "-o", "json"]).contains("BEGIN CERTIFICATE"),
        "certificates are no secret"
    );
    let bootstrap: Value = serde_json::from_str(&shown(mesh, &["bootstrap"])).unwrap();
    let node = &bootstrap["bootstrap"]["node"];
    assert!(node["id"].as_str().is_some_and(|id| id.starts_with("sidecar~10.")), "{bootstrap:#}");
    assert!(node["metadata"]["ISTIO_VERSION"].is_string(), "what is somebody's own keeps its name: {node:#}");
}

fn levels_are_shown_and_changed(mesh: &Mesh) {
    let levels = |args: &[&str]| shown(mesh, &[&["log"], args].concat());
    assert_eq!(levels(&[]), "deploy/client.default:\nactive loggers:\n  level: info\n");
    let changed = levels(&["--level", "info,tulle_proxy::http:debug"]);
    assert!(
        changed.contains("  level: info\n") && changed.contains("  tulle_proxy::http: debug\n"),
        "{changed}"
    );
    assert_eq!(levels(&[]), changed);
    assert_eq!(levels(&["--reset"]), "deploy/client.default:\nactive loggers:\n  level: info\n");
    let (said, code) = ask(mesh, &["proxy-config", "log", "deploy/client", "--level", "loud"]);
    assert!(code == Some(2) && said.contains("loud is no level"), "{code:?} {said}");
}

fn everything_at_once(mesh: &Mesh) {
    let text = shown(mesh, &["all", "--with-headers"]);
    for title in ["BOOTSTRAP", "CLUSTER", "LISTENER", "ROUTE", "SECRET", "ENDPOINTS"] {
        assert!(text.contains(&format!("------ {title} INFO ------\n")), "{title}: {text}");
    }
    // Kept, it can be read elsewhere.
    let dump = mesh.dir.path().join("dump.json");
    std::fs::write(&dump, mesh.get_from("client", "http://127.0.0.1:15000/config_dump?include_eds", &[]).1)
        .unwrap();
    let of_file = mesh.tulle(&["pc", "clusters", "--file", dump.to_str().unwrap()]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&of_file.stdout), shown(mesh, &["clusters"]));
    let (said, code) = ask(mesh, &["proxy-config", "clusters", "nobody.shop"]);
    assert!(code == Some(1) && said.contains("nobody"), "{code:?} {said}");
}

fn all_are_up_to_date(mesh: &Mesh) {
    let status = |args: &[&str]| ask(mesh, &[&["proxy-status"], args].concat());
    let (text, code) = status(&[]);
    assert_eq!(code, Some(0), "{text}");
    let line = text.lines().find(|l| l.starts_with("client-")).unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains(".default") && line.contains("CDS,LDS,EDS,RDS"), "{line}");
    let pod = line.split_whitespace().next().unwrap().to_owned();
    let (text, _) = status(&["-v", "1", "-n", "default"]);
    assert_eq!(text.lines().count(), 4, "{text}");
    assert!(!text.contains("ERROR"), "{text}");
    mesh.eventually("the proxy has everything", SOON, || {
        let (text, _) = status(&[&pod]);
        ["CDS", "LDS", "EDS", "RDS"]
            .iter()
            .all(|kind| text.lines().any(|l| l.split_whitespace().take(2).eq([*kind, "SYNCED"])))
    });
    let (text, code) = status(&["nobody"]);
    assert!(code == Some(1) && text.contains("no proxy of nobody is connected"), "{text}");
}

/// With `TULLE_RECORD` set, keeps what the client's proxy tells for the tests of the tables: `TULLE_RECORD=1 cargo test -p tulle --test
/// traffic proxies_tell`, then `UPDATE=1 cargo test -p tulle recorded`.
fn record(mesh: &Mesh) {
    if std::env::var_os("TULLE_RECORD").is_none() {
        return;
    }
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/src/commands/proxy_config/recorded");
    std::fs::create_dir_all(dir).unwrap();
    for (name, path) in [("config_dump", "/config_dump?include_eds"), ("clusters", "/clusters?format=json")] {
        let (_, text) = mesh.get_from("client", &format!("http://127.0.0.1:15000{path}"), &[]);
        let value: Value = serde_json::from_str(&text).unwrap();
        std::fs::write(format!("{dir}/{name}.json"), format!("{value}\n")).unwrap();
    }
}
