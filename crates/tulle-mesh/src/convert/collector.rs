//! Providers that take spans and access logs.

use std::time::Duration;

use tulle_api::mesh as api;
use tulle_api::value::WrittenDuration;

use super::provider::service_of;
use crate::provider::{At, FileLog, GrpcLog, LogForm, OpenTelemetry, OpenTelemetryLog, Zipkin};
use crate::proxies::ProxyTracing;
use crate::telemetry::CustomTag;

/// Istio's defaults.
const OTLP_HTTP: Duration = Duration::from_secs(3);
const OTLP_GRPC: Duration = Duration::from_millis(500);
const ZIPKIN: Duration = Duration::from_secs(5);

/// `None` for a port that is none, which is refused before.
fn at(service: &str, port: u32, domain: &str) -> Option<At> {
    let (namespace, host) = service_of(service, domain);
    Some(At { namespace, host, port: u16::try_from(port).ok().filter(|p| *p > 0)? })
}

fn headers(written: &[api::ProviderHeader]) -> Vec<(String, String)> {
    let one = |header: &api::ProviderHeader| {
        let api::ProviderHeader { name, header_value } = header;
        match header_value {
            Some(api::ProviderHeaderValue::Value(value)) => Some((name.clone(), value.clone())),
            // Names of environment variables of the control plane are not read: their listing says so.
            _ => None,
        }
    };
    written.iter().filter_map(one).collect()
}

pub(super) fn open_telemetry(written: &api::OpentelemetryProvider, domain: &str) -> Option<OpenTelemetry> {
    let api::OpentelemetryProvider {
        service,
        port,
        max_tag_length,
        http,
        grpc,
        resource_detectors,
        service_attribute_enrichment: _,
        sampling: _,
    } = written;
    let (timeout, sent) = match (http, grpc) {
        (Some(api::ProviderHttpService { path: _, timeout, headers }), _) => {
            (timeout.as_ref().map_or(OTLP_HTTP, WrittenDuration::get), headers.as_slice())
        }
        (None, Some(api::ProviderGrpcService { timeout, initial_metadata })) => {
            (timeout.as_ref().map_or(OTLP_GRPC, WrittenDuration::get), initial_metadata.as_slice())
        }
        (None, None) => (OTLP_GRPC, &[][..]),
    };
    Some(OpenTelemetry {
        at: at(service, *port, domain)?,
        max_tag: *max_tag_length,
        http: http.as_ref().map(|h| h.path.clone()),
        timeout,
        headers: headers(sent),
        environment: resource_detectors.as_ref().is_some_and(|d| d.environment.is_some()),
    })
}

pub(super) fn zipkin(written: &api::ZipkinProvider, domain: &str) -> Option<Zipkin> {
    let api::ZipkinProvider {
        service,
        port,
        max_tag_length,
        enable64bit_trace_id,
        path,
        trace_context_option,
        timeout,
        headers: sent,
    } = written;
    Some(Zipkin {
        at: at(service, *port, domain)?,
        max_tag: *max_tag_length,
        long: !enable64bit_trace_id.unwrap_or(false),
        path: if path.is_empty() { "/api/v2/spans".to_owned() } else { path.clone() },
        w3c: *trace_context_option == Some(api::ZipkinTraceContext::UseB3WithW3cPropagation),
        timeout: timeout.as_ref().map_or(ZIPKIN, WrittenDuration::get),
        headers: headers(sent),
    })
}

pub(super) fn file(written: &api::FileAccessLogProvider) -> FileLog {
    let api::FileAccessLogProvider { path, log_format, omit_empty_values } = written;
    let form = match log_format.as_ref().and_then(|f| f.log_format.as_ref()) {
        None => LogForm::Default,
        Some(api::LogFormatForm::Text(text)) => LogForm::Text(text.clone()),
        Some(api::LogFormatForm::Labels(labels)) => LogForm::Json(labels.clone()),
    };
    FileLog {
        path: if path.is_empty() { "/dev/stdout".to_owned() } else { path.clone() },
        form,
        omit_empty: omit_empty_values.unwrap_or(false),
    }
}

fn named(written: &str, default: &str) -> String {
    if written.is_empty() { default.to_owned() } else { written.to_owned() }
}

pub(super) fn http_log(written: &api::HttpGrpcLogProvider, domain: &str) -> Option<GrpcLog> {
    let api::HttpGrpcLogProvider {
        service,
        port,
        log_name,
        filter_state_objects_to_log: _,
        additional_request_headers_to_log: request,
        additional_response_headers_to_log: response,
        additional_response_trailers_to_log: trailers,
    } = written;
    Some(GrpcLog {
        at: at(service, *port, domain)?,
        name: named(log_name, "http_envoy_accesslog"),
        http: true,
        request_headers: request.clone(),
        response_headers: response.clone(),
        response_trailers: trailers.clone(),
    })
}

pub(super) fn tcp_log(written: &api::TcpGrpcLogProvider, domain: &str) -> Option<GrpcLog> {
    let api::TcpGrpcLogProvider { service, port, log_name, filter_state_objects_to_log: _ } = written;
    Some(GrpcLog {
        at: at(service, *port, domain)?,
        name: named(log_name, "tcp_envoy_accesslog"),
        http: false,
        request_headers: Vec::new(),
        response_headers: Vec::new(),
        response_trailers: Vec::new(),
    })
}

pub(super) fn otel_log(written: &api::OpentelemetryLogProvider, domain: &str) -> Option<OpenTelemetryLog> {
    let api::OpentelemetryLogProvider { service, port, log_name, log_format } = written;
    let (text, labels) = match log_format {
        Some(api::OpentelemetryLogFormat { text, labels }) => (text.clone(), labels.clone()),
        None => (String::new(), None),
    };
    Some(OpenTelemetryLog {
        at: at(service, *port, domain)?,
        name: named(log_name, "otel_envoy_accesslog"),
        text,
        labels,
    })
}

/// What `tracing` of a proxy's settings says. Collectors other than Zipkin are refused by their listing.
pub(super) fn of_proxy(written: &api::MeshTracing) -> ProxyTracing {
    let api::MeshTracing {
        custom_tags,
        max_path_tag_length,
        sampling,
        tls_settings: _,
        enable_istio_tags,
        tracer,
    } = written;
    let tags = custom_tags.iter().filter_map(|(name, tag)| Some((name.clone(), custom_tag(tag)?)));
    ProxyTracing {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "cut to what a percentage may be"
        )]
        share: sampling.map(|percent| (percent.clamp(0.0, 100.0) * 100.0).round() as u32),
        max_path: *max_path_tag_length,
        tags: (!custom_tags.is_empty()).then(|| tags.collect()),
        istio_tags: *enable_istio_tags,
        zipkin: match tracer {
            Some(api::MeshTracer::Zipkin(api::TracerAddress { address })) => address_of(address),
            _ => None,
        },
    }
}

/// The service that `envoyAccessLogService` names.
pub(super) fn log_service(written: &api::RemoteService) -> Option<At> {
    let api::RemoteService { address, tls_settings: _, tcp_keepalive: _ } = written;
    address_of(address)
}

/// `NAME.NAMESPACE:PORT` or `HOST:PORT`.
fn address_of(address: &str) -> Option<At> {
    let (host, port) = address.rsplit_once(':')?;
    let full = match host.split('.').count() {
        2 => format!("{host}.svc.cluster.local"),
        _ => host.to_owned(),
    };
    let port = port.parse().ok().filter(|p| *p > 0)?;
    Some(At { namespace: String::new(), host: tulle_base::Host::new(&full), port })
}

fn custom_tag(written: &api::MeshCustomTag) -> Option<CustomTag> {
    Some(match written {
        api::MeshCustomTag::Literal(api::MeshTagLiteral { value }) => CustomTag::Literal(value.clone()),
        api::MeshCustomTag::Environment(api::MeshTagSource { name, default_value }) => {
            CustomTag::Environment { name: name.clone(), default: default_value.clone() }
        }
        api::MeshCustomTag::Header(api::MeshTagSource { name, default_value }) => {
            CustomTag::Header { name: name.to_ascii_lowercase(), default: default_value.clone() }
        }
        api::MeshCustomTag::Unset => return None,
    })
}
