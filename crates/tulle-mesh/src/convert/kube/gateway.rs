//! Gateway of the Gateway API.

use tulle_api::gateway_api as api;
use tulle_base::Host;

use super::super::cx::Cx;
use crate::kube::{
    Address, AllowedNamespaces, GROUP, KubeGateway, Listener, ListenerProtocol, ListenerTls, ObjectName,
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
        // Said by the reader.
        infrastructure: _,
        allowed_listeners: _,
        tls: _,
        default_scope: _,
    } = spec;
    let mut out = Vec::new();
    for (i, given) in listeners.iter().enumerate() {
        out.extend(listener(cx, i, given));
    }
    KubeGateway {
        class: gateway_class_name.clone(),
        listeners: out,
        addresses: addresses.iter().map(|a| address(cx, a)).collect(),
        meta: cx.meta.clone(),
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
        Some(api::RouteNamespaces { from, selector }) => match (from, selector) {
            (Some(api::FromNamespaces::All), _) => AllowedNamespaces::All,
            (Some(api::FromNamespaces::None), _) => AllowedNamespaces::None,
            (Some(api::FromNamespaces::Selector), Some(s)) => AllowedNamespaces::Selector(s.clone()),
            (Some(api::FromNamespaces::Selector), None) => AllowedNamespaces::None,
            (Some(api::FromNamespaces::Same) | None, _) => AllowedNamespaces::Same,
        },
    };
    let kind = |api::RouteGroupKind { group, kind }: &api::RouteGroupKind| {
        (group.clone().unwrap_or_else(|| GROUP.to_owned()), kind.clone())
    };
    (from, kinds.iter().map(kind).collect())
}

fn listener_tls(cx: &mut Cx<'_>, path: &str, given: &api::ListenerTlsConfig) -> ListenerTls {
    let api::ListenerTlsConfig { mode, certificate_refs, options } = given;
    let namespace = cx.meta.namespace().to_owned();
    let certificate = |r: &api::SecretObjectReference| {
        let api::SecretObjectReference { group, kind, name, namespace: written } = r;
        ObjectName {
            group: group.clone().unwrap_or_default(),
            kind: if kind.is_empty() { "Secret".to_owned() } else { kind.clone() },
            name: NsName::new(if written.is_empty() { &namespace } else { written }, name.clone()),
        }
    };
    for key in options.keys().filter(|k| !matches!(k.as_str(), TERMINATE_MODE | CIPHER_SUITES)) {
        cx.not_applied(true, &format!("{path}.tls.options"), &format!("the option {key} is unknown here"));
    }
    let suites = options.get(CIPHER_SUITES).map(|s| s.split(',').map(|c| c.trim().to_owned()).collect());
    ListenerTls {
        passthrough: *mode == Some(api::TlsModeType::Passthrough),
        certificates: certificate_refs.iter().map(certificate).collect(),
        terminate_mode: options.get(TERMINATE_MODE).cloned().unwrap_or_default(),
        cipher_suites: suites.unwrap_or_default(),
    }
}
