//! HTTP filters.

use std::sync::Arc;
use std::time::Duration;

use tulle_proto::envoy::http_connection_manager as hcm;
use tulle_proto::envoy::{
    buffer, compressor, cors, csrf, decompressor, ext_authz as pbauthz, fault as pbfault,
    forward_proxy as pbforward, grpc_stats, grpc_web, header_mutation as pbmutation, health_check,
    http_ratelimit, http_rbac, jwt_authn, local_ratelimit, router, set_metadata, stateful_session,
};
use tulle_proto::istio::{alpn, peer_metadata, stats};
use tulle_proto::{Any, type_url};
use tulle_telemetry::cel::Expression;
use tulle_telemetry::metrics::Metric;

use super::context::{At, Context, UNSUPPORTED};
use super::value::{text, texts};
use super::{
    compression, ext_authz, fault, forward_proxy, global_rate_limit, header_mutation, jwt, local_rate_limit,
    rbac, session, small_filters,
};
use crate::runtime::filter::{
    GrpcStats, HttpFilter, HttpFilterKind, IstioAlpn, IstioStats, PeerMetadata, RouterOptions, StatsOverrides,
};

const KNOWN: &[&str] = &[
    type_url::ROUTER,
    type_url::HTTP_RBAC,
    type_url::HTTP_FAULT,
    type_url::CORS,
    type_url::GRPC_STATS,
    type_url::GRPC_WEB,
    type_url::LOCAL_RATE_LIMIT,
    type_url::HEADER_MUTATION,
    type_url::SET_METADATA,
    type_url::BUFFER,
    type_url::HEALTH_CHECK,
    type_url::CSRF,
    type_url::COMPRESSOR,
    type_url::DECOMPRESSOR,
    type_url::RATE_LIMIT,
    type_url::JWT_AUTHN,
    type_url::EXT_AUTHZ,
    type_url::STATEFUL_SESSION,
    type_url::FORWARD_PROXY,
    type_url::ISTIO_STATS,
    type_url::PEER_METADATA,
    type_url::ISTIO_ALPN,
];

/// The filters of a connection manager; the last one must be the router.
pub(super) fn filters(cx: &mut Context<'_>, at: &At<'_>, list: &[hcm::HttpFilter]) -> Vec<HttpFilter> {
    let mut filters = Vec::with_capacity(list.len());
    for (i, message) in list.iter().enumerate() {
        let at = at.index(i);
        let Some(filter) = filter(cx, &at, message) else { continue };
        let is_router = matches!(filter.kind, HttpFilterKind::Router(_));
        if is_router != (i + 1 == list.len()) {
            cx.refuse(&at, "the router must be the last filter, and no other may be");
        }
        filters.push(filter);
    }
    if list.is_empty() {
        cx.refuse(at, "needs at least envoy.filters.http.router");
    }
    filters
}

fn filter(cx: &mut Context<'_>, at: &At<'_>, message: &hcm::HttpFilter) -> Option<HttpFilter> {
    use hcm::http_filter::ConfigType;
    let hcm::HttpFilter { name, is_optional, disabled, config_type } = message;
    if name.is_empty() {
        cx.refuse(&at.field("name"), "must not be empty");
    }
    let kind = match config_type {
        Some(ConfigType::TypedConfig(any)) => {
            let at = at.field("typed_config");
            if *is_optional && !KNOWN.contains(&any.type_url.as_str()) {
                cx.note(&at, format!("the filter is optional, and {} is not known here", any.type_url));
                return None;
            }
            kind(cx, &at, any)?
        }
        Some(ConfigType::ConfigDiscovery(_)) => {
            cx.refuse(&at.field("config_discovery"), UNSUPPORTED);
            return None;
        }
        None if name == "envoy.filters.http.router" => HttpFilterKind::Router(RouterOptions::default()),
        None => {
            cx.refuse(&at.field("typed_config"), "is required");
            return None;
        }
    };
    Some(HttpFilter { name: text(name), disabled: *disabled, kind })
}

fn kind(cx: &mut Context<'_>, at: &At<'_>, any: &Any) -> Option<HttpFilterKind> {
    match any.type_url.as_str() {
        type_url::ROUTER => {
            let message: router::Router = cx.unpack(at, any)?;
            Some(HttpFilterKind::Router(self::router(cx, at, &message)))
        }
        type_url::HTTP_RBAC => {
            let message: http_rbac::Rbac = cx.unpack(at, any)?;
            rbac::http(cx, at, &message).map(|filter| HttpFilterKind::Rbac(Arc::new(filter)))
        }
        type_url::HTTP_FAULT => {
            let message: pbfault::HttpFault = cx.unpack(at, any)?;
            fault::fault(cx, at, &message).map(|fault| HttpFilterKind::Fault(Arc::new(fault)))
        }
        type_url::CORS => cx.unpack(at, any).map(|cors::Cors {}| HttpFilterKind::Cors),
        type_url::GRPC_STATS => {
            let message: grpc_stats::FilterConfig = cx.unpack(at, any)?;
            Some(HttpFilterKind::GrpcStats(self::grpc_stats(cx, at, &message)))
        }
        type_url::GRPC_WEB => cx.unpack(at, any).map(|grpc_web::GrpcWeb {}| HttpFilterKind::GrpcWeb),
        type_url::LOCAL_RATE_LIMIT => {
            let message: local_ratelimit::LocalRateLimit = cx.unpack(at, any)?;
            let limit =
                local_rate_limit::local_rate_limit(cx, at, &message, local_rate_limit::Place::Filter)?;
            Some(HttpFilterKind::LocalRateLimit(Arc::new(limit)))
        }
        type_url::HEADER_MUTATION => {
            let message: pbmutation::HeaderMutation = cx.unpack(at, any)?;
            Some(HttpFilterKind::HeaderMutation(header_mutation::header_mutation(cx, at, &message)))
        }
        type_url::SET_METADATA => {
            let message: set_metadata::Config = cx.unpack(at, any)?;
            Some(HttpFilterKind::SetMetadata(Arc::new(header_mutation::set_metadata(cx, at, &message))))
        }
        type_url::BUFFER => {
            let message: buffer::Buffer = cx.unpack(at, any)?;
            small_filters::buffer(cx, at, &message).map(HttpFilterKind::Buffer)
        }
        type_url::HEALTH_CHECK => {
            let message: health_check::HealthCheck = cx.unpack(at, any)?;
            let filter = small_filters::health_check(cx, at, &message)?;
            Some(HttpFilterKind::HealthCheck(Arc::new(filter)))
        }
        type_url::CSRF => {
            let message: csrf::CsrfPolicy = cx.unpack(at, any)?;
            small_filters::csrf(cx, at, &message).map(|policy| HttpFilterKind::Csrf(Arc::new(policy)))
        }
        type_url::COMPRESSOR => {
            let message: compressor::Compressor = cx.unpack(at, any)?;
            let filter = compression::compressor(cx, at, &message)?;
            Some(HttpFilterKind::Compressor(Arc::new(filter)))
        }
        type_url::DECOMPRESSOR => {
            let message: decompressor::Decompressor = cx.unpack(at, any)?;
            let filter = compression::decompressor(cx, at, &message)?;
            Some(HttpFilterKind::Decompressor(Arc::new(filter)))
        }
        type_url::RATE_LIMIT => {
            let message: http_ratelimit::RateLimit = cx.unpack(at, any)?;
            let filter = global_rate_limit::rate_limit(cx, at, &message)?;
            Some(HttpFilterKind::GlobalRateLimit(Arc::new(filter)))
        }
        type_url::JWT_AUTHN => {
            let message: jwt_authn::JwtAuthentication = cx.unpack(at, any)?;
            jwt::jwt_authn(cx, at, &message).map(|filter| HttpFilterKind::Jwt(Arc::new(filter)))
        }
        type_url::EXT_AUTHZ => {
            let message: pbauthz::ExtAuthz = cx.unpack(at, any)?;
            let filter = ext_authz::ext_authz(cx, at, &message)?;
            Some(HttpFilterKind::ExtAuthz(Arc::new(filter)))
        }
        type_url::STATEFUL_SESSION => {
            let message: stateful_session::StatefulSession = cx.unpack(at, any)?;
            session::stateful_session(cx, at, &message).map(HttpFilterKind::StatefulSession)
        }
        type_url::FORWARD_PROXY => {
            let message: pbforward::FilterConfig = cx.unpack(at, any)?;
            forward_proxy::http(cx, at, &message).map(HttpFilterKind::ForwardProxy)
        }
        type_url::ISTIO_STATS => {
            let message: stats::PluginConfig = cx.unpack(at, any)?;
            istio_stats(cx, at, &message).map(HttpFilterKind::IstioStats)
        }
        type_url::PEER_METADATA => {
            let message: peer_metadata::Config = cx.unpack(at, any)?;
            Some(HttpFilterKind::PeerMetadata(self::peer_metadata(cx, at, &message)))
        }
        type_url::ISTIO_ALPN => {
            let message: alpn::FilterConfig = cx.unpack(at, any)?;
            istio_alpn(cx, at, &message).map(HttpFilterKind::IstioAlpn)
        }
        _ => {
            cx.unknown_extension(at, any, "HTTP filter", KNOWN);
            None
        }
    }
}

fn router(cx: &mut Context<'_>, at: &At<'_>, message: &router::Router) -> RouterOptions {
    let router::Router {
        dynamic_stats,
        start_child_span,
        upstream_log,
        upstream_log_options,
        suppress_envoy_headers,
        strict_check_headers,
        respect_expected_rq_timeout,
        suppress_grpc_request_failure_code_stats,
        upstream_http_filters,
        reject_connect_request_early_data,
    } = message;
    refuse!(cx, at,
        upstream_log: UNSUPPORTED,
        strict_check_headers: UNSUPPORTED,
        upstream_http_filters: UNSUPPORTED,
    );
    no_effect!(cx, at,
        dynamic_stats: "statistics are those of the metric contract",
        start_child_span: "spans are not exported",
        upstream_log_options: "there is no upstream log",
        suppress_grpc_request_failure_code_stats: "statistics are those of the metric contract",
        reject_connect_request_early_data: "data after CONNECT waits for the answer",
    );
    RouterOptions {
        suppress_envoy_headers: *suppress_envoy_headers,
        respect_expected_timeout: *respect_expected_rq_timeout,
    }
}

fn grpc_stats(cx: &mut Context<'_>, at: &At<'_>, message: &grpc_stats::FilterConfig) -> GrpcStats {
    use grpc_stats::filter_config::PerMethodStatSpecifier;
    let grpc_stats::FilterConfig {
        emit_filter_state,
        enable_upstream_stats,
        replace_dots_in_grpc_service_name,
        per_method_stat_specifier,
    } = message;
    no_effect!(cx, at,
        enable_upstream_stats: "statistics are those of the metric contract",
        replace_dots_in_grpc_service_name: "statistics are those of the metric contract",
    );
    match per_method_stat_specifier {
        None => {}
        Some(PerMethodStatSpecifier::StatsForAllMethods(all)) if !all.value => {}
        Some(PerMethodStatSpecifier::StatsForAllMethods(_)) => {
            cx.note(&at.field("stats_for_all_methods"), "methods are not counted one by one");
        }
        Some(PerMethodStatSpecifier::IndividualMethodStatsAllowlist(_)) => {
            cx.note(&at.field("individual_method_stats_allowlist"), "methods are not counted one by one");
        }
    }
    GrpcStats { emit_filter_state: *emit_filter_state }
}

pub(super) fn istio_stats(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &stats::PluginConfig,
) -> Option<IstioStats> {
    let stats::PluginConfig {
        disable_host_header_fallback,
        tcp_reporting_duration,
        metrics,
        definitions,
        reporter,
        rescoping_duration,
        scope_grace_period_duration,
    } = message;
    refuse!(cx, at, definitions: UNSUPPORTED);
    no_effect!(cx, at,
        rescoping_duration: "series are not rotated",
        scope_grace_period_duration: "series are not rotated",
    );
    let reporter = cx.choice::<stats::Reporter>(&at.field("reporter"), *reporter)?;
    let tcp_reporting = match tcp_reporting_duration {
        Some(_) => cx.positive(&at.field("tcp_reporting_duration"), tcp_reporting_duration.as_ref())?,
        None => Duration::from_secs(5),
    };
    let overrides = stats_overrides(cx, &at.field("metrics"), metrics)?;
    Some(IstioStats {
        host_header_fallback: !disable_host_header_fallback,
        tcp_reporting,
        server_gateway: reporter == stats::Reporter::ServerGateway,
        overrides: Arc::new(overrides),
    })
}

/// Rules in the order in which they are written: a later one has the last word on a label.
fn stats_overrides(
    cx: &mut Context<'_>,
    at: &At<'_>,
    metrics: &[stats::MetricConfig],
) -> Option<StatsOverrides> {
    let mut out = StatsOverrides::default();
    for (i, message) in metrics.iter().enumerate() {
        let at = at.index(i);
        let stats::MetricConfig { dimensions, name, tags_to_remove, r#match, drop } = message;
        no_effect!(cx, at, r#match: "no proxy reads it");
        let meant: Vec<Metric> = match (name.as_str(), Metric::from_name(name)) {
            ("", _) => Metric::ALL.to_vec(),
            (_, Some(metric)) => vec![metric],
            (other, None) => {
                cx.note(&at.field("name"), format!("{other} is none of Istio's metrics"));
                continue;
            }
        };
        for (label, written) in dimensions {
            let expression = match Expression::parse(written) {
                Ok(expression) => expression,
                Err(error) => {
                    cx.refuse(&at.field("dimensions").field(label), format!("{written:?} {error}"));
                    return None;
                }
            };
            let known = out.values.iter().position(|other| *other == expression);
            let number = known.unwrap_or_else(|| {
                out.values.push(expression);
                out.values.len() - 1
            });
            meant.iter().for_each(|metric| out.rules.set(*metric, label, number));
        }
        for label in tags_to_remove {
            meant.iter().for_each(|metric| out.rules.remove(*metric, label));
        }
        if *drop {
            meant.iter().for_each(|metric| out.rules.drop(*metric));
        }
    }
    Some(out)
}

fn peer_metadata(cx: &mut Context<'_>, at: &At<'_>, message: &peer_metadata::Config) -> PeerMetadata {
    use peer_metadata::discovery_method::MethodSpecifier as Find;
    use peer_metadata::propagation_method::MethodSpecifier as Tell;
    let peer_metadata::Config {
        downstream_discovery,
        upstream_discovery,
        downstream_propagation,
        upstream_propagation,
        shared_with_upstream,
        additional_labels,
    } = message;
    no_effect!(cx, at,
        shared_with_upstream: "there are no internal upstream connections",
        additional_labels: "the labels told are those of the metric contract",
    );
    let mut out = PeerMetadata::default();
    let mut finds = |name: &str, list: &[peer_metadata::DiscoveryMethod]| {
        let mut headers = false;
        for (i, peer_metadata::DiscoveryMethod { method_specifier }) in list.iter().enumerate() {
            match method_specifier {
                Some(Find::IstioHeaders(_)) => headers = true,
                // The endpoint's metadata and the certificate say who the peer is without being asked.
                Some(Find::WorkloadDiscovery(_)) => {}
                Some(Find::Baggage(_)) | None => {
                    cx.note(&at.field(name).index(i), "only istio_headers and workload_discovery are used");
                }
            }
        }
        headers
    };
    out.read_from_request = finds("downstream_discovery", downstream_discovery);
    out.read_from_response = finds("upstream_discovery", upstream_discovery);
    let mut tells = |name: &str, list: &[peer_metadata::PropagationMethod]| {
        let mut headers = false;
        for (i, peer_metadata::PropagationMethod { method_specifier }) in list.iter().enumerate() {
            match method_specifier {
                Some(Tell::IstioHeaders(peer_metadata::IstioHeaders { skip_external_clusters })) => {
                    headers = true;
                    out.skip_external |= *skip_external_clusters;
                }
                Some(Tell::Baggage(_)) | None => {
                    cx.note(&at.field(name).index(i), "only istio_headers is used");
                }
            }
        }
        headers
    };
    let to_response = tells("downstream_propagation", downstream_propagation);
    let to_request = tells("upstream_propagation", upstream_propagation);
    PeerMetadata { write_to_response: to_response, write_to_request: to_request, ..out }
}

fn istio_alpn(cx: &mut Context<'_>, at: &At<'_>, message: &alpn::FilterConfig) -> Option<IstioAlpn> {
    let alpn::FilterConfig { alpn_override } = message;
    let list_at = at.field("alpn_override");
    let mut out = IstioAlpn::default();
    for (i, alpn::AlpnOverride { upstream_protocol, alpn_override }) in alpn_override.iter().enumerate() {
        let list = texts(alpn_override);
        match cx.choice(&list_at.index(i).field("upstream_protocol"), *upstream_protocol)? {
            alpn::Protocol::Http10 => out.http10 = list,
            alpn::Protocol::Http11 => out.http11 = list,
            alpn::Protocol::Http2 => out.http2 = list,
        }
    }
    Some(out)
}
