//! Filter chains of `virtualInbound`: for each port, by TLS, ALPN and protocol.

use std::cell::RefCell;

use tulle_mesh::config::MeshConfig;
use tulle_mesh::envoy_filter::PatchContext;
use tulle_mesh::gateway::ServerTls;
use tulle_mesh::policy::MtlsMode;
use tulle_mesh::port::{Protocol, Serving};
use tulle_mesh::proxies::ProxySettings;
use tulle_proto::envoy::core::TransportSocket;
use tulle_proto::envoy::http_connection_manager::HttpFilter;
use tulle_proto::envoy::listener::{Filter, FilterChain, FilterChainMatch};
use tulle_proto::envoy::route::{RouteConfiguration, VirtualHost};
use tulle_proto::istio::stats::PluginConfig;

use super::Port;
use crate::envoy_filter::{self, Patches, Ports};
use crate::filters;
use crate::listener::hcm;
use crate::listener::tcp::{self, Carried};
use crate::names::{ClusterName, INBOUND_PASSTHROUGH};
use crate::pb::{boolv, provenance, u32v};
use crate::rbac;
use crate::route::inbound as inbound_route;
use crate::sources::Sources;
use crate::tls::{alpn, mesh_downstream, server, strings};

/// Builds chains for one workload.
pub(super) struct Builder<'a> {
    pub(super) mesh: &'a MeshConfig,
    pub(super) proxy: &'a ProxySettings,
    pub(super) stock: bool,
    /// Which metrics it reports as a server; `None` for none.
    pub(super) metrics: Option<&'a PluginConfig>,
    pub(super) traced: &'a crate::tracing::Traced,
    pub(super) rbac: &'a rbac::Filters,
    pub(super) limits: &'a [HttpFilter],
    pub(super) patches: &'a Patches,
    /// What patches of inbound routes did.
    pub(super) sources: &'a RefCell<Sources>,
}

/// Which connections a chain takes, and what it makes of them.
#[derive(Clone, Copy)]
struct Kind {
    transport: &'static str,
    alpn: Alpn,
    /// Mutual TLS ends here.
    mtls: bool,
    http: bool,
}

/// Which ALPN a chain asks for.
#[derive(Clone, Copy)]
enum Alpn {
    /// Anything.
    Any,
    /// What sidecars send for HTTP.
    MeshHttp,
    /// What sidecars send for TCP.
    MeshTcp,
    /// What sidecars send.
    Mesh,
    /// What the inspector finds in plain text.
    PlainHttp,
}

const fn tls(alpn: Alpn, mtls: bool, http: bool) -> Kind {
    Kind { transport: "tls", alpn, mtls, http }
}

const fn plain(alpn: Alpn, http: bool) -> Kind {
    Kind { transport: "raw_buffer", alpn, mtls: false, http }
}

/// The chains of a port by what it serves and by its mode: Istio's table. PERMISSIVE also passes TLS of the
/// application's own on, except where HTTP is declared.
fn kinds(serving: Serving, mode: MtlsMode) -> &'static [Kind] {
    const STRICT_HTTP: &[Kind] = &[tls(Alpn::Any, true, true)];
    const STRICT_TCP: &[Kind] = &[tls(Alpn::Any, true, false)];
    const STRICT_AUTO: &[Kind] = &[tls(Alpn::MeshHttp, true, true), tls(Alpn::Any, true, false)];
    const PERMISSIVE_HTTP: &[Kind] = &[tls(Alpn::Mesh, true, true), plain(Alpn::Any, true)];
    const PERMISSIVE_TCP: &[Kind] =
        &[tls(Alpn::Mesh, true, false), tls(Alpn::Any, false, false), plain(Alpn::Any, false)];
    const PERMISSIVE_AUTO: &[Kind] = &[
        tls(Alpn::MeshHttp, true, true),
        plain(Alpn::PlainHttp, true),
        tls(Alpn::MeshTcp, true, false),
        plain(Alpn::Any, false),
        tls(Alpn::Any, false, false),
    ];
    const DISABLED_HTTP: &[Kind] = &[plain(Alpn::Any, true)];
    const DISABLED_TCP: &[Kind] = &[plain(Alpn::Any, false), tls(Alpn::Any, false, false)];
    const DISABLED_AUTO: &[Kind] =
        &[plain(Alpn::PlainHttp, true), plain(Alpn::Any, false), tls(Alpn::Any, false, false)];
    match (serving, mode) {
        (Serving::Http, MtlsMode::Strict) => STRICT_HTTP,
        (Serving::Http, MtlsMode::Permissive) => PERMISSIVE_HTTP,
        (Serving::Http, MtlsMode::Disable) => DISABLED_HTTP,
        (Serving::Tcp, MtlsMode::Strict) => STRICT_TCP,
        (Serving::Tcp, MtlsMode::Permissive) => PERMISSIVE_TCP,
        (Serving::Tcp, MtlsMode::Disable) => DISABLED_TCP,
        (Serving::Auto, MtlsMode::Strict) => STRICT_AUTO,
        (Serving::Auto, MtlsMode::Permissive) => PERMISSIVE_AUTO,
        (Serving::Auto, MtlsMode::Disable) => DISABLED_AUTO,
    }
}

/// What a set of chains has in common.
struct Target<'a> {
    /// Port asked for; 0 for every one.
    port: u16,
    cluster: String,
    /// `HOST:PORT/*`, the name of spans.
    operation: String,
    /// Port in the virtual host's name.
    number: u16,
    protocol: Protocol,
    declared: Option<&'a Port>,
}

impl Builder<'_> {
    /// The chains of a declared port.
    pub(super) fn port(&self, port: &Port, mode: MtlsMode) -> Vec<FilterChain> {
        let host = match &port.service {
            Some(service) => service.hostname.as_str().to_owned(),
            None => format!("{}.{}", port.made_by.resource.name, port.made_by.resource.namespace),
        };
        let mut target = Target {
            port: if port.bound { 0 } else { port.target },
            cluster: ClusterName::inbound(port.target).to_string(),
            operation: format!("{host}:{}/*", port.number),
            number: port.number,
            protocol: port.protocol,
            declared: Some(port),
        };
        if let (Some(tls), MtlsMode::Disable) = (&port.tls, mode) {
            target.protocol = inside(port.protocol);
            return vec![self.terminated(&target, tls)];
        }
        let serving = port.protocol.serving().unwrap_or(Serving::Tcp);
        kinds(serving, mode).iter().map(|k| self.chain(&target, *k)).collect()
    }

    /// The chains of ports that nobody declares (0), or of one such port with a mode of its own.
    pub(super) fn passthrough(&self, port: u16, mode: MtlsMode) -> Vec<FilterChain> {
        let target = Target {
            port,
            cluster: INBOUND_PASSTHROUGH.to_owned(),
            operation: ":0/*".to_owned(),
            number: port,
            protocol: Protocol::Sniff,
            declared: None,
        };
        kinds(Serving::Auto, mode).iter().map(|k| self.chain(&target, *k)).collect()
    }

    /// The one chain of a port that ends TLS with the workload's own certificate.
    fn terminated(&self, target: &Target<'_>, settings: &ServerTls) -> FilterChain {
        let http = target.protocol.is_http();
        let alpn = if http { strings(&["h2", "http/1.1"]) } else { Vec::new() };
        FilterChain {
            transport_socket: Some(server(settings, alpn)),
            ..self.chain(target, tls(Alpn::Any, false, http))
        }
    }

    fn chain(&self, target: &Target<'_>, kind: Kind) -> FilterChain {
        let name = match (target.declared, kind.http) {
            (Some(port), _) => port.listener_name(),
            (None, true) => "virtualInbound-catchall-http".to_owned(),
            (None, false) => "virtualInbound".to_owned(),
        };
        FilterChain {
            filter_chain_match: Some(FilterChainMatch {
                destination_port: (target.port != 0).then_some(u32::from(target.port)).and_then(u32v),
                transport_protocol: kind.transport.to_owned(),
                application_protocols: self.wanted(kind.alpn),
                ..FilterChainMatch::default()
            }),
            filters: if kind.http { vec![self.http(target)] } else { self.tcp(target) },
            transport_socket: kind.mtls.then(|| self.socket(kind.http)),
            metadata: target.declared.and_then(|p| provenance(&p.made_by)),
            name,
            ..FilterChain::default()
        }
    }

    fn wanted(&self, alpn: Alpn) -> Vec<String> {
        let ours = (!self.stock).then(|| alpn::OURS.to_owned());
        let accepted = ["istio-peer-exchange", "istio"];
        match alpn {
            Alpn::Any => Vec::new(),
            Alpn::MeshHttp => strings(alpn::MTLS_HTTP).into_iter().chain(ours).collect(),
            Alpn::MeshTcp => strings(&accepted),
            Alpn::Mesh if ours.is_some() => alpn::all_mtls(),
            Alpn::Mesh => strings(&accepted).into_iter().chain(strings(alpn::MTLS_HTTP)).collect(),
            Alpn::PlainHttp => strings(alpn::PLAIN_HTTP),
        }
    }

    /// What is agreed on once the chain is chosen: our own protocol first where both can.
    fn socket(&self, http: bool) -> TransportSocket {
        let offered = match (http, self.stock) {
            (true, true) => strings(&["h2", "http/1.1"]),
            (true, false) => strings(&[alpn::OURS, "h2", "http/1.1", "istio"]),
            (false, true) => strings(&["istio-peer-exchange", "h2", "http/1.1"]),
            (false, false) => strings(&["istio", "h2", "http/1.1"]),
        };
        mesh_downstream(self.mesh, offered)
    }

    fn http(&self, target: &Target<'_>) -> Filter {
        let prefix = match target.declared {
            Some(port) => format!("inbound_{}", port.listener_name()),
            None => target.cluster.clone(),
        };
        let mut route = inbound_route(&target.cluster, target.operation.clone(), target.protocol);
        route.metadata = target.declared.and_then(|p| provenance(&p.made_by));
        let mut routes = RouteConfiguration {
            name: target.cluster.clone(),
            virtual_hosts: vec![VirtualHost {
                name: format!("inbound|http|{}", target.number),
                domains: vec!["*".into()],
                routes: vec![route],
                ..VirtualHost::default()
            }],
            validate_clusters: boolv(false),
            ..RouteConfiguration::default()
        };
        let (place, mut sources) = (PatchContext::SidecarInbound, self.sources.borrow_mut());
        envoy_filter::routes(self.patches, place, Ports::Named, &mut routes, &mut sources);
        drop(sources);
        let own: Vec<HttpFilter> = self.rbac.http.iter().chain(self.limits).cloned().collect();
        let filters = (self.stock, self.metrics);
        let settings = (self.proxy, self.traced);
        hcm::inbound(self.mesh, settings, filters, target.protocol.is_http2(), &prefix, routes, &own)
    }

    fn tcp(&self, target: &Target<'_>) -> Vec<Filter> {
        let mut all = self.rbac.tcp.clone();
        all.extend(self.metrics.map(filters::stats_tcp));
        let idle = target.declared.and_then(|p| p.pool.as_ref()).and_then(|p| p.tcp_idle_timeout);
        all.push(tcp::to_cluster(&self.traced.logs, &target.cluster, Carried { idle, ..Carried::default() }));
        all
    }
}

/// What is spoken inside of TLS that ends here.
fn inside(protocol: Protocol) -> Protocol {
    match protocol {
        Protocol::Https => Protocol::Http,
        Protocol::Tls => Protocol::Tcp,
        other => other,
    }
}
