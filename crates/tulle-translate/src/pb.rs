//! Small values of messages, written often.

use std::collections::HashMap;
use std::time::Duration;

use tulle_base::Provenance;
use tulle_proto::envoy::core::{self, Address, DataSource, Metadata, SocketAddress};
use tulle_proto::envoy::google::{self, BoolValue, Struct, UInt32Value, UInt64Value, Value, value};
use tulle_proto::envoy::kind::{FractionalPercent, fractional_percent};
use tulle_proto::envoy::matcher::{RegexMatcher, StringMatcher, string_matcher};

pub(crate) use tulle_proto::pack;

/// A wrapped number.
pub(crate) fn u32v(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}

/// A wrapped number.
pub(crate) fn u64v(value: u64) -> Option<UInt64Value> {
    Some(UInt64Value { value })
}

/// A wrapped truth.
pub(crate) fn boolv(value: bool) -> Option<BoolValue> {
    Some(BoolValue { value })
}

/// A duration; one that is too long is cut to what protobuf holds.
pub(crate) fn duration(d: Duration) -> google::Duration {
    google::Duration {
        seconds: i64::try_from(d.as_secs()).unwrap_or(315_576_000_000),
        nanos: i32::try_from(d.subsec_nanos()).unwrap_or(0),
    }
}

/// A TCP address.
pub(crate) fn address(ip: &str, port: u16) -> Address {
    let socket = SocketAddress {
        address: ip.to_owned(),
        port_specifier: Some(core::socket_address::PortSpecifier::PortValue(u32::from(port))),
        ..SocketAddress::default()
    };
    Address { address: Some(core::address::Address::SocketAddress(socket)) }
}

/// A socket of the file system.
pub(crate) fn pipe(path: &str) -> Address {
    let pipe = core::Pipe { path: path.to_owned(), mode: 0 };
    Address { address: Some(core::address::Address::Pipe(pipe)) }
}

/// A text value.
pub(crate) fn text(s: impl Into<String>) -> Value {
    Value { kind: Some(value::Kind::StringValue(s.into())) }
}

/// A list value.
pub(crate) fn list(values: Vec<Value>) -> Value {
    Value { kind: Some(value::Kind::ListValue(google::ListValue { values })) }
}

/// A struct value.
pub(crate) fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value { kind: Some(value::Kind::StructValue(structure(fields))) }
}

/// A struct.
pub(crate) fn structure<const N: usize>(fields: [(&str, Value); N]) -> Struct {
    Struct { fields: fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect() }
}

/// Metadata below `filter_metadata["istio"]`.
pub(crate) fn istio_metadata(fields: HashMap<String, Value>) -> Option<Metadata> {
    (!fields.is_empty()).then(|| Metadata {
        filter_metadata: HashMap::from([("istio".to_owned(), Struct { fields })]),
        ..Metadata::default()
    })
}

/// The fields of provenance: `config`, and `rule` when there is one.
pub(crate) fn provenance_fields(p: &Provenance) -> HashMap<String, Value> {
    let mut fields = HashMap::from([("config".to_owned(), text(p.resource.api_path(&p.version)))]);
    if !p.rule.is_empty() {
        fields.insert("rule".to_owned(), text(p.rule.clone()));
    }
    fields
}

/// Provenance as metadata.
pub(crate) fn provenance(p: &Provenance) -> Option<Metadata> {
    istio_metadata(provenance_fields(p))
}

/// A share of a million, from percent.
pub(crate) fn percent(value: f64) -> FractionalPercent {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=1_000_000")]
    let numerator = (value.clamp(0.0, 100.0) * 10_000.0).round() as u32;
    FractionalPercent { numerator, denominator: fractional_percent::DenominatorType::Million as i32 }
}

/// A matcher for the whole of a text by RE2 expression.
pub(crate) fn regex(expression: impl Into<String>) -> RegexMatcher {
    RegexMatcher { regex: expression.into(), ..RegexMatcher::default() }
}

/// A matcher from its pattern.
pub(crate) fn matcher(pattern: string_matcher::MatchPattern) -> StringMatcher {
    StringMatcher { match_pattern: Some(pattern), ..StringMatcher::default() }
}

/// An exact matcher.
pub(crate) fn exact(s: impl Into<String>) -> StringMatcher {
    matcher(string_matcher::MatchPattern::Exact(s.into()))
}

/// Text as a data source.
pub(crate) fn inline(s: impl Into<String>) -> DataSource {
    DataSource {
        specifier: Some(core::data_source::Specifier::InlineString(s.into())),
        ..DataSource::default()
    }
}

/// ADS as the source of a resource, waited for without limit.
pub(crate) fn ads() -> core::ConfigSource {
    core::ConfigSource {
        config_source_specifier: Some(core::config_source::ConfigSourceSpecifier::Ads(
            core::AggregatedConfigSource {},
        )),
        initial_fetch_timeout: Some(duration(Duration::ZERO)),
        resource_api_version: core::ApiVersion::V3 as i32,
        ..core::ConfigSource::default()
    }
}

/// Served by whoever keeps the workload's identity, at the bootstrap's cluster `sds-grpc` (Istio's `SDSDefaultConfig`).
pub(crate) fn sds() -> core::ConfigSource {
    let service = core::GrpcService {
        target_specifier: Some(core::grpc_service::TargetSpecifier::EnvoyGrpc(
            core::grpc_service::EnvoyGrpc { cluster_name: "sds-grpc".to_owned(), ..Default::default() },
        )),
        ..core::GrpcService::default()
    };
    core::ConfigSource {
        config_source_specifier: Some(core::config_source::ConfigSourceSpecifier::ApiConfigSource(
            core::ApiConfigSource {
                api_type: core::api_config_source::ApiType::Grpc as i32,
                transport_api_version: core::ApiVersion::V3 as i32,
                grpc_services: vec![service],
                set_node_on_first_message_only: true,
                ..core::ApiConfigSource::default()
            },
        )),
        initial_fetch_timeout: Some(duration(Duration::ZERO)),
        resource_api_version: core::ApiVersion::V3 as i32,
        ..core::ConfigSource::default()
    }
}

/// A block of addresses from `IP` or `IP/BITS`; `None` when it is neither.
pub(crate) fn cidr(text: &str) -> Option<core::CidrRange> {
    let (ip, bits) = match text.split_once('/') {
        Some((ip, bits)) => (ip, bits.parse::<u32>().ok()?),
        None => (text, if text.contains(':') { 128 } else { 32 }),
    };
    let parsed: std::net::IpAddr = ip.parse().ok()?;
    let most = if parsed.is_ipv4() { 32 } else { 128 };
    (bits <= most).then(|| core::CidrRange { address_prefix: ip.to_owned(), prefix_len: u32v(bits) })
}
