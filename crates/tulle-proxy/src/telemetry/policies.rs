//! How often each authorization policy decided.

use std::sync::Arc;

use tulle_engine::{
    decide::authorize::{FilterVerdict, Verdict},
    runtime::rbac::{RbacAction, RbacFilter},
};
use tulle_telemetry::metrics::proxy::{PolicyStats, Stat};

use super::Telemetry;

/// Names the decisions that no policy made: what no ALLOW policy lets pass is refused.
const NOBODY: &str = "none";

/// Picks a counter.
type Read = fn(&PolicyStats) -> &Stat;

impl Telemetry {
    /// Counts what authorization rules decided.
    pub(crate) fn count_policies(&self, filter: &RbacFilter, verdict: &FilterVerdict<'_>) {
        if let (Some(rules), Verdict { allowed, policy }) = (&filter.rules, verdict.enforced) {
            let stat: Option<Read> = match (rules.action, allowed, policy) {
                (RbacAction::Log, _, None) | (RbacAction::Deny, true, _) => None,
                (RbacAction::Log, _, Some(_)) => Some(|s| &s.audited),
                (_, true, _) => Some(|s| &s.allowed),
                (_, false, _) => Some(|s| &s.denied),
            };
            self.count_policy(policy.map(|p| &p.name), stat);
        }
        if let (Some(rules), Some(Verdict { allowed, policy })) = (&filter.shadow_rules, verdict.shadow) {
            let asks = policy.is_some_and(|p| p.name.starts_with("istio-ext-authz-"));
            let stat: Option<Read> = match (rules.action, allowed, policy) {
                (RbacAction::Log, _, _) | (RbacAction::Deny, true, _) => None,
                _ if asks => Some(|s| &s.asked),
                (_, true, _) => Some(|s| &s.dry_run_allowed),
                (_, false, _) => Some(|s| &s.dry_run_denied),
            };
            self.count_policy(policy.map(|p| &p.name), stat);
        }
    }

    fn count_policy(&self, policy: Option<&Arc<str>>, stat: Option<Read>) {
        let Some(stat) = stat else { return };
        let name = policy.map_or(NOBODY, |name| name);
        let mut known = self.policies.borrow_mut();
        if let Some(block) = known.get(name) {
            stat(block).inc();
            return;
        }
        let block = self.store.borrow_mut().proxy.policies.get(name);
        stat(&block).inc();
        known.insert(name.into(), block);
    }
}
