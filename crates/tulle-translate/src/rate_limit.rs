//! RateLimits as local rate limit filters, one for each limit.
//!
//! A limit that is told apart by values has one open descriptor for each set of values that a request may have: a value that
//! is lacking is left out of it. Shared limits are divided by the number of proxies that have them.

use std::time::Duration;

use tulle_base::Labels;
use tulle_mesh::Snapshot;
use tulle_mesh::policy::{Limit, LimitKey, LimitMatch, Rate, RateLimit};
use tulle_proto::envoy::core::RuntimeFractionalPercent;
use tulle_proto::envoy::http_connection_manager::HttpFilter;
use tulle_proto::envoy::kind::{
    FractionalPercent, HttpStatus, TokenBucket, fractional_percent::DenominatorType,
};
use tulle_proto::envoy::local_ratelimit::LocalRateLimit;
use tulle_proto::envoy::matcher::AddressMatcher;
use tulle_proto::envoy::ratelimit_common::{
    LocalRateLimitDescriptor, XRateLimitHeadersRfcVersion, rate_limit_descriptor::Entry,
};
use tulle_proto::envoy::route::{
    HeaderMatcher, RateLimit as Rule,
    header_matcher::HeaderMatchSpecifier,
    rate_limit::{Action, action, action::ActionSpecifier},
};
use tulle_proto::envoy::xds::core::CidrRange;

use crate::filters::http;
use crate::pb::{boolv, duration, regex, u32v};
use crate::sources::Sources;

/// What stands for the identity of a client that has none.
const NOBODY: &str = "-";

/// The filters of a workload, in the order of the documents.
pub(crate) fn filters(
    snapshot: &Snapshot,
    namespace: &str,
    labels: &Labels,
    sources: &mut Sources,
) -> Vec<HttpFilter> {
    let mut out = Vec::new();
    for policy in snapshot.rate_limits(namespace, labels) {
        sources.add(&policy.meta);
        let proxies = snapshot.proxies_of_limit(&policy.meta.resource);
        out.extend(policy.limits.iter().map(|limit| filter(policy, limit, proxies)));
    }
    out
}

fn filter(policy: &RateLimit, limit: &Limit, proxies: u32) -> HttpFilter {
    let name = format!("{}.{}.{}", policy.meta.namespace(), policy.meta.name(), limit.name);
    let share = if limit.mesh_wide { proxies.max(1) } else { 1 };
    let plain = limit.per.is_empty() && limit.matches == LimitMatch::default();
    let message = LocalRateLimit {
        stat_prefix: format!("rate_limit.{name}"),
        status: Some(HttpStatus { code: i32::from(policy.status) }),
        token_bucket: Some(if plain { bucket(limit.rate, share) } else { endless() }),
        filter_enabled: percent(100),
        filter_enforced: percent(if limit.dry_run { 0 } else { 100 }),
        rate_limits: if plain { Vec::new() } else { rules(limit) },
        descriptors: if plain { Vec::new() } else { descriptors(limit, share) },
        always_consume_default_token_bucket: boolv(plain),
        max_dynamic_descriptors: if limit.per.is_empty() { None } else { u32v(limit.max_values) },
        enable_x_ratelimit_headers: match policy.headers {
            true => XRateLimitHeadersRfcVersion::DraftVersion03,
            false => XRateLimitHeadersRfcVersion::Off,
        } as i32,
        enable_retry_after_header: policy.retry_after,
        rate_limited_as_resource_exhausted: true,
        ..LocalRateLimit::default()
    };
    http(&format!("policy.tulle.dev/{name}"), &message)
}

fn percent(numerator: u32) -> Option<RuntimeFractionalPercent> {
    Some(RuntimeFractionalPercent {
        default_value: Some(FractionalPercent { numerator, denominator: DenominatorType::Hundred as i32 }),
        ..RuntimeFractionalPercent::default()
    })
}

/// A share of the rate: buckets fill evenly, so a longer interval is as good as fewer tokens, and no fraction is lost.
fn bucket(rate: Rate, share: u32) -> TokenBucket {
    TokenBucket {
        max_tokens: rate.burst.div_ceil(share).max(1),
        tokens_per_fill: u32v(rate.requests),
        fill_interval: Some(duration(rate.unit.saturating_mul(share))),
    }
}

/// For requests that the limit is not about.
fn endless() -> TokenBucket {
    TokenBucket {
        max_tokens: u32::MAX,
        tokens_per_fill: u32v(u32::MAX),
        fill_interval: Some(duration(Duration::from_secs(1))),
    }
}

/// Key of the entry that every descriptor begins with.
const LIMIT: &str = "limit";

/// What requests are counted as: by one rule, or by one for each path where these are told apart.
fn rules(limit: &Limit) -> Vec<Rule> {
    let by_path = limit.per.contains(&LimitKey::Path);
    let paths: Vec<Option<&String>> = match by_path {
        true => limit.matches.paths.iter().map(Some).collect(),
        false => vec![None],
    };
    paths.into_iter().map(|path| rule(limit, path)).collect()
}

fn rule(limit: &Limit, path: Option<&String>) -> Rule {
    let mut headers = conditions(&limit.matches);
    if path.is_none() && !limit.matches.paths.is_empty() {
        headers.push(path_matcher(&limit.matches.paths));
    }
    let first = if headers.is_empty() {
        ActionSpecifier::GenericKey(action::GenericKey {
            descriptor_key: LIMIT.to_owned(),
            descriptor_value: limit.name.clone(),
            ..action::GenericKey::default()
        })
    } else {
        matching(LIMIT, &limit.name, headers)
    };
    let keys = limit.per.iter().map(|key| key_action(limit, key, path));
    let all = std::iter::once(first).chain(keys);
    Rule { actions: all.map(|a| Action { action_specifier: Some(a) }).collect(), ..Rule::default() }
}

fn matching(key: &str, value: &str, headers: Vec<HeaderMatcher>) -> ActionSpecifier {
    ActionSpecifier::HeaderValueMatch(action::HeaderValueMatch {
        descriptor_key: key.to_owned(),
        descriptor_value: value.to_owned(),
        headers,
        ..action::HeaderValueMatch::default()
    })
}

fn key_action(limit: &Limit, key: &LimitKey, path: Option<&String>) -> ActionSpecifier {
    let descriptor_key = name_of(key);
    let skip_if_absent = limit.counts_without_value;
    let header = |header_name: &str| {
        ActionSpecifier::RequestHeaders(action::RequestHeaders {
            header_name: header_name.to_owned(),
            descriptor_key: descriptor_key.clone(),
            skip_if_absent,
        })
    };
    match key {
        LimitKey::Header(name) => header(name),
        LimitKey::Method => header(":method"),
        LimitKey::Host => header(":authority"),
        LimitKey::QueryParameter(name) => ActionSpecifier::QueryParameters(action::QueryParameters {
            query_parameter_name: name.clone(),
            descriptor_key,
            skip_if_absent,
        }),
        LimitKey::Address => ActionSpecifier::RemoteAddress(action::RemoteAddress {}),
        LimitKey::Principal => text(descriptor_key, "%DOWNSTREAM_PEER_URI_SAN%", skip_if_absent),
        LimitKey::Route => text(descriptor_key, "%ROUTE_NAME%", skip_if_absent),
        LimitKey::Path => {
            let path = path.cloned().unwrap_or_default();
            matching(&descriptor_key, &path, vec![path_matcher(std::slice::from_ref(&path))])
        }
    }
}

/// A text about the connection or the request: the one action that has such texts also looks at the address, here at any.
fn text(descriptor_key: String, format: &str, or_nobody: bool) -> ActionSpecifier {
    let any =
        |address_prefix: &str| CidrRange { address_prefix: address_prefix.to_owned(), prefix_len: u32v(0) };
    ActionSpecifier::RemoteAddressMatch(action::RemoteAddressMatch {
        descriptor_key,
        descriptor_value: format.to_owned(),
        default_value: if or_nobody { NOBODY.to_owned() } else { String::new() },
        address_matcher: Some(AddressMatcher {
            ranges: vec![any("0.0.0.0"), any("::")],
            ..AddressMatcher::default()
        }),
    })
}

fn name_of(key: &LimitKey) -> String {
    match key {
        LimitKey::Header(name) => format!("header.{name}"),
        LimitKey::QueryParameter(name) => format!("query.{name}"),
        LimitKey::Principal => "principal".into(),
        // Envoy's action has this name.
        LimitKey::Address => "remote_address".into(),
        LimitKey::Path => "path".into(),
        LimitKey::Method => "method".into(),
        LimitKey::Host => "host".into(),
        LimitKey::Route => "route".into(),
    }
}

/// Whether a request may lack a value.
fn may_lack(key: &LimitKey) -> bool {
    matches!(key, LimitKey::Header(_) | LimitKey::QueryParameter(_) | LimitKey::Host)
}

/// The buckets: of the values with numbers of their own first, then of any.
fn descriptors(limit: &Limit, share: u32) -> Vec<LocalRateLimitDescriptor> {
    let mut out = Vec::new();
    for (values, rate) in &limit.overrides {
        let given = values.iter().map(|v| v.as_deref().unwrap_or_default());
        out.push(descriptor(limit, limit.per.iter().zip(given), *rate, share));
    }
    let lacking: Vec<usize> =
        (0..limit.per.len()).filter(|i| limit.counts_without_value && may_lack(&limit.per[*i])).collect();
    // Every set of values that may be lacking, none first.
    for set in 0..1_usize << lacking.len() {
        let gone = |i: usize| lacking.iter().position(|l| *l == i).is_some_and(|bit| set >> bit & 1 == 1);
        let keys = limit.per.iter().enumerate().filter(|(i, _)| !gone(*i)).map(|(_, key)| (key, ""));
        out.push(descriptor(limit, keys, limit.rate, share));
    }
    out
}

fn descriptor<'a>(
    limit: &Limit,
    keys: impl Iterator<Item = (&'a LimitKey, &'a str)>,
    rate: Rate,
    share: u32,
) -> LocalRateLimitDescriptor {
    let first = Entry { key: LIMIT.to_owned(), value: limit.name.clone() };
    let others = keys.map(|(key, value)| Entry { key: name_of(key), value: value.to_owned() });
    LocalRateLimitDescriptor {
        entries: std::iter::once(first).chain(others).collect(),
        token_bucket: Some(bucket(rate, share)),
        ..LocalRateLimitDescriptor::default()
    }
}

fn conditions(matches: &LimitMatch) -> Vec<HeaderMatcher> {
    let LimitMatch { paths: _, methods, hosts, headers } = matches;
    let mut out = Vec::new();
    if !methods.is_empty() {
        out.push(expression(":method", &any_of(methods.iter().map(|m| quoted(m)))));
    }
    if !hosts.is_empty() {
        let host = |h: &String| match (h.as_str(), h.strip_prefix("*.")) {
            ("*", _) => ".*".to_owned(),
            (_, Some(below)) => format!("[^:]+\\.{}", quoted(below)),
            (whole, None) => quoted(whole),
        };
        out.push(expression(":authority", &format!("(?i){}(:[0-9]+)?", any_of(hosts.iter().map(host)))));
    }
    for (name, value) in headers {
        let specifier = match value.as_str() {
            "*" => HeaderMatchSpecifier::PresentMatch(true),
            value => HeaderMatchSpecifier::StringMatch(crate::pb::exact(value)),
        };
        out.push(HeaderMatcher {
            name: name.to_ascii_lowercase(),
            header_match_specifier: Some(specifier),
            ..HeaderMatcher::default()
        });
    }
    out
}

/// Any of the paths, with or without a query.
fn path_matcher(paths: &[String]) -> HeaderMatcher {
    let path = |p: &String| match p.strip_suffix('*') {
        Some(prefix) => format!("{}[^?]*", quoted(prefix)),
        None => quoted(p),
    };
    expression(":path", &format!("{}(\\?.*)?", any_of(paths.iter().map(path))))
}

fn any_of(expressions: impl Iterator<Item = String>) -> String {
    format!("({})", expressions.collect::<Vec<_>>().join("|"))
}

/// A header whose value is matched as a whole.
fn expression(name: &str, text: &str) -> HeaderMatcher {
    use tulle_proto::envoy::matcher::{StringMatcher, string_matcher::MatchPattern};
    HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(StringMatcher {
            match_pattern: Some(MatchPattern::SafeRegex(regex(text))),
            ..StringMatcher::default()
        })),
        ..HeaderMatcher::default()
    }
}

/// The text as an expression for itself.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
