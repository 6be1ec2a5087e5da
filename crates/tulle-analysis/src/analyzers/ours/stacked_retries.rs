//! Retries on retries along a chain of calls: every hop multiplies, and the last service gets the product.
//!
//! Calls are known as far as configuration tells of them ([`crate::reason::calls`]); counted are retries that repeat a request
//! which reached the service. The built-in retries of connections do not multiply load.

use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::resilience::{CallPolicy, call_policy};
use crate::whole::Whole;

/// Retries at several hops of a chain of calls multiply; the product is given.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0301",
    name: "StackedRetries",
    severity: Severity::Warning,
    about: "Retries at several hops of a chain of calls multiply; the product is given",
    check,
};

/// Hops that are followed at most.
const MAX_DEPTH: usize = 32;

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let count = whole.fronts().services.len();
    let mut chains =
        Chains { whole, into: vec![None; count], best: vec![None; count], open: vec![false; count] };
    for start in 0..count {
        chains.follow(start, 0);
    }
    for start in 0..count {
        // A chain is told from its first hop with retries.
        if chains.tries(start) > 1 && !chains.has_retried_caller(start) {
            chains.report(start, out);
        }
    }
}

/// What follows a service: the product of tries below it, and the next hop.
#[derive(Clone, Copy)]
struct Below {
    product: u64,
    next: Option<usize>,
}

struct Chains<'a, 'b> {
    whole: &'a Whole<'b>,
    into: Vec<Option<CallPolicy>>,
    best: Vec<Option<Below>>,
    /// On the way that is being followed: a cycle ends there.
    open: Vec<bool>,
}

impl Chains<'_, '_> {
    fn policy(&mut self, service: usize) -> &CallPolicy {
        let whole = self.whole;
        self.into[service].get_or_insert_with(|| {
            let of = &whole.fronts().services[service];
            call_policy(whole.snapshot(), of.namespace(), &of.hostname)
        })
    }

    fn tries(&mut self, service: usize) -> u64 {
        u64::from(self.policy(service).tries)
    }

    /// The worst chain below a service.
    fn follow(&mut self, service: usize, depth: usize) -> Below {
        if let Some(known) = self.best[service] {
            return known;
        }
        let mut best = Below { product: 1, next: None };
        if depth >= MAX_DEPTH {
            return best;
        }
        self.open[service] = true;
        let calls = self.whole.calls();
        for call in &calls.from[service] {
            if self.open[call.to] {
                continue;
            }
            let below = self.follow(call.to, depth + 1);
            let product = self.tries(call.to).saturating_mul(below.product);
            if product > best.product {
                best = Below { product, next: Some(call.to) };
            }
        }
        self.open[service] = false;
        self.best[service] = Some(best);
        best
    }

    fn has_retried_caller(&mut self, service: usize) -> bool {
        let callers = self.whole.calls().into[service].clone();
        callers.into_iter().any(|from| from != service && self.tries(from) > 1)
    }

    fn report(&mut self, start: usize, out: &mut Findings) {
        let below = self.best[start].unwrap_or(Below { product: 1, next: None });
        if below.product < 2 {
            return;
        }
        let Some((resource, field)) = self.policy(start).source.clone() else { return };
        let Some(object) = self.whole.object(&resource) else { return };
        let product = self.tries(start).saturating_mul(below.product);
        let (mut hops, mut at, mut last) = (Vec::new(), Some(start), start);
        while let Some(service) = at {
            let policy = self.policy(service).clone();
            let host = self.whole.fronts().services[service].name().to_owned();
            hops.push(match policy.tries {
                1 => host,
                tries => format!("{host} ({tries} tries, {})", policy.retries_at),
            });
            last = service;
            at = self.best[service].and_then(|b| b.next).filter(|_| hops.len() <= MAX_DEPTH);
        }
        let name = self.whole.fronts().services[last].name();
        let message = format!("one call can become {product} at {name}: {}", hops.join(" -> "));
        out.report(
            object,
            FieldPath::from(field.as_str()),
            message,
            "retry at one hop only: attempts: 0 at the others",
        );
    }
}
