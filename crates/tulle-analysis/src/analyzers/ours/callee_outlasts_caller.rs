//! Timeouts that grow along a chain of calls: when the caller is given up on, what it called still works for nobody.

use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::resilience::{CallPolicy, call_policy};
use crate::whole::Whole;

/// The timeout of a call is longer than that of the call which needs it.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0302",
    name: "CalleeOutlastsCaller",
    severity: Severity::Warning,
    about: "The timeout of a call is longer than that of the call which needs it",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let services = &whole.fronts().services;
    let calls = whole.calls();
    let policies: Vec<Option<CallPolicy>> = services
        .iter()
        .enumerate()
        .map(|(i, s)| {
            let involved = !calls.from[i].is_empty() || !calls.into[i].is_empty();
            involved.then(|| call_policy(whole.snapshot(), s.namespace(), &s.hostname))
        })
        .collect();
    for (callee, policy) in policies.iter().enumerate() {
        let Some(policy) = policy else { continue };
        let (Some(longer), Some((resource, field))) = (policy.timeout, &policy.timeout_source) else {
            continue;
        };
        // The caller that is given up on first stands for all.
        let first = calls.into[callee]
            .iter()
            .filter_map(|caller| {
                let timeout = policies[*caller].as_ref()?.timeout?;
                (timeout < longer).then_some((timeout, *caller))
            })
            .min();
        let (Some((shorter, caller)), Some(object)) = (first, whole.object(resource)) else { continue };
        let evidence = calls.from[caller].iter().find(|c| c.to == callee).map_or("", |c| c.evidence.as_str());
        let message = format!(
            "{} may take {longer:?}, but {}, which calls it ({evidence}), is given up on after {shorter:?}",
            services[callee].name(),
            services[caller].name()
        );
        let fix = format!("make it shorter than {shorter:?}");
        out.report(object, FieldPath::from(field.as_str()), message, fix);
    }
}
