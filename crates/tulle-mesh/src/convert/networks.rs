//! `meshNetworks`, the other text of the ConfigMap `istio`.

use std::net::IpAddr;

use ipnet::IpNet;
use tulle_api::mesh as api;
use tulle_base::{Host, Locality};

use crate::network::{Gateway, GatewayAt, Network};

/// The networks. What cannot be used was reported where it was read.
pub(crate) fn networks(written: &api::MeshNetworks) -> Vec<Network> {
    let api::MeshNetworks { networks } = written;
    networks.iter().map(|(name, network)| one(name, network)).collect()
}

fn one(name: &str, written: &api::MeshNetwork) -> Network {
    let api::MeshNetwork { endpoints, gateways } = written;
    let mut out = Network {
        name: name.to_owned(),
        blocks: Vec::new(),
        registries: Vec::new(),
        gateways: gateways.iter().filter_map(gateway).collect(),
    };
    for api::NetworkEndpoints { ne } in endpoints {
        match ne {
            Some(api::NetworkEndpointSource::FromCidr(block)) => out.blocks.extend(range(block)),
            Some(api::NetworkEndpointSource::FromRegistry(cluster)) => out.registries.push(cluster.clone()),
            None => {}
        }
    }
    out
}

fn range(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn gateway(written: &api::IstioNetworkGateway) -> Option<Gateway> {
    let api::IstioNetworkGateway { port, locality, gw } = written;
    let at = match gw.as_ref()? {
        api::NetworkGatewaySource::Address(address) => GatewayAt::Address(address.parse().ok()?),
        api::NetworkGatewaySource::RegistryServiceName(host) => GatewayAt::Service(Host::new(host)),
    };
    Some(Gateway { at, port: u16::try_from(*port).ok()?, locality: Locality::parse(locality) })
}
