//! What snapshots and translation cost: `cargo run --release -p tulle-translate --example scale -- 1000 5`
//! (services, endpoints each). Prints the time of the first snapshot, of one change of an endpoint, a weight and a service,
//! and of the resources of one view.

#![allow(clippy::print_stdout, reason = "it is what the example is for")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use tulle_mesh::{Change, MeshConfig, NsName, Snapshot};
use tulle_translate::{Kind, Proxy, View};

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|a| a.parse::<usize>().ok());
    let (services, pods) = (numbers.next().unwrap_or(1000), numbers.next().unwrap_or(5));
    let all: Vec<Change> = (0..services).flat_map(|i| documents(i, pods, 0)).collect();
    let empty = Snapshot::new(MeshConfig::default());
    let ((mesh, _), first) = timed(|| empty.apply(&all));
    println!("{services} services, {} pods, {} documents", services * pods, all.len());
    println!("first snapshot             {first:>12.1?}");
    let moved = documents(7, pods, 1);
    let slice =
        moved.iter().filter(|c| matches!(c, Change::Put(o) if o.kind() == tulle_api::Kind::EndpointSlice));
    let slice: Vec<Change> = slice.cloned().collect();
    let ((_, keys), time) = timed(|| mesh.apply(&slice));
    println!("an endpoint leaves         {time:>12.1?}  ({} hosts' endpoints changed)", keys.endpoints.len());
    let route = objects(&route(7, 30));
    let ((next, keys), time) = timed(|| mesh.apply(&route));
    println!("a weight changes           {time:>12.1?}  ({} hosts' routes changed)", keys.routes.len());
    let proxy = proxy();
    let (view, time) = timed(|| View::of(&next, &proxy));
    println!("a view                     {time:>12.1?}");
    let (clusters, time) = timed(|| tulle_translate::outbound_clusters(&next, &view));
    println!("its {:>6} clusters        {time:>12.1?}  {} bytes", clusters.len(), bytes(&clusters));
    let (listeners, time) = timed(|| tulle_translate::outbound_listeners(&next, &view));
    println!("its {:>6} listeners       {time:>12.1?}  {} bytes", listeners.len(), bytes(&listeners));
    let (routes, time) = timed(|| {
        let names = tulle_translate::route_names(&next, &proxy, &view);
        names.iter().filter_map(|n| tulle_translate::routes(&next, &proxy, &view, n)).collect::<Vec<_>>()
    });
    println!("its {:>6} route tables    {time:>12.1?}  {} bytes", routes.len(), bytes(&routes));
    let (endpoints, time) = timed(|| {
        let names = tulle_translate::endpoint_names(&next, &view);
        names.iter().filter_map(|n| tulle_translate::endpoints(&next, &view, n)).collect::<Vec<_>>()
    });
    println!("its {:>6} endpoint sets   {time:>12.1?}  {} bytes", endpoints.len(), bytes(&endpoints));
    let host = "svc-7.default.svc.cluster.local".into();
    let (_, time) = timed(|| tulle_translate::clusters_of_host(&next, &view, &host));
    println!("the clusters of one host   {time:>12.1?}");
    let (_, time) = timed(|| tulle_translate::inbound_listeners(&next, &proxy));
    println!("an inbound listener        {time:>12.1?}");
}

fn timed<T>(f: impl Fn() -> T) -> (T, Duration) {
    drop(f());
    let begin = Instant::now();
    let out = f();
    (out, begin.elapsed())
}

fn bytes(all: &[tulle_translate::Resource]) -> usize {
    all.iter().map(|r| r.body.len()).sum()
}

fn proxy() -> Proxy {
    Proxy {
        kind: Kind::Sidecar,
        id: String::new(),
        ip: "10.0.0.0".into(),
        families: Default::default(),
        pod: NsName::new("default", "svc-0-0"),
        labels: [("app".to_owned(), "svc-0".to_owned())].into(),
        service_account: "default".into(),
        workload: "svc-0".into(),
        cluster_id: "Kubernetes".into(),
        network: String::new(),
        locality: tulle_base::Locality::default(),
        metadata: Default::default(),
        node: String::new(),
        stock_envoy: false,
        stands_for: None,
    }
}

fn route(i: usize, weight: u32) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: svc-{i}}}, spec: {{hosts: [svc-{i}], \
         http: [{{route: [{{destination: {{host: svc-{i}}}, weight: {weight}}}, \
         {{destination: {{host: svc-0}}, weight: {}}}]}}]}}}}\n---\n",
        100 - weight
    )
}

/// A service with its pods and slice; `gone` of the pods are not in the slice.
fn documents(i: usize, pods: usize, gone: usize) -> Vec<Change> {
    let ip = |p: usize| format!("10.{}.{}.{p}", i / 250, i % 250);
    let mut yaml = format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: svc-{i}}}, spec: {{clusterIP: 10.96.{}.{}, \
         selector: {{app: svc-{i}}}, ports: [{{port: 80, name: http}}]}}}}\n---\n",
        i / 250,
        i % 250
    );
    for p in 0..pods {
        yaml += &format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: svc-{i}-{p}, labels: {{app: svc-{i}, version: v1, \
             security.istio.io/tlsMode: istio}}}}, spec: {{containers: [{{name: a, image: x}}]}}, \
             status: {{phase: Running, podIP: {}}}}}\n---\n",
            ip(p)
        );
    }
    let endpoints: Vec<String> = (gone..pods)
        .map(|p| format!("{{addresses: [{}], targetRef: {{kind: Pod, name: svc-{i}-{p}}}}}", ip(p)))
        .collect();
    yaml += &format!(
        "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: svc-{i}-1, \
         labels: {{kubernetes.io/service-name: svc-{i}}}}}, addressType: IPv4, ports: [{{name: http, port: 8080}}], \
         endpoints: [{}]}}\n---\n",
        endpoints.join(", ")
    );
    yaml += &route(i, 80);
    objects(&yaml)
}

fn objects(yaml: &str) -> Vec<Change> {
    let (objects, _) = tulle_api::parse_manifests("scale", yaml.as_bytes());
    objects.into_iter().map(|o| Change::Put(Arc::new(o))).collect()
}
