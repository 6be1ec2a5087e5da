//! Which policy is in force for a port and subset, and how rules for one host merge.

use super::{
    ClientTls, ConnectionPool, DestinationRule, LoadBalancer, Outlier, ProxyProtocol, RetryBudget,
    TrafficPolicy, Tunnel,
};
use crate::routing::Retry;

/// The policy in force for one port of one host or subset. Borrowed from the rule.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Effective<'a> {
    /// Choice of the endpoint.
    pub load_balancer: Option<&'a LoadBalancer>,
    /// Limits.
    pub connection_pool: Option<&'a ConnectionPool>,
    /// Ejection.
    pub outlier: Option<&'a Outlier>,
    /// TLS.
    pub tls: Option<&'a ClientTls>,
    /// TCP inside of HTTP.
    pub tunnel: Option<&'a Tunnel>,
    /// PROXY protocol header.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Default retries.
    pub retries: Option<&'a Retry>,
    /// Retries as a share of the requests under way.
    pub retry_budget: Option<RetryBudget>,
}

impl DestinationRule {
    /// The policy for `port`, of the subset named `subset` or (empty) of the whole host.
    ///
    /// A subset overrides only the blocks it writes; then a matching port-level entry replaces load balancer,
    /// connection pool, outlier detection and TLS altogether, resetting to defaults what it omits (traps 8).
    pub fn effective(&self, subset: &str, port: u16) -> Effective<'_> {
        let base = &self.policy;
        let over = self.subsets.iter().find(|s| s.name == subset).map(|s| &s.policy);
        let mut out = blocks(base);
        if let Some(over) = over {
            let b = blocks(over);
            out = Effective {
                load_balancer: b.load_balancer.or(out.load_balancer),
                connection_pool: b.connection_pool.or(out.connection_pool),
                outlier: b.outlier.or(out.outlier),
                tls: b.tls.or(out.tls),
                // Whom the host is to connect to is said for each subset, as in Istio.
                tunnel: b.tunnel,
                proxy_protocol: b.proxy_protocol.or(out.proxy_protocol),
                retries: b.retries.or(out.retries),
                retry_budget: b.retry_budget.or(out.retry_budget),
            };
        }
        // A subset that writes port-level settings replaces the host's list of them, as any other block.
        let ports = over.map(|p| &p.ports).filter(|p| !p.is_empty()).unwrap_or(&base.ports);
        if let Some((_, p)) = ports.iter().find(|(number, _)| *number == port) {
            out.load_balancer = p.load_balancer.as_ref();
            out.connection_pool = p.connection_pool.as_ref();
            out.outlier = p.outlier.as_ref();
            out.tls = p.tls.as_ref();
        }
        out
    }

    /// Whether it applies to a client of `namespace` with `labels` (workload selectors act in their own namespace).
    pub fn selects(&self, namespace: &str, labels: &tulle_base::Labels) -> bool {
        self.workload_selector
            .as_ref()
            .is_none_or(|s| self.meta.namespace() == namespace && s.matches(labels))
    }
}

fn blocks(policy: &TrafficPolicy) -> Effective<'_> {
    Effective {
        load_balancer: policy.load_balancer.as_ref(),
        connection_pool: policy.connection_pool.as_ref(),
        outlier: policy.outlier.as_ref(),
        tls: policy.tls.as_ref(),
        tunnel: policy.tunnel.as_ref(),
        proxy_protocol: policy.proxy_protocol,
        retries: policy.retries.as_ref(),
        retry_budget: policy.retry_budget,
    }
}

/// Merges the rules of one namespace for one host, oldest first. Rules with equal `exportTo` and selector become one:
/// the oldest traffic policy wins, subsets with new names are appended (traps 7). Others stay apart, in order of age.
pub fn merge_same_host(mut rules: Vec<DestinationRule>) -> Vec<DestinationRule> {
    rules.sort_by(|a, b| a.meta.by_age(&b.meta));
    let mut merged: Vec<DestinationRule> = Vec::new();
    for rule in rules {
        let same = merged
            .iter_mut()
            .find(|m| m.export_to == rule.export_to && m.workload_selector == rule.workload_selector);
        let Some(into) = same else {
            merged.push(rule);
            continue;
        };
        if into.policy == TrafficPolicy::default() {
            into.policy = rule.policy;
        }
        for subset in rule.subsets {
            if !into.subsets.iter().any(|s| s.name == subset.name) {
                into.subsets.push(subset);
            }
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tulle_base::{Labels, ResourceRef};

    use super::*;
    use crate::destination::{Algorithm, PortPolicy, Subset};
    use crate::meta::Meta;
    use crate::visibility::ExportTo;

    fn rule(name: &str, created: &str) -> DestinationRule {
        DestinationRule {
            meta: Meta {
                resource: ResourceRef::new("networking.istio.io", "DestinationRule", "ns", name),
                version: "v1".into(),
                created: created.into(),
            },
            host: "a".into(),
            export_to: ExportTo::All,
            exports_by_default: false,
            workload_selector: None,
            policy: TrafficPolicy::default(),
            subsets: Vec::new(),
        }
    }

    fn subset(name: &str, policy: TrafficPolicy) -> Subset {
        Subset { name: name.into(), labels: Labels::new(), policy }
    }

    fn balancer(algorithm: Algorithm) -> Option<LoadBalancer> {
        Some(LoadBalancer { algorithm: Some(algorithm), ..LoadBalancer::default() })
    }

    #[test]
    fn a_subset_overrides_only_what_it_writes() {
        let mut r = rule("r", "");
        r.policy.load_balancer = balancer(Algorithm::Random);
        r.policy.outlier = Some(Outlier::default());
        let over =
            TrafficPolicy { load_balancer: balancer(Algorithm::RoundRobin), ..TrafficPolicy::default() };
        r.subsets.push(subset("v1", over));
        let e = r.effective("v1", 80);
        assert_eq!(e.load_balancer, balancer(Algorithm::RoundRobin).as_ref());
        assert!(e.outlier.is_some());
        assert_eq!(r.effective("", 80).load_balancer, balancer(Algorithm::Random).as_ref());
    }

    #[test]
    fn a_port_level_entry_resets_what_it_omits() {
        let mut r = rule("r", "");
        r.policy.load_balancer = balancer(Algorithm::Random);
        r.policy.outlier = Some(Outlier::default());
        let pool =
            ConnectionPool { connect_timeout: Some(Duration::from_secs(1)), ..ConnectionPool::default() };
        r.policy.ports.push((80, PortPolicy { connection_pool: Some(pool), ..PortPolicy::default() }));
        let e = r.effective("", 80);
        assert!(e.load_balancer.is_none() && e.outlier.is_none() && e.connection_pool.is_some());
        assert!(r.effective("", 81).outlier.is_some());
    }

    #[test]
    fn the_oldest_policy_wins_and_new_subsets_are_appended() {
        let mut young = rule("young", "2026-02-01T00:00:00Z");
        young.policy.load_balancer = balancer(Algorithm::Random);
        young.subsets = vec![subset("v1", TrafficPolicy::default()), subset("v2", TrafficPolicy::default())];
        let mut old = rule("old", "2026-01-01T00:00:00Z");
        old.policy.load_balancer = balancer(Algorithm::RoundRobin);
        old.subsets =
            vec![subset("v1", TrafficPolicy { outlier: Some(Outlier::default()), ..Default::default() })];
        let mut private = rule("private", "2026-03-01T00:00:00Z");
        private.export_to = ExportTo::parse(["."], "ns");
        let merged = merge_same_host(vec![young, private, old]);
        assert_eq!(merged.len(), 2, "another exportTo stays apart");
        assert_eq!(merged[0].meta.name(), "old");
        assert_eq!(merged[0].policy.load_balancer, balancer(Algorithm::RoundRobin));
        let names: Vec<_> = merged[0].subsets.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["v1", "v2"]);
        assert!(merged[0].subsets[0].policy.outlier.is_some());
    }
}
