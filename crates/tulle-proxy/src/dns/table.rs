//! The mesh's host names as this pod sees them.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use tulle_proto::istio::nds::{NameInfo, NameTable};

/// How many labels a wildcard may stand for.
const MAX_LABELS: usize = 8;

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The name itself has these addresses.
    Addresses(Arc<[IpAddr]>),
    /// It is another name with a search domain behind it; that name has these addresses.
    Alias {
        /// The name without the search domain.
        target: String,
        /// Its addresses.
        addresses: Arc<[IpAddr]>,
    },
}

/// Names and addresses. Names are lower case, without the final dot.
#[derive(Debug)]
pub(crate) struct Names {
    hosts: HashMap<String, Arc<[IpAddr]>>,
    by_resource: HashMap<String, BTreeSet<String>>,
    search: Vec<String>,
    namespace: String,
    domain: String,
}

impl Names {
    /// A table for a pod in `namespace` of a cluster with the DNS domain `domain` (`cluster.local`).
    pub(crate) fn new(namespace: &str, domain: &str) -> Self {
        let search = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.to_owned()];
        Self {
            hosts: HashMap::new(),
            by_resource: HashMap::new(),
            search,
            namespace: namespace.to_owned(),
            domain: domain.to_owned(),
        }
    }

    /// Takes in a resource, which replaces what came under the same name before: one host (delta xDS), or the whole table.
    pub(crate) fn update(&mut self, resource: &str, table: &NameTable) {
        self.remove(resource);
        let mut written = BTreeSet::new();
        if let Some(info) = &table.name_info {
            self.add(resource, info, &mut written);
        }
        for (host, info) in &table.table {
            self.add(host, info, &mut written);
        }
        self.by_resource.insert(resource.to_owned(), written);
    }

    /// Forgets a resource.
    pub(crate) fn remove(&mut self, resource: &str) {
        for host in self.by_resource.remove(resource).into_iter().flatten() {
            self.hosts.remove(&host);
        }
    }

    fn add(&mut self, host: &str, info: &NameInfo, written: &mut BTreeSet<String>) {
        let NameInfo { ips, registry, shortname, namespace, alt_hosts } = info;
        let addresses: Arc<[IpAddr]> = ips.iter().filter_map(|ip| ip.parse().ok()).collect();
        let mut names = vec![host.to_owned()];
        names.extend(alt_hosts.iter().cloned());
        if registry == "Kubernetes" && !shortname.is_empty() {
            names.push(format!("{shortname}.{namespace}"));
            names.push(format!("{shortname}.{namespace}.svc"));
            names.push(format!("{shortname}.{namespace}.svc.{}", self.domain));
            if *namespace == self.namespace {
                names.push(shortname.clone());
            }
        }
        for name in names {
            let name = normalize(&name);
            self.hosts.insert(name.clone(), Arc::clone(&addresses));
            written.insert(name);
        }
    }

    /// Looks a name up: as it is, by wildcard, and as a name with one of the pod's search domains behind it.
    pub(crate) fn lookup(&self, name: &str) -> Option<Found> {
        let name = normalize(name);
        if let Some(addresses) = self.exact_or_wildcard(&name) {
            return Some(Found::Addresses(addresses));
        }
        for suffix in &self.search {
            let target = name.strip_suffix(suffix.as_str()).and_then(|rest| rest.strip_suffix('.'));
            if let Some(target) = target.filter(|t| !t.is_empty())
                && let Some(addresses) = self.exact_or_wildcard(target)
            {
                return Some(Found::Alias { target: target.to_owned(), addresses });
            }
        }
        None
    }

    fn exact_or_wildcard(&self, name: &str) -> Option<Arc<[IpAddr]>> {
        if let Some(addresses) = self.hosts.get(name) {
            return Some(Arc::clone(addresses));
        }
        let mut rest = name;
        for _ in 0..MAX_LABELS {
            rest = rest.split_once('.')?.1;
            if let Some(addresses) = self.hosts.get(&format!("*.{rest}")) {
                return Some(Arc::clone(addresses));
            }
        }
        None
    }

    /// All names with their addresses as text, sorted.
    pub(crate) fn all(&self) -> Vec<(String, Vec<String>)> {
        let text = |ips: &Arc<[IpAddr]>| ips.iter().map(ToString::to_string).collect();
        let mut all: Vec<_> = self.hosts.iter().map(|(name, ips)| (name.clone(), text(ips))).collect();
        all.sort();
        all
    }
}

fn normalize(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(ips: &[&str], shortname: &str, namespace: &str) -> NameInfo {
        NameInfo {
            ips: ips.iter().map(|s| (*s).to_owned()).collect(),
            registry: if shortname.is_empty() { "External" } else { "Kubernetes" }.into(),
            shortname: shortname.into(),
            namespace: namespace.into(),
            alt_hosts: vec![],
        }
    }

    fn names() -> Names {
        let mut names = Names::new("shop", "cluster.local");
        let table = NameTable {
            table: [
                ("cart.shop.svc.cluster.local".to_owned(), info(&["10.96.0.1"], "cart", "shop")),
                ("web.front.svc.cluster.local".to_owned(), info(&["10.96.0.2", "fd00::2"], "web", "front")),
                ("example.com".to_owned(), info(&["240.240.0.1"], "", "")),
                ("*.wild.io".to_owned(), info(&["240.240.0.2"], "", "")),
            ]
            .into(),
            name_info: None,
        };
        names.update("", &table);
        names
    }

    fn first(found: Option<Found>) -> String {
        match found {
            Some(Found::Addresses(ips)) => ips[0].to_string(),
            Some(Found::Alias { target, addresses }) => format!("{target}={}", addresses[0]),
            None => "none".to_owned(),
        }
    }

    #[test]
    fn services_have_their_short_names() {
        let names = names();
        for name in ["cart", "cart.shop", "cart.shop.svc", "Cart.shop.svc.cluster.local."] {
            assert_eq!(first(names.lookup(name)), "10.96.0.1", "{name}");
        }
        assert_eq!(first(names.lookup("web.front")), "10.96.0.2");
        assert_eq!(first(names.lookup("web")), "none", "another namespace's");
    }

    #[test]
    fn search_domains_are_taken_off() {
        let names = names();
        let lookup = |name| first(names.lookup(name));
        assert_eq!(lookup("example.com.shop.svc.cluster.local"), "example.com=240.240.0.1");
        let twice = "web.front.svc.cluster.local.shop.svc.cluster.local";
        assert_eq!(lookup(twice), "web.front.svc.cluster.local=10.96.0.2");
        assert_eq!(lookup("a.b.wild.io"), "240.240.0.2");
        assert_eq!(lookup("wild.io"), "none");
    }

    #[test]
    fn a_resource_replaces_and_removes_what_it_brought() {
        let mut names = names();
        let one = NameTable { name_info: Some(info(&["10.96.0.9"], "cart", "shop")), ..NameTable::default() };
        names.update("", &NameTable::default());
        assert_eq!(first(names.lookup("cart")), "none");
        names.update("cart.shop.svc.cluster.local", &one);
        assert_eq!(first(names.lookup("cart")), "10.96.0.9");
        names.remove("cart.shop.svc.cluster.local");
        assert_eq!(first(names.lookup("cart")), "none");
    }
}
