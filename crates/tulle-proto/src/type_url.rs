//! Every type URL that the project reads or writes.

/// What each type URL begins with.
pub const PREFIX: &str = "type.googleapis.com/";

/// Whether an `Any` of this type may stand in a resource: as a filter, an option, a transport socket or a log of listeners,
/// clusters and routes. The part after the last `/` counts. These are what `tulle-proxy` implements.
pub fn is_extension(type_url: &str) -> bool {
    let name = crate::any::full_name(type_url);
    // Resources themselves.
    let other = |known: &str| {
        [
            LISTENER,
            ROUTE_CONFIGURATION,
            CLUSTER,
            CLUSTER_LOAD_ASSIGNMENT,
            SECRET,
            NAME_TABLE,
            TRUST_BUNDLE,
            BOOTSTRAP,
        ]
        .contains(&known)
            || known.contains("envoy.admin.")
    };
    ALL.iter().any(|known| crate::any::full_name(known) == name && !other(known))
}

macro_rules! type_urls {
    ($($(#[$doc:meta])* $name:ident = $full:literal, $message:path;)*) => {
        $($(#[$doc])* pub const $name: &str = concat!("type.googleapis.com/", $full);)*

        $(crate::compile_here!($message);)*

        /// All of them, in the order of this file.
        pub const ALL: &[&str] = &[$($name),*];

        #[cfg(test)]
        mod tests {
            #[test]
            fn resources_and_dumps_are_no_extensions() {
                assert!(super::is_extension(super::LOCAL_RATE_LIMIT));
                assert!(super::is_extension(super::HTTP_GRPC_ACCESS_LOG));
                assert!(super::is_extension("type.example.com/envoy.extensions.filters.http.router.v3.Router"));
                for other in [super::LISTENER, super::BOOTSTRAP_CONFIG_DUMP, "envoy.extensions.filters.http.lua.v3.Lua"] {
                    assert!(!super::is_extension(other), "{other}");
                }
            }

            #[test]
            fn each_is_the_name_of_its_message() {
                $(assert_eq!(super::$name, crate::any::type_url_of::<$message>());)*
            }
        }
    };
}

type_urls! {
    // Discovery resources.
    /// LDS.
    LISTENER = "envoy.config.listener.v3.Listener", crate::envoy::listener::Listener;
    /// RDS.
    ROUTE_CONFIGURATION = "envoy.config.route.v3.RouteConfiguration", crate::envoy::route::RouteConfiguration;
    /// CDS.
    CLUSTER = "envoy.config.cluster.v3.Cluster", crate::envoy::cluster::Cluster;
    /// EDS.
    CLUSTER_LOAD_ASSIGNMENT = "envoy.config.endpoint.v3.ClusterLoadAssignment",
        crate::envoy::endpoint::ClusterLoadAssignment;
    /// SDS.
    SECRET = "envoy.extensions.transport_sockets.tls.v3.Secret", crate::envoy::tls::Secret;
    /// NDS, Istio's name tables.
    NAME_TABLE = "istio.networking.nds.v1.NameTable", crate::istio::nds::NameTable;
    /// Whom to trust; ours.
    TRUST_BUNDLE = "tulle.identity.v1.TrustBundle", crate::trust::TrustBundle;

    // Network filters.
    /// `envoy.filters.network.http_connection_manager`.
    HTTP_CONNECTION_MANAGER =
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        crate::envoy::http_connection_manager::HttpConnectionManager;
    /// `envoy.filters.network.tcp_proxy`.
    TCP_PROXY = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", crate::envoy::tcp_proxy::TcpProxy;
    /// `envoy.filters.network.rbac`.
    NETWORK_RBAC = "envoy.extensions.filters.network.rbac.v3.RBAC", crate::envoy::network_rbac::Rbac;
    /// `envoy.filters.network.ext_authz`.
    NETWORK_EXT_AUTHZ = "envoy.extensions.filters.network.ext_authz.v3.ExtAuthz",
        crate::envoy::network_ext_authz::ExtAuthz;
    /// Istio's exchange of peer metadata on TCP, `istio.metadata_exchange`.
    METADATA_EXCHANGE = "envoy.tcp.metadataexchange.config.MetadataExchange",
        crate::istio::metadata_exchange::MetadataExchange;

    // HTTP filters.
    /// `envoy.filters.http.router`.
    ROUTER = "envoy.extensions.filters.http.router.v3.Router", crate::envoy::router::Router;
    /// `envoy.filters.http.rbac`.
    HTTP_RBAC = "envoy.extensions.filters.http.rbac.v3.RBAC", crate::envoy::http_rbac::Rbac;
    /// The same, per route.
    HTTP_RBAC_PER_ROUTE = "envoy.extensions.filters.http.rbac.v3.RBACPerRoute",
        crate::envoy::http_rbac::RbacPerRoute;
    /// `envoy.filters.http.fault`.
    HTTP_FAULT = "envoy.extensions.filters.http.fault.v3.HTTPFault", crate::envoy::fault::HttpFault;
    /// `envoy.filters.http.cors`.
    CORS = "envoy.extensions.filters.http.cors.v3.Cors", crate::envoy::cors::Cors;
    /// The same, per route.
    CORS_POLICY = "envoy.extensions.filters.http.cors.v3.CorsPolicy", crate::envoy::cors::CorsPolicy;
    /// `envoy.filters.http.grpc_stats`.
    GRPC_STATS = "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
        crate::envoy::grpc_stats::FilterConfig;
    /// `envoy.filters.http.local_ratelimit`.
    LOCAL_RATE_LIMIT = "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        crate::envoy::local_ratelimit::LocalRateLimit;
    /// `envoy.filters.http.header_mutation`.
    HEADER_MUTATION = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
        crate::envoy::header_mutation::HeaderMutation;
    /// The same, per route.
    HEADER_MUTATION_PER_ROUTE = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute",
        crate::envoy::header_mutation::HeaderMutationPerRoute;
    /// `envoy.filters.http.set_metadata`.
    SET_METADATA = "envoy.extensions.filters.http.set_metadata.v3.Config",
        crate::envoy::set_metadata::Config;
    /// `envoy.filters.http.buffer`.
    BUFFER = "envoy.extensions.filters.http.buffer.v3.Buffer",
        crate::envoy::buffer::Buffer;
    /// The same, per route.
    BUFFER_PER_ROUTE = "envoy.extensions.filters.http.buffer.v3.BufferPerRoute",
        crate::envoy::buffer::BufferPerRoute;
    /// `envoy.filters.http.health_check`.
    HEALTH_CHECK = "envoy.extensions.filters.http.health_check.v3.HealthCheck",
        crate::envoy::health_check::HealthCheck;
    /// `envoy.filters.http.grpc_web`.
    GRPC_WEB = "envoy.extensions.filters.http.grpc_web.v3.GrpcWeb",
        crate::envoy::grpc_web::GrpcWeb;
    /// `envoy.filters.http.stateful_session`.
    STATEFUL_SESSION = "envoy.extensions.filters.http.stateful_session.v3.StatefulSession",
        crate::envoy::stateful_session::StatefulSession;
    /// The same, per route.
    STATEFUL_SESSION_PER_ROUTE = "envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute",
        crate::envoy::stateful_session::StatefulSessionPerRoute;
    /// The endpoint of a session in a cookie.
    SESSION_COOKIE = "envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState",
        crate::envoy::session_cookie::CookieBasedSessionState;
    /// The endpoint of a session in a header.
    SESSION_HEADER = "envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState",
        crate::envoy::session_header::HeaderBasedSessionState;
    /// `envoy.clusters.dynamic_forward_proxy`.
    FORWARD_PROXY_CLUSTER = "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig",
        crate::envoy::forward_proxy_cluster::ClusterConfig;
    /// `envoy.filters.http.dynamic_forward_proxy`.
    FORWARD_PROXY = "envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig",
        crate::envoy::forward_proxy::FilterConfig;
    /// The same, per route.
    FORWARD_PROXY_PER_ROUTE = "envoy.extensions.filters.http.dynamic_forward_proxy.v3.PerRouteConfig",
        crate::envoy::forward_proxy::PerRouteConfig;
    /// `envoy.filters.network.sni_dynamic_forward_proxy`.
    SNI_FORWARD_PROXY = "envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig",
        crate::envoy::sni_forward_proxy::FilterConfig;
    /// `envoy.filters.http.csrf`, per route too.
    CSRF = "envoy.extensions.filters.http.csrf.v3.CsrfPolicy",
        crate::envoy::csrf::CsrfPolicy;
    /// `envoy.filters.http.compressor`.
    COMPRESSOR = "envoy.extensions.filters.http.compressor.v3.Compressor",
        crate::envoy::compressor::Compressor;
    /// The same, per route.
    COMPRESSOR_PER_ROUTE = "envoy.extensions.filters.http.compressor.v3.CompressorPerRoute",
        crate::envoy::compressor::CompressorPerRoute;
    /// `envoy.filters.http.decompressor`.
    DECOMPRESSOR = "envoy.extensions.filters.http.decompressor.v3.Decompressor",
        crate::envoy::decompressor::Decompressor;
    /// `envoy.filters.http.ratelimit`.
    RATE_LIMIT = "envoy.extensions.filters.http.ratelimit.v3.RateLimit",
        crate::envoy::http_ratelimit::RateLimit;
    /// The same, per route.
    RATE_LIMIT_PER_ROUTE = "envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute",
        crate::envoy::http_ratelimit::RateLimitPerRoute;
    /// `envoy.filters.http.jwt_authn`.
    JWT_AUTHN = "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        crate::envoy::jwt_authn::JwtAuthentication;
    /// The same, per route.
    JWT_AUTHN_PER_ROUTE = "envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig",
        crate::envoy::jwt_authn::PerRouteConfig;
    /// `envoy.filters.http.ext_authz`.
    EXT_AUTHZ = "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
        crate::envoy::ext_authz::ExtAuthz;
    /// The same, per route.
    EXT_AUTHZ_PER_ROUTE = "envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
        crate::envoy::ext_authz::ExtAuthzPerRoute;
    /// Compression by gzip.
    GZIP_COMPRESSOR = "envoy.extensions.compression.gzip.compressor.v3.Gzip",
        crate::envoy::gzip::compressor::Gzip;
    /// Decompression of gzip.
    GZIP_DECOMPRESSOR = "envoy.extensions.compression.gzip.decompressor.v3.Gzip",
        crate::envoy::gzip::decompressor::Gzip;
    /// Wraps a filter's per-route configuration, or disables the filter there.
    ROUTE_FILTER_CONFIG = "envoy.config.route.v3.FilterConfig", crate::envoy::route::FilterConfig;
    /// `istio.stats`, HTTP and TCP.
    ISTIO_STATS = "stats.PluginConfig", crate::istio::stats::PluginConfig;
    /// `istio.peer_metadata`.
    PEER_METADATA = "io.istio.http.peer_metadata.Config", crate::istio::peer_metadata::Config;
    /// `istio.alpn`.
    ISTIO_ALPN = "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig", crate::istio::alpn::FilterConfig;

    // Listener filters.
    /// `envoy.filters.listener.original_dst`.
    ORIGINAL_DST = "envoy.extensions.filters.listener.original_dst.v3.OriginalDst",
        crate::envoy::listener_filters::OriginalDst;
    /// `envoy.filters.listener.tls_inspector`.
    TLS_INSPECTOR = "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
        crate::envoy::listener_filters::TlsInspector;
    /// `envoy.filters.listener.http_inspector`.
    HTTP_INSPECTOR = "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector",
        crate::envoy::listener_filters::HttpInspector;
    /// `envoy.filters.listener.proxy_protocol`.
    PROXY_PROTOCOL = "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
        crate::envoy::listener_filters::ProxyProtocol;

    // Transport sockets and upstream options.
    /// TLS towards clients.
    DOWNSTREAM_TLS_CONTEXT = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        crate::envoy::tls::DownstreamTlsContext;
    /// TLS towards endpoints.
    UPSTREAM_TLS_CONTEXT = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        crate::envoy::tls::UpstreamTlsContext;
    /// No TLS.
    RAW_BUFFER = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer",
        crate::envoy::raw_buffer::RawBuffer;
    /// The PROXY protocol towards endpoints.
    UPSTREAM_PROXY_PROTOCOL =
        "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
        crate::envoy::upstream_proxy_protocol::ProxyProtocolUpstreamTransport;
    /// A cluster's HTTP options.
    HTTP_PROTOCOL_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        crate::envoy::upstream_http::HttpProtocolOptions;

    // Balancers and retries.
    /// Round robin as an extension.
    LB_ROUND_ROBIN = "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin",
        crate::envoy::lb_policies::RoundRobin;
    /// Least request as an extension.
    LB_LEAST_REQUEST = "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest",
        crate::envoy::lb_policies::LeastRequest;
    /// Random as an extension.
    LB_RANDOM = "envoy.extensions.load_balancing_policies.random.v3.Random", crate::envoy::lb_policies::Random;
    /// The cluster's own balancer as an extension.
    LB_CLUSTER_PROVIDED = "envoy.extensions.load_balancing_policies.cluster_provided.v3.ClusterProvided",
        crate::envoy::lb_policies::ClusterProvided;
    /// Retry on a host that has not been tried.
    PREVIOUS_HOSTS = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
        crate::envoy::retry_host::PreviousHostsPredicate;
    /// Retry on a host that is no canary.
    OMIT_CANARY_HOSTS = "envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate",
        crate::envoy::retry_host::OmitCanaryHostsPredicate;
    /// Retry on a host without certain metadata.
    OMIT_HOST_METADATA = "envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig",
        crate::envoy::retry_host::OmitHostMetadataConfig;
    /// Retry in a priority that has not been tried.
    PREVIOUS_PRIORITIES =
        "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
        crate::envoy::retry_priority::PreviousPrioritiesConfig;

    // Access logs.
    /// `envoy.access_loggers.file`.
    FILE_ACCESS_LOG = "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        crate::envoy::file_access_log::FileAccessLog;
    /// `envoy.access_loggers.stdout`.
    STDOUT_ACCESS_LOG = "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
        crate::envoy::stream_access_log::StdoutAccessLog;
    /// `envoy.access_loggers.stderr`.
    STDERR_ACCESS_LOG = "envoy.extensions.access_loggers.stream.v3.StderrAccessLog",
        crate::envoy::stream_access_log::StderrAccessLog;
    /// `envoy.access_loggers.open_telemetry`.
    OTEL_ACCESS_LOG = "envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig",
        crate::envoy::otel_access_log::OpenTelemetryAccessLogConfig;
    /// `envoy.access_loggers.http_grpc`.
    HTTP_GRPC_ACCESS_LOG = "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
        crate::envoy::grpc_access_log::HttpGrpcAccessLogConfig;
    /// `envoy.access_loggers.tcp_grpc`.
    TCP_GRPC_ACCESS_LOG = "envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig",
        crate::envoy::grpc_access_log::TcpGrpcAccessLogConfig;
    /// `envoy.access_loggers.extension_filters.cel`.
    CEL_ACCESS_LOG_FILTER = "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
        crate::envoy::cel_access_log::ExpressionFilter;

    // Traces.
    /// `envoy.tracers.opentelemetry`.
    OPEN_TELEMETRY = "envoy.config.trace.v3.OpenTelemetryConfig", crate::envoy::trace::OpenTelemetryConfig;
    /// `envoy.tracers.zipkin`.
    ZIPKIN = "envoy.config.trace.v3.ZipkinConfig", crate::envoy::trace::ZipkinConfig;
    /// `envoy.tracers.opentelemetry.resource_detectors.environment`.
    OTEL_ENVIRONMENT_DETECTOR =
        "envoy.extensions.tracers.opentelemetry.resource_detectors.v3.EnvironmentResourceDetectorConfig",
        crate::envoy::otel_detectors::EnvironmentResourceDetectorConfig;
    /// `envoy.tracers.opentelemetry.resource_detectors.static_config`.
    OTEL_STATIC_DETECTOR =
        "envoy.extensions.tracers.opentelemetry.resource_detectors.v3.StaticConfigResourceDetectorConfig",
        crate::envoy::otel_detectors::StaticConfigResourceDetectorConfig;
    /// `envoy.tracers.opentelemetry.samplers.always_on`.
    OTEL_ALWAYS_ON = "envoy.extensions.tracers.opentelemetry.samplers.v3.AlwaysOnSamplerConfig",
        crate::envoy::otel_samplers::AlwaysOnSamplerConfig;
    /// `envoy.request_id.uuid`.
    UUID_REQUEST_ID = "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig",
        crate::envoy::request_id::UuidRequestIdConfig;

    // Configuration files and dumps.
    /// A proxy's bootstrap.
    BOOTSTRAP = "envoy.config.bootstrap.v3.Bootstrap", crate::envoy::bootstrap::Bootstrap;
    /// `/config_dump`: bootstrap.
    BOOTSTRAP_CONFIG_DUMP = "envoy.admin.v3.BootstrapConfigDump", crate::envoy::admin::BootstrapConfigDump;
    /// `/config_dump`: listeners.
    LISTENERS_CONFIG_DUMP = "envoy.admin.v3.ListenersConfigDump", crate::envoy::admin::ListenersConfigDump;
    /// `/config_dump`: clusters.
    CLUSTERS_CONFIG_DUMP = "envoy.admin.v3.ClustersConfigDump", crate::envoy::admin::ClustersConfigDump;
    /// `/config_dump`: routes.
    ROUTES_CONFIG_DUMP = "envoy.admin.v3.RoutesConfigDump", crate::envoy::admin::RoutesConfigDump;
    /// `/config_dump`: endpoints.
    ENDPOINTS_CONFIG_DUMP = "envoy.admin.v3.EndpointsConfigDump", crate::envoy::admin::EndpointsConfigDump;
    /// `/config_dump`: secrets, without keys.
    SECRETS_CONFIG_DUMP = "envoy.admin.v3.SecretsConfigDump", crate::envoy::admin::SecretsConfigDump;
}
