//! Which servers of which Gateways a gateway proxy serves, and on which of its ports.

use std::sync::Arc;

use tulle_mesh::gateway::ServerHost;
use tulle_mesh::gateway::{Gateway, Server, ServerTlsMode};
use tulle_mesh::port::{Protocol, Serving};
use tulle_mesh::service::{Registry, Service, TargetPort};
use tulle_mesh::{Meta, NsName, Snapshot};

use crate::proxy::Proxy;

/// One server on one port of the proxy.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) gateway: Arc<Gateway>,
    /// Index into the gateway's servers.
    pub(crate) index: usize,
    /// The port on which the proxy listens.
    pub(crate) port: u16,
}

/// How a server is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServedAs {
    /// HTTP without TLS.
    Http,
    /// HTTP over TLS that ends here.
    Https,
    /// TLS that ends here, with opaque bytes inside.
    TlsTcp,
    /// TLS that passes, by server name.
    Passthrough,
    /// TLS that passes to the cluster that the server name is the name of.
    AutoPassthrough,
    /// Opaque bytes.
    Tcp,
}

impl Bound {
    pub(crate) fn server(&self) -> &Server {
        &self.gateway.servers[self.index]
    }

    /// The document behind it.
    pub(crate) fn meta(&self) -> &Meta {
        self.server().meta.as_ref().unwrap_or(&self.gateway.meta)
    }

    /// The address on which it listens; `None` is every one.
    pub(crate) fn bind(&self) -> Option<&str> {
        Some(self.server().bind.as_str()).filter(|b| !matches!(*b, "" | "0.0.0.0" | "::"))
    }

    /// How it is served. `None` for what is not (UDP).
    pub(crate) fn served_as(&self) -> Option<ServedAs> {
        let server = self.server();
        let mode = server.tls.as_ref().map(|t| t.mode);
        if mode == Some(ServerTlsMode::AutoPassthrough) && server.protocol.serving() != Some(Serving::Http) {
            return (server.protocol != Protocol::Udp).then_some(ServedAs::AutoPassthrough);
        }
        match server.protocol {
            Protocol::Https if mode.is_none() => None,
            Protocol::Https if mode != Some(ServerTlsMode::Passthrough) => Some(ServedAs::Https),
            Protocol::Tls if mode.is_some_and(|m| m != ServerTlsMode::Passthrough) => Some(ServedAs::TlsTcp),
            Protocol::Https | Protocol::Tls => Some(ServedAs::Passthrough),
            p if p.serving() == Some(Serving::Http) => Some(ServedAs::Http),
            Protocol::Tcp if mode.is_some_and(|m| m != ServerTlsMode::Passthrough) => Some(ServedAs::TlsTcp),
            Protocol::Tcp => Some(ServedAs::Tcp),
            _ => None,
        }
    }

    /// The name of its route configuration: `http.PORT`, or `https.PORT.NAME.GATEWAY.NAMESPACE`; either with `.ADDRESS` where it
    /// listens on one.
    pub(crate) fn route_name(&self) -> Option<String> {
        let bind = self.bind().map(|b| format!(".{b}")).unwrap_or_default();
        match self.served_as()? {
            ServedAs::Http => Some(format!("http.{}{bind}", self.port)),
            ServedAs::Https => Some(format!(
                "https.{}.{}.{}.{}{bind}",
                self.port,
                self.server().port_name,
                self.gateway.name.name,
                self.gateway.name.namespace
            )),
            ServedAs::TlsTcp | ServedAs::Passthrough | ServedAs::AutoPassthrough | ServedAs::Tcp => None,
        }
    }
}

/// The Secrets, beside those of its own namespace, that a gateway may have: those that Gateways of the Gateway API name which
/// it serves. Whether they may name them was looked at before.
pub(crate) fn secrets(snapshot: &Snapshot, proxy: &Proxy) -> Vec<NsName> {
    let served = snapshot.gateways().filter(|g| g.is_served_by(proxy.namespace(), &proxy.labels));
    let mut all: Vec<NsName> = served.flat_map(|g| g.secrets().collect::<Vec<_>>()).collect();
    all.sort();
    all.dedup();
    all
}

/// The certificate that a gateway shows to backends: that of the oldest Gateway with one that it serves.
pub(crate) fn client_certificate(snapshot: &Snapshot, proxy: &Proxy) -> Option<String> {
    let gateways = snapshot.gateways().filter(|g| g.client_certificate.is_some());
    let served = gateways.filter(|g| g.is_served_by(proxy.namespace(), &proxy.labels));
    served.min_by(|a, b| a.meta.by_age(&b.meta))?.client_certificate.clone()
}

/// The hosts to whose clusters TLS passes by its server name, sorted. A namespace is that of the service.
pub(crate) fn passing_hosts(snapshot: &Snapshot, proxy: &Proxy) -> Vec<ServerHost> {
    let gateways = snapshot.gateways().filter(|g| g.is_served_by(proxy.namespace(), &proxy.labels));
    let passing = |s: &&Server| s.tls.as_ref().is_some_and(|t| t.mode == ServerTlsMode::AutoPassthrough);
    let mut all: Vec<ServerHost> =
        gateways.flat_map(|g| g.servers.iter().filter(passing)).flat_map(|s| s.hosts.clone()).collect();
    all.sort();
    all.dedup();
    all
}

/// Whether TLS passes to the clusters of `service` at a server with these hosts. What is outside of the mesh has no mutual TLS to
/// pass.
pub(crate) fn passes_to(hosts: &[ServerHost], service: &Service) -> bool {
    let fits = |h: &ServerHost| {
        h.namespace.as_deref().is_none_or(|n| n == service.namespace()) && h.host.covers(&service.hostname)
    };
    !service.mesh_external && hosts.iter().any(fits)
}

/// Every server for `proxy`, by port, then by age of the gateway.
pub(crate) fn servers(snapshot: &Snapshot, proxy: &Proxy) -> Vec<Bound> {
    let mut gateways: Vec<&Arc<Gateway>> =
        snapshot.gateways().filter(|g| g.is_served_by(proxy.namespace(), &proxy.labels)).collect();
    gateways.sort_by(|a, b| a.meta.by_age(&b.meta));
    let mut out = Vec::new();
    for gateway in gateways {
        for (index, server) in gateway.servers.iter().enumerate() {
            for port in listen_ports(snapshot, proxy, server.port) {
                out.push(Bound { gateway: Arc::clone(gateway), index, port });
            }
        }
    }
    out.sort_by_key(|b| b.port);
    out
}

/// The ports of the proxy to which its Services send `port`; the port itself when none does.
fn listen_ports(snapshot: &Snapshot, proxy: &Proxy, port: u16) -> Vec<u16> {
    let named = proxy.workload_in(snapshot).map(|w| &w.named_ports);
    let mut out: Vec<u16> = snapshot
        .services()
        .filter(|s| s.registry == Registry::Kubernetes && s.namespace() == proxy.namespace())
        .filter(|s| s.selector.as_ref().is_some_and(|sel| sel.matches(&proxy.labels)))
        .filter_map(|s| match &s.port(port)?.target {
            TargetPort::Number(n) => Some(*n),
            TargetPort::Name(name) => named?.get(name).copied(),
        })
        .collect();
    out.sort_unstable();
    out.dedup();
    if out.is_empty() { vec![port] } else { out }
}
