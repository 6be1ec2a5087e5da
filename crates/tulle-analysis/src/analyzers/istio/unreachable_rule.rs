//! Rules below one that takes everything, and rules whose conditions all stand above word for word.
//!
//! What is covered by a wider condition above is for `shadowed_rule`.

use std::collections::HashMap;

use tulle_api::Object;
use tulle_api::istio::VirtualService;
use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::routes::{gateways, http_key, l4_key};
use crate::whole::Whole;

/// A rule can never be used, because one above has no condition or has the same ones.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0130",
    name: "VirtualServiceUnreachableRule",
    severity: Severity::Warning,
    about: "A rule can never be used, because one above has no condition or has the same ones",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for (object, spec) in whole.all::<VirtualService>() {
        let top = gateways(spec);
        let http = spec.http.iter().map(|r| r.matches.iter().map(|m| http_key(m, &top)).collect());
        one(object, "http", http.collect(), out);
        let tls = spec.tls.iter().map(|r| r.matches.iter().map(|m| l4_key(m, &m.gateways, &top)).collect());
        one(object, "tls", tls.collect(), out);
        let tcp = spec.tcp.iter().map(|r| r.matches.iter().map(|m| l4_key(m, &m.gateways, &top)).collect());
        one(object, "tcp", tcp.collect(), out);
    }
}

fn one(object: &Object, list: &str, rules: Vec<Vec<String>>, out: &mut Findings) {
    let mut everything: Option<usize> = None;
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (i, conditions) in rules.into_iter().enumerate() {
        let path = FieldPath::from(format!("spec.{list}[{i}]").as_str());
        if let Some(above) = everything {
            let message =
                format!("is never used: {list}[{above}] above has no condition and takes everything");
            out.report(object, path, message, format!("move it above {list}[{above}], or remove it"));
            continue;
        }
        if conditions.is_empty() {
            everything = Some(i);
            continue;
        }
        let above: Option<Vec<usize>> = conditions.iter().map(|c| seen.get(c).copied()).collect();
        if let Some(first) = above.and_then(|a| a.into_iter().min()) {
            let message = format!("is never used: its conditions stand in {list}[{first}] above");
            out.report(object, path, message, "merge the two, or change its conditions");
        }
        for condition in conditions {
            seen.entry(condition).or_insert(i);
        }
    }
}
