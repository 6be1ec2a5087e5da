//! Service addresses in a pod: each connection to a cluster IP goes to one of the ready endpoints (what kube-proxy does).

use std::net::{IpAddr, SocketAddr};

use crate::net::{Cidr, Family, octets};
use crate::netlink::nft::{Batch, Expr, Reg};
use crate::redirect::{SERVICES, TABLE, destination, protocol, to_port};

/// The transport protocol of a service port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Transport {
    fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

/// One port of one service, and where it leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServicePort {
    /// The cluster IP.
    pub address: IpAddr,
    /// The port there.
    pub port: u16,
    /// TCP or UDP.
    pub transport: Transport,
    /// Ready endpoints, of the same family. With none the connection is refused.
    pub endpoints: Vec<SocketAddr>,
}

impl ServicePort {
    /// The family of its address.
    pub fn family(&self) -> Family {
        Family::of(self.address)
    }
}

/// Replaces the rules for the service addresses of a family, all at once.
pub fn table_update(family: Family, ports: &[ServicePort]) -> Batch {
    let mut b = Batch::new(family.into(), TABLE);
    b.flush_chain(SERVICES);
    for port in ports.iter().filter(|p| p.family() == family && !p.endpoints.is_empty()) {
        let mut exprs =
            [destination(Cidr::host(port.address)), protocol(port.transport.number()), to_port(port.port)]
                .concat();
        match port.endpoints.as_slice() {
            [only] => {
                exprs.push(Expr::Load(Reg::R1, octets(only.ip())));
                exprs.push(Expr::Load(Reg::R2, only.port().to_be_bytes().to_vec()));
                exprs.push(Expr::Dnat { address: Reg::R1, port: Reg::R2 });
            }
            many => {
                let values: Vec<Vec<u8>> = many.iter().map(|e| map_value(*e)).collect();
                let (len, words) = match family {
                    Family::V4 => (8, 1),
                    Family::V6 => (20, 4),
                };
                let map = b.add_indexed_map(&values, len);
                exprs.push(Expr::RandomBelow(Reg::R1, u32::try_from(many.len()).unwrap_or(u32::MAX)));
                exprs.push(Expr::Map { map, from: Reg::R1, into: Reg::R1 });
                exprs.push(Expr::Dnat { address: Reg::R1.word(0), port: Reg::R1.word(words) });
            }
        }
        b.add_rule(SERVICES, &exprs);
    }
    b
}

/// Address and port, each padded to registers of four bytes.
fn map_value(endpoint: SocketAddr) -> Vec<u8> {
    let mut value = octets(endpoint.ip());
    value.extend_from_slice(&endpoint.port().to_be_bytes());
    value.extend_from_slice(&[0, 0]);
    value
}
