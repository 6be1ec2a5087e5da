//! Gateway to gateway.

use tulle_api::istio as api;
use tulle_base::{Host, Selector};

use super::cx::Cx;
use crate::gateway::{Gateway, Pods, Server, ServerHost, ServerTls, ServerTlsMode};
use crate::meta::NsName;
use crate::port::Protocol;
use crate::routing::Semantics;

/// The servers of a Gateway. A server without a port or with an unknown protocol is left out.
pub(super) fn gateway(cx: &mut Cx<'_>, spec: &api::Gateway) -> Gateway {
    let api::Gateway { servers, selector } = spec;
    Gateway {
        meta: cx.meta.clone(),
        name: NsName::new(cx.meta.namespace(), cx.meta.name()),
        pods: vec![Pods { namespace: None, labels: Selector(selector.clone()) }],
        semantics: Semantics::Istio,
        servers: servers.iter().enumerate().filter_map(|(i, s)| server(cx, i, s)).collect(),
    }
}

fn server(cx: &mut Cx<'_>, index: usize, s: &api::Server) -> Option<Server> {
    let api::Server { port, bind, hosts, tls, default_endpoint: _, name } = s; // the last is said by the reader
    let api::Port { number, protocol, name: port_name, target_port: _ } = port;
    let path = format!("spec.servers[{index}]");
    cx.not_applied(!bind.is_empty(), &format!("{path}.bind"), "gateways listen on every address");
    let Some(number) = cx.port(*number, &format!("{path}.port.number")) else {
        cx.not_applied(true, &path, "it has no port");
        return None;
    };
    let Some(protocol) = Protocol::parse(protocol) else {
        let message = format!("the protocol {protocol:?} is unknown, so the server is left out");
        cx.warn(&format!("{path}.port.protocol"), message, "write HTTP, HTTPS, GRPC, HTTP2, TCP or TLS");
        return None;
    };
    Some(Server {
        port: number,
        port_name: port_name.clone(),
        protocol,
        hosts: hosts.iter().map(|h| server_host(cx, h)).collect(),
        bind: bind.clone(),
        tls: tls.as_ref().map(|t| server_tls(cx, &format!("{path}.tls"), t)),
        name: name.clone(),
        excluded: Vec::new(),
        rule: format!("servers[{index}]"),
    })
}

fn server_host(cx: &Cx<'_>, text: &str) -> ServerHost {
    let (namespace, host) = match text.split_once('/') {
        None => (None, text),
        Some(("*", host)) => (None, host),
        Some((".", host)) => (Some(cx.meta.namespace().to_owned()), host),
        Some((ns, host)) => (Some(ns.to_owned()), host),
    };
    ServerHost { namespace, host: Host::new(host) }
}

fn server_tls(cx: &mut Cx<'_>, path: &str, t: &api::ServerTlsSettings) -> ServerTls {
    let api::ServerTlsSettings {
        https_redirect,
        mode,
        server_certificate,
        private_key,
        ca_certificates,
        ca_crl,
        credential_name,
        credential_names,
        ca_cert_credential_name,
        tls_certificates,
        subject_alt_names,
        verify_certificate_spki,
        verify_certificate_hash,
        min_protocol_version,
        max_protocol_version,
        cipher_suites,
        insecure_skip_verify: _, // for clients only, as its documentation says
    } = t;
    cx.not_applied(!ca_crl.is_empty(), &format!("{path}.caCrl"), "revocation lists are not built");
    cx.not_applied(
        !ca_cert_credential_name.is_empty(),
        &format!("{path}.caCertCredentialName"),
        "a separate secret for the CA is not built",
    );
    cx.not_applied(
        !tls_certificates.is_empty(),
        &format!("{path}.tlsCertificates"),
        "lists of files are not built",
    );
    cx.not_applied(
        !verify_certificate_spki.is_empty(),
        &format!("{path}.verifyCertificateSpki"),
        "it is not built",
    );
    cx.not_applied(
        !verify_certificate_hash.is_empty(),
        &format!("{path}.verifyCertificateHash"),
        "it is not built",
    );
    let version = |v: &Option<api::TlsProtocol>| {
        v.filter(|v| *v != api::TlsProtocol::Auto).map(|v| v.as_str().to_owned()).unwrap_or_default()
    };
    let single = Some(credential_name.clone()).filter(|c| !c.is_empty());
    ServerTls {
        https_redirect: https_redirect.unwrap_or(false),
        mode: match mode {
            Some(api::ServerTlsMode::Passthrough) | None => ServerTlsMode::Passthrough,
            Some(api::ServerTlsMode::Simple) => ServerTlsMode::Simple,
            Some(api::ServerTlsMode::Mutual) => ServerTlsMode::Mutual,
            Some(api::ServerTlsMode::AutoPassthrough) => ServerTlsMode::AutoPassthrough,
            Some(api::ServerTlsMode::IstioMutual) => ServerTlsMode::IstioMutual,
            Some(api::ServerTlsMode::OptionalMutual) => ServerTlsMode::OptionalMutual,
        },
        credentials: single.into_iter().chain(credential_names.iter().cloned()).collect(),
        server_certificate: server_certificate.clone(),
        private_key: private_key.clone(),
        ca_certificates: ca_certificates.clone(),
        subject_alt_names: subject_alt_names.clone(),
        min_version: version(min_protocol_version),
        max_version: version(max_protocol_version),
        cipher_suites: cipher_suites.clone(),
    }
}
