//! Tracing of connection managers and routes, and its providers.

use std::sync::Arc;
use std::time::Duration;

use tulle_proto::envoy::tracing::{CustomTag as Written, custom_tag};
use tulle_proto::envoy::{
    core, http_connection_manager as hcm, kind, otel_detectors, otel_samplers, request_id, route, trace,
};
use tulle_proto::type_url;
use tulle_telemetry::access_log::AccessLogFormat;

use super::context::{At, Context, UNSUPPORTED};
use super::grpc_service::grpc_service;
use super::matcher::header_name;
use super::value::{flag, fraction, named, number, percent_fraction, text};
use crate::runtime::http_manager::RequestIdOptions;
use crate::runtime::matcher::Fraction;
use crate::runtime::tracing::{
    CustomTag, HttpTarget, OtlpTarget, RouteTracing, TagValue, Tracer, TracerKind, Tracing,
};

/// Envoy's default of `max_path_tag_length`.
const MAX_PATH: u32 = 256;
/// Envoy's default of `max_cache_size`.
const MAX_SPANS: u32 = 1024;
/// The most spans that may wait, whatever is written.
const MOST_SPANS: u32 = 65_536;
/// How long a collector may take where nothing is written.
const PATIENCE: Duration = Duration::from_secs(5);

/// `tracing` of a connection manager. `None` is a problem, `Some(None)` no tracing.
pub(super) fn tracing(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&hcm::http_connection_manager::Tracing>,
) -> Option<Option<Tracing>> {
    let Some(hcm::http_connection_manager::Tracing {
        client_sampling,
        random_sampling,
        overall_sampling,
        verbose,
        max_path_tag_length,
        custom_tags,
        provider,
        spawn_upstream_span,
        operation,
        upstream_operation,
        no_context_propagation,
    }) = message
    else {
        return Some(None);
    };
    no_effect!(cx, at, verbose: "spans tell retries, timeouts and policies as events instead");
    let share = |cx: &mut Context<'_>, name: &str, percent: &Option<kind::Percent>| match percent {
        Some(percent) => percent_fraction(cx, &at.field(name), percent),
        None => Some(Fraction::ALWAYS),
    };
    let client = share(cx, "client_sampling", client_sampling);
    let random = share(cx, "random_sampling", random_sampling);
    let overall = share(cx, "overall_sampling", overall_sampling);
    let tags = tags(cx, &at.field("custom_tags"), custom_tags);
    let tracer = tracer(cx, &at.field("provider"), provider.as_ref());
    let operation = format(cx, &at.field("operation"), operation);
    let upstream_operation = format(cx, &at.field("upstream_operation"), upstream_operation);
    Some(Some(Tracing {
        client: client?,
        random: random?,
        overall: overall?,
        max_path: number(max_path_tag_length.as_ref(), MAX_PATH) as usize,
        tags: tags?,
        tracer: tracer?,
        spawn_upstream: flag(spawn_upstream_span.as_ref(), false),
        no_propagation: *no_context_propagation,
        operation: operation?,
        upstream_operation: upstream_operation?,
    }))
}

/// `tracing` of a route.
pub(super) fn of_route(cx: &mut Context<'_>, at: &At<'_>, message: &route::Tracing) -> Option<RouteTracing> {
    let route::Tracing {
        client_sampling,
        random_sampling,
        overall_sampling,
        custom_tags,
        operation,
        upstream_operation,
    } = message;
    refuse!(cx, at, operation: "is not supported: use decorator", upstream_operation: UNSUPPORTED);
    let share = |cx: &mut Context<'_>, name: &str, written: &Option<kind::FractionalPercent>| {
        written.as_ref().map_or(Fraction::ALWAYS, |f| fraction(cx, &at.field(name), f))
    };
    Some(RouteTracing {
        client: share(cx, "client_sampling", client_sampling),
        random: share(cx, "random_sampling", random_sampling),
        overall: share(cx, "overall_sampling", overall_sampling),
        tags: tags(cx, &at.field("custom_tags"), custom_tags)?,
    })
}

fn format(cx: &mut Context<'_>, at: &At<'_>, written: &str) -> Option<Arc<str>> {
    if let Err(error) = AccessLogFormat::text(written, true) {
        cx.refuse(at, error.to_string());
        return None;
    }
    Some(text(written))
}

pub(super) fn tags(cx: &mut Context<'_>, at: &At<'_>, list: &[Written]) -> Option<Arc<[CustomTag]>> {
    list.iter().enumerate().map(|(i, message)| tag(cx, &at.index(i), message)).collect()
}

fn tag(cx: &mut Context<'_>, at: &At<'_>, message: &Written) -> Option<CustomTag> {
    use custom_tag::Type;
    let Written { tag, r#type } = message;
    let name = named(cx, &at.field("tag"), tag);
    let value = match r#type {
        Some(Type::Literal(custom_tag::Literal { value })) => TagValue::Literal(text(value)),
        Some(Type::Environment(custom_tag::Environment { name, default_value })) => TagValue::Environment(
            named(cx, &at.field("environment").field("name"), name),
            text(default_value),
        ),
        Some(Type::RequestHeader(custom_tag::Header { name, default_value })) => {
            let name = header_name(cx, &at.field("request_header").field("name"), name)?;
            TagValue::Format(format!("%REQ({})%", name.as_str()).into(), text(default_value))
        }
        Some(Type::Metadata(message)) => metadata(cx, &at.field("metadata"), message)?,
        Some(Type::Value(written)) => TagValue::Format(format(cx, &at.field("value"), written)?, text("")),
        None => {
            cx.refuse(at, "needs literal, environment, request_header, metadata or value");
            return None;
        }
    };
    Some(CustomTag { name, value })
}

/// Metadata are read by the operator that reads them in access logs.
fn metadata(cx: &mut Context<'_>, at: &At<'_>, message: &custom_tag::Metadata) -> Option<TagValue> {
    use tulle_proto::envoy::metadata::{
        MetadataKey,
        metadata_key::{PathSegment, path_segment::Segment},
        metadata_kind::Kind,
    };
    let custom_tag::Metadata { kind, metadata_key, default_value } = message;
    let source = match kind.as_ref().and_then(|kind| kind.kind.as_ref()) {
        Some(Kind::Request(_)) => "DYNAMIC",
        Some(Kind::Route(_)) => "ROUTE",
        Some(Kind::Cluster(_)) => "CLUSTER",
        Some(Kind::Host(_)) => "UPSTREAM_HOST",
        None => {
            cx.refuse(&at.field("kind"), "needs request, route, cluster or host");
            return None;
        }
    };
    let key_at = at.field("metadata_key");
    let MetadataKey { key, path } = cx.required(&key_at, metadata_key.as_ref())?;
    let mut written = format!("%METADATA({source}:{key}");
    for PathSegment { segment } in path {
        let Some(Segment::Key(step)) = segment else { continue };
        written.push(':');
        written.push_str(step);
    }
    written.push_str(")%");
    let format = format(cx, &key_at, &written)?;
    Some(TagValue::Format(format, text(default_value)))
}

/// `None` is a problem, `Some(None)` nobody.
fn tracer(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&trace::tracing::Http>,
) -> Option<Option<Arc<Tracer>>> {
    use trace::tracing::http::ConfigType;
    let Some(trace::tracing::Http { name: _the_type_decides, config_type }) = message else {
        return Some(None);
    };
    let at = at.field("typed_config");
    let Some(ConfigType::TypedConfig(any)) = config_type else {
        cx.refuse(&at, "is required");
        return None;
    };
    let tracer = match any.type_url.as_str() {
        type_url::OPEN_TELEMETRY => {
            let message: trace::OpenTelemetryConfig = cx.unpack(&at, any)?;
            open_telemetry(cx, &at, &message)?
        }
        type_url::ZIPKIN => {
            let message: trace::ZipkinConfig = cx.unpack(&at, any)?;
            zipkin(cx, &at, &message)?
        }
        _ => {
            cx.unknown_extension(&at, any, "tracer", &[type_url::OPEN_TELEMETRY, type_url::ZIPKIN]);
            return None;
        }
    };
    Some(Some(Arc::new(tracer)))
}

fn open_telemetry(cx: &mut Context<'_>, at: &At<'_>, message: &trace::OpenTelemetryConfig) -> Option<Tracer> {
    let trace::OpenTelemetryConfig {
        grpc_service: grpc,
        http_service: http,
        exporter,
        service_name,
        resource_detectors,
        sampler,
        max_cache_size,
        set_telemetry_sdk_resource_attributes: sdk,
        set_service_name_resource_attribute: named,
        set_instrumentation_scope: scope,
    } = message;
    refuse!(cx, at, exporter: "is not supported: use grpc_service or http_service");
    let to = match (grpc, http) {
        (None, None) => OtlpTarget::Nobody,
        (Some(_), None) => OtlpTarget::Grpc(otlp_grpc(cx, &at.field("grpc_service"), grpc.as_ref())?),
        (None, Some(http)) => OtlpTarget::Http(http_service(cx, &at.field("http_service"), http)?),
        (Some(_), Some(_)) => {
            cx.refuse(&at.field("http_service"), "stands beside grpc_service; keep one of them");
            return None;
        }
    };
    let (resource, environment) = detectors(cx, &at.field("resource_detectors"), resource_detectors)?;
    let always = self::sampler(cx, &at.field("sampler"), sampler.as_ref())?;
    let service = match (flag(named.as_ref(), true), service_name.as_str()) {
        (false, _) => "",
        (true, "") => "unknown_service:envoy",
        (true, name) => name,
    };
    let (sdk, scope) = (flag(sdk.as_ref(), true), flag(scope.as_ref(), true));
    Some(Tracer {
        kind: TracerKind::Otlp { to, resource, environment, sdk, scope, always },
        service: text(service),
        most: number(max_cache_size.as_ref(), MAX_SPANS).min(MOST_SPANS) as usize,
    })
}

/// A collector over gRPC; it may take as long as any where nothing is written.
pub(super) fn otlp_grpc(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&core::GrpcService>,
) -> Option<crate::runtime::grpc_service::GrpcService> {
    let mut service = grpc_service(cx, at, message, None)?;
    service.timeout = Some(service.timeout.unwrap_or(PATIENCE));
    Some(service)
}

/// Attributes from the configuration, and whether there are some in the environment.
type Detected = (Vec<(Arc<str>, Arc<str>)>, bool);

pub(super) fn detectors(
    cx: &mut Context<'_>,
    at: &At<'_>,
    list: &[core::TypedExtensionConfig],
) -> Option<Detected> {
    let (mut resource, mut environment) = (Vec::new(), false);
    for (i, core::TypedExtensionConfig { name: _, typed_config }) in list.iter().enumerate() {
        let item = at.index(i);
        let at = item.field("typed_config");
        let any = cx.required(&at, typed_config.as_ref())?;
        match any.type_url.as_str() {
            type_url::OTEL_ENVIRONMENT_DETECTOR => environment = true,
            type_url::OTEL_STATIC_DETECTOR => {
                let otel_detectors::StaticConfigResourceDetectorConfig { attributes } =
                    cx.unpack(&at, any)?;
                resource.extend(attributes.iter().map(|(k, v)| (text(k), text(v))));
                resource.sort();
            }
            _ => {
                let known = [type_url::OTEL_ENVIRONMENT_DETECTOR, type_url::OTEL_STATIC_DETECTOR];
                cx.unknown_extension(&at, any, "resource detector", &known);
            }
        }
    }
    Some((resource, environment))
}

fn sampler(cx: &mut Context<'_>, at: &At<'_>, message: Option<&core::TypedExtensionConfig>) -> Option<bool> {
    let Some(core::TypedExtensionConfig { name: _, typed_config }) = message else { return Some(false) };
    let at = at.field("typed_config");
    let any = cx.required(&at, typed_config.as_ref())?;
    if any.type_url != type_url::OTEL_ALWAYS_ON {
        cx.unknown_extension(&at, any, "sampler", &[type_url::OTEL_ALWAYS_ON]);
        return None;
    }
    let otel_samplers::AlwaysOnSamplerConfig {} = cx.unpack(&at, any)?;
    Some(true)
}

fn zipkin(cx: &mut Context<'_>, at: &At<'_>, message: &trace::ZipkinConfig) -> Option<Tracer> {
    use trace::zipkin_config::{CollectorEndpointVersion as Version, TraceContextOption};
    #[allow(deprecated, reason = "it is still sent")]
    let trace::ZipkinConfig {
        collector_cluster,
        collector_endpoint,
        trace_id_128bit,
        shared_span_context,
        collector_endpoint_version: version,
        collector_hostname,
        split_spans_for_request,
        trace_context_option,
        collector_service,
        timestamp_trace_ids,
    } = message;
    no_effect!(cx, at, timestamp_trace_ids: "ids of traces are random");
    no_effect!(cx, at, split_spans_for_request: "spawn_upstream_span decides");
    let version: Version = cx.choice(&at.field("collector_endpoint_version"), *version)?;
    #[allow(deprecated, reason = "it is the default")]
    if version == Version::HttpProto {
        cx.refuse(&at.field("collector_endpoint_version"), "HTTP_PROTO is not supported: use HTTP_JSON");
    }
    let w3c = match cx.choice(&at.field("trace_context_option"), *trace_context_option)? {
        TraceContextOption::UseB3 => false,
        TraceContextOption::UseB3WithW3cPropagation => true,
    };
    let to = match collector_service {
        Some(service) => http_service(cx, &at.field("collector_service"), service)?,
        None => HttpTarget {
            cluster: named(cx, &at.field("collector_cluster"), collector_cluster),
            path: named(cx, &at.field("collector_endpoint"), collector_endpoint),
            authority: text(if collector_hostname.is_empty() {
                collector_cluster
            } else {
                collector_hostname
            }),
            timeout: PATIENCE,
            headers: Vec::new(),
        },
    };
    let shared = flag(shared_span_context.as_ref(), true);
    Some(Tracer {
        kind: TracerKind::Zipkin { to, long: *trace_id_128bit, shared, w3c },
        service: text(""),
        most: MAX_SPANS as usize,
    })
}

/// A place that takes POST requests.
pub(super) fn http_service(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &core::HttpService,
) -> Option<HttpTarget> {
    let core::HttpService { http_uri, request_headers_to_add, formatters } = message;
    refuse!(cx, at, formatters: UNSUPPORTED);
    let uri_at = at.field("http_uri");
    let core::HttpUri { uri, timeout, http_upstream_type } = cx.required(&uri_at, http_uri.as_ref())?;
    let cluster = match http_upstream_type {
        Some(core::http_uri::HttpUpstreamType::Cluster(cluster)) => {
            named(cx, &uri_at.field("cluster"), cluster)
        }
        None => {
            cx.refuse(&uri_at.field("cluster"), "is required");
            return None;
        }
    };
    let rest = uri.split_once("://").map_or(uri.as_str(), |(_, rest)| rest);
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let list_at = at.field("request_headers_to_add");
    let mut headers = Vec::with_capacity(request_headers_to_add.len());
    for (i, option) in request_headers_to_add.iter().enumerate() {
        let item = list_at.index(i);
        let at = item.field("header");
        let core::HeaderValue { key, value, raw_value } = cx.required(&at, option.header.as_ref())?;
        refuse!(cx, at, raw_value: UNSUPPORTED);
        if value.contains('%') {
            cx.refuse(&at.field("value"), "variables are not supported here");
        }
        headers.push((header_name(cx, &at.field("key"), key)?, text(value)));
    }
    let timeout = cx.limit(&uri_at.field("timeout"), timeout.as_ref(), None).unwrap_or(PATIENCE);
    let authority = text(if authority.is_empty() { &cluster } else { authority });
    let path = text(if path.is_empty() { "/" } else { path });
    Some(HttpTarget { cluster, authority, path, timeout, headers })
}

/// What becomes of `x-request-id`; the only kind is that of UUIDs.
pub(super) fn request_ids(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &hcm::HttpConnectionManager,
) -> RequestIdOptions {
    let mut out = RequestIdOptions {
        generate: flag(message.generate_request_id.as_ref(), true),
        preserve_external: message.preserve_external_request_id,
        always_in_response: message.always_set_request_id_in_response,
        pack: true,
        decides: true,
    };
    let outer = at.field("request_id_extension");
    let at = outer.field("typed_config");
    let Some(hcm::RequestIdExtension { typed_config: Some(any) }) = &message.request_id_extension else {
        return out;
    };
    if any.type_url != type_url::UUID_REQUEST_ID {
        cx.unknown_extension(&at, any, "request id", &[type_url::UUID_REQUEST_ID]);
        return out;
    }
    if let Some(request_id::UuidRequestIdConfig {
        pack_trace_reason: pack,
        use_request_id_for_trace_sampling: decides,
    }) = cx.unpack(&at, any)
    {
        out.pack = flag(pack.as_ref(), true);
        out.decides = flag(decides.as_ref(), true);
    }
    out
}
