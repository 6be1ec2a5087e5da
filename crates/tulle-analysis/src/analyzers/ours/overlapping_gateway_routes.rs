//! Several VirtualServices for one host at one gateway: their rules are appended, the oldest resource first, those that
//! match everything last. A younger rule that an older one covers is never used.

use std::collections::BTreeMap;

use tulle_api::Object;
use tulle_api::istio::{HttpMatchRequest, VirtualService};
use tulle_base::{FieldPath, Host, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::age;
use crate::reason::earlier::Earlier;
use crate::reason::matches::{Bound, Implication, is_catch_all};
use crate::reason::routes::{bound_gateways, gateways};
use crate::whole::Whole;

/// A rule is never used, because an older VirtualService for the same host and gateway covers it; both are named.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0204",
    name: "OverlappingGatewayRoutes",
    severity: Severity::Warning,
    about: "A rule is never used, because an older VirtualService for the same host and gateway covers it; both are named",
    check,
};

type Claim<'a> = (&'a Object, &'a VirtualService);

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let mut claims: BTreeMap<(String, Host), Vec<Claim<'_>>> = BTreeMap::new();
    for (object, spec) in whole.all::<VirtualService>() {
        for gateway in bound_gateways(object, spec) {
            for host in &spec.hosts {
                claims.entry((gateway.to_string(), Host::new(host))).or_default().push((object, spec));
            }
        }
    }
    let mut implication = Implication::default();
    for ((gateway, host), mut claims) in claims {
        claims.dedup_by(|a, b| std::ptr::eq(a.0, b.0));
        if claims.len() > 1 {
            claims.sort_by(|a, b| age::by_age(a.0, b.0));
            of_host(&gateway, &host, &claims, &mut implication, out);
        }
    }
}

/// What is known of a rule above.
struct At<'a> {
    object: &'a Object,
    rule: usize,
}

fn of_host(
    gateway: &str,
    host: &Host,
    claims: &[Claim<'_>],
    implication: &mut Implication,
    out: &mut Findings,
) {
    let everything = HttpMatchRequest::default();
    let lists: Vec<_> = claims.iter().map(|(_, spec)| gateways(spec)).collect();
    let mut above: Earlier<'_, At<'_>> = Earlier::default();
    let mut catch_all: Option<At<'_>> = None;
    for ((object, spec), inherited) in claims.iter().zip(&lists) {
        let mut own = Vec::new();
        let mut own_catch_all = None;
        for (rule, route) in spec.http.iter().enumerate() {
            let matches =
                if route.matches.is_empty() { std::slice::from_ref(&everything) } else { &route.matches };
            let winner = if matches.iter().any(is_catch_all) {
                own_catch_all = own_catch_all.or(Some(At { object, rule }));
                catch_all.as_ref()
            } else {
                let mut covering =
                    matches.iter().map(|matched| above.covering(implication, &Bound { matched, inherited }));
                let first = covering.next().flatten();
                first.filter(|_| covering.all(|c| c.is_some()))
            };
            if let Some(winner) = winner {
                let message = format!(
                    "is never used for {host} at Gateway {gateway}: http[{}] of {}, which {}, takes whatever it matches",
                    winner.rule,
                    winner.object.resource(),
                    age::reason(winner.object, object)
                );
                let path = FieldPath::from(format!("spec.http[{rule}]").as_str());
                out.report(object, path, message, "merge the two, or make the older rule narrower");
            }
            own.extend(matches.iter().filter(|m| !is_catch_all(m)).map(|m| (m, rule)));
        }
        for (matched, rule) in own {
            above.push(Bound { matched, inherited }, At { object, rule });
        }
        catch_all = catch_all.or(own_catch_all);
    }
}
