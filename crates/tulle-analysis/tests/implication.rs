//! What is said to be covered is covered: whenever one condition implies another, no request meets the first and not the second.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use tulle_analysis::reason::earlier::Earlier;
use tulle_analysis::reason::matches::{Bound, Implication};
use tulle_api::istio::{HttpMatchRequest, StringMatch};

/// A request, as far as conditions look at it.
#[derive(Clone, Debug)]
struct Request {
    path: String,
    method: String,
    headers: BTreeMap<String, String>,
    port: u32,
}

const PATHS: [&str; 8] = ["/", "/a", "/A", "/a/", "/a/b", "/ab", "/a/b/1", "/b.x"];
const PATTERNS: [&str; 10] =
    ["/a", "/a/.*", "/a.*", "/[ab]", "/a/b/[0-9]+", ".*", "^/a$", "/b\\.x", "/b.x", "/(a|b.*)"];

fn text(value: &StringMatch, given: &str, fold: bool) -> bool {
    let lower = |t: &str| if fold { t.to_ascii_lowercase() } else { t.to_owned() };
    match value {
        StringMatch::Any => true,
        StringMatch::Exact(t) => lower(t) == lower(given),
        StringMatch::Prefix(t) => lower(given).starts_with(&lower(t)),
        StringMatch::Regex(t) => regex::Regex::new(&format!("^(?:{t})$")).unwrap().is_match(given),
    }
}

fn meets(condition: &HttpMatchRequest, request: &Request) -> bool {
    let fold = condition.ignore_uri_case == Some(true);
    let named = |name: &String, m: &StringMatch| request.headers.get(name).is_some_and(|v| text(m, v, false));
    condition.uri.as_ref().is_none_or(|m| text(m, &request.path, fold))
        && condition.method.as_ref().is_none_or(|m| text(m, &request.method, false))
        && condition.headers.iter().all(|(n, m)| named(n, m))
        && !condition.without_headers.iter().any(|(n, m)| named(n, m))
        && condition.port.is_none_or(|p| p == request.port)
}

fn string_match(
    words: &'static [&'static str],
    patterns: &'static [&'static str],
) -> BoxedStrategy<StringMatch> {
    let word = || prop::sample::select(words).prop_map(str::to_owned);
    prop_oneof![
        word().prop_map(StringMatch::Exact),
        word().prop_map(StringMatch::Prefix),
        prop::sample::select(patterns).prop_map(|p| StringMatch::Regex(p.to_owned())),
    ]
    .boxed()
}

fn headers(any: bool) -> impl Strategy<Value = BTreeMap<String, StringMatch>> {
    let value = string_match(&["1", "12", "2"], &["1.*", "[12]", "2"]);
    let value = if any { prop_oneof![value, Just(StringMatch::Any)].boxed() } else { value };
    prop::collection::btree_map(prop::sample::select(vec!["x".to_owned(), "y".to_owned()]), value, 0..2)
}

prop_compose! {
    fn condition()(
        uri in prop::option::of(string_match(&PATHS, &PATTERNS)),
        fold in any::<bool>(),
        method in prop::option::of(string_match(&["GET", "POST"], &["GET|HEAD", "P.*"])),
        headers in headers(true),
        without_headers in headers(true),
        port in prop::option::of(prop::sample::select(vec![80, 81])),
    ) -> HttpMatchRequest {
        // Case can be ignored for plain texts only.
        let plain = !matches!(uri, Some(StringMatch::Regex(_)));
        HttpMatchRequest {
            uri, method, headers, without_headers, port,
            ignore_uri_case: (fold && plain).then_some(true),
            ..Default::default()
        }
    }
}

/// Every request that the words above can make.
static REQUESTS: LazyLock<Vec<Request>> = LazyLock::new(requests);

fn requests() -> Vec<Request> {
    let mut out = Vec::new();
    for path in PATHS {
        for method in ["GET", "HEAD", "POST", "PUT"] {
            for x in [None, Some("1"), Some("12"), Some("2"), Some("3")] {
                for (y, port) in [(None, 80), (Some("1"), 80), (None, 81)] {
                    let pairs = [("x", x), ("y", y)];
                    let headers =
                        pairs.into_iter().filter_map(|(n, v)| Some((n.to_owned(), v?.to_owned()))).collect();
                    out.push(Request { path: path.to_owned(), method: method.to_owned(), headers, port });
                }
            }
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn implied_conditions_hold(wide in condition(), narrow in condition()) {
        let mesh = ["mesh".to_owned()];
        let bound = |matched| Bound { matched, inherited: &mesh };
        let implied = Implication::default().request(&bound(&wide), &bound(&narrow));
        prop_assert!(Implication::default().request(&bound(&wide), &bound(&wide)), "a condition implies itself");
        let between = |r: &Request| meets(&narrow, r) && !meets(&wide, r);
        if implied {
            prop_assert!(!REQUESTS.iter().any(between), "{wide:?}\n{narrow:?}");
        }
    }

    /// The index finds what asking every condition would find.
    #[test]
    fn the_index_agrees_with_asking_all(all in prop::collection::vec(condition(), 1..8), narrow in condition()) {
        let mesh = ["mesh".to_owned()];
        let bound = |matched| Bound { matched, inherited: &mesh };
        let mut earlier = Earlier::default();
        for (i, matched) in all.iter().enumerate() {
            earlier.push(bound(matched), i);
        }
        let mut implication = Implication::default();
        let wanted = all.iter().position(|wide| implication.request(&bound(wide), &bound(&narrow)));
        prop_assert_eq!(earlier.covering(&mut implication, &bound(&narrow)).copied(), wanted);
    }
}
