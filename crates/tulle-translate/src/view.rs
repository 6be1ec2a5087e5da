//! What a proxy sees of the mesh. Proxies with equal views get equal outbound resources.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tulle_base::{Host, Labels};
use tulle_mesh::Snapshot;
use tulle_mesh::config::{GatewayTopology, OutboundPolicy};
use tulle_mesh::gateway::ServerHost;
use tulle_mesh::port::Protocol;
use tulle_mesh::provider::ExtensionProvider;
use tulle_mesh::proxies::ProxySettings;
use tulle_mesh::routing::RouteSet;
use tulle_mesh::service::{Service, ServicePort};
use tulle_mesh::sidecar::{Egress, Sidecar};
use tulle_mesh::telemetry::{Mode, Telemetry};
use tulle_proto::istio::stats::PluginConfig;

use crate::edge;
use crate::envoy_filter::{self, Patches};
use crate::families::Families;
use crate::locality::Client;
use crate::names::PASSTHROUGH;
use crate::proxy::{Kind, Proxy};
use crate::route::cluster_of;
use crate::telemetry;
use crate::tracing::{self, Traced};

/// What a proxy sees, made once per snapshot and key.
#[derive(Clone, Debug)]
pub struct View {
    key: String,
    /// Sidecar or gateway.
    pub(crate) kind: Kind,
    /// The client's namespace.
    pub(crate) namespace: String,
    /// The client's labels, if anything that it sees depends on them; else empty.
    pub(crate) labels: Labels,
    /// Without Istio's filters.
    pub(crate) stock: bool,
    /// Where the client is, if anything that it sees depends on it.
    pub(crate) client: Client,
    /// What stands before it; for gateways.
    pub(crate) topology: GatewayTopology,
    /// Hosts to whose clusters TLS passes by its server name; for gateways.
    passing: Vec<ServerHost>,
    /// The Secret with the certificate that backends are shown, where a policy has TLS spoken with them; for gateways.
    pub(crate) client_certificate: Option<String>,
    /// What its HTTP is like.
    pub(crate) proxy: ProxySettings,
    /// What its listeners are bound to.
    pub(crate) families: Families,
    /// Where unknown traffic goes.
    pub(crate) outbound: OutboundPolicy,
    /// The cluster that takes unknown traffic which may pass.
    pub(crate) unknown_to: String,
    /// Patches of what it gets.
    pub(crate) patches: Patches,
    telemetry: Vec<Arc<Telemetry>>,
    /// Which metrics it reports as a client; `None` for none.
    pub(crate) metrics: Option<PluginConfig>,
    /// Traces of requests that go out.
    pub(crate) traced: Traced,
    services: BTreeMap<Host, Arc<Service>>,
    /// Hosts that are seen on some ports only (Sidecar egress with a port), as far as connections are redirected.
    ports: BTreeMap<Host, BTreeSet<u16>>,
    sidecar: Option<Arc<Sidecar>>,
}

impl View {
    /// The key of `proxy`'s view: proxies with equal keys have equal views of one snapshot.
    pub fn key_of(snapshot: &Snapshot, proxy: &Proxy) -> String {
        let namespace = proxy.namespace();
        let kind = match proxy.kind {
            Kind::Sidecar => "sidecar",
            Kind::Router => "router",
        };
        let mut key = format!("{kind}/{namespace}");
        if proxy.stock_envoy {
            key.push_str("/stock");
        }
        match proxy.families {
            Families::V4 => {}
            Families::V6 => key.push_str("/v6"),
            Families::Dual => key.push_str("/dual"),
        }
        if let Some(sidecar) = sidecar_of(snapshot, proxy) {
            key.push_str("/scope=");
            key.push_str(&format!("{}.{}", sidecar.meta.name(), sidecar.meta.namespace()));
        }
        key.push_str(&envoy_filter::key(snapshot, proxy));
        // Others are the same for the whole namespace.
        for own in snapshot.telemetry_of(namespace, &proxy.labels).iter().filter(|t| !t.is_for_all()) {
            key.push_str(&format!("/telemetry={} {:?}", own.meta.name(), own.target));
        }
        // Gateways are selected by their labels.
        if proxy.kind == Kind::Router || snapshot.labels_matter(namespace) {
            for (k, v) in &proxy.labels {
                key.push_str(&format!("/{k}={v}"));
            }
        }
        Client::of(snapshot, proxy).write_key(&mut key);
        // The mesh's own settings are the same for everybody.
        if let Some(own) = proxy.workload_in(snapshot) {
            if proxy.kind == Kind::Router && own.topology != GatewayTopology::default() {
                key.push_str(&format!("/behind={:?}", own.topology));
            }
            if own.proxy != ProxySettings::default() {
                key.push_str(&format!("/proxy={:?}", own.proxy));
            }
        }
        if let Some(certificate) = certificate_of(snapshot, proxy) {
            key.push_str(&format!("/shows={certificate}"));
        }
        for host in passing_of(snapshot, proxy) {
            key.push_str(&format!("/sni={}/{}", host.namespace.as_deref().unwrap_or("*"), host.host));
        }
        key
    }

    /// The view of `proxy`.
    pub fn of(snapshot: &Snapshot, proxy: &Proxy) -> Self {
        let namespace = proxy.namespace().to_owned();
        let labels = if snapshot.labels_matter(&namespace) { proxy.labels.clone() } else { Labels::new() };
        let sidecar = sidecar_of(snapshot, proxy).cloned();
        let outbound = sidecar.as_ref().and_then(|s| s.outbound).unwrap_or(snapshot.mesh().outbound);
        let documents = telemetry::of_proxy(snapshot, proxy);
        let mut view = Self {
            key: Self::key_of(snapshot, proxy),
            kind: proxy.kind,
            namespace,
            labels,
            stock: proxy.stock_envoy,
            families: proxy.families,
            client: Client::of(snapshot, proxy),
            topology: topology_of(snapshot, proxy),
            proxy: settings_of(snapshot, proxy),
            passing: passing_of(snapshot, proxy),
            client_certificate: certificate_of(snapshot, proxy),
            outbound,
            unknown_to: PASSTHROUGH.to_owned(),
            patches: Patches::of(snapshot, proxy),
            traced: tracing::of(snapshot, proxy, &settings_of(snapshot, proxy), Mode::Client),
            metrics: telemetry::metrics(snapshot.mesh(), &documents, Mode::Client)
                .filter(|_| !proxy.stock_envoy),
            telemetry: documents,
            services: BTreeMap::new(),
            ports: BTreeMap::new(),
            sidecar,
        };
        view.collect(snapshot);
        if let Some(proxy) = view.sidecar.as_ref().and_then(|s| s.egress_proxy.as_ref()) {
            // 0: no connection that arrives says which port is meant.
            view.unknown_to = cluster_of(&view, proxy, 0);
        }
        view
    }

    /// Its key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The documents that say what it records, from the weakest on.
    pub fn telemetry(&self) -> &[Arc<Telemetry>] {
        &self.telemetry
    }

    /// The services seen, sorted by host.
    pub(crate) fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.values()
    }

    /// The service seen for `host`.
    pub(crate) fn service(&self, host: &Host) -> Option<&Arc<Service>> {
        self.services.get(host)
    }

    /// Whether TLS passes to anything by its server name.
    pub(crate) fn passes(&self) -> bool {
        !self.passing.is_empty()
    }

    /// Whether there are clusters of `service` for TLS that passes by its server name.
    pub(crate) fn passes_to(&self, service: &Service) -> bool {
        edge::passes_to(&self.passing, service)
    }

    /// The Sidecar in force.
    pub(crate) fn sidecar(&self) -> Option<&Arc<Sidecar>> {
        self.sidecar.as_ref()
    }

    /// Whether a Sidecar limits what is seen.
    pub(crate) fn is_scoped(&self) -> bool {
        self.egress().is_some()
    }

    /// Whether connections that are redirected find `port` of `host`.
    pub(crate) fn sees_port(&self, host: &Host, port: u16) -> bool {
        self.ports.get(host).is_none_or(|ports| ports.contains(&port))
    }

    /// Whether `port` of `service` is among the routes of its port: what a Sidecar says of one port is all that there is on it.
    pub(crate) fn routes_port(&self, service: &Service, port: u16) -> bool {
        let mut all = self.egress().into_iter().flatten();
        match all.find(|e| e.port == Some(port)) {
            Some(egress) => egress.names(service.namespace(), &service.hostname, &self.namespace),
            None => self.sees_port(&service.hostname, port),
        }
    }

    /// What is spoken on a port of a service: what the Sidecar says of the port, else what the service says.
    pub(crate) fn protocol(&self, port: &ServicePort) -> Protocol {
        let mut all = self.egress().into_iter().flatten();
        let said = all.find(|e| e.port == Some(port.number)).and_then(|e| e.protocol);
        said.filter(|_| port.protocol != Protocol::Udp).unwrap_or(port.protocol)
    }

    /// Listeners of their own that the Sidecar asks for, each with its place in the document.
    pub(crate) fn own_egress(&self) -> impl Iterator<Item = (usize, &Egress)> {
        self.egress().into_iter().flatten().enumerate().filter(|(_, e)| e.is_own())
    }

    /// The services of one entry of the Sidecar.
    pub(crate) fn services_of<'a>(&'a self, egress: &'a Egress) -> impl Iterator<Item = &'a Arc<Service>> {
        self.services().filter(|s| egress.names(s.namespace(), &s.hostname, &self.namespace))
    }

    /// Whether the routes are seen, by export and by scope: some host of them is among the hosts imported.
    pub(crate) fn sees_routes(&self, routes: &RouteSet) -> bool {
        routes.export_to.visible_to(&self.namespace)
            && match self.egress() {
                None => true,
                Some(egress) => routes
                    .hosts
                    .iter()
                    .any(|h| imported(egress, routes.meta.namespace(), h, &self.namespace).is_some()),
            }
    }

    fn egress(&self) -> Option<&[Egress]> {
        self.sidecar.as_ref().and_then(|s| s.egress.as_deref())
    }

    fn collect(&mut self, snapshot: &Snapshot) {
        let mut seen: Option<&Host> = None;
        for service in snapshot.services() {
            // Several namespaces may define one host: the snapshot decides which is meant.
            if seen == Some(&service.hostname) {
                continue;
            }
            seen = Some(&service.hostname);
            let Some(service) = snapshot.service(&service.hostname, &self.namespace) else { continue };
            let Some(egress) = self.egress() else {
                self.services.insert(service.hostname.clone(), self.reached(service));
                continue;
            };
            if let Some(seen) = imported(egress, service.namespace(), &service.hostname, &self.namespace) {
                let host = service.hostname.clone();
                if let Seen::Ports(ports) = seen {
                    self.ports.insert(host.clone(), ports);
                }
                self.services.insert(host, self.reached(service));
            }
        }
        if self.egress().is_some() {
            self.add_destinations(snapshot);
        }
    }

    /// The service as clients of this view reach it: by addresses of their own families. One that the mesh gave it means
    /// nothing to those whose names others resolve.
    fn reached(&self, service: &Arc<Service>) -> Arc<Service> {
        if service.auto_allocated && (self.kind != Kind::Sidecar || self.stock) {
            let service = Service::clone(service);
            return Arc::new(Service { addresses: Vec::new(), auto_allocated: false, ..service });
        }
        let all = service.addresses.iter().map(String::as_str);
        let reachable = self.families.reachable(all);
        if reachable.len() == service.addresses.len() {
            return Arc::clone(service);
        }
        let addresses = reachable.into_iter().map(str::to_owned).collect();
        Arc::new(Service { addresses, ..Service::clone(service) })
    }

    /// Destinations of imported routes come along (traps 14), and services that decide on requests.
    fn add_destinations(&mut self, snapshot: &Snapshot) {
        let routes = snapshot.routes().filter(|(_, routes)| self.sees_routes(routes));
        let wanted: Vec<Host> = routes
            .flat_map(|(_, routes)| routes.destinations().into_iter().map(|(d, _)| d.host.clone()))
            .chain(snapshot.mesh().providers.iter().filter_map(ExtensionProvider::asked).cloned())
            .collect();
        for host in wanted {
            if let Some(service) = snapshot.service(&host, &self.namespace) {
                let reached = self.reached(service);
                self.services.entry(host).or_insert(reached);
            }
        }
    }
}

fn certificate_of(snapshot: &Snapshot, proxy: &Proxy) -> Option<String> {
    if proxy.kind == Kind::Router { edge::client_certificate(snapshot, proxy) } else { None }
}

fn passing_of(snapshot: &Snapshot, proxy: &Proxy) -> Vec<ServerHost> {
    if proxy.kind == Kind::Router { edge::passing_hosts(snapshot, proxy) } else { Vec::new() }
}

fn topology_of(snapshot: &Snapshot, proxy: &Proxy) -> GatewayTopology {
    if proxy.kind != Kind::Router {
        return GatewayTopology::default();
    }
    let own = proxy.workload_in(snapshot).map(|w| w.topology).unwrap_or_default();
    own.or(snapshot.mesh().topology)
}

/// What a proxy's HTTP is like, as its pod says over the mesh.
pub(crate) fn settings_of(snapshot: &Snapshot, proxy: &Proxy) -> ProxySettings {
    let mesh = &snapshot.mesh().proxies;
    let mut settings = proxy.workload_in(snapshot).map_or_else(|| mesh.clone(), |own| own.proxy.or(mesh));
    if proxy.kind == Kind::Router {
        settings.connections = settings.connections.of_gateway();
    }
    settings
}

/// Gateways ignore Sidecar (traps 14).
fn sidecar_of<'a>(snapshot: &'a Snapshot, proxy: &Proxy) -> Option<&'a Arc<Sidecar>> {
    match proxy.kind {
        Kind::Sidecar => snapshot.sidecar(proxy.namespace(), &proxy.labels),
        Kind::Router => None,
    }
}

/// On which ports connections that are redirected find a host.
enum Seen {
    All,
    Ports(BTreeSet<u16>),
}

/// How `host` of `namespace` is imported, if it is.
fn imported(egress: &[Egress], namespace: &str, host: &Host, own: &str) -> Option<Seen> {
    let named: Vec<&Egress> = egress.iter().filter(|e| e.names(namespace, host, own)).collect();
    if named.is_empty() {
        return None;
    }
    // Listeners of their own are looked for where they stand.
    let captured = || named.iter().filter(|e| !e.is_own());
    if captured().any(|e| e.port.is_none()) {
        return Some(Seen::All);
    }
    Some(Seen::Ports(captured().filter_map(|e| e.port).collect()))
}
