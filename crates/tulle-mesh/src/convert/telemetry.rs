//! Telemetry to what is recorded.

use tulle_api::istio as api;
use tulle_api::value::WrittenDuration;
use tulle_telemetry::cel::Expression;

use super::cx::Cx;
use super::policy::target;
use crate::telemetry::{
    AccessLogging, CustomTag, IstioMetric, MetricMatch, MetricOverride, Metrics, Mode, TagOverride,
    Telemetry, Tracing,
};

/// What a Telemetry says.
pub(super) fn telemetry(cx: &mut Cx<'_>, spec: &api::Telemetry) -> Telemetry {
    let api::Telemetry { selector, target_ref, target_refs, tracing, metrics, access_logging } = spec;
    Telemetry {
        meta: cx.meta.clone(),
        target: target(cx, selector.as_ref(), target_ref.as_ref(), target_refs),
        tracing: tracing.iter().map(traces).collect(),
        metrics: metrics
            .iter()
            .enumerate()
            .map(|(i, m)| counted(cx, &format!("spec.metrics[{i}]"), m))
            .collect(),
        access_logging: access_logging.iter().map(logs).collect(),
    }
}

fn mode(written: Option<api::WorkloadMode>) -> Mode {
    match written {
        None | Some(api::WorkloadMode::ClientAndServer) => Mode::Both,
        Some(api::WorkloadMode::Client) => Mode::Client,
        Some(api::WorkloadMode::Server) => Mode::Server,
    }
}

fn names(providers: &[api::ProviderRef]) -> Vec<String> {
    providers.iter().map(|api::ProviderRef { name }| name.clone()).collect()
}

fn traces(written: &api::Tracing) -> Tracing {
    let api::Tracing {
        matches,
        providers,
        random_sampling_percentage,
        disable_span_reporting,
        custom_tags,
        use_request_id_for_trace_sampling,
        enable_istio_tags,
        disable_context_propagation,
    } = written;
    let tags = custom_tags.iter().filter_map(|(name, tag)| Some((name.clone(), custom_tag(tag)?)));
    Tracing {
        mode: mode(matches.as_ref().and_then(|api::TracingSelector { mode }| *mode)),
        providers: names(providers),
        sampling: *random_sampling_percentage,
        disabled: *disable_span_reporting,
        tags: (!custom_tags.is_empty()).then(|| tags.collect()),
        sampled_by_request_id: *use_request_id_for_trace_sampling,
        istio_tags: *enable_istio_tags,
        not_passed_on: *disable_context_propagation,
    }
}

fn custom_tag(written: &api::CustomTag) -> Option<CustomTag> {
    Some(match written {
        api::CustomTag::Literal(api::TagLiteral { value }) => CustomTag::Literal(value.clone()),
        api::CustomTag::Environment(api::TagSource { name, default_value }) => {
            CustomTag::Environment { name: name.clone(), default: default_value.clone() }
        }
        api::CustomTag::Header(api::TagSource { name, default_value }) => {
            CustomTag::Header { name: name.to_ascii_lowercase(), default: default_value.clone() }
        }
        api::CustomTag::Formatter(api::TagLiteral { value }) => CustomTag::Formatter(value.clone()),
        api::CustomTag::Unset => return None,
    })
}

fn counted(cx: &mut Cx<'_>, path: &str, written: &api::Metrics) -> Metrics {
    let api::Metrics { providers, overrides, reporting_interval } = written;
    let change = |(i, o): (usize, &api::MetricsOverrides)| change(cx, &format!("{path}.overrides[{i}]"), o);
    Metrics {
        providers: names(providers),
        overrides: overrides.iter().enumerate().map(change).collect(),
        reporting_interval: reporting_interval.as_ref().map(WrittenDuration::get),
    }
}

fn change(cx: &mut Cx<'_>, path: &str, written: &api::MetricsOverrides) -> MetricOverride {
    let api::MetricsOverrides { matches, disabled, tag_overrides } = written;
    let (end, metric) = match matches {
        Some(api::MetricSelector { mode, metric_match }) => (*mode, metric_match.as_ref()),
        None => (None, None),
    };
    let metric = metric.map_or(MetricMatch::All { named: false }, matched);
    if let MetricMatch::Custom(name) = &metric {
        let known = IstioMetric::ALL.iter().any(|known| known.name() == name);
        let reason =
            format!("{name} is none of Istio's metrics (requests_total and so on), and there are no others");
        cx.not_applied(!known, &format!("{path}.match.customMetric"), &reason);
    }
    let mut tags = std::collections::BTreeMap::new();
    for (name, tag) in tag_overrides {
        let at = format!("{path}.tagOverrides.{name}");
        if !is_label(name) {
            let fix = "write letters, digits and _, with no digit first and no __";
            cx.refuse(&at, &format!("{name:?} cannot be the name of a label"), fix);
            continue;
        }
        match tag_override(tag) {
            TagOverride::Set(expression) => match Expression::parse(&expression) {
                Ok(_) => drop(tags.insert(name.clone(), TagOverride::Set(expression))),
                Err(error) => {
                    let fix = "see docs/telemetry.md for what is understood";
                    cx.refuse(&format!("{at}.value"), &format!("{expression:?} {error}"), fix);
                }
            },
            TagOverride::Remove => drop(tags.insert(name.clone(), TagOverride::Remove)),
        }
    }
    MetricOverride { mode: mode(end), metric, disabled: *disabled, tags }
}

/// Whether Prometheus takes it as a label of ours: `le` and what begins with two underscores are its own.
fn is_label(name: &str) -> bool {
    let first = name.chars().next();
    first.is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.starts_with("__")
        && name != "le"
}

fn matched(written: &api::MetricMatch) -> MetricMatch {
    let metric = match written {
        api::MetricMatch::CustomMetric(name) => return MetricMatch::Custom(name.clone()),
        api::MetricMatch::Metric(metric) => metric,
    };
    MetricMatch::Istio(match metric {
        api::IstioMetric::AllMetrics => return MetricMatch::All { named: true },
        api::IstioMetric::RequestCount => IstioMetric::RequestCount,
        api::IstioMetric::RequestDuration => IstioMetric::RequestDuration,
        api::IstioMetric::RequestSize => IstioMetric::RequestSize,
        api::IstioMetric::ResponseSize => IstioMetric::ResponseSize,
        api::IstioMetric::TcpOpenedConnections => IstioMetric::TcpOpenedConnections,
        api::IstioMetric::TcpClosedConnections => IstioMetric::TcpClosedConnections,
        api::IstioMetric::TcpSentBytes => IstioMetric::TcpSentBytes,
        api::IstioMetric::TcpReceivedBytes => IstioMetric::TcpReceivedBytes,
        api::IstioMetric::GrpcRequestMessages => IstioMetric::GrpcRequestMessages,
        api::IstioMetric::GrpcResponseMessages => IstioMetric::GrpcResponseMessages,
    })
}

fn tag_override(written: &api::TagOverride) -> TagOverride {
    let api::TagOverride { operation, value } = written;
    match operation {
        Some(api::TagOperation::Remove) => TagOverride::Remove,
        None | Some(api::TagOperation::Upsert) => TagOverride::Set(value.clone()),
    }
}

fn logs(written: &api::AccessLogging) -> AccessLogging {
    let api::AccessLogging { matches, providers, disabled, filter } = written;
    AccessLogging {
        mode: mode(matches.as_ref().and_then(|api::LogSelector { mode }| *mode)),
        providers: names(providers),
        disabled: *disabled,
        filter: filter.as_ref().map(|api::LogFilter { expression }| expression.clone()),
    }
}
