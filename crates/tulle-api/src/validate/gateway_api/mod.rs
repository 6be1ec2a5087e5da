//! Rules about the kinds of the Gateway API: the checks that its resource definitions carry, in its standard channel.

mod filters;
mod gateway;
mod routes;
mod tls;

use super::rules::Rules;
use super::{common, names};
use crate::kind::Spec;
use crate::schema::At;
use crate::value::WrittenDuration;

/// Checks an object of the Gateway API; nothing for other kinds.
pub(super) fn check(spec: &Spec, at: &At<'_>, rules: &mut Rules) {
    match spec {
        Spec::GatewayClass(s) => controller(&s.controller_name, at, rules),
        Spec::XMesh(s) => controller(&s.controller_name, at, rules),
        Spec::GatewayApiGateway(s) => gateway::check(s, at, rules),
        Spec::ListenerSet(s) => gateway::check_listeners(&s.listeners, &at.field("listeners"), rules),
        Spec::HttpRoute(s) => routes::check_http(s, at, rules),
        Spec::GrpcRoute(s) => routes::check_grpc(s, at, rules),
        Spec::TlsRoute(s) => {
            routes::parents(&s.parent_refs, at, rules);
            routes::hostnames(&s.hostnames, 1024, at, rules);
            routes::l4(&s.rules, at, rules);
        }
        Spec::TcpRoute(s) => {
            routes::parents(&s.parent_refs, at, rules);
            routes::l4(&s.rules, at, rules);
        }
        Spec::UdpRoute(s) => {
            routes::parents(&s.parent_refs, at, rules);
            routes::l4(&s.rules, at, rules);
        }
        Spec::ReferenceGrant(s) => {
            common::at_most(s.from.len(), 16, &at.field("from"), rules);
            common::at_most(s.to.len(), 16, &at.field("to"), rules);
        }
        Spec::BackendTlsPolicy(s) => {
            common::at_most(s.target_refs.len(), 16, &at.field("targetRefs"), rules);
            tls::validation(&s.validation, &at.field("validation"), rules);
        }
        Spec::XBackend(s) => tls::backend(s, at, rules),
        Spec::XBackendTrafficPolicy(s) => {
            if let Some(session) = &s.session_persistence {
                routes::session(session, &at.field("sessionPersistence"), rules);
            }
        }
        _ => {}
    }
}

/// A controller is a path below its domain.
fn controller(name: &str, at: &At<'_>, rules: &mut Rules) {
    let domain = name.split_once('/').filter(|(_, path)| !path.is_empty()).map(|(domain, _)| domain);
    if domain.is_none_or(|d| names::fqdn(d).is_err()) {
        let message = format!("{name:?} is not a path below a domain, such as example.com/controller");
        rules.error(&at.field("controllerName"), message, "");
    }
}

/// A port that is given, 1 to 65535.
fn port(given: Option<i32>, at: &At<'_>, rules: &mut Rules) {
    if let Some(number) = given {
        rules.check(at, names::port(number.into()));
    }
}

/// A number that is given must be within bounds.
fn within(given: Option<i32>, least: i32, most: i32, at: &At<'_>, rules: &mut Rules) {
    if let Some(number) = given.filter(|n| !(least..=most).contains(n)) {
        rules.error(at, format!("must be between {least} and {most} but is {number}"), "");
    }
}

/// A duration in the Gateway API's form (GEP-2257): up to four whole numbers with h, m, s or ms.
fn duration(given: Option<&WrittenDuration>, at: &At<'_>, rules: &mut Rules) {
    let Some(written) = given else { return };
    let mut rest = written.as_str();
    let mut parts = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let unit = &rest[digits..];
        let unit = ["ms", "h", "m", "s"].into_iter().find(|u| unit.starts_with(u));
        match unit {
            Some(unit) if (1..=5).contains(&digits) => rest = &rest[digits + unit.len()..],
            _ => break,
        }
        parts += 1;
    }
    if !rest.is_empty() || parts > 4 {
        let message = format!("{written} is not a duration of the Gateway API");
        rules.error(at, message, "write whole numbers with h, m, s or ms, such as 1m30s");
    }
}

/// A host name with leading wildcard, and no address.
fn hostname(given: &str, at: &At<'_>, rules: &mut Rules) {
    if names::is_ip(given) {
        rules.error(at, format!("{given:?} is an address, not a host name"), "");
    } else if !given.is_empty() {
        rules.check(at, names::whole_wildcard_domain(given));
    }
}
