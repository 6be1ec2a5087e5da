//! Gateway to gateway.

use tulle_api::istio as api;
use tulle_base::{Host, Selector};

use super::cx::Cx;
use crate::gateway::{CertificateFiles, Gateway, Pods, Server, ServerHost, ServerTls, ServerTlsMode};
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
        client_certificate: None,
        servers: servers.iter().enumerate().filter_map(|(i, s)| server(cx, i, s)).collect(),
    }
}

fn server(cx: &mut Cx<'_>, index: usize, s: &api::Server) -> Option<Server> {
    let api::Server { port, bind, hosts, tls, default_endpoint: _, name } = s; // the last is said by the reader
    let api::Port { number, protocol, name: port_name, target_port: _ } = port;
    let path = format!("spec.servers[{index}]");
    // A socket of the file system has no port.
    let number =
        if bind.starts_with("unix://") { Some(0) } else { cx.port(*number, &format!("{path}.port.number")) };
    let Some(number) = number else {
        cx.not_applied(true, &path, "it has no port");
        return None;
    };
    let Some(protocol) = Protocol::parse(protocol) else {
        let message = format!("the protocol {protocol:?} is unknown, so the server is left out");
        cx.warn(&format!("{path}.port.protocol"), message, "write HTTP, HTTPS, GRPC, HTTP2, TCP or TLS");
        return None;
    };
    let why = "the server takes no connection: only TCP is forwarded";
    cx.not_applied(protocol == Protocol::Udp, &format!("{path}.port.protocol"), why);
    Some(Server {
        port: number,
        port_name: port_name.clone(),
        protocol,
        hosts: hosts.iter().map(|h| server_host(cx, h)).collect(),
        bind: bind.clone(),
        tls: tls.as_ref().map(server_tls),
        name: name.clone(),
        excluded: Vec::new(),
        meta: None,
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

pub(super) fn server_tls(t: &api::ServerTlsSettings) -> ServerTls {
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
    let version = |v: &Option<api::TlsProtocol>| {
        v.filter(|v| *v != api::TlsProtocol::Auto).map(|v| v.as_str().to_owned()).unwrap_or_default()
    };
    let pair = |certificate: &str, key: &str| CertificateFiles {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
    };
    let mut files: Vec<CertificateFiles> =
        tls_certificates.iter().map(|t| pair(&t.server_certificate, &t.private_key)).collect();
    if files.is_empty() && !server_certificate.is_empty() {
        files.push(pair(server_certificate, private_key));
    }
    let authorities =
        std::iter::once(ca_certificates).chain(tls_certificates.iter().map(|t| &t.ca_certificates));
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
        files,
        ca_credential: ca_cert_credential_name.clone(),
        authorities: String::new(),
        insecure_fallback: false,
        ca_certificates: authorities.into_iter().find(|f| !f.is_empty()).cloned().unwrap_or_default(),
        ca_crl: ca_crl.clone(),
        subject_alt_names: subject_alt_names.clone(),
        key_digests: verify_certificate_spki.clone(),
        certificate_digests: verify_certificate_hash.clone(),
        min_version: version(min_protocol_version),
        max_version: version(max_protocol_version),
        cipher_suites: cipher_suites.clone(),
    }
}
