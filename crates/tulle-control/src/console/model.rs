//! What there is, in the dashboard's words.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tulle_base::{Labels, ResourceRef};
use tulle_dashboard::plane::{
    Badge, Endpoint, Model, Peering, Pod, Port, Reference, Route, Service, Subset, Workload,
};
use tulle_mesh::endpoint::Health;
use tulle_mesh::policy::MtlsMode;
use tulle_mesh::service::Registry;
use tulle_mesh::{NsName, Snapshot};

use super::applied;
use super::routes;

/// A resource in the dashboard's words.
pub(super) fn reference(resource: &ResourceRef) -> Reference {
    Reference::new(&resource.group, &resource.kind, &resource.namespace, &resource.name)
}

/// `NAMESPACE/NAME` of a service: of a ServiceEntry its host.
pub(super) fn id_of(service: &tulle_mesh::service::Service) -> String {
    format!("{}/{}", service.namespace(), name_of(service))
}

fn name_of(service: &tulle_mesh::service::Service) -> &str {
    match service.registry {
        Registry::Kubernetes => service.name(),
        Registry::External => service.hostname.as_str(),
    }
}

/// `NAMESPACE/NAME` of a pod's workload.
pub(super) fn workload_of(workload: &tulle_mesh::workload::Workload) -> String {
    format!("{}/{}", workload.namespace(), workload.workload_name)
}

/// The whole model. `connected`: pods whose proxies are here.
pub(super) fn model(snapshot: &Snapshot, version: u64, connected: &BTreeSet<NsName>) -> Model {
    let mesh = snapshot.mesh();
    let mut model = Model {
        version,
        trust_domain: mesh.trust_domain.clone(),
        root_namespace: mesh.root_namespace.clone(),
        ..Model::default()
    };
    let gateways = gateway_pods(snapshot);
    for pod in snapshot.workloads() {
        add_pod(snapshot, &mut model, pod, connected, &gateways);
    }
    let mut routes = routes::by_service(snapshot);
    for service in snapshot.services() {
        let id = id_of(service);
        let made = make(snapshot, service, routes.remove(&id).unwrap_or_default(), &model.workloads);
        for workload in &made.workloads {
            if let Some(workload) = model.workloads.get_mut(workload) {
                workload.services.insert(id.clone());
            }
        }
        model.services.insert(id, made);
    }
    model
}

/// The pods that serve gateways.
pub(super) fn gateway_pods(snapshot: &Snapshot) -> BTreeSet<NsName> {
    let serves = |pod: &tulle_mesh::workload::Workload| {
        snapshot.gateways().flat_map(|g| &g.pods).any(|pods| {
            pods.namespace.as_deref().is_none_or(|ns| ns == pod.namespace())
                && !pods.labels.is_empty()
                && pods.labels.matches(&pod.labels)
        })
    };
    snapshot.workloads().filter(|pod| serves(pod)).map(|pod| pod.pod.clone()).collect()
}

fn add_pod(
    snapshot: &Snapshot,
    model: &mut Model,
    pod: &tulle_mesh::workload::Workload,
    connected: &BTreeSet<NsName>,
    gateways: &BTreeSet<NsName>,
) {
    let id = workload_of(pod);
    let principal = pod.identity(&model.trust_domain).to_string();
    let root = pod.namespace() == model.root_namespace;
    let injected = pod.mtls_ready || connected.contains(&pod.pod);
    let workload = model.workloads.entry(id.clone()).or_insert_with(|| {
        let modes = snapshot.peer_modes(pod.namespace(), &pod.labels);
        Workload {
            id,
            namespace: pod.namespace().to_owned(),
            name: pod.workload_name.clone(),
            app: pod.canonical_name.clone(),
            version: pod.canonical_revision.clone(),
            service_account: pod.service_account.clone(),
            principal,
            peering: Peering {
                mode: mode_name(modes.mode),
                resource: modes.decided_by.as_ref().map(|meta| reference(&meta.resource)),
            },
            configuration: applied::of_workload(snapshot, pod),
            policies: applied::policies_of(snapshot, pod),
            ..Workload::default()
        }
    });
    if gateways.contains(&pod.pod) {
        workload.badges.insert(Badge::Gateway);
    } else if !injected && !root {
        workload.badges.insert(Badge::MissingSidecar);
    }
    if !snapshot.rate_limits(pod.namespace(), &pod.labels).is_empty() {
        workload.badges.insert(Badge::RateLimit);
    }
    workload.pods.push(Pod {
        name: pod.pod.name.clone(),
        ip: pod.ips.first().cloned().unwrap_or_default(),
        node: pod.node.clone(),
        ready: pod.ready,
        injected,
    });
}

pub(super) fn mode_name(mode: MtlsMode) -> &'static str {
    match mode {
        MtlsMode::Strict => "STRICT",
        MtlsMode::Permissive => "PERMISSIVE",
        MtlsMode::Disable => "DISABLE",
    }
}

fn make(
    snapshot: &Snapshot,
    service: &tulle_mesh::service::Service,
    routes: Vec<Route>,
    known: &BTreeMap<String, Workload>,
) -> Service {
    let endpoints = endpoints(snapshot, service);
    let mut workloads: BTreeSet<String> = endpoints.iter().filter_map(|e| e.workload.clone()).collect();
    // Pods that are not ready are no endpoints, but they are behind it all the same.
    if let Some(selector) = service.selector.as_ref().filter(|s| !s.is_empty()) {
        let behind = snapshot.workloads().filter(|p| p.namespace() == service.namespace());
        workloads.extend(behind.filter(|p| selector.matches(&p.labels)).map(|p| workload_of(p)));
    }
    let rule = snapshot.destination_rule(
        &service.hostname,
        service.namespace(),
        Some(service.namespace()),
        &Labels::new(),
    );
    let port = service.ports.first().map_or(0, |p| p.number);
    let policy = rule.map(|rule| rule.effective("", port));
    let breaks = rule.is_some_and(|rule| {
        let subsets = rule.subsets.iter().map(|s| rule.effective(&s.name, port));
        policy.into_iter().chain(subsets).any(|p| p.outlier.is_some() || p.connection_pool.is_some())
    });
    let mut badges = badges(&routes, breaks);
    if service.mesh_external || service.registry == Registry::External {
        badges.insert(Badge::External);
    }
    let of_workloads = || workloads.iter().filter_map(|id| known.get(id));
    badges.extend(of_workloads().flat_map(|w| &w.badges).filter(|b| **b != Badge::Gateway));
    let mut resources: BTreeSet<Reference> = routes.iter().filter_map(|r| r.resource.clone()).collect();
    resources
        .extend(rule.into_iter().flat_map(|r| snapshot.rules_behind(r)).map(|r| reference(&r.meta.resource)));
    let mut configuration = applied::of_service(service, &routes, rule.map(|r| &**r), port);
    if let Some(workload) = of_workloads().next() {
        configuration.extend(workload.configuration.iter().cloned());
    }
    resources.extend(configuration.iter().filter_map(|a| a.resource.clone()));
    Service {
        id: id_of(service),
        namespace: service.namespace().to_owned(),
        name: name_of(service).to_owned(),
        host: service.hostname.to_string(),
        kind: if service.registry == Registry::Kubernetes { "service" } else { "entry" },
        ports: service
            .ports
            .iter()
            .map(|p| Port {
                name: p.name.clone(),
                port: p.number,
                protocol: format!("{:?}", p.protocol).to_lowercase(),
            })
            .collect(),
        subsets: rule.map(|rule| subsets(snapshot, service, rule)).unwrap_or_default(),
        workloads,
        badges,
        resources,
        endpoints,
        routes,
        breaks,
        configuration,
    }
}

fn badges(routes: &[Route], breaks: bool) -> BTreeSet<Badge> {
    let mut badges = BTreeSet::new();
    let mut add = |badge, yes: bool| {
        if yes {
            badges.insert(badge);
        }
    };
    add(Badge::CircuitBreaker, breaks);
    for route in routes {
        add(Badge::Split, route.destinations.iter().filter(|d| d.weight > 0).count() > 1);
        add(Badge::Routing, !route.matches.is_empty());
        add(Badge::Fault, route.fault.is_some());
        add(Badge::Mirror, route.mirror.is_some());
        add(Badge::Timeout, route.timeout.is_some());
        add(Badge::Retry, route.retries.as_ref().is_some_and(|r| r.attempts > 0));
        add(Badge::Gateway, route.gateways.iter().any(|g| g != "mesh"));
    }
    badges
}

fn endpoints(snapshot: &Snapshot, service: &tulle_mesh::service::Service) -> Vec<Endpoint> {
    let all = snapshot.endpoints(service);
    let of_port = |port: &tulle_mesh::endpoint::PortEndpoints| {
        let number = port.port;
        port.endpoints
            .iter()
            .map(|e| Endpoint {
                address: if e.address.contains(':') {
                    format!("[{}]:{}", e.address, e.port)
                } else {
                    format!("{}:{}", e.address, e.port)
                },
                port: number,
                pod: e.workload.as_ref().map(|w| w.pod.name.clone()).unwrap_or_default(),
                workload: e.workload.as_ref().map(|w| workload_of(w)),
                version: e.workload.as_ref().map(|w| w.canonical_revision.clone()).unwrap_or_default(),
                ready: e.health == Health::Healthy,
                zone: e.locality.zone.clone(),
                weight: e.weight,
            })
            .collect::<Vec<_>>()
    };
    all.ports.iter().flat_map(of_port).collect()
}

fn subsets(
    snapshot: &Snapshot,
    service: &tulle_mesh::service::Service,
    rule: &tulle_mesh::destination::DestinationRule,
) -> Vec<Subset> {
    let one = |subset: &tulle_mesh::destination::Subset| Subset {
        name: subset.name.clone(),
        labels: subset.labels.iter().map(|(k, v)| format!("{k}={v}")).collect(),
        workloads: workloads_with(snapshot, service, &subset.labels),
    };
    rule.subsets.iter().map(one).collect()
}

/// The workloads of a service's endpoints that have all of `labels`.
pub(super) fn workloads_with(
    snapshot: &Snapshot,
    service: &tulle_mesh::service::Service,
    labels: &Labels,
) -> BTreeSet<String> {
    let all = snapshot.endpoints(service);
    let fits = |e: &&tulle_mesh::endpoint::Endpoint| labels.iter().all(|(k, v)| e.labels.get(k) == Some(v));
    let endpoints = all.ports.iter().flat_map(|p| &p.endpoints).filter(fits);
    endpoints.filter_map(|e| e.workload.as_ref()).map(|w| workload_of(w)).collect()
}

/// Routes by the services that they are for or lead to.
pub(super) type ByService = HashMap<String, Vec<Route>>;
