//! Conditions of routes.

use tulle_mesh::routing::{HttpMatch, StringMatch};
use tulle_proto::envoy::matcher::{StringMatcher, string_matcher::MatchPattern};
use tulle_proto::envoy::route::{
    HeaderMatcher, QueryParameterMatcher, RouteMatch, header_matcher::HeaderMatchSpecifier,
    query_parameter_matcher::QueryParameterMatchSpecifier, route_match::PathSpecifier,
};

use super::claims;
use crate::pb::{boolv, matcher, regex};

/// The match of a block; `None` matches everything.
pub(super) fn route_match(block: Option<&HttpMatch>) -> RouteMatch {
    let Some(block) = block else {
        return RouteMatch {
            path_specifier: Some(PathSpecifier::Prefix("/".into())),
            ..RouteMatch::default()
        };
    };
    let of_claims = |all: &[(String, StringMatch)], not: bool| {
        all.iter().filter_map(|(n, m)| claims::matcher(n, m, not)).collect::<Vec<_>>()
    };
    let plain = |(n, _): &&(String, StringMatch)| claims::path(n).is_none();
    let mut dynamic_metadata = of_claims(&block.headers, false);
    dynamic_metadata.extend(of_claims(&block.without_headers, true));
    let mut headers: Vec<HeaderMatcher> =
        block.headers.iter().filter(plain).map(|(n, m)| header(n, m)).collect();
    headers.extend(block.without_headers.iter().filter(plain).map(|(n, m)| without(n, m)));
    headers.sort_by(|a, b| a.name.cmp(&b.name));
    let pseudo = [(":method", &block.method), (":authority", &block.authority), (":scheme", &block.scheme)];
    headers.extend(pseudo.iter().filter_map(|(name, m)| Some(header(name, m.as_ref()?))));
    RouteMatch {
        path_specifier: Some(path(block.uri.as_ref())),
        case_sensitive: boolv(!block.ignore_uri_case),
        headers,
        dynamic_metadata,
        query_parameters: block.query.iter().map(|(n, m)| query(n, m)).collect(),
        ..RouteMatch::default()
    }
}

/// Prefixes are raw: `/foo` matches `/foobar` (traps 4). Those of the Gateway API are whole segments.
fn path(uri: Option<&StringMatch>) -> PathSpecifier {
    match uri {
        None | Some(StringMatch::Present) => PathSpecifier::Prefix("/".into()),
        Some(StringMatch::Exact(p)) => PathSpecifier::Path(p.clone()),
        Some(StringMatch::Prefix(p)) => PathSpecifier::Prefix(p.clone()),
        Some(StringMatch::Segments(p)) => PathSpecifier::PathSeparatedPrefix(p.clone()),
        Some(StringMatch::Regex(r)) => PathSpecifier::SafeRegex(regex(r.clone())),
    }
}

/// The matcher of a text; `None` for mere presence.
pub(super) fn string(m: &StringMatch) -> Option<StringMatcher> {
    Some(matcher(match m {
        StringMatch::Exact(s) => MatchPattern::Exact(s.clone()),
        StringMatch::Prefix(s) | StringMatch::Segments(s) => MatchPattern::Prefix(s.clone()),
        StringMatch::Regex(r) => MatchPattern::SafeRegex(regex(r.clone())),
        StringMatch::Present => return None,
    }))
}

fn header(name: &str, m: &StringMatch) -> HeaderMatcher {
    HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(match string(m) {
            Some(m) => HeaderMatchSpecifier::StringMatch(m),
            None => HeaderMatchSpecifier::PresentMatch(true),
        }),
        ..HeaderMatcher::default()
    }
}

/// A missing header does not match, so it passes here: it counts as empty before the match is inverted.
fn without(name: &str, m: &StringMatch) -> HeaderMatcher {
    HeaderMatcher {
        invert_match: true,
        treat_missing_header_as_empty: *m != StringMatch::Present,
        ..header(name, m)
    }
}

fn query(name: &str, m: &StringMatch) -> QueryParameterMatcher {
    QueryParameterMatcher {
        name: name.to_owned(),
        query_parameter_match_specifier: Some(match string(m) {
            Some(m) => QueryParameterMatchSpecifier::StringMatch(m),
            None => QueryParameterMatchSpecifier::PresentMatch(true),
        }),
    }
}
