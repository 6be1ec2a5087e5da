//! Whether rules let a request or connection pass, and which policy decided.

mod candidates;

use std::net::IpAddr;
use std::sync::Arc;

use tulle_http::RequestHead;

use super::matcher;
use super::view::Connection;
use crate::runtime::metadata::{Fields, Metadata, Value};
use crate::runtime::rbac::{Permission, Policy, Principal, Rbac, RbacAction, RbacFilter};

/// What rules look at. HTTP parts are missing on a TCP connection; rules about them do not match there.
#[derive(Clone, Copy)]
pub struct AuthInput<'a> {
    /// The request.
    pub head: Option<&'a RequestHead>,
    /// The connection.
    pub connection: &'a Connection<'a>,
    /// Dynamic metadata.
    pub metadata: Option<&'a Metadata>,
    /// Filter state by key.
    pub filter_state: &'a [(&'a str, &'a str)],
}

/// What rules say.
#[derive(Clone, Copy, Debug)]
pub struct Verdict<'r> {
    /// Whether it passes.
    pub allowed: bool,
    /// The policy that matched; `None` if none did.
    pub policy: Option<&'r Policy>,
}

/// What a filter says: the enforced rules, and what the shadow rules would have said.
#[derive(Clone, Copy, Debug)]
pub struct FilterVerdict<'r> {
    /// Enforced.
    pub enforced: Verdict<'r>,
    /// Only counted and logged; `None` without shadow rules.
    pub shadow: Option<Verdict<'r>>,
    /// Whether the request is marked for access logs (action LOG); `None` if the action is another.
    pub log: Option<bool>,
}

/// Asks a filter's rules.
pub fn filter<'r>(filter: &'r RbacFilter, input: &AuthInput<'_>) -> FilterVerdict<'r> {
    let enforced =
        filter.rules.as_ref().map_or(Verdict { allowed: true, policy: None }, |rules| decide(rules, input));
    let log = filter
        .rules
        .as_ref()
        .filter(|rules| rules.action == RbacAction::Log)
        .map(|_| enforced.policy.is_some());
    let shadow = filter.shadow_rules.as_ref().map(|rules| decide(rules, input));
    FilterVerdict { enforced, shadow, log }
}

/// Asks one set of rules: ALLOW passes what matches, DENY what does not, LOG everything.
pub fn decide<'r>(rules: &'r Rbac, input: &AuthInput<'_>) -> Verdict<'r> {
    decide_counted(rules, input, &mut 0)
}

/// The same, and adds to `looked_at` how many policies were looked at.
pub fn decide_counted<'r>(rules: &'r Rbac, input: &AuthInput<'_>, looked_at: &mut usize) -> Verdict<'r> {
    let mut asked = |policy: &&Policy| {
        *looked_at += 1;
        matches(policy, input)
    };
    let policy = match rules.index() {
        None => rules.policies().iter().find(&mut asked),
        Some(index) => {
            let candidates = candidates::of(index, input);
            candidates.iter().filter_map(|i| rules.policies().get(*i as usize)).find(&mut asked)
        }
    };
    let allowed = match rules.action {
        RbacAction::Allow => policy.is_some(),
        RbacAction::Deny => policy.is_none(),
        RbacAction::Log => true,
    };
    Verdict { allowed, policy }
}

/// What shadow rules say, as Envoy writes it into metadata; nothing without shadow rules.
pub fn noted(filter: &RbacFilter, verdict: &FilterVerdict<'_>) -> Option<Fields> {
    let Verdict { allowed, policy } = verdict.shadow?;
    let result = Value::String(if allowed { "allowed" } else { "denied" }.into());
    let mut fields = Fields::from([(Arc::clone(&filter.shadow_keys.result), result)]);
    if let Some(policy) = policy {
        fields.insert(Arc::clone(&filter.shadow_keys.policy), Value::String(Arc::clone(&policy.name)));
    }
    Some(fields)
}

/// Whether a policy matches: one permission and one principal.
pub fn matches(policy: &Policy, input: &AuthInput<'_>) -> bool {
    policy.permissions.iter().any(|p| permission(p, input))
        && policy.principals.iter().any(|p| principal(p, input))
}

fn permission(p: &Permission, input: &AuthInput<'_>) -> bool {
    match p {
        Permission::Any => true,
        Permission::Never => false,
        Permission::And(all) => all.iter().all(|p| permission(p, input)),
        Permission::Or(any) => any.iter().any(|p| permission(p, input)),
        Permission::Not(inner) => !permission(inner, input),
        Permission::Header(want) => input.head.is_some_and(|head| matcher::header(want, head)),
        Permission::UrlPath(want) => url_path(want, input),
        Permission::DestinationIp(range) => range.contains(input.connection.local.ip()),
        Permission::DestinationPort(port) => input.connection.local.port() == *port,
        Permission::DestinationPortRange { start, end } => {
            (*start..*end).contains(&i32::from(input.connection.local.port()))
        }
        Permission::Metadata(want) => metadata(want, input),
        Permission::RequestedServerName(want) => {
            matcher::string(want, input.connection.server_name.as_bytes())
        }
    }
}

fn principal(p: &Principal, input: &AuthInput<'_>) -> bool {
    match p {
        Principal::Any => true,
        Principal::Never => false,
        Principal::And(all) => all.iter().all(|p| principal(p, input)),
        Principal::Or(any) => any.iter().any(|p| principal(p, input)),
        Principal::Not(inner) => !principal(inner, input),
        Principal::Authenticated(want) => authenticated(want.as_ref(), input),
        Principal::DirectRemoteIp(range) => range.contains(canonical(input.connection.direct_remote.ip())),
        Principal::RemoteIp(range) => range.contains(canonical(input.connection.remote.ip())),
        Principal::Header(want) => input.head.is_some_and(|head| matcher::header(want, head)),
        Principal::UrlPath(want) => url_path(want, input),
        Principal::Metadata(want) => metadata(want, input),
        Principal::FilterState { key, value } => input
            .filter_state
            .iter()
            .find(|(name, _)| **name == **key)
            .is_some_and(|(_, text)| matcher::string(value, text.as_bytes())),
    }
}

fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

fn url_path(want: &crate::runtime::matcher::StringMatcher, input: &AuthInput<'_>) -> bool {
    input.head.is_some_and(|head| !head.path.is_empty() && matcher::string(want, head.path_only().as_bytes()))
}

fn metadata(want: &crate::runtime::matcher::MetadataMatcher, input: &AuthInput<'_>) -> bool {
    match input.metadata {
        Some(metadata) => matcher::metadata(want, metadata),
        None => matcher::metadata(want, &Metadata::new()),
    }
}

/// Only a verified certificate is an authentication: URI SANs, then DNS SANs, then the subject.
fn authenticated(want: Option<&crate::runtime::matcher::StringMatcher>, input: &AuthInput<'_>) -> bool {
    let Some(peer) = input.connection.verified_peer() else { return false };
    let Some(want) = want else { return true };
    let one_of = |names: &[&str]| names.iter().any(|name| matcher::string(want, name.as_bytes()));
    one_of(peer.uri_sans) || one_of(peer.dns_sans) || matcher::string(want, peer.subject.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::view::{CertificateView, TlsView};
    use crate::runtime::matcher::{HeaderKey, HeaderMatcher, HeaderPredicate, StringMatcher};
    use crate::runtime::net::CidrRange;

    const PRINCIPAL: &str = "spiffe://cluster.local/ns/shop/sa/cart";

    fn policy(permission: Permission, principal: Principal) -> Policy {
        Policy {
            name: "p".into(),
            permissions: vec![permission],
            principals: vec![principal],
            provenance: None,
        }
    }

    fn exact(text: &str) -> StringMatcher {
        StringMatcher::Exact(text.into())
    }

    fn with_input<T>(verified: bool, head: Option<&RequestHead>, f: impl FnOnce(&AuthInput<'_>) -> T) -> T {
        let sans = [PRINCIPAL];
        let peer = CertificateView { verified, uri_sans: &sans, ..Default::default() };
        let connection = Connection {
            tls: Some(TlsView { peer: Some(peer), ..Default::default() }),
            remote: "1.2.3.4:1".parse().unwrap(),
            ..Connection::plain("10.0.0.1:1".parse().unwrap(), "10.0.0.2:9080".parse().unwrap())
        };
        f(&AuthInput { head, connection: &connection, metadata: None, filter_state: &[] })
    }

    #[test]
    fn actions() {
        let hit = policy(Permission::Any, Principal::Any);
        let miss = policy(Permission::Never, Principal::Any);
        let check = |action, policy: &Policy, allowed| {
            let rules = Rbac::new(action, vec![policy.clone()]);
            with_input(true, None, |input| assert_eq!(decide(&rules, input).allowed, allowed));
        };
        check(RbacAction::Allow, &hit, true);
        check(RbacAction::Allow, &miss, false);
        check(RbacAction::Deny, &hit, false);
        check(RbacAction::Deny, &miss, true);
        check(RbacAction::Log, &miss, true);
        let nothing = Rbac::new(RbacAction::Allow, vec![]);
        with_input(true, None, |input| assert!(!decide(&nothing, input).allowed, "no policy allows nothing"));
    }

    #[test]
    fn only_a_verified_certificate_authenticates() {
        let p = Principal::Authenticated(Some(exact(PRINCIPAL)));
        with_input(true, None, |input| assert!(principal(&p, input)));
        with_input(false, None, |input| assert!(!principal(&p, input)));
        with_input(false, None, |input| assert!(!principal(&Principal::Authenticated(None), input)));
        let other = Principal::Authenticated(Some(exact("spiffe://x")));
        with_input(true, None, |input| {
            assert!(!principal(&other, input));
            assert!(principal(&Principal::Not(Box::new(other.clone())), input));
        });
    }

    #[test]
    fn addresses_ports_and_http_parts() {
        let head = RequestHead { path: "/a?b".into(), ..Default::default() };
        let range = |text: &str| CidrRange::new(text.parse().unwrap(), 32);
        let method = Permission::Header(HeaderMatcher {
            name: HeaderKey::Method,
            predicate: HeaderPredicate::Value(exact("GET")),
            invert: false,
            missing_is_empty: false,
        });
        with_input(true, Some(&head), |input| {
            assert!(principal(&Principal::RemoteIp(range("1.2.3.4")), input));
            assert!(principal(&Principal::DirectRemoteIp(range("10.0.0.1")), input));
            assert!(!principal(&Principal::DirectRemoteIp(range("1.2.3.4")), input));
            assert!(permission(&Permission::DestinationPort(9080), input));
            assert!(permission(&Permission::DestinationPortRange { start: 9080, end: 9081 }, input));
            assert!(permission(&Permission::UrlPath(exact("/a")), input));
            assert!(permission(&method, input));
        });
        with_input(true, None, |input| assert!(!permission(&method, input), "no HTTP on TCP"));
    }
}
