//! Endpoints of another network are reached through its gateway, by the mesh's mutual TLS from one sidecar to the other.

use std::time::Duration;

use crate::harness::{Mesh, Spec};
use crate::manifests::{client, documents, echo, injected_default, service, subsets};

const SOON: Duration = Duration::from_secs(20);

/// The gateway of the network `far`.
const GATEWAY: &str = "\
apiVersion: v1
kind: Service
metadata: {name: east-west, namespace: istio-system}
spec:
  clusterIP: 10.96.78.1
  selector: {istio: ingressgateway}
  ports: [{name: tls, port: 15443}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: east-west, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 15443, name: tls, protocol: TLS}, hosts: ['*.local'], tls: {mode: AUTO_PASSTHROUGH}}]
";

/// `meshNetworks` with that gateway, or with none. What says nothing else is in `far`, the gateway, too: what passes it must end
/// there, so that it does not lead back to `near`.
fn networks(gateways: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  meshNetworks: |\n    \
         networks:\n      far:\n        endpoints: [{{fromRegistry: Kubernetes}}]\n        gateways: [{gateways}]\n      \
         near:\n        gateways: [{{address: 192.0.2.1, port: 15443}}]\n"
    )
}

/// The workload's pods say that they are of a network.
fn of(network: &str, app: &str, yaml: &str) -> String {
    let labels = format!("      labels: {{app: {app}");
    assert!(yaml.contains(&labels));
    yaml.replace(&labels, &format!("      labels: {{topology.istio.io/network: {network}, app: {app}"))
}

#[test]
fn endpoints_of_another_network_are_reached_through_its_gateway() {
    let here = "{registryServiceName: east-west.istio-system.svc.cluster.local, port: 15443}";
    let base = documents(&[
        injected_default(),
        service("web", "http"),
        of("near", "web", &echo("web", "v1")),
        of("far", "web", &echo("web", "v2")),
        subsets("web", &[("v1", "v1"), ("v2", "v2")]),
        of("near", "client", &client("client", "client", "")),
    ]);
    let manifests =
        [("base.yaml", base), ("gateway.yaml", GATEWAY.to_owned()), ("networks.yaml", networks(here))];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    let names = |n: usize| {
        let all = (0..n).map(|_| mesh.get_from("client", "http://web:9080/", &[]));
        all.filter(|(status, _)| *status == 200).map(|(_, body)| body).collect::<Vec<_>>()
    };
    mesh.eventually("both networks answer", SOON, || {
        let all = names(8);
        all.len() == 8 && ["web-v1", "web-v2"].iter().all(|name| all.iter().any(|body| body.contains(name)))
    });
    let endpoints = || mesh.get_from("client", "http://127.0.0.1:15000/clusters", &[]).1;
    let of_web =
        |all: &str, at: &str| all.lines().any(|l| l.starts_with("outbound|9080||web.") && l.contains(at));
    let all = endpoints();
    assert!(of_web(&all, "::10.96.78.1:15443::"), "the gateway is an endpoint: {all}");
    // It is the sidecar behind the gateway that checked who calls: TLS was not ended in between.
    let far = names(8).into_iter().find(|body| body.contains("web-v2")).unwrap();
    assert!(far.contains("URI=spiffe://cluster.local/ns/default/sa/client"), "{far}");
    // A network without gateways is reached directly.
    mesh.write("networks.yaml", &networks(""));
    mesh.eventually("the pod itself is an endpoint again", SOON, || {
        !of_web(&endpoints(), "::10.96.78.1:15443::")
    });
    assert_eq!(names(8).len(), 8);
}
