//! Preference by locality: which endpoints a client asks first, by where they run.

use tulle_base::{Labels, Locality};

/// Label of a region.
pub const REGION: &str = "topology.kubernetes.io/region";
/// Label of a zone.
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// Label of a sub-zone.
pub const SUBZONE: &str = "topology.istio.io/subzone";
/// Label of a network.
pub const NETWORK: &str = "topology.istio.io/network";
/// Label of a cluster.
pub const CLUSTER: &str = "topology.istio.io/cluster";
/// Label of a node.
pub const HOSTNAME: &str = "kubernetes.io/hostname";

/// A preference by locality (`localityLbSetting`). Fixed shares win; then labels rank, then regions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalityLb {
    /// Whether it is on.
    pub enabled: bool,
    /// Fixed shares: the first entry for the client's locality is in force.
    pub distribute: Vec<Distribute>,
    /// Where regions fail over to.
    pub failover: Vec<Failover>,
    /// Labels that rank endpoints: the more of the first ones agree, the earlier.
    pub failover_priority: Vec<PriorityLabel>,
}

impl Default for LocalityLb {
    /// On, with nothing but nearness to rank by: what a mesh has that says nothing.
    fn default() -> Self {
        Self { enabled: true, distribute: Vec::new(), failover: Vec::new(), failover_priority: Vec::new() }
    }
}

/// Fixed shares for clients of one locality.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribute {
    /// The clients' locality.
    pub from: LocalityPattern,
    /// Shares by locality; other localities get nothing.
    pub to: Vec<(LocalityPattern, u32)>,
}

/// Failover of one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failover {
    /// The clients' region.
    pub from: String,
    /// The region that is asked before all others.
    pub to: String,
}

/// A label that ranks endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriorityLabel {
    /// Its key.
    pub key: String,
    /// What endpoints should have there; the client's own value where it is not written.
    pub value: Option<String>,
}

impl PriorityLabel {
    /// Reads `key` or `key=value`.
    pub fn parse(text: &str) -> Self {
        match text.split_once('=') {
            Some((key, value)) => Self { key: key.to_owned(), value: Some(value.to_owned()) },
            None => Self { key: text.to_owned(), value: None },
        }
    }
}

/// `region/zone/subzone`, where a missing part or `*` is anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalityPattern(Locality);

impl LocalityPattern {
    /// Reads `region/zone/subzone`.
    pub fn parse(text: &str) -> Self {
        Self(Locality::parse(text))
    }

    /// Whether `locality` is one of those that are meant. A missing region is no wildcard, as in Istio.
    pub fn matches(&self, locality: &Locality) -> bool {
        let part = |want: &str, have: &str| want == "*" || want == have;
        part(&self.0.region, &locality.region)
            && (self.0.zone.is_empty() || part(&self.0.zone, &locality.zone))
            && (self.0.sub_zone.is_empty() || part(&self.0.sub_zone, &locality.sub_zone))
    }
}

/// How far away an endpoint is: 0 the same sub-zone, 1 the same zone, 2 the same region, 3 another.
pub fn distance(client: &Locality, endpoint: &Locality) -> u32 {
    match (
        client.region == endpoint.region,
        client.zone == endpoint.zone,
        client.sub_zone == endpoint.sub_zone,
    ) {
        (true, true, true) => 0,
        (true, true, false) => 1,
        (true, false, _) => 2,
        (false, _, _) => 3,
    }
}

/// Where something runs, as labels say it too.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Its labels.
    pub labels: &'a Labels,
    /// Region, zone and sub-zone.
    pub locality: &'a Locality,
    /// Network.
    pub network: &'a str,
    /// Cluster.
    pub cluster: &'a str,
    /// Node.
    pub node: &'a str,
}

impl<'a> Place<'a> {
    /// The value of a label; where it runs is as good as labels that say it. Empty when there is none.
    pub fn label(&self, key: &str) -> &'a str {
        let known = match key {
            REGION => self.locality.region.as_str(),
            ZONE => self.locality.zone.as_str(),
            SUBZONE => self.locality.sub_zone.as_str(),
            NETWORK => self.network,
            CLUSTER => self.cluster,
            HOSTNAME => self.node,
            _ => "",
        };
        if known.is_empty() { self.labels.get(key).map_or("", String::as_str) } else { known }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_leave_parts_open() {
        let matches = |pattern: &str, locality: &str| {
            LocalityPattern::parse(pattern).matches(&Locality::parse(locality))
        };
        for pattern in ["*", "r/*", "r", "r/z", "r/z/*", "r/z/s", "r/*/s"] {
            assert!(matches(pattern, "r/z/s"), "{pattern}");
        }
        for pattern in ["", "q", "r/y", "r/z/t", "q/*"] {
            assert!(!matches(pattern, "r/z/s"), "{pattern}");
        }
    }

    #[test]
    fn the_nearest_comes_first() {
        let from = Locality::parse("r/z/s");
        let far = |to: &str| distance(&from, &Locality::parse(to));
        assert_eq!(["r/z/s", "r/z/t", "r/y/s", "q/z/s", ""].map(far), [0, 1, 2, 3, 3]);
    }

    #[test]
    fn where_it_runs_is_as_good_as_a_label() {
        let labels: Labels = [("tier".into(), "gold".into()), (ZONE.into(), "written".into())].into();
        let locality = Locality::parse("r/z");
        let place = Place { labels: &labels, locality: &locality, network: "", cluster: "c", node: "n" };
        assert_eq!(
            ["tier", REGION, ZONE, CLUSTER, HOSTNAME, NETWORK].map(|k| place.label(k)),
            ["gold", "r", "z", "c", "n", ""]
        );
    }
}
