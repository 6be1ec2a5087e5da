//! The rules that make rate limit descriptors of requests.

use std::sync::Arc;

use tulle_proto::envoy::{google, metadata as pbmetadata, route as pb, xds};

use super::context::{At, Context, UNSUPPORTED};
use super::matcher;
use super::template::template;
use super::value::{flag, text};
use crate::decide::descriptor::MAX_HITS;
use crate::runtime::net::CidrRange;
use crate::runtime::rate_limit::{
    Hits, LimitOverride, MetadataEntry, MetadataSource, Presence, RateLimitAction, RateLimitRule,
};

/// Where rules stand: it decides which of their fields are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// On a route or virtual host, for any rate limit filter.
    Route,
    /// In a local rate limit.
    LocalFilter,
    /// In a global rate limit.
    GlobalFilter,
}

pub(super) fn rules(cx: &mut Context<'_>, at: &At<'_>, list: &[pb::RateLimit], of: Of) -> Vec<RateLimitRule> {
    list.iter().enumerate().filter_map(|(i, message)| rule(cx, &at.index(i), message, of)).collect()
}

fn rule(cx: &mut Context<'_>, at: &At<'_>, message: &pb::RateLimit, of: Of) -> Option<RateLimitRule> {
    let pb::RateLimit {
        stage,
        disable_key,
        actions,
        limit,
        hits_addend,
        apply_on_stream_done,
        x_ratelimit_option,
    } = message;
    if of == Of::Route {
        no_effect!(cx, at, hits_addend: "it is read in rate_limits of the filters only");
    } else {
        refuse!(cx, at,
            stage: "is for the rules of routes and virtual hosts",
            disable_key: "is for the rules of routes and virtual hosts",
        );
    }
    if of == Of::GlobalFilter {
        refuse!(cx, at, apply_on_stream_done: "is not supported: limits are asked before the request goes on");
    }
    if of == Of::LocalFilter {
        refuse!(cx, at, limit: "is for the rate limit service");
        no_effect!(cx, at, apply_on_stream_done: "local limits do not count requests that have ended: the rule is left out");
    }
    let stage = cx.between(&at.field("stage"), stage.as_ref().map_or(0, |s| s.value), 0, 10)?;
    let actions_at = at.field("actions");
    if actions.is_empty() {
        cx.refuse(&actions_at, "needs at least one");
    }
    let found = cx.problems();
    let actions: Vec<RateLimitAction> = actions
        .iter()
        .enumerate()
        .filter_map(|(i, message)| action(cx, &actions_at.index(i), message))
        .collect();
    let (hits, refills) = match hits_addend.as_ref().filter(|_| of != Of::Route) {
        Some(message) => hits(cx, &at.field("hits_addend"), message)?,
        None => (Hits::Default, false),
    };
    let limit = match limit {
        Some(message) => limit_override(cx, &at.field("limit"), message),
        None => None,
    };
    use pb::rate_limit::XRateLimitOption;
    let headers = match cx.choice(&at.field("x_ratelimit_option"), *x_ratelimit_option)? {
        XRateLimitOption::Unspecified => None,
        XRateLimitOption::Off => Some(false),
        XRateLimitOption::DraftVersion03 => Some(true),
    };
    (cx.problems() == found).then(|| RateLimitRule {
        stage,
        has_disable_key: !disable_key.is_empty(),
        actions,
        limit,
        hits,
        refills,
        headers,
        on_stream_done: *apply_on_stream_done,
    })
}

fn hits(cx: &mut Context<'_>, at: &At<'_>, message: &pb::rate_limit::HitsAddend) -> Option<(Hits, bool)> {
    let pb::rate_limit::HitsAddend { number, format, is_negative_hits } = message;
    let hits = match (number, format.as_str()) {
        (Some(google::UInt64Value { value }), "") if *value <= MAX_HITS => Hits::Fixed(*value),
        (Some(google::UInt64Value { value }), "") => {
            cx.refuse(&at.field("number"), format!("{value} must be at most {MAX_HITS}"));
            return None;
        }
        (None, format) if !format.is_empty() => Hits::Format(template(cx, &at.field("format"), format)?),
        _ => {
            cx.refuse(at, "needs either number or format");
            return None;
        }
    };
    Some((hits, *is_negative_hits))
}

fn limit_override(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::rate_limit::Override,
) -> Option<LimitOverride> {
    use pb::rate_limit::r#override::{DynamicMetadata, OverrideSpecifier, RateLimitOverride};
    let pb::rate_limit::Override { override_specifier } = message;
    match override_specifier {
        Some(OverrideSpecifier::DynamicMetadata(DynamicMetadata { metadata_key })) => {
            let at = at.field("dynamic_metadata");
            let (filter, path) = key(cx, &at.field("metadata_key"), metadata_key.as_ref())?;
            Some(LimitOverride::Metadata(filter, path))
        }
        Some(OverrideSpecifier::RateLimit(RateLimitOverride { requests_per_unit, unit })) => {
            let at = at.field("rate_limit");
            cx.choice::<tulle_proto::envoy::kind::RateLimitUnit>(&at.field("unit"), *unit)?;
            Some(LimitOverride::Fixed(*requests_per_unit, *unit))
        }
        None => {
            cx.refuse(at, "needs dynamic_metadata or rate_limit");
            None
        }
    }
}

/// Whose metadata, and the way to the value.
fn key(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&pbmetadata::MetadataKey>,
) -> Option<(Arc<str>, Vec<Arc<str>>)> {
    use pbmetadata::metadata_key::{PathSegment, path_segment::Segment};
    let pbmetadata::MetadataKey { key, path } = cx.required(at, message)?;
    if key.is_empty() {
        cx.refuse(&at.field("key"), "must not be empty");
    }
    let mut steps = Vec::with_capacity(path.len());
    for PathSegment { segment } in path {
        match segment {
            Some(Segment::Key(key)) => steps.push(text(key)),
            Some(Segment::Index(_)) | None => {
                cx.refuse(&at.field("path"), "needs a key in each segment");
                return None;
            }
        }
    }
    if steps.is_empty() {
        cx.refuse(&at.field("path"), "needs at least one segment");
    }
    Some((text(key), steps))
}

fn action(cx: &mut Context<'_>, at: &At<'_>, message: &pb::rate_limit::Action) -> Option<RateLimitAction> {
    use pb::rate_limit::action::{self, ActionSpecifier as Kind};
    let pb::rate_limit::Action { action_specifier } = message;
    let Some(specifier) = action_specifier else {
        cx.refuse(at, "needs an action, such as remote_address or request_headers");
        return None;
    };
    match specifier {
        Kind::SourceCluster(action::SourceCluster {}) => Some(RateLimitAction::SourceCluster),
        Kind::DestinationCluster(action::DestinationCluster {}) => Some(RateLimitAction::DestinationCluster),
        Kind::RemoteAddress(action::RemoteAddress {}) => Some(RateLimitAction::RemoteAddress),
        Kind::RequestHeaders(action::RequestHeaders { header_name, descriptor_key, skip_if_absent }) => {
            let at = at.field("request_headers");
            let presence = presence(cx, &at, descriptor_key, *skip_if_absent);
            let name = matcher::header_key(cx, &at.field("header_name"), header_name)?;
            Some(RateLimitAction::RequestHeader(name, presence))
        }
        Kind::QueryParameters(action::QueryParameters {
            query_parameter_name,
            descriptor_key,
            skip_if_absent,
        }) => {
            let at = at.field("query_parameters");
            let presence = presence(cx, &at, descriptor_key, *skip_if_absent);
            not_empty(cx, &at.field("query_parameter_name"), query_parameter_name);
            Some(RateLimitAction::QueryParameter(text(query_parameter_name), presence))
        }
        Kind::MaskedRemoteAddress(message) => masked(cx, &at.field("masked_remote_address"), message),
        Kind::GenericKey(message) => Some(generic(cx, &at.field("generic_key"), message)),
        Kind::HeaderValueMatch(message) => Some(header_match(cx, &at.field("header_value_match"), message)),
        Kind::QueryParameterValueMatch(message) => {
            Some(query_match(cx, &at.field("query_parameter_value_match"), message))
        }
        Kind::RemoteAddressMatch(message) => address_match(cx, &at.field("remote_address_match"), message),
        Kind::DynamicMetadata(message) => dynamic_metadata(cx, &at.field("dynamic_metadata"), message),
        Kind::Metadata(message) => metadata(cx, &at.field("metadata"), message),
        Kind::Extension(_) => {
            cx.refuse(&at.field("extension"), UNSUPPORTED);
            None
        }
    }
}

fn not_empty(cx: &mut Context<'_>, at: &At<'_>, value: &str) {
    if value.is_empty() {
        cx.refuse(at, "must not be empty");
    }
}

fn presence(cx: &mut Context<'_>, at: &At<'_>, key: &str, skip_if_absent: bool) -> Presence {
    not_empty(cx, &at.field("descriptor_key"), key);
    Presence { key: text(key), skip_if_absent }
}

fn or(value: &str, default: &str) -> Arc<str> {
    text(if value.is_empty() { default } else { value })
}

/// Why the default of a fixed text is not needed.
const NEVER_EMPTY: &str = "the value is a fixed text and never empty";

fn masked(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::rate_limit::action::MaskedRemoteAddress,
) -> Option<RateLimitAction> {
    let pb::rate_limit::action::MaskedRemoteAddress { v4_prefix_mask_len, v6_prefix_mask_len } = message;
    let mut len = |name: &str, value: Option<&google::UInt32Value>, most: u32| {
        let len = cx.between(&at.field(name), value.map_or(most, |v| v.value), 0, most)?;
        u8::try_from(len).ok()
    };
    let v4 = len("v4_prefix_mask_len", v4_prefix_mask_len.as_ref(), 32);
    let v6 = len("v6_prefix_mask_len", v6_prefix_mask_len.as_ref(), 128);
    Some(RateLimitAction::MaskedRemoteAddress(v4?, v6?))
}

fn generic(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::rate_limit::action::GenericKey,
) -> RateLimitAction {
    let pb::rate_limit::action::GenericKey { descriptor_value, default_value, descriptor_key } = message;
    not_empty(cx, &at.field("descriptor_value"), descriptor_value);
    no_effect!(cx, at, default_value: NEVER_EMPTY);
    RateLimitAction::Generic(or(descriptor_key, "generic_key"), text(descriptor_value))
}

fn header_match(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::rate_limit::action::HeaderValueMatch,
) -> RateLimitAction {
    let pb::rate_limit::action::HeaderValueMatch {
        descriptor_value,
        default_value,
        descriptor_key,
        expect_match,
        headers,
    } = message;
    not_empty(cx, &at.field("descriptor_value"), descriptor_value);
    no_effect!(cx, at, default_value: NEVER_EMPTY);
    let list_at = at.field("headers");
    if headers.is_empty() {
        cx.refuse(&list_at, "needs at least one");
    }
    RateLimitAction::HeaderMatch(
        or(descriptor_key, "header_match"),
        text(descriptor_value),
        flag(expect_match.as_ref(), true),
        matcher::headers(cx, &list_at, headers),
    )
}

fn query_match(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::rate_limit::action::QueryParameterValueMatch,
) -> RateLimitAction {
    let pb::rate_limit::action::QueryParameterValueMatch {
        descriptor_value,
        default_value,
        descriptor_key,
        expect_match,
        query_parameters,
    } = message;
    not_empty(cx, &at.field("descriptor_value"), descriptor_value);
    no_effect!(cx, at, default_value: NEVER_EMPTY);
    let list_at = at.field("query_parameters");
    if query_parameters.is_empty() {
        cx.refuse(&list_at, "needs at least one");
    }
    let parameters = query_parameters
        .iter()
        .enumerate()
        .filter_map(|(i, message)| matcher::query(cx, &list_at.index(i), message))
        .collect();
    RateLimitAction::QueryMatch(
        or(descriptor_key, "query_match"),
        text(descriptor_value),
        flag(expect_match.as_ref(), true),
        parameters,
    )
}

fn address_match(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::rate_limit::action::RemoteAddressMatch,
) -> Option<RateLimitAction> {
    use tulle_proto::envoy::matcher::AddressMatcher;
    let pb::rate_limit::action::RemoteAddressMatch {
        descriptor_value,
        descriptor_key,
        default_value,
        address_matcher,
    } = message;
    not_empty(cx, &at.field("descriptor_value"), descriptor_value);
    let value = template(cx, &at.field("descriptor_value"), descriptor_value)?;
    let matcher_at = at.field("address_matcher");
    let AddressMatcher { ranges, invert_match } = cx.required(&matcher_at, address_matcher.as_ref())?;
    let ranges_at = matcher_at.field("ranges");
    let mut out = Vec::with_capacity(ranges.len());
    for (i, xds::core::CidrRange { address_prefix, prefix_len }) in ranges.iter().enumerate() {
        let at = ranges_at.index(i);
        let Ok(ip) = address_prefix.parse::<std::net::IpAddr>() else {
            cx.refuse(&at.field("address_prefix"), format!("{address_prefix:?} is not an IP address"));
            continue;
        };
        let longest = if ip.is_ipv4() { 32 } else { 128 };
        let len = prefix_len.as_ref().map_or(0, |l| l.value);
        let len = cx.between(&at.field("prefix_len"), len, 0, longest)?;
        out.push(CidrRange::new(ip, u8::try_from(len).unwrap_or(u8::MAX)));
    }
    Some(RateLimitAction::AddressMatch {
        key: or(descriptor_key, "remote_address_match"),
        value,
        default: text(default_value),
        ranges: out,
        invert: *invert_match,
    })
}

fn dynamic_metadata(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::rate_limit::action::DynamicMetaData,
) -> Option<RateLimitAction> {
    let pb::rate_limit::action::DynamicMetaData { descriptor_key, metadata_key, default_value } = message;
    let presence = presence(cx, at, descriptor_key, false);
    let (filter, path) = key(cx, &at.field("metadata_key"), metadata_key.as_ref())?;
    let source = MetadataSource::Dynamic;
    Some(RateLimitAction::Metadata(MetadataEntry {
        presence,
        source,
        filter,
        path,
        default: text(default_value),
    }))
}

fn metadata(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::rate_limit::action::MetaData,
) -> Option<RateLimitAction> {
    use pb::rate_limit::action::meta_data::Source;
    let pb::rate_limit::action::MetaData {
        descriptor_key,
        metadata_key,
        default_value,
        source,
        skip_if_absent,
    } = message;
    let presence = presence(cx, at, descriptor_key, *skip_if_absent);
    let (filter, path) = key(cx, &at.field("metadata_key"), metadata_key.as_ref())?;
    let source_at = at.field("source");
    let source = match cx.choice(&source_at, *source)? {
        Source::Dynamic => MetadataSource::Dynamic,
        Source::RouteEntry => MetadataSource::Route,
        Source::ClusterEntry | Source::ClusterLocalityEntry => {
            cx.refuse(&source_at, "only DYNAMIC and ROUTE_ENTRY are supported");
            return None;
        }
    };
    Some(RateLimitAction::Metadata(MetadataEntry {
        presence,
        source,
        filter,
        path,
        default: text(default_value),
    }))
}
