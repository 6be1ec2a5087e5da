//! The mesh's settings, edited while traffic runs: each edit has its effect, and no request fails by it.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Mesh, Spec, report};
use crate::manifests::{client, documents, echo, injected_default, namespace, service, within};

const IN_TIME: Duration = Duration::from_secs(30);

fn settings(mesh: &str) -> String {
    let text = mesh.replace('\n', "\n    ");
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: |\n    {text}\n"
    )
}

/// Status, and the head and body, of a request of the client.
fn ask(mesh: &Mesh, url: &str, headers: &[&str]) -> (u16, String) {
    let mut args = vec![mesh.binary(), "lab", "curl", "-s", "-i", "-m", "20", "-w", "\n%{http_code}", url];
    headers.iter().for_each(|h| args.extend(["-H", h]));
    let output = mesh.exec("default", "client", &args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).to_lowercase();
    let (answer, code) = text.rsplit_once('\n').unwrap_or(("", "0"));
    (code.trim().parse().unwrap_or(0), answer.to_owned())
}

#[test]
fn settings_are_edited_under_load_without_a_failure() {
    let far = within("far", &documents(&[echo("distant", "v1"), service("distant", "http")]));
    let manifests = [
        (
            "base.yaml",
            documents(&[injected_default(), client("client", "client", ""), service("echo", "http")]),
        ),
        ("echo.yaml", echo("echo", "v1")),
        ("far.yaml", documents(&[namespace("far", false), far])),
        ("mesh.yaml", settings("connectTimeout: 9s")),
    ];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    let url = "http://echo.default:9080/";
    let load = mesh.start_load("client", &[url, "-d", "40", "-c", "4", "-r", "40"]);
    let edit = |what: &str, text: &str, check: &mut dyn FnMut() -> bool| {
        mesh.write("mesh.yaml", &settings(text));
        mesh.eventually(what, IN_TIME, check);
    };
    let (status, before) = ask(&mesh, url, &[]);
    assert_eq!(status, 200, "{before}");
    assert!(before.contains("x-request-id") && before.contains("x-envoy-attempt-count"), "{before}");

    let headers = "defaultConfig:\n  proxyHeaders: {server: {value: ours}, requestId: {disabled: true}, \
                   attemptCount: {disabled: true}, envoyDebugHeaders: {disabled: true}}";
    edit("other headers", headers, &mut || {
        let (_, now) = ask(&mesh, url, &[]);
        now.contains("server: ours")
            && !["x-request-id", "x-envoy-attempt-count", "x-envoy-upstream-service-time"]
                .iter()
                .any(|name| now.contains(name))
    });
    edit(
        "bounds of connections",
        "defaultConfig:\n  connectionSettings: {httpHeadersWithUnderscoresAction: HEADERS_WITH_UNDERSCORES_REJECT_REQUEST}",
        &mut || ask(&mesh, url, &["under_score: x"]).0 == 400,
    );
    assert_eq!(ask(&mesh, url, &[]).0, 200);
    edit("slashes as they come", "pathNormalization: {normalization: NONE}", &mut || {
        ask(&mesh, "http://echo.default:9080/a//b", &[]).1.contains("/a//b")
    });
    edit("merged slashes", "pathNormalization: {normalization: MERGE_SLASHES}", &mut || {
        ask(&mesh, "http://echo.default:9080/a//b", &[]).1.contains("\"/a/b\"")
    });
    edit("TLS 1.3 alone", "meshMTLS: {minProtocolVersion: TLSV1_3}", &mut || ask(&mesh, url, &[]).0 == 200);
    // A namespace that is not selected is not there any more: its service is unknown traffic, which is refused.
    let distant = "http://distant.far:9080/";
    assert_eq!(ask(&mesh, distant, &[]).0, 200);
    let selected = "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n\
                    discoverySelectors: [{matchLabels: {istio-injection: enabled}}]";
    edit("a namespace that is not read", selected, &mut || ask(&mesh, distant, &[]).0 != 200);
    assert_eq!(ask(&mesh, url, &[]).0, 200, "the own one is read");
    edit("all of them again", "connectTimeout: 9s", &mut || ask(&mesh, distant, &[]).0 == 200);

    let report = report(load.wait_with_output().unwrap());
    assert_eq!(report["errors"], json!({}), "{report}");
    assert_eq!(report["status"].as_object().unwrap().keys().collect::<Vec<_>>(), ["200"], "{report}");
}
