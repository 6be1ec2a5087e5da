//! Transport sockets and secrets.

use std::sync::Arc;

use tulle_proto::envoy::{core, google, raw_buffer, tls};
use tulle_proto::type_url;

use super::context::{At, Context, UNSUPPORTED};
use super::value::{config_source, data_ref, flag, text, texts};
use super::{digest, matcher};
use crate::runtime::cluster::UpstreamTransport;
use crate::runtime::listener::DownstreamTransport;
use crate::runtime::tls::{
    CertificatePem, CertificateSource, ChainValidation, CipherSuite, DownstreamTls, RootSource, SanKind,
    SanMatcher, Secret, TlsCommon, TlsVersion, TlsVersions, UpstreamTls, Validation,
};

const SUITES: &str =
    "write ECDHE-ECDSA- or ECDHE-RSA-, then AES128-GCM-SHA256, AES256-GCM-SHA384 or CHACHA20-POLY1305";
const SOCKETS: &[&str] = &[
    type_url::DOWNSTREAM_TLS_CONTEXT,
    type_url::UPSTREAM_TLS_CONTEXT,
    type_url::UPSTREAM_PROXY_PROTOCOL,
    type_url::RAW_BUFFER,
];

fn typed<'m>(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &'m core::TransportSocket,
) -> Option<&'m google::Any> {
    use core::transport_socket::ConfigType;
    let core::TransportSocket { name, config_type } = message;
    match config_type {
        Some(ConfigType::TypedConfig(any)) => Some(any),
        None if name == "envoy.transport_sockets.raw_buffer" => None,
        None => {
            cx.refuse(&at.field("typed_config"), "is required");
            None
        }
    }
}

pub(super) fn downstream(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&core::TransportSocket>,
) -> Option<DownstreamTransport> {
    let Some(message) = message else { return Some(DownstreamTransport::Plain) };
    let found = cx.problems();
    let Some(any) = typed(cx, at, message) else {
        return (cx.problems() == found).then_some(DownstreamTransport::Plain);
    };
    let at = at.field("typed_config");
    match any.type_url.as_str() {
        type_url::RAW_BUFFER => {
            cx.unpack(&at, any).map(|raw_buffer::RawBuffer {}| DownstreamTransport::Plain)
        }
        type_url::DOWNSTREAM_TLS_CONTEXT => {
            let context: tls::DownstreamTlsContext = cx.unpack(&at, any)?;
            downstream_tls(cx, &at, &context).map(|tls| DownstreamTransport::Tls(Arc::new(tls)))
        }
        _ => {
            cx.unknown_extension(&at, any, "transport socket", SOCKETS);
            None
        }
    }
}

pub(super) fn upstream(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&core::TransportSocket>,
) -> Option<UpstreamTransport> {
    let Some(message) = message else { return Some(UpstreamTransport::Plain) };
    let found = cx.problems();
    let Some(any) = typed(cx, at, message) else {
        return (cx.problems() == found).then_some(UpstreamTransport::Plain);
    };
    let at = at.field("typed_config");
    match any.type_url.as_str() {
        type_url::RAW_BUFFER => cx.unpack(&at, any).map(|raw_buffer::RawBuffer {}| UpstreamTransport::Plain),
        type_url::UPSTREAM_TLS_CONTEXT => {
            let context: tls::UpstreamTlsContext = cx.unpack(&at, any)?;
            upstream_tls(cx, &at, &context).map(|tls| UpstreamTransport::Tls(Arc::new(tls)))
        }
        _ => {
            cx.unknown_extension(&at, any, "transport socket", SOCKETS);
            None
        }
    }
}

fn downstream_tls(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &tls::DownstreamTlsContext,
) -> Option<DownstreamTls> {
    use tls::downstream_tls_context::SessionTicketKeysType;
    let tls::DownstreamTlsContext {
        common_tls_context,
        require_client_certificate,
        require_sni,
        disable_stateful_session_resumption,
        session_timeout,
        ocsp_staple_policy,
        full_scan_certs_on_sni_mismatch,
        prefer_client_ciphers,
        session_ticket_keys_type,
    } = message;
    no_effect!(cx, at,
        session_timeout: "sessions live as long as the TLS library keeps them",
        full_scan_certs_on_sni_mismatch: "the first certificate is used when none has the server name",
        prefer_client_ciphers: "all suites spoken here are equally strong",
    );
    refuse!(cx, at, ocsp_staple_policy: "OCSP stapling is not supported");
    let stateless_resumption = match session_ticket_keys_type {
        None => true,
        Some(SessionTicketKeysType::DisableStatelessSessionResumption(off)) => !off,
        Some(SessionTicketKeysType::SessionTicketKeys(_)) => {
            cx.refuse(&at.field("session_ticket_keys"), UNSUPPORTED);
            return None;
        }
        Some(SessionTicketKeysType::SessionTicketKeysSdsSecretConfig(_)) => {
            cx.refuse(&at.field("session_ticket_keys_sds_secret_config"), UNSUPPORTED);
            return None;
        }
    };
    let at = at.field("common_tls_context");
    let common = cx.required(&at, common_tls_context.as_ref())?;
    let common = self::common(cx, &at, common)?;
    if common.certificates.is_empty() {
        cx.refuse(&at, "needs a certificate: tls_certificates or tls_certificate_sds_secret_configs");
        return None;
    }
    let require_client_certificate = flag(require_client_certificate.as_ref(), false);
    if require_client_certificate && matches!(common.validation, Validation::None) {
        cx.refuse(&at, "require_client_certificate needs a validation context with trusted_ca");
        return None;
    }
    Some(DownstreamTls {
        common,
        require_client_certificate,
        require_sni: flag(require_sni.as_ref(), false),
        stateless_resumption,
        stateful_resumption: !disable_stateful_session_resumption,
    })
}

fn upstream_tls(cx: &mut Context<'_>, at: &At<'_>, message: &tls::UpstreamTlsContext) -> Option<UpstreamTls> {
    let tls::UpstreamTlsContext {
        common_tls_context,
        sni,
        auto_host_sni,
        auto_sni_san_validation,
        allow_renegotiation,
        max_session_keys,
        enforce_rsa_key_usage,
    } = message;
    refuse!(cx, at, allow_renegotiation: "TLS renegotiation is not supported");
    no_effect!(cx, at, enforce_rsa_key_usage: "key usage is always enforced");
    let at = at.field("common_tls_context");
    let default = tls::CommonTlsContext::default();
    let common = self::common(cx, &at, common_tls_context.as_ref().unwrap_or(&default))?;
    Some(UpstreamTls {
        common,
        sni: text(&sni.to_ascii_lowercase()),
        auto_host_sni: *auto_host_sni,
        auto_sni_san_validation: *auto_sni_san_validation,
        max_session_keys: max_session_keys.as_ref().map_or(1, |v| v.value),
    })
}

fn common(cx: &mut Context<'_>, at: &At<'_>, message: &tls::CommonTlsContext) -> Option<TlsCommon> {
    let tls::CommonTlsContext {
        tls_params,
        tls_certificates,
        tls_certificate_sds_secret_configs,
        tls_certificate_provider_instance,
        custom_tls_certificate_selector,
        tls_certificate_certificate_provider,
        tls_certificate_certificate_provider_instance,
        alpn_protocols,
        custom_handshaker,
        key_log,
        validation_context_type,
    } = message;
    refuse!(cx, at,
        tls_certificate_provider_instance: UNSUPPORTED,
        custom_tls_certificate_selector: UNSUPPORTED,
        tls_certificate_certificate_provider: UNSUPPORTED,
        tls_certificate_certificate_provider_instance: UNSUPPORTED,
        custom_handshaker: UNSUPPORTED,
        key_log: "is not supported: keys never leave the proxy",
    );
    let (versions, cipher_suites) = parameters(cx, &at.field("tls_params"), tls_params.as_ref())?;
    let mut certificates = Vec::new();
    let list_at = at.field("tls_certificates");
    for (i, message) in tls_certificates.iter().enumerate() {
        let pem = certificate(cx, &list_at.index(i), message)?;
        certificates.push(CertificateSource::Inline(Arc::new(pem)));
    }
    let list_at = at.field("tls_certificate_sds_secret_configs");
    for (i, message) in tls_certificate_sds_secret_configs.iter().enumerate() {
        certificates.push(CertificateSource::Secret(sds(cx, &list_at.index(i), message)?));
    }
    let validation = validation_of(cx, at, validation_context_type.as_ref())?;
    if let Some(long) = alpn_protocols.iter().find(|p| p.is_empty() || p.len() > 255) {
        cx.refuse(&at.field("alpn_protocols"), format!("{long:?} must have 1 to 255 bytes"));
    }
    Some(TlsCommon { certificates, validation, alpn: texts(alpn_protocols), versions, cipher_suites })
}

fn sds(cx: &mut Context<'_>, at: &At<'_>, message: &tls::SdsSecretConfig) -> Option<Arc<str>> {
    let tls::SdsSecretConfig { name, sds_config } = message;
    if name.is_empty() {
        cx.refuse(&at.field("name"), "must not be empty");
        return None;
    }
    // Secrets come from the proxy's own identity or the bootstrap, by name, wherever the configuration thinks they do.
    config_source(cx, &at.field("sds_config"), sds_config.as_ref());
    Some(text(name))
}

fn parameters(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&tls::TlsParameters>,
) -> Option<(TlsVersions, Vec<CipherSuite>)> {
    use tls::tls_parameters::TlsProtocol;
    let default = TlsVersions { min: TlsVersion::V12, max: TlsVersion::V13 };
    let Some(tls::TlsParameters {
        tls_minimum_protocol_version,
        tls_maximum_protocol_version,
        cipher_suites,
        ecdh_curves,
        signature_algorithms,
        compliance_policies,
    }) = message
    else {
        return Some((default, Vec::new()));
    };
    no_effect!(cx, at,
        ecdh_curves: "the curves are those of the TLS library: X25519 (with ML-KEM), P-256, P-384",
        signature_algorithms: "the algorithms are those of the TLS library",
    );
    refuse!(cx, at, compliance_policies: UNSUPPORTED);
    let mut version = |name: &str, value: i32, auto: TlsVersion| {
        let at = at.field(name);
        match cx.choice(&at, value)? {
            TlsProtocol::TlsAuto => Some(auto),
            TlsProtocol::TlSv12 => Some(TlsVersion::V12),
            TlsProtocol::TlSv13 => Some(TlsVersion::V13),
            // An old minimum only allows more; the least that is spoken is TLS 1.2.
            TlsProtocol::TlSv10 | TlsProtocol::TlSv11 if name.contains("minimum") => {
                cx.note(&at, "TLS 1.2 is the oldest version that is spoken");
                Some(TlsVersion::V12)
            }
            TlsProtocol::TlSv10 | TlsProtocol::TlSv11 => {
                cx.refuse(&at, "TLS 1.2 is the oldest version that is spoken");
                None
            }
        }
    };
    let min = version("tls_minimum_protocol_version", *tls_minimum_protocol_version, default.min)?;
    let max = version("tls_maximum_protocol_version", *tls_maximum_protocol_version, default.max)?;
    if min > max {
        cx.refuse(at, "the minimum version is above the maximum version");
        return None;
    }
    Some((TlsVersions { min, max }, suites(cx, &at.field("cipher_suites"), cipher_suites)?))
}

/// Suites by OpenSSL's names, also as groups of equal preference (`[A|B]`), as BoringSSL reads them. What is not spoken is left out with
/// a note: an old suite only allows more. A list without any that is spoken is refused.
fn suites(cx: &mut Context<'_>, at: &At<'_>, list: &[String]) -> Option<Vec<CipherSuite>> {
    let mut out = Vec::new();
    let names = list.iter().enumerate().flat_map(|(i, entry)| {
        let group = entry.strip_prefix('[').and_then(|e| e.strip_suffix(']')).unwrap_or(entry);
        group.split('|').map(move |name| (i, name))
    });
    for (i, name) in names {
        let suite = match name {
            "ECDHE-ECDSA-AES128-GCM-SHA256" => CipherSuite::EcdsaAes128,
            "ECDHE-ECDSA-AES256-GCM-SHA384" => CipherSuite::EcdsaAes256,
            "ECDHE-ECDSA-CHACHA20-POLY1305" => CipherSuite::EcdsaChaCha20,
            "ECDHE-RSA-AES128-GCM-SHA256" => CipherSuite::RsaAes128,
            "ECDHE-RSA-AES256-GCM-SHA384" => CipherSuite::RsaAes256,
            "ECDHE-RSA-CHACHA20-POLY1305" => CipherSuite::RsaChaCha20,
            other => {
                cx.note(&at.index(i), format!("{other:?} is not spoken: {SUITES}"));
                continue;
            }
        };
        if !out.contains(&suite) {
            out.push(suite);
        }
    }
    if out.is_empty() && !list.is_empty() {
        cx.refuse(at, format!("none of them is spoken: {SUITES}"));
        return None;
    }
    Some(out)
}

fn certificate(cx: &mut Context<'_>, at: &At<'_>, message: &tls::TlsCertificate) -> Option<CertificatePem> {
    let tls::TlsCertificate {
        certificate_chain,
        private_key,
        pkcs12,
        watched_directory,
        private_key_provider,
        password,
        ocsp_staple,
        signed_certificate_timestamp,
        tls_params,
    } = message;
    refuse!(cx, at,
        pkcs12: "is not supported: use PEM",
        private_key_provider: UNSUPPORTED,
        password: "is not supported: use a key that is not encrypted",
        ocsp_staple: "OCSP stapling is not supported",
        signed_certificate_timestamp: UNSUPPORTED,
        tls_params: UNSUPPORTED,
    );
    no_effect!(cx, at, watched_directory: "files are read again with the configuration only");
    let chain_at = at.field("certificate_chain");
    let chain = cx.required(&chain_at, certificate_chain.as_ref());
    let key_at = at.field("private_key");
    let key = cx.required(&key_at, private_key.as_ref());
    Some(CertificatePem { chain: data_ref(cx, &chain_at, chain?)?, key: data_ref(cx, &key_at, key?)? })
}

fn validation_of(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&tls::common_tls_context::ValidationContextType>,
) -> Option<Validation> {
    use tls::common_tls_context::{CombinedCertificateValidationContext, ValidationContextType as Type};
    match message {
        None => Some(Validation::None),
        Some(Type::ValidationContext(message)) => {
            validation(cx, &at.field("validation_context"), message, None)
        }
        Some(Type::ValidationContextSdsSecretConfig(message)) => {
            let name = sds(cx, &at.field("validation_context_sds_secret_config"), message)?;
            let empty = tls::CertificateValidationContext::default();
            validation(cx, at, &empty, Some(name))
        }
        Some(Type::CombinedValidationContext(message)) => {
            let at = at.field("combined_validation_context");
            let CombinedCertificateValidationContext {
                default_validation_context,
                validation_context_sds_secret_config,
                validation_context_certificate_provider,
                validation_context_certificate_provider_instance,
            } = message;
            refuse!(cx, at,
                validation_context_certificate_provider: UNSUPPORTED,
                validation_context_certificate_provider_instance: UNSUPPORTED,
            );
            let secret_at = at.field("validation_context_sds_secret_config");
            let secret = cx.required(&secret_at, validation_context_sds_secret_config.as_ref())?;
            let name = sds(cx, &secret_at, secret)?;
            let empty = tls::CertificateValidationContext::default();
            let context = default_validation_context.as_ref().unwrap_or(&empty);
            validation(cx, &at.field("default_validation_context"), context, Some(name))
        }
        Some(Type::ValidationContextCertificateProvider(_)) => {
            cx.refuse(&at.field("validation_context_certificate_provider"), UNSUPPORTED);
            None
        }
        Some(Type::ValidationContextCertificateProviderInstance(_)) => {
            cx.refuse(&at.field("validation_context_certificate_provider_instance"), UNSUPPORTED);
            None
        }
    }
}

/// `secret` names where the roots come from; otherwise `trusted_ca` does.
fn validation(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &tls::CertificateValidationContext,
    secret: Option<Arc<str>>,
) -> Option<Validation> {
    use tls::certificate_validation_context::{SystemRootCerts, TrustChainVerification};
    let tls::CertificateValidationContext {
        trusted_ca,
        ca_certificate_provider_instance,
        system_root_certs,
        watched_directory,
        verify_certificate_spki,
        verify_certificate_hash,
        match_typed_subject_alt_names,
        match_subject_alt_names,
        require_signed_certificate_timestamp,
        crl,
        allow_expired_certificate,
        trust_chain_verification,
        custom_validator_config,
        only_verify_leaf_cert_crl,
        max_verify_depth,
        suppress_client_ca_list,
    } = message;
    refuse!(cx, at,
        ca_certificate_provider_instance: UNSUPPORTED,
        require_signed_certificate_timestamp: UNSUPPORTED,
        custom_validator_config: UNSUPPORTED,
    );
    no_effect!(cx, at,
        watched_directory: "files are read again with the configuration only",
        max_verify_depth: "chains are limited by the TLS library",
        suppress_client_ca_list: "names of authorities are a hint to clients only",
    );
    let accept_untrusted =
        match cx.choice(&at.field("trust_chain_verification"), *trust_chain_verification)? {
            TrustChainVerification::VerifyTrustChain => false,
            TrustChainVerification::AcceptUntrusted => true,
        };
    let roots = match (secret, trusted_ca, system_root_certs) {
        (Some(name), _, _) => RootSource::Secret(name),
        (None, Some(ca), _) => RootSource::Inline(data_ref(cx, &at.field("trusted_ca"), ca)?),
        (None, None, Some(SystemRootCerts {})) => RootSource::System,
        (None, None, None) => {
            let asks = !match_typed_subject_alt_names.is_empty() || !match_subject_alt_names.is_empty();
            if asks || !verify_certificate_hash.is_empty() || !verify_certificate_spki.is_empty() {
                cx.refuse(&at.field("trusted_ca"), "is required to check names or hashes");
                return None;
            }
            return Some(Validation::None);
        }
    };
    let mut names = Vec::new();
    let list_at = at.field("match_typed_subject_alt_names");
    for (i, message) in match_typed_subject_alt_names.iter().enumerate() {
        names.push(san(cx, &list_at.index(i), message)?);
    }
    let list_at = at.field("match_subject_alt_names");
    for (i, message) in match_subject_alt_names.iter().enumerate() {
        let value = matcher::string(cx, &list_at.index(i), message)?;
        names.push(SanMatcher { kind: SanKind::Any, value });
    }
    let crl = match crl {
        Some(crl) => Some(data_ref(cx, &at.field("crl"), crl)?),
        None => None,
    };
    let mut digests = |name: &str, texts: &[String], read: fn(&str) -> Option<[u8; 32]>, form: &str| {
        let at = at.field(name);
        let one = |(i, text): (usize, &String)| {
            let digest = read(text);
            if digest.is_none() {
                cx.refuse(&at.index(i), format!("{text:?} is not a SHA-256 digest {form}"));
            }
            digest
        };
        texts.iter().enumerate().map(one).collect::<Option<Vec<_>>>()
    };
    let certificate_hashes = digests(
        "verify_certificate_hash",
        verify_certificate_hash,
        digest::hex,
        "of 64 hexadecimal digits, with or without colons",
    )?;
    let spki_hashes = digests(
        "verify_certificate_spki",
        verify_certificate_spki,
        digest::base64,
        "in base64 (44 characters)",
    )?;
    Some(Validation::Chain(ChainValidation {
        roots,
        subject_alt_names: names,
        certificate_hashes,
        spki_hashes,
        allow_expired: *allow_expired_certificate,
        accept_untrusted,
        crl,
        crl_leaf_only: *only_verify_leaf_cert_crl,
    }))
}

fn san(cx: &mut Context<'_>, at: &At<'_>, message: &tls::SubjectAltNameMatcher) -> Option<SanMatcher> {
    use tls::subject_alt_name_matcher::SanType;
    let tls::SubjectAltNameMatcher { san_type, matcher, oid } = message;
    refuse!(cx, at, oid: UNSUPPORTED);
    let kind = match cx.choice(&at.field("san_type"), *san_type)? {
        SanType::Dns => SanKind::Dns,
        SanType::Uri => SanKind::Uri,
        SanType::Email => SanKind::Email,
        SanType::IpAddress => SanKind::Ip,
        SanType::Unspecified => {
            cx.refuse(&at.field("san_type"), "is required");
            return None;
        }
        SanType::OtherName => {
            cx.refuse(&at.field("san_type"), "OTHER_NAME is not supported");
            return None;
        }
    };
    let at = at.field("matcher");
    let matcher = cx.required(&at, matcher.as_ref())?;
    Some(SanMatcher { kind, value: matcher::string(cx, &at, matcher)? })
}

/// A secret with its name.
pub(super) fn secret(cx: &mut Context<'_>, at: &At<'_>, message: &tls::Secret) -> Option<(Arc<str>, Secret)> {
    use tls::secret::Type;
    let tls::Secret { name, r#type } = message;
    let secret = match r#type {
        Some(Type::TlsCertificate(message)) => certificate(cx, &at.field("tls_certificate"), message)
            .map(|pem| Secret::Certificate(Arc::new(pem))),
        Some(Type::ValidationContext(message)) => {
            validation(cx, &at.field("validation_context"), message, None).map(Secret::Validation)
        }
        Some(Type::SessionTicketKeys(_)) => {
            cx.refuse(&at.field("session_ticket_keys"), UNSUPPORTED);
            None
        }
        Some(Type::GenericSecret(_)) => {
            cx.refuse(&at.field("generic_secret"), UNSUPPORTED);
            None
        }
        None => {
            cx.refuse(at, "needs tls_certificate or validation_context");
            None
        }
    };
    Some((text(name), secret?))
}
