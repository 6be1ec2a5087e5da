//! Mutual TLS and authorization between pods.

use crate::harness::{Mesh, Spec};
use crate::manifests::{client, documents, echo, injected_default, mission, namespace, service};

/// A client in namespace `plain`, which has no sidecars.
fn outsider() -> String {
    let yaml = client("outsider", "outsider", "");
    let in_namespace = yaml.replace("metadata:\n  name:", "metadata:\n  namespace: plain\n  name:");
    documents(&[namespace("plain", false), in_namespace])
}

#[test]
fn mission_bookinfo_steps_5_to_7() {
    let manifests = [
        (
            "base.yaml",
            documents(&[injected_default(), client("gateway", "gateway", ""), client("other", "other", "")]),
        ),
        ("13.yaml", mission("technical-13")),
        ("14.yaml", mission("technical-14")),
        ("15.yaml", mission("technical-15")),
        ("outsider.yaml", outsider()),
    ];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    let (status, page) = mesh.get("/productpage");
    assert_eq!(status, 200, "through the gateway: {page}");
    assert_eq!(mesh.get("/elsewhere").0, 404);

    let url = "http://productpage.default:9080/productpage";
    assert_eq!(mesh.get_from("other", url, &[]).0, 200);
    let (status, body) = mesh.get_from("plain/outsider", url, &[]);
    assert_eq!(status, 0, "STRICT refuses a pod without sidecar: {body}");

    mesh.write("16.yaml", &mission("technical-16"));
    mesh.eventually("the policy is in force", std::time::Duration::from_secs(3), || {
        mesh.get_from("other", url, &[]).0 == 403
    });
    assert_eq!(mesh.get_from("other", url, &[]).1, "RBAC: access denied");
    assert_eq!(mesh.get_from("gateway", url, &[]).0, 200);
    assert_eq!(mesh.fetch_from("gateway", url, &[], "POST").0, 403, "only GET is allowed");
}

#[test]
fn permissive_takes_both() {
    let manifests = [
        (
            "base.yaml",
            documents(&[injected_default(), service("echo", "http"), client("client", "client", "")]),
        ),
        ("echo.yaml", echo("echo", "v1")),
        ("outsider.yaml", outsider()),
    ];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    let url = "http://echo.default:9080/";
    let (status, body) = mesh.get_from("client", url, &[]);
    assert_eq!(status, 200, "{body}");
    assert!(
        body.contains("By=spiffe://cluster.local/ns/default/sa/default"),
        "mTLS between sidecars: {body}"
    );
    assert!(
        body.contains("URI=spiffe://cluster.local/ns/default/sa/client"),
        "with the client's identity: {body}"
    );
    let (status, body) = mesh.get_from("plain/outsider", url, &[]);
    assert_eq!(status, 200, "{body}");
    assert!(
        !body.to_ascii_lowercase().contains("x-forwarded-client-cert"),
        "plain text has no identity: {body}"
    );
}
