//! Documents of the Gateway API, each by itself.

mod backend_tls;
mod filter;
mod gateway;
mod matching;
mod rule;

use tulle_api::gateway_api as api;
use tulle_api::schema::Field as _;
use tulle_base::{Diagnostic, FieldPath, Host};

use super::cx::Cx;
use crate::kube::{
    Backend, GROUP, GatewayClass, Grant, Granted, KubeRoute, ObjectName, Parent, Problem, Referrer,
    RouteKind, is_ours,
};
use crate::meta::NsName;

pub(super) use backend_tls::backend_tls;
pub(super) use gateway::{gateway, listener_set};

/// The class of a GatewayClass.
pub(super) fn class(cx: &mut Cx<'_>, spec: &api::GatewayClassSpec) -> GatewayClass {
    // What has no effect is said by the reader.
    let api::GatewayClassSpec { controller_name, parameters_ref: _, description: _ } = spec;
    if !is_ours(controller_name) {
        let message = format!("gateways of the controller {controller_name} are not served here");
        cx.warn(
            "spec.controllerName",
            message,
            "write tulle.dev/gateway-controller or istio.io/gateway-controller",
        );
    }
    GatewayClass { meta: cx.meta.clone(), controller: controller_name.clone() }
}

/// The grant of a ReferenceGrant.
pub(super) fn grant(cx: &Cx<'_>, spec: &api::ReferenceGrantSpec) -> Grant {
    let api::ReferenceGrantSpec { from, to } = spec;
    let from = from.iter().map(|api::ReferenceGrantFrom { group, kind, namespace }| Referrer {
        group: group.clone().unwrap_or_default(),
        kind: kind.clone(),
        namespace: namespace.clone(),
    });
    let to = to.iter().map(|api::ReferenceGrantTo { group, kind, name }| Granted {
        group: group.clone().unwrap_or_default(),
        kind: kind.clone(),
        name: Some(name.clone()).filter(|n| !n.is_empty()),
    });
    Grant { meta: cx.meta.clone(), from: from.collect(), to: to.collect() }
}

/// The rules of an HTTPRoute.
pub(super) fn http(cx: &mut Cx<'_>, spec: &api::HttpRouteSpec) -> KubeRoute {
    let api::HttpRouteSpec { parent_refs, hostnames, rules, use_default_gateways: _ } = spec; // said by the reader
    let mut draft = Draft::new(cx, RouteKind::Http, parent_refs, hostnames);
    // Without rules there is one, for everything.
    for (i, rule) in rules.iter().enumerate() {
        draft.http_rule(i, rule);
    }
    if rules.is_empty() {
        draft.http_rule(0, &api::HttpRouteRule::default());
    }
    draft.route
}

/// The rules of a GRPCRoute.
pub(super) fn grpc(cx: &mut Cx<'_>, spec: &api::GrpcRouteSpec) -> KubeRoute {
    let api::GrpcRouteSpec { parent_refs, hostnames, rules, use_default_gateways: _ } = spec;
    let mut draft = Draft::new(cx, RouteKind::Grpc, parent_refs, hostnames);
    for (i, rule) in rules.iter().enumerate() {
        draft.grpc_rule(i, rule);
    }
    draft.route
}

/// The rules of a TLSRoute.
pub(super) fn tls(cx: &mut Cx<'_>, spec: &api::TlsRouteSpec) -> KubeRoute {
    let api::TlsRouteSpec { parent_refs, hostnames, rules, use_default_gateways: _ } = spec;
    let mut draft = Draft::new(cx, RouteKind::Tls, parent_refs, hostnames);
    let names = draft.route.hostnames.clone();
    for (i, rule) in rules.iter().enumerate() {
        draft.l4_rule(i, rule, &names);
    }
    draft.route
}

/// The rules of a TCPRoute.
pub(super) fn tcp(cx: &mut Cx<'_>, spec: &api::TcpRouteSpec) -> KubeRoute {
    let api::TcpRouteSpec { parent_refs, rules, use_default_gateways: _ } = spec;
    let mut draft = Draft::new(cx, RouteKind::Tcp, parent_refs, &[]);
    for (i, rule) in rules.iter().enumerate() {
        draft.l4_rule(i, rule, &[]);
    }
    draft.route
}

/// A UDPRoute, which no listener takes.
pub(super) fn udp(cx: &mut Cx<'_>, spec: &api::UdpRouteSpec) -> KubeRoute {
    let api::UdpRouteSpec { parent_refs, rules: _, use_default_gateways: _ } = spec;
    Draft::new(cx, RouteKind::Udp, parent_refs, &[]).route
}

/// A route being made.
struct Draft<'a, 'c> {
    cx: &'a mut Cx<'c>,
    route: KubeRoute,
}

impl<'a, 'c> Draft<'a, 'c> {
    fn new(
        cx: &'a mut Cx<'c>,
        kind: RouteKind,
        parents: &[api::ParentReference],
        hostnames: &[String],
    ) -> Self {
        let route = KubeRoute {
            kind,
            parents: parents.iter().map(|p| parent(cx, p)).collect(),
            hostnames: hostnames.iter().map(|h| Host::new(h)).collect(),
            http: Vec::new(),
            l4: Vec::new(),
            backends: Vec::new(),
            problems: Vec::new(),
            meta: cx.meta.clone(),
        };
        Self { cx, route }
    }

    /// Notes what cannot be served.
    fn problem(&mut self, path: &str, reason: &'static str, reference: bool, message: impl Into<String>) {
        let message = message.into();
        if !reference {
            let resource = self.cx.meta.resource.clone();
            let note = Diagnostic::warning(FieldPath::from(path), message.clone()).with_resource(resource);
            self.cx.notes.push(note);
        }
        self.route.problems.push(Problem { path: path.to_owned(), reason, reference, message });
    }

    /// Notes what a rule refers to, and returns its host.
    fn backend(&mut self, path: String, r: &BackendName<'_>) -> Option<Host> {
        let BackendName { group, kind, name, namespace, port } = r;
        let group = group.unwrap_or_default();
        let kind = if kind.is_empty() { "Service" } else { kind };
        let namespace = if namespace.is_empty() { self.cx.meta.namespace() } else { namespace };
        let host = match (group, kind) {
            ("", "Service") => Some(Host::new(&format!("{name}.{namespace}.svc.{}", self.cx.domain))),
            ("networking.istio.io", "Hostname") => Some(Host::new(name)),
            _ => None,
        };
        let port = self.cx.port(port.and_then(|p| u32::try_from(p).ok()), &format!("{path}.port"));
        let object = ObjectName {
            group: group.to_owned(),
            kind: kind.to_owned(),
            name: NsName::new(namespace, name.to_owned()),
        };
        self.route.backends.push(Backend { path, object, host: host.clone(), port });
        host
    }
}

/// A reference to a backend, of whichever record.
struct BackendName<'a> {
    group: Option<&'a str>,
    kind: &'a str,
    name: &'a str,
    namespace: &'a str,
    port: Option<i32>,
}

fn parent(cx: &mut Cx<'_>, p: &api::ParentReference) -> Parent {
    let api::ParentReference { group, kind, namespace, name, section_name, port } = p;
    let namespace = if namespace.is_empty() { cx.meta.namespace() } else { namespace };
    let object = ObjectName {
        group: group.clone().unwrap_or_else(|| GROUP.to_owned()),
        kind: if kind.is_empty() { "Gateway".to_owned() } else { kind.clone() },
        name: NsName::new(namespace, name.clone()),
    };
    Parent {
        object,
        section: Some(section_name.clone()).filter(|s| !s.is_empty()),
        port: port.and_then(|p| u16::try_from(p).ok()),
        written: p.encode(),
    }
}
