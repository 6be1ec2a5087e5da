//! Conditions that are never asked, because a rule above takes every request that they would match: by a shorter prefix, an
//! expression, fewer headers or any method.
//!
//! Rules below one that matches everything, and conditions that are repeated word for word, are reported elsewhere.

use tulle_api::Object;
use tulle_api::istio::{HttpMatchRequest, VirtualService};
use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::earlier::Earlier;
use crate::reason::matches::{Bound, Implication, same};
use crate::reason::routes::gateways;
use crate::whole::Whole;

/// A rule or condition is never used, because a rule above matches whatever it matches (prefix, expression, method, headers).
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0202",
    name: "ShadowedRule",
    severity: Severity::Warning,
    about: "A rule or condition is never used, because a rule above matches whatever it matches (prefix, expression, method, headers)",
    check,
};

/// Where a condition stands.
struct At<'a> {
    rule: usize,
    index: usize,
    matched: &'a HttpMatchRequest,
}

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let mut implication = Implication::default();
    for (object, spec) in whole.all::<VirtualService>() {
        of_one(object, spec, &mut implication, out);
    }
}

fn of_one(object: &Object, spec: &VirtualService, implication: &mut Implication, out: &mut Findings) {
    let inherited = gateways(spec);
    let mut above: Earlier<'_, At<'_>> = Earlier::default();
    for (rule, route) in spec.http.iter().enumerate() {
        if route.matches.is_empty() {
            break; // It takes everything; what stands below is reported as unreachable.
        }
        let mut shadowed = Vec::new();
        for (index, matched) in route.matches.iter().enumerate() {
            let bound = Bound { matched, inherited: &inherited };
            if let Some(at) = above.covering(implication, &bound) {
                shadowed.push((index, at.rule, at.index, same(at.matched, matched)));
            }
        }
        let whole = shadowed.len() == route.matches.len() && shadowed.iter().all(|s| !s.3);
        if whole {
            let by = shadowed.iter().map(|s| s.1).min().unwrap_or(0);
            let path = FieldPath::from(format!("spec.http[{rule}]").as_str());
            let message = format!("is never used: whatever matches it is taken by http[{by}] above");
            out.report(object, path, message, format!("move it above http[{by}], or remove it"));
        } else {
            for (index, by, with, _) in shadowed.into_iter().filter(|s| !s.3) {
                let path = FieldPath::from(format!("spec.http[{rule}].match[{index}]").as_str());
                let message =
                    format!("is never asked: whatever it matches is taken by http[{by}].match[{with}] above");
                out.report_as(Severity::Info, object, path, message, "remove it, or move the rule up");
            }
        }
        for (index, matched) in route.matches.iter().enumerate() {
            above.push(Bound { matched, inherited: &inherited }, At { rule, index, matched });
        }
    }
}
