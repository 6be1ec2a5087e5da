//! Traces: what Telemetry and the mesh's settings say of them, as connection managers have it.
//!
//! What differs from proxy to proxy (the service's name, its labels) is not sent: proxies of ours fill it in themselves, so that all
//! proxies of a namespace share their listeners.

use std::collections::BTreeMap;
use std::time::Duration;

use tulle_mesh::Snapshot;
use tulle_mesh::provider::{At, OpenTelemetry, ProviderKind, Zipkin};
use tulle_mesh::proxies::ProxySettings;
use tulle_mesh::telemetry::{CustomTag, Mode};
use tulle_proto::envoy::core::{
    GrpcService, HeaderValue, HeaderValueOption, HttpService, HttpUri, TypedExtensionConfig,
    grpc_service::{EnvoyGrpc, TargetSpecifier},
    http_uri::HttpUpstreamType,
};
use tulle_proto::envoy::http_connection_manager::{
    HttpConnectionManager, RequestIdExtension, http_connection_manager::Tracing,
};
use tulle_proto::envoy::kind::Percent;
use tulle_proto::envoy::otel_detectors::EnvironmentResourceDetectorConfig;
use tulle_proto::envoy::request_id::UuidRequestIdConfig;
use tulle_proto::envoy::trace::{
    OpenTelemetryConfig, ZipkinConfig, tracing::Http, tracing::http::ConfigType, zipkin_config,
};
use tulle_proto::envoy::tracing::{CustomTag as Tag, custom_tag};

use crate::access_log::{self, Logs};
use crate::names::ClusterName;
use crate::pb::{boolv, duration, pack, u32v};
use crate::proxy::{Kind, Proxy};

/// The provider that is always there: contexts travel, and spans are kept by the control plane.
const BUILT_IN: &str = "tulle";
/// Istio's default share of requests, in hundredths of a percent.
const DEFAULT_SHARE: u32 = 100;
/// Istio's own tags, with the variables by which a proxy of ours knows itself.
const OWN: &[(&str, &str)] = &[
    ("istio.canonical_revision", "TULLE_CANONICAL_REVISION"),
    ("istio.canonical_service", "TULLE_CANONICAL_SERVICE"),
    ("istio.cluster_id", "TULLE_CLUSTER_ID"),
    ("istio.mesh_id", "TULLE_MESH_ID"),
    ("istio.namespace", "TULLE_NAMESPACE"),
];

/// Tracing at one end of requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traced {
    tracing: Option<Tracing>,
    request_id: Option<RequestIdExtension>,
    /// Access logs.
    pub(crate) logs: Logs,
}

impl Traced {
    /// Writes it into a connection manager.
    pub(crate) fn put(&self, manager: &mut HttpConnectionManager) {
        manager.tracing.clone_from(&self.tracing);
        manager.request_id_extension.clone_from(&self.request_id);
        manager.access_log.clone_from(&self.logs.http);
    }
}

/// What is in force for an end.
#[derive(Default)]
struct Spec<'a> {
    provider: Option<&'a str>,
    disabled: bool,
    share: Option<f64>,
    tags: Option<&'a BTreeMap<String, CustomTag>>,
    by_request_id: bool,
    istio_tags: Option<bool>,
    not_passed_on: bool,
}

/// Tracing of `proxy` at one end: of requests that go out (`Client`, gateways too) or come in (`Server`).
pub(crate) fn of(snapshot: &Snapshot, proxy: &Proxy, settings: &ProxySettings, end: Mode) -> Traced {
    Traced { logs: access_log::of(snapshot, proxy, settings, end), ..traces(snapshot, proxy, settings, end) }
}

fn traces(snapshot: &Snapshot, proxy: &Proxy, settings: &ProxySettings, end: Mode) -> Traced {
    let mesh = snapshot.mesh();
    let mut spec = Spec { by_request_id: true, ..Spec::default() };
    spec.provider = mesh.default_tracing.first().map(String::as_str);
    let mut written = false;
    for document in snapshot.telemetry_of(proxy.namespace(), &proxy.labels) {
        for one in document.tracing.iter().take(1) {
            written = true;
            if one.mode.includes(end) {
                over(&mut spec, one);
            }
        }
    }
    let gateway = proxy.kind == Kind::Router;
    if !written && spec.provider.is_none() {
        if !mesh.enable_tracing {
            return Traced::default();
        }
        let provider = settings.tracing.zipkin.as_ref().and_then(|at| legacy(snapshot, proxy, at));
        return traced(settings, &spec, provider, (proxy.stock_envoy, gateway), None);
    }
    let Some(name) = spec.provider.filter(|_| !spec.disabled) else { return Traced::default() };
    let Some((provider, max_path)) = provider(snapshot, proxy, name) else { return Traced::default() };
    traced(settings, &spec, Some(provider), (proxy.stock_envoy, gateway), max_path)
}

/// Puts a document over what weaker ones say.
fn over<'a>(spec: &mut Spec<'a>, one: &'a tulle_mesh::telemetry::Tracing) {
    let tulle_mesh::telemetry::Tracing {
        mode: _, // the caller's
        providers,
        sampling,
        disabled,
        tags,
        sampled_by_request_id,
        istio_tags,
        not_passed_on,
    } = one;
    spec.provider = providers.first().map(String::as_str).or(spec.provider);
    spec.share = sampling.or(spec.share);
    spec.disabled = disabled.unwrap_or(spec.disabled);
    spec.tags = tags.as_ref().or(spec.tags);
    spec.by_request_id = sampled_by_request_id.unwrap_or(spec.by_request_id);
    spec.istio_tags = istio_tags.or(spec.istio_tags);
    spec.not_passed_on = not_passed_on.unwrap_or(spec.not_passed_on);
}

fn traced(
    settings: &ProxySettings,
    spec: &Spec<'_>,
    provider: Option<Http>,
    (stock, gateway): (bool, bool),
    max_path: Option<u32>,
) -> Traced {
    let own = &settings.tracing;
    let share = spec.share.unwrap_or_else(|| f64::from(own.share.unwrap_or(DEFAULT_SHARE)) / 100.0);
    let percent = |value: f64| Some(Percent { value });
    let istio_tags = spec.istio_tags.or(own.istio_tags).unwrap_or(true);
    let tracing = Tracing {
        client_sampling: percent(100.0),
        random_sampling: percent(share),
        overall_sampling: percent(100.0),
        max_path_tag_length: max_path.or(own.max_path).and_then(u32v),
        custom_tags: tags(spec.tags.or(own.tags.as_ref()), istio_tags && !stock),
        provider,
        // A gateway is a hop of its own; a sidecar is one end of it.
        spawn_upstream_span: if gateway { boolv(true) } else { None },
        no_context_propagation: spec.not_passed_on,
        ..Tracing::default()
    };
    let request_id = (!spec.by_request_id).then(|| RequestIdExtension {
        typed_config: Some(pack(&UuidRequestIdConfig {
            use_request_id_for_trace_sampling: boolv(false),
            ..UuidRequestIdConfig::default()
        })),
    });
    Traced { tracing: Some(tracing), request_id, logs: Logs::default() }
}

fn tags(written: Option<&BTreeMap<String, CustomTag>>, istio: bool) -> Vec<Tag> {
    use custom_tag::{Environment, Header, Literal, Type};
    let environment = |name: &str, default: &str| {
        Type::Environment(Environment { name: name.to_owned(), default_value: default.to_owned() })
    };
    let mut all: BTreeMap<&str, Type> = BTreeMap::new();
    if istio {
        all.extend(OWN.iter().map(|(tag, variable)| (*tag, environment(variable, ""))));
    }
    for (name, tag) in written.into_iter().flatten() {
        let value = match tag {
            CustomTag::Literal(value) => Type::Literal(Literal { value: value.clone() }),
            CustomTag::Environment { name, default } => environment(name, default),
            CustomTag::Header { name, default } => {
                Type::RequestHeader(Header { name: name.clone(), default_value: default.clone() })
            }
            CustomTag::Formatter(format) => Type::Value(format.clone()),
        };
        all.insert(name, value);
    }
    all.into_iter().map(|(tag, value)| Tag { tag: tag.to_owned(), r#type: Some(value) }).collect()
}

/// The provider of that name, and how long its paths may be; `None` where it cannot be sent to.
fn provider(snapshot: &Snapshot, proxy: &Proxy, name: &str) -> Option<(Http, Option<u32>)> {
    match snapshot.extension_provider(name).map(|p| &p.kind) {
        Some(ProviderKind::OpenTelemetry(to)) => {
            let cluster = cluster_of(snapshot, proxy, &to.at)?;
            Some((open_telemetry(to, cluster), to.max_tag))
        }
        Some(ProviderKind::Zipkin(to)) => {
            let cluster = cluster_of(snapshot, proxy, &to.at)?;
            Some((zipkin(to, cluster), to.max_tag))
        }
        Some(_) => None,
        // A stock Envoy has no tracer that sends nothing.
        None if name == BUILT_IN && !proxy.stock_envoy => {
            Some((http("envoy.tracers.opentelemetry", &OpenTelemetryConfig::default()), None))
        }
        None => None,
    }
}

/// The cluster of a provider's service, if the proxies of that namespace know it.
pub(crate) fn cluster_of(snapshot: &Snapshot, proxy: &Proxy, at: &At) -> Option<String> {
    let service = snapshot
        .service(&at.host, proxy.namespace())
        .filter(|s| at.namespace.is_empty() || s.namespace() == at.namespace)?;
    service.port(at.port)?;
    Some(ClusterName::outbound(&at.host, at.port, "").to_string())
}

/// The collector of `defaultConfig.tracing.zipkin`.
fn legacy(snapshot: &Snapshot, proxy: &Proxy, at: &At) -> Option<Http> {
    let to = Zipkin {
        at: at.clone(),
        max_tag: None,
        long: true,
        path: "/api/v2/spans".to_owned(),
        w3c: false,
        timeout: Duration::from_secs(5),
        headers: Vec::new(),
    };
    Some(zipkin(&to, cluster_of(snapshot, proxy, at)?))
}

fn http(name: &str, config: &impl tulle_proto::Message) -> Http {
    Http { name: name.to_owned(), config_type: Some(ConfigType::TypedConfig(pack(config))) }
}

fn open_telemetry(to: &OpenTelemetry, cluster: String) -> Http {
    let OpenTelemetry { at, max_tag: _, http: path, timeout, headers, environment } = to;
    let mut config = OpenTelemetryConfig::default();
    match path {
        Some(path) => config.http_service = Some(service(at, path, cluster, *timeout, headers)),
        None => {
            config.grpc_service = Some(GrpcService {
                target_specifier: Some(TargetSpecifier::EnvoyGrpc(EnvoyGrpc {
                    cluster_name: cluster,
                    authority: at.host.to_string(),
                    ..EnvoyGrpc::default()
                })),
                timeout: Some(duration(*timeout)),
                initial_metadata: headers.iter().map(header).collect(),
                ..GrpcService::default()
            });
        }
    }
    if *environment {
        config.resource_detectors.push(TypedExtensionConfig {
            name: "envoy.tracers.opentelemetry.resource_detectors.environment".to_owned(),
            typed_config: Some(pack(&EnvironmentResourceDetectorConfig::default())),
        });
    }
    http("envoy.tracers.opentelemetry", &config)
}

fn zipkin(to: &Zipkin, cluster: String) -> Http {
    let Zipkin { at, max_tag: _, long, path, w3c, timeout, headers } = to;
    let option = match w3c {
        true => zipkin_config::TraceContextOption::UseB3WithW3cPropagation,
        false => zipkin_config::TraceContextOption::UseB3,
    };
    let config = ZipkinConfig {
        trace_id_128bit: *long,
        shared_span_context: boolv(false),
        collector_endpoint_version: zipkin_config::CollectorEndpointVersion::HttpJson as i32,
        trace_context_option: option as i32,
        collector_service: Some(service(at, path, cluster, *timeout, headers)),
        ..ZipkinConfig::default()
    };
    http("envoy.tracers.zipkin", &config)
}

fn service(
    at: &At,
    path: &str,
    cluster: String,
    timeout: Duration,
    headers: &[(String, String)],
) -> HttpService {
    let slash = if path.starts_with('/') { "" } else { "/" };
    HttpService {
        http_uri: Some(HttpUri {
            uri: format!("{}{slash}{path}", at.host),
            timeout: Some(duration(timeout)),
            http_upstream_type: Some(HttpUpstreamType::Cluster(cluster)),
        }),
        request_headers_to_add: headers
            .iter()
            .map(|pair| HeaderValueOption { header: Some(header(pair)), ..HeaderValueOption::default() })
            .collect(),
        ..HttpService::default()
    }
}

fn header((key, value): &(String, String)) -> HeaderValue {
    HeaderValue { key: key.clone(), value: value.clone(), ..HeaderValue::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn istios_tags_give_way_to_written_ones() {
        let written = BTreeMap::from([("istio.mesh_id".to_owned(), CustomTag::Literal("mine".to_owned()))]);
        let all = tags(Some(&written), true);
        assert_eq!(all.len(), OWN.len());
        let mine = all.iter().find(|t| t.tag == "istio.mesh_id").and_then(|t| t.r#type.clone());
        assert_eq!(mine, Some(custom_tag::Type::Literal(custom_tag::Literal { value: "mine".to_owned() })));
        assert!(tags(None, false).is_empty());
    }
}
