//! Which policies of a set can match at all: what a request costs does not grow with the policies that cannot.
//!
//! Every policy that can be is hung up on anchors: texts of the request (its path, the client's name, a header, the bits of an
//! address) of which it needs one. Of a request only those policies are looked at whose anchors it has, and those that have none.
//! Which of its possible anchors a policy gets depends on the others: the ones that fewest of them share.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::matcher::{
    HeaderKey, HeaderMatcher, HeaderPredicate, MetadataMatcher, StringMatcher, ValueMatcher,
};
use super::net::CidrRange;
use super::rbac::{Permission, Policy, Principal};

/// With so few policies looking at all of them is cheaper.
const FEW: usize = 4;
/// At most so many possible anchors of one policy are weighed.
const MOST: usize = 12;

/// What of a request or connection an anchor is a text of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Facet {
    /// A name of the client's certificate.
    Principal,
    /// A namespace in a name of the client's certificate: what follows `/ns/`.
    Namespace,
    /// The path without query.
    Path,
    /// A line of a header.
    Header(HeaderKey),
    /// The server name of the TLS connection.
    ServerName,
    /// A text of metadata, or one of a list of texts.
    Metadata(Arc<str>, Vec<Arc<str>>),
    /// The port connected to, in decimals.
    DestinationPort,
    /// The bits of the address connected to.
    DestinationIp,
    /// The bits of the peer's address.
    DirectRemoteIp,
    /// The bits of the client's address.
    RemoteIp,
}

/// What the text is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Shape {
    Exact,
    Prefix,
    Suffix,
}

/// A text of which a policy needs one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Anchor {
    facet: Facet,
    shape: Shape,
    /// ASCII case does not matter; the text is lower case.
    folded: bool,
    text: Vec<u8>,
}

/// The anchors of which a policy needs one; without any it never matches.
type Anchors = Vec<Anchor>;

/// The policies of a set by their anchors.
#[derive(Clone, Debug, Default)]
pub struct PolicyIndex {
    /// Those without anchors.
    always: Vec<u32>,
    facets: Vec<(Facet, Table)>,
}

/// The policies of one facet.
#[derive(Clone, Debug, Default)]
struct Table {
    plain: Texts,
    folded: Texts,
}

/// Texts from their beginning, and from their end.
#[derive(Clone, Debug, Default)]
struct Texts {
    forward: Trie,
    backward: Trie,
}

/// Texts in order, each with the longest other one that it begins with.
#[derive(Clone, Debug, Default)]
struct Trie(Vec<Node>);

#[derive(Clone, Debug)]
struct Node {
    text: Box<[u8]>,
    above: Option<u32>,
    /// Policies that want this very text.
    exact: Vec<u32>,
    /// Policies that want it as a beginning.
    prefix: Vec<u32>,
}

impl PolicyIndex {
    /// The index of a set; `None` where the set is so small that it needs none.
    pub fn of(policies: &[Policy]) -> Option<Self> {
        if policies.len() <= FEW {
            return None;
        }
        let options: Vec<Vec<Anchors>> = policies.iter().map(of_policy).collect();
        let mut shared: HashMap<&Anchor, usize> = HashMap::new();
        for anchor in options.iter().flatten().flatten() {
            *shared.entry(anchor).or_default() += 1;
        }
        let crowd = |anchors: &&Anchors| {
            (anchors.iter().map(|a| shared.get(a).copied().unwrap_or(0)).max(), anchors.len())
        };
        let mut index = Self::default();
        let mut tables: HashMap<Facet, TableBuilder<'_>> = HashMap::new();
        for (number, options) in (0..).zip(&options) {
            match options.iter().min_by_key(crowd) {
                None => index.always.push(number),
                Some(anchors) => {
                    for anchor in anchors {
                        tables.entry(anchor.facet.clone()).or_default().add(anchor, number);
                    }
                }
            }
        }
        index.facets = tables.into_iter().map(|(facet, table)| (facet, table.build())).collect();
        Some(index)
    }

    /// The policies that are always looked at.
    pub fn always(&self) -> &[u32] {
        &self.always
    }

    /// The facets that are asked for.
    pub fn facets(&self) -> impl Iterator<Item = FacetIndex<'_>> {
        self.facets.iter().map(|(facet, table)| FacetIndex { facet, table })
    }
}

/// The policies of one facet.
#[derive(Clone, Copy, Debug)]
pub struct FacetIndex<'i> {
    /// The facet.
    pub facet: &'i Facet,
    table: &'i Table,
}

impl FacetIndex<'_> {
    /// The policies with an anchor that `text` has; some maybe twice.
    pub fn find(&self, text: &[u8], found: &mut impl FnMut(&[u32])) {
        let bytes = text.iter().copied();
        self.table.plain.forward.find(bytes.clone(), found);
        self.table.plain.backward.find(bytes.clone().rev(), found);
        let folded = bytes.map(|b| b.to_ascii_lowercase());
        self.table.folded.forward.find(folded.clone(), found);
        self.table.folded.backward.find(folded.rev(), found);
    }

    /// The same for an address.
    pub fn find_ip(&self, ip: IpAddr, found: &mut impl FnMut(&[u32])) {
        let (bits, len) = bits(ip);
        self.find(&bits[..len], found);
    }
}

impl Trie {
    fn find(&self, text: impl Iterator<Item = u8> + Clone, found: &mut impl FnMut(&[u32])) {
        let after = self.0.partition_point(|node| node.text.iter().copied().cmp(text.clone()).is_le());
        let mut at = after.checked_sub(1).and_then(|at| self.0.get(at));
        let mut begins = false;
        while let Some(node) = at {
            // Once a text is a beginning, all above it are.
            begins = begins || node.text.iter().copied().eq(text.clone().take(node.text.len()));
            if begins {
                found(&node.prefix);
                if !node.exact.is_empty() && text.clone().nth(node.text.len()).is_none() {
                    found(&node.exact);
                }
            }
            at = node.above.and_then(|above| self.0.get(above as usize));
        }
    }
}

/// Policies by text: those that want it exactly and those that want it as a beginning.
type ByText<'a> = BTreeMap<Cow<'a, [u8]>, [Vec<u32>; 2]>;

/// A table being made: plain and folded texts, each from the beginning and from the end.
#[derive(Default)]
struct TableBuilder<'a> {
    texts: [ByText<'a>; 4],
}

impl<'a> TableBuilder<'a> {
    fn add(&mut self, anchor: &'a Anchor, policy: u32) {
        let backward = anchor.shape == Shape::Suffix;
        let text = if backward {
            anchor.text.iter().rev().copied().collect::<Vec<u8>>().into()
        } else {
            anchor.text.as_slice().into()
        };
        let which = usize::from(backward) + 2 * usize::from(anchor.folded);
        let lists = self.texts[which].entry(text).or_default();
        lists[usize::from(anchor.shape != Shape::Exact)].push(policy);
    }

    fn build(self) -> Table {
        let [plain, plain_backward, folded, folded_backward] = self.texts.map(|texts| {
            let mut nodes: Vec<Node> = Vec::with_capacity(texts.len());
            let mut open: Vec<u32> = Vec::new();
            for (number, (text, [exact, prefix])) in (0..).zip(texts) {
                while open.last().is_some_and(|top| !text.starts_with(&nodes[*top as usize].text)) {
                    open.pop();
                }
                nodes.push(Node { above: open.last().copied(), text: text.into(), exact, prefix });
                open.push(number);
            }
            Trie(nodes)
        });
        Table {
            plain: Texts { forward: plain, backward: plain_backward },
            folded: Texts { forward: folded, backward: folded_backward },
        }
    }
}

/// The bits of an address as text, behind a letter for its family.
fn bits(ip: IpAddr) -> ([u8; 129], usize) {
    let mut out = [0; 129];
    let (family, value, len) = match ip.to_canonical() {
        IpAddr::V4(v4) => (b'4', u128::from(v4.to_bits()) << 96, 32),
        IpAddr::V6(v6) => (b'6', v6.to_bits(), 128),
    };
    out[0] = family;
    for (i, bit) in out[1..=len].iter_mut().enumerate() {
        *bit = b'0' + u8::from(value >> (127 - i) & 1 == 1);
    }
    (out, len + 1)
}

/// Sets of anchors, each of which a policy needs one of.
fn of_policy(policy: &Policy) -> Vec<Anchors> {
    let mut out = one_of(policy.permissions.iter().map(of_permission));
    out.extend(one_of(policy.principals.iter().map(of_principal)));
    out
}

fn of_permission(permission: &Permission) -> Vec<Anchors> {
    match permission {
        Permission::Never => vec![Vec::new()],
        Permission::And(all) => all_of(all.iter().map(of_permission)),
        Permission::Or(any) => one_of(any.iter().map(of_permission)),
        Permission::Header(matcher) => of_header(matcher),
        Permission::UrlPath(matcher) => of_string(&Facet::Path, matcher),
        Permission::DestinationIp(range) => of_range(Facet::DestinationIp, range),
        Permission::DestinationPort(port) => {
            let text = port.to_string().into_bytes();
            vec![vec![Anchor { facet: Facet::DestinationPort, shape: Shape::Exact, folded: false, text }]]
        }
        Permission::Metadata(matcher) => of_metadata(matcher),
        Permission::RequestedServerName(matcher) => of_string(&Facet::ServerName, matcher),
        Permission::Any | Permission::Not(_) | Permission::DestinationPortRange { .. } => Vec::new(),
    }
}

fn of_principal(principal: &Principal) -> Vec<Anchors> {
    match principal {
        Principal::Never => vec![Vec::new()],
        Principal::And(all) => all_of(all.iter().map(of_principal)),
        Principal::Or(any) => one_of(any.iter().map(of_principal)),
        Principal::Authenticated(Some(matcher)) => of_name(matcher),
        Principal::DirectRemoteIp(range) => of_range(Facet::DirectRemoteIp, range),
        Principal::RemoteIp(range) => of_range(Facet::RemoteIp, range),
        Principal::Header(matcher) => of_header(matcher),
        Principal::UrlPath(matcher) => of_string(&Facet::Path, matcher),
        Principal::Metadata(matcher) => of_metadata(matcher),
        Principal::Any
        | Principal::Not(_)
        | Principal::Authenticated(None)
        | Principal::FilterState { .. } => Vec::new(),
    }
}

/// What is needed where all of several are: what any of them needs.
fn all_of(parts: impl Iterator<Item = Vec<Anchors>>) -> Vec<Anchors> {
    let mut out: Vec<Anchors> = parts.flatten().collect();
    // Of many, those with few anchors.
    out.sort_by_key(Vec::len);
    out.truncate(MOST);
    out
}

/// What is needed where one of several is: for each facet that all of them have, the anchors of all; or else the first of each.
fn one_of(parts: impl Iterator<Item = Vec<Anchors>>) -> Vec<Anchors> {
    // Those that never match need not be thought of.
    let parts: Vec<Vec<Anchors>> = parts.filter(|options| !options.contains(&Vec::new())).collect();
    if parts.is_empty() {
        return vec![Vec::new()];
    }
    if parts.iter().any(Vec::is_empty) {
        return Vec::new();
    }
    let facet = |anchors: &Anchors| {
        let first = anchors.first().map(|a| a.facet.clone())?;
        anchors.iter().all(|a| a.facet == first).then_some(first)
    };
    let mut out: Vec<Anchors> = Vec::new();
    for wanted in parts[0].iter().filter_map(facet) {
        let of_facet =
            |options: &Vec<Anchors>| options.iter().find(|a| facet(a).as_ref() == Some(&wanted)).cloned();
        if let Some(all) = parts.iter().map(of_facet).collect::<Option<Vec<_>>>() {
            out.push(all.concat());
        }
    }
    if out.is_empty() {
        out.push(parts.into_iter().filter_map(|options| options.into_iter().next()).flatten().collect());
    }
    out
}

fn of_range(facet: Facet, range: &CidrRange) -> Vec<Anchors> {
    let (bits, _) = bits(range.address());
    let text = bits[..=usize::from(range.prefix_len())].to_vec();
    vec![vec![Anchor { facet, shape: Shape::Prefix, folded: false, text }]]
}

fn of_header(matcher: &HeaderMatcher) -> Vec<Anchors> {
    let HeaderMatcher { name, predicate, invert, missing_is_empty } = matcher;
    match predicate {
        HeaderPredicate::Value(value) if !invert && !missing_is_empty => {
            of_string(&Facet::Header(name.clone()), value)
        }
        _ => Vec::new(),
    }
}

fn of_metadata(matcher: &MetadataMatcher) -> Vec<Anchors> {
    let MetadataMatcher { filter, path, value, invert } = matcher;
    if *invert {
        return Vec::new();
    }
    of_value(&Facet::Metadata(Arc::clone(filter), path.clone()), value)
}

fn of_value(facet: &Facet, matcher: &ValueMatcher) -> Vec<Anchors> {
    match matcher {
        ValueMatcher::String(text) => of_string(facet, text),
        ValueMatcher::OneOf(inner) => match &**inner {
            ValueMatcher::String(text) => of_string(facet, text),
            _ => Vec::new(),
        },
        ValueMatcher::Or(any) => one_of(any.iter().map(|inner| of_value(facet, inner))),
        _ => Vec::new(),
    }
}

/// Of a name of the client also the namespace.
fn of_name(matcher: &StringMatcher) -> Vec<Anchors> {
    let mut out = of_string(&Facet::Principal, matcher);
    if let StringMatcher::Regex(regex) = matcher
        && let Some(inner) = regex.source.strip_prefix(".*/ns/").and_then(|rest| rest.strip_suffix("/.*"))
        && let Some(namespace) = literal(inner)
        && !namespace.contains(&b'/')
    {
        out.push(vec![Anchor {
            facet: Facet::Namespace,
            shape: Shape::Exact,
            folded: false,
            text: namespace,
        }]);
    }
    out
}

fn of_string(facet: &Facet, matcher: &StringMatcher) -> Vec<Anchors> {
    let of = |shape, folded, text: &[u8]| {
        let wide = text.is_empty() && shape != Shape::Exact;
        let anchor = Anchor { facet: facet.clone(), shape, folded, text: text.to_vec() };
        (!wide).then(|| vec![anchor])
    };
    let one = match matcher {
        StringMatcher::Exact(text) => of(Shape::Exact, false, text.as_bytes()),
        StringMatcher::Prefix(text) => of(Shape::Prefix, false, text.as_bytes()),
        StringMatcher::Suffix(text) => of(Shape::Suffix, false, text.as_bytes()),
        StringMatcher::ExactNoCase(text) => of(Shape::Exact, true, text.as_bytes()),
        StringMatcher::PrefixNoCase(text) => of(Shape::Prefix, true, text.as_bytes()),
        StringMatcher::SuffixNoCase(text) => of(Shape::Suffix, true, text.as_bytes()),
        StringMatcher::Contains(_) | StringMatcher::ContainsNoCase(_) => None,
        StringMatcher::Regex(regex) => {
            let (start, end) = literal_ends(&regex.source);
            return of(Shape::Prefix, false, &start)
                .into_iter()
                .chain(of(Shape::Suffix, false, &end))
                .collect();
        }
    };
    one.into_iter().collect()
}

/// What every match of a whole expression begins and ends with, as far as that is easily seen.
fn literal_ends(source: &str) -> (Vec<u8>, Vec<u8>) {
    // Alternatives, and flags that change what letters mean.
    if source.contains('|') || source.contains("(?") {
        return (Vec::new(), Vec::new());
    }
    let (start, whole) = literal_start(source);
    if whole {
        return (start.clone(), start);
    }
    // What follows the last wildcard.
    let tail = ["*", "+"].iter().filter_map(|mark| source.rfind(mark)).max();
    let end = tail.and_then(|at| literal(&source[at + 1..])).unwrap_or_default();
    (start, end)
}

/// The text that an expression is, if it is nothing else.
fn literal(source: &str) -> Option<Vec<u8>> {
    let (text, whole) = literal_start(source);
    whole.then_some(text)
}

/// The text that an expression begins with, and whether that is all of it.
fn literal_start(source: &str) -> (Vec<u8>, bool) {
    let mut out: Vec<u8> = Vec::new();
    // Where the last character begins: a repetition takes it away again.
    let mut last = 0;
    let mut chars = source.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => match chars.next() {
                Some(escaped) if escaped.is_ascii_punctuation() => escaped,
                _ => return (out, false),
            },
            '*' | '+' | '?' | '{' => {
                out.truncate(last);
                return (out, false);
            }
            '.' | '(' | ')' | '[' | ']' | '}' | '^' | '$' => return (out, false),
            c => c,
        };
        last = out.len();
        out.extend(c.encode_utf8(&mut [0; 4]).bytes());
    }
    (out, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matches_of_an_expression_begin_and_end_with() {
        let ends = |source: &str| {
            let (start, end) = literal_ends(source);
            (String::from_utf8(start).unwrap(), String::from_utf8(end).unwrap())
        };
        let both = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(ends("/a/[^/]+/b"), both("/a/", "/b"));
        assert_eq!(ends(r"spiffe://.*/sa/x\.y"), both("spiffe://", "/sa/x.y"));
        assert_eq!(ends("spiffe://[^/]+/ns/a/sa/b"), both("spiffe://", "/ns/a/sa/b"));
        assert_eq!(ends("abc"), both("abc", "abc"));
        assert_eq!(ends("ab?c"), both("a", ""));
        assert_eq!(ends("ab+"), both("a", ""));
        assert_eq!(ends("a|b"), both("", ""));
        assert_eq!(ends("(?i)abc"), both("", ""));
        assert_eq!(ends("a.*[bc]"), both("a", ""));
        assert_eq!(ends(r"a\d*x"), both("a", "x"));
        assert_eq!(ends("a{2,3}b"), both("", ""));
        assert_eq!(ends("x[*]y"), both("x", ""), "a star in a class is none");
        assert_eq!(ends(r"x\*y"), both("x*y", "x*y"));
        assert_eq!(ends(r"(a)+\*y"), both("", "y"));
    }
}
