//! Rules about how a client chooses an endpoint.

use std::collections::HashSet;

use super::common::duration;
use super::names;
use super::rules::Rules;
use crate::istio::{
    ConsistentHashLb, HashAlgorithm, HashKey, LbPolicy, LoadBalancerSettings, LocalityFailover,
    LocalityLoadBalancerSetting, SimpleLb, WarmupConfiguration, ZoneAwareLoadBalancerSetting,
};
use crate::schema::At;

const TOPOLOGY: [&str; 3] =
    ["topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"];

/// Checks how an endpoint is chosen; `outlier` says whether the same policy has outlier detection.
pub(super) fn check_balancer(given: &LoadBalancerSettings, outlier: bool, at: &At<'_>, rules: &mut Rules) {
    let LoadBalancerSettings {
        locality_lb_setting,
        zone_aware_lb_setting,
        warmup_duration_secs,
        warmup,
        lb_policy,
    } = given;
    match lb_policy {
        Some(LbPolicy::ConsistentHash(hash)) => check_hash(hash, &at.field("consistentHash"), rules),
        Some(LbPolicy::Simple(SimpleLb::LeastConn)) => {
            rules.note(
                &at.field("simple"),
                "LEAST_CONN is the old name of LEAST_REQUEST, which is used",
                "write LEAST_REQUEST",
            );
        }
        _ => {}
    }
    rules.exclusive(
        at,
        &[
            ("localityLbSetting", locality_lb_setting.is_some()),
            ("zoneAwareLbSetting", zone_aware_lb_setting.is_some()),
        ],
    );
    if let Some(setting) = locality_lb_setting {
        check_locality(setting, outlier, &at.field("localityLbSetting"), rules);
    }
    if let Some(ZoneAwareLoadBalancerSetting { enabled: _, failover, failover_priority, min_cluster_size }) =
        zone_aware_lb_setting
    {
        let here = at.field("zoneAwareLbSetting");
        check_failover(failover, failover_priority, outlier, &here, rules);
        topology_labels(failover_priority, "the zone is preferred anyway", &here, rules);
        if *min_cluster_size == Some(0) {
            rules.error(&here.field("minClusterSize"), "must be 1 or more", "");
        }
    }
    duration(warmup_duration_secs.as_ref(), &at.field("warmupDurationSecs"), rules);
    if let Some(WarmupConfiguration { duration: time, minimum_percent, aggression }) = warmup {
        let here = at.field("warmup");
        duration(Some(time), &here.field("duration"), rules);
        if let Some(share) = minimum_percent.filter(|p| !(0.0..=100.0).contains(p)) {
            rules.error(
                &here.field("minimumPercent"),
                format!("must be between 0 and 100 but is {share}"),
                "",
            );
        }
        if let Some(value) = aggression.filter(|a| *a <= 0.0) {
            rules.error(&here.field("aggression"), format!("must be above 0 but is {value}"), "");
        }
    }
}

fn check_hash(given: &ConsistentHashLb, at: &At<'_>, rules: &mut Rules) {
    let ConsistentHashLb { minimum_ring_size, hash_key, hash_algorithm } = given;
    match hash_key {
        None => rules.warn(
            at,
            "has no key to hash, so that endpoints are random",
            "give httpHeaderName, httpCookie, useSourceIp or httpQueryParameterName",
        ),
        Some(HashKey::HttpHeaderName(name)) => {
            rules.check(&at.field("httpHeaderName"), names::header_name(name))
        }
        Some(HashKey::HttpCookie(cookie)) => {
            let mut seen = HashSet::new();
            for (i, attribute) in cookie.attributes.iter().enumerate() {
                if !seen.insert(&attribute.name) {
                    let (here, list) = (at.field("httpCookie"), "attributes");
                    rules.error(
                        &here.field(list).index(i),
                        format!("attribute {} is given twice", attribute.name),
                        "keep one",
                    );
                }
            }
        }
        Some(HashKey::UseSourceIp(_) | HashKey::HttpQueryParameterName(_)) => {}
    }
    let set = [
        ("minimumRingSize", minimum_ring_size.is_some()),
        ("maglev", matches!(hash_algorithm, Some(HashAlgorithm::Maglev(_)))),
        ("ringHash", matches!(hash_algorithm, Some(HashAlgorithm::RingHash(_)))),
    ];
    rules.exclusive(at, &set);
    if let Some(HashAlgorithm::Maglev(maglev)) = hash_algorithm {
        let here = at.field("maglev");
        match maglev.table_size {
            None => rules.error(&here.field("tableSize"), "is required", "65537 is a good choice"),
            Some(size) if size < 5_000_011 && is_prime(size) => {}
            Some(size) => rules.error(
                &here.field("tableSize"),
                format!("must be a prime below 5000011 but is {size}"),
                "65537 is a good choice",
            ),
        }
    }
}

fn is_prime(n: u64) -> bool {
    n >= 2 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d))
}

fn check_locality(given: &LocalityLoadBalancerSetting, outlier: bool, at: &At<'_>, rules: &mut Rules) {
    let LocalityLoadBalancerSetting { distribute, failover, failover_priority, enabled: _ } = given;
    rules.exclusive(
        at,
        &[
            ("distribute", !distribute.is_empty()),
            ("failover", !failover.is_empty()),
            ("failoverPriority", !failover_priority.is_empty() && failover.is_empty()),
        ],
    );
    let list = at.field("distribute");
    let mut sources = Localities::default();
    for (i, entry) in distribute.iter().enumerate() {
        let here = list.index(i);
        rules.check(&here.field("from"), sources.add(&entry.from));
        let (shares, mut targets) = (here.field("to"), Localities::default());
        for locality in entry.to.keys() {
            rules.check(&shares.field(locality), targets.add(locality));
        }
        let total: u64 = entry.to.values().map(|w| u64::from(*w)).sum();
        if total != 100 {
            rules.error(&shares, format!("the shares must add up to 100, not {total}"), "");
        }
        for (locality, _) in entry.to.iter().filter(|(_, share)| **share == 0) {
            rules.error(&shares.field(locality), "must be between 1 and 100 but is 0", "remove it");
        }
    }
    check_failover(failover, failover_priority, outlier, at, rules);
    if !failover.is_empty() {
        topology_labels(failover_priority, "failover decides about it", at, rules);
    }
}

/// Localities of one list, none of which may lie in another.
#[derive(Default)]
struct Localities<'a> {
    /// Localities without their `*`.
    given: HashSet<Vec<&'a str>>,
    /// What any of them lies in.
    above: HashSet<Vec<&'a str>>,
}

impl<'a> Localities<'a> {
    /// Adds `REGION[/ZONE[/SUBZONE]]`, of which only the end may be a `*`.
    fn add(&mut self, locality: &'a str) -> Result<(), String> {
        let mut steps: Vec<&str> = locality.splitn(3, '/').collect();
        if steps.iter().any(|s| s.is_empty()) {
            return Err(format!("{locality:?} is not of the form REGION/ZONE/SUBZONE: a part is empty"));
        }
        let stars = locality.matches('*').count();
        if stars > 1 || (stars == 1 && !locality.ends_with('*')) {
            return Err(format!("{locality:?}: there may be one *, at the end"));
        }
        steps.retain(|s| *s != "*");
        let above = (0..steps.len()).map(|n| steps[..n].to_vec());
        let within = self.given.contains(&steps) || above.clone().any(|a| self.given.contains(&a));
        if within || self.above.contains(&steps) {
            return Err(format!("{locality:?} overlaps with another locality of this list"));
        }
        self.above.extend(above);
        self.given.insert(steps);
        Ok(())
    }
}

fn check_failover(
    given: &[LocalityFailover],
    priority: &[String],
    outlier: bool,
    at: &At<'_>,
    rules: &mut Rules,
) {
    if !(outlier || given.is_empty() && priority.is_empty()) {
        rules.warn(
            at,
            "failover does nothing without outlierDetection",
            "add outlierDetection to this policy",
        );
    }
    for (i, LocalityFailover { from, to }) in given.iter().enumerate() {
        let list = at.field("failover");
        let here = list.index(i);
        if from == to {
            rules.error(&here, format!("leads from {from:?} to itself"), "name another region");
        }
        for (field, region) in [("from", from), ("to", to)] {
            if region.contains(['/', '*']) {
                rules.error(
                    &here.field(field),
                    format!("{region:?} must be a region without zone or wildcard"),
                    "",
                );
            }
        }
    }
}

fn topology_labels(priority: &[String], reason: &str, at: &At<'_>, rules: &mut Rules) {
    for (i, label) in priority.iter().enumerate().filter(|(_, l)| TOPOLOGY.contains(&l.as_str())) {
        rules.error(
            &at.field("failoverPriority").index(i),
            format!("{label} cannot be used here: {reason}"),
            "remove it",
        );
    }
}
