//! Broken manifests and garbage on the wire: said clearly, contained, survived.

use std::time::Duration;

use crate::harness::{Mesh, Spec};
use crate::manifests::{client, documents, echo, injected_default, service, split, subsets};

#[test]
fn a_broken_manifest_is_named_and_the_rest_comes_up() {
    let broken = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: broken\nspec:\n  hosts: [echo]\n  \
                  http:\n  - rout:\n    - destination: {host: echo}\n    timeout: soon\n";
    let manifests = [
        (
            "base.yaml",
            documents(&[
                injected_default(),
                service("echo", "http"),
                echo("echo", "v1"),
                client("client", "client", ""),
            ]),
        ),
        ("broken.yaml", broken.to_owned()),
    ];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    assert_eq!(mesh.get_from("client", "http://echo:9080/", &[]).0, 200);
    let log = mesh.log();
    assert!(log.contains("broken.yaml:8") && log.contains("rout") && log.contains("route"), "{log}");
    assert!(
        log.contains("broken.yaml:10") && log.contains("spec.http[0].timeout"),
        "all problems at once: {log}"
    );
    assert!(log.contains("VirtualService default/broken"), "{log}");
}

#[test]
fn a_resource_broken_by_an_edit_keeps_its_last_good_version() {
    let manifests = [
        (
            "base.yaml",
            documents(&[injected_default(), service("reviews", "http"), client("client", "client", "")]),
        ),
        ("pods.yaml", documents(&[echo("reviews", "v1"), echo("reviews", "v2")])),
        ("rule.yaml", subsets("reviews", &[("v1", "v1"), ("v2", "v2")])),
        ("route.yaml", split("reviews", 100, 0)),
    ];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    let only_v1 =
        || (0..10).all(|_| mesh.get_from("client", "http://reviews:9080/", &[]).1.contains("reviews-v1"));
    assert!(only_v1());
    mesh.write("route.yaml", &split("reviews", 0, 100).replace("weight: 100", "weight: all"));
    mesh.eventually("the edit is reported", Duration::from_secs(5), || {
        mesh.log().contains("last good version")
    });
    assert!(mesh.log().contains("route.yaml:"), "{}", mesh.log());
    assert!(only_v1(), "the last good version stays in force");
    mesh.write("route.yaml", &split("reviews", 0, 100));
    mesh.eventually("the repaired file is in force", Duration::from_secs(3), || {
        mesh.get_from("client", "http://reviews:9080/", &[]).1.contains("reviews-v2")
    });
}
