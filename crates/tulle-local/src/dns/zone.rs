//! The names of the mesh.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// The domain of services and pods.
pub(super) const DOMAIN: &str = "cluster.local";

/// What is known about a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Its addresses; none for a headless service without ready pods.
    Addresses(Vec<IpAddr>),
    /// Another name (an ExternalName service).
    Alias(String),
    /// It would be ours, but there is none.
    Missing,
    /// It belongs to somebody else.
    Foreign,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Addresses(Vec<IpAddr>),
    Alias(String),
}

/// All names at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    entries: BTreeMap<String, Entry>,
}

impl Zone {
    /// Adds a service: `NAME.NAMESPACE.svc.cluster.local`. Several calls for one name add up.
    pub fn add_service(&mut self, namespace: &str, name: &str, addresses: &[IpAddr]) {
        self.add(service_name(namespace, name), addresses);
    }

    /// Adds a pod of a headless service: `HOSTNAME.SERVICE.NAMESPACE.svc.cluster.local`.
    pub fn add_pod(&mut self, namespace: &str, service: &str, hostname: &str, address: IpAddr) {
        let name = format!("{}.{}", hostname.to_ascii_lowercase(), service_name(namespace, service));
        self.add(name, &[address]);
    }

    /// Adds a service that stands for another name.
    pub fn add_alias(&mut self, namespace: &str, name: &str, target: &str) {
        let target = target.trim_end_matches('.').to_ascii_lowercase();
        self.entries.insert(service_name(namespace, name), Entry::Alias(target));
    }

    /// Looks a name up; case and a final dot do not matter.
    pub fn lookup(&self, name: &str) -> Lookup {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        match self.entries.get(&name) {
            Some(Entry::Addresses(a)) => Lookup::Addresses(a.clone()),
            Some(Entry::Alias(target)) => Lookup::Alias(target.clone()),
            None if name == DOMAIN || name.ends_with(&format!(".{DOMAIN}")) => Lookup::Missing,
            None => Lookup::Foreign,
        }
    }

    fn add(&mut self, name: String, addresses: &[IpAddr]) {
        if let Entry::Addresses(all) =
            self.entries.entry(name).or_insert_with(|| Entry::Addresses(Vec::new()))
        {
            all.extend_from_slice(addresses);
            all.sort_unstable();
            all.dedup();
        }
    }
}

fn service_name(namespace: &str, name: &str) -> String {
    format!("{name}.{namespace}.svc.{DOMAIN}").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_kinds() {
        let ip = |n: u8| IpAddr::from([10, 244, 0, n]);
        let cart: [IpAddr; 2] = ["10.96.0.9", "fd00:10:96::9"].map(|ip| ip.parse().unwrap());
        let mut z = Zone::default();
        z.add_service("shop", "cart", &cart);
        z.add_service("shop", "db", &[ip(3), ip(2)]);
        z.add_service("shop", "idle", &[]);
        z.add_pod("shop", "db", "db-0", ip(2));
        z.add_alias("shop", "mail", "Mail.Example.com.");
        assert_eq!(z.lookup("CART.shop.svc.cluster.local."), Lookup::Addresses(cart.to_vec()));
        assert_eq!(z.lookup("db.shop.svc.cluster.local"), Lookup::Addresses(vec![ip(2), ip(3)]));
        assert_eq!(z.lookup("db-0.db.shop.svc.cluster.local"), Lookup::Addresses(vec![ip(2)]));
        assert_eq!(z.lookup("idle.shop.svc.cluster.local"), Lookup::Addresses(vec![]));
        assert_eq!(z.lookup("mail.shop.svc.cluster.local"), Lookup::Alias("mail.example.com".into()));
        assert_eq!(z.lookup("nobody.shop.svc.cluster.local"), Lookup::Missing);
        assert_eq!(z.lookup("cart"), Lookup::Foreign);
        assert_eq!(z.lookup("notcluster.local"), Lookup::Foreign);
    }
}
