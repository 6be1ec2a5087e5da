//! Workloads and the nodes that they are on.

use std::sync::Arc;

use tulle_base::ResourceRef;

use super::Apply;
use crate::item::Item;
use crate::node::Node;
use crate::snapshot::ServiceKey;
use crate::snapshot::maps::update_set;
use crate::workload::Workload;

impl Apply {
    pub(super) fn workload(&mut self, workload: &Workload, adding: bool) {
        let pod = &workload.pod;
        update_set(&mut self.next.pods_in, &pod.namespace, pod, adding);
        if !workload.node.is_empty() {
            update_set(&mut self.next.pods_on, &workload.node, pod, adding);
        }
        if adding {
            let mut placed = workload.clone();
            if placed.locality.is_empty()
                && let Some(locality) = self.next.nodes.get(&placed.node)
            {
                placed.locality.clone_from(locality);
            }
            self.next.workloads.insert_mut(pod.clone(), Arc::new(placed));
        } else {
            self.next.workloads.remove_mut(pod);
        }
        for ip in &workload.ips {
            if adding {
                self.next.pod_of_ip.insert_mut(ip.clone(), pod.clone());
            } else if self.next.pod_of_ip.get(ip) == Some(pod) {
                self.next.pod_of_ip.remove_mut(ip);
            }
        }
        let slices_of = self.next.services_of_pod.get(pod).cloned().unwrap_or_default();
        for service in slices_of.iter() {
            let key = self.kubernetes_key(service);
            self.endpoints.insert(key);
        }
        let selecting = self.next.selecting_in.get(&pod.namespace).cloned().unwrap_or_default();
        let selected = selecting
            .iter()
            .filter_map(|host| self.next.services.get(host))
            .flat_map(|all| all.iter())
            .filter(|s| s.namespace() == pod.namespace)
            .filter(|s| s.selector.as_ref().is_some_and(|sel| sel.matches(&workload.labels)))
            .map(|s| ServiceKey { host: s.hostname.clone(), namespace: pod.namespace.clone() });
        let selected: Vec<ServiceKey> = selected.collect();
        self.endpoints.extend(selected);
        self.selectors_meet(&pod.namespace);
        self.kube_pod(workload);
        let limits = self.next.rate_limits(&pod.namespace, &workload.labels);
        self.shared.extend(limits.iter().filter(|l| l.is_mesh_wide()).map(|l| l.meta.resource.clone()));
        self.pods.insert(pod.clone());
        self.keys.workloads.insert(pod.clone());
    }

    /// The pods of a node are where it is.
    pub(super) fn node(&mut self, node: &Node, adding: bool) {
        if adding {
            self.next.nodes.insert_mut(node.name.clone(), node.locality.clone());
        } else {
            self.next.nodes.remove_mut(&node.name);
        }
        let pods = self.next.pods_on.get(&node.name).cloned().unwrap_or_default();
        for pod in pods.iter() {
            let reference = ResourceRef::new("", "Pod", &*pod.namespace, &*pod.name);
            let item = self.next.items.get(&reference).cloned();
            if let Some(Item::Workload(workload)) = item.as_deref() {
                self.workload(workload, true);
            }
        }
    }

    /// Several documents with selectors may meet at a workload.
    fn selectors_meet(&mut self, namespace: &str) {
        let selects = |s: &Option<tulle_base::Selector>| s.as_ref().is_some_and(|s| !s.is_empty());
        let sidecars = self.next.sidecars_in.get(namespace).into_iter().flat_map(|all| all.iter());
        let sidecars = sidecars.filter(|s| selects(&s.selector)).map(|s| &s.meta.resource);
        let peers = self.next.peers_in.get(namespace).into_iter().flat_map(|all| all.iter());
        let peers = peers.filter(|p| selects(&p.selector)).map(|p| &p.meta.resource);
        for all in [sidecars.cloned().collect::<Vec<_>>(), peers.cloned().collect()] {
            if all.len() > 1 {
                self.recheck.extend(all);
            }
        }
    }
}
