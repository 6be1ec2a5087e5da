//! Which virtual host and route take a request, and which cluster.

use std::sync::Arc;

use smallvec::SmallVec;
use tulle_http::{Known, Method, RequestHead, Scheme, uri};

use super::matcher::{self, HeaderView};
use super::view::Connection;
use crate::runtime::filter::FilterOverrides;
use crate::runtime::listener::TcpClusters;
use crate::runtime::metadata::Metadata;
use crate::runtime::route::{
    Action, ClusterChoice, ClusterName, DomainIndex, NameMap, PathMatcher, RequireTls, Route, RouteMatch,
    RouteTable, VirtualHost, WeightedCluster, WeightedClusters,
};

/// What route matching looks at.
#[derive(Clone, Copy)]
pub struct RouteInput<'a> {
    /// The request, after its path and host were cleaned.
    pub head: &'a RequestHead,
    /// The connection it came on.
    pub connection: &'a Connection<'a>,
    /// Dynamic metadata of the request.
    pub metadata: Option<&'a Metadata>,
    /// Uniform random number of this request; the same for every question about it.
    pub random: u64,
}

/// The route that takes a request.
#[derive(Clone, Copy, Debug)]
pub struct Found<'t> {
    /// Its virtual host.
    pub virtual_host: &'t Arc<VirtualHost>,
    /// The route.
    pub route: &'t Arc<Route>,
    /// Its index in the virtual host.
    pub index: usize,
}

/// Why no route takes a request; both are answered with 404 and response flag `NR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFound {
    /// No virtual host has the request's host.
    VirtualHost,
    /// The virtual host has no route for it.
    Route,
}

/// The part of a matcher that did not fit. The index is the one in the list of that kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// The path.
    Path,
    /// A header.
    Header(usize),
    /// A query parameter.
    Query(usize),
    /// A cookie.
    Cookie(usize),
    /// Chance.
    Fraction,
    /// Not gRPC.
    Grpc,
    /// The client's certificate.
    Tls,
    /// Dynamic metadata.
    Metadata(usize),
}

/// Told of every route that was looked at and did not fit. `()` ignores it at no cost.
pub trait Misses {
    /// `route` (at `index`) did not fit because of `why`.
    fn missed(&mut self, index: usize, route: &Route, why: Miss);
}

impl Misses for () {
    #[inline]
    fn missed(&mut self, _index: usize, _route: &Route, _why: Miss) {}
}

impl<F: FnMut(usize, &Route, Miss)> Misses for F {
    fn missed(&mut self, index: usize, route: &Route, why: Miss) {
        self(index, route, why);
    }
}

/// Finds the route of a request: its virtual host by host name, then the first route that fits.
///
/// # Errors
/// [`NotFound`] when there is none.
pub fn find<'t>(
    table: &'t RouteTable,
    input: &RouteInput<'_>,
    misses: &mut impl Misses,
) -> Result<Found<'t>, NotFound> {
    let virtual_host = virtual_host(table, input.head).ok_or(NotFound::VirtualHost)?;
    for (index, route) in virtual_host.routes.iter().enumerate() {
        match fits(&route.matches, input, table.ignore_path_parameters) {
            Ok(()) => return Ok(Found { virtual_host, route, index }),
            Err(why) => misses.missed(index, route, why),
        }
    }
    Err(NotFound::Route)
}

/// The virtual host of a request.
pub fn virtual_host<'t>(table: &'t RouteTable, head: &RequestHead) -> Option<&'t Arc<VirtualHost>> {
    let host = match &table.host_header {
        None => head.authority.as_bytes(),
        Some(key) => head.first(key).unwrap_or_default(),
    };
    let host = match std::str::from_utf8(host) {
        Ok(text) if table.ignore_port_in_host => uri::split_port(text).0.as_bytes(),
        _ => host,
    };
    let index = if host.iter().any(u8::is_ascii_uppercase) {
        let mut lower: SmallVec<[u8; 128]> = SmallVec::from_slice(host);
        lower.make_ascii_lowercase();
        domain(&table.domains, &lower)
    } else {
        domain(&table.domains, host)
    }?;
    table.virtual_hosts.get(index as usize)
}

/// Index of the virtual host for a host name in lower case: exact, longest `*SUFFIX`, longest `PREFIX*`, then `*`. A
/// wildcard stands for at least one character.
pub fn domain(domains: &DomainIndex, host: &[u8]) -> Option<u32> {
    let wildcard = |lists: &[(usize, NameMap)], part: &dyn Fn(usize) -> Option<u32>| {
        lists.iter().filter(|(len, _)| *len < host.len()).find_map(|(len, _)| part(*len))
    };
    let in_list = |lists: &[(usize, NameMap)], len: usize, text: &[u8]| {
        lists.iter().find(|(l, _)| *l == len).and_then(|(_, names)| names.get(text).copied())
    };
    domains
        .exact
        .get(host)
        .copied()
        .or_else(|| {
            wildcard(&domains.suffixes, &|len| in_list(&domains.suffixes, len, &host[host.len() - len..]))
        })
        .or_else(|| wildcard(&domains.prefixes, &|len| in_list(&domains.prefixes, len, &host[..len])))
        .or(domains.default)
}

/// Whether a route takes the request; otherwise the first part that does not fit, cheapest parts first.
///
/// # Errors
/// The part that does not fit.
pub fn fits(m: &RouteMatch, input: &RouteInput<'_>, ignore_parameters: bool) -> Result<(), Miss> {
    let head = input.head;
    if !path_fits(&m.path, head, ignore_parameters) {
        return Err(Miss::Path);
    }
    if m.fraction.is_some_and(|fraction| !fraction.hits(input.random)) {
        return Err(Miss::Fraction);
    }
    if m.grpc && !is_grpc(head) {
        return Err(Miss::Grpc);
    }
    let miss = |at: Option<usize>, why: fn(usize) -> Miss| at.map_or(Ok(()), |at| Err(why(at)));
    miss(m.headers.iter().position(|h| !matcher::header(h, head)), Miss::Header)?;
    if !m.query.is_empty() {
        let query = head.query();
        miss(m.query.iter().position(|q| !matcher::query(q, query)), Miss::Query)?;
    }
    miss(m.cookies.iter().position(|c| !matcher::cookie(c, head)), Miss::Cookie)?;
    if let Some(want) = m.tls {
        let peer = input.connection.tls.and_then(|tls| tls.peer);
        let presented = want.presented.is_none_or(|want| want == peer.is_some());
        let validated = want.validated.is_none_or(|want| want == peer.is_some_and(|p| p.verified));
        if !presented || !validated {
            return Err(Miss::Tls);
        }
    }
    if !m.metadata.is_empty() {
        let empty = Metadata::new();
        let metadata = input.metadata.unwrap_or(&empty);
        miss(m.metadata.iter().position(|d| !matcher::metadata(d, metadata)), Miss::Metadata)?;
    }
    Ok(())
}

fn path_fits(path: &PathMatcher, head: &RequestHead, ignore_parameters: bool) -> bool {
    if matches!(path, PathMatcher::Connect) {
        return head.method == Method::Connect && head.protocol.is_empty();
    }
    if head.path.is_empty() {
        return false;
    }
    let mut text = head.path_only();
    if ignore_parameters {
        text = text.split(';').next().unwrap_or(text);
    }
    let begins = |prefix: &str, ignore_case: bool| {
        text.as_bytes().get(..prefix.len()).is_some_and(|head| {
            if ignore_case { head.eq_ignore_ascii_case(prefix.as_bytes()) } else { head == prefix.as_bytes() }
        })
    };
    match path {
        PathMatcher::Prefix { prefix, ignore_case } => begins(prefix, *ignore_case),
        PathMatcher::Exact { path, ignore_case } => text.len() == path.len() && begins(path, *ignore_case),
        PathMatcher::SegmentPrefix { prefix, ignore_case } => {
            begins(prefix, *ignore_case)
                && (text.len() == prefix.len() || text.as_bytes()[prefix.len()] == b'/')
        }
        PathMatcher::Regex(regex) => regex.regex.is_match(text.as_bytes()),
        PathMatcher::Connect => false,
    }
}

/// Whether the request is gRPC: content type `application/grpc`, alone or followed by `+` or `;`.
pub fn is_grpc(head: &RequestHead) -> bool {
    head.headers
        .get(Known::ContentType)
        .and_then(|value| value.strip_prefix(b"application/grpc"))
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Whether a request on this virtual host must go to https first (301 to the same URL).
pub fn must_use_tls(host: &VirtualHost, head: &RequestHead, internal: bool) -> bool {
    let https = match head.headers.get(Known::XForwardedProto) {
        Some(proto) => proto.eq_ignore_ascii_case(b"https"),
        None => head.scheme == Scheme::Https,
    };
    !https
        && match host.require_tls {
            RequireTls::None => false,
            RequireTls::ExternalOnly => !internal,
            RequireTls::All => true,
        }
}

/// The cluster of a request.
#[derive(Clone, Copy, Debug)]
pub struct PickedCluster<'a> {
    /// Its name; empty when a header should name it and does not (answer as for an unknown cluster).
    pub name: &'a str,
    /// The weighted entry that was picked, with its own header and filter changes.
    pub weighted: Option<&'a WeightedCluster>,
}

/// Picks the cluster. `hash` is the hash of the route's hash policies, if they made one; `random` is the request's.
pub fn pick_cluster<'a>(
    choice: &'a ClusterChoice,
    head: &'a RequestHead,
    random: u64,
    hash: Option<u64>,
) -> PickedCluster<'a> {
    match choice {
        ClusterChoice::Single(name) => PickedCluster { name, weighted: None },
        ClusterChoice::Header(key) => PickedCluster { name: header_text(head, key), weighted: None },
        ClusterChoice::Weighted(clusters) => {
            let picked = pick_weighted(clusters, head, random, hash);
            let name = match &picked.cluster {
                ClusterName::Name(name) => name,
                ClusterName::Header(key) => header_text(head, key),
            };
            PickedCluster { name, weighted: Some(picked) }
        }
    }
}

/// What a route changes about filters for this request; where it goes to one of several clusters, what that one changes.
pub fn filters<'r>(route: &'r Route, head: &RequestHead, random: u64) -> &'r FilterOverrides {
    match &route.action {
        Action::Forward(to) => match &to.cluster {
            ClusterChoice::Weighted(clusters) => &pick_weighted(clusters, head, random, None).filters,
            ClusterChoice::Single(_) | ClusterChoice::Header(_) => &route.filters,
        },
        Action::Redirect(_) | Action::DirectResponse(_) | Action::NotForwarded => &route.filters,
    }
}

/// Picks the cluster of a TCP connection, by a uniform number.
pub fn pick_tcp_cluster(clusters: &TcpClusters, random: u64) -> &Arc<str> {
    match clusters {
        TcpClusters::Single(name) => name,
        TcpClusters::Weighted { clusters, total } => {
            let mut left = random % (*total).max(1);
            for (name, weight) in clusters {
                if left < u64::from(*weight) {
                    return name;
                }
                left -= u64::from(*weight);
            }
            &clusters.last().expect("compiled weighted clusters are never empty").0
        }
    }
}

/// The text of a request header; empty if it is missing or not text.
pub fn header_text<'h>(head: &'h RequestHead, key: &crate::runtime::matcher::HeaderKey) -> &'h str {
    head.first(key).and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default()
}

fn pick_weighted<'a>(
    clusters: &'a WeightedClusters,
    head: &RequestHead,
    random: u64,
    hash: Option<u64>,
) -> &'a WeightedCluster {
    let given = clusters.random_header.as_ref().and_then(|key| header_text(head, key).parse::<u64>().ok());
    let value = given.or(hash.filter(|_| clusters.use_hash_policy)).unwrap_or(random);
    let mut left = value % clusters.total.max(1);
    for cluster in &clusters.clusters {
        let weight = u64::from(cluster.weight);
        if left < weight {
            return cluster;
        }
        left -= weight;
    }
    clusters.clusters.last().expect("compiled weighted clusters are never empty")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::matcher::{HeaderKey, HeaderMatcher, HeaderPredicate, StringMatcher};

    fn names(list: &[(&str, u32)]) -> NameMap {
        list.iter().map(|(n, i)| (n.as_bytes().into(), *i)).collect()
    }

    #[test]
    fn domains_in_envoys_order() {
        let index = DomainIndex {
            exact: names(&[("a.example.com", 0)]),
            suffixes: vec![(12, names(&[(".example.com", 1)])), (4, names(&[(".com", 2)]))],
            prefixes: vec![(4, names(&[("foo.", 3)]))],
            default: Some(4),
        };
        for (host, want) in [
            ("a.example.com", 0),
            ("b.example.com", 1),
            (".example.com", 2),
            ("foo.com", 2),
            ("foo.org", 3),
            ("foo.", 4),
            ("else", 4),
        ] {
            assert_eq!(domain(&index, host.as_bytes()), Some(want), "{host}");
        }
    }

    fn fitting(path: PathMatcher, request: &RequestHead) -> bool {
        path_fits(&path, request, false)
    }

    #[test]
    fn paths() {
        let at = |path: &str| RequestHead { path: path.into(), ..Default::default() };
        let prefix = |p: &str| PathMatcher::Prefix { prefix: p.into(), ignore_case: false };
        let segment = |p: &str| PathMatcher::SegmentPrefix { prefix: p.into(), ignore_case: false };
        let exact = |p: &str, ignore_case| PathMatcher::Exact { path: p.into(), ignore_case };
        assert!(fitting(prefix("/foo"), &at("/foobar")), "a prefix is a raw text");
        assert!(!fitting(segment("/foo"), &at("/foobar")));
        assert!(fitting(segment("/foo"), &at("/foo")) && fitting(segment("/foo"), &at("/foo/bar?x")));
        assert!(fitting(exact("/foo", false), &at("/foo?a=b")));
        assert!(!fitting(exact("/foo", false), &at("/FOO")) && fitting(exact("/foo", true), &at("/FOO")));
        assert!(path_fits(&exact("/foo", false), &at("/foo;v=1?a"), true));
        let connect = RequestHead { method: Method::Connect, authority: "a:1".into(), ..Default::default() };
        assert!(fitting(PathMatcher::Connect, &connect) && !fitting(prefix("/"), &connect));
    }

    #[test]
    fn every_part_must_fit_and_the_first_miss_is_told() {
        let head = RequestHead {
            path: "/a?x=1".into(),
            headers: [("end-user", "jason")].into_iter().collect(),
            ..Default::default()
        };
        let connection = Connection::plain("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
        let input = RouteInput { head: &head, connection: &connection, metadata: None, random: 0 };
        let user = |name: &str| HeaderMatcher {
            name: HeaderKey::new("end-user").unwrap(),
            predicate: HeaderPredicate::Value(StringMatcher::Exact(name.into())),
            invert: false,
            missing_is_empty: false,
        };
        let mut m = RouteMatch {
            path: PathMatcher::Prefix { prefix: "/".into(), ignore_case: false },
            headers: vec![user("jason")],
            query: vec![],
            cookies: vec![],
            fraction: None,
            grpc: false,
            tls: None,
            metadata: vec![],
        };
        assert_eq!(fits(&m, &input, false), Ok(()));
        m.headers.push(user("ann"));
        assert_eq!(fits(&m, &input, false), Err(Miss::Header(1)));
        m.grpc = true;
        assert_eq!(fits(&m, &input, false), Err(Miss::Grpc));
    }

    #[test]
    fn weights_split_the_range_of_random_numbers() {
        let cluster = |name: &str, weight| WeightedCluster {
            cluster: ClusterName::Name(name.into()),
            weight,
            request_headers: Default::default(),
            response_headers: Default::default(),
            host_rewrite: "".into(),
            filters: Default::default(),
            metadata_match: Default::default(),
        };
        let choice = ClusterChoice::Weighted(WeightedClusters {
            clusters: vec![cluster("v1", 90), cluster("none", 0), cluster("v2", 10)],
            total: 100,
            random_header: Some(HeaderKey::new("x-rand").unwrap()),
            use_hash_policy: false,
        });
        let head = RequestHead::default();
        let count = (0..1000u64).filter(|r| pick_cluster(&choice, &head, *r, None).name == "v1").count();
        assert_eq!(count, 900);
        assert!((0..1000u64).all(|r| pick_cluster(&choice, &head, r, None).name != "none"));
        let fixed = RequestHead { headers: [("x-rand", "95")].into_iter().collect(), ..Default::default() };
        assert_eq!(pick_cluster(&choice, &fixed, 0, None).name, "v2");
        let tcp = TcpClusters::Weighted { clusters: vec![("a".into(), 1), ("b".into(), 3)], total: 4 };
        assert_eq!((0..400).filter(|r| &**pick_tcp_cluster(&tcp, *r) == "b").count(), 300);
    }
}
