//! The network of the node: a bridge, a link and an address per pod, and each pod's own table of rules.

pub mod ipam;

use std::io;
use std::net::Ipv4Addr;

use crate::netlink::link::{self, Links};
use crate::netlink::{NetlinkError, Socket};
use crate::redirect::{self, Capture, Cidr};
use crate::services::{self, ServicePort};
use crate::sys::netns::NetNs;

/// The bridge that pods hang on.
pub const BRIDGE: &str = "tulle0";
/// The pods' link.
const POD_LINK: &str = "eth0";

/// The addresses of the node.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// The node itself, on the bridge: gateway and DNS of the pods.
    pub node: Ipv4Addr,
    /// Where pods get their addresses.
    pub pods: Cidr,
    /// Where services get theirs.
    pub services: Cidr,
}

impl Default for Addresses {
    /// 10.244.0.1 in 10.244.0.0/16 and services in 10.96.0.0/16.
    fn default() -> Self {
        Self {
            node: Ipv4Addr::new(10, 244, 0, 1),
            pods: Cidr::new(Ipv4Addr::new(10, 244, 0, 0), 16),
            services: Cidr::new(Ipv4Addr::new(10, 96, 0, 0), 16),
        }
    }
}

/// Why the network of node or pod could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The kernel refused a link, an address or a rule.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// A network namespace could not be made or entered.
    #[error("network namespace: {0}")]
    Namespace(#[from] io::Error),
}

/// The node's end: made once, in the mesh's own network namespace.
#[derive(Debug)]
pub struct NodeNet {
    links: Links,
    bridge: u32,
    addresses: Addresses,
}

/// A pod's network. The namespace goes when this and the pod's last process are gone.
#[derive(Debug)]
pub struct PodNet {
    /// Its namespace.
    pub netns: NetNs,
    /// Its address.
    pub ip: Ipv4Addr,
    nft: Socket,
    veth: String,
}

impl NodeNet {
    /// Makes the bridge in the current thread's network namespace and brings loopback up.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn create(addresses: Addresses) -> Result<Self, NetError> {
        let links = Links::new()?;
        links.set_up(link::index_of("lo")?)?;
        links.add_bridge(BRIDGE, hardware(addresses.node))?;
        let bridge = link::index_of(BRIDGE)?;
        links.add_address(bridge, addresses.node, addresses.pods.prefix())?;
        Ok(Self { links, bridge, addresses })
    }

    /// Makes a pod's namespace with its link, address, route and rules.
    ///
    /// # Errors
    /// What the kernel refused; nothing is left behind then.
    pub fn add_pod(&self, ip: Ipv4Addr, capture: Option<&Capture>) -> Result<PodNet, NetError> {
        use std::os::fd::AsFd;
        let netns = NetNs::create()?;
        let [.., c, d] = ip.octets();
        let veth = format!("pod{c}.{d}");
        self.links.add_veth(&veth, self.bridge, POD_LINK, hardware(ip), netns.as_fd())?;
        let Addresses { node, pods, services } = self.addresses;
        let inside = || -> Result<Socket, NetlinkError> {
            let links = Links::new()?;
            links.set_up(link::index_of("lo")?)?;
            let eth = link::index_of(POD_LINK)?;
            links.add_address(eth, ip, pods.prefix())?;
            links.set_up(eth)?;
            links.add_default_route(node)?;
            let nft = Socket::netfilter()?;
            redirect::pod_table(capture, node, services).apply(&nft, &format!("set the rules of {ip}"))?;
            Ok(nft)
        };
        match netns.run(|| Ok(inside())) {
            Ok(Ok(nft)) => Ok(PodNet { netns, ip, nft, veth }),
            Ok(Err(e)) => {
                self.forget(&veth);
                Err(e.into())
            }
            Err(e) => {
                self.forget(&veth);
                Err(e.into())
            }
        }
    }

    /// Takes a pod off the bridge.
    pub fn remove_pod(&self, pod: &PodNet) {
        self.forget(&pod.veth);
    }

    fn forget(&self, veth: &str) {
        // It may be gone already with its namespace.
        if let Err(e) = self.links.remove(veth) {
            tracing::debug!(veth, error = %e, "link not removed");
        }
    }
}

impl PodNet {
    /// Replaces what service addresses lead to.
    ///
    /// # Errors
    /// What the kernel refused; the old rules stay then.
    pub fn set_services(&self, ports: &[ServicePort]) -> Result<(), NetError> {
        let doing = format!("set the services of {}", self.ip);
        Ok(services::table_update(ports).apply(&self.nft, &doing)?)
    }
}

/// A hardware address made from the IP address: locally administered, the same on every run.
fn hardware(ip: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = ip.octets();
    [0x0a, 0x58, a, b, c, d]
}
