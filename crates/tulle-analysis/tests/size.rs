//! A large configuration is analysed in proportion to its size. What is counted is work, not time; the time is printed.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use tulle_analysis::{Findings, MeshConfig, Whole, analyzers};
use tulle_api::Object;

/// `count` services in 20 namespaces, each with a Deployment, a DestinationRule, a policy and a VirtualService with five routes.
fn configuration(count: usize) -> Vec<Arc<Object>> {
    let mut text = String::new();
    for i in 0..count {
        let (ns, next) = (i % 20, (i + 20) % count);
        write!(
            text,
            "---\n{{apiVersion: v1, kind: Service, metadata: {{name: s{i}, namespace: n{ns}}}, spec: {{selector: {{app: s{i}}}, \
             ports: [{{name: http, port: 80, targetPort: 8080}}]}}}}\n\
             ---\n{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: s{i}, namespace: n{ns}}}, spec: {{replicas: 2, \
             selector: {{matchLabels: {{app: s{i}}}}}, template: {{metadata: {{labels: {{app: s{i}, tier: web}}}}, \
             spec: {{containers: [{{name: main, image: tulle.dev/echo, env: [{{name: NEXT_URL, value: 'http://s{next}:80/'}}]}}]}}}}}}}}\n\
             ---\n{{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {{name: s{i}, namespace: n{ns}}}, \
             spec: {{host: s{i}, trafficPolicy: {{outlierDetection: {{}}}}, subsets: [{{name: v1, labels: {{tier: web}}}}]}}}}\n\
             ---\n{{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {{name: s{i}, namespace: n{ns}}}, \
             spec: {{selector: {{matchLabels: {{app: s{i}}}}}, rules: [{{to: [{{operation: {{methods: [GET]}}}}]}}]}}}}\n\
             ---\n{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: s{i}, namespace: n{ns}}}, \
             spec: {{hosts: [s{i}], http: ["
        )
        .unwrap();
        for route in 0..5 {
            let condition = if route == 4 {
                String::new()
            } else {
                format!("match: [{{uri: {{prefix: /r{route}/}}}}], ")
            };
            write!(
                text,
                "{{{condition}route: [{{destination: {{host: s{i}, subset: v1}}}}], timeout: 5s, retries: {{attempts: 2, \
                 perTryTimeout: 1s, retryOn: 5xx}}}}, "
            )
            .unwrap();
        }
        text.push_str("]}}\n");
    }
    let (objects, _) = tulle_api::parse_manifests("generated.yaml", text.as_bytes());
    assert_eq!(objects.len(), count * 5);
    objects.into_iter().map(Arc::new).collect()
}

/// What a whole analysis looks at.
fn looked_at(count: usize) -> u64 {
    let objects = configuration(count);
    let began = Instant::now();
    let whole = Whole::new(&objects, MeshConfig::default());
    let modelled = began.elapsed();
    let mut findings = 0;
    let mut slowest = (std::time::Duration::ZERO, "");
    for (name, analyzer) in analyzers::all() {
        let began = Instant::now();
        findings += Findings::of(analyzer, &whole).len();
        slowest = slowest.max((began.elapsed(), name));
    }
    let (all, looked) = (began.elapsed(), whole.looked_at());
    eprintln!(
        "{count} services: {looked} looked at, {findings} findings, {all:?} (model {modelled:?}, slowest {slowest:?})"
    );
    looked
}

#[test]
fn work_grows_with_the_configuration() {
    let (small, large) = (looked_at(500), looked_at(2_000));
    assert!(large <= small * 5, "four times the objects, but {large} looked at instead of {small}");
}
