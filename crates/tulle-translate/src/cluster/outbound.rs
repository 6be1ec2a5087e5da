//! Clusters of the mesh's services, seen from clients.

use std::sync::Arc;

use tulle_mesh::Snapshot;
use tulle_mesh::destination::{
    Algorithm, ClientTls, ClientTlsMode, DestinationRule, Effective, ProxyProtocol,
};
use tulle_mesh::endpoint::ServiceEndpoints;
use tulle_mesh::port::Protocol;
use tulle_mesh::service::{Registry, Service, ServicePort};
use tulle_proto::envoy::cluster::cluster::{self as kinds, DiscoveryType, TransportSocketMatch};
use tulle_proto::envoy::core::TransportSocket;

use super::{Draft, add_patched, black_hole, metadata, passthrough, policy};
use crate::discovery::discovery;
use crate::dynamic;
use crate::endpoint::{self, Asked};
use crate::envoy_filter::outbound;
use crate::locality::{Preference, preference};
use crate::names::ClusterName;
use crate::network;
use crate::pb::{ads, duration, provenance_fields, structure, text};
use crate::proxy::Kind;
use crate::resource::{Resource, Resources};
use crate::tls::{alpn, mesh_upstream, proxy_protocol, raw_buffer, strings, user_upstream};
use crate::view::View;

/// Every outbound cluster of a view.
pub(crate) fn all(snapshot: &Snapshot, view: &View) -> Vec<Resource> {
    let mut out = Resources::default();
    for service in view.services() {
        of_service(snapshot, view, service, &mut out);
    }
    let place = outbound(view.kind);
    out.add(black_hole(snapshot).finish(&view.patches, place, &[]));
    if view.kind == Kind::Sidecar {
        out.add(passthrough(snapshot).buffer(&view.proxy).finish(&view.patches, place, &[]));
    }
    add_patched(&mut out, &view.patches, place);
    out.sorted()
}

/// The outbound clusters of one service of a view.
pub(crate) fn of_one(snapshot: &Snapshot, view: &View, service: &Arc<Service>) -> Vec<Resource> {
    let mut out = Resources::default();
    of_service(snapshot, view, service, &mut out);
    out.sorted()
}

/// The clusters of one service: one per port, and one per port and subset.
fn of_service(snapshot: &Snapshot, view: &View, service: &Arc<Service>, out: &mut Resources) {
    let rule = snapshot.destination_rule(
        &service.hostname,
        &view.namespace,
        Some(service.namespace()),
        &view.labels,
    );
    let mut builder = Builder {
        snapshot,
        view,
        service,
        endpoints: snapshot.endpoints(service),
        rule: rule.map(Arc::as_ref),
        out,
    };
    for port in service.ports.iter().filter(|p| p.protocol != Protocol::Udp) {
        let subsets = rule.iter().flat_map(|r| &r.subsets).map(|s| s.name.as_str());
        for subset in std::iter::once("").chain(subsets) {
            let name = ClusterName::outbound(&service.hostname, port.number, subset);
            if view.passes_to(service) {
                builder.cluster(port, &name.clone().for_sni());
            }
            builder.cluster(port, &name);
        }
    }
}

struct Builder<'a> {
    snapshot: &'a Snapshot,
    view: &'a View,
    service: &'a Arc<Service>,
    endpoints: Arc<ServiceEndpoints>,
    rule: Option<&'a DestinationRule>,
    out: &'a mut Resources,
}

impl Builder<'_> {
    fn cluster(&mut self, port: &ServicePort, name: &ClusterName) {
        let subset = name.subset.as_str();
        let mesh = self.snapshot.mesh();
        let mut policy = self.rule.map(|r| r.effective(subset, port.number)).unwrap_or_default();
        policy.connection_pool = policy.connection_pool.or(mesh.connection_pool.as_ref());
        policy.outlier = policy.outlier.or(mesh.outlier.as_ref());
        let discovery = self.discovery(&policy);
        let preference = preference(self.snapshot, self.service, &policy);
        let mut draft = Draft::new(self.snapshot, name.to_string(), discovery);
        match discovery {
            DiscoveryType::Eds => {
                draft.cluster.eds_cluster_config =
                    Some(kinds::EdsClusterConfig { eds_config: Some(ads()), service_name: name.to_string() });
            }
            DiscoveryType::StrictDns | DiscoveryType::LogicalDns => {
                self.dns(&mut draft, port, name, preference.as_ref(), &policy);
            }
            DiscoveryType::OriginalDst | DiscoveryType::Static => {}
        }
        match port.protocol {
            // What is inside of TLS that passes is not known.
            _ if name.by_sni => {}
            p if p.is_http2() => draft.http2(),
            Protocol::Sniff => draft.downstream_protocol(),
            Protocol::Http if mesh.h2_upgrade && self.may_upgrade(&policy, port) => draft.http2(),
            _ => {}
        }
        draft.cluster.alt_stat_name = stat_name(&mesh.outbound_stat_name, self.service, port, subset);
        policy::apply(&mut draft, &policy);
        if preference.is_some_and(|p| p.weighs()) {
            policy::weigh_localities(&mut draft);
        }
        // Gateways do as policies of the Gateway API say where no rule says anything.
        let backend = match (self.view.kind, policy.tls) {
            (Kind::Router, None) if !name.by_sni => self.snapshot.backend_tls(self.service, port),
            _ => None,
        };
        let backend = backend.map(|(policy, tls)| {
            let client_credential = self.view.client_certificate.clone().unwrap_or_default();
            (policy, ClientTls { client_credential, ..tls })
        });
        if !name.by_sni {
            self.tls(&mut draft, name, port, policy.tls.or(backend.as_ref().map(|(_, tls)| tls)));
        }
        if dynamic::is(self.service) {
            draft.forward(self.service);
        }
        if let Some(version) = policy.proxy_protocol {
            tell_clients(&mut draft, version);
        }
        if let Some((policy, _)) = &backend {
            draft.sources.add(&policy.meta);
        }
        draft.sources.add(&self.service.meta);
        if let Some(rule) = self.rule {
            draft.sources.add_rule(self.snapshot, rule);
        }
        let made_by = match self.rule {
            Some(rule) => rule.meta.provenance(rule_path(rule, subset)),
            None => self.service.meta.provenance(""),
        };
        let mut fields = provenance_fields(&made_by);
        if !subset.is_empty() {
            fields.insert("subset".to_owned(), text(subset));
        }
        draft.cluster.metadata = metadata(fields, self.service);
        let draft = draft.buffer(&self.view.proxy);
        self.out.add(draft.finish(&self.view.patches, outbound(self.view.kind), &[]));
    }

    /// The mesh's wish for HTTP/2 is for what its own proxies take, and no rule is against it.
    fn may_upgrade(&self, policy: &Effective<'_>, port: &ServicePort) -> bool {
        let against =
            policy.connection_pool.is_some_and(|p| p.h2_upgrade == Some(false) || p.use_client_protocol);
        !self.service.mesh_external && !against && self.endpoints.all_mtls(port.number)
    }

    fn discovery(&self, policy: &Effective<'_>) -> DiscoveryType {
        let passthrough =
            policy.load_balancer.is_some_and(|l| matches!(l.algorithm, Some(Algorithm::Passthrough)));
        if passthrough && self.view.kind == Kind::Sidecar && !dynamic::is(self.service) {
            return DiscoveryType::OriginalDst;
        }
        discovery(self.view.kind, self.service)
    }

    #[allow(deprecated, reason = "the fields that Istio writes, and that every Envoy reads")]
    fn dns(
        &self,
        draft: &mut Draft,
        port: &ServicePort,
        of: &ClusterName,
        preference: Option<&Preference<'_>>,
        policy: &Effective<'_>,
    ) {
        let name = draft.cluster.name.clone();
        let labels =
            self.rule.and_then(|r| r.subsets.iter().find(|s| s.name == of.subset)).map(|s| &s.labels);
        let only_mtls = of.by_sni;
        let mutual = network::may_pass(self.snapshot, self.service, policy);
        let asked = Asked { service: self.service, port: port.number, labels, preference, only_mtls, mutual };
        draft.cluster.load_assignment =
            Some(endpoint::load_assignment(self.snapshot, self.view, &name, &self.endpoints, &asked));
        draft.cluster.dns_lookup_family = kinds::DnsLookupFamily::V4Only as i32;
        draft.cluster.dns_refresh_rate = Some(duration(self.snapshot.mesh().dns_refresh_rate));
        draft.cluster.respect_dns_ttl = true;
    }

    /// TLS as the rule says; else mutual TLS of the mesh toward endpoints that can.
    fn tls(&self, draft: &mut Draft, name: &ClusterName, port: &ServicePort, tls: Option<&ClientTls>) {
        match tls {
            Some(tls) => self.tls_of_rule(draft, name, port, tls),
            None if self.service.mesh_external || !self.snapshot.mesh().auto_mtls => {}
            None if draft.is_original_dst() => {
                // No endpoint metadata to match: TLS only when every endpoint can.
                if self.endpoints.all_mtls(port.number) {
                    draft.cluster.transport_socket = Some(self.mesh_socket(draft, name, port, None));
                }
            }
            None => {
                let socket = self.mesh_socket(draft, name, port, None);
                draft.cluster.transport_socket_matches = matches_of(socket);
            }
        }
    }

    fn tls_of_rule(&self, draft: &mut Draft, name: &ClusterName, port: &ServicePort, tls: &ClientTls) {
        let h2 = if draft.is_http2() { strings(&["h2"]) } else { Vec::new() };
        match tls.mode {
            ClientTlsMode::Disable => {}
            ClientTlsMode::IstioMutual => {
                draft.cluster.transport_socket = Some(self.mesh_socket(draft, name, port, Some(tls)));
            }
            ClientTlsMode::Simple | ClientTlsMode::Mutual => {
                let names = if tls.subject_alt_names.is_empty() {
                    &self.service.subject_alt_names
                } else {
                    &tls.subject_alt_names
                };
                let derive_sni = tls.sni.is_empty();
                let derive_names = !tls.insecure_skip_verify
                    // A host that the request names is checked by that name, whatever else is asked.
                    && (dynamic::is(self.service) || (derive_sni && names.is_empty()));
                policy::derive_names(draft, derive_sni, derive_names);
                let mutual = tls.mode == ClientTlsMode::Mutual;
                draft.cluster.transport_socket =
                    Some(user_upstream(self.snapshot.mesh(), tls, names, mutual, h2));
            }
        }
    }

    fn mesh_socket(
        &self,
        draft: &Draft,
        name: &ClusterName,
        port: &ServicePort,
        tls: Option<&ClientTls>,
    ) -> TransportSocket {
        let sni = tls.map(|t| t.sni.clone()).filter(|s| !s.is_empty()).unwrap_or_else(|| name.sni());
        let written = tls.map(|t| &t.subject_alt_names).filter(|n| !n.is_empty());
        let identities = match written {
            Some(names) => names.clone(),
            None => self.identities(port),
        };
        mesh_upstream(&sni, &identities, self.alpn(draft, port))
    }

    /// Whom clients expect: the identities behind the port, and those that the document allows.
    fn identities(&self, port: &ServicePort) -> Vec<String> {
        let mut all = self.endpoints.identities(port.number, &self.snapshot.mesh().trust_domain);
        all.extend(self.service.subject_alt_names.iter().cloned());
        all.sort();
        all.dedup();
        all
    }

    /// For TCP, and for HTTP of proxies whose ALPN filter says more for each request. A stock Envoy has no such filter:
    /// it offers what picks the HTTP chain of the other side.
    fn alpn(&self, draft: &Draft, port: &ServicePort) -> Vec<String> {
        match (self.view.stock, draft.is_http2(), port.protocol.is_http()) {
            (true, true, _) => strings(&["istio-h2", "istio", "h2"]),
            (true, false, true) => strings(&["istio-http/1.1", "istio", "http/1.1"]),
            (_, true, _) => {
                let mut all = strings(alpn::MTLS_TCP);
                all.push("h2".to_owned());
                all
            }
            (_, false, _) => strings(alpn::MTLS_TCP),
        }
    }
}

/// Connections begin with the PROXY protocol, whatever follows.
fn tell_clients(draft: &mut Draft, version: ProxyProtocol) {
    let cluster = &mut draft.cluster;
    for one in &mut cluster.transport_socket_matches {
        one.transport_socket = Some(proxy_protocol(version, one.transport_socket.take()));
    }
    if cluster.transport_socket.is_some() || cluster.transport_socket_matches.is_empty() {
        cluster.transport_socket = Some(proxy_protocol(version, cluster.transport_socket.take()));
    }
}

/// The name of a cluster in statistics, by Istio's patterns; empty where the mesh has none.
pub(super) fn stat_name(pattern: &str, service: &Service, port: &ServicePort, subset: &str) -> String {
    if pattern.is_empty() {
        return String::new();
    }
    let host = service.hostname.as_str();
    let name = match service.registry {
        Registry::Kubernetes => service.name(),
        Registry::External => host,
    };
    let namespaced = match service.registry {
        Registry::Kubernetes => format!("{name}.{}", service.namespace()),
        Registry::External => host.to_owned(),
    };
    let port_name = if port.name.is_empty() { port.number.to_string() } else { port.name.clone() };
    pattern
        .replace("%SERVICE_FQDN%", host)
        .replace("%SERVICE_NAME%", name)
        .replace("%SERVICE%", &namespaced)
        .replace("%SERVICE_PORT_NAME%", &port_name)
        .replace("%SERVICE_PORT%", &port.number.to_string())
        .replace("%TARGET_PORT%", &port.number.to_string())
        .replace("%SUBSET_NAME%", subset)
}

/// Where in the rule the policy of a subset stands.
fn rule_path(rule: &DestinationRule, subset: &str) -> String {
    match rule.subsets.iter().position(|s| s.name == subset) {
        Some(i) => format!("subsets[{i}]"),
        None => String::new(),
    }
}

/// TLS for endpoints that say they can, plain text for the others.
fn matches_of(tls: TransportSocket) -> Vec<TransportSocketMatch> {
    vec![
        TransportSocketMatch {
            name: "tlsMode-istio".into(),
            r#match: Some(structure([("tlsMode", text("istio"))])),
            transport_socket: Some(tls),
        },
        TransportSocketMatch {
            name: "tlsMode-disabled".into(),
            r#match: Some(structure([])),
            transport_socket: Some(raw_buffer()),
        },
    ]
}
