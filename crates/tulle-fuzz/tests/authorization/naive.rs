//! What policies mean, written from the documentation (istio.io: Authorization Policy, its conditions, its normalization; and
//! docs/authorization.md for what is told there) and from nothing else: no matcher, no index, no translation.

use std::net::IpAddr;

use serde_json::Value;

use crate::policy::{Policy, Rule, Set};

/// The names of the mesh: its trust domain and the aliases.
const MESH: &[&str] = &["cluster.local", "old-td"];
/// The workload that is asked about.
pub const NAMESPACE: &str = "shop";
const LABELS: &[(&str, &str)] = &[("app", "web"), ("version", "v1")];

/// A request; on TCP without the parts of HTTP.
#[derive(Clone, Debug)]
pub struct Request {
    pub http: Option<Http>,
    /// Trust domain, namespace and service account of a client with mutual TLS.
    pub client: Option<(&'static str, &'static str, &'static str)>,
    pub source_ip: IpAddr,
    pub remote_ip: IpAddr,
    pub destination_ip: IpAddr,
    pub port: u16,
    pub sni: &'static str,
}

/// What HTTP adds.
#[derive(Clone, Debug)]
pub struct Http {
    pub method: &'static str,
    pub host: &'static str,
    /// With query.
    pub path: &'static str,
    pub headers: Vec<(&'static str, &'static str)>,
    /// The claims of a valid token.
    pub claims: Option<Value>,
}

/// What becomes of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub allowed: bool,
    /// Some AUDIT policy matched.
    pub audited: bool,
    /// The provider is asked.
    pub asked: bool,
    /// Some DENY policy on trial would have denied.
    pub dry_denied: bool,
    /// Whether the ALLOW policies on trial would have allowed, if there are any.
    pub dry_allowed: Option<bool>,
}

pub fn evaluate(policies: &[Policy], request: &Request) -> Outcome {
    let of = |action: &str, dry: bool| -> Vec<&Policy> {
        policies.iter().filter(|p| applies(p) && p.action == action && p.dry_run == dry).collect()
    };
    let matched = |all: &[&Policy]| all.iter().any(|p| p.rules.iter().any(|r| matches(p, r, request)));
    let (allow, dry_allow) = (of("ALLOW", false), of("ALLOW", true));
    Outcome {
        // DENY first; then, if there is any ALLOW policy, one of them must match.
        allowed: !matched(&of("DENY", false)) && (allow.is_empty() || matched(&allow)),
        audited: matched(&of("AUDIT", false)),
        asked: matched(&of("CUSTOM", false)),
        dry_denied: matched(&of("DENY", true)),
        dry_allowed: (!dry_allow.is_empty()).then(|| matched(&dry_allow)),
    }
}

/// A policy is for workloads of its namespace (from the root namespace, of all) that its selector matches. Those with targets are
/// not for sidecars.
fn applies(policy: &Policy) -> bool {
    !policy.targeted
        && (policy.namespace == NAMESPACE || policy.namespace == "istio-system")
        && policy.selector.is_none_or(|label| LABELS.contains(&label))
}

/// A rule matches if some source, some operation and all conditions do.
fn matches(policy: &Policy, rule: &Rule, request: &Request) -> bool {
    let tcp = request.http.is_none();
    if tcp && policy.action == "ALLOW" && rule_names_http(rule) {
        return false;
    }
    let said = |fields: &Vec<(&'static str, Set)>| {
        fields
            .iter()
            .all(|(name, set)| (tcp && is_http(name)) || holds(set, &|v| field(name, v, policy, request)))
    };
    (rule.from.is_empty() || rule.from.iter().any(said))
        && (rule.to.is_empty() || rule.to.iter().any(said))
        && rule
            .when
            .iter()
            .all(|(key, set)| (tcp && is_http(key)) || holds(set, &|v| condition(key, v, policy, request)))
}

fn rule_names_http(rule: &Rule) -> bool {
    rule.from.iter().chain(&rule.to).flatten().any(|(name, _)| is_http(name))
        || rule.when.iter().any(|(key, _)| is_http(key))
}

fn is_http(name: &str) -> bool {
    matches!(name, "hosts" | "methods" | "paths" | "requestPrincipals") || name.starts_with("request.")
}

fn holds(set: &Set, test: &dyn Fn(&str) -> bool) -> bool {
    (set.any.is_empty() || set.any.iter().any(|v| test(v))) && !set.none.iter().any(|v| test(v))
}

fn field(name: &str, value: &str, policy: &Policy, request: &Request) -> bool {
    let http = request.http.as_ref();
    match name {
        "principals" => condition("source.principal", value, policy, request),
        "namespaces" => condition("source.namespace", value, policy, request),
        "serviceAccounts" => condition("source.serviceAccount", value, policy, request),
        "trustDomains" => condition("source.trustDomain", value, policy, request),
        "ipBlocks" => condition("source.ip", value, policy, request),
        "remoteIpBlocks" => condition("remote.ip", value, policy, request),
        "requestPrincipals" => condition("request.auth.principal", value, policy, request),
        "ports" => condition("destination.port", value, policy, request),
        "hosts" => http.is_some_and(|h| text(&value.to_lowercase(), &h.host.to_lowercase())),
        "methods" => http.is_some_and(|h| text(value, h.method)),
        "paths" => http.is_some_and(|h| path(value, h.path.split('?').next().unwrap())),
        other => panic!("{other}"),
    }
}

fn condition(key: &str, value: &str, policy: &Policy, request: &Request) -> bool {
    let client = request.client;
    let claims = request.http.as_ref().and_then(|h| h.claims.as_ref());
    let claim = |way: &[&str]| {
        let found = way.iter().try_fold(claims?, |at, name| at.get(name));
        found.map(|found| match found {
            Value::Array(items) => items.iter().filter_map(Value::as_str).any(|item| text(value, item)),
            other => other.as_str().is_some_and(|own| text(value, own)),
        })
    };
    match key {
        "source.ip" => block(value, request.source_ip),
        "remote.ip" => block(value, request.remote_ip),
        "destination.ip" => block(value, request.destination_ip),
        "destination.port" => value == request.port.to_string(),
        "connection.sni" => text(value, request.sni),
        "source.namespace" => client.is_some_and(|(_, namespace, _)| text(value, namespace)),
        "source.trustDomain" => client.is_some_and(|(domain, ..)| {
            text(value, domain) || (MESH.contains(&value) && MESH.contains(&domain))
        }),
        "source.serviceAccount" => client.is_some_and(|(_, namespace, account)| {
            let (wanted, name) = value.split_once('/').unwrap_or((policy.namespace, value));
            wanted == namespace && name == account
        }),
        "source.principal" => client.is_some_and(|client| principal(value, client)),
        "request.auth.principal" => claims.is_some_and(|claims| {
            text(value, &format!("{}/{}", claims["iss"].as_str().unwrap(), claims["sub"].as_str().unwrap()))
        }),
        "request.auth.audiences" => claim(&["aud"]).unwrap_or(false),
        "request.auth.presenter" => claim(&["azp"]).unwrap_or(false),
        "request.auth.claims[role]" => claim(&["role"]).unwrap_or(false),
        "request.auth.claims[a][b]" => claim(&["a", "b"]).unwrap_or(false),
        _ => {
            let name = key.strip_prefix("request.headers[").and_then(|k| k.strip_suffix(']')).unwrap();
            let headers = request.http.iter().flat_map(|h| &h.headers);
            headers.filter(|(n, _)| n.eq_ignore_ascii_case(name)).any(|(_, line)| text(value, line))
        }
    }
}

/// Exact, `*` for anything there, `x*` for a beginning, `*x` for an end.
fn text(value: &str, own: &str) -> bool {
    match (value.strip_prefix('*'), value.strip_suffix('*')) {
        _ if value == "*" => !own.is_empty(),
        (Some(end), _) => own.ends_with(end),
        (_, Some(start)) => own.starts_with(start),
        _ => own == value,
    }
}

/// A principal under one name of the mesh is meant under each.
fn principal(value: &str, (domain, namespace, account): (&str, &str, &str)) -> bool {
    let rest = format!("ns/{namespace}/sa/{account}");
    if text(value, &format!("{domain}/{rest}")) {
        return true;
    }
    match value.split_once('/') {
        Some((wanted, wanted_rest)) if value.split('/').count() == 5 && wanted != "*" => {
            MESH.iter().any(|name| text(wanted, name)) && MESH.contains(&domain) && text(wanted_rest, &rest)
        }
        _ => false,
    }
}

fn block(value: &str, ip: IpAddr) -> bool {
    let (address, bits) = value.split_once('/').unwrap_or((value, ""));
    let octets = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let (net, own) = (octets(address.parse().unwrap()), octets(ip));
    let bits = if bits.is_empty() { net.len() * 8 } else { bits.parse().unwrap() };
    let bit = |bytes: &[u8], i: usize| bytes[i / 8] >> (7 - i % 8) & 1;
    net.len() == own.len() && (0..bits).all(|i| bit(&net, i) == bit(&own, i))
}

/// A path: as any text, but `{*}` is one segment, `{**}` any number of them, and a segment `*` inside is one, too.
fn path(value: &str, own: &str) -> bool {
    let wanted: Vec<&str> = value.split('/').collect();
    let inner = wanted.len() > 2 && wanted[1..wanted.len() - 1].contains(&"*");
    if !inner && !value.contains("{*") {
        return text(value, own);
    }
    let own: Vec<&str> = own.split('/').collect();
    for (i, segment) in wanted.iter().enumerate() {
        let last = i + 1 == wanted.len();
        let Some(found) = own.get(i) else { return false };
        let fits = match *segment {
            "{**}" => return true,
            "*" if last => return true,
            "{*}" | "*" => !found.is_empty(),
            literal => literal == *found,
        };
        if !fits {
            return false;
        }
    }
    own.len() == wanted.len()
}
