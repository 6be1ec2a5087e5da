//! `MeshNetworks`: how endpoints of other networks are reached.

use std::collections::BTreeMap;

use crate::schema::{oneof, record};

record! {
    /// How endpoints of other networks are reached.
    pub struct MeshNetworks {
        /// Networks by name.
        pub networks: BTreeMap<String, MeshNetwork> = "networks",
    }
}

record! {
    /// A network: endpoints that reach each other.
    pub struct MeshNetwork {
        /// Which endpoints are in it.
        pub endpoints: Vec<NetworkEndpoints> = "endpoints",
        /// How others reach it.
        pub gateways: Vec<IstioNetworkGateway> = "gateways",
    }
}

record! {
    /// Endpoints of a network.
    pub struct NetworkEndpoints {
    }
    oneof {
        /// Which.
        pub ne: NetworkEndpointSource,
    }
}

oneof! {
    /// Which endpoints are in a network.
    pub enum NetworkEndpointSource {
        /// Those with an address of this range.
        FromCidr(String) = "fromCidr",
        /// Those of this cluster.
        FromRegistry(String) = "fromRegistry",
    }
}

record! {
    /// A gateway of a network.
    pub struct IstioNetworkGateway {
        /// Its port.
        pub port: u32 = "port",
        /// Its locality as `region/zone/subzone`.
        pub locality: String = "locality",
    }
    oneof {
        /// The gateway.
        pub gw: NetworkGatewaySource,
    }
}

oneof! {
    /// The gateway of a network.
    pub enum NetworkGatewaySource {
        /// A service, by its full name.
        RegistryServiceName(String) = "registryServiceName",
        /// An address or name.
        Address(String) = "address",
    }
}
