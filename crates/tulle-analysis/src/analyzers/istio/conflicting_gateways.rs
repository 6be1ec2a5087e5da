//! Gateways with the same pods, the same port and overlapping hosts.

use std::collections::BTreeMap;

use tulle_api::Object;
use tulle_api::istio::{Gateway, Server};
use tulle_base::{FieldPath, Host, Labels, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::age;
use crate::whole::Whole;

/// Gateways with the same pods and port have overlapping hosts.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0145",
    name: "ConflictingGateways",
    severity: Severity::Error,
    about: "Gateways with the same pods and port have overlapping hosts",
    check,
};

type At<'a> = (&'a Object, usize, &'a Server);

/// Gateways of one selector and port that are compared pair by pair; further ones only by equal hosts.
const MAX_PAIRS: usize = 200;

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let mut servers: BTreeMap<(&Labels, u32, &str), Vec<At<'_>>> = BTreeMap::new();
    for (object, spec) in whole.all::<Gateway>() {
        for (i, server) in spec.servers.iter().enumerate() {
            let port = server.port.number.unwrap_or(0);
            servers.entry((&spec.selector, port, &server.bind)).or_default().push((object, i, server));
        }
    }
    for ((_, port, _), mut all) in servers {
        all.sort_by(|a, b| age::by_age(a.0, b.0));
        for (i, (object, index, server)) in all.iter().enumerate() {
            let rivals = all.iter().take(MAX_PAIRS).enumerate().filter(|(j, _)| *j != i);
            let rival = rivals.map(|(_, r)| r).find(|(other, _, theirs)| {
                !std::ptr::eq(*other, *object) && overlap(object, server, other, theirs)
            });
            if let Some((other, _, _)) = rival {
                let path = FieldPath::from(format!("spec.servers[{index}].hosts").as_str());
                let message = format!(
                    "{} is for the same pods, port {port} and hosts that overlap with {}",
                    other.resource(),
                    server.hosts.join(", ")
                );
                out.report(object, path, message, "give them different hosts or ports, or merge them");
            }
        }
    }
}

/// Whether some host may be served by both, for routes of the same namespace.
fn overlap(a: &Object, mine: &Server, b: &Object, theirs: &Server) -> bool {
    mine.hosts.iter().any(|m| {
        let (m_ns, m) = parts(m, &a.meta.namespace);
        theirs.hosts.iter().any(|t| {
            let (t_ns, t) = parts(t, &b.meta.namespace);
            (m_ns == "*" || t_ns == "*" || m_ns == t_ns) && m.overlaps(&t)
        })
    })
}

fn parts<'a>(written: &'a str, own: &'a str) -> (&'a str, Host) {
    match written.split_once('/') {
        Some((".", host)) => (own, Host::new(host)),
        Some((namespace, host)) => (namespace, Host::new(host)),
        None => ("*", Host::new(written)),
    }
}
