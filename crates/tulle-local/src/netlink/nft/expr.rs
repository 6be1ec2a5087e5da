//! The expressions of a rule, evaluated in order over sixteen 4-byte registers until one breaks or gives a verdict.

use super::Family;
use crate::netlink::wire::Buffer;

/// A register of 16 bytes; [`Reg::word`] names the 4-byte part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reg(u32);

impl Reg {
    /// The first register of 16 bytes.
    pub const R1: Self = Self(1);
    /// The second register of 16 bytes.
    pub const R2: Self = Self(2);

    /// Word `n` (0 to 3; 4 and up are those of the registers behind it) of this register, as a register of its own.
    pub fn word(self, n: u32) -> Self {
        Self(8 + (self.0 - 1) * 4 + n)
    }
}

/// Facts about a packet that are not in its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meta {
    /// The mark of packet or socket, in the machine's byte order.
    Mark,
    /// The index of the interface that it leaves by, in the machine's byte order.
    OutInterface,
    /// The protocol above IP, one byte.
    L4Proto,
}

/// Where an offset counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The IP header.
    Network,
    /// The TCP or UDP header.
    Transport,
}

/// Comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cmp {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
}

/// How a rule ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The packet passes this hook.
    Accept,
    /// Back to the chain that jumped here.
    Return,
    /// Into another chain, and back at its end.
    Jump(&'static str),
    /// Into another chain, not back.
    Goto(&'static str),
}

/// How a packet is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// TCP reset.
    TcpReset,
    /// ICMP port unreachable.
    PortUnreachable,
}

/// One step of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// Loads a fact.
    Meta(Meta, Reg),
    /// Loads bytes of the packet.
    Payload {
        /// Where `offset` counts from.
        base: Base,
        /// First byte.
        offset: u32,
        /// Number of bytes.
        len: u32,
        /// Where to.
        into: Reg,
    },
    /// Keeps the bits of `mask`, in place.
    Mask(Reg, Vec<u8>),
    /// Ends the rule unless the comparison holds.
    Cmp(Reg, Cmp, Vec<u8>),
    /// Loads a constant.
    Load(Reg, Vec<u8>),
    /// A random number in `0..modulus`, in the machine's byte order.
    RandomBelow(Reg, u32),
    /// Looks the first register up in an anonymous map and loads the value into the second.
    Map {
        /// What [`super::Batch::add_indexed_map`] returned.
        map: u32,
        /// The key.
        from: Reg,
        /// The value.
        into: Reg,
    },
    /// To this machine, to the port (network order) in the register; the connection remembers where it went first.
    Redirect(Reg),
    /// To the address and port in the registers.
    Dnat {
        /// Address.
        address: Reg,
        /// Port in network order.
        port: Reg,
    },
    /// Refuses the packet with an answer.
    Reject(Reject),
    /// Ends the rule.
    Verdict(Verdict),
}

/// Writes name and data of one expression.
pub(super) fn encode(expr: &Expr, family: Family, b: &mut Buffer) {
    match expr {
        Expr::Meta(key, reg) => named(b, "meta", |b| {
            b.attr_be32(1, reg.0);
            b.attr_be32(
                2,
                match key {
                    Meta::Mark => 3,
                    Meta::OutInterface => 5,
                    Meta::L4Proto => 16,
                },
            );
        }),
        Expr::Payload { base, offset, len, into } => named(b, "payload", |b| {
            b.attr_be32(1, into.0);
            b.attr_be32(2, if *base == Base::Network { 1 } else { 2 });
            b.attr_be32(3, *offset);
            b.attr_be32(4, *len);
        }),
        Expr::Mask(reg, mask) => named(b, "bitwise", |b| {
            b.attr_be32(1, reg.0);
            b.attr_be32(2, reg.0);
            b.attr_be32(3, u32::try_from(mask.len()).unwrap_or(u32::MAX));
            b.nest(4, |b| b.attr(1, mask));
            b.nest(5, |b| b.attr(1, &vec![0; mask.len()]));
        }),
        Expr::Cmp(reg, op, value) => named(b, "cmp", |b| {
            b.attr_be32(1, reg.0);
            b.attr_be32(2, if *op == Cmp::Eq { 0 } else { 1 });
            b.nest(3, |b| b.attr(1, value));
        }),
        Expr::Load(reg, value) => named(b, "immediate", |b| {
            b.attr_be32(1, reg.0);
            b.nest(2, |b| b.attr(1, value));
        }),
        Expr::RandomBelow(reg, modulus) => named(b, "numgen", |b| {
            b.attr_be32(1, reg.0);
            b.attr_be32(2, *modulus);
            b.attr_be32(3, 1);
        }),
        Expr::Map { map, from, into } => named(b, "lookup", |b| {
            b.attr_str(1, super::MAP_NAME);
            b.attr_be32(2, from.0);
            b.attr_be32(3, into.0);
            b.attr_be32(4, *map);
        }),
        Expr::Redirect(port) => named(b, "redir", |b| b.attr_be32(1, port.0)),
        Expr::Dnat { address, port } => named(b, "nat", |b| {
            b.attr_be32(1, 1);
            b.attr_be32(2, u32::from(family.number()));
            b.attr_be32(3, address.0);
            b.attr_be32(5, port.0);
        }),
        Expr::Reject(how) => named(b, "reject", |b| match how {
            Reject::TcpReset => {
                b.attr_be32(1, 1);
                b.attr(2, &[0]);
            }
            Reject::PortUnreachable => {
                b.attr_be32(1, 0);
                b.attr(2, &[if family == Family::Ip { 3 } else { 4 }]);
            }
        }),
        Expr::Verdict(verdict) => encode_verdict(verdict, b),
    }
}

/// A verdict is a constant loaded into the verdict register.
fn encode_verdict(verdict: &Verdict, b: &mut Buffer) {
    let (code, chain) = match verdict {
        Verdict::Accept => (1i32, None),
        Verdict::Return => (-5, None),
        Verdict::Jump(chain) => (-3, Some(chain)),
        Verdict::Goto(chain) => (-4, Some(chain)),
    };
    named(b, "immediate", |b| {
        b.attr_be32(1, 0);
        b.nest(2, |b| {
            b.nest(2, |b| {
                b.attr(1, &code.to_be_bytes());
                if let Some(chain) = chain {
                    b.attr_str(2, chain);
                }
            });
        });
    });
}

fn named(b: &mut Buffer, name: &str, data: impl FnOnce(&mut Buffer)) {
    b.attr_str(1, name);
    b.nest(2, data);
}
