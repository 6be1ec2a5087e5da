//! Rules about `Gateway`.

use std::collections::HashSet;

use super::common::{self, PortProtocol, protocol};
use super::names;
use super::rules::Rules;
use crate::istio::{Gateway, Port, Server, ServerTlsMode, ServerTlsSettings, TlsCertificate, TlsProtocol};
use crate::meta::ObjectMeta;
use crate::schema::At;

/// Cipher suites by OpenSSL's names, as BoringSSL has them without pre-shared keys.
const CIPHER_SUITES: [&str; 15] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
    "DES-CBC3-SHA",
];

/// Checks a Gateway.
pub(super) fn check(given: &Gateway, _: &ObjectMeta, at: &At<'_>, rules: &mut Rules) {
    let Gateway { servers, selector } = given;
    let list = at.field("servers");
    if servers.is_empty() {
        rules.error(&list, "must have an entry", "give a server with port and hosts");
    }
    let (mut ports, mut server_names) = (HashSet::new(), HashSet::new());
    for (i, server) in servers.iter().enumerate() {
        let here = list.index(i);
        if !ports.insert(&server.port.name) {
            let message = format!("there are two ports named {:?}", server.port.name);
            rules.error(&here.field("port").field("name"), message, "rename one");
        }
        if !server.name.is_empty() && !server_names.insert(&server.name) {
            rules.error(
                &here.field("name"),
                format!("there are two servers named {:?}", server.name),
                "rename one",
            );
        }
        check_server(server, &here, rules);
    }
    common::labels(selector, &at.field("selector"), rules);
}

fn check_server(server: &Server, at: &At<'_>, rules: &mut Rules) {
    let Server { port, bind, hosts, tls, default_endpoint: _, name: _ } = server;
    let here = at.field("hosts");
    if hosts.is_empty() {
        rules.error(&here, "must have an entry", "write \"*\" for every host");
    }
    for (i, host) in hosts.iter().enumerate() {
        check_host(host, &here.index(i), rules);
    }
    check_port(port, bind, at, rules);
    let plain = protocol(&port.protocol);
    match (tls, plain) {
        (None, Some(PortProtocol::Tls)) => {
            rules.error(
                &at.field("tls"),
                format!("is required for {}", port.protocol),
                "give tls with a mode",
            );
        }
        (Some(tls), Some(PortProtocol::Http)) => plain_http(tls, &at.field("tls"), rules),
        (Some(_), Some(PortProtocol::Tcp)) => {
            rules.error(&at.field("tls"), format!("a {} port has no TLS", port.protocol), "use protocol TLS");
        }
        _ => {}
    }
    if let Some(tls) = tls {
        check_tls(tls, &at.field("tls"), rules);
        if tls.https_redirect == Some(true) && plain.is_some_and(|p| p != PortProtocol::Http) {
            rules.warn(
                &at.field("tls").field("httpsRedirect"),
                "is for HTTP ports only",
                "put it on the HTTP server",
            );
        }
    }
}

/// A plain HTTP port may only redirect to HTTPS.
fn plain_http(tls: &ServerTlsSettings, at: &At<'_>, rules: &mut Rules) {
    let passes = matches!(tls.mode, None | Some(ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough));
    let bare =
        tls.ca_certificates.is_empty() && tls.private_key.is_empty() && tls.server_certificate.is_empty();
    if !(passes && bare) {
        rules.error(at, "an HTTP port has no TLS, except httpsRedirect", "use protocol HTTPS");
    }
}

fn check_port(port: &Port, bind: &str, at: &At<'_>, rules: &mut Rules) {
    let Port { number, protocol: name, name: port_name, target_port: _ } = port;
    let here = at.field("port");
    let unix = bind.strip_prefix("unix://");
    match (unix, number.unwrap_or(0)) {
        (Some(path), 0) => rules.check(&at.field("bind"), names::unix_path(path)),
        (Some(path), _) => {
            rules.check(&at.field("bind"), names::unix_path(path));
            rules.error(&here.field("number"), "a socket of the file system has no port", "write 0");
        }
        (None, number) => {
            rules.check(&here.field("number"), names::port(number.into()));
            if !bind.is_empty() {
                rules.check(&at.field("bind"), names::ip(bind));
            }
        }
    }
    if name.is_empty() {
        rules.error(&here.field("protocol"), "is required", "write HTTP, HTTPS, TLS, TCP, GRPC or HTTP2");
    } else if protocol(name).is_none() {
        common::unknown_protocol(name, &here.field("protocol"), rules);
    }
    if port_name.is_empty() {
        rules.error(
            &here.field("name"),
            "is required",
            "give the port a name that is unique in this Gateway",
        );
    }
}

/// A host of a server: `[NAMESPACE/]NAME`, with wildcard, a full name.
fn check_host(host: &str, at: &At<'_>, rules: &mut Rules) {
    let (namespace, name) = host.split_once('/').map_or((None, host), |(n, h)| (Some(n), h));
    if let Some(namespace) = namespace.filter(|n| !matches!(*n, "*" | ".")) {
        rules.check(at, names::dns_label(namespace));
    }
    if names::is_ip(name) {
        return;
    }
    rules.check(at, names::whole_wildcard_domain(name));
    if name != "*" && !name.contains('.') {
        rules.error(
            at,
            format!("{name:?} is a short name, which clients outside do not use"),
            "write the full name",
        );
    }
}

/// Checks the TLS of a server.
pub(super) fn check_tls(tls: &ServerTlsSettings, at: &At<'_>, rules: &mut Rules) {
    let certificates = [
        ("serverCertificate", !tls.server_certificate.is_empty()),
        ("privateKey", !tls.private_key.is_empty()),
        ("caCertificates", !tls.ca_certificates.is_empty()),
        ("tlsCertificates", !tls.tls_certificates.is_empty()),
        ("credentialName", !tls.credential_name.is_empty()),
        ("credentialNames", !tls.credential_names.is_empty()),
    ];
    if let (Some(low), Some(high)) = (tls.min_protocol_version, tls.max_protocol_version)
        && low != TlsProtocol::Auto
        && high != TlsProtocol::Auto
        && low > high
    {
        let message = format!("{} is above maxProtocolVersion {}", low.as_str(), high.as_str());
        rules.error(&at.field("minProtocolVersion"), message, "");
    }
    check_ciphers(tls, at, rules);
    match tls.mode {
        Some(ServerTlsMode::IstioMutual) => {
            for (field, _) in certificates.iter().filter(|(_, set)| *set) {
                rules.error(&at.field(field), "ISTIO_MUTUAL uses the mesh's certificates", "remove it");
            }
        }
        None | Some(ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough) => {
            let list = [("caCrl", !tls.ca_crl.is_empty())];
            for (field, _) in certificates.iter().chain(&list).filter(|(_, set)| *set) {
                rules.warn(
                    &at.field(field),
                    "has no effect: TLS is passed through",
                    "give mode: SIMPLE or MUTUAL",
                );
            }
        }
        Some(ServerTlsMode::Simple) => terminated(tls, false, at, rules),
        Some(ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual) => terminated(tls, true, at, rules),
    }
}

/// Cipher suites that are not known, or named twice, are left out; the old versions of TLS need some of their own.
fn check_ciphers(tls: &ServerTlsSettings, at: &At<'_>, rules: &mut Rules) {
    let old = matches!(tls.min_protocol_version, Some(TlsProtocol::V1_0 | TlsProtocol::V1_1));
    if old && tls.cipher_suites.is_empty() {
        let message = "versions below TLSV1_2 need cipher suites that are no longer on by default";
        rules.warn(&at.field("minProtocolVersion"), message, "name them in cipherSuites");
    }
    let mut seen = HashSet::new();
    let list = at.field("cipherSuites");
    for (i, suite) in tls.cipher_suites.iter().enumerate() {
        // OpenSSL's expressions (`ALL`, `-RSA`, `[A|B]`) are taken as they are.
        let expression = suite.is_empty() || suite == "ALL" || !suite.starts_with(char::is_alphanumeric);
        if !expression && !CIPHER_SUITES.contains(&suite.as_str()) {
            let near = tulle_base::nearest::nearest(suite, CIPHER_SUITES);
            let fix = near.map_or_else(|| "remove it".to_owned(), |n| format!("did you mean {n}?"));
            rules.warn(&list.index(i), format!("{suite:?} is not a known cipher suite and is left out"), fix);
        } else if !seen.insert(suite) {
            rules.warn(&list.index(i), format!("{suite:?} is given twice"), "keep one");
        }
    }
}

fn terminated(tls: &ServerTlsSettings, mutual: bool, at: &At<'_>, rules: &mut Rules) {
    let files = !tls.server_certificate.is_empty() && !tls.private_key.is_empty();
    rules.exclusive(
        at,
        &[
            ("serverCertificate", files),
            ("credentialName", !tls.credential_name.is_empty()),
            ("credentialNames", !tls.credential_names.is_empty()),
            ("tlsCertificates", !tls.tls_certificates.is_empty()),
        ],
    );
    if !tls.ca_crl.is_empty() && (!tls.credential_name.is_empty() || !mutual) {
        rules.error(&at.field("caCrl"), "is for MUTUAL with files only", "put the list into the secret");
    }
    for (field, count) in
        [("credentialNames", tls.credential_names.len()), ("tlsCertificates", tls.tls_certificates.len())]
    {
        if count > 2 {
            rules.error(&at.field(field), format!("has at most 2 entries, not {count}"), "");
        }
    }
    if !tls.credential_name.is_empty() || !tls.credential_names.is_empty() {
        return;
    }
    let authorities = !tls.ca_certificates.is_empty()
        || !tls.ca_cert_credential_name.is_empty()
        || tls.tls_certificates.iter().any(|c| !c.ca_certificates.is_empty());
    if mutual && !authorities {
        rules.error(
            &at.field("caCertificates"),
            "is required to check clients",
            "give it, caCertCredentialName or credentialName",
        );
    }
    let pair = |certificate: &str, key: &str, at: &At<'_>, rules: &mut Rules| {
        for (field, text) in [("serverCertificate", certificate), ("privateKey", key)] {
            if text.is_empty() {
                rules.error(&at.field(field), "is required", "give it, or credentialName");
            }
        }
    };
    if tls.tls_certificates.is_empty() {
        pair(&tls.server_certificate, &tls.private_key, at, rules);
    }
    for (i, TlsCertificate { server_certificate, private_key, ca_certificates: _ }) in
        tls.tls_certificates.iter().enumerate()
    {
        pair(server_certificate, private_key, &at.field("tlsCertificates").index(i), rules);
    }
}
