//! Who has which addresses: the node, the pods, the services.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::family::{Cidr, Families, Family};
use super::ipam::Ipam;

/// The addresses of the node in one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The node itself, on the bridge: gateway and DNS of the pods.
    pub node: IpAddr,
    /// Where pods get their addresses.
    pub pods: Cidr,
    /// Where services get theirs.
    pub services: Cidr,
}

impl Network {
    /// 10.244.0.1 in 10.244.0.0/16 with services in 10.96.0.0/16; fd00:10:244::1 in fd00:10:244::/112 with services in
    /// fd00:10:96::/112 (of the range for private use, RFC 4193).
    pub fn of(family: Family) -> Self {
        let (pods, services) = match family {
            Family::V4 => {
                (Cidr::new(Ipv4Addr::new(10, 244, 0, 0), 16), Cidr::new(Ipv4Addr::new(10, 96, 0, 0), 16))
            }
            Family::V6 => (
                Cidr::new(Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 0, 0, 0, 0), 112),
                Cidr::new(Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0), 112),
            ),
        };
        Self { node: pods.nth(1), pods, services }
    }

    /// The family.
    pub fn family(self) -> Family {
        self.pods.family()
    }

    /// Gives out service addresses; the first is Kubernetes' own.
    pub fn service_addresses(self) -> Ipam {
        Ipam::new(self.services, [self.services.nth(1)])
    }

    /// Gives out pod addresses.
    pub fn pod_addresses(self) -> Ipam {
        Ipam::new(self.pods, [self.node])
    }
}

/// The addresses of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Those of the family that pods' main addresses are of.
    pub first: Network,
    /// Those of the other one, with both.
    pub second: Option<Network>,
}

impl Addresses {
    /// The addresses of a mesh with these families.
    pub fn new(families: Families) -> Self {
        let list = families.list();
        Self { first: Network::of(list[0]), second: list.get(1).map(|f| Network::of(*f)) }
    }

    /// Family by family, the main one first.
    pub fn all(self) -> impl Iterator<Item = Network> + Clone {
        std::iter::once(self.first).chain(self.second)
    }

    /// Where a program listens that all pods are to reach: `::` takes IPv4 as well.
    pub fn wildcard(self) -> IpAddr {
        let family = if self.of(Family::V6).is_some() { Family::V6 } else { Family::V4 };
        family.unspecified()
    }

    /// Those of a family.
    pub fn of(self, family: Family) -> Option<Network> {
        self.all().find(|n| n.family() == family)
    }
}

/// The addresses of a pod or the node: one per family, the main one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ips {
    /// The main one.
    pub first: IpAddr,
    /// That of the other family.
    pub second: Option<IpAddr>,
}

impl Ips {
    /// One address or two.
    pub fn new(first: impl Into<IpAddr>, second: Option<IpAddr>) -> Self {
        Self { first: first.into(), second }
    }

    /// The node's.
    pub fn of_node(addresses: Addresses) -> Self {
        Self { first: addresses.first.node, second: addresses.second.map(|n| n.node) }
    }

    /// Free ones from each of `pools`; `None`, and nothing taken, when one is used up.
    pub fn allocate(pools: &mut [Ipam]) -> Option<Self> {
        let mut taken = Vec::new();
        for pool in pools.iter_mut() {
            match pool.allocate() {
                Some(ip) => taken.push(ip),
                None => break,
            }
        }
        if taken.len() < pools.len() {
            taken.iter().zip(pools).for_each(|(ip, pool)| pool.release(*ip));
            return None;
        }
        Some(Self { first: *taken.first()?, second: taken.get(1).copied() })
    }

    /// Gives them back.
    pub fn release(self, pools: &mut [Ipam]) {
        for ip in self.all() {
            pools.iter_mut().for_each(|pool| pool.release(ip));
        }
    }

    /// The main one first.
    pub fn all(self) -> impl Iterator<Item = IpAddr> + Clone {
        std::iter::once(self.first).chain(self.second)
    }

    /// The one of a family.
    pub fn of(self, family: Family) -> Option<IpAddr> {
        self.all().find(|ip| Family::of(*ip) == family)
    }

    /// All of them, separated by commas.
    pub fn joined(self) -> String {
        self.all().map(|ip| ip.to_string()).collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_gets_one_address_of_each_family_or_none() {
        let dual = Addresses::new(Families::Dual);
        let mut pools: Vec<Ipam> = dual.all().map(Network::pod_addresses).collect();
        let ips = Ips::allocate(&mut pools).unwrap();
        assert_eq!(ips.joined(), "10.244.0.2,fd00:10:244::2");
        assert_eq!(ips.of(Family::V6), Some("fd00:10:244::2".parse().unwrap()));
        let full = Cidr::new(Ipv6Addr::LOCALHOST, 127);
        let mut pools = vec![dual.first.pod_addresses(), Ipam::new(full, [])];
        assert_eq!(Ips::allocate(&mut pools), None);
        assert_eq!(pools[0].allocate(), Some(dual.first.pods.nth(3)), "the one given back rests");
        assert!(pools[0].take(ips.first), "but it is free");
        let v6 = Addresses::new(Families::V6);
        assert_eq!((v6.first.family(), v6.second), (Family::V6, None));
    }
}
