//! Conditions of routes.

use tulle_api::gateway_api as api;

use crate::routing::{HttpMatch, StringMatch};

/// The match of a block of an HTTPRoute.
pub(super) fn http(m: &api::HttpRouteMatch) -> HttpMatch {
    let api::HttpRouteMatch { path, headers: given, query_params, method } = m;
    HttpMatch {
        uri: path.as_ref().and_then(http_path),
        method: method.map(|m| StringMatch::Exact(m.as_str().to_owned())),
        headers: headers(given),
        query: query(query_params),
        ..HttpMatch::default()
    }
}

/// A path; `None` is every one. A slash at the end of a prefix does not count.
fn http_path(m: &api::HttpPathMatch) -> Option<StringMatch> {
    let api::HttpPathMatch { match_type, value } = m;
    let value = if value.is_empty() { "/" } else { value };
    match match_type.unwrap_or(api::PathMatchType::PathPrefix) {
        api::PathMatchType::Exact => Some(StringMatch::Exact(value.to_owned())),
        api::PathMatchType::RegularExpression => Some(StringMatch::Regex(value.to_owned())),
        api::PathMatchType::PathPrefix => match value.trim_end_matches('/') {
            "" => None,
            prefix => Some(StringMatch::Segments(prefix.to_owned())),
        },
    }
}

/// Conditions on headers; of equal names the first counts.
fn headers(given: &[api::HttpHeaderMatch]) -> Vec<(String, StringMatch)> {
    let mut out: Vec<(String, StringMatch)> = Vec::new();
    for api::HttpHeaderMatch { match_type, name, value: text } in given {
        let name = name.to_ascii_lowercase();
        if out.iter().all(|(n, _)| *n != name) {
            out.push((name, value(*match_type, text)));
        }
    }
    out
}

fn query(given: &[api::HttpQueryParamMatch]) -> Vec<(String, StringMatch)> {
    let mut out: Vec<(String, StringMatch)> = Vec::new();
    for api::HttpQueryParamMatch { match_type, name, value: text } in given {
        if out.iter().all(|(n, _)| n != name) {
            out.push((name.clone(), value(*match_type, text)));
        }
    }
    out
}

fn value(kind: Option<api::ValueMatchType>, text: &str) -> StringMatch {
    match kind.unwrap_or(api::ValueMatchType::Exact) {
        api::ValueMatchType::Exact => StringMatch::Exact(text.to_owned()),
        api::ValueMatchType::RegularExpression => StringMatch::Regex(text.to_owned()),
    }
}

/// The match of a block of a GRPCRoute: calls are paths of the form `/SERVICE/METHOD`.
pub(super) fn grpc(m: &api::GrpcRouteMatch) -> HttpMatch {
    let api::GrpcRouteMatch { method, headers: given } = m;
    HttpMatch { uri: method.as_ref().and_then(grpc_path), headers: headers(given), ..HttpMatch::default() }
}

fn grpc_path(m: &api::GrpcMethodMatch) -> Option<StringMatch> {
    let api::GrpcMethodMatch { match_type, service, method } = m;
    let exact = match_type.unwrap_or(api::ValueMatchType::Exact) == api::ValueMatchType::Exact;
    let group = |text: &str| if exact { literal(text) } else { format!("(?:{text})") };
    Some(match (service.is_empty(), method.is_empty()) {
        (true, true) => return None,
        (false, true) if exact => StringMatch::Segments(format!("/{service}")),
        (false, false) if exact => StringMatch::Exact(format!("/{service}/{method}")),
        (false, true) => StringMatch::Regex(format!("/{}/.+", group(service))),
        (true, false) => StringMatch::Regex(format!("/[^/]+/{}", group(method))),
        (false, false) => StringMatch::Regex(format!("/{}/{}", group(service), group(method))),
    })
}

/// An expression that matches `text` alone.
pub(super) fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(kind: api::PathMatchType, value: &str) -> Option<StringMatch> {
        http_path(&api::HttpPathMatch { match_type: Some(kind), value: value.into() })
    }

    #[test]
    fn prefixes_are_whole_segments_and_a_slash_at_the_end_does_not_count() {
        assert_eq!(path(api::PathMatchType::PathPrefix, "/a/"), Some(StringMatch::Segments("/a".into())));
        assert_eq!(path(api::PathMatchType::PathPrefix, "/"), None);
        assert_eq!(path(api::PathMatchType::Exact, "/a/"), Some(StringMatch::Exact("/a/".into())));
    }

    #[test]
    fn calls_are_paths() {
        let call = |kind, service: &str, method: &str| {
            grpc_path(&api::GrpcMethodMatch {
                match_type: kind,
                service: service.into(),
                method: method.into(),
            })
        };
        assert_eq!(call(None, "shop.Cart", "Add"), Some(StringMatch::Exact("/shop.Cart/Add".into())));
        assert_eq!(call(None, "shop.Cart", ""), Some(StringMatch::Segments("/shop.Cart".into())));
        assert_eq!(call(None, "", "A.d"), Some(StringMatch::Regex("/[^/]+/A\\.d".into())));
        let regex = Some(api::ValueMatchType::RegularExpression);
        assert_eq!(call(regex, "shop.*", ""), Some(StringMatch::Regex("/(?:shop.*)/.+".into())));
        assert_eq!(call(regex, "s", "a|b"), Some(StringMatch::Regex("/(?:s)/(?:a|b)".into())));
    }
}
