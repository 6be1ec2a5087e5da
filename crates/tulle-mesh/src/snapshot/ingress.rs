//! Ingresses in a snapshot: which are this mesh's, and the gateway and routes that they become.
//!
//! One gateway stands for all of them, so that the paths of several Ingresses for one host come in one order: the most specific
//! first, of equals the oldest Ingress's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tulle_base::{Diagnostic, Diagnostics, FieldPath, Host, Labels, ResourceRef, Selector};

use super::Snapshot;
use super::apply::Apply;
use super::conflict::{Conflict, Outcome};
use super::maps::{update_aged, update_set};
use crate::gateway::{GATEWAY_SECRET, Gateway, Pods, Server, ServerHost, ServerTls, ServerTlsMode};
use crate::ingress::{
    Ingress, IngressBackend, IngressClass, IngressMode, IngressPort, IngressProblem, IngressState,
};
use crate::item::Item;
use crate::meta::{Meta, NsName};
use crate::port::Protocol;
use crate::routing::{
    Destination, Forward, GatewayRef, HeaderOps, HttpAction, HttpMatch, HttpRoute, RouteSet, Semantics,
    WeightedDestination,
};
use crate::visibility::ExportTo;

/// The Service of the gateway for Ingresses where nothing else is said.
const SERVICE: &str = "istio-ingressgateway";

impl Apply {
    pub(super) fn ingress_class(&mut self, class: &IngressClass, adding: bool) {
        let name = class.meta.name().to_owned();
        if adding {
            self.next.ingress_classes.insert_mut(name, Arc::new(class.clone()));
        } else {
            self.next.ingress_classes.remove_mut(&name);
        }
        self.all_ingresses();
    }

    pub(super) fn ingress(&mut self, reference: &ResourceRef, ingress: &Ingress, adding: bool) {
        for host in backends(ingress).filter_map(|b| b.host.as_ref()) {
            update_set(&mut self.next.mentions, host, reference, adding);
        }
        let front = service_host(&self.next);
        update_set(&mut self.next.mentions, &front, reference, adding);
        if adding {
            self.next.ingresses.insert_mut(reference.clone(), Arc::new(ingress.clone()));
        } else {
            self.next.ingresses.remove_mut(reference);
        }
        self.ingresses.insert(reference.clone());
    }

    /// Which Ingresses are this mesh's, or where they are served, may be another matter now.
    pub(super) fn all_ingresses(&mut self) {
        self.ingresses.extend(self.next.ingresses.keys().cloned());
    }

    /// The mesh's settings are others now: the Service in front of Ingresses may be.
    pub(super) fn ingress_settings(&mut self, before: &Host) {
        let after = service_host(&self.next);
        for reference in self.next.ingresses.keys().cloned().collect::<Vec<_>>() {
            update_set(&mut self.next.mentions, before, &reference, false);
            update_set(&mut self.next.mentions, &after, &reference, true);
        }
        self.all_ingresses();
    }

    pub(super) fn ingress_certificate(&mut self, name: &NsName) {
        let naming = |i: &Ingress| i.tls.iter().any(|t| t.secret == name.name);
        let all = self.next.ingresses.iter().filter(|(_, i)| naming(i)).map(|(r, _)| r.clone());
        self.ingresses.extend(all);
    }

    /// Derives what Ingresses become, then their gateway.
    pub(super) fn derive_ingresses(&mut self) {
        let mut changed = false;
        for reference in std::mem::take(&mut self.ingresses) {
            changed |= self.derive_ingress(&reference);
        }
        if !changed {
            return;
        }
        let name = gateway_name(&self.next);
        match gateway(&self.next) {
            Some(gateway) => self.next.gateways.insert_mut(name.clone(), Arc::new(gateway)),
            None => drop(self.next.gateways.remove_mut(&name)),
        }
        self.keys.gateways.insert(name);
    }

    fn derive_ingress(&mut self, reference: &ResourceRef) -> bool {
        let old = self.next.ingress_states.get(reference).cloned();
        let ingress = self.next.ingresses.get(reference).cloned();
        let new = ingress.as_ref().and_then(|i| state(&self.next, i));
        self.recheck.insert(reference.clone());
        // What is derived from its age and name is another gateway even where the routes are the same.
        if old.as_deref() == new.as_ref() {
            return false;
        }
        let name = gateway_name(&self.next);
        let sets = new.as_ref().map(|s| s.sets.clone()).unwrap_or_default();
        let hosts: BTreeSet<&Host> =
            old.iter().flat_map(|s| &s.sets).chain(&sets).flat_map(|s| &s.hosts).collect();
        let rivals = self.next.routes_of_gateway(&name).iter();
        let rivals = rivals.filter(|r| r.hosts.iter().any(|h| hosts.contains(h)));
        self.recheck.extend(rivals.map(|r| r.meta.resource.clone()).collect::<Vec<_>>());
        let nothing = None::<&RouteSet>;
        update_aged(&mut self.next.routes_of_gateway, &name, reference, nothing, |r| &r.meta);
        if !sets.is_empty() {
            let mut all = self.next.routes_of_gateway(&name).to_vec();
            all.extend(sets);
            all.sort_by(|a, b| a.meta.by_age(&b.meta));
            self.next.routes_of_gateway.insert_mut(name, Arc::new(all));
        }
        match new {
            Some(state) => self.next.ingress_states.insert_mut(reference.clone(), Arc::new(state)),
            None => drop(self.next.ingress_states.remove_mut(reference)),
        }
        true
    }
}

/// The name of the gateway of all Ingresses.
fn gateway_name(snapshot: &Snapshot) -> NsName {
    NsName::new(snapshot.mesh().root_namespace.clone(), "istio-autogenerated-k8s-ingress")
}

/// The host of the Service in front of the pods that serve Ingresses.
pub(super) fn service_host(snapshot: &Snapshot) -> Host {
    let mesh = snapshot.mesh();
    Host::new(&format!("{}.{}.svc.{}", mesh.ingress_service, mesh.root_namespace, mesh.domain))
}

/// The label `istio` of these pods, as Istio chooses it.
fn pods(snapshot: &Snapshot) -> Pods {
    let mesh = snapshot.mesh();
    let label = match (mesh.ingress_selector.as_str(), mesh.ingress_service.as_str()) {
        ("", SERVICE) => "ingressgateway",
        ("", service) => service,
        (selector, _) => selector,
    };
    Pods { namespace: None, labels: Selector(Labels::from([("istio".to_owned(), label.to_owned())])) }
}

fn backends(ingress: &Ingress) -> impl Iterator<Item = &IngressBackend> {
    let paths = ingress.rules.iter().flat_map(|r| &r.paths).map(|p| &p.backend);
    paths.chain(&ingress.default_backend)
}

/// Why an Ingress is not this mesh's; `None` when it is.
fn not_ours(snapshot: &Snapshot, ingress: &Ingress) -> Option<String> {
    let mesh = snapshot.mesh();
    let built_in = |class: &str| class == mesh.ingress_class || class == "tulle";
    let of_others = |class: &str| format!("Ingresses of class {class} are not served here");
    if mesh.ingress_mode == IngressMode::Off {
        return Some("the mesh's settings turn Ingresses off (ingressControllerMode)".to_owned());
    }
    if let Some(class) = &ingress.annotated_class {
        return (!built_in(class)).then(|| of_others(class));
    }
    let Some(class) = &ingress.class else {
        let by_default = || snapshot.ingress_classes.values().any(|c| c.is_default && c.is_ours());
        let ours = mesh.ingress_mode == IngressMode::Default || by_default();
        return (!ours).then(|| "it names no class, so nobody serves it".to_owned());
    };
    match snapshot.ingress_classes.get(class) {
        Some(found) if found.is_ours() => None,
        Some(_) => Some(of_others(class)),
        None if built_in(class) => None,
        None => Some(format!("there is no IngressClass {class}, so nobody serves it")),
    }
}

/// What becomes of `ingress`; `None` when it is not this mesh's.
fn state(snapshot: &Snapshot, ingress: &Ingress) -> Option<IngressState> {
    if not_ours(snapshot, ingress).is_some() {
        return None;
    }
    let mut problems = Vec::new();
    let certificates = certificates(snapshot, ingress, &mut problems);
    let sets = sets(snapshot, ingress, &mut problems);
    let front = snapshot.service(&service_host(snapshot), ingress.meta.namespace());
    let outside = front.iter().flat_map(|s| s.host_ports.values());
    let addresses: BTreeSet<String> =
        outside.map(|at| at.rsplit_once(':').map_or(at.as_str(), |(ip, _)| ip).to_owned()).collect();
    Some(IngressState {
        service: front.map(|s| s.hostname.as_str().to_owned()),
        addresses: addresses.into_iter().collect(),
        problems,
        certificates,
        sets: sets.into_iter().map(Arc::new).collect(),
    })
}

/// The certificates that can be used: a Secret of the Ingress's namespace, else (as Istio has it) of the gateway's.
fn certificates(
    snapshot: &Snapshot,
    ingress: &Ingress,
    problems: &mut Vec<IngressProblem>,
) -> Vec<(usize, Vec<Host>, String)> {
    let mut out = Vec::new();
    for (i, tls) in ingress.tls.iter().enumerate().filter(|(_, t)| !t.secret.is_empty()) {
        let own = NsName::new(ingress.meta.namespace(), tls.secret.clone());
        let root = NsName::new(snapshot.mesh().root_namespace.clone(), tls.secret.clone());
        let found = [&own, &root].into_iter().find_map(|n| Some((n, snapshot.certificates.get(n)?)));
        let message = match found {
            Some((name, None)) => {
                let credential =
                    if *name == own { format!("{GATEWAY_SECRET}{own}") } else { root.name.clone() };
                out.push((i, tls.hosts.clone(), credential));
                continue;
            }
            Some((name, Some(problem))) => format!("Secret {name}: {problem}"),
            None => format!("there is no Secret {own} (nor {root}) with tls.crt and tls.key"),
        };
        let message = format!("{message}; the hosts are not served over TLS");
        problems.push(IngressProblem { field: format!("spec.tls[{i}].secretName"), message, missing: false });
    }
    out
}

/// One set of routes for each host.
fn sets(snapshot: &Snapshot, ingress: &Ingress, problems: &mut Vec<IngressProblem>) -> Vec<RouteSet> {
    let mut of_host: BTreeMap<&Host, Vec<HttpRoute>> = BTreeMap::new();
    let name = |rule: String| format!("{}.{}.{rule}", ingress.meta.namespace(), ingress.meta.name());
    for (i, rule) in ingress.rules.iter().enumerate() {
        let routes = of_host.entry(&rule.host).or_default();
        for (j, path) in rule.paths.iter().enumerate() {
            let destination = destination(snapshot, ingress, &path.backend, problems);
            let block = HttpMatch { uri: path.uri.clone(), ..HttpMatch::default() };
            routes.push(route(
                name(format!("{i}.{j}")),
                format!("rules[{i}].http.paths[{j}]"),
                block,
                destination,
            ));
        }
    }
    if let Some(backend) = &ingress.default_backend {
        let to = destination(snapshot, ingress, backend, problems);
        let all = Host::new("*");
        let everywhere = of_host.keys().copied().chain([&all]).cloned().collect::<BTreeSet<Host>>();
        let route = route(name("default".to_owned()), "defaultBackend".to_owned(), HttpMatch::default(), to);
        let mut out = made(snapshot, ingress, of_host);
        for host in everywhere {
            match out.iter_mut().find(|s| s.hosts[0] == host) {
                Some(set) => set.http.push(route.clone()),
                None => out.push(set(snapshot, ingress, host, vec![route.clone()])),
            }
        }
        return out;
    }
    made(snapshot, ingress, of_host)
}

fn made(snapshot: &Snapshot, ingress: &Ingress, of_host: BTreeMap<&Host, Vec<HttpRoute>>) -> Vec<RouteSet> {
    of_host.into_iter().map(|(host, routes)| set(snapshot, ingress, host.clone(), routes)).collect()
}

fn set(snapshot: &Snapshot, ingress: &Ingress, host: Host, http: Vec<HttpRoute>) -> RouteSet {
    RouteSet {
        meta: ingress.meta.clone(),
        hosts: vec![host],
        gateways: vec![GatewayRef::Named(gateway_name(snapshot))],
        export_to: ExportTo::All,
        exports_by_default: false,
        http,
        tls: Vec::new(),
        tcp: Vec::new(),
        semantics: Semantics::Ingress,
    }
}

fn route(name: String, rule: String, block: HttpMatch, destination: Destination) -> HttpRoute {
    let destination = WeightedDestination { destination, weight: 1, headers: HeaderOps::default() };
    let forward = Forward { destinations: vec![destination], ..Forward::default() };
    HttpRoute {
        name,
        rule,
        matches: vec![block],
        action: HttpAction::Forward(forward),
        fault: None,
        cors: None,
        external_auth: Vec::new(),
        headers: HeaderOps::default(),
    }
}

/// Where requests go; what does not exist answers 503.
fn destination(
    snapshot: &Snapshot,
    ingress: &Ingress,
    backend: &IngressBackend,
    problems: &mut Vec<IngressProblem>,
) -> Destination {
    let IngressBackend { field, host, port } = backend;
    let mut wrong = |below: &str, message: String| {
        problems.push(IngressProblem { field: format!("{field}{below}"), message, missing: true });
        Destination::nowhere()
    };
    let Some(host) = host else {
        return wrong("", "only Services are backends here, so requests get 503".to_owned());
    };
    let Some(service) = snapshot.service(host, ingress.meta.namespace()) else {
        return wrong(".service.name", format!("no service has the host {host}, so requests get 503"));
    };
    let found = service.ports.iter().find(|p| match port {
        IngressPort::Number(number) => p.number == *number,
        IngressPort::Name(name) => p.name == *name,
    });
    match found {
        Some(port) => Destination { host: host.clone(), subset: String::new(), port: Some(port.number) },
        None => {
            let has: Vec<String> = service
                .ports
                .iter()
                .map(|p| format!("{} {}", p.number, p.name).trim_end().to_owned())
                .collect();
            let message = format!("{host} has no such port, but {}; requests get 503", has.join(", "));
            wrong(".service.port", message)
        }
    }
}

/// The gateway of all Ingresses; `None` without any. A host has the certificate of the oldest Ingress that names it.
fn gateway(snapshot: &Snapshot) -> Option<Gateway> {
    let ours = snapshot.ingress_states.iter().filter_map(|(r, s)| Some((snapshot.ingresses.get(r)?, s)));
    let mut ours: Vec<_> = ours.collect();
    ours.sort_by(|(a, _), (b, _)| a.meta.by_age(&b.meta));
    let oldest = ours.first()?.0;
    let mut servers =
        vec![server(80, Protocol::Http, "http-80-ingress".to_owned(), vec![Host::new("*")], None)];
    let mut taken: BTreeSet<&Host> = BTreeSet::new();
    for (ingress, state) in &ours {
        for (i, hosts, credential) in &state.certificates {
            let hosts: Vec<Host> = hosts.iter().filter(|h| taken.insert(h)).cloned().collect();
            if hosts.is_empty() {
                continue;
            }
            let name = format!("https-443-ingress-{}-{}-{i}", ingress.meta.name(), ingress.meta.namespace());
            let tls = ServerTls {
                mode: ServerTlsMode::Simple,
                credentials: vec![credential.clone()],
                ..ServerTls::default()
            };
            let mut made = server(443, Protocol::Https, name, hosts, Some(tls));
            made.rule = format!("tls[{i}]");
            made.meta = Some(ingress.meta.clone());
            servers.push(made);
        }
    }
    Some(Gateway {
        meta: oldest.meta.clone(),
        name: gateway_name(snapshot),
        pods: vec![pods(snapshot)],
        servers,
        semantics: Semantics::Ingress,
        client_certificate: None,
    })
}

fn server(port: u16, protocol: Protocol, name: String, hosts: Vec<Host>, tls: Option<ServerTls>) -> Server {
    Server {
        port,
        port_name: name,
        protocol,
        hosts: hosts.into_iter().map(|host| ServerHost { namespace: None, host }).collect(),
        bind: String::new(),
        tls,
        name: String::new(),
        excluded: Vec::new(),
        meta: None,
        rule: String::new(),
    }
}

impl Snapshot {
    /// What became of an Ingress; `None` for one that others serve.
    pub fn ingress_state(&self, ingress: &ResourceRef) -> Option<&Arc<IngressState>> {
        self.ingress_states.get(ingress)
    }
}

/// What is said of an Ingress.
pub(super) fn check(snapshot: &Snapshot, ingress: &Ingress) -> Diagnostics {
    let resource = &ingress.meta.resource;
    if let Some(message) = not_ours(snapshot, ingress) {
        let field =
            if ingress.annotated_class.is_some() { "metadata.annotations" } else { "spec.ingressClassName" };
        let fix = format!("write ingressClassName: {}", snapshot.mesh().ingress_class);
        return vec![
            Diagnostic::warning(FieldPath::from(field), message)
                .with_fix(fix)
                .with_resource(resource.clone()),
        ];
    }
    let problems = snapshot.ingress_states.get(resource).into_iter().flat_map(|s| &s.problems);
    let notes = problems.map(|IngressProblem { field, message, missing }| {
        let field = FieldPath::from(field.as_str());
        match missing {
            true => Diagnostic::error(field, message.clone()).with_code("IST0101"),
            false => Diagnostic::warning(field, message.clone()),
        }
        .with_resource(resource.clone())
    });
    notes.collect()
}

/// Other Ingresses with the same path of the same host, or another certificate for it.
pub(super) fn conflicts(snapshot: &Snapshot, ingress: &Ingress) -> Vec<Conflict> {
    let resource = &ingress.meta.resource;
    let Some(state) = snapshot.ingress_states.get(resource) else { return Vec::new() };
    let others = snapshot.routes_of_gateway(&gateway_name(snapshot));
    let mut out = Vec::new();
    for set in &state.sets {
        let rivals = others.iter().filter(|o| o.meta.resource != *resource && o.hosts == set.hosts);
        for other in rivals {
            for rule in &set.http {
                if other.http.iter().any(|o| o.matches == rule.matches) {
                    let what = format!("has this path of host {}", set.hosts[0]);
                    let field = format!("spec.{}", rule.rule);
                    out.push(decided(&ingress.meta, &other.meta, &field, &what));
                }
            }
        }
    }
    for (i, hosts, _) in &state.certificates {
        for (other, theirs) in snapshot.ingress_states.iter().filter(|(r, _)| *r != resource) {
            let Some(other) = snapshot.ingresses.get(other) else { continue };
            let same = |h: &&Host| theirs.certificates.iter().any(|(_, all, _)| all.contains(h));
            if let Some(host) = hosts.iter().find(same) {
                let what = format!("has a certificate for {host}");
                out.push(decided(&ingress.meta, &other.meta, &format!("spec.tls[{i}]"), &what));
            }
        }
    }
    out
}

/// Of two Ingresses the older wins, as [`crate::routing::precedence`] has it.
fn decided(mine: &Meta, other: &Meta, field: &str, what: &str) -> Conflict {
    let age = |m: &Meta| (m.created.clone(), format!("{}/{}", m.namespace(), m.name()));
    let why = if mine.created == other.created { "comes first by name" } else { "is older" };
    let (outcome, rest) = match age(mine) < age(other) {
        true => (Outcome::Wins, format!("too; this one {why} and wins")),
        false => (Outcome::Loses, format!("too, {why} and wins: this one has no effect there")),
    };
    let message = format!("{} {what} {rest}", other.resource);
    Conflict { other: other.resource.clone(), field: FieldPath::from(field), outcome, message }
}

impl Snapshot {
    /// Whether an Ingress is this mesh's.
    pub(super) fn serves_ingress(&self, item: &Item) -> bool {
        match item {
            Item::Ingress(ingress) => self.ingress_states.contains_key(&ingress.meta.resource),
            Item::IngressClass(class) => class.is_ours(),
            _ => true,
        }
    }
}
