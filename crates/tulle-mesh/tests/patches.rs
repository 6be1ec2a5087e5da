//! EnvoyFilters and RateLimits in a snapshot: what is refused, which order holds, what a change concerns.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::sync::Arc;

use tulle_base::{Labels, ResourceRef, Severity};
use tulle_mesh::envoy_filter::Patched;
use tulle_mesh::{Change, ChangedKeys, MeshConfig, Snapshot};

fn apply(snapshot: &Snapshot, yaml: &str) -> (Snapshot, ChangedKeys) {
    let (objects, problems) = tulle_api::parse_manifests("test.yaml", yaml.as_bytes());
    assert!(problems.iter().all(|p| p.severity < Severity::Error), "{problems:?}");
    let changes: Vec<Change> = objects.into_iter().map(|o| Change::Put(Arc::new(o))).collect();
    snapshot.apply(&changes)
}

fn filter(name: &str, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap();
    format!(
        "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
         spec: {{{spec}}}\n"
    )
}

/// A filter whose only patch is refused or not for this reason, at this path below the patch.
fn told(patch: &str) -> (Vec<String>, usize) {
    let (mesh, _) = apply(
        &Snapshot::new(MeshConfig::default()),
        &filter(
            "shop/f",
            &format!("configPatches: [{{{patch}}}, {{applyTo: LISTENER, patch: {{operation: REMOVE}}}}]"),
        ),
    );
    let name = ResourceRef::new("networking.istio.io", "EnvoyFilter", "shop", "f");
    let said = mesh.diagnostics_of(&name).map(|d| {
        let level = if d.severity == Severity::Error { "refused" } else { "told" };
        format!("{level} {}: {}", d.field.as_str().trim_start_matches("spec.configPatches[0]."), d.message)
    });
    (said.collect(), mesh.envoy_filter(&name).unwrap().patches.len())
}

#[test]
fn what_is_refused_is_named_and_the_other_patches_stay() {
    let hcm = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    let wasm = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
    let cases = [
        (
            format!(
                "applyTo: HTTP_FILTER, patch: {{operation: ADD, value: {{name: w, typed_config: {{'@type': {wasm}}}}}}}"
            ),
            "refused patch.value.typed_config.@type: type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm is refused",
        ),
        (
            format!(
                "applyTo: NETWORK_FILTER, patch: {{operation: MERGE, value: {{typed_config: {{'@type': {hcm}, \
                 access_log: [{{typed_config: {{'@type': type.googleapis.com/envoy.extensions.access_loggers.wasm.v3.WasmAccessLog}}}}]}}}}}}"
            ),
            "refused patch.value.typed_config.access_log[0].typed_config.@type: ",
        ),
        (
            "applyTo: CLUSTER, patch: {operation: MERGE, value: {connect_timeot: 1s}}".to_owned(),
            "refused patch.value.connect_timeot: is not a field of envoy.config.cluster.v3.Cluster; did you mean connect_timeout?",
        ),
        (
            "applyTo: CLUSTER, patch: {operation: MERGE, value: {connect_timeout: soon}}".to_owned(),
            "refused patch.value.connect_timeout: ",
        ),
        (
            "applyTo: HTTP_FILTER, patch: {operation: ADD, value: {name: w, typed_config: {'@type': \
             type.googleapis.com/udpa.type.v1.TypedStruct, type_url: type.googleapis.com/a.b.C, value: {x: 1}}}}"
                .to_owned(),
            "refused patch.value.typed_config.type_url: type.googleapis.com/a.b.C is refused",
        ),
        (
            format!(
                "applyTo: NETWORK_FILTER, patch: {{operation: ADD, value: {{name: w, typed_config: {{'@type': \
                 type.googleapis.com/xds.type.v3.TypedStruct, type_url: {hcm}, value: {{nothing: 1}}}}}}}}"
            ),
            "refused patch.value.typed_config.value.nothing: is not a field of envoy.extensions.filters.network",
        ),
        (
            "applyTo: BOOTSTRAP, patch: {operation: MERGE, value: {}}".to_owned(),
            "refused applyTo: BOOTSTRAP is refused",
        ),
        (
            "applyTo: ROUTE_CONFIGURATION, patch: {operation: ADD, value: {name: x}}".to_owned(),
            "told patch.operation: has no effect: ADD does not go with ROUTE_CONFIGURATION",
        ),
        (
            "applyTo: CLUSTER, match: {context: WAYPOINT}, patch: {operation: REMOVE}".to_owned(),
            "told match.context: has no effect: waypoints are not built",
        ),
    ];
    for (patch, expected) in cases {
        let (said, left) = told(&patch);
        assert!(said.len() == 1 && said[0].starts_with(expected), "{patch}: {said:#?}");
        assert_eq!(left, 1, "{patch}");
    }
    // What has no effect beside something that has.
    let (said, left) =
        told("applyTo: CLUSTER, patch: {operation: REMOVE, value: {name: x}, filterClass: AUTHN}");
    assert_eq!((said.len(), left), (2, 2), "{said:#?}");
}

#[test]
fn filters_are_in_order_of_priority_root_age_and_name() {
    let one = |name: &str, more: &str, created: &str| {
        let patch = "configPatches: [{applyTo: LISTENER, patch: {operation: REMOVE}}]";
        filter(name, &format!("{patch}{more}"))
            .replace("metadata: {", &format!("metadata: {{creationTimestamp: '{created}', "))
    };
    let all = [
        one("shop/late", ", priority: 5", "2026-01-01T00:00:00Z"),
        one("shop/b", "", "2026-01-02T00:00:00Z"),
        one("shop/a", "", "2026-01-02T00:00:00Z"),
        one("shop/older", "", "2026-01-01T00:00:00Z"),
        one("istio-system/root", "", "2026-01-03T00:00:00Z"),
        one("shop/early", ", priority: -5", "2026-01-04T00:00:00Z"),
        one("far/other", ", priority: -9", "2026-01-01T00:00:00Z"),
    ];
    let (mesh, _) = apply(&Snapshot::new(MeshConfig::default()), &all.join("---\n"));
    let names: Vec<&str> = mesh.envoy_filters_in("shop").iter().map(|f| f.meta.name()).collect();
    assert_eq!(names, ["early", "root", "older", "a", "b", "late"]);
}

#[test]
fn a_change_names_the_namespace_and_what_may_be_patched() {
    let empty = Snapshot::new(MeshConfig::default());
    let keys = |to: &str, context: &str| {
        let patch = format!("{{applyTo: {to}, match: {{context: {context}}}, patch: {{operation: REMOVE}}}}");
        let (mesh, keys) = apply(&empty, &filter("shop/f", &format!("configPatches: [{patch}]")));
        let (_, again) = apply(&mesh, &filter("shop/f", &format!("configPatches: [{patch}]")));
        assert!(again.is_empty(), "the same once more");
        assert_eq!(ChangedKeys { patches: BTreeMap::new(), ..keys.clone() }, ChangedKeys::default());
        keys.patches
    };
    let only = |patched: Patched| BTreeMap::from([("shop".to_owned(), patched)]);
    let none = Patched::default();
    assert_eq!(keys("CLUSTER", "ANY"), only(Patched { clusters: true, ..none }));
    assert_eq!(keys("HTTP_FILTER", "ANY"), only(Patched { listeners: true, ..none }));
    assert_eq!(keys("HTTP_ROUTE", "SIDECAR_INBOUND"), only(Patched { listeners: true, ..none }));
    assert_eq!(keys("HTTP_ROUTE", "GATEWAY"), only(Patched { routes: true, ..none }));
    assert_eq!(keys("HTTP_ROUTE", "ANY"), only(Patched { listeners: true, routes: true, ..none }));
}

fn pod(name: &str, ready: bool) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{app: web, security.istio.io/tlsMode: istio}}}}\n\
         spec: {{containers: [{{name: a, image: x}}]}}\n\
         status: {{phase: Running, podIP: 10.0.0.{}, conditions: [{{type: Ready, status: '{}'}}]}}\n",
        name.len(),
        if ready { "True" } else { "False" }
    )
}

#[test]
fn a_shared_limit_knows_its_ready_proxies() {
    let limit = |app: &str| {
        format!(
            "apiVersion: policy.tulle.dev/v1alpha1\nkind: RateLimit\nmetadata: {{name: l, namespace: shop}}\n\
             spec: {{selector: {{matchLabels: {{app: {app}}}}}, limits: [{{name: all, requests: 10, scope: MESH}}]}}\n"
        )
    };
    let name = ResourceRef::new("policy.tulle.dev", "RateLimit", "shop", "l");
    let start = Snapshot::new(MeshConfig::default());
    let (mesh, _) =
        apply(&start, &format!("{}---\n{}---\n{}", pod("a", true), pod("bb", false), limit("web")));
    assert_eq!(mesh.proxies_of_limit(&name), 1);
    let (mesh, keys) = apply(&mesh, &pod("bb", true));
    assert_eq!(mesh.proxies_of_limit(&name), 2);
    assert!(keys.limits.contains("shop"), "{keys:?}");
    let (mesh, keys) = apply(&mesh, &pod("ccc", false));
    assert_eq!((mesh.proxies_of_limit(&name), keys.limits.len()), (2, 0), "nothing to tell");
    let (mesh, keys) = mesh.apply(&[Change::Delete(ResourceRef::new("", "Pod", "shop", "a"))]);
    assert_eq!((mesh.proxies_of_limit(&name), keys.limits.len()), (1, 1));
    let (mesh, _) = apply(&mesh, &limit("other"));
    assert_eq!(mesh.proxies_of_limit(&name), 0);
    let labels: Labels = [("app".to_owned(), "other".to_owned())].into();
    assert_eq!(mesh.rate_limits("shop", &labels).len(), 1);
    assert_eq!(mesh.rate_limits("far", &labels).len(), 0);
}
