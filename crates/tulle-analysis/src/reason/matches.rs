//! Whether one condition on requests holds whenever another one does: the question behind "this rule is never used".
//!
//! The answers are safe: `true` is certain, `false` may also mean that it cannot be told (two regular expressions, for
//! example, are compared as text).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use regex::Regex;
use tulle_api::istio::{HttpMatchRequest, StringMatch};
use tulle_base::Labels;

/// A condition on a text, with the regular expressions that say no more than a prefix or a whole text read as such.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Text<'a> {
    /// Every text.
    Any,
    /// This text.
    Exact(Cow<'a, str>),
    /// Every text that begins so.
    Prefix(Cow<'a, str>),
    /// Every text that matches as a whole.
    Regex(&'a str),
}

impl<'a> Text<'a> {
    /// Reads a condition on a path, a method or the like; none is met by every text.
    pub fn of(given: Option<&'a StringMatch>) -> Self {
        match given {
            None | Some(StringMatch::Any) => Self::Any,
            Some(StringMatch::Exact(text)) => Self::Exact(Cow::Borrowed(text)),
            Some(StringMatch::Prefix(text)) if text.is_empty() => Self::Any,
            Some(StringMatch::Prefix(text)) => Self::Prefix(Cow::Borrowed(text)),
            Some(StringMatch::Regex(text)) => Self::of_regex(text),
        }
    }

    /// As [`Text::of`] for a path: every path begins with a slash.
    pub fn of_path(given: Option<&'a StringMatch>) -> Self {
        match Self::of(given) {
            Self::Prefix(text) if text == "/" => Self::Any,
            other => other,
        }
    }

    fn of_regex(pattern: &'a str) -> Self {
        if matches!(pattern, "*" | ".*") {
            return Self::Any;
        }
        let body = pattern.strip_prefix('^').unwrap_or(pattern);
        let body = body.strip_suffix('$').filter(|b| !b.ends_with('\\')).unwrap_or(body);
        let (literal, open) = match body.strip_suffix(".*") {
            Some(rest) if !rest.ends_with('\\') => (rest, true),
            _ => (body, false),
        };
        match (unescape(literal), open) {
            (Some(text), _) if text.is_empty() && open => Self::Any,
            (Some(text), true) => Self::Prefix(text),
            (Some(text), false) => Self::Exact(text),
            (None, _) => Self::Regex(pattern),
        }
    }

    fn folded(self) -> Self {
        match self {
            Self::Exact(t) => Self::Exact(Cow::Owned(t.to_ascii_lowercase())),
            Self::Prefix(t) => Self::Prefix(Cow::Owned(t.to_ascii_lowercase())),
            other => other,
        }
    }
}

/// The text that an expression without operators stands for.
fn unescape(pattern: &str) -> Option<Cow<'_, str>> {
    const OPERATORS: &str = r".^$*+?()[]{}|";
    if !pattern.contains('\\') {
        return (!pattern.contains(|c| OPERATORS.contains(c))).then_some(Cow::Borrowed(pattern));
    }
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(chars.next().filter(char::is_ascii_punctuation)?),
            c if OPERATORS.contains(c) => return None,
            c => out.push(c),
        }
    }
    Some(Cow::Owned(out))
}

/// Answers questions about conditions; remembers the expressions that it has compiled.
#[derive(Debug, Default)]
pub struct Implication {
    compiled: HashMap<String, Option<Regex>>,
    asked: u64,
}

impl Implication {
    /// Whether `wide` holds for every text for which `narrow` holds.
    pub fn text(&mut self, wide: &Text<'_>, narrow: &Text<'_>) -> bool {
        match (wide, narrow) {
            (Text::Any, _) => true,
            (Text::Exact(w), Text::Exact(n)) => w == n,
            (Text::Prefix(w), Text::Exact(n) | Text::Prefix(n)) => n.starts_with(&**w),
            (Text::Regex(w), Text::Regex(n)) => w == n,
            (Text::Regex(w), Text::Exact(n)) => self.whole(w, n),
            _ => false,
        }
    }

    /// How many pairs of conditions were compared so far.
    pub fn asked(&self) -> u64 {
        self.asked
    }

    /// Whether the whole of `text` matches `pattern`; `false` for a pattern that cannot be compiled.
    pub fn whole(&mut self, pattern: &str, text: &str) -> bool {
        let compiled = self.compiled.entry(pattern.to_owned()).or_insert_with(|| {
            regex::RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(1 << 20).build().ok()
        });
        compiled.as_ref().is_some_and(|r| r.is_match(text))
    }

    /// Whether every request (and client) that `narrow` matches is matched by `wide` too. The lists of gateways are those
    /// of the resource, for the conditions that name none.
    pub fn request(&mut self, wide: &Bound<'_>, narrow: &Bound<'_>) -> bool {
        self.asked += 1;
        let (w, n) = (wide.matched, narrow.matched);
        let ports = w.port.is_none_or(|p| n.port == Some(p));
        let source = w.source_namespace.is_empty() || w.source_namespace == n.source_namespace;
        ports
            && source
            && contains(&n.source_labels, &w.source_labels)
            && narrow.gateways().iter().all(|g| wide.gateways().contains(g))
            && self.path(w, n)
            && [(&w.scheme, &n.scheme), (&w.method, &n.method), (&w.authority, &n.authority)]
                .into_iter()
                .all(|(w, n)| self.text(&Text::of(w.as_ref()), &Text::of(n.as_ref())))
            && self.named(&w.headers, &n.headers)
            && self.named(&w.query_params, &n.query_params)
            && self.excluded(&w.without_headers, &n.without_headers)
    }

    fn path(&mut self, wide: &HttpMatchRequest, narrow: &HttpMatchRequest) -> bool {
        let (w, n) = (Text::of_path(wide.uri.as_ref()), Text::of_path(narrow.uri.as_ref()));
        match (wide.ignore_uri_case == Some(true), narrow.ignore_uri_case == Some(true)) {
            (true, _) => self.text(&w.folded(), &n.folded()),
            (false, true) => w == Text::Any,
            (false, false) => self.text(&w, &n),
        }
    }

    /// Every named condition of `wide` is implied by one of `narrow` on the same name. An empty one asks for presence.
    fn named(
        &mut self,
        wide: &BTreeMap<String, StringMatch>,
        narrow: &BTreeMap<String, StringMatch>,
    ) -> bool {
        wide.iter().all(|(name, w)| {
            let n = narrow.get(name);
            n.is_some_and(|n| self.text(&Text::of(Some(w)), &Text::of(Some(n))))
        })
    }

    /// What `wide` excludes is excluded by `narrow` too: its condition there is at least as wide.
    fn excluded(
        &mut self,
        wide: &BTreeMap<String, StringMatch>,
        narrow: &BTreeMap<String, StringMatch>,
    ) -> bool {
        wide.iter().all(|(name, w)| {
            let n = narrow.get(name);
            n.is_some_and(|n| self.text(&Text::of(Some(n)), &Text::of(Some(w))))
        })
    }
}

/// Whether a condition of a delegate can be merged with one of its root: on what both speak about, the delegate's is
/// narrower (Istio's rule).
pub fn mergeable(root: &HttpMatchRequest, leaf: &HttpMatchRequest) -> bool {
    let texts = [
        (&root.uri, &leaf.uri),
        (&root.scheme, &leaf.scheme),
        (&root.method, &leaf.method),
        (&root.authority, &leaf.authority),
    ];
    let mut both = Vec::new();
    both.extend(texts.into_iter().filter_map(|(r, l)| Some((r.as_ref()?, l.as_ref()?))));
    for (r, l) in [
        (&root.headers, &leaf.headers),
        (&root.without_headers, &leaf.without_headers),
        (&root.query_params, &leaf.query_params),
    ] {
        both.extend(r.iter().filter_map(|(name, r)| Some((r, l.get(name)?))));
    }
    let labels = root.source_labels.iter().all(|(k, v)| leaf.source_labels.get(k).is_none_or(|l| l == v));
    let agree = |r: &str, l: &str| r.is_empty() || l.is_empty() || r == l;
    both.into_iter().all(|(r, l)| match (r, l) {
        (StringMatch::Prefix(r), StringMatch::Exact(l) | StringMatch::Prefix(l)) => l.starts_with(r.as_str()),
        (StringMatch::Any, _) => true,
        (r, l) => r == l,
    }) && labels
        && root.ignore_uri_case.unwrap_or(false) == leaf.ignore_uri_case.unwrap_or(false)
        && (root.port.is_none() || leaf.port.is_none() || root.port == leaf.port)
        && agree(&root.source_namespace, &leaf.source_namespace)
        && leaf.gateways.iter().all(|g| root.gateways.is_empty() || root.gateways.contains(g))
}

/// Whether a condition asks for nothing of the request: every one matches, whoever sends it there.
pub fn is_catch_all(matched: &HttpMatchRequest) -> bool {
    Text::of_path(matched.uri.as_ref()) == Text::Any
        && matched.scheme.is_none()
        && matched.method.is_none()
        && matched.authority.is_none()
        && matched.headers.is_empty()
        && matched.without_headers.is_empty()
        && matched.query_params.is_empty()
}

/// Whether two conditions are the same but for their names.
pub fn same(a: &HttpMatchRequest, b: &HttpMatchRequest) -> bool {
    let named = HttpMatchRequest { name: a.name.clone(), stat_prefix: a.stat_prefix.clone(), ..b.clone() };
    *a == named
}

/// A condition together with the gateways of its resource.
#[derive(Clone, Copy, Debug)]
pub struct Bound<'a> {
    /// The condition.
    pub matched: &'a HttpMatchRequest,
    /// The gateways of the resource, `mesh` among them when it is bound to the sidecars.
    pub inherited: &'a [String],
}

impl<'a> Bound<'a> {
    /// The gateways for which it is asked.
    pub fn gateways(&self) -> &'a [String] {
        if self.matched.gateways.is_empty() { self.inherited } else { &self.matched.gateways }
    }
}

/// Whether `labels` has every pair of `wanted`.
pub fn contains(labels: &Labels, wanted: &Labels) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(text: &str) -> StringMatch {
        StringMatch::Exact(text.into())
    }

    fn prefix(text: &str) -> StringMatch {
        StringMatch::Prefix(text.into())
    }

    fn regex(text: &str) -> StringMatch {
        StringMatch::Regex(text.into())
    }

    fn covers(wide: &HttpMatchRequest, narrow: &HttpMatchRequest) -> bool {
        let mesh = ["mesh".to_owned()];
        let bound = |matched| Bound { matched, inherited: &mesh };
        Implication::default().request(&bound(wide), &bound(narrow))
    }

    fn uri(uri: StringMatch) -> HttpMatchRequest {
        HttpMatchRequest { uri: Some(uri), ..Default::default() }
    }

    #[test]
    fn paths() {
        for (wide, narrow) in [
            (prefix("/a"), prefix("/a/b")),
            (prefix("/a"), exact("/ab")),
            (prefix("/"), regex("/[0-9]+")),
            (regex("/a/.*"), prefix("/a/b")),
            (regex("^/a$"), exact("/a")),
            (regex("/a/[0-9]+"), exact("/a/12")),
            (regex(".*"), regex("/x|/y")),
            (regex("/a\\.json"), exact("/a.json")),
        ] {
            assert!(covers(&uri(wide.clone()), &uri(narrow.clone())), "{wide:?} {narrow:?}");
        }
        for (wide, narrow) in [
            (prefix("/a/b"), prefix("/a")),
            (exact("/a"), prefix("/a")),
            (regex("/a/[0-9]+"), prefix("/a/1")),
            (regex("/a/[0-9]+"), regex("/a/[0-3]+")),
            (regex("/a("), exact("/a(")),
        ] {
            assert!(!covers(&uri(wide.clone()), &uri(narrow.clone())), "{wide:?} {narrow:?}");
        }
    }

    #[test]
    fn case_matters_to_one_side_only() {
        let ignoring = HttpMatchRequest { ignore_uri_case: Some(true), ..uri(prefix("/API")) };
        assert!(covers(&ignoring, &uri(exact("/api/x"))));
        assert!(!covers(&uri(prefix("/api")), &HttpMatchRequest { uri: Some(prefix("/api/x")), ..ignoring }));
    }

    #[test]
    fn headers_methods_and_clients() {
        let with = |name: &str, value| HttpMatchRequest {
            headers: [(name.to_owned(), value)].into(),
            ..Default::default()
        };
        assert!(covers(&HttpMatchRequest::default(), &with("x", exact("1"))));
        assert!(covers(&with("x", StringMatch::Any), &with("x", exact("1"))));
        assert!(!covers(&with("x", exact("1")), &with("x", StringMatch::Any)));
        assert!(!covers(&with("x", exact("1")), &HttpMatchRequest::default()));
        let without = |value| HttpMatchRequest {
            without_headers: [("x".to_owned(), value)].into(),
            ..Default::default()
        };
        assert!(covers(&without(exact("1")), &without(prefix("1"))));
        assert!(!covers(&without(prefix("1")), &without(exact("1"))));
        let method = |m| HttpMatchRequest { method: Some(m), ..Default::default() };
        assert!(covers(&method(regex("GET|HEAD")), &method(exact("HEAD"))));
        assert!(!covers(&method(exact("GET")), &method(exact("HEAD"))));
        let port = |p| HttpMatchRequest { port: p, ..Default::default() };
        assert!(covers(&port(None), &port(Some(80))) && !covers(&port(Some(80)), &port(None)));
        let gateways = |g: &str| HttpMatchRequest { gateways: vec![g.to_owned()], ..Default::default() };
        assert!(covers(&gateways("mesh"), &port(None)) && !covers(&gateways("edge"), &port(None)));
    }
}
