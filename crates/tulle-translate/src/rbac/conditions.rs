//! `when`: conditions on attributes.

use tulle_proto::envoy::matcher::{MetadataMatcher, metadata_matcher};
use tulle_proto::envoy::rbac::{Permission, Principal, permission::Rule, principal::Identifier};

use super::rule::{authenticated, direct_ip, ids, remote_ip};
use super::trust::TrustDomains;
use super::values;
use crate::jwt;
use crate::pb::cidr;

/// What a condition asks of, and whether only HTTP has it.
pub(super) enum Asked {
    /// The client.
    Principal(Vec<Principal>),
    /// The connection or request.
    Permission(Vec<Permission>),
    /// Something that only HTTP has, asked of TCP.
    HttpOnly,
    /// An attribute that nobody knows.
    Unknown,
}

/// One matcher per value of the attribute `key`.
pub(super) fn asked(key: &str, values: &[String], tcp: bool, domains: &TrustDomains) -> Asked {
    let any_of = |values: &[String], f: &dyn Fn(&str) -> Option<Principal>| {
        Asked::Principal(values.iter().filter_map(|v| f(v)).collect())
    };
    let principals = |f: &dyn Fn(&str) -> Option<Principal>| any_of(values, f);
    let (name, arguments) = split(key);
    match name {
        "source.ip" => principals(&|v| direct_ip(v)),
        "remote.ip" => principals(&|v| remote_ip(v)),
        "source.namespace" => principals(&|v| Some(authenticated(values::namespace(v)))),
        "source.principal" => {
            any_of(&domains.principals(values), &|v| Some(authenticated(values::with_prefix("spiffe://", v))))
        }
        "source.trustDomain" => {
            any_of(&domains.domains(values), &|v| Some(authenticated(values::trust_domain(v))))
        }
        "source.serviceAccount" => principals(&|v| Some(authenticated(values::service_account(v)))),
        "destination.ip" => Asked::Permission(
            values
                .iter()
                .filter_map(|v| Some(Permission { rule: Some(Rule::DestinationIp(cidr(v)?)) }))
                .collect(),
        ),
        "destination.port" => Asked::Permission(
            values
                .iter()
                .filter_map(|v| Some(Permission { rule: Some(Rule::DestinationPort(v.parse().ok()?)) }))
                .collect(),
        ),
        "connection.sni" => Asked::Permission(
            values
                .iter()
                .map(|v| Permission { rule: Some(Rule::RequestedServerName(values::string(v))) })
                .collect(),
        ),
        _ if name.starts_with(FILTERS) => match arguments.as_slice() {
            [entry] => Asked::Permission(values.iter().map(|v| written_by(name, entry, v)).collect()),
            _ => Asked::Unknown,
        },
        _ if tcp && name.starts_with("request.") => Asked::HttpOnly,
        "request.headers" => match arguments.as_slice() {
            [header] => principals(&|v| {
                Some(Principal { identifier: Some(Identifier::Header(values::header(header, v, false))) })
            }),
            _ => Asked::Unknown,
        },
        "request.auth.principal" => principals(&|v| Some(request_principal(v))),
        "request.auth.audiences" => principals(&|v| Some(claim(&["aud"], v))),
        "request.auth.presenter" => principals(&|v| Some(claim(&["azp"], v))),
        "request.auth.claims" if !arguments.is_empty() => principals(&|v| Some(claim(&arguments, v))),
        _ => Asked::Unknown,
    }
}

/// Begins the attributes that are metadata of another filter.
const FILTERS: &str = "experimental.envoy.filters.";

/// What another filter has written: a text, or with brackets around the value a list that has it.
#[allow(deprecated, reason = "the field that Istio writes, and that every Envoy reads")]
fn written_by(filter: &str, entry: &str, value: &str) -> Permission {
    let listed = value.strip_prefix('[').and_then(|v| v.strip_suffix(']'));
    let segment = metadata_matcher::path_segment::Segment::Key(entry.to_owned());
    Permission {
        rule: Some(Rule::Metadata(MetadataMatcher {
            filter: filter.trim_start_matches("experimental.").to_owned(),
            path: vec![metadata_matcher::PathSegment { segment: Some(segment) }],
            value: Some(match listed {
                Some(inner) => jwt::has_text(values::string(inner)),
                None => jwt::is_text(values::string(value)),
            }),
            invert: false,
        })),
    }
}

/// `name[a][b]` to its parts.
fn split(key: &str) -> (&str, Vec<&str>) {
    match key.find('[') {
        Some(start) if key.ends_with(']') => {
            (&key[..start], key[start + 1..key.len() - 1].split("][").collect())
        }
        _ => (key, Vec::new()),
    }
}

/// `ISSUER/SUBJECT` of a verified token.
pub(super) fn request_principal(value: &str) -> Principal {
    if value == "*" {
        return ids(vec![claim(&["iss"], "*"), claim(&["sub"], "*")], true);
    }
    // The issuer may have slashes of its own: the subject is what follows the last one.
    match value.rsplit_once('/') {
        Some((issuer, subject)) if !value.starts_with('*') => {
            ids(vec![claim(&["iss"], issuer), claim(&["sub"], subject)], true)
        }
        Some((issuer, subject)) => {
            let issuer = if issuer.is_empty() { "*" } else { issuer };
            ids(vec![claim(&["iss"], issuer), claim(&["sub"], subject)], true)
        }
        // Without a slash, an end is that of the subject, and a beginning that of the issuer.
        None if value.starts_with('*') => ids(vec![claim(&["iss"], "*"), claim(&["sub"], value)], true),
        None => ids(vec![claim(&["iss"], value), claim(&["sub"], "*")], true),
    }
}

/// A claim of a verified token: the text itself, or some element of a list.
#[allow(deprecated, reason = "the field that Istio writes, and that every Envoy reads")]
fn claim(path: &[&str], value: &str) -> Principal {
    let text = values::string(value);
    let ask = |value| Principal {
        identifier: Some(Identifier::Metadata(jwt::claim(path.iter().copied(), value, false))),
    };
    ids(vec![ask(jwt::is_text(text.clone())), ask(jwt::has_text(text))], false)
}
