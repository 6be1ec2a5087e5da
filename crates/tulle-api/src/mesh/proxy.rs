//! `ProxyConfig` of the mesh configuration: how proxies are run.

use std::collections::BTreeMap;

use super::proxy_headers::ProxyHeaders;
use super::tracing::MeshTracing;
use crate::istio::{ClientTlsSettings, ProxyImage, ReadinessProbe, TcpKeepalive};
use crate::schema::{enumeration, oneof, record};
use crate::value::WrittenDuration;

record! {
    /// How proxies are run. Pods override it with the annotation `proxy.istio.io/config`.
    pub struct MeshProxyConfig {
        /// Folder of generated files.
        pub config_path: String = "configPath"
            => no_effect("the proxy keeps no generated files"),
        /// Program.
        pub binary_path: String = "binaryPath"
            => no_effect("the proxy is this program"),
        /// Time that listeners drain when a proxy is replaced, at least 1s; 45s by default.
        pub drain_duration: Option<WrittenDuration> = "drainDuration"
            => no_effect("a listener that changes keeps its sockets and connections, and connections of one that goes may finish"),
        /// Address of the control plane.
        pub discovery_address: String = "discoveryAddress"
            => no_effect("whoever starts a proxy says where the control plane is"),
        /// Time between questions to the control plane.
        pub discovery_refresh_delay: Option<WrittenDuration> = "discoveryRefreshDelay"
            => no_effect("deprecated, the control plane sends by itself"),
        /// Address of a Zipkin collector.
        pub zipkin_address: String = "zipkinAddress"
            => planned("traces are not configurable"),
        /// Address of a statsd collector.
        pub statsd_udp_address: String = "statsdUdpAddress"
            => planned("metrics are not sent, they are asked for"),
        /// Address of a metrics service.
        pub envoy_metrics_service_address: String = "envoyMetricsServiceAddress"
            => planned("metrics are not sent, they are asked for"),
        /// Port of the administration interface; 15000 by default.
        pub proxy_admin_port: Option<i32> = "proxyAdminPort"
            => no_effect("the commands that ask a proxy find it at 15000"),
        /// Zone of the proxy.
        pub availability_zone: String = "availabilityZone"
            => no_effect("deprecated, the zone is read from the node"),
        /// How the control plane is authenticated; MUTUAL_TLS by default.
        pub control_plane_auth_policy: Option<AuthenticationPolicy> = "controlPlaneAuthPolicy"
            => no_effect("proxies always ask the control plane over TLS"),
        /// File with a bootstrap of the user's.
        pub custom_config_file: String = "customConfigFile"
            => no_effect("sidecars and gateways have no bootstrap file"),
        /// Longest name in statistics; 189 by default.
        pub stat_name_length: Option<i32> = "statNameLength"
            => no_effect("names in statistics are not cut"),
        /// Worker threads; 0 for one per core, by the processor limit when unset.
        pub concurrency: Option<i32> = "concurrency",
        /// File with a template of the bootstrap.
        pub proxy_bootstrap_template_path: String = "proxyBootstrapTemplatePath"
            => no_effect("sidecars and gateways have no bootstrap file"),
        /// How traffic gets to the proxy; REDIRECT by default.
        pub interception_mode: Option<InterceptionMode> = "interceptionMode",
        /// Traces.
        pub tracing: Option<MeshTracing> = "tracing",
        /// How certificates are fetched.
        pub sds: Option<MeshSds> = "sds"
            => no_effect("deprecated, certificates always come over SDS"),
        /// Service that access logs are sent to.
        pub envoy_access_log_service: Option<RemoteService> = "envoyAccessLogService",
        /// Service that metrics are sent to.
        pub envoy_metrics_service: Option<RemoteService> = "envoyMetricsService"
            => planned("metrics are not sent, they are asked for"),
        /// Additional environment of the proxy.
        pub proxy_metadata: BTreeMap<String, String> = "proxyMetadata",
        /// Runtime values of Envoy.
        pub runtime_values: BTreeMap<String, String> = "runtimeValues"
            => no_effect("the proxy has no runtime values"),
        /// Port of the agent's health checks and merged metrics; 15020 by default.
        pub status_port: Option<i32> = "statusPort"
            => no_effect("probes and metrics are found at 15020, which redirection lets pass"),
        /// Additional labels of statistics.
        pub extra_stat_tags: Vec<String> = "extraStatTags"
            => no_effect("labels that a Telemetry adds are shown without being named here"),
        /// What stands before gateways.
        pub gateway_topology: Option<GatewayTopology> = "gatewayTopology",
        /// Time that connections drain when a pod ends; 5s by default.
        pub termination_drain_duration: Option<WrittenDuration> = "terminationDrainDuration",
        /// Id of the mesh; the trust domain by default.
        pub mesh_id: String = "meshId",
        /// When a workload outside of the cluster is ready.
        pub readiness_probe: Option<ReadinessProbe> = "readinessProbe"
            => no_effect("a proxy outside of the cluster asks by the probe of its own configuration (docs/hosts.md)"),
        /// Which of Envoy's statistics are kept.
        pub proxy_stats_matcher: Option<ProxyStatsMatcher> = "proxyStatsMatcher",
        /// Whether the application waits for the proxy; false by default.
        pub hold_application_until_proxy_starts: Option<bool> = "holdApplicationUntilProxyStarts"
            => no_effect("the sidecar is a native one: applications always wait until it is ready"),
        /// Additional trust anchors for the control plane, as PEM.
        pub ca_certificates_pem: Vec<String> = "caCertificatesPem"
            => no_effect("the control plane is checked against the roots that a proxy is started with"),
        /// The proxy's image.
        pub image: Option<ProxyImage> = "image"
            => no_effect("the proxy is this program, no images are pulled"),
        /// Where private keys are used.
        pub private_key_provider: Option<PrivateKeyProvider> = "privateKeyProvider"
            => no_effect("private keys are used by the TLS library alone"),
        /// Headers that proxies add.
        pub proxy_headers: Option<ProxyHeaders> = "proxyHeaders",
        /// Time between writes of the access log, at least 1ms; 1s by default.
        pub file_flush_interval: Option<WrittenDuration> = "fileFlushInterval"
            => no_effect("access logs are written at once"),
        /// KiB of access log that are written at once; 64 by default.
        pub file_flush_min_size_kb: Option<u32> = "fileFlushMinSizeKb"
            => no_effect("access logs are written at once"),
        /// Whether metrics may be compressed; true by default.
        pub stats_compression: Option<bool> = "statsCompression"
            => planned("metrics are not compressed"),
        /// Limits of connections.
        pub connection_settings: Option<ConnectionSettings> = "connectionSettings",
    }
    oneof {
        /// The proxy's name in traces.
        pub cluster_name: ProxyClusterName,
    }
}

oneof! {
    /// A proxy's name in traces.
    pub enum ProxyClusterName {
        /// A fixed name.
        ServiceCluster(String) = "serviceCluster"
            => planned("traces are not configurable"),
        /// One that follows from the workload.
        TracingServiceName(TracingServiceName) = "tracingServiceName"
            => planned("traces are not configurable"),
    }
}

enumeration! {
    /// A workload's name in traces.
    pub enum TracingServiceName {
        /// Label `app` and namespace.
        AppLabelAndNamespace = "APP_LABEL_AND_NAMESPACE",
        /// Canonical name.
        CanonicalNameOnly = "CANONICAL_NAME_ONLY",
        /// Canonical name and namespace.
        CanonicalNameAndNamespace = "CANONICAL_NAME_AND_NAMESPACE",
    }
}

enumeration! {
    /// How the control plane is authenticated.
    pub enum AuthenticationPolicy {
        /// Not at all.
        None = "NONE",
        /// By mutual TLS.
        MutualTls = "MUTUAL_TLS",
        /// As the level above says.
        Inherit = "INHERIT",
    }
}

enumeration! {
    /// How traffic gets to a proxy.
    pub enum InterceptionMode {
        /// Redirected by the kernel.
        Redirect = "REDIRECT",
        /// Redirected by the kernel, with the client's address kept.
        Tproxy = "TPROXY",
        /// Addressed by the application itself.
        None = "NONE",
    }
}

record! {
    /// How certificates are fetched.
    pub struct MeshSds {
        /// Whether over SDS.
        pub enabled: Option<bool> = "enabled",
        /// File of the service account's token.
        pub k8s_sa_jwt_path: String = "k8sSaJwtPath",
    }
}

record! {
    /// A service that proxies send to.
    pub struct RemoteService {
        /// Its address.
        pub address: String = "address",
        /// TLS towards it.
        pub tls_settings: Option<ClientTlsSettings> = "tlsSettings"
            => planned("a DestinationRule for the service says how TLS is spoken with it"),
        /// TCP keep-alive towards it.
        pub tcp_keepalive: Option<TcpKeepalive> = "tcpKeepalive"
            => planned("a DestinationRule for the service says what its connections are like"),
    }
}

record! {
    /// What stands before gateways.
    pub struct GatewayTopology {
        /// Proxies in front whose X-Forwarded-For is trusted; 0 by default.
        pub num_trusted_proxies: Option<u32> = "numTrustedProxies",
        /// What becomes of X-Forwarded-Client-Cert; SANITIZE_SET by default.
        pub forward_client_cert_details: Option<ForwardClientCertDetails> = "forwardClientCertDetails",
        /// Connections begin with the PROXY protocol.
        pub proxy_protocol: Option<ProxyProtocolAccepted> = "proxyProtocol",
    }
}

record! {
    /// Accepts the PROXY protocol.
    pub struct ProxyProtocolAccepted {
    }
}

enumeration! {
    /// What becomes of X-Forwarded-Client-Cert.
    pub enum ForwardClientCertDetails {
        /// As the default.
        Undefined = "UNDEFINED",
        /// It is removed.
        Sanitize = "SANITIZE",
        /// It is forwarded on mutual TLS connections.
        ForwardOnly = "FORWARD_ONLY",
        /// The client is appended on mutual TLS connections.
        AppendForward = "APPEND_FORWARD",
        /// It is replaced by the client on mutual TLS connections.
        SanitizeSet = "SANITIZE_SET",
        /// It is forwarded always.
        AlwaysForwardOnly = "ALWAYS_FORWARD_ONLY",
    }
}

record! {
    /// Which of Envoy's statistics are kept besides Istio's.
    pub struct ProxyStatsMatcher {
        /// Beginnings of names.
        pub inclusion_prefixes: Vec<String> = "inclusionPrefixes",
        /// Ends of names.
        pub inclusion_suffixes: Vec<String> = "inclusionSuffixes",
        /// Regular expressions for names.
        pub inclusion_regexps: Vec<String> = "inclusionRegexps",
    }
}

record! {
    /// Where private keys are used.
    pub struct PrivateKeyProvider {
    }
    oneof {
        /// By which means.
        pub provider: PrivateKeyProviderKind,
    }
}

oneof! {
    /// Means by which private keys are used.
    pub enum PrivateKeyProviderKind {
        /// Vector instructions of the processor.
        Cryptomb(KeyAccelerator) = "cryptomb",
        /// A QuickAssist device.
        Qat(KeyAccelerator) = "qat",
    }
}

record! {
    /// Settings of an accelerator.
    pub struct KeyAccelerator {
        /// Time to wait for more work, at least 1ms.
        pub poll_delay: Option<WrittenDuration> = "pollDelay",
        /// Whether the plain way is taken when it is not there; false by default.
        pub fallback: Option<bool> = "fallback",
    }
}

record! {
    /// Limits of connections.
    pub struct ConnectionSettings {
        /// Where the defaults below come from; SIDECAR by default.
        pub profile: Option<ConnectionProfile> = "profile",
        /// Buffer of each downstream connection in bytes.
        pub listener_per_connection_buffer_limit_bytes: Option<i32> = "listenerPerConnectionBufferLimitBytes",
        /// Buffer of each upstream connection in bytes.
        pub cluster_per_connection_buffer_limit_bytes: Option<i32> = "clusterPerConnectionBufferLimitBytes",
        /// Closes idle connections.
        pub http_idle_timeout: Option<WrittenDuration> = "httpIdleTimeout",
        /// Longest life of a connection.
        pub http_max_connection_duration: Option<WrittenDuration> = "httpMaxConnectionDuration",
        /// Time between the notice that a connection ends and its end.
        pub http_drain_timeout: Option<WrittenDuration> = "httpDrainTimeout",
        /// Time until a request must be there.
        pub http_request_timeout: Option<WrittenDuration> = "httpRequestTimeout",
        /// Time until the headers of a request must be there.
        pub http_request_headers_timeout: Option<WrittenDuration> = "httpRequestHeadersTimeout",
        /// Closes idle streams.
        pub http_stream_idle_timeout: Option<WrittenDuration> = "httpStreamIdleTimeout",
        /// Longest life of a stream.
        pub http_max_stream_duration: Option<WrittenDuration> = "httpMaxStreamDuration",
        /// Most streams per connection.
        pub http_max_concurrent_streams: Option<i32> = "httpMaxConcurrentStreams",
        /// Window of a stream in bytes, 65535 to 2147483647.
        pub http2_initial_stream_window_size: Option<i32> = "http2InitialStreamWindowSize",
        /// Window of a connection in bytes, 65535 to 2147483647.
        pub http2_initial_connection_window_size: Option<i32> = "http2InitialConnectionWindowSize",
        /// What becomes of headers with underscores.
        pub http_headers_with_underscores_action: Option<UnderscoresAction> = "httpHeadersWithUnderscoresAction",
        /// Whether several slashes in a path become one.
        pub http_merge_slashes: Option<bool> = "httpMergeSlashes",
        /// What becomes of encoded slashes in a path.
        pub http_path_with_escaped_slashes_action: Option<EscapedSlashesAction> = "httpPathWithEscapedSlashesAction",
        /// Most connections of a listener.
        pub listener_connection_limit: Option<i32> = "listenerConnectionLimit",
        /// Most connections of a proxy.
        pub global_downstream_connection_limit: Option<i32> = "globalDownstreamConnectionLimit",
    }
}

enumeration! {
    /// Sets of limits.
    pub enum ConnectionProfile {
        /// For traffic that is trusted.
        Sidecar = "SIDECAR",
        /// For traffic from anywhere.
        Edge = "EDGE",
    }
}

enumeration! {
    /// What becomes of headers with underscores.
    pub enum UnderscoresAction {
        /// As the default.
        Unspecified = "HEADERS_WITH_UNDERSCORES_UNSPECIFIED",
        /// They pass.
        Allow = "HEADERS_WITH_UNDERSCORES_ALLOW",
        /// The request is refused.
        RejectRequest = "HEADERS_WITH_UNDERSCORES_REJECT_REQUEST",
        /// They are removed.
        DropHeader = "HEADERS_WITH_UNDERSCORES_DROP_HEADER",
    }
}

enumeration! {
    /// What becomes of encoded slashes in a path.
    pub enum EscapedSlashesAction {
        /// As the default.
        Unspecified = "PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED",
        /// They stay.
        KeepUnchanged = "KEEP_UNCHANGED",
        /// The request is refused.
        RejectRequest = "REJECT_REQUEST",
        /// The client is redirected to the decoded path.
        UnescapeAndRedirect = "UNESCAPE_AND_REDIRECT",
        /// They are decoded.
        UnescapeAndForward = "UNESCAPE_AND_FORWARD",
    }
}
