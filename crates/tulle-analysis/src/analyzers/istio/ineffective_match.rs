//! Single conditions that stand in a rule above word for word; the rule has others that do not.

use std::collections::HashMap;

use tulle_api::Object;
use tulle_api::istio::VirtualService;
use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::routes::{gateways, http_key, l4_key};
use crate::whole::Whole;

/// A condition repeats one of a rule above and is never asked.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0131",
    name: "VirtualServiceIneffectiveMatch",
    severity: Severity::Info,
    about: "A condition repeats one of a rule above and is never asked",
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
    let mut seen: HashMap<String, (usize, usize)> = HashMap::new();
    for (i, conditions) in rules.into_iter().enumerate() {
        if conditions.is_empty() {
            break; // What stands below is reported as unreachable.
        }
        let repeated: Vec<Option<(usize, usize)>> = conditions.iter().map(|c| seen.get(c).copied()).collect();
        // A rule of which all is repeated is reported as unreachable.
        if repeated.iter().any(Option::is_none) {
            for (j, above) in repeated.iter().enumerate() {
                let Some((rule, index)) = above else { continue };
                let path = FieldPath::from(format!("spec.{list}[{i}].match[{j}]").as_str());
                let message = format!("is never asked: {list}[{rule}].match[{index}] above says the same");
                out.report(object, path, message, "remove it");
            }
        }
        for (j, condition) in conditions.into_iter().enumerate() {
            seen.entry(condition).or_insert((i, j));
        }
    }
}
