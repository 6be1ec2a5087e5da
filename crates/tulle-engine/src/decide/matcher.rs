//! How the matchers of [`crate::runtime::matcher`] decide.

use tulle_http::{RequestHead, ResponseHead};

use crate::runtime::matcher::{
    CookieMatcher, HeaderKey, HeaderMatcher, HeaderPredicate, MetadataMatcher, QueryMatcher, StringMatcher,
    ValueMatcher,
};
use crate::runtime::metadata::{Metadata, Value, lookup};

/// Headers that can be asked for by [`HeaderKey`].
pub trait HeaderView {
    /// Calls `each` with every line of that name until it answers `true`. Whether there was a line, and whether one
    /// answered `true`.
    fn any(&self, key: &HeaderKey, each: &mut dyn FnMut(&[u8]) -> bool) -> (bool, bool);

    /// The first line of that name.
    fn first(&self, key: &HeaderKey) -> Option<&[u8]>;
}

impl HeaderView for RequestHead {
    fn any(&self, key: &HeaderKey, each: &mut dyn FnMut(&[u8]) -> bool) -> (bool, bool) {
        match key {
            HeaderKey::Field(name) => {
                let mut present = false;
                let hit = self.headers.get_all(name).any(|line| {
                    present = true;
                    each(line)
                });
                (present, hit)
            }
            _ => self.first(key).map_or((false, false), |value| (true, each(value))),
        }
    }

    fn first(&self, key: &HeaderKey) -> Option<&[u8]> {
        let text = match key {
            HeaderKey::Field(name) => return self.headers.get(name),
            HeaderKey::Method => self.method.as_str(),
            HeaderKey::Path => self.path.as_str(),
            HeaderKey::Authority => self.authority.as_str(),
            HeaderKey::Scheme => self.scheme.as_str(),
            HeaderKey::Protocol => self.protocol.as_str(),
            HeaderKey::Status => "",
        };
        (!text.is_empty()).then_some(text.as_bytes())
    }
}

impl HeaderView for ResponseHead {
    fn any(&self, key: &HeaderKey, each: &mut dyn FnMut(&[u8]) -> bool) -> (bool, bool) {
        match key {
            HeaderKey::Field(name) => {
                let mut present = false;
                let hit = self.headers.get_all(name).any(|line| {
                    present = true;
                    each(line)
                });
                (present, hit)
            }
            HeaderKey::Status => {
                let mut buffer = [0; 5];
                (true, each(decimal(u64::from(self.status), &mut buffer)))
            }
            _ => (false, false),
        }
    }

    fn first(&self, key: &HeaderKey) -> Option<&[u8]> {
        match key {
            HeaderKey::Field(name) => self.headers.get(name),
            _ => None,
        }
    }
}

/// Writes a number of at most `N` digits.
fn decimal<const N: usize>(mut number: u64, buffer: &mut [u8; N]) -> &[u8] {
    let mut at = N;
    while at > 0 {
        at -= 1;
        buffer[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    &buffer[at..]
}

/// Whether a text matches.
pub fn string(matcher: &StringMatcher, text: &[u8]) -> bool {
    match matcher {
        StringMatcher::Exact(p) => text == p.as_bytes(),
        StringMatcher::Prefix(p) => text.starts_with(p.as_bytes()),
        StringMatcher::Suffix(p) => text.ends_with(p.as_bytes()),
        StringMatcher::Contains(p) => contains(text, p.as_bytes(), |a, b| a == b),
        StringMatcher::ExactNoCase(p) => text.eq_ignore_ascii_case(p.as_bytes()),
        StringMatcher::PrefixNoCase(p) => {
            text.get(..p.len()).is_some_and(|head| head.eq_ignore_ascii_case(p.as_bytes()))
        }
        StringMatcher::SuffixNoCase(p) => {
            text.len().checked_sub(p.len()).is_some_and(|at| text[at..].eq_ignore_ascii_case(p.as_bytes()))
        }
        StringMatcher::ContainsNoCase(p) => contains(text, p.as_bytes(), <[u8]>::eq_ignore_ascii_case),
        StringMatcher::Regex(regex) => regex.regex.is_match(text),
    }
}

fn contains(text: &[u8], part: &[u8], same: impl Fn(&[u8], &[u8]) -> bool) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| same(window, part))
}

/// Whether the headers match.
///
/// A repeated header is matched line by line; any line may match, and inverted no line may. A missing header does not
/// match a value predicate, inverted or not, unless it counts as empty.
pub fn header(matcher: &HeaderMatcher, headers: &impl HeaderView) -> bool {
    let mut test = |line: &[u8]| match &matcher.predicate {
        HeaderPredicate::Present | HeaderPredicate::Absent => true,
        HeaderPredicate::Value(value) => string(value, line),
        HeaderPredicate::Range { start, end } => std::str::from_utf8(line)
            .ok()
            .and_then(|text| text.parse::<i64>().ok())
            .is_some_and(|number| number >= *start && number < *end),
    };
    let (present, hit) = headers.any(&matcher.name, &mut test);
    match matcher.predicate {
        HeaderPredicate::Present => (present || matcher.missing_is_empty) != matcher.invert,
        HeaderPredicate::Absent => (!present && !matcher.missing_is_empty) != matcher.invert,
        HeaderPredicate::Value(_) | HeaderPredicate::Range { .. } if present => hit != matcher.invert,
        _ if matcher.missing_is_empty => test(b"") != matcher.invert,
        _ => false,
    }
}

/// Whether the query has a parameter that matches; the first of that name counts.
pub fn query(matcher: &QueryMatcher, query: Option<&str>) -> bool {
    let Some(value) = query_value(query, &matcher.name) else { return false };
    matcher.value.as_ref().is_none_or(|want| string(want, value.as_bytes()))
}

/// The value of the first parameter of that name in a query; empty when it has none.
pub fn query_value<'q>(query: Option<&'q str>, name: &str) -> Option<&'q str> {
    query?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })
}

/// Whether the request has a cookie that matches; the first of that name counts.
pub fn cookie(matcher: &CookieMatcher, request: &RequestHead) -> bool {
    match cookie_value(request, &matcher.name) {
        Some(value) => string(&matcher.value, value) != matcher.invert,
        None => matcher.invert,
    }
}

/// The value of the first cookie of that name, without surrounding quotes.
pub fn cookie_value<'r>(request: &'r RequestHead, name: &str) -> Option<&'r [u8]> {
    request.headers.get_all(tulle_http::Known::Cookie).flat_map(|line| line.split(|b| *b == b';')).find_map(
        |pair| {
            let pair = pair.trim_ascii();
            let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            Some(value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value))
        },
    )
}

/// Whether dynamic metadata matches.
pub fn metadata(matcher: &MetadataMatcher, metadata: &Metadata) -> bool {
    let found = lookup(metadata, &matcher.filter, &matcher.path);
    value(&matcher.value, found.unwrap_or(&Value::Null), found.is_some()) != matcher.invert
}

fn value(matcher: &ValueMatcher, found: &Value, present: bool) -> bool {
    match (matcher, found) {
        (ValueMatcher::Present(want), _) => (present && *found != Value::Null) == *want,
        (ValueMatcher::Null, Value::Null) => present,
        (ValueMatcher::Number(want), Value::Number(n)) => want == n,
        (ValueMatcher::NumberRange { start, end }, Value::Number(n)) => n >= start && n < end,
        (ValueMatcher::String(want), Value::String(text)) => string(want, text.as_bytes()),
        (ValueMatcher::Bool(want), Value::Bool(b)) => want == b,
        (ValueMatcher::OneOf(want), Value::List(items)) => items.iter().any(|item| value(want, item, true)),
        (ValueMatcher::Or(any), _) => any.iter().any(|want| value(want, found, present)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> RequestHead {
        RequestHead {
            path: "/a?x=1&y&x=2".into(),
            authority: "shop.example".into(),
            headers: headers.iter().copied().collect(),
            ..Default::default()
        }
    }

    fn matcher(predicate: HeaderPredicate, invert: bool) -> HeaderMatcher {
        HeaderMatcher { name: HeaderKey::new("x-v").unwrap(), predicate, invert, missing_is_empty: false }
    }

    #[test]
    fn repeated_headers_match_line_by_line() {
        let two = request(&[("x-v", "v1"), ("x-v", "v2")]);
        let exact = |text: &str| HeaderPredicate::Value(StringMatcher::Exact(text.into()));
        assert!(header(&matcher(exact("v2"), false), &two));
        assert!(!header(&matcher(exact("v1,v2"), false), &two));
        assert!(!header(&matcher(exact("v2"), true), &two), "inverted: no line may match");
        assert!(header(&matcher(exact("v3"), true), &two));
    }

    #[test]
    fn a_missing_header_matches_no_value_but_inverted_presence() {
        let none = request(&[]);
        let exact = HeaderPredicate::Value(StringMatcher::Exact("v".into()));
        assert!(!header(&matcher(exact.clone(), false), &none));
        assert!(!header(&matcher(exact.clone(), true), &none));
        assert!(header(&matcher(HeaderPredicate::Present, true), &none));
        assert!(header(&matcher(HeaderPredicate::Absent, false), &none));
        let empty = HeaderMatcher { missing_is_empty: true, ..matcher(exact, true) };
        assert!(header(&empty, &none));
    }

    #[test]
    fn pseudo_headers_and_ranges() {
        let r = request(&[("x-v", "42")]);
        let method = HeaderMatcher {
            name: HeaderKey::new(":method").unwrap(),
            ..matcher(HeaderPredicate::Value(StringMatcher::Exact("GET".into())), false)
        };
        assert!(header(&method, &r));
        let host = HeaderMatcher {
            name: HeaderKey::new("Host").unwrap(),
            ..matcher(HeaderPredicate::Value(StringMatcher::Suffix(".example".into())), false)
        };
        assert!(header(&host, &r));
        assert!(header(&matcher(HeaderPredicate::Range { start: 42, end: 43 }, false), &r));
        assert!(!header(&matcher(HeaderPredicate::Range { start: 0, end: 42 }, false), &r));
    }

    #[test]
    fn strings_with_and_without_case() {
        for (matcher, hit, miss) in [
            (StringMatcher::PrefixNoCase("ab".into()), "ABc", "a"),
            (StringMatcher::SuffixNoCase("bc".into()), "aBC", "c"),
            (StringMatcher::ContainsNoCase("b".into()), "aBc", "ac"),
            (StringMatcher::Contains("b".into()), "abc", "aBc"),
            (StringMatcher::ExactNoCase("abc".into()), "ABC", "abcd"),
        ] {
            assert!(string(&matcher, hit.as_bytes()) && !string(&matcher, miss.as_bytes()), "{matcher:?}");
        }
    }

    #[test]
    fn the_first_query_parameter_and_cookie_count() {
        let r = request(&[("cookie", "a=1; b=\"2\""), ("cookie", "a=3")]);
        let want = |name: &str, value: Option<&str>| QueryMatcher {
            name: name.into(),
            value: value.map(|v| StringMatcher::Exact(v.into())),
        };
        assert!(query(&want("x", Some("1")), r.query()) && !query(&want("x", Some("2")), r.query()));
        assert!(query(&want("y", None), r.query()) && !query(&want("z", None), r.query()));
        assert_eq!(cookie_value(&r, "a"), Some(&b"1"[..]));
        assert_eq!(cookie_value(&r, "b"), Some(&b"2"[..]));
        assert_eq!(cookie_value(&r, "c"), None);
    }

    #[test]
    fn metadata_by_path() {
        let claims = Value::List(vec![Value::String("admin".into())]);
        let mut all = Metadata::new();
        all.insert("jwt".into(), [("groups".into(), claims)].into());
        let m = |path: &str, invert| MetadataMatcher {
            filter: "jwt".into(),
            path: vec![path.into()],
            value: ValueMatcher::OneOf(Box::new(ValueMatcher::String(StringMatcher::Exact("admin".into())))),
            invert,
        };
        assert!(metadata(&m("groups", false), &all) && !metadata(&m("groups", true), &all));
        assert!(!metadata(&m("other", false), &all) && metadata(&m("other", true), &all));
    }
}
