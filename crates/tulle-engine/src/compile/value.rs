//! Small messages that many others hold: structs, metadata, percentages, data sources.

use std::sync::Arc;

use tulle_base::{Provenance, ResourceRef};
use tulle_proto::envoy::{core, google, kind};

use super::context::{At, Context, UNSUPPORTED};
use crate::runtime::matcher::Fraction;
use crate::runtime::metadata::{Fields, Metadata, Value};
use crate::runtime::tls::DataRef;

pub(super) fn text(text: &str) -> Arc<str> {
    Arc::from(text)
}

/// A name, which must not be empty.
pub(super) fn named(cx: &mut Context<'_>, at: &At<'_>, name: &str) -> Arc<str> {
    if name.is_empty() {
        cx.refuse(at, "must not be empty");
    }
    text(name)
}

/// A part of a header's value or of a request line: it must not end a line.
pub(super) fn one_line(cx: &mut Context<'_>, at: &At<'_>, value: &str) -> Arc<str> {
    if value.contains(['\r', '\n', '\0']) {
        cx.refuse(at, "must not hold line ends or zero bytes");
    }
    text(value)
}

pub(super) fn texts(list: &[String]) -> Vec<Arc<str>> {
    list.iter().map(|item| text(item)).collect()
}

pub(super) fn flag(value: Option<&google::BoolValue>, default: bool) -> bool {
    value.map_or(default, |v| v.value)
}

pub(super) fn number(value: Option<&google::UInt32Value>, default: u32) -> u32 {
    value.map_or(default, |v| v.value)
}

pub(super) fn fields(cx: &mut Context<'_>, at: &At<'_>, message: &google::Struct) -> Fields {
    let google::Struct { fields } = message;
    fields
        .iter()
        .filter_map(|(key, value)| Some((text(key), self::value(cx, &at.field(key), value)?)))
        .collect()
}

fn value(cx: &mut Context<'_>, at: &At<'_>, message: &google::Value) -> Option<Value> {
    use google::value::Kind;
    let google::Value { kind } = message;
    cx.deeper(at, |cx| {
        Some(match kind {
            None | Some(Kind::NullValue(_)) => Value::Null,
            Some(Kind::NumberValue(n)) => Value::Number(*n),
            Some(Kind::StringValue(s)) => Value::String(text(s)),
            Some(Kind::BoolValue(b)) => Value::Bool(*b),
            Some(Kind::StructValue(s)) => Value::Struct(fields(cx, at, s)),
            Some(Kind::ListValue(google::ListValue { values })) => Value::List(
                values.iter().enumerate().filter_map(|(i, v)| value(cx, &at.index(i), v)).collect(),
            ),
        })
    })
}

/// The same as JSON, for log formats.
pub(super) fn json(message: &google::Struct, depth: u32) -> Option<serde_json::Value> {
    let google::Struct { fields } = message;
    let mut object = serde_json::Map::new();
    for (key, value) in fields {
        object.insert(key.clone(), json_value(value, depth)?);
    }
    Some(serde_json::Value::Object(object))
}

/// `None` when it is nested too deep.
fn json_value(message: &google::Value, depth: u32) -> Option<serde_json::Value> {
    use google::value::Kind;
    if depth == 0 {
        return None;
    }
    let google::Value { kind } = message;
    Some(match kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::NumberValue(n)) => serde_json::Value::from(*n),
        Some(Kind::StringValue(s)) => serde_json::Value::from(s.as_str()),
        Some(Kind::BoolValue(b)) => serde_json::Value::from(*b),
        Some(Kind::StructValue(s)) => json(s, depth - 1)?,
        Some(Kind::ListValue(google::ListValue { values })) => {
            let items: Option<Vec<_>> = values.iter().map(|v| json_value(v, depth - 1)).collect();
            serde_json::Value::Array(items?)
        }
    })
}

/// Metadata by filter. Typed metadata is noted: nothing here reads it.
pub(super) fn metadata(cx: &mut Context<'_>, at: &At<'_>, message: Option<&core::Metadata>) -> Metadata {
    let Some(core::Metadata { filter_metadata, typed_filter_metadata }) = message else {
        return Metadata::new();
    };
    no_effect!(cx, at, typed_filter_metadata: "typed metadata is not read by any filter here");
    let at = at.field("filter_metadata");
    filter_metadata.iter().map(|(name, message)| (text(name), fields(cx, &at.field(name), message))).collect()
}

/// Which resource made something: `filter_metadata["istio"]` with `config` and `rule`.
pub(super) fn provenance(metadata: &Metadata) -> Option<Arc<Provenance>> {
    let istio = metadata.get("istio")?;
    let path = istio.get("config")?.as_str()?;
    let resource = ResourceRef::from_api_path(path)?;
    let version = path.split('/').nth(3).unwrap_or_default().to_owned();
    let rule = match istio.get("rule") {
        Some(Value::String(rule)) => rule.as_ref().to_owned(),
        Some(Value::Number(index)) => format!("{index}"),
        _ => String::new(),
    };
    Some(Arc::new(Provenance { resource, version, rule }))
}

pub(super) fn fraction(cx: &mut Context<'_>, at: &At<'_>, message: &kind::FractionalPercent) -> Fraction {
    Fraction::new(message.numerator, denominator(cx, at, message))
}

/// What the numerator of a chance is a part of.
pub(super) fn denominator(cx: &mut Context<'_>, at: &At<'_>, message: &kind::FractionalPercent) -> u32 {
    use kind::fractional_percent::DenominatorType;
    let kind::FractionalPercent { numerator: _, denominator } = *message;
    match cx.choice(&at.field("denominator"), denominator) {
        Some(DenominatorType::TenThousand) => 10_000,
        Some(DenominatorType::Million) => 1_000_000,
        Some(DenominatorType::Hundred) | None => 100,
    }
}

/// A chance with a runtime key: the key has no effect, there is no runtime to override it.
pub(super) fn runtime_fraction(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &core::RuntimeFractionalPercent,
) -> Option<Fraction> {
    let core::RuntimeFractionalPercent { default_value, runtime_key } = message;
    no_effect!(cx, at, runtime_key: RUNTIME_KEY);
    let at = at.field("default_value");
    cx.required(&at, default_value.as_ref()).map(|value| fraction(cx, &at, value))
}

/// Why a runtime key has no effect.
pub(super) const RUNTIME_KEY: &str = "there is no runtime that could override the value";

/// A percentage from 0 to 100.
pub(super) fn percent(cx: &mut Context<'_>, at: &At<'_>, message: &kind::Percent) -> Option<f64> {
    let kind::Percent { value } = *message;
    if (0.0..=100.0).contains(&value) {
        return Some(value);
    }
    cx.refuse(at, format!("{value} must be between 0 and 100"));
    None
}

/// A percentage as a chance.
pub(super) fn percent_fraction(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &kind::Percent,
) -> Option<Fraction> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1 000 000")]
    percent(cx, at, message).map(|value| Fraction::new((value * 10_000.0).round() as u32, 1_000_000))
}

/// Data that is read now.
pub(super) fn data(cx: &mut Context<'_>, at: &At<'_>, message: &core::DataSource) -> Option<Arc<[u8]>> {
    use core::data_source::Specifier;
    let core::DataSource { watched_directory, specifier } = message;
    no_effect!(cx, at, watched_directory: "the file is read once, with the configuration");
    match specifier {
        Some(Specifier::InlineBytes(bytes)) => Some(bytes.as_slice().into()),
        Some(Specifier::InlineString(text)) => Some(text.as_bytes().into()),
        Some(Specifier::Filename(path)) => {
            cx.read_file(&at.field("filename"), path).map(|bytes| bytes.as_slice().into())
        }
        Some(Specifier::EnvironmentVariable(_)) => {
            cx.refuse(&at.field("environment_variable"), "is not supported: write the value, or name a file");
            None
        }
        None => {
            cx.refuse(at, "needs inline_string, inline_bytes or filename");
            None
        }
    }
}

/// Data that the proxy reads when it applies the configuration, so that files can be read again.
pub(super) fn data_ref(cx: &mut Context<'_>, at: &At<'_>, message: &core::DataSource) -> Option<DataRef> {
    use core::data_source::Specifier;
    match message {
        core::DataSource { watched_directory, specifier: Some(Specifier::Filename(path)) } => {
            no_effect!(cx, at, watched_directory: "files are read again with the configuration only");
            if path.is_empty() {
                cx.refuse(&at.field("filename"), "must not be empty");
                return None;
            }
            Some(DataRef::File(text(path)))
        }
        _ => data(cx, at, message).map(DataRef::Inline),
    }
}

/// Where a resource comes from, as far as it matters inside another resource: only ADS (or whatever serves the rest).
pub(super) fn config_source(cx: &mut Context<'_>, at: &At<'_>, message: Option<&core::ConfigSource>) {
    use core::config_source::ConfigSourceSpecifier;
    let Some(core::ConfigSource {
        authorities,
        initial_fetch_timeout,
        resource_api_version,
        config_source_specifier,
    }) = message
    else {
        return;
    };
    refuse!(cx, at, authorities: UNSUPPORTED);
    no_effect!(cx, at, initial_fetch_timeout: "a resource that is not there yet is waited for as long as its first user allows");
    api_version(cx, &at.field("resource_api_version"), *resource_api_version);
    match config_source_specifier {
        None | Some(ConfigSourceSpecifier::Ads(core::AggregatedConfigSource {})) => {}
        Some(ConfigSourceSpecifier::Self_(core::SelfConfigSource { transport_api_version })) => {
            api_version(cx, &at.field("self").field("transport_api_version"), *transport_api_version);
        }
        Some(ConfigSourceSpecifier::ApiConfigSource(source)) if is_own_secrets(source) => {}
        Some(ConfigSourceSpecifier::ApiConfigSource(_)) => {
            cx.note(&at.field("api_config_source"), "all resources come over the proxy's one ADS stream");
        }
        Some(ConfigSourceSpecifier::Path(_)) => cx.refuse(&at.field("path"), "is not supported: use ads"),
        Some(ConfigSourceSpecifier::PathConfigSource(_)) => {
            cx.refuse(&at.field("path_config_source"), "is not supported: use ads");
        }
    }
}

/// Whether this is where Istio's proxies get the workload's own secrets: beside the proxy, which here is within it.
fn is_own_secrets(source: &core::ApiConfigSource) -> bool {
    use core::grpc_service::TargetSpecifier::EnvoyGrpc;
    let [service] = &source.grpc_services[..] else { return false };
    matches!(&service.target_specifier, Some(EnvoyGrpc(grpc)) if grpc.cluster_name == "sds-grpc")
}

pub(super) fn api_version(cx: &mut Context<'_>, at: &At<'_>, version: i32) {
    if cx.choice::<core::ApiVersion>(at, version) == Some(core::ApiVersion::V2) {
        cx.refuse(at, "xDS v2 is not spoken; use V3");
    }
}
