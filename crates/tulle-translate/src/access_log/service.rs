//! Access logs that go to services, as Istio configures them.

use tulle_mesh::provider::{GrpcLog, OpenTelemetryLog};
use tulle_proto::envoy::accesslog::{AccessLog, access_log::ConfigType};
use tulle_proto::envoy::core::{
    ApiVersion, GrpcService,
    grpc_service::{EnvoyGrpc, TargetSpecifier},
};
use tulle_proto::envoy::grpc_access_log::{
    CommonGrpcAccessLogConfig, HttpGrpcAccessLogConfig, TcpGrpcAccessLogConfig,
};
use tulle_proto::envoy::otel_access_log::OpenTelemetryAccessLogConfig;
use tulle_proto::otlp::{KeyValueList, pair, text};

use super::TEXT;
use crate::pb::pack;

fn log(name: &str, config: &impl tulle_proto::Message) -> AccessLog {
    AccessLog {
        name: name.to_owned(),
        filter: None,
        config_type: Some(ConfigType::TypedConfig(pack(config))),
    }
}

fn common(cluster: String, authority: &str, name: &str) -> Option<CommonGrpcAccessLogConfig> {
    Some(CommonGrpcAccessLogConfig {
        log_name: name.to_owned(),
        grpc_service: Some(GrpcService {
            target_specifier: Some(TargetSpecifier::EnvoyGrpc(EnvoyGrpc {
                cluster_name: cluster,
                authority: authority.to_owned(),
                ..EnvoyGrpc::default()
            })),
            ..GrpcService::default()
        }),
        transport_api_version: ApiVersion::V3 as i32,
        ..CommonGrpcAccessLogConfig::default()
    })
}

/// Entries of requests, for the mesh's own service.
pub(super) fn http(cluster: String, name: &str) -> AccessLog {
    let common_config = common(cluster, "", name);
    let config = HttpGrpcAccessLogConfig { common_config, ..HttpGrpcAccessLogConfig::default() };
    log("envoy.access_loggers.http_grpc", &config)
}

/// Entries of connections, for the mesh's own service.
pub(super) fn tcp(cluster: String, name: &str) -> AccessLog {
    let config = TcpGrpcAccessLogConfig { common_config: common(cluster, "", name) };
    log("envoy.access_loggers.tcp_grpc", &config)
}

/// What a provider of Envoy's service gets. One of TCP gets requests as connections.
pub(super) fn provider(to: &GrpcLog, cluster: String) -> AccessLog {
    let GrpcLog { at, name, http, request_headers, response_headers, response_trailers } = to;
    let common_config = common(cluster, &at.host.to_string(), name);
    if !http {
        return log("envoy.access_loggers.tcp_grpc", &TcpGrpcAccessLogConfig { common_config });
    }
    let config = HttpGrpcAccessLogConfig {
        common_config,
        additional_request_headers_to_log: request_headers.clone(),
        additional_response_headers_to_log: response_headers.clone(),
        additional_response_trailers_to_log: response_trailers.clone(),
    };
    log("envoy.access_loggers.http_grpc", &config)
}

/// What a collector of OpenTelemetry gets: Istio's text as the body if there is no other, and attributes.
#[allow(deprecated, reason = "as Istio writes it; every Envoy reads it")]
pub(super) fn open_telemetry(to: &OpenTelemetryLog, cluster: String) -> AccessLog {
    let OpenTelemetryLog { at, name, text: written, labels } = to;
    let body = if written.is_empty() { TEXT } else { written };
    let labels = labels.iter().filter_map(|l| l.as_object()).flatten();
    let values: Vec<_> = labels.map(|(key, value)| pair(key, value.as_str().unwrap_or_default())).collect();
    let config = OpenTelemetryAccessLogConfig {
        common_config: common(cluster, &at.host.to_string(), name),
        disable_builtin_labels: true,
        body: Some(text(body)),
        attributes: (!values.is_empty()).then_some(KeyValueList { values }),
        ..OpenTelemetryAccessLogConfig::default()
    };
    log("envoy.access_loggers.open_telemetry", &config)
}
