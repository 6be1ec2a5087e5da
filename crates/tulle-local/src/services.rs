//! Service addresses in a pod: each connection to a cluster IP goes to one of the ready endpoints (what kube-proxy does).

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::netlink::nft::{Batch, Expr, Family, Reg};
use crate::redirect::{Cidr, SERVICES, TABLE, destination, protocol, to_port};

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
    pub address: Ipv4Addr,
    /// The port there.
    pub port: u16,
    /// TCP or UDP.
    pub transport: Transport,
    /// Ready endpoints. With none the connection is refused.
    pub endpoints: Vec<SocketAddrV4>,
}

/// Replaces the rules for service addresses, all at once.
pub fn table_update(ports: &[ServicePort]) -> Batch {
    let mut b = Batch::new(Family::Ip, TABLE);
    b.flush_chain(SERVICES);
    for port in ports.iter().filter(|p| !p.endpoints.is_empty()) {
        let mut exprs =
            [destination(Cidr::host(port.address)), protocol(port.transport.number()), to_port(port.port)]
                .concat();
        match port.endpoints.as_slice() {
            [only] => {
                exprs.push(Expr::Load(Reg::R1, only.ip().octets().to_vec()));
                exprs.push(Expr::Load(Reg::R2, only.port().to_be_bytes().to_vec()));
                exprs.push(Expr::Dnat { address: Reg::R1, port: Reg::R2 });
            }
            many => {
                let values: Vec<Vec<u8>> = many.iter().map(|e| map_value(*e)).collect();
                let map = b.add_indexed_map(&values, 8);
                exprs.push(Expr::RandomBelow(Reg::R1, u32::try_from(many.len()).unwrap_or(u32::MAX)));
                exprs.push(Expr::Map { map, from: Reg::R1, into: Reg::R1 });
                exprs.push(Expr::Dnat { address: Reg::R1.word(0), port: Reg::R1.word(1) });
            }
        }
        b.add_rule(SERVICES, &exprs);
    }
    b
}

/// Address and port, each padded to a register of four bytes.
fn map_value(endpoint: SocketAddrV4) -> Vec<u8> {
    let mut value = endpoint.ip().octets().to_vec();
    value.extend_from_slice(&endpoint.port().to_be_bytes());
    value.extend_from_slice(&[0, 0]);
    value
}
