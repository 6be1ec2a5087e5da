//! TLS contexts, toward endpoints and toward clients.

use tulle_mesh::config::MeshConfig;
use tulle_mesh::destination::{ClientTls, ProxyProtocol};
use tulle_proto::envoy::core::{DataSource, TransportSocket, data_source, transport_socket};
use tulle_proto::envoy::raw_buffer::RawBuffer;
use tulle_proto::envoy::tls::certificate_validation_context::TrustChainVerification;
use tulle_proto::envoy::tls::{
    CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, TlsCertificate,
    TlsParameters, UpstreamTlsContext,
    common_tls_context::{self, ValidationContextType},
    tls_parameters,
};
use tulle_proto::envoy::upstream_proxy_protocol::ProxyProtocolUpstreamTransport;

use crate::pb::{ads, boolv, exact, inline, matcher, pack, sds};

/// Name of the workload's own certificate, answered inside the proxy.
const OWN_CERTIFICATE: &str = "default";
/// Name of the trust bundle, answered inside the proxy.
const TRUST_BUNDLE: &str = "ROOTCA";

/// The ALPN lists of the mesh.
pub(crate) mod alpn {
    /// What sidecars send for HTTP, which picks the HTTP chains of the other side.
    pub(crate) const MTLS_HTTP: &[&str] = &["istio-http/1.0", "istio-http/1.1", "istio-h2"];
    /// HTTP/1.1 messages in HTTP/2 frames, between our own proxies.
    pub(crate) const OURS: &str = "tulle-h1";
    /// What sidecars send for TCP. (`istio-peer-exchange`, which asks for an exchange of metadata first, is only accepted.)
    pub(crate) const MTLS_TCP: &[&str] = &["istio"];
    /// Everything by which mutual TLS of the mesh is told.
    pub(crate) fn all_mtls() -> Vec<String> {
        let all = ["istio-peer-exchange", "istio"].iter().chain(MTLS_HTTP);
        all.chain([&OURS]).map(|s| (*s).to_owned()).collect()
    }

    /// What the HTTP inspector finds.
    pub(crate) const PLAIN_HTTP: &[&str] = &["http/1.0", "http/1.1", "h2c"];
}

/// Owned texts from constants.
pub(crate) fn strings(all: &[&str]) -> Vec<String> {
    all.iter().map(|s| (*s).to_owned()).collect()
}

/// Mutual TLS with the mesh's identities toward endpoints that may show one of `identities` (none: any of the mesh).
pub(crate) fn mesh_upstream(sni: &str, identities: &[String], alpn: Vec<String>) -> TransportSocket {
    let validation = CertificateValidationContext {
        #[allow(deprecated, reason = "the field that Istio writes, and that every Envoy reads")]
        match_subject_alt_names: identities.iter().map(exact).collect(),
        ..CertificateValidationContext::default()
    };
    let common = CommonTlsContext {
        tls_params: Some(versions("", "TLSV1_3")),
        tls_certificate_sds_secret_configs: vec![secret(OWN_CERTIFICATE)],
        alpn_protocols: alpn,
        validation_context_type: Some(combined(validation)),
        ..CommonTlsContext::default()
    };
    upstream(UpstreamTlsContext {
        common_tls_context: Some(common),
        sni: sni.to_owned(),
        ..UpstreamTlsContext::default()
    })
}

/// TLS toward a host as its destination rule says: SIMPLE, or with `mutual` MUTUAL from files.
pub(crate) fn user_upstream(
    mesh: &MeshConfig,
    tls: &ClientTls,
    names: &[String],
    mutual: bool,
    alpn: Vec<String>,
) -> TransportSocket {
    let own = Some(&tls.client_credential).filter(|c| !c.is_empty());
    let mut common = CommonTlsContext {
        tls_certificate_sds_secret_configs: own.iter().map(|c| secret(c)).collect(),
        tls_params: Some(TlsParameters {
            cipher_suites: mesh.tls_defaults.cipher_suites.clone(),
            ecdh_curves: mesh.tls_defaults.curves.clone(),
            ..versions("", "TLSV1_3")
        }),
        alpn_protocols: alpn,
        ..CommonTlsContext::default()
    };
    let validation = CertificateValidationContext {
        #[allow(deprecated, reason = "the field that Istio writes, and that every Envoy reads")]
        match_subject_alt_names: names.iter().map(exact).collect(),
        ..CertificateValidationContext::default()
    };
    if !tls.credential_name.is_empty() {
        let name = format!("kubernetes://{}", tls.credential_name);
        if mutual {
            common.tls_certificate_sds_secret_configs = vec![secret(&name)];
        }
        common.validation_context_type = Some(combined_with(validation, &format!("{name}-cacert")));
    } else {
        if mutual {
            common.tls_certificates = vec![files(&tls.client_certificate, &tls.private_key)];
        }
        let named = !tls.ca_certificates.is_empty() || !tls.authorities.is_empty();
        if !tls.insecure_skip_verify && (named || mesh.verify_certificate_at_client) {
            let validation = CertificateValidationContext { crl: list(&tls.ca_crl), ..validation };
            let ca = if tls.ca_certificates.is_empty() {
                "/etc/ssl/certs/ca-certificates.crt"
            } else {
                tls.ca_certificates.as_str()
            };
            let ca = if tls.authorities.is_empty() { file(ca) } else { inline(tls.authorities.as_str()) };
            common.validation_context_type =
                Some(ValidationContextType::ValidationContext(CertificateValidationContext {
                    trusted_ca: Some(ca),
                    ..validation
                }));
        }
    }
    upstream(UpstreamTlsContext {
        common_tls_context: Some(common),
        sni: tls.sni.clone(),
        ..UpstreamTlsContext::default()
    })
}

/// Mutual TLS of the mesh toward clients: a certificate of the trust domain is demanded.
pub(crate) fn mesh_downstream(mesh: &MeshConfig, alpn: Vec<String>) -> TransportSocket {
    use tulle_proto::envoy::matcher::string_matcher::MatchPattern;
    let aliases = mesh.trust_domain_aliases.iter().filter(|alias| **alias != mesh.trust_domain);
    let domains = std::iter::once(&mesh.trust_domain).chain(aliases);
    let prefixes = domains.map(|d| format!("spiffe://{d}/"));
    let validation = CertificateValidationContext {
        #[allow(deprecated, reason = "the field that Istio writes, and that every Envoy reads")]
        match_subject_alt_names: prefixes.map(|p| matcher(MatchPattern::Prefix(p))).collect(),
        ..CertificateValidationContext::default()
    };
    let common = CommonTlsContext {
        tls_params: Some(TlsParameters {
            cipher_suites: mesh.mesh_mtls.cipher_suites.clone(),
            ..versions(if mesh.mesh_mtls.only_1_3 { "TLSV1_3" } else { "TLSV1_2" }, "TLSV1_3")
        }),
        tls_certificate_sds_secret_configs: vec![secret(OWN_CERTIFICATE)],
        alpn_protocols: alpn,
        validation_context_type: Some(combined(validation)),
        ..CommonTlsContext::default()
    };
    downstream(common, true)
}

/// TLS of a gateway's server.
pub(crate) fn server(tls: &tulle_mesh::gateway::ServerTls, alpn: Vec<String>) -> TransportSocket {
    use tulle_mesh::gateway::ServerTlsMode;
    let mut params = versions(
        if tls.min_version.is_empty() { "TLSV1_2" } else { &tls.min_version },
        if tls.max_version.is_empty() { "TLSV1_3" } else { &tls.max_version },
    );
    params.cipher_suites.clone_from(&tls.cipher_suites);
    let mut common =
        CommonTlsContext { tls_params: Some(params), alpn_protocols: alpn, ..CommonTlsContext::default() };
    let asks = matches!(tls.mode, ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual);
    let validation = CertificateValidationContext {
        #[allow(deprecated, reason = "the field that Istio writes, and that every Envoy reads")]
        match_subject_alt_names: tls.subject_alt_names.iter().map(exact).collect(),
        verify_certificate_spki: tls.key_digests.clone(),
        verify_certificate_hash: tls.certificate_digests.clone(),
        crl: list(&tls.ca_crl),
        trust_chain_verification: match tls.insecure_fallback {
            true => TrustChainVerification::AcceptUntrusted as i32,
            false => TrustChainVerification::VerifyTrustChain as i32,
        },
        ..CertificateValidationContext::default()
    };
    if tls.mode == ServerTlsMode::IstioMutual {
        common.tls_certificate_sds_secret_configs = vec![secret(OWN_CERTIFICATE)];
        common.validation_context_type = Some(combined(validation));
        return downstream(common, true);
    }
    let authorities = Some(&tls.authorities).filter(|pem| asks && !pem.is_empty());
    let given = authorities.map(|pem| {
        ValidationContextType::ValidationContext(CertificateValidationContext {
            trusted_ca: Some(inline(pem.as_str())),
            ..validation.clone()
        })
    });
    if tls.credentials.is_empty() {
        common.tls_certificates = tls.files.iter().map(|f| files(&f.certificate, &f.key)).collect();
        if asks && !tls.ca_credential.is_empty() {
            common.validation_context_type = Some(combined_with(validation, &roots_of(&tls.ca_credential)));
        } else if asks {
            common.validation_context_type =
                Some(ValidationContextType::ValidationContext(CertificateValidationContext {
                    trusted_ca: Some(file(&tls.ca_certificates)),
                    ..validation
                }));
        }
    } else {
        let names = tls.credentials.iter().map(|c| credential(c));
        common.tls_certificate_sds_secret_configs = names.map(|n| secret(&n)).collect();
        if asks {
            let ca = if tls.ca_credential.is_empty() { &tls.credentials[0] } else { &tls.ca_credential };
            common.validation_context_type = Some(combined_with(validation, &roots_of(ca)));
        }
    }
    common.validation_context_type = given.or(common.validation_context_type);
    downstream(common, tls.mode == ServerTlsMode::Mutual)
}

/// The name of a Secret: of the gateway's own namespace, unless it says which.
fn credential(name: &str) -> String {
    if name.contains("://") { name.to_owned() } else { format!("kubernetes://{name}") }
}

/// No TLS.
pub(crate) fn raw_buffer() -> TransportSocket {
    TransportSocket {
        name: "envoy.transport_sockets.raw_buffer".into(),
        config_type: Some(transport_socket::ConfigType::TypedConfig(pack(&RawBuffer {}))),
    }
}

/// The PROXY protocol, then what `inner` says (nothing: as it is).
pub(crate) fn proxy_protocol(version: ProxyProtocol, inner: Option<TransportSocket>) -> TransportSocket {
    use tulle_proto::envoy::core::{ProxyProtocolConfig, proxy_protocol_config::Version};
    let version = match version {
        ProxyProtocol::V1 => Version::V1,
        ProxyProtocol::V2 => Version::V2,
    };
    let socket = ProxyProtocolUpstreamTransport {
        config: Some(ProxyProtocolConfig { version: version as i32, ..ProxyProtocolConfig::default() }),
        transport_socket: Some(inner.unwrap_or_else(raw_buffer)),
        ..ProxyProtocolUpstreamTransport::default()
    };
    TransportSocket {
        name: "envoy.transport_sockets.upstream_proxy_protocol".into(),
        config_type: Some(transport_socket::ConfigType::TypedConfig(pack(&socket))),
    }
}

fn upstream(context: UpstreamTlsContext) -> TransportSocket {
    TransportSocket {
        name: "envoy.transport_sockets.tls".into(),
        config_type: Some(transport_socket::ConfigType::TypedConfig(pack(&context))),
    }
}

fn downstream(common: CommonTlsContext, demands_certificate: bool) -> TransportSocket {
    let context = DownstreamTlsContext {
        common_tls_context: Some(common),
        require_client_certificate: boolv(demands_certificate),
        ..DownstreamTlsContext::default()
    };
    TransportSocket {
        name: "envoy.transport_sockets.tls".into(),
        config_type: Some(transport_socket::ConfigType::TypedConfig(pack(&context))),
    }
}

fn combined(validation: CertificateValidationContext) -> ValidationContextType {
    combined_with(validation, TRUST_BUNDLE)
}

fn combined_with(validation: CertificateValidationContext, bundle: &str) -> ValidationContextType {
    ValidationContextType::CombinedValidationContext(
        common_tls_context::CombinedCertificateValidationContext {
            default_validation_context: Some(validation),
            validation_context_sds_secret_config: Some(secret(bundle)),
            ..Default::default()
        },
    )
}

/// The workload's own secrets come from beside the proxy, as Istio's do (our own proxy answers them by itself); the others from
/// the control plane.
fn secret(name: &str) -> SdsSecretConfig {
    let source = if matches!(name, OWN_CERTIFICATE | TRUST_BUNDLE) { sds() } else { ads() };
    SdsSecretConfig { name: name.to_owned(), sds_config: Some(source) }
}

fn files(certificate: &str, key: &str) -> TlsCertificate {
    TlsCertificate {
        certificate_chain: Some(file(certificate)),
        private_key: Some(file(key)),
        ..TlsCertificate::default()
    }
}

/// The SDS name of a secret's authorities.
fn roots_of(name: &str) -> String {
    let suffix = if name.ends_with("-cacert") { "" } else { "-cacert" };
    format!("{}{suffix}", credential(name))
}

fn list(path: &str) -> Option<DataSource> {
    (!path.is_empty()).then(|| file(path))
}

fn file(path: &str) -> DataSource {
    DataSource { specifier: Some(data_source::Specifier::Filename(path.to_owned())), ..DataSource::default() }
}

fn versions(least: &str, greatest: &str) -> TlsParameters {
    let version = |name: &str| match name {
        "TLSV1_0" => tls_parameters::TlsProtocol::TlSv10,
        "TLSV1_1" => tls_parameters::TlsProtocol::TlSv11,
        "TLSV1_2" | "" => tls_parameters::TlsProtocol::TlSv12,
        "TLSV1_3" => tls_parameters::TlsProtocol::TlSv13,
        _ => tls_parameters::TlsProtocol::TlsAuto,
    };
    TlsParameters {
        tls_minimum_protocol_version: version(least) as i32,
        tls_maximum_protocol_version: version(greatest) as i32,
        ..TlsParameters::default()
    }
}
