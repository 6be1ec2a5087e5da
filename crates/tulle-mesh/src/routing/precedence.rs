//! Which rule comes first where the Gateway API's order holds: by what is matched, not by what is written first.
//!
//! Of all rules for a host at one listener, those of several documents included, the first of these decides: an exact
//! path; the longest prefix; a method; the most header matches; the most query parameter matches; the oldest document; the
//! document that comes first by `NAMESPACE/NAME`; the order in the document (HTTPRouteRule `matches`). Regular expressions
//! come after prefixes, longer ones first, as in Istio.

use std::cmp::{Ordering, Reverse};
use std::sync::Arc;

use super::{HttpMatch, HttpRoute, RouteSet, StringMatch};

/// The rules of `sets` in their order, each with the document that it is from.
pub fn merged<'a>(sets: &[&'a Arc<RouteSet>]) -> Vec<(&'a Arc<RouteSet>, &'a HttpRoute)> {
    let mut sets = sets.to_vec();
    sets.sort_by(|a, b| by_age(a, b));
    let mut all: Vec<_> =
        sets.into_iter().flat_map(|set| set.http.iter().map(move |rule| (set, rule))).collect();
    // The sort is stable: what is equal stays in the order of age and writing.
    all.sort_by_key(|(_, rule)| key(rule));
    all
}

/// Oldest first, then by namespace and name.
fn by_age(a: &RouteSet, b: &RouteSet) -> Ordering {
    let name = |s: &RouteSet| format!("{}/{}", s.meta.namespace(), s.meta.name());
    a.meta.created.cmp(&b.meta.created).then_with(|| name(a).cmp(&name(b)))
}

type Key = (u8, Reverse<usize>, bool, Reverse<usize>, Reverse<usize>);

/// Smaller comes first. Rules have at most one match.
fn key(rule: &HttpRoute) -> Key {
    let everything = HttpMatch::default();
    let HttpMatch { uri, method, headers, query, .. } = rule.matches.first().unwrap_or(&everything);
    let (rank, length) = match uri {
        Some(StringMatch::Exact(path)) => (0, path.len()),
        Some(StringMatch::Segments(path) | StringMatch::Prefix(path)) => (1, path.len()),
        Some(StringMatch::Regex(path)) => (2, path.len()),
        // Every path is the prefix `/`, which nothing is shorter than.
        None | Some(StringMatch::Present) => (1, 1),
    };
    // An expression that is less specific than the prefix `/` is not thinkable.
    let rank = if rank == 1 && length <= 1 { 3 } else { rank };
    (rank, Reverse(length), method.is_none(), Reverse(headers.len()), Reverse(query.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::Meta;
    use crate::routing::{Forward, HttpAction, Semantics};
    use crate::visibility::ExportTo;
    use tulle_base::ResourceRef;

    fn rule(name: &str, uri: Option<StringMatch>, method: bool, headers: usize, query: usize) -> HttpRoute {
        let some = |n: usize| (0..n).map(|i| (i.to_string(), StringMatch::Present)).collect();
        let block = HttpMatch {
            uri,
            method: method.then(|| StringMatch::Exact("GET".into())),
            headers: some(headers),
            query: some(query),
            ..HttpMatch::default()
        };
        HttpRoute {
            name: name.into(),
            rule: String::new(),
            matches: vec![block],
            action: HttpAction::Forward(Forward::default()),
            fault: None,
            cors: None,
            external_auth: Vec::new(),
            headers: Default::default(),
        }
    }

    fn set(name: &str, created: &str, http: Vec<HttpRoute>) -> Arc<RouteSet> {
        let meta = Meta {
            resource: ResourceRef::new("gateway.networking.k8s.io", "HTTPRoute", "shop", name),
            version: "v1".into(),
            created: created.into(),
        };
        let (export_to, exports_by_default) = (ExportTo::All, false);
        let (hosts, gateways, tls, tcp) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Arc::new(RouteSet {
            meta,
            hosts,
            gateways,
            export_to,
            exports_by_default,
            http,
            tls,
            tcp,
            semantics: Semantics::GatewayApi,
        })
    }

    /// Each clause beats everything that the later ones count.
    #[test]
    fn the_most_specific_match_of_all_documents_comes_first() {
        let exact = || Some(StringMatch::Exact("/a".into()));
        let prefix = |p: &str| Some(StringMatch::Segments(p.into()));
        let young = set(
            "a",
            "2026-02-01T00:00:00Z",
            vec![
                rule("everything", None, true, 9, 9),
                rule("regex", Some(StringMatch::Regex("/very/long/.*".into())), true, 9, 9),
                rule("short", prefix("/a"), true, 9, 9),
                rule("long", prefix("/a/b"), false, 0, 0),
                rule("exact", exact(), false, 0, 0),
                rule("query", prefix("/x"), false, 0, 2),
                rule("headers", prefix("/x"), false, 1, 0),
                rule("method", prefix("/x"), true, 0, 0),
                rule("young", prefix("/y"), false, 0, 0),
            ],
        );
        let old = set("b", "2026-01-01T00:00:00Z", vec![rule("old", prefix("/y"), false, 0, 0)]);
        let names: Vec<&str> = merged(&[&young, &old]).into_iter().map(|(_, r)| r.name.as_str()).collect();
        let wanted =
            ["exact", "long", "short", "method", "headers", "query", "old", "young", "regex", "everything"];
        assert_eq!(names, wanted);
    }

    #[test]
    fn of_one_age_the_first_by_namespace_and_name_wins() {
        let one = |name: &str| set(name, "2026-01-01T00:00:00Z", vec![rule(name, None, false, 0, 0)]);
        let (b, a) = (one("b"), one("a"));
        let names: Vec<&str> = merged(&[&b, &a]).into_iter().map(|(_, r)| r.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
