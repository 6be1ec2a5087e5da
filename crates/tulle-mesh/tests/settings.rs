//! Settings of the mesh in documents: which of them are in force, and that broken ones leave those before.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::Arc;
use std::time::Duration;

use tulle_base::{ResourceRef, Severity};
use tulle_mesh::config::OutboundPolicy;
use tulle_mesh::provider::{ExtAuthzProtocol, ProviderKind};
use tulle_mesh::{Change, ChangedKeys, MeshConfig, Snapshot};

fn put(snapshot: &Snapshot, yaml: &str) -> (Snapshot, ChangedKeys) {
    let (objects, _) = tulle_api::parse_manifests("x.yaml", yaml.as_bytes());
    assert!(!objects.is_empty(), "{yaml}");
    let changes: Vec<Change> = objects.into_iter().map(|o| Change::Put(Arc::new(o))).collect();
    snapshot.apply(&changes)
}

fn delete(snapshot: &Snapshot, group: &str, kind: &str, name: &str) -> (Snapshot, ChangedKeys) {
    snapshot.apply(&[Change::Delete(ResourceRef::new(group, kind, "istio-system", name))])
}

fn map(mesh: &str) -> String {
    let text = mesh.replace('\n', "\n    ");
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: |\n    {text}\n"
    )
}

fn operator(mesh: &str) -> String {
    format!(
        "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: {{name: iop, namespace: istio-system}}\n\
         spec: {{meshConfig: {mesh}}}\n"
    )
}

fn start() -> Snapshot {
    Snapshot::new(MeshConfig { access_log_file: "/given".into(), ..MeshConfig::default() })
}

#[test]
fn the_config_map_is_over_operators_and_these_over_what_was_given() {
    let (s, keys) =
        put(&start(), &operator("{connectTimeout: 7s, accessLogEncoding: JSON, trustDomainAliases: [a]}"));
    assert!(keys.mesh);
    assert_eq!(
        (s.mesh().connect_timeout, s.mesh().access_log_file.as_str()),
        (Duration::from_secs(7), "/given")
    );
    let (s, keys) = put(
        &s,
        &map("connectTimeout: 3s\naccessLogFile: ''\ntrustDomainAliases: [b]\noutboundTrafficPolicy: {}"),
    );
    assert!(keys.mesh);
    let mesh = s.mesh();
    assert_eq!((mesh.connect_timeout, mesh.access_log_file.as_str()), (Duration::from_secs(3), ""));
    assert_eq!(mesh.trust_domain_aliases, ["a", "b"]);
    assert_eq!(mesh.outbound, OutboundPolicy::RegistryOnly);
    // The same again changes nothing.
    let (s, keys) = put(
        &s,
        &map("accessLogFile: ''\nconnectTimeout: 3s\ntrustDomainAliases: [b]\noutboundTrafficPolicy: {}"),
    );
    assert!(keys.is_empty(), "{keys:?}");
    let (s, _) = delete(&s, "", "ConfigMap", "istio");
    assert_eq!(s.mesh().connect_timeout, Duration::from_secs(7));
    let (s, keys) = delete(&s, "install.istio.io", "IstioOperator", "iop");
    assert!(keys.mesh);
    assert_eq!(*s.mesh(), *start().mesh());
}

#[test]
fn a_broken_edit_keeps_the_last_good_settings_and_says_so() {
    let (good, _) = put(&start(), &map("connectTimeout: 3s"));
    for broken in ["connectTimeout: 0s", "connectTimeout: [", "connectTimeot: 3s\nconnectTimeout: x"] {
        // Stores of others take what ours refuses.
        let object = serde_json::json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio", "namespace": "istio-system"},
            "data": {"mesh": broken},
        });
        let object = tulle_api::decode_object(&object).unwrap();
        let (s, keys) = good.apply(&[Change::Put(Arc::new(object))]);
        assert!(!keys.mesh, "{broken}");
        assert_eq!(s.mesh(), good.mesh(), "{broken}");
        let map = ResourceRef::new("", "ConfigMap", "istio-system", "istio");
        let said: Vec<_> = s.diagnostics_of(&map).collect();
        let told = |d: &&&tulle_base::Diagnostic| {
            d.severity == Severity::Error
                && d.field.as_str().starts_with("data.mesh")
                && d.message.contains("the settings that were in force before stay")
        };
        assert!(said.iter().any(|d| told(&d)), "{broken}: {said:?}");
        // Mended, it is in force, and nothing is said any more.
        let (s, _) = put(&s, &self::map("connectTimeout: 4s"));
        assert_eq!(s.mesh().connect_timeout, Duration::from_secs(4));
        assert_eq!(s.diagnostics_of(&map).count(), 0);
    }
}

#[test]
fn maps_of_other_namespaces_and_revisions_say_nothing() {
    let other = map("connectTimeout: 3s").replace("namespace: istio-system", "namespace: shop");
    assert!(put(&start(), &other).1.is_empty());
    let other = map("connectTimeout: 3s").replace("name: istio,", "name: istio-canary,");
    assert!(put(&start(), &other).1.is_empty());
}

#[test]
fn who_sees_what_says_nothing_follows_the_settings_both_ways() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: shop}\n\
                   spec: {clusterIP: 10.96.0.1, ports: [{port: 80, name: http}]}\n---\n\
                   apiVersion: v1\nkind: Service\nmetadata: {name: b, namespace: shop, \
                   annotations: {networking.istio.io/exportTo: '*'}}\n\
                   spec: {clusterIP: 10.96.0.2, ports: [{port: 80, name: http}]}\n";
    let seen = |s: &Snapshot, name: &str| {
        s.service(&tulle_base::Host::new(&format!("{name}.shop.svc.cluster.local")), "other").is_some()
    };
    let private = map("defaultServiceExportTo: ['.']");
    // Whichever comes first.
    let (late, keys) = put(&put(&start(), service).0, &private);
    assert!(keys.mesh && keys.services.len() == 1, "{keys:?}");
    let (early, _) = put(&put(&start(), &private).0, service);
    for s in [&late, &early] {
        assert!(!seen(s, "a") && seen(s, "b"));
    }
    let (again, _) = delete(&late, "", "ConfigMap", "istio");
    assert!(seen(&again, "a") && seen(&again, "b"));
}

#[test]
fn extension_providers_are_found_by_name() {
    let (s, _) = put(
        &start(),
        &map("extensionProviders:\n\
             - {name: opa, envoyExtAuthzGrpc: {service: authz/opa, port: 9191, statusOnError: '503', failOpen: true}}\n\
             - {name: web, envoyExtAuthzHttp: {service: auth.example.com, port: 80, pathPrefix: /check, timeout: 2s}}\n\
             - {name: traces, zipkin: {service: zipkin.obs.svc.cluster.local, port: 9411}}"),
    );
    let ProviderKind::ExtAuthz(opa) = &s.extension_provider("opa").unwrap().kind else { panic!() };
    assert_eq!((opa.host.as_str(), opa.port), ("opa.authz.svc.cluster.local", 9191));
    assert_eq!((opa.status_on_error, opa.fail_open, opa.timeout), (503, true, Duration::from_secs(600)));
    assert_eq!(opa.protocol, ExtAuthzProtocol::Grpc);
    let ProviderKind::ExtAuthz(web) = &s.extension_provider("web").unwrap().kind else { panic!() };
    assert_eq!((web.host.as_str(), web.timeout), ("auth.example.com", Duration::from_secs(2)));
    assert!(matches!(&web.protocol, ExtAuthzProtocol::Http { path_prefix, .. } if path_prefix == "/check"));
    let ProviderKind::Zipkin(traces) = &s.extension_provider("traces").unwrap().kind else { panic!() };
    assert_eq!((traces.at.host.as_str(), traces.at.port), ("zipkin.obs.svc.cluster.local", 9411));
    assert_eq!(s.extension_provider("nobody"), None);
}

#[test]
fn an_annotation_that_cannot_be_read_is_told_with_its_line() {
    let pod = |text: &str| {
        let pod = serde_json::json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "namespace": "shop", "annotations": {"proxy.istio.io/config": text}},
            "spec": {"containers": [{"name": "c", "image": "x"}]},
        });
        start().apply(&[Change::Put(Arc::new(tulle_api::decode_object(&pod).unwrap()))]).0
    };
    let topology = |s: &Snapshot| s.workload(&tulle_mesh::NsName::new("shop", "a")).unwrap().topology;
    let good = pod("gatewayTopology: {numTrustedProxies: 2}");
    assert_eq!(topology(&good).trusted_proxies, Some(2));
    assert_eq!(good.diagnostics().count(), 0);
    let bad = pod("gatewayTopology:\n  numTrustedProxies: [");
    assert_eq!(topology(&bad).trusted_proxies, None);
    let said = bad.diagnostics().next().unwrap().to_string();
    assert!(said.contains("proxy.istio.io/config") && said.contains("line 3 of the text"), "{said}");
}
