//! Which services stand in front of which pods.

use std::collections::HashMap;
use std::sync::Arc;

use tulle_base::Host;
use tulle_mesh::Snapshot;
use tulle_mesh::service::{Service, ServicePort, TargetPort};

use super::pods::{PodIndex, Pods};

/// The services and their pods. Services are named by their index.
#[derive(Debug)]
pub struct Fronts {
    /// The services, sorted by host and namespace.
    pub services: Vec<Arc<Service>>,
    of_pods: HashMap<usize, Vec<usize>>,
    of_service: Vec<Vec<usize>>,
    by_host: HashMap<Host, usize>,
}

impl Fronts {
    /// Looks up the pods of every service that selects some.
    pub fn new(snapshot: &Snapshot, pods: &PodIndex<'_>) -> Self {
        let services: Vec<Arc<Service>> = snapshot.services().cloned().collect();
        let mut of_pods: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut of_service = vec![Vec::new(); services.len()];
        for (i, service) in services.iter().enumerate() {
            let Some(selector) = service.selector.as_ref().filter(|s| !s.is_empty()) else { continue };
            for found in pods.select(Some(service.namespace()), &selector.0) {
                of_pods.entry(found.id).or_default().push(i);
                of_service[i].push(found.id);
            }
        }
        let by_host = services.iter().enumerate().map(|(i, s)| (s.hostname.clone(), i)).collect();
        Self { services, of_pods, of_service, by_host }
    }

    /// The services in front of some pods.
    pub fn of_pods(&self, pods: &Pods<'_>) -> &[usize] {
        self.of_pods.get(&pods.id).map_or(&[], Vec::as_slice)
    }

    /// The pods behind a service, by their ids.
    pub fn of_service(&self, service: usize) -> &[usize] {
        &self.of_service[service]
    }

    /// The service of a host; one of them, when several namespaces define it.
    pub fn of_host(&self, host: &Host) -> Option<usize> {
        self.by_host.get(host).copied()
    }

    /// The wildcard hosts of services.
    pub fn wildcards(&self) -> impl Iterator<Item = &Host> {
        self.services.iter().map(|s| &s.hostname).filter(|h| h.is_wildcard())
    }

    /// The ports of the services in front of some pods, each with the port of the pods that it leads to.
    pub fn ports_of<'s>(&'s self, pods: &Pods<'_>) -> Vec<(&'s Service, &'s ServicePort, u16)> {
        let services = self.of_pods(pods).iter().map(|i| &*self.services[*i]);
        services
            .flat_map(|s| s.ports.iter().map(move |p| (s, p)))
            .filter_map(|(s, p)| Some((s, p, target(p, pods)?)))
            .collect()
    }
}

/// The port of the pods that a service port leads to; `None` for a name that no container port has.
pub fn target(port: &ServicePort, pods: &Pods<'_>) -> Option<u16> {
    match &port.target {
        TargetPort::Number(number) => Some(*number),
        TargetPort::Name(name) => {
            let containers = pods.spec.containers.iter().chain(&pods.spec.init_containers);
            let named = containers.flat_map(|c| &c.ports).find(|p| p.name == *name)?;
            u16::try_from(named.container_port).ok()
        }
    }
}
