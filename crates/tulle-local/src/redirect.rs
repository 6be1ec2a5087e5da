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

use std::net::Ipv4Addr;

use crate::netlink::nft::{Base, Batch, Cmp, Expr, Family, Hook, HookPoint, Meta, Reg, Verdict};

mod annotations;

pub use annotations::{Capture, CaptureError, Cidr, Inbound, Ranges};

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
/// The source address of the proxy's connections to its application.
const PASSTHROUGH_SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 6);
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

/// The table of a pod: with `capture` as a sidecar needs it, otherwise for service addresses alone. `dns` is the node's DNS.
pub fn pod_table(capture: Option<&Capture>, dns: Ipv4Addr, services: Cidr) -> Batch {
    let mut b = Batch::new(Family::Ip, TABLE);
    b.add_table();
    b.add_chain(SERVICES, None);
    b.add_chain(OUTPUT, Some(Hook { kind: "nat", point: HookPoint::Output, priority: DSTNAT }));
    b.add_chain(FILTER, Some(Hook { kind: "filter", point: HookPoint::Output, priority: 0 }));
    refuse_unserved(&mut b, services);
    b.add_rule(OUTPUT, &rule([mark(PROBE_MARK)], Verdict::Accept));
    if let Some(capture) = capture {
        b.add_chain(PREROUTING, Some(Hook { kind: "nat", point: HookPoint::PreRouting, priority: DSTNAT }));
        inbound_rules(&mut b, &capture.inbound);
        outbound_rules(&mut b, capture, dns);
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

fn outbound_rules(b: &mut Batch, capture: &Capture, dns: Ipv4Addr) {
    let skip = Verdict::Goto(SERVICES);
    // The proxy speaking to its application, then to its own pod through the mesh.
    b.add_rule(OUTPUT, &rule([on_loopback(), from(PASSTHROUGH_SOURCE)], Verdict::Accept));
    b.add_rule(
        OUTPUT,
        &redirect(
            [on_loopback(), mark(PROXY_MARK), protocol(TCP), not_to(Cidr::LOOPBACK), not_to_port(53)],
            INBOUND_PORT,
        ),
    );
    // The pod with itself, then whatever else the proxy sends.
    b.add_rule(OUTPUT, &rule([on_loopback()], Verdict::Accept));
    b.add_rule(OUTPUT, &rule([mark(PROXY_MARK)], skip.clone()));
    if capture.dns {
        for protocol_number in [UDP, TCP] {
            let to = [protocol(protocol_number), destination(Cidr::host(dns)), to_port(53)];
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
            for &range in except {
                b.add_rule(OUTPUT, &rule([destination(range)], skip.clone()));
            }
            b.add_rule(OUTPUT, &redirect([protocol(TCP)], OUTBOUND_PORT));
        }
        Ranges::Only(ranges) => {
            for &range in ranges {
                b.add_rule(OUTPUT, &redirect([protocol(TCP), destination(range)], OUTBOUND_PORT));
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

fn from(address: Ipv4Addr) -> Vec<Expr> {
    address_matches(12, Cidr::host(address), Cmp::Eq)
}

/// The destination address is in `range`.
pub(crate) fn destination(range: Cidr) -> Vec<Expr> {
    address_matches(16, range, Cmp::Eq)
}

fn not_to(range: Cidr) -> Vec<Expr> {
    address_matches(16, range, Cmp::Ne)
}

/// An IPv4 address in the header, at `offset`, against a range.
fn address_matches(offset: u32, range: Cidr, op: Cmp) -> Vec<Expr> {
    let mut exprs = vec![Expr::Payload { base: Base::Network, offset, len: 4, into: Reg::R1 }];
    if range.prefix() < 32 {
        exprs.push(Expr::Mask(Reg::R1, range.mask().to_be_bytes().to_vec()));
    }
    exprs.push(Expr::Cmp(Reg::R1, op, range.network().octets().to_vec()));
    exprs
}
