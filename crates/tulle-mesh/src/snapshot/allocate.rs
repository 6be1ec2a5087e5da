//! Addresses for hosts of ServiceEntries that have none, so that DNS in the proxy has something to answer and TCP of
//! several such hosts on one port can be told apart.
//!
//! From 240.240.0.0/16 and 2001:2::/48, which nobody routes, as in Istio: one of each, of which a client gets to see those of
//! its own families. A host keeps its address for as long as it exists; which one
//! it gets follows from its name, so that control planes agree as far as they can.

use std::net::Ipv6Addr;

use super::{Map, ServiceKey};
use crate::service::{Registry, Resolution, Service};

/// How many addresses there are: the last part is 1 to 254.
const SLOTS: u32 = 256 * 254;

/// Label of a ServiceEntry that is to have none.
const LABEL: &str = "networking.istio.io/enable-autoallocate-ip";

/// Which slot each host has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allocated {
    slots: Map<u32, ServiceKey>,
    of: Map<ServiceKey, u32>,
}

impl Allocated {
    /// The addresses of a host, new ones if it has none yet; `None` when all are taken.
    pub(super) fn give(&mut self, key: &ServiceKey) -> Option<[String; 2]> {
        if let Some(slot) = self.of.get(key) {
            return Some(addresses(*slot));
        }
        let hash = fnv1a(&format!("{}/{}", key.namespace, key.host));
        let first = hash % SLOTS;
        // Another step for another name; an odd number and SLOTS, a multiple of 2 and 127, need not be without common
        // divisor, so the last resort is to look at every slot.
        let step = (hash / SLOTS) | 1;
        let jump = (0..16).map(|n: u32| first.wrapping_add(n.wrapping_mul(step)) % SLOTS);
        let walk = (0..SLOTS).map(|n| (first + n) % SLOTS);
        let slot = jump.chain(walk).find(|slot| !self.slots.contains_key(slot))?;
        self.slots.insert_mut(slot, key.clone());
        self.of.insert_mut(key.clone(), slot);
        Some(addresses(slot))
    }

    /// The host has these addresses now: its own are taken back if they are not the ones.
    pub(super) fn keep_only(&mut self, key: &ServiceKey, now: &[String]) {
        if let Some(slot) = self.of.get(key).copied()
            && *now != addresses(slot)
        {
            self.of.remove_mut(key);
            self.slots.remove_mut(&slot);
        }
    }
}

/// Whether a host is to have an address: one that a client can look up, and whose endpoints do not follow from where the
/// client went.
pub(super) fn wanted(service: &Service) -> bool {
    service.registry == Registry::External
        && service.addresses.is_empty()
        && !matches!(service.resolution, Resolution::Passthrough | Resolution::DynamicDns)
        && !service.hostname.is_wildcard()
        && service.labels.get(LABEL).is_none_or(|v| v != "false")
}

fn addresses(slot: u32) -> [String; 2] {
    let (third, last) = (slot / 254, slot % 254 + 1);
    let v6 = Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0xf0f0, u16::try_from(third << 8 | last).unwrap_or(0));
    [format!("240.240.{third}.{last}"), v6.to_string()]
}

/// FNV-1a over 32 bits.
fn fnv1a(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(host: &str) -> ServiceKey {
        ServiceKey { host: host.into(), namespace: "shop".into() }
    }

    #[test]
    fn hosts_keep_their_addresses_and_no_two_have_the_same() {
        let mut allocated = Allocated::default();
        let hosts: Vec<ServiceKey> = (0..2000).map(|n| key(&format!("h{n}.example.com"))).collect();
        let given: Vec<[String; 2]> = hosts.iter().map(|h| allocated.give(h).unwrap()).collect();
        for (host, both) in hosts.iter().zip(&given) {
            assert_eq!(allocated.give(host).as_ref(), Some(both));
            let [v4, v6] = both;
            let last: u8 = v4.rsplit('.').next().unwrap().parse().unwrap();
            assert!(v4.starts_with("240.240.") && (1..=254).contains(&last), "{v4}");
            assert!(v6.starts_with("2001:2::f0f0:"), "{v6}");
        }
        let first = Allocated::default().give(&hosts[7]).unwrap();
        allocated.keep_only(&hosts[7], &given[7]);
        assert!(allocated.of.contains_key(&hosts[7]));
        allocated.keep_only(&hosts[7], &[]);
        assert_eq!(allocated.give(&hosts[7]).unwrap(), given[7], "its place is still free");
        assert_eq!(first, given[7], "the name decides");
        for family in [0, 1] {
            let all: std::collections::BTreeSet<&String> = given.iter().map(|both| &both[family]).collect();
            assert_eq!(all.len(), 2000);
        }
    }
}
