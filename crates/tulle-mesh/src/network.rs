//! Networks: endpoints of one network reach each other. Those of others are reached through their gateways, by mutual TLS that passes
//! there by its server name.

use std::net::IpAddr;

use ipnet::IpNet;
use tulle_base::{Host, Labels, Locality};

use crate::destination::locality::NETWORK;
use crate::service::Service;
use crate::snapshot::Snapshot;

/// Label of a Service that is a gateway: the port, if it is not [`GATEWAY_PORT`].
const PORT_LABEL: &str = "networking.istio.io/gatewayPort";
/// The port of gateways that are found by label.
const GATEWAY_PORT: u16 = 15443;

/// What is said of a network (`meshNetworks`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// Endpoints with an address of these, where nothing closer says.
    pub blocks: Vec<IpNet>,
    /// Pods of these clusters, where nothing closer says.
    pub registries: Vec<String>,
    /// How others reach it.
    pub gateways: Vec<Gateway>,
}

/// A gateway of a network, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Where it is.
    pub at: GatewayAt,
    /// Its port.
    pub port: u16,
    /// Where it runs; empty for the locality of the endpoints behind it.
    pub locality: Locality,
}

/// Where a gateway is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GatewayAt {
    /// At an address.
    Address(IpAddr),
    /// At the addresses of a Service: those that are reached from outside of its cluster, else its cluster IPs.
    Service(Host),
}

/// One way into a network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entrance {
    /// Address.
    pub address: String,
    /// Port.
    pub port: u16,
    /// Where it runs; empty for the locality of the endpoints behind it.
    pub locality: Locality,
}

/// Whether `service` says by its label that it is a gateway of a network.
pub(crate) fn is_gateway(service: &Service) -> bool {
    service.labels.contains_key(NETWORK) && !service.external_addresses.is_empty()
}

impl Snapshot {
    /// Whether endpoints of some network are reached through gateways.
    pub fn has_network_gateways(&self) -> bool {
        self.mesh.networks.iter().any(|n| !n.gateways.is_empty()) || !self.network_gateways.is_empty()
    }

    /// The network of an endpoint or a client: what it says by itself or by its label, else the first network with a range that has its
    /// address; of pods, else the network of the cluster, which `meshNetworks` or the label of the root namespace says. Empty for none.
    pub fn network_of<'a>(&'a self, said: &'a str, labels: &'a Labels, address: &str, pod: bool) -> &'a str {
        if !said.is_empty() {
            return said;
        }
        if let Some(label) = labels.get(NETWORK) {
            return label;
        }
        let all = &self.mesh.networks;
        if let Ok(ip) = address.parse::<IpAddr>()
            && let Some(network) = all.iter().find(|n| n.blocks.iter().any(|b| b.contains(&ip)))
        {
            return &network.name;
        }
        if !pod {
            return "";
        }
        let cluster = &self.mesh.cluster_id;
        if let Some(network) = all.iter().find(|n| n.registries.contains(cluster)) {
            return &network.name;
        }
        let root = self.namespaces.get(&self.mesh.root_namespace);
        root.and_then(|labels| labels.get(NETWORK)).map_or("", String::as_str)
    }

    /// The ways into a network, sorted; none where its endpoints are reached directly.
    pub fn entrances(&self, network: &str) -> Vec<Entrance> {
        let written = self.mesh.networks.iter().filter(|n| n.name == network).flat_map(|n| &n.gateways);
        let mut all: Vec<Entrance> = written.flat_map(|g| self.at(g)).collect();
        let labelled = self.network_gateways.iter().filter_map(|host| self.services.get(host));
        let labelled = labelled.flat_map(|all| all.iter()).filter(|s| is_gateway(s));
        for service in labelled.filter(|s| s.labels.get(NETWORK).is_some_and(|n| n == network)) {
            let port = service.labels.get(PORT_LABEL).and_then(|p| p.parse().ok()).unwrap_or(GATEWAY_PORT);
            let entrance =
                |address: &String| Entrance { address: address.clone(), port, locality: Locality::default() };
            all.extend(service.external_addresses.iter().map(entrance));
        }
        all.sort();
        all.dedup_by(|a, b| (&a.address, a.port) == (&b.address, b.port));
        all
    }

    /// Whether a service of `host` is a way into a network.
    pub(crate) fn is_network_gateway(&self, host: &Host) -> bool {
        let mut written = self.mesh.networks.iter().flat_map(|n| &n.gateways);
        self.network_gateways.contains(host)
            || written.any(|g| matches!(&g.at, GatewayAt::Service(named) if named == host))
    }

    fn at(&self, gateway: &Gateway) -> Vec<Entrance> {
        let Gateway { at, port, locality } = gateway;
        let entrance = |address: String| Entrance { address, port: *port, locality: locality.clone() };
        match at {
            GatewayAt::Address(ip) => vec![entrance(ip.to_string())],
            GatewayAt::Service(host) => {
                let all = self.services.get(host).into_iter().flat_map(|all| all.iter());
                let Some(service) = all.into_iter().next() else { return Vec::new() };
                let outside = &service.external_addresses;
                let all = if outside.is_empty() { &service.addresses } else { outside };
                all.iter().cloned().map(entrance).collect()
            }
        }
    }
}
