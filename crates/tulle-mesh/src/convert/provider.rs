//! Extension providers of the mesh's settings.

use std::time::Duration;

use tulle_api::mesh as api;
use tulle_api::value::WrittenDuration;
use tulle_base::Host;

use crate::provider::{CheckedBody, ExtAuthz, ExtAuthzProtocol, ExtensionProvider, ProviderKind};

/// The provider; `None` for one that names nothing, which is refused before.
pub(super) fn provider(written: &api::MeshExtensionProvider, domain: &str) -> Option<ExtensionProvider> {
    use api::ExtensionProviderKind as Kind;
    let api::MeshExtensionProvider { name, provider } = written;
    let kind = match provider.as_ref()? {
        Kind::EnvoyExtAuthzHttp(p) => ProviderKind::ExtAuthz(Box::new(authz_http(p, domain)?)),
        Kind::EnvoyExtAuthzGrpc(p) => ProviderKind::ExtAuthz(Box::new(authz_grpc(p, domain)?)),
        Kind::Zipkin(p) => ProviderKind::Zipkin(Box::new(super::collector::zipkin(p, domain)?)),
        Kind::Lightstep(_) => ProviderKind::Other("lightstep"),
        Kind::Datadog(_) => ProviderKind::Other("datadog"),
        Kind::Stackdriver(_) => ProviderKind::Other("stackdriver"),
        Kind::Opencensus(_) => ProviderKind::Other("opencensus"),
        Kind::Skywalking(_) => ProviderKind::Other("skywalking"),
        Kind::Opentelemetry(p) => {
            ProviderKind::OpenTelemetry(Box::new(super::collector::open_telemetry(p, domain)?))
        }
        Kind::Prometheus(api::PrometheusProvider {}) => ProviderKind::Prometheus,
        Kind::EnvoyFileAccessLog(p) => ProviderKind::FileLog(Box::new(super::collector::file(p))),
        Kind::EnvoyHttpAls(p) => ProviderKind::GrpcLog(Box::new(super::collector::http_log(p, domain)?)),
        Kind::EnvoyTcpAls(p) => ProviderKind::GrpcLog(Box::new(super::collector::tcp_log(p, domain)?)),
        Kind::EnvoyOtelAls(p) => {
            ProviderKind::OpenTelemetryLog(Box::new(super::collector::otel_log(p, domain)?))
        }
        Kind::Sds(_) => ProviderKind::Other("sds"),
    };
    Some(ExtensionProvider { name: name.clone(), kind })
}

fn authz_http(written: &api::ExtAuthzHttpProvider, domain: &str) -> Option<ExtAuthz> {
    let api::ExtAuthzHttpProvider {
        service,
        port,
        timeout,
        path_prefix,
        fail_open,
        clear_route_cache,
        status_on_error,
        include_headers_in_check,
        include_request_headers_in_check,
        include_additional_headers_in_check,
        include_request_body_in_check,
        headers_to_upstream_on_allow,
        headers_to_downstream_on_deny,
        headers_to_downstream_on_allow,
    } = written;
    let protocol = ExtAuthzProtocol::Http {
        path_prefix: path_prefix.clone(),
        request_headers: match include_request_headers_in_check.is_empty() {
            true => include_headers_in_check.clone(),
            false => include_request_headers_in_check.clone(),
        },
        additional_headers: include_additional_headers_in_check.clone().into_iter().collect(),
        upstream_on_allow: headers_to_upstream_on_allow.clone(),
        downstream_on_deny: headers_to_downstream_on_deny.clone(),
        downstream_on_allow: headers_to_downstream_on_allow.clone(),
    };
    let (namespace, host) = service_of(service, domain);
    Some(ExtAuthz {
        namespace,
        host,
        port: u16::try_from(*port).ok()?,
        timeout: timeout.as_ref().map_or(AUTHZ_TIMEOUT, WrittenDuration::get),
        fail_open: fail_open.unwrap_or(false),
        status_on_error: status(status_on_error),
        clear_route_cache: clear_route_cache.unwrap_or(false),
        body: include_request_body_in_check.as_ref().map(body),
        protocol,
    })
}

/// What gRPC has of it, HTTP has too.
fn authz_grpc(written: &api::ExtAuthzGrpcProvider, domain: &str) -> Option<ExtAuthz> {
    let api::ExtAuthzGrpcProvider {
        service,
        port,
        timeout,
        fail_open,
        clear_route_cache,
        status_on_error,
        include_request_body_in_check,
    } = written.clone();
    let common = api::ExtAuthzHttpProvider {
        service,
        port,
        timeout,
        fail_open,
        clear_route_cache,
        status_on_error,
        include_request_body_in_check,
        ..api::ExtAuthzHttpProvider::default()
    };
    Some(ExtAuthz { protocol: ExtAuthzProtocol::Grpc, ..authz_http(&common, domain)? })
}

/// Istio's default.
const AUTHZ_TIMEOUT: Duration = Duration::from_secs(600);

/// `[NAMESPACE/]HOST`; a host without a dot is a service of the namespace before it.
pub(super) fn service_of(written: &str, domain: &str) -> (String, Host) {
    let (namespace, host) = written.split_once('/').unwrap_or(("", written));
    let full = match host.contains('.') || namespace.is_empty() {
        true => host.to_owned(),
        false => format!("{host}.{namespace}.svc.{domain}"),
    };
    (namespace.to_owned(), Host::new(&full))
}

fn status(written: &str) -> u16 {
    written.parse().ok().filter(|s| (200..600).contains(s)).unwrap_or(403)
}

fn body(written: &api::ExtAuthzRequestBody) -> CheckedBody {
    let api::ExtAuthzRequestBody { max_request_bytes, allow_partial_message, pack_as_bytes } = written;
    CheckedBody {
        max_bytes: max_request_bytes.unwrap_or(0),
        allow_partial: allow_partial_message.unwrap_or(false),
        as_bytes: pack_as_bytes.unwrap_or(false),
    }
}
