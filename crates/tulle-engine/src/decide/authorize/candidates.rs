//! The policies of a set that can match, by what a request has.

use smallvec::SmallVec;

use super::AuthInput;
use crate::decide::matcher::HeaderView as _;
use crate::runtime::metadata::{Metadata, Value, lookup};
use crate::runtime::policy_index::{Facet, FacetIndex, PolicyIndex};

/// Numbers of policies.
type Numbers = SmallVec<[u32; 16]>;

/// The policies that can match, in their order.
pub(super) fn of(index: &PolicyIndex, input: &AuthInput<'_>) -> Numbers {
    let mut all: Numbers = index.always().into();
    for facet in index.facets() {
        add(facet, input, &mut all);
    }
    all.sort_unstable();
    all.dedup();
    all
}

fn add(index: FacetIndex<'_>, input: &AuthInput<'_>, all: &mut Numbers) {
    let mut found = |numbers: &[u32]| all.extend_from_slice(numbers);
    let connection = input.connection;
    match index.facet {
        Facet::Principal | Facet::Namespace => {
            let Some(peer) = connection.verified_peer() else { return };
            for name in peer.uri_sans.iter().chain(peer.dns_sans).chain([&peer.subject]) {
                if *index.facet == Facet::Principal {
                    index.find(name.as_bytes(), &mut found);
                    continue;
                }
                for (at, mark) in name.match_indices("/ns/") {
                    let rest = &name[at + mark.len()..];
                    index.find(rest.split('/').next().unwrap_or_default().as_bytes(), &mut found);
                }
            }
        }
        Facet::Path => {
            if let Some(head) = input.head {
                index.find(head.path_only().as_bytes(), &mut found);
            }
        }
        Facet::Header(key) => {
            if let Some(head) = input.head {
                head.any(key, &mut |line| {
                    index.find(line, &mut found);
                    false
                });
            }
        }
        Facet::ServerName => index.find(connection.server_name.as_bytes(), &mut found),
        Facet::Metadata(filter, path) => {
            let none = Metadata::new();
            match lookup(input.metadata.unwrap_or(&none), filter, path) {
                Some(Value::String(text)) => index.find(text.as_bytes(), &mut found),
                Some(Value::List(items)) => {
                    for text in items.iter().filter_map(Value::as_str) {
                        index.find(text.as_bytes(), &mut found);
                    }
                }
                _ => {}
            }
        }
        Facet::DestinationPort => {
            let mut digits = [0; 5];
            index.find(decimals(connection.local.port(), &mut digits), &mut found);
        }
        Facet::DestinationIp => index.find_ip(connection.local.ip(), &mut found),
        Facet::DirectRemoteIp => index.find_ip(connection.direct_remote.ip(), &mut found),
        Facet::RemoteIp => index.find_ip(connection.remote.ip(), &mut found),
    }
}

fn decimals(mut number: u16, digits: &mut [u8; 5]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::authorize::{decide_counted, matches};
    use crate::decide::view::{CertificateView, Connection, TlsView};
    use crate::runtime::matcher::{HeaderKey, HeaderMatcher, HeaderPredicate, StringMatcher};
    use crate::runtime::net::CidrRange;
    use crate::runtime::rbac::{Permission, Policy, Principal, Rbac, RbacAction};
    use tulle_http::RequestHead;

    fn policy(i: usize, permission: Permission, principal: Principal) -> Policy {
        let name = format!("ns[shop]-policy[p{i:06}]-rule[0]").into();
        Policy { name, permissions: vec![permission], principals: vec![principal], provenance: None }
    }

    fn exact(text: String) -> StringMatcher {
        StringMatcher::Exact(text.into())
    }

    fn header(name: &str, text: String) -> HeaderMatcher {
        HeaderMatcher {
            name: HeaderKey::new(name).unwrap(),
            predicate: HeaderPredicate::Value(exact(text)),
            invert: false,
            missing_is_empty: false,
        }
    }

    /// Policies of many kinds, none of which can match the request of [`looked_at`] but the last.
    fn many(count: usize) -> Vec<Policy> {
        let get = || Permission::Header(header(":method", "GET".into()));
        let path = |p: StringMatcher| Permission::And(vec![get(), Permission::UrlPath(p)]);
        let named = |m: StringMatcher| Principal::And(vec![Principal::Authenticated(Some(m))]);
        let regex = |source: String| {
            StringMatcher::Regex(crate::runtime::matcher::FullRegex {
                regex: regex::bytes::Regex::new(&format!("^(?:{source})$")).unwrap(),
                source: source.into(),
            })
        };
        let mut all: Vec<Policy> = (0..count)
            .map(|i| match i % 8 {
                0 => policy(i, get(), named(exact(format!("spiffe://td/ns/n{i}/sa/a")))),
                1 => policy(i, path(StringMatcher::Prefix(format!("/api/{i}/").into())), Principal::Any),
                2 => policy(i, get(), named(regex(format!(".*/ns/n{i}/.*")))),
                3 => policy(i, path(regex(format!("/x{i}/[^/]+/y"))), Principal::Any),
                4 => policy(i, Permission::Header(header("x-team", format!("t{i}"))), Principal::Any),
                5 => policy(
                    i,
                    get(),
                    Principal::DirectRemoteIp(CidrRange::new(
                        std::net::Ipv4Addr::from_bits(0x0b00_0000 + u32::try_from(i).unwrap() * 256).into(),
                        24,
                    )),
                ),
                6 => policy(i, get(), named(StringMatcher::Suffix(format!("/sa/s{i}").into()))),
                _ => policy(i, Permission::And(vec![get(), Permission::Never]), Principal::Any),
            })
            .collect();
        all.push(policy(count, path(exact("/hit".into())), Principal::Any));
        all
    }

    fn looked_at(count: usize) -> usize {
        let rules = Rbac::new(RbacAction::Allow, many(count));
        let sans = ["spiffe://td/ns/shop/sa/cart"];
        let peer = CertificateView { verified: true, uri_sans: &sans, ..Default::default() };
        let connection = Connection {
            tls: Some(TlsView { peer: Some(peer), ..Default::default() }),
            ..Connection::plain("10.0.0.1:1".parse().unwrap(), "10.0.0.2:80".parse().unwrap())
        };
        let head = RequestHead {
            path: "/hit?x".into(),
            headers: [("x-team", "other")].into_iter().collect(),
            ..Default::default()
        };
        let input =
            AuthInput { head: Some(&head), connection: &connection, metadata: None, filter_state: &[] };
        let mut count = 0;
        let verdict = decide_counted(&rules, &input, &mut count);
        assert!(verdict.allowed && verdict.policy.is_some_and(|p| matches(p, &input)));
        count
    }

    #[test]
    fn policies_that_cannot_match_are_not_looked_at() {
        for count in [8, 80, 800, 8_000] {
            assert_eq!(looked_at(count), 1, "of {count} policies");
        }
    }

    #[test]
    fn ports_are_written_in_decimals() {
        for port in [0, 7, 80, 65_535] {
            assert_eq!(decimals(port, &mut [0; 5]), port.to_string().as_bytes());
        }
    }
}
