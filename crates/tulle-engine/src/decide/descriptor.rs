//! Rate limit descriptors: what a request is counted as.

use std::borrow::Cow;

use smallvec::SmallVec;
use tulle_http::RequestHead;

use super::format::{FormatContext, render};
use super::matcher::{self, HeaderView as _};
use crate::runtime::metadata::{Metadata, Value, lookup};
use crate::runtime::net::CidrRange;
use crate::runtime::rate_limit::{
    Hits, LimitOverride, MetadataEntry, MetadataSource, Presence, RateLimitAction, RateLimitRule,
};

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its key.
    pub key: &'a str,
    /// Its value; bytes, because header values are.
    pub value: Cow<'a, [u8]>,
}

/// What a request is counted as, by one rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Descriptor<'a> {
    /// Keys and values in the order of the actions.
    pub entries: SmallVec<[Entry<'a>; 4]>,
    /// How many hits it counts for, if the rule says so.
    pub hits: Option<u64>,
    /// Whether these hits are given back.
    pub refills: bool,
    /// Whether `x-ratelimit-*` headers tell of it; `None` leaves that to the filter.
    pub headers: Option<bool>,
    /// Requests per unit that hold in place of the service's own limit.
    pub limit: Option<(u32, i32)>,
}

/// The descriptors of a request.
pub type Descriptors<'a> = SmallVec<[Descriptor<'a>; 2]>;

/// What rules look at.
#[derive(Clone, Copy)]
pub struct RateLimitInput<'a> {
    /// The request.
    pub head: &'a RequestHead,
    /// The connection, and what texts may say.
    pub format: &'a FormatContext<'a>,
    /// Dynamic metadata.
    pub metadata: Option<&'a Metadata>,
    /// Metadata of the route.
    pub route_metadata: Option<&'a Metadata>,
    /// This proxy's service cluster.
    pub source_cluster: &'a str,
    /// The route's cluster; `None` where it does not forward.
    pub destination_cluster: Option<&'a str>,
}

/// Most hits that one request may count for.
pub const MAX_HITS: u64 = 1_000_000_000;

/// The descriptor that a rule makes of a request; `None` where an action has no entry for it.
pub fn describe<'a>(rule: &'a RateLimitRule, input: &RateLimitInput<'a>) -> Option<Descriptor<'a>> {
    let mut descriptor = Descriptor { headers: rule.headers, refills: rule.refills, ..Descriptor::default() };
    for action in &rule.actions {
        if let Some(entry) = entry(action, input)? {
            descriptor.entries.push(entry);
        }
    }
    descriptor.hits = match &rule.hits {
        Hits::Default => None,
        Hits::Fixed(hits) => Some(*hits),
        Hits::Format(template) => {
            let mut text = String::new();
            render(template, input.format, Some(input.head), None, &mut text);
            let number: f64 = text.trim().parse().ok()?;
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked in the same line"
            )]
            Some((0.0..=1e9).contains(&number).then_some(number as u64)?)
        }
    };
    descriptor.limit = rule.limit.as_ref().and_then(|limit| limit_override(limit, input));
    Some(descriptor)
}

/// `None`: no descriptor. `Some(None)`: a descriptor without this entry.
fn entry<'a>(action: &'a RateLimitAction, input: &RateLimitInput<'a>) -> Option<Option<Entry<'a>>> {
    let fixed = |key: &'a str, value: &'a str| Some(Some(Entry { key, value: value.as_bytes().into() }));
    let made = |key: &'a str, value: String| Some(Some(Entry { key, value: value.into_bytes().into() }));
    let remote = input.format.connection.remote.ip().to_canonical();
    match action {
        RateLimitAction::SourceCluster => fixed("source_cluster", input.source_cluster),
        RateLimitAction::DestinationCluster => fixed("destination_cluster", input.destination_cluster?),
        RateLimitAction::RequestHeader(name, presence) => match input.head.first(name) {
            Some(value) => Some(Some(Entry { key: &presence.key, value: value.into() })),
            None => absent(presence),
        },
        RateLimitAction::QueryParameter(name, presence) => {
            match matcher::query_value(input.head.query(), name) {
                Some(value) => Some(Some(Entry { key: &presence.key, value: percent_decoded(value) })),
                None => absent(presence),
            }
        }
        RateLimitAction::RemoteAddress => made("remote_address", remote.to_string()),
        RateLimitAction::MaskedRemoteAddress(v4, v6) => {
            let range = CidrRange::new(remote, if remote.is_ipv4() { *v4 } else { *v6 });
            made("masked_remote_address", format!("{}/{}", range.address(), range.prefix_len()))
        }
        RateLimitAction::Generic(key, value) => fixed(key, value),
        RateLimitAction::HeaderMatch(key, value, expected, headers) => {
            let matched = headers.iter().all(|h| matcher::header(h, input.head));
            if matched == *expected { fixed(key, value) } else { None }
        }
        RateLimitAction::QueryMatch(key, value, expected, parameters) => {
            let decoded = input.head.query().map(decoded_values);
            let matched = parameters.iter().all(|p| matcher::query(p, decoded.as_deref()));
            if matched == *expected { fixed(key, value) } else { None }
        }
        RateLimitAction::AddressMatch { key, value, default, ranges, invert } => {
            if ranges.iter().any(|r| r.contains(remote)) == *invert {
                return None;
            }
            let mut text = String::new();
            render(value, input.format, Some(input.head), None, &mut text);
            match (text.is_empty(), default.is_empty()) {
                (false, _) => made(key, text),
                (true, false) => fixed(key, default),
                (true, true) => None,
            }
        }
        RateLimitAction::Metadata(entry) => of_metadata(entry, input),
    }
}

/// A missing value leaves out the entry, or the whole descriptor.
fn absent<'a>(presence: &Presence) -> Option<Option<Entry<'a>>> {
    presence.skip_if_absent.then_some(None)
}

fn of_metadata<'a>(entry: &'a MetadataEntry, input: &RateLimitInput<'a>) -> Option<Option<Entry<'a>>> {
    let MetadataEntry { presence, source, filter, path, default } = entry;
    let metadata = match source {
        MetadataSource::Dynamic => input.metadata,
        MetadataSource::Route => input.route_metadata,
    };
    let found = metadata.and_then(|m| lookup(m, filter, path)).and_then(Value::as_str).unwrap_or_default();
    let text = if found.is_empty() { default } else { found };
    match text {
        "" => absent(presence),
        text => Some(Some(Entry { key: &presence.key, value: text.as_bytes().into() })),
    }
}

fn limit_override(limit: &LimitOverride, input: &RateLimitInput<'_>) -> Option<(u32, i32)> {
    let (filter, path) = match limit {
        LimitOverride::Fixed(requests, unit) => return Some((*requests, *unit)),
        LimitOverride::Metadata(filter, path) => (filter, path),
    };
    let Value::Struct(fields) = lookup(input.metadata?, filter, path)? else { return None };
    let (Value::Number(requests), Value::String(unit)) =
        (fields.get("requests_per_unit")?, fields.get("unit")?)
    else {
        return None;
    };
    let unit = tulle_proto::envoy::kind::RateLimitUnit::from_str_name(unit)?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float cast saturates")]
    Some((*requests as u32, unit as i32))
}

/// A text with `%XX` made into bytes; other text, `+` included, stays.
pub fn percent_decoded(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('%') {
        return Cow::Borrowed(text.as_bytes());
    }
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or_default());
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    Cow::Owned(out)
}

/// The same query with decoded values; what an escape hides of separators stays escaped.
fn decoded_values(query: &str) -> String {
    let value = |text: &str| match String::from_utf8(percent_decoded(text).into_owned()) {
        Ok(plain) if !plain.contains('&') => plain,
        _ => text.to_owned(),
    };
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, text)) => format!("{name}={}", value(text)),
        None => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::view::Connection;
    use crate::runtime::headers::Template;
    use crate::runtime::matcher::{HeaderKey, HeaderMatcher, HeaderPredicate, StringMatcher};
    use std::sync::Arc;

    fn rule(actions: Vec<RateLimitAction>) -> RateLimitRule {
        RateLimitRule {
            stage: 0,
            has_disable_key: false,
            actions,
            limit: None,
            hits: Hits::Default,
            refills: false,
            headers: None,
            on_stream_done: false,
        }
    }

    fn presence(key: &str, skip_if_absent: bool) -> Presence {
        Presence { key: key.into(), skip_if_absent }
    }

    /// The entries of a descriptor as `key=value`, joined by commas; `none` without one.
    fn said(rule: &RateLimitRule, path: &str, headers: &[(&str, &str)], client: &str) -> String {
        let head = RequestHead {
            path: path.into(),
            headers: headers.iter().copied().collect(),
            ..Default::default()
        };
        let connection = Connection::plain(client.parse().unwrap(), "10.0.0.2:80".parse().unwrap());
        let format = FormatContext {
            connection: &connection,
            route_name: "r",
            cluster: "",
            upstream: None,
            response_flags: "",
            response_details: "",
            hostname: "h",
            start: std::time::SystemTime::UNIX_EPOCH,
            metadata: None,
        };
        let tier = |tier: &str| -> Metadata {
            [("f".into(), [("tier".into(), Value::String(tier.into()))].into_iter().collect())]
                .into_iter()
                .collect()
        };
        let (dynamic, route) = (tier("gold"), tier("silver"));
        let input = RateLimitInput {
            head: &head,
            format: &format,
            metadata: Some(&dynamic),
            route_metadata: Some(&route),
            source_cluster: "me",
            destination_cluster: Some("app"),
        };
        let Some(descriptor) = describe(rule, &input) else { return "none".into() };
        let hits = descriptor.hits.map(|h| format!("+{h}")).unwrap_or_default();
        let entry = |e: &Entry<'_>| format!("{}={}", e.key, String::from_utf8_lossy(&e.value));
        descriptor.entries.iter().map(entry).collect::<Vec<_>>().join(",") + &hits
    }

    #[test]
    fn actions_make_entries_in_order() {
        use RateLimitAction as A;
        let v = [("x-v", "1")];
        let matches = |name: &str| HeaderMatcher {
            name: HeaderKey::new(name).unwrap(),
            predicate: HeaderPredicate::Value(StringMatcher::Exact("1".into())),
            invert: false,
            missing_is_empty: false,
        };
        let query = |name: &str, value: &str| QueryMatcher {
            name: name.into(),
            value: Some(StringMatcher::Exact(value.into())),
        };
        use crate::runtime::matcher::QueryMatcher;
        let meta = |source, path: &str, default: &str, skip| {
            A::Metadata(MetadataEntry {
                presence: presence("m", skip),
                source,
                filter: "f".into(),
                path: vec![path.into()],
                default: default.into(),
            })
        };
        for (actions, want) in [
            (vec![A::SourceCluster, A::DestinationCluster], "source_cluster=me,destination_cluster=app"),
            (vec![A::RemoteAddress], "remote_address=10.1.2.3"),
            (vec![A::MaskedRemoteAddress(16, 64)], "masked_remote_address=10.1.0.0/16"),
            (vec![A::Generic("generic_key".into(), "v".into())], "generic_key=v"),
            (vec![A::RequestHeader(HeaderKey::new("x-v").unwrap(), presence("h", false))], "h=1"),
            (
                vec![A::RequestHeader(HeaderKey::new(":path").unwrap(), presence("h", false))],
                "h=/a?q=a%20b&e=%26",
            ),
            (vec![A::RequestHeader(HeaderKey::new("x-w").unwrap(), presence("h", false))], "none"),
            (
                vec![
                    A::RequestHeader(HeaderKey::new("x-w").unwrap(), presence("h", true)),
                    A::Generic("g".into(), "v".into()),
                ],
                "g=v",
            ),
            (vec![A::QueryParameter("q".into(), presence("q", false))], "q=a b"),
            (vec![A::QueryParameter("p".into(), presence("q", false))], "none"),
            (vec![A::HeaderMatch("k".into(), "v".into(), true, vec![matches("x-v")])], "k=v"),
            (vec![A::HeaderMatch("k".into(), "v".into(), false, vec![matches("x-v")])], "none"),
            (vec![A::HeaderMatch("k".into(), "v".into(), false, vec![matches("x-w")])], "k=v"),
            (vec![A::QueryMatch("k".into(), "v".into(), true, vec![query("q", "a b")])], "k=v"),
            (vec![A::QueryMatch("k".into(), "v".into(), true, vec![query("q", "a+b")])], "none"),
            (vec![meta(MetadataSource::Dynamic, "tier", "", false)], "m=gold"),
            (vec![meta(MetadataSource::Route, "tier", "", false)], "m=silver"),
            (vec![meta(MetadataSource::Route, "none", "d", false)], "m=d"),
            (vec![meta(MetadataSource::Route, "none", "", false)], "none"),
            (vec![meta(MetadataSource::Route, "none", "", true)], ""),
        ] {
            let made = rule(actions);
            assert_eq!(said(&made, "/a?q=a%20b&e=%26", &v, "10.1.2.3:9"), want, "{:?}", made.actions);
        }
        let masked = rule(vec![A::MaskedRemoteAddress(16, 64)]);
        assert_eq!(said(&masked, "/", &v, "[fd00:1:2:3:4::5]:9"), "masked_remote_address=fd00:1:2:3::/64");
    }

    #[test]
    fn addresses_are_matched_and_turned_round() {
        let of = |invert, value: &str, default: &str| {
            rule(vec![RateLimitAction::AddressMatch {
                key: "a".into(),
                value: Template::Text(value.into()),
                default: default.into(),
                ranges: vec![CidrRange::new("10.0.0.0".parse().unwrap(), 8)],
                invert,
            }])
        };
        assert_eq!(said(&of(false, "in", ""), "/", &[], "10.1.1.1:1"), "a=in");
        assert_eq!(said(&of(false, "in", ""), "/", &[], "11.1.1.1:1"), "none");
        assert_eq!(said(&of(true, "out", ""), "/", &[], "11.1.1.1:1"), "a=out");
        assert_eq!(said(&of(false, "", "d"), "/", &[], "10.1.1.1:1"), "a=d");
        assert_eq!(said(&of(false, "", ""), "/", &[], "10.1.1.1:1"), "none");
    }

    #[test]
    fn hits_come_from_the_rule_or_from_the_request() {
        use crate::runtime::headers::{TemplatePart, Variable};
        let mut made = rule(vec![RateLimitAction::Generic("g".into(), "v".into())]);
        made.hits = Hits::Fixed(3);
        assert_eq!(said(&made, "/", &[], "10.1.1.1:1"), "g=v+3");
        made.hits = Hits::Format(Template::Parts(vec![TemplatePart::Variable(Variable::RequestHeader {
            name: HeaderKey::new("x-cost").unwrap(),
            alternative: None,
            max_len: None,
        })]));
        for (cost, want) in [("7", "g=v+7"), ("2.9", "g=v+2"), ("-1", "none"), ("x", "none"), ("2e9", "none")]
        {
            assert_eq!(said(&made, "/", &[("x-cost", cost)], "10.1.1.1:1"), want, "{cost}");
        }
        assert_eq!(said(&made, "/", &[], "10.1.1.1:1"), "none");
    }

    #[test]
    fn a_limit_may_come_from_metadata() {
        let unit: Arc<str> = "MINUTE".into();
        let fields =
            [("requests_per_unit".into(), Value::Number(42.0)), ("unit".into(), Value::String(unit))];
        let metadata: Metadata =
            [("f".into(), [("l".into(), Value::Struct(fields.into_iter().collect()))].into_iter().collect())]
                .into_iter()
                .collect();
        let connection = Connection::plain("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
        let head = RequestHead::default();
        let format = FormatContext {
            connection: &connection,
            route_name: "",
            cluster: "",
            upstream: None,
            response_flags: "",
            response_details: "",
            hostname: "",
            start: std::time::SystemTime::UNIX_EPOCH,
            metadata: None,
        };
        let input = RateLimitInput {
            head: &head,
            format: &format,
            metadata: Some(&metadata),
            route_metadata: None,
            source_cluster: "",
            destination_cluster: None,
        };
        let at = |name: &str| limit_override(&LimitOverride::Metadata("f".into(), vec![name.into()]), &input);
        assert_eq!(at("l"), Some((42, 2)));
        assert_eq!(at("other"), None);
        assert_eq!(limit_override(&LimitOverride::Fixed(1, 3), &input), Some((1, 3)));
    }
}
