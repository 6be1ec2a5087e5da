//! Retries, timeouts and ejection as they are in force for calls of a host.

use std::time::Duration;

use tulle_base::{Host, Labels};
use tulle_mesh::Snapshot;
use tulle_mesh::routing::{Forward, HttpAction, Retry, RouteSet};

/// Retries and timeout of calls of one host, as its strictest or loosest route has them.
#[derive(Clone, Debug, Default)]
pub struct CallPolicy {
    /// Tries per call, the first one included; 1 without retries on responses.
    pub tries: u32,
    /// Where the retries are written, such as `VirtualService shop/cart http[0]`; empty without any.
    pub retries_at: String,
    /// The document and the field of the retries.
    pub source: Option<(tulle_base::ResourceRef, String)>,
    /// The longest timeout of a route; `None` when a route has none.
    pub timeout: Option<Duration>,
    /// The document and the field of the timeout.
    pub timeout_source: Option<(tulle_base::ResourceRef, String)>,
}

/// The policy of calls from workloads of `namespace` to `host`.
pub fn call_policy(snapshot: &Snapshot, namespace: &str, host: &Host) -> CallPolicy {
    let routes = snapshot
        .routes_of(host)
        .iter()
        .find(|r| r.applies_to_mesh() && r.export_to.visible_to(namespace))
        .or_else(|| snapshot.routes_of(host).iter().find(|r| r.export_to.visible_to(namespace)));
    let mut out = CallPolicy { tries: 1, ..CallPolicy::default() };
    let forwards: Vec<(&RouteSet, &str, &Forward)> = routes
        .iter()
        .flat_map(|set| set.http.iter().map(move |r| (set, r)))
        .filter_map(|(set, r)| match &r.action {
            HttpAction::Forward(f) => Some((&***set, r.rule.as_str(), f)),
            _ => None,
        })
        .collect();
    for (set, rule, forward) in &forwards {
        let at = |field: &str| (set.meta.resource.clone(), format!("spec.{rule}.{field}"));
        if let Some(retry) = &forward.retries
            && amplifies(retry)
            && retry.attempts + 1 > out.tries
        {
            out.tries = retry.attempts.saturating_add(1);
            out.retries_at = format!("{} {rule}", set.meta.resource);
            out.source = Some(at("retries"));
        }
    }
    out.longest_timeout(&forwards);
    if forwards.iter().all(|(_, _, f)| f.retries.is_none()) {
        out.host_default(snapshot, namespace, host);
    }
    out
}

impl CallPolicy {
    fn longest_timeout(&mut self, forwards: &[(&RouteSet, &str, &Forward)]) {
        let limit = |f: &Forward| f.timeout.filter(|t| !t.is_zero());
        if forwards.is_empty() || forwards.iter().any(|(_, _, f)| limit(f).is_none()) {
            return;
        }
        let longest =
            forwards.iter().filter_map(|(s, r, f)| Some((limit(f)?, s, r))).max_by_key(|(t, _, _)| *t);
        if let Some((timeout, set, rule)) = longest {
            self.timeout = Some(timeout);
            self.timeout_source = Some((set.meta.resource.clone(), format!("spec.{rule}.timeout")));
        }
    }

    /// The default of the DestinationRule, where no route sets retries.
    fn host_default(&mut self, snapshot: &Snapshot, namespace: &str, host: &Host) {
        let service = snapshot.service(host, namespace);
        let owner = service.map(|s| s.namespace().to_owned());
        let rule = snapshot.destination_rule(host, namespace, owner.as_deref(), &Labels::new());
        if let Some(rule) = rule
            && let Some(retry) = rule.policy.retries.as_ref().filter(|r| amplifies(r))
        {
            self.tries = retry.attempts.saturating_add(1);
            self.retries_at = rule.meta.resource.to_string();
            self.source = Some((rule.meta.resource.clone(), "spec.trafficPolicy.retries".to_owned()));
        }
    }
}

/// Whether retries repeat requests that reached the service: conditions on connections alone do not.
pub fn amplifies(retry: &Retry) -> bool {
    const BEFORE_THE_SERVICE: [&str; 4] = ["connect-failure", "refused-stream", "reset-before-request", ""];
    let mut conditions = retry.retry_on.split(',').map(str::trim);
    retry.attempts > 0
        && !retry.retry_on.trim().is_empty()
        && conditions.any(|c| !BEFORE_THE_SERVICE.contains(&c))
}

/// The hosts that outlier detection can have out of a pool of `hosts` at the same time.
///
/// `percent` is `maxEjectionPercent`, 10 when it is not written.
pub fn can_eject(percent: Option<i32>, hosts: u32) -> u32 {
    let percent = u64::try_from(percent.unwrap_or(10).clamp(0, 100)).unwrap_or(0);
    u32::try_from(u64::from(hosts) * percent / 100).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_percent_of_nine_is_nothing() {
        assert_eq!((can_eject(None, 9), can_eject(None, 10)), (0, 1));
        assert_eq!((can_eject(Some(50), 1), can_eject(Some(50), 3), can_eject(Some(-5), 3)), (0, 1, 0));
    }

    #[test]
    fn retries_of_connections_do_not_multiply_requests() {
        let retry = |on: &str| Retry {
            attempts: 2,
            per_try_timeout: None,
            retry_on: on.into(),
            remote_localities: false,
            ignore_previous_hosts: None,
            backoff: None,
        };
        assert!(!amplifies(&retry("")) && !amplifies(&retry("connect-failure,refused-stream")));
        assert!(amplifies(&retry("connect-failure, 5xx")) && amplifies(&retry("503")));
    }
}
