//! Gateway and ListenerSet of the Gateway API.

use tulle_api::gateway_api as api;
use tulle_api::kubernetes::PodSelector;
use tulle_base::Host;

use super::super::cx::Cx;
use crate::kube::{
    Address, AllowedNamespaces, ClientChecks, GROUP, KubeGateway, Listener, ListenerProtocol, ListenerSet,
    ListenerTls, ObjectName,
};
use crate::meta::NsName;

/// Istio's option for more kinds of TLS than the Gateway API has.
const TERMINATE_MODE: &str = "gateway.istio.io/tls-terminate-mode";
/// Istio's option for cipher suites.
const CIPHER_SUITES: &str = "gateway.istio.io/tls-cipher-suites";

/// The listeners of a Gateway. One without a port is left out.
pub(in crate::convert) fn gateway(cx: &mut Cx<'_>, spec: &api::GatewaySpec) -> KubeGateway {
    let api::GatewaySpec {
        gateway_class_name,
        listeners,
        addresses,
        allowed_listeners,
        tls,
        // Said by the reader.
        infrastructure: _,
        default_scope: _,
    } = spec;
    let (client_checks, client_checks_of) = frontend(cx, tls.as_ref());
    let mut out = Vec::new();
    for (i, given) in listeners.iter().enumerate() {
        out.extend(listener(cx, i, given));
    }
    KubeGateway {
        class: gateway_class_name.clone(),
        listeners: out,
        addresses: addresses.iter().map(|a| address(cx, a)).collect(),
        listener_sets: match allowed_listeners.as_ref().and_then(|a| a.namespaces.as_ref()) {
            None => AllowedNamespaces::None,
            Some(api::ListenerNamespaces { from, selector }) => {
                chosen(from.unwrap_or(api::FromNamespaces::None), selector.as_ref())
            }
        },
        client_checks,
        client_checks_of,
        client_certificate: tls
            .as_ref()
            .and_then(|t| t.backend.as_ref()?.client_certificate_ref.as_ref())
            .map(|r| secret(cx.meta.namespace(), r)),
        meta: cx.meta.clone(),
    }
}

/// The listeners of a ListenerSet.
pub(in crate::convert) fn listener_set(cx: &mut Cx<'_>, spec: &api::ListenerSetSpec) -> ListenerSet {
    let api::ListenerSetSpec { parent_ref, listeners } = spec;
    let api::ParentGatewayReference { group, kind, name, namespace } = parent_ref;
    let is_gateway = group.as_deref().is_none_or(|g| g == GROUP) && matches!(kind.as_str(), "" | "Gateway");
    let namespace = if namespace.is_empty() { cx.meta.namespace() } else { namespace };
    let parent = is_gateway.then(|| NsName::new(namespace, name.clone()));
    let mut out = Vec::new();
    for (i, given) in listeners.iter().enumerate() {
        out.extend(listener(cx, i, given));
    }
    ListenerSet { meta: cx.meta.clone(), parent, listeners: out }
}

type Checks = (Option<ClientChecks>, Vec<(u16, Option<ClientChecks>)>);

/// How certificates of clients are checked.
fn frontend(cx: &mut Cx<'_>, tls: Option<&api::GatewayTlsConfig>) -> Checks {
    let Some(api::FrontendTlsConfig { default, per_port }) = tls.and_then(|t| t.frontend.as_ref()) else {
        return Checks::default();
    };
    let mut of_ports = Vec::new();
    for (i, api::FrontendTlsPort { port, tls }) in per_port.iter().enumerate() {
        let number = Some(u32::try_from(*port).unwrap_or_default());
        if let Some(port) = cx.port(number, &format!("spec.tls.frontend.perPort[{i}].port")) {
            of_ports.push((port, checks(cx, tls)));
        }
    }
    (checks(cx, default), of_ports)
}

fn checks(cx: &Cx<'_>, given: &api::FrontendTls) -> Option<ClientChecks> {
    let api::FrontendTlsValidation { ca_certificate_refs, mode } = given.validation.as_ref()?;
    let own = cx.meta.namespace();
    let authority =
        |api::CaObjectReference { group, kind, name, namespace }: &api::CaObjectReference| ObjectName {
            group: group.clone().unwrap_or_default(),
            kind: kind.clone(),
            name: NsName::new(if namespace.is_empty() { own } else { namespace }, name.clone()),
        };
    Some(ClientChecks {
        authorities: ca_certificate_refs.iter().map(authority).collect(),
        insecure_fallback: *mode == Some(api::FrontendValidationMode::AllowInsecureFallback),
    })
}

fn secret(own: &str, r: &api::SecretObjectReference) -> ObjectName {
    let api::SecretObjectReference { group, kind, name, namespace } = r;
    ObjectName {
        group: group.clone().unwrap_or_default(),
        kind: if kind.is_empty() { "Secret".to_owned() } else { kind.clone() },
        name: NsName::new(if namespace.is_empty() { own } else { namespace }, name.clone()),
    }
}

fn chosen(from: api::FromNamespaces, selector: Option<&PodSelector>) -> AllowedNamespaces {
    match (from, selector) {
        (api::FromNamespaces::All, _) => AllowedNamespaces::All,
        (api::FromNamespaces::Same, _) => AllowedNamespaces::Same,
        (api::FromNamespaces::Selector, Some(s)) => AllowedNamespaces::Selector(s.clone()),
        (api::FromNamespaces::None, _) | (api::FromNamespaces::Selector, None) => AllowedNamespaces::None,
    }
}

fn address(cx: &Cx<'_>, given: &api::GatewaySpecAddress) -> Address {
    let api::GatewaySpecAddress { address_type, value } = given;
    match address_type.as_str() {
        "Hostname" if !value.is_empty() => Address::Service(cx.fqdn(value)),
        "" => Address::Other("IPAddress".to_owned(), value.clone()),
        other => Address::Other(other.to_owned(), value.clone()),
    }
}

fn listener(cx: &mut Cx<'_>, index: usize, given: &api::GatewayListener) -> Option<Listener> {
    let api::GatewayListener { name, hostname, port, protocol, tls, allowed_routes } = given;
    let path = format!("spec.listeners[{index}]");
    let port = cx.port(Some(u32::try_from(*port).unwrap_or_default()), &format!("{path}.port"))?;
    let protocol = match protocol.as_str() {
        "HTTP" => ListenerProtocol::Http,
        "HTTPS" => ListenerProtocol::Https,
        "TLS" => ListenerProtocol::Tls,
        "TCP" => ListenerProtocol::Tcp,
        other => ListenerProtocol::Other(other.to_owned()),
    };
    let (from, kinds) = allowed(allowed_routes.as_ref());
    Some(Listener {
        name: name.clone(),
        hostname: (!hostname.is_empty()).then(|| Host::new(hostname)),
        port,
        protocol,
        tls: tls.as_ref().map(|t| listener_tls(cx, &path, t)),
        from,
        kinds,
    })
}

fn allowed(given: Option<&api::AllowedRoutes>) -> (AllowedNamespaces, Vec<(String, String)>) {
    let Some(api::AllowedRoutes { namespaces, kinds }) = given else {
        return (AllowedNamespaces::Same, Vec::new());
    };
    let from = match namespaces {
        None => AllowedNamespaces::Same,
        Some(api::RouteNamespaces { from, selector }) => {
            chosen(from.unwrap_or(api::FromNamespaces::Same), selector.as_ref())
        }
    };
    let kind = |api::RouteGroupKind { group, kind }: &api::RouteGroupKind| {
        (group.clone().unwrap_or_else(|| GROUP.to_owned()), kind.clone())
    };
    (from, kinds.iter().map(kind).collect())
}

fn listener_tls(cx: &mut Cx<'_>, path: &str, given: &api::ListenerTlsConfig) -> ListenerTls {
    let api::ListenerTlsConfig { mode, certificate_refs, options } = given;
    for key in options.keys().filter(|k| !matches!(k.as_str(), TERMINATE_MODE | CIPHER_SUITES)) {
        cx.not_applied(true, &format!("{path}.tls.options"), &format!("the option {key} is unknown here"));
    }
    let suites = options.get(CIPHER_SUITES).map(|s| s.split(',').map(|c| c.trim().to_owned()).collect());
    ListenerTls {
        passthrough: *mode == Some(api::TlsModeType::Passthrough),
        certificates: certificate_refs.iter().map(|r| secret(cx.meta.namespace(), r)).collect(),
        terminate_mode: options.get(TERMINATE_MODE).cloned().unwrap_or_default(),
        cipher_suites: suites.unwrap_or_default(),
    }
}
