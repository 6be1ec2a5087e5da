//! Telemetries in a snapshot: which are in force for whom, and what they say.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tulle_base::{Labels, ResourceRef, Severity};
use tulle_mesh::telemetry::{CustomTag, IstioMetric, MetricMatch, Mode, TagOverride};
use tulle_mesh::{Change, ChangedKeys, MeshConfig, Snapshot};

fn apply(snapshot: &Snapshot, yaml: &str) -> (Snapshot, ChangedKeys) {
    let (objects, problems) = tulle_api::parse_manifests("test.yaml", yaml.as_bytes());
    assert!(problems.iter().all(|p| p.severity < Severity::Error), "{problems:?}");
    let changes: Vec<Change> = objects.into_iter().map(|o| Change::Put(Arc::new(o))).collect();
    snapshot.apply(&changes)
}

/// A Telemetry `namespace/name` made in `year`.
fn one(name: &str, year: u32, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap();
    format!(
        "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: {name}, namespace: {namespace}, \
         creationTimestamp: \"{year}-01-01T00:00:00Z\"}}\nspec: {{{spec}}}\n---\n"
    )
}

fn names(snapshot: &Snapshot, namespace: &str, labels: &[(&str, &str)]) -> Vec<String> {
    let labels: Labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let all = snapshot.telemetry_of(namespace, &labels);
    all.iter().map(|t| format!("{}/{}", t.meta.namespace(), t.meta.name())).collect()
}

const METRICS: &str = "metrics: [{providers: [{name: prometheus}]}]";

#[test]
fn the_root_comes_first_then_the_namespace_then_the_workload_and_the_oldest_at_each() {
    let select = |app: &str| format!("selector: {{matchLabels: {{app: {app}}}}}, {METRICS}");
    let all = [
        one("istio-system/mesh", 2020, METRICS),
        one("istio-system/later", 2021, METRICS),
        one("istio-system/root-only", 2020, &select("web")),
        one("shop/young", 2023, METRICS),
        one("shop/old", 2022, METRICS),
        one("shop/web", 2022, &select("web")),
        one("shop/web-again", 2023, &select("web")),
        one(
            "shop/edge",
            2022,
            &format!(
                "targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, name: edge}}], {METRICS}"
            ),
        ),
    ];
    let (mesh, keys) = apply(&Snapshot::new(MeshConfig::default()), &all.concat());
    assert_eq!(keys.telemetry, ["istio-system".to_owned(), "shop".to_owned()].into());
    let web = [("app", "web")];
    assert_eq!(names(&mesh, "shop", &web), ["istio-system/mesh", "shop/old", "shop/web"]);
    assert_eq!(names(&mesh, "shop", &[("app", "cart")]), ["istio-system/mesh", "shop/old"]);
    assert_eq!(names(&mesh, "other", &web), ["istio-system/mesh"]);
    // A selector in the root namespace is for its own workloads.
    assert_eq!(names(&mesh, "istio-system", &web), ["istio-system/mesh", "istio-system/root-only"]);
    let edge = [("gateway.networking.k8s.io/gateway-name", "edge")];
    assert_eq!(names(&mesh, "shop", &edge), ["istio-system/mesh", "shop/old", "shop/edge"]);
    let gone = ResourceRef::new("telemetry.istio.io", "Telemetry", "shop", "old");
    let (mesh, keys) = mesh.apply(&[Change::Delete(gone)]);
    assert_eq!(keys.telemetry, ["shop".to_owned()].into());
    assert_eq!(names(&mesh, "shop", &web), ["istio-system/mesh", "shop/young", "shop/web"]);
}

#[test]
fn all_of_it_is_kept() {
    let spec = "
  tracing:
  - match: {mode: CLIENT}
    providers: [{name: zipkin}]
    randomSamplingPercentage: 12.5
    disableSpanReporting: false
    customTags:
      a: {literal: {value: x}}
      b: {header: {name: X-Tenant, defaultValue: none}}
      c: {environment: {name: HOME}}
      d: {formatter: {value: '%REQ(:PATH)%'}}
    useRequestIdForTraceSampling: false
    enableIstioTags: false
    disableContextPropagation: true
  metrics:
  - providers: [{name: prometheus}]
    reportingInterval: 10s
    overrides:
    - match: {metric: REQUEST_COUNT, mode: SERVER}
      tagOverrides:
        tenant_id: {value: \"request.headers['x-tenant-id']\"}
        source_app: {operation: REMOVE}
    - match: {metric: ALL_METRICS}
      disabled: true
    - match: {customMetric: my_metric}
      disabled: false
    - disabled: false
  accessLogging:
  - match: {mode: SERVER}
    providers: [{name: envoy}]
    disabled: false
    filter: {expression: 'response.code >= 400'}
";
    let yaml = format!(
        "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: t, namespace: shop}}\nspec:{spec}"
    );
    let (mesh, _) = apply(&Snapshot::new(MeshConfig::default()), &yaml);
    let all = mesh.telemetry_of("shop", &Labels::new());
    let [given] = all[..] else { panic!("{all:?}") };
    let tracing = &given.tracing[0];
    assert_eq!((tracing.mode, tracing.sampling, tracing.disabled), (Mode::Client, Some(12.5), Some(false)));
    assert_eq!(
        (tracing.sampled_by_request_id, tracing.istio_tags, tracing.not_passed_on),
        (Some(false), Some(false), Some(true))
    );
    let tags = BTreeMap::from([
        ("a".to_owned(), CustomTag::Literal("x".into())),
        ("b".to_owned(), CustomTag::Header { name: "x-tenant".into(), default: "none".into() }),
        ("c".to_owned(), CustomTag::Environment { name: "HOME".into(), default: String::new() }),
        ("d".to_owned(), CustomTag::Formatter("%REQ(:PATH)%".into())),
    ]);
    assert_eq!(tracing.tags, Some(tags));
    let metrics = &given.metrics[0];
    assert_eq!(metrics.providers, ["prometheus"]);
    assert_eq!(metrics.reporting_interval, Some(Duration::from_secs(10)));
    let of: Vec<_> = metrics.overrides.iter().map(|o| (&o.metric, o.mode, o.disabled)).collect();
    assert_eq!(
        of,
        [
            (&MetricMatch::Istio(IstioMetric::RequestCount), Mode::Server, None),
            (&MetricMatch::All { named: true }, Mode::Both, Some(true)),
            (&MetricMatch::Custom("my_metric".into()), Mode::Both, Some(false)),
            (&MetricMatch::All { named: false }, Mode::Both, Some(false)),
        ]
    );
    let tags = &metrics.overrides[0].tags;
    assert_eq!(tags["tenant_id"], TagOverride::Set("request.headers['x-tenant-id']".into()));
    assert_eq!(tags["source_app"], TagOverride::Remove);
    let logs = &given.access_logging[0];
    assert_eq!((logs.mode, logs.disabled), (Mode::Server, Some(false)));
    assert_eq!(logs.filter.as_deref(), Some("response.code >= 400"));
    assert_eq!(logs.providers, ["envoy"]);
}
