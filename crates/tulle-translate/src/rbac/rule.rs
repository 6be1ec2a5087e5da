//! One rule of a policy.

use tulle_mesh::policy::{Operation, Rule as Written, Source, StringSet};
use tulle_proto::envoy::matcher::StringMatcher;
use tulle_proto::envoy::rbac::{
    Permission, Policy, Principal,
    permission::{self, Rule},
    principal::{self, Authenticated, Identifier},
    rbac::Action,
};

use super::conditions::{Asked, asked, request_principal};
use super::path::path;
use super::trust::TrustDomains;
use super::values;
use crate::pb::cidr;

/// The policy of a rule. On TCP, fields that only HTTP has make an ALLOW rule impossible (`None`), and are left out of a
/// DENY rule, which gets wider (traps 10). The same goes for attributes that nobody knows.
pub(super) fn policy(written: &Written, action: Action, tcp: bool, domains: &TrustDomains) -> Option<Policy> {
    let mut builder = Builder { lenient: action != Action::Allow, tcp, possible: true, domains };
    let (mut of_client, mut of_request) = (Vec::new(), Vec::new());
    for condition in &written.when {
        let values = &condition.values;
        builder.condition(&condition.key, &values.any, false, &mut of_client, &mut of_request);
        builder.condition(&condition.key, &values.none, true, &mut of_client, &mut of_request);
    }
    let principals = builder.principals(&written.from, &of_client);
    let permissions = builder.permissions(&written.to, &of_request);
    builder.possible.then(|| Policy { permissions, principals, ..Policy::default() })
}

struct Builder<'a> {
    /// What cannot be expressed is left out instead of making the rule impossible.
    lenient: bool,
    tcp: bool,
    possible: bool,
    domains: &'a TrustDomains,
}

impl Builder<'_> {
    fn principals(&mut self, from: &[Source], conditions: &[Principal]) -> Vec<Principal> {
        let any = [Source::default()];
        let sources = if from.is_empty() { &any[..] } else { from };
        let mut out = Vec::new();
        for source in sources {
            let mut all = self.source(source);
            all.extend(conditions.iter().cloned());
            if all.is_empty() {
                all.push(Principal { identifier: Some(Identifier::Any(true)) });
            }
            out.push(ids(all, true));
        }
        out
    }

    fn permissions(&mut self, to: &[Operation], conditions: &[Permission]) -> Vec<Permission> {
        let any = [Operation::default()];
        let operations = if to.is_empty() { &any[..] } else { to };
        let mut out = Vec::new();
        for operation in operations {
            let mut all = self.operation(operation);
            all.extend(conditions.iter().cloned());
            if all.is_empty() {
                all.push(Permission { rule: Some(Rule::Any(true)) });
            }
            out.push(rules(all, true));
        }
        out
    }

    fn source(&mut self, s: &Source) -> Vec<Principal> {
        let Source {
            principals,
            request_principals,
            namespaces,
            service_accounts,
            ip_blocks,
            remote_ip_blocks,
            trust_domains,
        } = s;
        let mut out = Vec::new();
        let named = StringSet {
            any: self.domains.principals(&principals.any),
            none: self.domains.principals(&principals.none),
        };
        principal_set(&named, &mut out, |v| Some(authenticated(values::with_prefix("spiffe://", v))));
        if self.http_only(request_principals) {
            principal_set(request_principals, &mut out, |v| Some(request_principal(v)));
        }
        principal_set(namespaces, &mut out, |v| Some(authenticated(values::namespace(v))));
        principal_set(service_accounts, &mut out, |v| Some(authenticated(values::service_account(v))));
        let domains = StringSet {
            any: self.domains.domains(&trust_domains.any),
            none: self.domains.domains(&trust_domains.none),
        };
        principal_set(&domains, &mut out, |v| Some(authenticated(values::trust_domain(v))));
        principal_set(ip_blocks, &mut out, direct_ip);
        principal_set(remote_ip_blocks, &mut out, remote_ip);
        out
    }

    fn operation(&mut self, o: &Operation) -> Vec<Permission> {
        let Operation { hosts, ports, methods, paths } = o;
        let mut out = Vec::new();
        let header = |name: &'static str, ignore_case: bool| {
            move |v: &str| Some(Permission { rule: Some(Rule::Header(values::header(name, v, ignore_case))) })
        };
        if self.http_only(hosts) {
            permission_set(hosts, &mut out, header(":authority", true));
        }
        permission_set(ports, &mut out, |v| {
            Some(Permission { rule: Some(Rule::DestinationPort(v.parse().ok()?)) })
        });
        if self.http_only(methods) {
            permission_set(methods, &mut out, header(":method", false));
        }
        if self.http_only(paths) {
            permission_set(paths, &mut out, |v| Some(Permission { rule: Some(Rule::UrlPath(path(v))) }));
        }
        out
    }

    fn condition(
        &mut self,
        key: &str,
        values: &[String],
        not: bool,
        of_client: &mut Vec<Principal>,
        of_request: &mut Vec<Permission>,
    ) {
        if values.is_empty() {
            return;
        }
        match asked(key, values, self.tcp, self.domains) {
            Asked::Principal(all) => of_client.push(negate_id(ids(all, false), not)),
            Asked::Permission(all) => of_request.push(negate_rule(rules(all, false), not)),
            Asked::HttpOnly | Asked::Unknown => self.possible &= self.lenient,
        }
    }

    /// Whether a set that only HTTP has can be used here.
    fn http_only(&mut self, set: &StringSet) -> bool {
        if self.tcp && !set.is_empty() {
            self.possible &= self.lenient;
            return false;
        }
        true
    }
}

fn principal_set(set: &StringSet, out: &mut Vec<Principal>, f: impl Fn(&str) -> Option<Principal>) {
    let made = |values: &[String]| ids(values.iter().filter_map(|v| f(v)).collect(), false);
    if !set.any.is_empty() {
        out.push(made(&set.any));
    }
    if !set.none.is_empty() {
        out.push(negate_id(made(&set.none), true));
    }
}

fn permission_set(set: &StringSet, out: &mut Vec<Permission>, f: impl Fn(&str) -> Option<Permission>) {
    let made = |values: &[String]| rules(values.iter().filter_map(|v| f(v)).collect(), false);
    if !set.any.is_empty() {
        out.push(made(&set.any));
    }
    if !set.none.is_empty() {
        out.push(negate_rule(made(&set.none), true));
    }
}

/// All (`and`) or any of these; none at all matches nothing.
pub(super) fn ids(all: Vec<Principal>, and: bool) -> Principal {
    if all.is_empty() {
        let anyone = Principal { identifier: Some(Identifier::Any(true)) };
        return negate_id(anyone, true);
    }
    let set = principal::Set { ids: all };
    Principal { identifier: Some(if and { Identifier::AndIds(set) } else { Identifier::OrIds(set) }) }
}

/// All (`and`) or any of these; none at all matches nothing.
fn rules(all: Vec<Permission>, and: bool) -> Permission {
    if all.is_empty() {
        return negate_rule(Permission { rule: Some(Rule::Any(true)) }, true);
    }
    let set = permission::Set { rules: all };
    Permission { rule: Some(if and { Rule::AndRules(set) } else { Rule::OrRules(set) }) }
}

fn negate_id(p: Principal, not: bool) -> Principal {
    if not { Principal { identifier: Some(Identifier::NotId(Box::new(p))) } } else { p }
}

fn negate_rule(p: Permission, not: bool) -> Permission {
    if not { Permission { rule: Some(Rule::NotRule(Box::new(p))) } } else { p }
}

/// A client whose certificate has such a name.
pub(super) fn authenticated(name: StringMatcher) -> Principal {
    Principal { identifier: Some(Identifier::Authenticated(Authenticated { principal_name: Some(name) })) }
}

/// A client at such an address.
pub(super) fn direct_ip(block: &str) -> Option<Principal> {
    Some(Principal { identifier: Some(Identifier::DirectRemoteIp(cidr(block)?)) })
}

/// A client at such an address, as trusted headers tell.
pub(super) fn remote_ip(block: &str) -> Option<Principal> {
    Some(Principal { identifier: Some(Identifier::RemoteIp(cidr(block)?)) })
}
