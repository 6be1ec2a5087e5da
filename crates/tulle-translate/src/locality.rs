//! Preference by locality: priorities and weights of localities, for the client that a view is for.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use tulle_base::{Labels, Locality};
use tulle_mesh::Snapshot;
use tulle_mesh::destination::locality::{Distribute, Failover, Place, PriorityLabel, distance};
use tulle_mesh::destination::{Effective, LocalityLb};
use tulle_mesh::endpoint::Endpoint;
use tulle_mesh::service::{Distribution, Service};
use tulle_mesh::snapshot::Ask;

use crate::proxy::Proxy;

/// Where the client is, as far as preferences of the mesh ask for it: the rest is empty, so that clients share views.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Client {
    locality: Locality,
    /// The labels that rank endpoints.
    labels: Labels,
    pub(crate) node: String,
    /// Its network, where some are reached through gateways.
    pub(crate) network: String,
}

impl Client {
    pub(crate) fn of(snapshot: &Snapshot, proxy: &Proxy) -> Self {
        let asks = snapshot.asks();
        if asks.is_empty() && !snapshot.has_network_gateways() {
            return Self::default();
        }
        let proxy = proxy.placed(snapshot);
        let place = Place {
            labels: &proxy.labels,
            locality: &proxy.locality,
            network: &proxy.network,
            cluster: &proxy.cluster_id,
            node: &proxy.node,
        };
        let mut client = Self::default();
        if snapshot.has_network_gateways() {
            let pod = proxy.workload_in(snapshot).is_some();
            snapshot
                .network_of(&proxy.network, &proxy.labels, &proxy.ip, pod)
                .clone_into(&mut client.network);
        }
        for ask in asks {
            match ask {
                Ask::Locality => client.locality.clone_from(&proxy.locality),
                Ask::Node => client.node.clone_from(&proxy.node),
                Ask::Label(key) => {
                    let value = place.label(&key).to_owned();
                    client.labels.insert(key, value);
                }
                // Another setting stands for it.
                Ask::Mesh => {}
            }
        }
        client
    }

    /// Appends what differs to the key of a view.
    pub(crate) fn write_key(&self, key: &mut String) {
        let Self { locality, labels, node, network } = self;
        if !network.is_empty() {
            key.push_str(&format!("/in={network}"));
        }
        if *locality != Locality::default() {
            let Locality { region, zone, sub_zone } = locality;
            key.push_str(&format!("/at={region}|{zone}|{sub_zone}"));
        }
        if !node.is_empty() {
            key.push_str(&format!("/on={node}"));
        }
        for (k, v) in labels {
            key.push_str(&format!("/near:{k}={v}"));
        }
    }
}

/// The preference in force toward a destination.
pub(crate) struct Preference<'a> {
    setting: Cow<'a, LocalityLb>,
    /// Priorities act: something tells healthy from unhealthy endpoints, or nearness is wanted whatever their health.
    failover: bool,
}

/// The preference toward `service` under `policy`: the rule's, else the service's, else the mesh's. Failover acts only
/// with outlier detection, or when the service asks for near endpoints (traps 15).
pub(crate) fn preference<'a>(
    snapshot: &'a Snapshot,
    service: &Service,
    policy: &Effective<'a>,
) -> Option<Preference<'a>> {
    let outlier = policy.outlier.is_some();
    let written = policy.load_balancer.and_then(|l| l.locality.as_ref());
    let (setting, failover) = match (written, service.distribution) {
        (Some(setting), _) => (Cow::Borrowed(setting), outlier),
        (None, Distribution::Any) => (Cow::Borrowed(&snapshot.mesh().locality), outlier),
        (None, near) => (Cow::Owned(by_distribution(near)), true),
    };
    let acts = setting.enabled && (failover || !setting.distribute.is_empty());
    acts.then_some(Preference { setting, failover })
}

fn by_distribution(near: Distribution) -> LocalityLb {
    let labels = near.labels().iter().map(|label| PriorityLabel::parse(label));
    LocalityLb { failover_priority: labels.collect(), ..LocalityLb::default() }
}

impl Preference<'_> {
    /// Whether localities of one priority share by weight. Otherwise all their endpoints are one pool, as the
    /// balancer wants it.
    pub(crate) fn weighs(&self) -> bool {
        let LocalityLb { enabled: _, distribute, failover, failover_priority } = self.setting.as_ref();
        !distribute.is_empty() || (self.failover && (!failover.is_empty() || !failover_priority.is_empty()))
    }
}

/// Endpoints of one locality and priority.
pub(crate) struct Group<'a> {
    pub(crate) locality: &'a Locality,
    pub(crate) priority: u32,
    /// The share among localities of its priority.
    pub(crate) weight: u32,
    pub(crate) endpoints: Vec<&'a Endpoint>,
}

/// Groups endpoints by locality, in order, and ranks the groups as `preference` wants it.
pub(crate) fn group<'a>(
    snapshot: &Snapshot,
    endpoints: impl Iterator<Item = &'a Endpoint>,
    client: &Client,
    preference: Option<&Preference<'_>>,
) -> Vec<Group<'a>> {
    let mut by_locality: BTreeMap<&Locality, Vec<&Endpoint>> = BTreeMap::new();
    for endpoint in endpoints {
        by_locality.entry(&endpoint.locality).or_default().push(endpoint);
    }
    let groups = by_locality.into_iter().map(|(locality, all)| Group::new(locality, 0, all));
    let Some(Preference { setting, failover }) = preference else { return groups.collect() };
    let LocalityLb { enabled: _, distribute: shares, failover: regions, failover_priority: labels } =
        setting.as_ref();
    if !shares.is_empty() {
        return distribute(groups.collect(), &client.locality, shares);
    }
    if !failover {
        return groups.collect();
    }
    let mut groups: Vec<Group<'a>> = if labels.is_empty() {
        groups.collect()
    } else {
        groups.flat_map(|g| split(snapshot, g, client, labels)).collect()
    };
    if labels.is_empty() || !regions.is_empty() {
        for group in &mut groups {
            group.priority = group.priority * 5 + region_rank(&client.locality, group.locality, regions);
        }
    }
    close_gaps(&mut groups);
    groups
}

impl<'a> Group<'a> {
    fn new(locality: &'a Locality, priority: u32, endpoints: Vec<&'a Endpoint>) -> Self {
        let weight = endpoints.iter().fold(0u32, |sum, e| sum.saturating_add(e.weight));
        Self { locality, priority, weight, endpoints }
    }
}

/// Gives localities the shares of the first entry that is for this client; those without a share get nothing. A share for
/// several localities is divided by their weights.
fn distribute<'a>(groups: Vec<Group<'a>>, client: &Locality, entries: &[Distribute]) -> Vec<Group<'a>> {
    let Some(entry) = entries.iter().find(|entry| entry.from.matches(client)) else { return groups };
    // Shares of the mesh are not for what says nothing of where it is, such as hosts outside of it.
    if groups.iter().all(|g| g.locality.is_empty()) {
        return groups;
    }
    let place = |group: &Group<'_>| entry.to.iter().position(|(to, _)| to.matches(group.locality));
    let mut sums = vec![0u64; entry.to.len()];
    for group in &groups {
        if let Some(at) = place(group) {
            sums[at] += u64::from(group.weight);
        }
    }
    let shared = groups.into_iter().filter_map(|group| {
        let at = place(&group)?;
        let share = (u64::from(group.weight) * u64::from(entry.to[at].1)).div_ceil(sums[at].max(1));
        Some(Group { weight: u32::try_from(share).unwrap_or(u32::MAX).max(1), ..group })
    });
    shared.collect()
}

/// Divides a locality by how many of the first labels agree with the client's: the more, the earlier.
fn split<'a>(
    snapshot: &Snapshot,
    group: Group<'a>,
    client: &Client,
    labels: &[PriorityLabel],
) -> Vec<Group<'a>> {
    let mut ranks: BTreeMap<u32, Vec<&'a Endpoint>> = BTreeMap::new();
    for endpoint in group.endpoints {
        let place = Place {
            labels: &endpoint.labels,
            locality: &endpoint.locality,
            network: &endpoint.network,
            cluster: &snapshot.mesh().cluster_id,
            node: &endpoint.node,
        };
        let agrees = |label: &PriorityLabel| {
            let own = || client.labels.get(&label.key).map_or("", String::as_str);
            place.label(&label.key) == label.value.as_deref().unwrap_or_else(own)
        };
        let rank = (1..).zip(labels.iter().rev()).filter(|(_, label)| !agrees(label)).map(|(n, _)| n).max();
        ranks.entry(rank.unwrap_or(0)).or_default().push(endpoint);
    }
    ranks.into_iter().map(|(rank, endpoints)| Group::new(group.locality, rank, endpoints)).collect()
}

/// How far a locality is: as the crow flies, but the region that the client's fails over to before other regions.
fn region_rank(client: &Locality, locality: &Locality, failover: &[Failover]) -> u32 {
    let rank = distance(client, locality);
    match failover.iter().find(|f| f.from == client.region) {
        Some(f) if rank == 3 && f.to != locality.region => 4,
        _ => rank,
    }
}

/// Priorities begin at 0 and leave none out, as Envoy wants it.
fn close_gaps(groups: &mut [Group<'_>]) {
    let used: BTreeSet<u32> = groups.iter().map(|g| g.priority).collect();
    let rank: BTreeMap<u32, u32> = used.into_iter().zip(0..).collect();
    for group in groups {
        group.priority = rank.get(&group.priority).copied().unwrap_or(0);
    }
}
