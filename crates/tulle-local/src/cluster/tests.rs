//! Wanted against actual, over the store in memory.

use std::sync::Arc;

use serde_json::json;
use tulle_api::kubernetes::{EndpointSlice, PodSpec, Service};
use tulle_api::{Kind, Object, parse_manifests};
use tulle_store::{Filter, Memory};

use super::admission::Admitting;
use super::{Action, Names, View, inject, pod_facts, reconcile, routes};
use crate::net::{Addresses, Families};

/// A cluster without a node: pods come to life when the test says so.
struct Cluster {
    store: Admitting,
    names: Names,
    next_ip: u8,
}

impl Cluster {
    fn new(yaml: &str) -> Self {
        let store = Admitting::new(Arc::new(Memory::new()), Addresses::new(Families::Dual));
        let mut cluster = Self { store, names: Names::seeded(7), next_ip: 2 };
        cluster.apply(yaml);
        cluster
    }

    fn apply(&mut self, yaml: &str) {
        let (objects, problems) = parse_manifests("test.yaml", yaml.as_bytes());
        assert!(problems.is_empty(), "{problems:?}");
        for object in objects {
            self.store.put_now(object).unwrap();
        }
        self.settle();
    }

    fn view(&self) -> View {
        View::new(self.store.inner().list_now(&Filter::default()).objects)
    }

    /// Until the controllers want nothing more.
    fn settle(&mut self) {
        for _ in 0..20 {
            let actions = reconcile(&self.view(), &mut self.names, 1_000);
            if actions.is_empty() {
                return;
            }
            for action in actions {
                match action {
                    Action::Put(object) => drop(self.store.put_now(*object).unwrap()),
                    Action::Status(r, status) => drop(self.store.inner().put_status_now(&r, status).unwrap()),
                    Action::Delete(r) => drop(self.store.delete_now(&r).unwrap()),
                }
            }
        }
        panic!("the controllers do not come to rest");
    }

    fn pods(&self) -> Vec<Arc<Object>> {
        self.view().of_kind(Kind::Pod).cloned().collect()
    }

    fn live(&self) -> Vec<String> {
        self.pods().iter().filter(|p| pod_facts(p).active()).map(|p| p.meta.name.clone()).collect()
    }

    fn report(&mut self, pod: &str, phase: &str, ready: bool) {
        let pod = self.pods().into_iter().find(|p| p.meta.name == pod).unwrap();
        let mut ips: Vec<String> = pod_facts(&pod).ips.iter().map(ToString::to_string).collect();
        if ips.is_empty() {
            self.next_ip += 1;
            ips = vec![format!("10.244.0.{}", self.next_ip), format!("fd00:10:244::{}", self.next_ip)];
        }
        let all = ips.iter().map(|ip| json!({"ip": ip})).collect::<Vec<_>>();
        let ready = if ready { "True" } else { "False" };
        let conditions = json!([{"type": "Ready", "status": ready}]);
        let status = json!({"phase": phase, "podIP": ips[0], "podIPs": all, "conditions": conditions});
        self.store.inner().put_status_now(&pod.resource(), status).unwrap();
        self.settle();
    }

    /// The node: pods that were asked to stop are gone, the others are ready.
    fn node_catches_up(&mut self) {
        for pod in self.pods() {
            if pod.meta.deletion_timestamp.is_some() {
                self.store.delete_now(&pod.resource()).unwrap();
            }
        }
        self.settle();
        for pod in self.live() {
            self.report(&pod, "Running", true);
        }
    }
}

fn deployment(image: &str, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: cart, namespace: shop}}\nspec:\n  \
         replicas: {replicas}\n  selector: {{matchLabels: {{app: cart}}}}\n  template:\n    \
         metadata: {{labels: {{app: cart}}}}\n    spec:\n      containers:\n      - name: cart\n        \
         image: {image}\n        ports: [{{name: http, containerPort: 8080}}]\n"
    )
}

#[test]
fn a_deployment_is_rolled_without_going_below_its_number() {
    let mut c = Cluster::new(&deployment("echo:1", 4));
    assert_eq!(c.live().len(), 4);
    c.node_catches_up();
    let old = c.live();
    c.apply(&deployment("echo:2", 4));
    // One more than wanted, and with 25% one may be missing.
    let mut rounds = 0;
    while c.live().iter().any(|p| old.contains(p)) {
        let ready = c.pods().iter().filter(|p| pod_facts(p).ready && pod_facts(p).active()).count();
        assert!((3..=5).contains(&ready), "{ready} ready");
        assert!(c.live().len() <= 5);
        c.node_catches_up();
        rounds += 1;
        assert!(rounds < 10, "the roll-out does not end");
    }
    assert_eq!(c.live().len(), 4);
    let pods = c.pods();
    assert_eq!(inject::workload_name(&pods[0]), "cart");
    assert_eq!(inject::owner_path(&pods[0]), "kubernetes://apis/apps/v1/namespaces/shop/deployments/cart");
    c.apply(&deployment("echo:2", 1));
    assert_eq!(c.live().len(), 1);
    let deployment = c.view().of_kind(Kind::Deployment).next().unwrap().resource();
    c.store.delete_now(&deployment).unwrap();
    c.settle();
    assert!(c.live().is_empty());
}

#[test]
fn a_stateful_set_counts_up_one_by_one_and_names_its_pods() {
    let set = |image: &str| {
        format!(
            "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: db, namespace: shop}}\nspec:\n  \
             replicas: 2\n  serviceName: db\n  selector: {{matchLabels: {{app: db}}}}\n  template:\n    \
             metadata: {{labels: {{app: db}}}}\n    spec: {{containers: [{{name: db, image: {image}}}]}}\n---\n\
             apiVersion: v1\nkind: Service\nmetadata: {{name: db, namespace: shop}}\nspec:\n  \
             clusterIP: None\n  selector: {{app: db}}\n  ports: [{{name: tcp, port: 5432}}]\n"
        )
    };
    let mut c = Cluster::new(&set("echo:1"));
    assert_eq!(c.live(), ["db-0"]);
    c.report("db-0", "Running", true);
    assert_eq!(c.live(), ["db-0", "db-1"]);
    c.report("db-1", "Running", true);
    let zone = routes::zone(&c.view());
    let ip = pod_facts(&c.pods()[1]).ips[0];
    assert_eq!(zone.lookup("db-1.db.shop.svc.cluster.local"), crate::dns::Lookup::Addresses(vec![ip]));
    // The highest number is replaced first.
    c.apply(&set("echo:2"));
    assert_eq!(c.live(), ["db-0"]);
    c.node_catches_up();
    assert_eq!(c.live(), ["db-1"]);
    c.node_catches_up();
    assert_eq!(c.live(), ["db-0", "db-1"]);
}

#[test]
fn a_job_tries_again_and_ends() {
    let mut c = Cluster::new(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {name: load, namespace: shop}\nspec:\n  backoffLimit: 1\n  \
         template:\n    metadata: {}\n    spec: {restartPolicy: Never, containers: [{name: load, image: load}]}\n",
    );
    let first = c.live().remove(0);
    c.report(&first, "Failed", false);
    let second = c.live().remove(0);
    assert_ne!(first, second);
    c.report(&second, "Succeeded", false);
    assert!(c.live().is_empty());
    let view = c.view();
    let job = view.of_kind(Kind::Job).next().unwrap();
    assert_eq!(job.status.as_ref().unwrap()["conditions"][0]["type"], "Complete");
}

#[test]
fn services_keep_their_address_and_follow_ready_pods() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: cart, namespace: shop}\nspec:\n  \
        selector: {app: cart}\n  ports: [{name: http, port: 80, targetPort: http}]\n";
    let mut c = Cluster::new(&deployment("echo:1", 2));
    c.apply(service);
    let address = |c: &Cluster| c.view().get::<Service>("shop", "cart").unwrap().1.cluster_ip.clone();
    let before = address(&c);
    assert!(before.starts_with("10.96.0."));
    let [one, two] = <[String; 2]>::try_from(c.live()).unwrap();
    c.report(&one, "Running", true);
    c.report(&two, "Running", false);
    let ports = routes::service_ports(&c.view());
    assert_eq!(ports.len(), 1);
    assert_eq!(ports[0].endpoints.iter().map(|e| e.port()).collect::<Vec<_>>(), [8080]);
    c.report(&two, "Running", true);
    assert_eq!(routes::service_ports(&c.view())[0].endpoints.len(), 2);
    c.apply(service);
    assert_eq!(address(&c), before);
    let slices: Vec<usize> = c.view().all::<EndpointSlice>().map(|(_, s)| s.endpoints.len()).collect();
    assert_eq!(slices, [2]);
}

#[test]
fn a_service_of_both_families_leads_to_pods_of_both() {
    let service = |more: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: cart, namespace: shop}}\nspec:\n  \
             selector: {{app: cart}}\n  ports: [{{name: http, port: 80, targetPort: http}}]\n{more}"
        )
    };
    let mut c = Cluster::new(&deployment("echo:1", 1));
    c.apply(&service("  ipFamilyPolicy: PreferDualStack\n  ipFamilies: [IPv6]\n"));
    let pod = c.live().remove(0);
    c.report(&pod, "Running", true);
    let ips = |c: &Cluster| c.view().get::<Service>("shop", "cart").unwrap().1.cluster_ips.clone();
    let both = ips(&c);
    assert!(both[0].starts_with("fd00:10:96::") && both[1].starts_with("10.96.0."), "{both:?}");
    let ways = |c: &Cluster| -> Vec<String> {
        let ports = routes::service_ports(&c.view());
        ports.iter().flat_map(|p| &p.endpoints).map(ToString::to_string).collect()
    };
    assert_eq!(ways(&c), ["10.244.0.3:8080", "[fd00:10:244::3]:8080"]);
    let slices = |c: &Cluster| {
        let view = c.view();
        let mut of =
            view.all::<EndpointSlice>().map(|(_, s)| s.address_type.unwrap().as_str()).collect::<Vec<_>>();
        of.sort_unstable();
        of
    };
    assert_eq!(slices(&c), ["IPv4", "IPv6"]);
    // Back to one: the first address stays, the other is free again.
    c.apply(&service(""));
    assert_eq!(ips(&c), both[..1]);
    assert_eq!((ways(&c), slices(&c)), (vec!["[fd00:10:244::3]:8080".to_owned()], vec!["IPv6"]));
    c.apply(&service("  ipFamilyPolicy: RequireDualStack\n").replace("cart", "other"));
    let other = c.view().get::<Service>("shop", "other").unwrap().1.cluster_ips.clone();
    assert!(other[0].starts_with("10.96.0.") && other[1].starts_with("fd00:10:96::"), "{other:?}");
}

#[test]
fn injected_pods_carry_a_proxy_and_say_so() {
    let mut c = Cluster::new(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled}}\n",
    );
    c.apply(&deployment("echo:1", 1));
    let pod = c.pods().remove(0);
    let spec = pod.get::<PodSpec>().unwrap();
    assert_eq!(spec.init_containers[0].name, inject::PROXY);
    assert_eq!(pod.meta.labels["security.istio.io/tlsMode"], "istio");
    assert_eq!(pod.meta.labels["service.istio.io/canonical-name"], "cart");
    assert_eq!(pod.meta.labels["service.istio.io/canonical-revision"], "latest");
    assert!(pod.meta.annotations["sidecar.istio.io/status"].contains("istio-token"));
}
