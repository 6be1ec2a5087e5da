//! Settings of the mesh: the ConfigMap `istio` and IstioOperators.

use tulle_api::Object;
use tulle_api::kubernetes::ConfigMap;
use tulle_api::mesh as api;
use tulle_api::value::WrittenDuration;
use tulle_base::Severity;

use super::cx::Cx;
use super::destination_rule::{keepalive, locality, outlier, pool};
use super::provider::provider;
use super::virtual_service::retry;
use crate::config::{
    AccessLogEncoding, AnchorSource, ClientCert, GatewayTopology, InboundPolicy, MeshConfig, OutboundPolicy,
    PathNormalization, TlsBounds, TrustAnchors,
};
use crate::headers::{CertParts, ProxyHeaders, Server};
use crate::ingress::IngressMode;
use crate::proxies::{ConnectionSettings, EscapedSlashes, ProxySettings, Underscores};
use crate::settings::Settings;

/// Name of the ConfigMap.
const NAME: &str = "istio";
/// What is said of a document that is refused.
const KEPT: &str = "; the settings that were in force before stay";

/// Whether a ConfigMap says the mesh's settings.
pub(super) fn is_of_the_mesh(object: &Object, mesh: &MeshConfig) -> bool {
    object.meta.name == NAME && object.meta.namespace == mesh.root_namespace
}

/// The settings of the ConfigMap; `None` if something is wrong with them, or nothing is there.
pub(super) fn of_config_map(cx: &mut Cx<'_>, object: &Object, given: &ConfigMap) -> Option<Settings> {
    let problems = tulle_api::validate(object);
    let mut wrong = problems.into_iter().filter(|p| p.severity == Severity::Error).peekable();
    if wrong.peek().is_some() {
        for problem in wrong {
            let message = format!("{}{KEPT}", problem.message);
            cx.notes.push(tulle_base::Diagnostic {
                message,
                resource: Some(cx.meta.resource.clone()),
                ..problem
            });
        }
        return None;
    }
    let api::Settings { mesh, networks } = api::read_config_map(given).0;
    Some(Settings { networks, ..settings(cx, mesh.unwrap_or_default()) })
}

/// The settings of an IstioOperator; the rest of it is for installations, and says so by its listing.
pub(super) fn of_operator(cx: &mut Cx<'_>, given: &api::IstioOperator) -> Settings {
    settings(cx, given.mesh_config.clone().unwrap_or_default())
}

fn ingress_mode(written: api::IngressControllerMode) -> Option<IngressMode> {
    match written {
        api::IngressControllerMode::Unspecified => None,
        api::IngressControllerMode::Off => Some(IngressMode::Off),
        api::IngressControllerMode::Default => Some(IngressMode::Default),
        api::IngressControllerMode::Strict => Some(IngressMode::Strict),
    }
}

fn settings(cx: &mut Cx<'_>, written: api::MeshConfig) -> Settings {
    Settings { meta: cx.meta.clone(), written, networks: None }
}

/// Puts what is written over what is in force. Fields that are taken apart as `_` have no effect, or none yet; their listing says
/// so, with the reason.
pub(crate) fn put_in_force(out: &mut MeshConfig, written: &api::MeshConfig) {
    let api::MeshConfig {
        proxy_listen_port: _,
        proxy_inbound_listen_port: _,
        proxy_http_port: _,
        connect_timeout,
        hbone_idle_timeout: _,
        protocol_detection_timeout,
        tcp_keepalive,
        ingress_class,
        ingress_service,
        ingress_controller_mode,
        ingress_selector,
        enable_tracing,
        access_log_file,
        access_log_format,
        access_log_encoding,
        enable_envoy_access_log_service,
        disable_envoy_listener_log,
        default_config,
        outbound_traffic_policy,
        inbound_traffic_policy,
        config_sources: _,
        enable_auto_mtls,
        trust_domain: _,
        trust_domain_aliases,
        ca_certificates,
        default_service_export_to,
        default_virtual_service_export_to,
        default_destination_rule_export_to,
        root_namespace: _,
        locality_lb_setting,
        zone_aware_lb_setting: _,
        dns_refresh_rate,
        h2_upgrade_policy,
        inbound_cluster_stat_name,
        outbound_cluster_stat_name,
        certificates: _,
        service_settings: _,
        service_scope_configs: _,
        enable_prometheus_merge: _,
        verify_certificate_at_client,
        ca: _,
        extension_providers,
        default_providers,
        discovery_selectors,
        path_normalization,
        default_http_retry_policy,
        mesh_mtls,
        tls_defaults,
        default_traffic_policy,
        service_entry_visibility: _,
    } = written;
    if let Some(written) = default_config {
        let Proxies { topology, settings } = proxies(written);
        out.topology = topology.or(out.topology);
        out.proxies = settings.or(&out.proxies);
    }
    if !discovery_selectors.is_empty() {
        out.discovery.clone_from(discovery_selectors);
    }
    set(&mut out.connect_timeout, connect_timeout.as_ref().map(WrittenDuration::get));
    set(&mut out.protocol_detection_timeout, protocol_detection_timeout.as_ref().map(WrittenDuration::get));
    set(&mut out.dns_refresh_rate, dns_refresh_rate.as_ref().map(WrittenDuration::get));
    set(&mut out.tcp_keepalive, tcp_keepalive.as_ref().map(|k| Some(keepalive(k))));
    set(&mut out.access_log_file, access_log_file.clone());
    set(&mut out.access_log_format, text(access_log_format));
    set(&mut out.access_log_encoding, access_log_encoding.map(encoding));
    set(&mut out.listener_log, disable_envoy_listener_log.map(|off| !off));
    set(&mut out.outbound, outbound_traffic_policy.as_ref().map(outbound));
    set(&mut out.inbound, inbound_traffic_policy.as_ref().map(inbound));
    set(&mut out.auto_mtls, *enable_auto_mtls);
    set(&mut out.enable_tracing, *enable_tracing);
    set(&mut out.log_service, *enable_envoy_access_log_service);
    if let Some(api::DefaultProviders { tracing, metrics: _, access_logging }) = default_providers {
        set(&mut out.default_tracing, list(tracing));
        set(&mut out.default_logging, list(access_logging));
    }
    set(&mut out.ingress_class, text(ingress_class));
    set(&mut out.ingress_service, text(ingress_service));
    set(&mut out.ingress_selector, text(ingress_selector));
    set(&mut out.ingress_mode, ingress_controller_mode.and_then(ingress_mode));
    for alias in trust_domain_aliases {
        if !out.trust_domain_aliases.contains(alias) {
            out.trust_domain_aliases.push(alias.clone());
        }
    }
    for written in ca_certificates {
        let anchors = anchors(written);
        out.anchors.extend(anchors.filter(|a| !out.anchors.contains(a)));
    }
    set(&mut out.service_export_to, list(default_service_export_to));
    set(&mut out.routes_export_to, list(default_virtual_service_export_to));
    set(&mut out.destination_export_to, list(default_destination_rule_export_to));
    set(&mut out.locality, locality_lb_setting.as_ref().map(locality));
    set(&mut out.h2_upgrade, h2_upgrade_policy.map(|p| p == api::MeshH2UpgradePolicy::Upgrade));
    set(&mut out.inbound_stat_name, text(inbound_cluster_stat_name));
    set(&mut out.outbound_stat_name, text(outbound_cluster_stat_name));
    set(&mut out.verify_certificate_at_client, *verify_certificate_at_client);
    set(&mut out.path_normalization, path_normalization.as_ref().and_then(normalization));
    set(&mut out.default_retries, default_http_retry_policy.as_ref().map(|r| Some(retry(r))));
    set(&mut out.mesh_mtls, mesh_mtls.as_ref().map(bounds));
    set(&mut out.tls_defaults, tls_defaults.as_ref().map(bounds));
    if let Some(api::DefaultTrafficPolicy { connection_pool, outlier_detection }) = default_traffic_policy {
        set(&mut out.connection_pool, connection_pool.as_ref().map(|p| Some(pool(p))));
        set(&mut out.outlier, outlier_detection.as_ref().map(|o| Some(outlier(o))));
    }
    if let Some(api::DefaultProviders { tracing: _, metrics, access_logging: _ }) = default_providers {
        set(&mut out.default_metrics, list(metrics));
    }
    for written in extension_providers {
        if let Some(provider) = provider(written, &out.domain) {
            out.providers.retain(|p| p.name != provider.name);
            out.providers.push(provider);
        }
    }
}

/// Settings of proxies that are the control plane's to apply.
#[derive(Default)]
pub(super) struct Proxies {
    pub(super) topology: GatewayTopology,
    pub(super) settings: ProxySettings,
}

/// What the annotation of a pod says of its proxy.
pub(super) fn of_pod(cx: &mut Cx<'_>, object: &Object) -> Proxies {
    let Some(text) = object.meta.annotations.get(api::PROXY_ANNOTATION) else {
        return Proxies::default();
    };
    let (read, found) = api::read_proxy_annotation(text);
    for problem in found {
        cx.notes.push(tulle_base::Diagnostic { resource: Some(cx.meta.resource.clone()), ..problem });
    }
    read.as_ref().map(proxies).unwrap_or_default()
}

/// The rest of a proxy's settings is for the node agent, or says by its listing that it has no effect, or none yet.
fn proxies(written: &api::MeshProxyConfig) -> Proxies {
    Proxies {
        topology: topology(written),
        settings: ProxySettings {
            headers: written.proxy_headers.as_ref().map(headers).unwrap_or_default(),
            connections: written.connection_settings.as_ref().map(connections).unwrap_or_default(),
            tracing: written.tracing.as_ref().map(super::collector::of_proxy).unwrap_or_default(),
            log_service: written
                .envoy_access_log_service
                .as_ref()
                .and_then(super::collector::log_service)
                .map(Box::new),
        },
    }
}

fn headers(written: &api::ProxyHeaders) -> ProxyHeaders {
    let api::ProxyHeaders {
        forwarded_client_cert,
        set_current_client_cert_details,
        request_id,
        server,
        attempt_count,
        envoy_debug_headers,
        metadata_exchange_headers: _,
        preserve_http1_header_case: _,
        x_forwarded_host,
        x_forwarded_port,
    } = written;
    let on = |switch: &Option<api::HeaderSwitch>| switch.as_ref().and_then(|s| s.disabled).map(|off| !off);
    let wanted = |header: &Option<api::OptInHeader>| header.as_ref().and_then(|h| h.enabled);
    ProxyHeaders {
        client_cert: forwarded_client_cert.and_then(client_cert),
        client_parts: set_current_client_cert_details.as_ref().map(parts).unwrap_or_default(),
        request_id: on(request_id),
        server: server.as_ref().and_then(server_header),
        attempt_count: on(attempt_count),
        debug: on(envoy_debug_headers),
        forwarded_host: wanted(x_forwarded_host),
        forwarded_port: wanted(x_forwarded_port),
    }
}

fn connections(written: &api::ConnectionSettings) -> ConnectionSettings {
    let api::ConnectionSettings {
        profile,
        listener_per_connection_buffer_limit_bytes,
        cluster_per_connection_buffer_limit_bytes,
        http_idle_timeout,
        http_max_connection_duration,
        http_drain_timeout,
        http_request_timeout,
        http_request_headers_timeout,
        http_stream_idle_timeout,
        http_max_stream_duration,
        http_max_concurrent_streams,
        http2_initial_stream_window_size,
        http2_initial_connection_window_size,
        http_headers_with_underscores_action,
        http_merge_slashes,
        http_path_with_escaped_slashes_action,
        // The node agent's, when it starts the proxy.
        listener_connection_limit: _,
        global_downstream_connection_limit: _,
    } = written;
    let time = |written: &Option<WrittenDuration>| written.as_ref().map(WrittenDuration::get);
    let number = |written: &Option<i32>| written.and_then(|n| u32::try_from(n).ok());
    ConnectionSettings {
        edge: profile.map(|p| p == api::ConnectionProfile::Edge),
        downstream_buffer: number(listener_per_connection_buffer_limit_bytes),
        upstream_buffer: number(cluster_per_connection_buffer_limit_bytes),
        idle_timeout: time(http_idle_timeout),
        max_connection: time(http_max_connection_duration),
        drain_timeout: time(http_drain_timeout),
        request_timeout: time(http_request_timeout),
        head_timeout: time(http_request_headers_timeout),
        stream_idle_timeout: time(http_stream_idle_timeout),
        max_stream: time(http_max_stream_duration),
        max_streams: number(http_max_concurrent_streams),
        stream_window: number(http2_initial_stream_window_size),
        connection_window: number(http2_initial_connection_window_size),
        underscores: http_headers_with_underscores_action.and_then(|action| match action {
            api::UnderscoresAction::Unspecified => None,
            api::UnderscoresAction::Allow => Some(Underscores::Allow),
            api::UnderscoresAction::RejectRequest => Some(Underscores::Reject),
            api::UnderscoresAction::DropHeader => Some(Underscores::Drop),
        }),
        merge_slashes: *http_merge_slashes,
        escaped_slashes: http_path_with_escaped_slashes_action.and_then(|action| match action {
            api::EscapedSlashesAction::Unspecified => None,
            api::EscapedSlashesAction::KeepUnchanged => Some(EscapedSlashes::Keep),
            api::EscapedSlashesAction::RejectRequest => Some(EscapedSlashes::Reject),
            api::EscapedSlashesAction::UnescapeAndRedirect => Some(EscapedSlashes::Redirect),
            api::EscapedSlashesAction::UnescapeAndForward => Some(EscapedSlashes::Decode),
        }),
    }
}

fn parts(written: &api::SetCurrentClientCertDetails) -> CertParts {
    let api::SetCurrentClientCertDetails { subject, cert, chain, dns, uri } = *written;
    CertParts { subject, cert, chain, dns, uri }
}

fn server_header(written: &api::ServerHeader) -> Option<Server> {
    let api::ServerHeader { disabled, value } = written;
    match disabled {
        Some(true) => Some(Server::Upstream),
        _ => text(value).map(Server::Is),
    }
}

fn topology(written: &api::MeshProxyConfig) -> GatewayTopology {
    let Some(topology) = &written.gateway_topology else { return GatewayTopology::default() };
    let api::GatewayTopology { num_trusted_proxies, forward_client_cert_details, proxy_protocol } = topology;
    GatewayTopology {
        trusted_proxies: *num_trusted_proxies,
        client_cert: forward_client_cert_details.and_then(client_cert),
        proxy_protocol: proxy_protocol.as_ref().map(|api::ProxyProtocolAccepted {}| true),
    }
}

fn client_cert(written: api::ForwardClientCertDetails) -> Option<ClientCert> {
    match written {
        api::ForwardClientCertDetails::Undefined => None,
        api::ForwardClientCertDetails::Sanitize => Some(ClientCert::Sanitize),
        api::ForwardClientCertDetails::ForwardOnly => Some(ClientCert::ForwardOnly),
        api::ForwardClientCertDetails::AppendForward => Some(ClientCert::AppendForward),
        api::ForwardClientCertDetails::SanitizeSet => Some(ClientCert::SanitizeSet),
        api::ForwardClientCertDetails::AlwaysForwardOnly => Some(ClientCert::AlwaysForwardOnly),
    }
}

fn set<T>(to: &mut T, written: Option<T>) {
    if let Some(value) = written {
        *to = value;
    }
}

fn text(written: &str) -> Option<String> {
    (!written.is_empty()).then(|| written.to_owned())
}

fn list(written: &[String]) -> Option<Vec<String>> {
    (!written.is_empty()).then(|| written.to_vec())
}

fn encoding(written: api::AccessLogEncoding) -> AccessLogEncoding {
    match written {
        api::AccessLogEncoding::Text => AccessLogEncoding::Text,
        api::AccessLogEncoding::Json => AccessLogEncoding::Json,
    }
}

/// An empty policy is REGISTRY_ONLY: the first of its values.
fn outbound(written: &api::MeshOutboundTrafficPolicy) -> OutboundPolicy {
    let api::MeshOutboundTrafficPolicy { mode, tls: _ } = written;
    match mode {
        None | Some(api::MeshOutboundTrafficMode::RegistryOnly) => OutboundPolicy::RegistryOnly,
        Some(api::MeshOutboundTrafficMode::AllowAny | api::MeshOutboundTrafficMode::AllowAnyDynamicDns) => {
            OutboundPolicy::AllowAny
        }
    }
}

fn inbound(written: &api::InboundTrafficPolicy) -> InboundPolicy {
    let api::InboundTrafficPolicy { mode } = written;
    match mode {
        None | Some(api::InboundTrafficMode::Passthrough) => InboundPolicy::Passthrough,
        Some(api::InboundTrafficMode::Localhost) => InboundPolicy::Localhost,
    }
}

fn normalization(written: &api::ProxyPathNormalization) -> Option<PathNormalization> {
    let api::ProxyPathNormalization { normalization } = written;
    Some(match (*normalization)? {
        api::PathNormalization::None => PathNormalization::None,
        api::PathNormalization::Default | api::PathNormalization::Base => PathNormalization::Base,
        api::PathNormalization::MergeSlashes => PathNormalization::MergeSlashes,
        api::PathNormalization::DecodeAndMergeSlashes => PathNormalization::DecodeAndMergeSlashes,
    })
}

fn bounds(written: &api::MeshTlsConfig) -> TlsBounds {
    let api::MeshTlsConfig { min_protocol_version, ecdh_curves, cipher_suites } = written;
    TlsBounds {
        only_1_3: *min_protocol_version == Some(api::MeshTlsProtocol::Tls13),
        cipher_suites: cipher_suites.clone(),
        curves: ecdh_curves.clone(),
    }
}

/// Roots that somebody else made. (Those of Kubernetes signers are for certificates that signers issue: none does here.)
fn anchors(written: &api::CertificateData) -> Option<TrustAnchors> {
    let api::CertificateData { cert_signers: _, trust_domains, certificate_data } = written;
    let source = match certificate_data.as_ref()? {
        api::CertificateSource::Pem(pem) => AnchorSource::Pem(pem.clone()),
        api::CertificateSource::SpiffeBundleUrl(url) => AnchorSource::SpiffeBundle(url.clone()),
    };
    Some(TrustAnchors { trust_domains: trust_domains.clone(), source })
}
