//! `MeshConfig`: settings of the whole mesh.

use super::extension_provider::MeshExtensionProvider;
use super::proxy::MeshProxyConfig;
use super::visibility::{ServiceEntryVisibility, ServiceScopeConfig};
use crate::istio::{
    ClientTlsSettings, ConnectionPoolSettings, HttpRetry, LocalityLoadBalancerSetting, OutlierDetection,
    TcpKeepalive, ZoneAwareLoadBalancerSetting,
};
use crate::kubernetes::PodSelector;
use crate::schema::{enumeration, oneof, record};
use crate::value::WrittenDuration;

record! {
    /// Settings of the whole mesh. Every field may be left out.
    pub struct MeshConfig or default {
        /// Port of sidecars for outbound traffic; 15001 by default.
        pub proxy_listen_port: Option<i32> = "proxyListenPort"
            => no_effect("sidecars listen where pods are redirected to, which is 15001"),
        /// Port of sidecars for inbound traffic; 15006 by default.
        pub proxy_inbound_listen_port: Option<i32> = "proxyInboundListenPort"
            => no_effect("sidecars listen where pods are redirected to, which is 15006"),
        /// Port of an HTTP proxy for applications that ask for one.
        pub proxy_http_port: Option<i32> = "proxyHttpPort"
            => no_effect("sidecars serve what is redirected to them; an application that wants an explicit HTTP proxy has none"),
        /// Time to connect, at least 1ms; 10s by default.
        pub connect_timeout: Option<WrittenDuration> = "connectTimeout",
        /// Closes idle tunnels of the ambient mesh; 1h by default.
        pub hbone_idle_timeout: Option<WrittenDuration> = "hboneIdleTimeout"
            => planned("the ambient mesh is not built"),
        /// Time until a protocol must be known; 0s (none) by default.
        pub protocol_detection_timeout: Option<WrittenDuration> = "protocolDetectionTimeout",
        /// TCP keep-alive of all connections.
        pub tcp_keepalive: Option<TcpKeepalive> = "tcpKeepalive",
        /// Class of the Ingress objects that are read.
        pub ingress_class: String = "ingressClass",
        /// Service of the gateway for Ingress objects; istio-ingressgateway by default.
        pub ingress_service: String = "ingressService",
        /// Which Ingress objects are read; STRICT by default.
        pub ingress_controller_mode: Option<IngressControllerMode> = "ingressControllerMode",
        /// Label `istio` of the gateway for Ingress objects; ingressgateway by default.
        pub ingress_selector: String = "ingressSelector",
        /// Whether traces are made.
        pub enable_tracing: Option<bool> = "enableTracing",
        /// File of the access log; none when empty.
        pub access_log_file: Option<String> = "accessLogFile",
        /// Format of the access log; Istio's by default.
        pub access_log_format: String = "accessLogFormat",
        /// Whether the access log is text or JSON; TEXT by default.
        pub access_log_encoding: Option<AccessLogEncoding> = "accessLogEncoding",
        /// Whether access logs are sent to a service.
        pub enable_envoy_access_log_service: Option<bool> = "enableEnvoyAccessLogService",
        /// Whether connections that match nothing are left out of the access log.
        pub disable_envoy_listener_log: Option<bool> = "disableEnvoyListenerLog",
        /// Settings of all proxies.
        pub default_config: Option<MeshProxyConfig> = "defaultConfig",
        /// What becomes of traffic to unknown destinations; ALLOW_ANY by default.
        pub outbound_traffic_policy: Option<MeshOutboundTrafficPolicy> = "outboundTrafficPolicy",
        /// How applications are reached.
        pub inbound_traffic_policy: Option<InboundTrafficPolicy> = "inboundTrafficPolicy",
        /// Where the control plane reads its configuration.
        pub config_sources: Vec<ConfigSource> = "configSources"
            => no_effect("the control plane reads the store that it was started with"),
        /// Whether mutual TLS is used wherever both ends can; true by default.
        pub enable_auto_mtls: Option<bool> = "enableAutoMtls",
        /// Trust domain of the mesh; cluster.local by default.
        pub trust_domain: String = "trustDomain"
            => no_effect("every identity has it, so it is chosen when the control plane starts"),
        /// Other trust domains whose identities count as the mesh's own.
        pub trust_domain_aliases: Vec<String> = "trustDomainAliases",
        /// Additional trust anchors.
        pub ca_certificates: Vec<CertificateData> = "caCertificates",
        /// `exportTo` of services that set none; `*` by default.
        pub default_service_export_to: Vec<String> = "defaultServiceExportTo",
        /// `exportTo` of VirtualServices that set none; `*` by default.
        pub default_virtual_service_export_to: Vec<String> = "defaultVirtualServiceExportTo",
        /// `exportTo` of DestinationRules that set none; `*` by default.
        pub default_destination_rule_export_to: Vec<String> = "defaultDestinationRuleExportTo",
        /// Namespace whose resources are for the whole mesh; istio-system by default.
        pub root_namespace: String = "rootNamespace"
            => no_effect("it is the namespace of the control plane"),
        /// Preference by locality; on by default.
        pub locality_lb_setting: Option<LocalityLoadBalancerSetting> = "localityLbSetting",
        /// Preference for the own zone; off by default, wins over `localityLbSetting`.
        pub zone_aware_lb_setting: Option<ZoneAwareLoadBalancerSetting> = "zoneAwareLbSetting"
            => no_effect("how clients spread over zones is not known; localityLbSetting prefers near endpoints"),
        /// Time between look-ups of a name; 60s by default.
        pub dns_refresh_rate: Option<WrittenDuration> = "dnsRefreshRate",
        /// Whether HTTP/1.1 becomes HTTP/2; no by default.
        pub h2_upgrade_policy: Option<MeshH2UpgradePolicy> = "h2UpgradePolicy",
        /// Name of inbound clusters in statistics.
        pub inbound_cluster_stat_name: String = "inboundClusterStatName",
        /// Name of outbound clusters in statistics.
        pub outbound_cluster_stat_name: String = "outboundClusterStatName",
        /// Certificates for control plane components.
        pub certificates: Vec<MeshCertificate> = "certificates"
            => no_effect("deprecated, Istio no longer issues them"),
        /// Settings of single services.
        pub service_settings: Vec<ServiceSettings> = "serviceSettings"
            => no_effect("there is one cluster, to which every service is local"),
        /// Which services are seen by other clusters; for the ambient mesh.
        pub service_scope_configs: Vec<ServiceScopeConfig> = "serviceScopeConfigs"
            => no_effect("there is one cluster, to which every service is local"),
        /// Whether proxies serve the application's metrics beside their own; true by default.
        pub enable_prometheus_merge: Option<bool> = "enablePrometheusMerge",
        /// Whether clients check servers' certificates against the system's CAs; true by default.
        pub verify_certificate_at_client: Option<bool> = "verifyCertificateAtClient"
            => deprecated("say so in the DestinationRule"),
        /// An outside CA.
        pub ca: Option<MeshCa> = "ca"
            => no_effect("certificates come from the authority of the control plane, which takes a signing key of yours"),
        /// Services that policies and telemetry name.
        pub extension_providers: Vec<MeshExtensionProvider> = "extensionProviders",
        /// Providers where a Telemetry names none.
        pub default_providers: Option<DefaultProviders> = "defaultProviders",
        /// Namespaces that the control plane reads; all by default.
        pub discovery_selectors: Vec<PodSelector> = "discoverySelectors",
        /// How paths are made comparable.
        pub path_normalization: Option<ProxyPathNormalization> = "pathNormalization",
        /// Retries of routes that set none; twice by default.
        pub default_http_retry_policy: Option<HttpRetry> = "defaultHttpRetryPolicy",
        /// TLS between workloads of the mesh.
        pub mesh_mtls: Option<MeshTlsConfig> = "meshMTLS",
        /// TLS of everything else.
        pub tls_defaults: Option<MeshTlsConfig> = "tlsDefaults",
        /// Policy towards hosts, which DestinationRules override block by block.
        pub default_traffic_policy: Option<DefaultTrafficPolicy> = "defaultTrafficPolicy",
        /// Who sees ServiceEntries.
        pub service_entry_visibility: Option<ServiceEntryVisibility> = "serviceEntryVisibility"
            => no_effect("who sees a ServiceEntry is said by its exportTo, or by defaultServiceExportTo where it has none"),
    }
}

enumeration! {
    /// Which Ingress objects are read.
    pub enum IngressControllerMode {
        /// As the default.
        Unspecified = "UNSPECIFIED",
        /// None.
        Off = "OFF",
        /// Those of the class and those without class.
        Default = "DEFAULT",
        /// Those of the class.
        Strict = "STRICT",
    }
}

enumeration! {
    /// Forms of an access log.
    pub enum AccessLogEncoding {
        /// Lines of text.
        Text = "TEXT",
        /// Lines of JSON.
        Json = "JSON",
    }
}

record! {
    /// What becomes of traffic to unknown destinations.
    pub struct MeshOutboundTrafficPolicy {
        /// The mode; an empty policy means REGISTRY_ONLY.
        pub mode: Option<MeshOutboundTrafficMode> = "mode",
        /// TLS towards destinations that are found by their name.
        pub tls: Option<ClientTlsSettings> = "tls" => no_effect("what passes goes to the address that the client found; name the host in a ServiceEntry to speak TLS with it"),
    }
}

enumeration! {
    /// What becomes of traffic to unknown destinations.
    pub enum MeshOutboundTrafficMode {
        /// It is dropped.
        RegistryOnly = "REGISTRY_ONLY",
        /// It passes.
        AllowAny = "ALLOW_ANY",
        /// It passes; the name that it carries is looked up.
        AllowAnyDynamicDns = "ALLOW_ANY_DYNAMIC_DNS",
    }
}

record! {
    /// How applications are reached.
    pub struct InboundTrafficPolicy {
        /// The mode.
        pub mode: Option<InboundTrafficMode> = "mode",
    }
}

enumeration! {
    /// How applications are reached.
    pub enum InboundTrafficMode {
        /// At the pod's address.
        Passthrough = "PASSTHROUGH",
        /// At the loopback address.
        Localhost = "LOCALHOST",
    }
}

record! {
    /// Where the control plane reads its configuration.
    pub struct ConfigSource {
        /// `fs:///PATH`, `xds://HOST:PORT` or `k8s://`.
        pub address: String = "address",
        /// TLS towards it.
        pub tls_settings: Option<ClientTlsSettings> = "tlsSettings",
        /// What is read there.
        pub subscribed_resources: Vec<ConfigSourceResource> = "subscribedResources",
    }
}

enumeration! {
    /// What is read from a configuration source.
    pub enum ConfigSourceResource {
        /// Services.
        ServiceRegistry = "SERVICE_REGISTRY",
    }
}

record! {
    /// Additional trust anchors.
    pub struct CertificateData {
        /// Signers whose certificates they check.
        pub cert_signers: Vec<String> = "certSigners"
            => no_effect("no signer of Kubernetes certifies workloads here"),
        /// Trust domains that they are for.
        pub trust_domains: Vec<String> = "trustDomains",
    }
    oneof {
        /// The anchors.
        pub certificate_data: CertificateSource,
    }
}

oneof! {
    /// Where trust anchors come from.
    pub enum CertificateSource {
        /// Written here, as PEM.
        Pem(String) = "pem",
        /// A SPIFFE bundle endpoint.
        SpiffeBundleUrl(String) = "spiffeBundleUrl",
    }
}

enumeration! {
    /// Whether HTTP/1.1 becomes HTTP/2.
    pub enum MeshH2UpgradePolicy {
        /// No.
        DoNotUpgrade = "DO_NOT_UPGRADE",
        /// Yes.
        Upgrade = "UPGRADE",
    }
}

record! {
    /// A certificate for a control plane component.
    pub struct MeshCertificate {
        /// Secret that holds it.
        pub secret_name: String = "secretName",
        /// Names in it.
        pub dns_names: Vec<String> = "dnsNames",
    }
}

record! {
    /// Settings of single services.
    pub struct ServiceSettings {
        /// The settings.
        pub settings: Option<ServiceSettingsDetail> = "settings",
        /// The services, with leading wildcard.
        pub hosts: Vec<String> = "hosts",
    }
}

record! {
    /// Settings of a service.
    pub struct ServiceSettingsDetail {
        /// Whether its endpoints of other clusters are left out.
        pub cluster_local: Option<bool> = "clusterLocal",
    }
}

record! {
    /// An outside CA.
    pub struct MeshCa {
        /// Its address.
        pub address: String = "address" => required,
        /// TLS towards it.
        pub tls_settings: Option<ClientTlsSettings> = "tlsSettings",
        /// Time for an answer; 10s by default.
        pub request_timeout: Option<WrittenDuration> = "requestTimeout",
        /// Whether the control plane asks it for the proxies; true by default.
        pub istiod_side: Option<bool> = "istiodSide",
    }
}

record! {
    /// Providers where a Telemetry names none.
    pub struct DefaultProviders {
        /// For traces.
        pub tracing: Vec<String> = "tracing",
        /// For metrics.
        pub metrics: Vec<String> = "metrics",
        /// For access logs.
        pub access_logging: Vec<String> = "accessLogging",
    }
}

record! {
    /// How paths are made comparable.
    pub struct ProxyPathNormalization {
        /// What is done; BASE by default.
        pub normalization: Option<PathNormalization> = "normalization",
    }
}

enumeration! {
    /// What is done to paths before they are compared.
    pub enum PathNormalization {
        /// As BASE.
        Default = "DEFAULT",
        /// Nothing.
        None = "NONE",
        /// RFC 3986; backslashes become slashes.
        Base = "BASE",
        /// And several slashes become one.
        MergeSlashes = "MERGE_SLASHES",
        /// And encoded slashes are decoded first.
        DecodeAndMergeSlashes = "DECODE_AND_MERGE_SLASHES",
    }
}

record! {
    /// TLS of the mesh.
    pub struct MeshTlsConfig {
        /// Lowest version; TLSV1_2 by default.
        pub min_protocol_version: Option<MeshTlsProtocol> = "minProtocolVersion",
        /// Curves; not for `meshMTLS`.
        pub ecdh_curves: Vec<String> = "ecdhCurves",
        /// Cipher suites by OpenSSL name.
        pub cipher_suites: Vec<String> = "cipherSuites",
    }
}

enumeration! {
    /// Versions of TLS.
    pub enum MeshTlsProtocol {
        /// The default.
        Auto = "TLS_AUTO",
        /// 1.2.
        Tls12 = "TLSV1_2",
        /// 1.3.
        Tls13 = "TLSV1_3",
    }
}

record! {
    /// Policy towards hosts without a DestinationRule.
    pub struct DefaultTrafficPolicy {
        /// Limits of connections and requests.
        pub connection_pool: Option<ConnectionPoolSettings> = "connectionPool",
        /// When an endpoint is left out for a while.
        pub outlier_detection: Option<OutlierDetection> = "outlierDetection",
    }
}
