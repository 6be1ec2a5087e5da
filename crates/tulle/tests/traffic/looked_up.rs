//! Hosts under a wildcard that proxies look up themselves (`resolution: DYNAMIC_DNS`).

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Mesh, Spec};
use crate::manifests::{client, documents, echo, injected_default};

const SOON: Duration = Duration::from_secs(30);

const PARTNERS: &str = "\
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.96.78.7, selector: {app: web}, ports: [{port: 8080, name: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: other}
spec: {clusterIP: 10.96.78.8, selector: {app: other}, ports: [{port: 8080, name: http}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: partners}
spec: {hosts: ['*.partners.test'], ports: [{number: 8080, name: http, protocol: HTTP}], resolution: DYNAMIC_DNS}
";

/// What names lead to, as the client's machine knows it.
const NAMES: &str = "terminationGracePeriodSeconds: 1
      hostAliases:
      - {ip: 10.96.78.7, hostnames: [web.partners.test]}
      - {ip: 10.96.78.8, hostnames: [other.partners.test]}
      - {ip: 127.0.0.1, hostnames: [here.partners.test]}
      - {ip: 169.254.169.254, hostnames: [metadata.partners.test]}
      - {ip: 0.0.0.0, hostnames: [any.partners.test]}
      - {ip: '::1', hostnames: [six.partners.test]}
";

#[test]
fn names_under_a_wildcard_are_looked_up_and_those_of_neighbours_lead_nowhere() {
    let asking = client("client", "client", "").replace("terminationGracePeriodSeconds: 1\n", NAMES);
    assert!(asking.contains("hostAliases"));
    let base =
        documents(&[injected_default(), echo("web", "v1"), echo("other", "v1"), asking, PARTNERS.to_owned()]);
    let mesh = Mesh::start(&Spec { manifests: &[("base.yaml", base)], ..Spec::default() });
    let name = |(status, body): (u16, String)| {
        let answer: Value = serde_json::from_str(&body).unwrap_or_default();
        (status, answer["name"].as_str().unwrap_or(&body).to_owned())
    };
    let get = |host: &str| name(mesh.get_from("client", &format!("http://{host}:8080/"), &[]));
    let web = || (200, "web-v1".to_owned());
    mesh.eventually("the entry is in force", SOON, || get("web.partners.test") == web());
    assert_eq!(get("other.partners.test"), (200, "other-v1".to_owned()));

    // Where the client was going does not matter: the proxy finds the host itself.
    let through =
        |host: &str| name(mesh.get_from("client", "http://10.96.78.8:8080/", &[&format!("host: {host}")]));
    assert_eq!(through("web.partners.test:8080"), web());
    for near in ["here", "metadata", "any", "six"] {
        let (status, body) = through(&format!("{near}.partners.test:8080"));
        assert_eq!(status, 503, "{near}: {body}");
    }
    // The proxy's own admin port above all.
    assert_eq!(through("here.partners.test:15000").0, 503);
    assert_eq!(through("nobody.partners.test:8080").0, 503, "a name that leads nowhere");
    let log = mesh.dir.path().join("state");
    let args = ["logs", "--state-dir", log.to_str().unwrap(), "client", "-c", "istio-proxy"];
    let said = String::from_utf8(mesh.tulle(&args).output().unwrap().stdout).unwrap();
    assert!(said.contains("here.partners.test"), "the proxy's log tells of it: {said}");
}
