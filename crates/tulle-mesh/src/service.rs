//! Services: a host name, its ports, and how its endpoints are found.

use std::collections::BTreeMap;

use tulle_base::{Host, Labels, Selector};

use crate::destination::locality;
use crate::meta::Meta;
use crate::port::Protocol;
use crate::visibility::ExportTo;

/// One host of the mesh, from a Kubernetes Service or one host of a ServiceEntry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The document behind it.
    pub meta: Meta,
    /// Fully qualified name.
    pub hostname: Host,
    /// Where it was written.
    pub registry: Registry,
    /// How endpoints are found.
    pub resolution: Resolution,
    /// Virtual addresses: cluster IPs, or the addresses (also CIDR blocks) of a ServiceEntry. Empty when headless.
    pub addresses: Vec<String>,
    /// Addresses at which it is reached from outside of the cluster: `externalIPs`, and those of its load balancer.
    pub external_addresses: Vec<String>,
    /// The only addresses are those that the mesh gave it (240.240.0.0/16, 2001:2::/48), for clients whose names the mesh resolves.
    pub auto_allocated: bool,
    /// Ports in the order written.
    pub ports: Vec<ServicePort>,
    /// The workloads behind it, by label, in its namespace; `None` when endpoints are written by hand.
    pub selector: Option<Selector>,
    /// Endpoints written into a ServiceEntry.
    pub endpoints: Vec<StaticEndpoint>,
    /// Who may see it.
    pub export_to: ExportTo,
    /// Whether the document says nothing about that.
    pub exports_by_default: bool,
    /// Outside of the mesh (`location: MESH_EXTERNAL`): no mutual TLS by itself.
    pub mesh_external: bool,
    /// Identities that the server may show, as written in a ServiceEntry.
    pub subject_alt_names: Vec<String>,
    /// Labels of the document.
    pub labels: Labels,
    /// Endpoints are used although they are not ready (`publishNotReadyAddresses`).
    pub publish_not_ready: bool,
    /// Where ports are reached from outside of the mesh, `IP:PORT` by number: the annotation `local.tulle.dev/host-ports`, such
    /// as `80=127.0.0.1:8080`. Empty where nobody says so.
    pub host_ports: BTreeMap<u16, String>,
    /// Which endpoints are near enough.
    pub distribution: Distribution,
    /// Endpoints of the client's own node only (`internalTrafficPolicy: Local`).
    pub node_local: bool,
}

/// Which endpoints a service wants to be asked first (`trafficDistribution`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Distribution {
    /// Any.
    #[default]
    Any,
    /// Those of the client's zone, then of its region, then of its network (`PreferSameZone`, `PreferClose`).
    SameZone,
    /// Those of the client's node, then sub-zone, zone, region and network (`PreferSameNode`).
    SameNode,
}

impl Distribution {
    /// Reads the field of a Service; `None` for a word that is not known.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "" => Self::Any,
            "PreferClose" | "PreferSameZone" => Self::SameZone,
            "PreferSameNode" => Self::SameNode,
            _ => return None,
        })
    }

    /// The labels that rank endpoints, the most important first.
    pub fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Any => &[],
            Self::SameZone => &[locality::NETWORK, locality::REGION, locality::ZONE],
            Self::SameNode => {
                &[locality::NETWORK, locality::REGION, locality::ZONE, locality::SUBZONE, locality::HOSTNAME]
            }
        }
    }
}

/// Which registry a service comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Registry {
    /// A Kubernetes Service.
    Kubernetes,
    /// A ServiceEntry.
    External,
}

/// How the endpoints of a service are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// From the control plane: EndpointSlices, or the addresses of a STATIC ServiceEntry.
    Static,
    /// By DNS in the proxy, every address a host (`DNS`).
    Dns,
    /// By DNS in the proxy, the first address at a time (`DNS_ROUND_ROBIN`).
    DnsRoundRobin,
    /// By DNS in the proxy, the host that each request or connection names (`DYNAMIC_DNS`).
    DynamicDns,
    /// Nobody looks: the connection goes where it was going (headless services, `NONE`).
    Passthrough,
}

/// One port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Name; may be empty when it is the only one.
    pub name: String,
    /// Number clients use.
    pub number: u16,
    /// The port of the endpoints.
    pub target: TargetPort,
    /// What it speaks.
    pub protocol: Protocol,
}

/// The endpoints' side of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPort {
    /// A number.
    Number(u16),
    /// The name of a container port.
    Name(String),
}

/// An endpoint written into a ServiceEntry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticEndpoint {
    /// IP address or host name.
    pub address: String,
    /// Ports by the name of the service's port, where they differ from the target port.
    pub ports: BTreeMap<String, u16>,
    /// Labels, for subsets.
    pub labels: Labels,
    /// Network that it is on; empty for the mesh's own.
    pub network: String,
    /// `region/zone/subzone`.
    pub locality: String,
    /// Relative weight; 0 counts as 1.
    pub weight: u32,
    /// Service account, for the identity that is expected.
    pub service_account: String,
}

impl Service {
    /// The namespace.
    pub fn namespace(&self) -> &str {
        self.meta.namespace()
    }

    /// The name of the document.
    pub fn name(&self) -> &str {
        self.meta.name()
    }

    /// The port numbered `number`.
    pub fn port(&self, number: u16) -> Option<&ServicePort> {
        self.ports.iter().find(|p| p.number == number)
    }

    /// Whether there is no virtual address: clients address the endpoints themselves.
    pub fn is_headless(&self) -> bool {
        self.addresses.is_empty() && self.registry == Registry::Kubernetes
    }

    /// The addresses on which a listener can be bound: single addresses, not blocks.
    pub fn bindable_addresses(&self) -> impl Iterator<Item = &str> {
        self.addresses.iter().map(String::as_str).filter(|a| !a.contains('/'))
    }
}
