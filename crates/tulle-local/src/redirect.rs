//! What is captured in a pod with a sidecar, and how: Istio's REDIRECT rules in nftables.
//!
//! | packet | goes to |
//! |---|---|
//! | out, TCP | 15001, unless it carries the proxy's mark, stays on the loopback link or is excluded |
//! | out, DNS to the node | 15053 |
//! | out, from the proxy to the pod's own address | 15006: a pod that calls itself through its service gets mTLS too |
//! | in, TCP | 15006, unless excluded; 15020, 15021 and 15090 always are |
//!
//! Probes of the node carry [`PROBE_MARK`] and go straight to the application: the node agent makes their sockets inside
//! the pod's network namespace, so they work under STRICT mTLS without any rewriting.
//!
//! Each family of the mesh has a table of its own with the same rules: what is captured does not depend on the family.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::net::{Cidr, Family, Network, octets};
use crate::netlink::nft::{Base, Batch, Cmp, Expr, Hook, HookPoint, Meta, Reg, Verdict};

mod annotations;

pub use annotations::{Capture, CaptureError, Inbound, Ranges};

/// Mark on every socket of a proxy.
pub const PROXY_MARK: u32 = 1337;
/// Mark on the sockets of the node's probes.
pub const PROBE_MARK: u32 = 1339;
/// Where captured outbound connections go.
pub const OUTBOUND_PORT: u16 = 15001;
/// Where captured inbound connections go.
pub const INBOUND_PORT: u16 = 15006;
/// Where captured DNS goes.
pub const DNS_PORT: u16 = 15053;
/// Inbound ports that belong to the proxy itself.
const OWN_PORTS: [u16; 3] = [15020, 15021, 15090];
/// The source address of the proxy's connections to its application: of 127.0.0.0/8, which every machine has.
const PASSTHROUGH_V4: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 6);
/// The same in IPv6; the loopback link must be given it.
pub const PASSTHROUGH_V6: Ipv6Addr = Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6);
/// The loopback link is the first of every network namespace.
const LOOPBACK_INDEX: u32 = 1;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// The table of a pod, and the chain that turns service addresses into endpoints.
pub const TABLE: &str = "tulle";
/// The chain that turns service addresses into endpoints (see [`crate::services`]).
pub const SERVICES: &str = "services";
const OUTPUT: &str = "output";
const PREROUTING: &str = "prerouting";
const FILTER: &str = "unserved";

/// Priority of destination NAT.
const DSTNAT: i32 = -100;

/// A pod's table for the family of `network`: with `capture` as a sidecar needs it, otherwise for service addresses alone.
pub fn pod_table(capture: Option<&Capture>, network: Network) -> Batch {
    let mut b = Batch::new(network.family().into(), TABLE);
    b.add_table();
    b.add_chain(SERVICES, None);
    b.add_chain(OUTPUT, Some(Hook { kind: "nat", point: HookPoint::Output, priority: DSTNAT }));
    b.add_chain(FILTER, Some(Hook { kind: "filter", point: HookPoint::Output, priority: 0 }));
    refuse_unserved(&mut b, network.services);
    b.add_rule(OUTPUT, &rule([mark(PROBE_MARK)], Verdict::Accept));
    if let Some(capture) = capture {
        b.add_chain(PREROUTING, Some(Hook { kind: "nat", point: HookPoint::PreRouting, priority: DSTNAT }));
        inbound_rules(&mut b, &capture.inbound);
        outbound_rules(&mut b, capture, network);
    }
    b.add_rule(OUTPUT, &rule([], Verdict::Jump(SERVICES)));
    b
}

/// What still goes to a service address behind the NAT has no ready endpoint: refused at once, as kube-proxy does.
fn refuse_unserved(b: &mut Batch, services: Cidr) {
    use crate::netlink::nft::Reject;
    let to = destination(services);
    b.add_rule(FILTER, &[protocol(TCP), to.clone(), vec![Expr::Reject(Reject::TcpReset)]].concat());
    b.add_rule(FILTER, &[to, vec![Expr::Reject(Reject::PortUnreachable)]].concat());
}

fn inbound_rules(b: &mut Batch, inbound: &Inbound) {
    for port in OWN_PORTS {
        b.add_rule(PREROUTING, &rule([protocol(TCP), to_port(port)], Verdict::Accept));
    }
    match inbound {
        Inbound::All { except } => {
            for &port in except {
                b.add_rule(PREROUTING, &rule([protocol(TCP), to_port(port)], Verdict::Accept));
            }
            b.add_rule(PREROUTING, &redirect([protocol(TCP)], INBOUND_PORT));
        }
        Inbound::Only(ports) => {
            for &port in ports {
                b.add_rule(PREROUTING, &redirect([protocol(TCP), to_port(port)], INBOUND_PORT));
            }
        }
    }
}

fn outbound_rules(b: &mut Batch, capture: &Capture, network: Network) {
    let family = network.family();
    let skip = Verdict::Goto(SERVICES);
    // The proxy speaking to its application, then to its own pod through the mesh.
    let source: IpAddr = match family {
        Family::V4 => PASSTHROUGH_V4.into(),
        Family::V6 => PASSTHROUGH_V6.into(),
    };
    b.add_rule(OUTPUT, &rule([on_loopback(), from(source)], Verdict::Accept));
    let itself = not_to(Cidr::loopback(family));
    let to_itself = [on_loopback(), mark(PROXY_MARK), protocol(TCP), itself, not_to_port(53)];
    b.add_rule(OUTPUT, &redirect(to_itself, INBOUND_PORT));
    // The pod with itself, then whatever else the proxy sends.
    b.add_rule(OUTPUT, &rule([on_loopback()], Verdict::Accept));
    b.add_rule(OUTPUT, &rule([mark(PROXY_MARK)], skip.clone()));
    if capture.dns {
        for protocol_number in [UDP, TCP] {
            let to = [protocol(protocol_number), destination(Cidr::host(network.node)), to_port(53)];
            b.add_rule(OUTPUT, &redirect(to, DNS_PORT));
        }
    }
    for &port in &capture.exclude_ports {
        b.add_rule(OUTPUT, &rule([protocol(TCP), to_port(port)], skip.clone()));
    }
    for &port in &capture.include_ports {
        b.add_rule(OUTPUT, &redirect([protocol(TCP), to_port(port)], OUTBOUND_PORT));
    }
    match &capture.ranges {
        Ranges::All { except } => {
            for range in except.iter().filter(|r| r.family() == family) {
                b.add_rule(OUTPUT, &rule([destination(*range)], skip.clone()));
            }
            b.add_rule(OUTPUT, &redirect([protocol(TCP)], OUTBOUND_PORT));
        }
        Ranges::Only(ranges) => {
            for range in ranges.iter().filter(|r| r.family() == family) {
                b.add_rule(OUTPUT, &redirect([protocol(TCP), destination(*range)], OUTBOUND_PORT));
            }
        }
    }
}

fn rule<const N: usize>(matches: [Vec<Expr>; N], verdict: Verdict) -> Vec<Expr> {
    let mut exprs: Vec<Expr> = matches.into_iter().flatten().collect();
    exprs.push(Expr::Verdict(verdict));
    exprs
}

fn redirect<const N: usize>(matches: [Vec<Expr>; N], port: u16) -> Vec<Expr> {
    let mut exprs: Vec<Expr> = matches.into_iter().flatten().collect();
    exprs.push(Expr::Load(Reg::R1, port.to_be_bytes().to_vec()));
    exprs.push(Expr::Redirect(Reg::R1));
    exprs
}

fn mark(mark: u32) -> Vec<Expr> {
    vec![Expr::Meta(Meta::Mark, Reg::R1), Expr::Cmp(Reg::R1, Cmp::Eq, mark.to_ne_bytes().to_vec())]
}

fn on_loopback() -> Vec<Expr> {
    let lo = LOOPBACK_INDEX.to_ne_bytes().to_vec();
    vec![Expr::Meta(Meta::OutInterface, Reg::R1), Expr::Cmp(Reg::R1, Cmp::Eq, lo)]
}

/// The protocol above IP is `number`.
pub(crate) fn protocol(number: u8) -> Vec<Expr> {
    vec![Expr::Meta(Meta::L4Proto, Reg::R1), Expr::Cmp(Reg::R1, Cmp::Eq, vec![number])]
}

/// The destination port is `port`; only after [`protocol`].
pub(crate) fn to_port(port: u16) -> Vec<Expr> {
    port_matches(port, Cmp::Eq)
}

fn not_to_port(port: u16) -> Vec<Expr> {
    port_matches(port, Cmp::Ne)
}

fn port_matches(port: u16, op: Cmp) -> Vec<Expr> {
    vec![
        Expr::Payload { base: Base::Transport, offset: 2, len: 2, into: Reg::R1 },
        Expr::Cmp(Reg::R1, op, port.to_be_bytes().to_vec()),
    ]
}

fn from(address: IpAddr) -> Vec<Expr> {
    let offset = if address.is_ipv4() { 12 } else { 8 };
    address_matches(offset, Cidr::host(address), Cmp::Eq)
}

/// The destination address is in `range`.
pub(crate) fn destination(range: Cidr) -> Vec<Expr> {
    address_matches(destination_offset(range), range, Cmp::Eq)
}

fn not_to(range: Cidr) -> Vec<Expr> {
    address_matches(destination_offset(range), range, Cmp::Ne)
}

fn destination_offset(range: Cidr) -> u32 {
    match range.family() {
        Family::V4 => 16,
        Family::V6 => 24,
    }
}

/// An address in the header, at `offset`, against a range.
fn address_matches(offset: u32, range: Cidr, op: Cmp) -> Vec<Expr> {
    let width = range.family().width();
    let mut exprs =
        vec![Expr::Payload { base: Base::Network, offset, len: u32::from(width / 8), into: Reg::R1 }];
    if range.prefix() < width {
        exprs.push(Expr::Mask(Reg::R1, range.mask()));
    }
    exprs.push(Expr::Cmp(Reg::R1, op, octets(range.network())));
    exprs
}
