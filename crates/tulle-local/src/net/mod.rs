//! The network of the node: a bridge, a link and an address per pod, and each pod's own table of rules.

mod addresses;
mod family;
pub mod ipam;

use std::io;
use std::net::IpAddr;

use crate::netlink::link::{self, Links};
use crate::netlink::{NetlinkError, Socket};
use crate::redirect::{self, Capture};
use crate::services::{self, ServicePort};
use crate::sys::netns::NetNs;

pub use addresses::{Addresses, Ips, Network};
pub use family::{Cidr, Families, Family, octets};

/// The bridge that pods hang on.
pub const BRIDGE: &str = "tulle0";
/// The pods' link.
const POD_LINK: &str = "eth0";

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
    /// Its addresses.
    pub ips: Ips,
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
        links.add_bridge(BRIDGE, hardware(addresses.first.node))?;
        let bridge = link::index_of(BRIDGE)?;
        for network in addresses.all() {
            links.add_address(bridge, network.node, network.pods.prefix())?;
        }
        Ok(Self { links, bridge, addresses })
    }

    /// Makes a pod's namespace with its link, addresses, routes and rules. In a mesh without IPv6 the link has none at all:
    /// there would be no rules for what comes over its link-local address.
    ///
    /// # Errors
    /// What the kernel refused; nothing is left behind then.
    pub fn add_pod(&self, ips: Ips, capture: Option<&Capture>) -> Result<PodNet, NetError> {
        use std::os::fd::AsFd;
        let netns = NetNs::create()?;
        let hardware = hardware(ips.first);
        let veth = format!("pod{}.{}", hardware[4], hardware[5]);
        self.links.add_veth(&veth, self.bridge, POD_LINK, hardware, netns.as_fd())?;
        match netns.run(|| Ok(self.furnish(ips, capture))) {
            Ok(Ok(nft)) => Ok(PodNet { netns, ips, nft, veth }),
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

    /// What a pod's namespace has; called there.
    fn furnish(&self, ips: Ips, capture: Option<&Capture>) -> Result<Socket, NetlinkError> {
        let links = Links::new()?;
        let (lo, eth) = (link::index_of("lo")?, link::index_of(POD_LINK)?);
        let nft = Socket::netfilter()?;
        for network in self.addresses.all() {
            let table = redirect::pod_table(capture, network);
            table.apply(&nft, &format!("set the {} rules of {}", network.family().as_str(), ips.first))?;
        }
        if self.addresses.of(Family::V6).is_none() {
            links.without_ipv6(eth)?;
        }
        links.set_up(lo)?;
        links.set_up(eth)?;
        for (ip, network) in ips.all().zip(self.addresses.all()) {
            links.add_address(eth, ip, network.pods.prefix())?;
            links.add_default_route(eth, network.node)?;
        }
        if ips.of(Family::V6).is_some() && capture.is_some() {
            links.add_address(lo, IpAddr::V6(redirect::PASSTHROUGH_V6), 128)?;
        }
        Ok(nft)
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
    /// Replaces what the service addresses of a family lead to; `ports` of the other one do not count.
    ///
    /// # Errors
    /// What the kernel refused; the old rules stay then.
    pub fn set_services(&self, family: Family, ports: &[ServicePort]) -> Result<(), NetError> {
        let doing = format!("set the {} services of {}", family.as_str(), self.ips.first);
        Ok(services::table_update(family, ports).apply(&self.nft, &doing)?)
    }
}

/// A hardware address made from the end of the IP address: locally administered, the same on every run.
fn hardware(ip: IpAddr) -> [u8; 6] {
    let octets = octets(ip);
    let [.., a, b, c, d] = octets.as_slice() else { return [0x0a, 0x58, 0, 0, 0, 0] };
    [0x0a, 0x58, *a, *b, *c, *d]
}
