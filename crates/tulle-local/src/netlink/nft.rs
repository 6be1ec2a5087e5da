//! nftables without the `nft` program: one transaction is a [`Batch`], a rule is a list of [`Expr`].
//!
//! The layout is that of `include/uapi/linux/netfilter/nf_tables.h`; numbers in attributes are in network byte order. A
//! batch is applied as a whole or not at all.

use super::wire::{ACK, APPEND, Buffer, CREATE};
use super::{NetlinkError, Socket};

mod expr;

pub use expr::{Base, Cmp, Expr, Meta, Reg, Reject, Verdict};

/// The address family of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
}

impl Family {
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Ip => 2,
            Self::Ip6 => 10,
        }
    }
}

impl From<crate::net::Family> for Family {
    fn from(family: crate::net::Family) -> Self {
        match family {
            crate::net::Family::V4 => Self::Ip,
            crate::net::Family::V6 => Self::Ip6,
        }
    }
}

/// Where a chain hangs in the path of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// `nat` or `filter`.
    pub kind: &'static str,
    /// Which hook.
    pub point: HookPoint,
    /// Order among chains of one hook: lower runs first. Destination NAT is -100, filters are 0.
    pub priority: i32,
}

/// The hooks in use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookPoint {
    /// Packets that came in, before routing.
    PreRouting,
    /// Packets made here.
    Output,
}

const SUBSYS_NFTABLES: u16 = 10 << 8;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEWTABLE: u16 = SUBSYS_NFTABLES;
const DELTABLE: u16 = SUBSYS_NFTABLES | 2;
const NEWCHAIN: u16 = SUBSYS_NFTABLES | 3;
const NEWRULE: u16 = SUBSYS_NFTABLES | 6;
const DELRULE: u16 = SUBSYS_NFTABLES | 8;
const NEWSET: u16 = SUBSYS_NFTABLES | 9;
const NEWSETELEM: u16 = SUBSYS_NFTABLES | 12;

/// Elements in one message: an attribute holds at most 64 KiB.
const ELEMENTS_PER_MESSAGE: usize = 500;

/// One transaction over the table `table`.
#[derive(Debug)]
pub struct Batch {
    buffer: Buffer,
    family: Family,
    table: &'static str,
    sets: u32,
    last: usize,
}

impl Batch {
    /// An empty transaction.
    pub fn new(family: Family, table: &'static str) -> Self {
        let mut buffer = Buffer::default();
        let m = buffer.message(BATCH_BEGIN, 0);
        buffer.raw(&[0, 0]);
        buffer.raw(&10u16.to_be_bytes());
        buffer.close_message(m);
        Self { buffer, family, table, sets: 0, last: 0 }
    }

    /// Makes the table, if it is not there.
    pub fn add_table(&mut self) {
        let table = self.table;
        self.message(NEWTABLE, CREATE, |b| {
            b.attr_str(1, table);
            b.attr_be32(2, 0);
        });
    }

    /// Removes the table with all that is in it; an error if there is none.
    pub fn delete_table(&mut self) {
        let table = self.table;
        self.message(DELTABLE, 0, |b| b.attr_str(1, table));
    }

    /// Makes a chain. With a hook packets enter it by themselves and pass at its end.
    pub fn add_chain(&mut self, name: &str, hook: Option<Hook>) {
        let table = self.table;
        self.message(NEWCHAIN, CREATE, |b| {
            b.attr_str(1, table);
            b.attr_str(3, name);
            if let Some(Hook { kind, point, priority }) = hook {
                b.nest(4, |b| {
                    b.attr_be32(1, if point == HookPoint::PreRouting { 0 } else { 3 });
                    b.attr(2, &priority.to_be_bytes());
                });
                b.attr_be32(5, 1); // NF_ACCEPT
                b.attr_str(7, kind);
            }
        });
    }

    /// Empties a chain; anonymous maps of its rules go with them.
    pub fn flush_chain(&mut self, name: &str) {
        let table = self.table;
        self.message(DELRULE, 0, |b| {
            b.attr_str(1, table);
            b.attr_str(2, name);
        });
    }

    /// Adds a rule at the end of a chain.
    pub fn add_rule(&mut self, chain: &str, exprs: &[Expr]) {
        let (table, family) = (self.table, self.family);
        self.message(NEWRULE, CREATE | APPEND, |b| {
            b.attr_str(1, table);
            b.attr_str(2, chain);
            b.nest(4, |b| {
                for e in exprs {
                    b.nest(1, |b| expr::encode(e, family, b));
                }
            });
        });
    }

    /// Makes an anonymous map from 0, 1, 2… (in the machine's byte order, as `numgen` gives them) to `values`, each
    /// `value_len` bytes long, and returns its number for [`Expr::Map`]. It lives as long as the rule that uses it.
    pub fn add_indexed_map(&mut self, values: &[Vec<u8>], value_len: u32) -> u32 {
        const ANONYMOUS_CONSTANT_MAP: u32 = 0x1 | 0x2 | 0x8;
        const TYPE_INTEGER: u32 = 4;
        // What is an address dot a port, as far as tools that show rules are concerned.
        let type_address_dot_service = if self.family == Family::Ip { 7 << 6 } else { 8 << 6 } | 13;
        self.sets += 1;
        let (id, table) = (self.sets, self.table);
        self.message(NEWSET, CREATE, |b| {
            b.attr_str(1, table);
            b.attr_str(2, MAP_NAME);
            b.attr_be32(3, ANONYMOUS_CONSTANT_MAP);
            b.attr_be32(4, TYPE_INTEGER);
            b.attr_be32(5, 4);
            b.attr_be32(6, type_address_dot_service);
            b.attr_be32(7, value_len);
            b.nest(9, |b| b.attr_be32(1, u32::try_from(values.len()).unwrap_or(u32::MAX)));
            b.attr_be32(10, id);
        });
        for (part, chunk) in values.chunks(ELEMENTS_PER_MESSAGE).enumerate() {
            self.message(NEWSETELEM, CREATE, |b| {
                b.attr_str(1, table);
                b.attr_str(2, MAP_NAME);
                b.attr_be32(4, id);
                b.nest(3, |b| {
                    for (i, value) in chunk.iter().enumerate() {
                        let key = u32::try_from(part * ELEMENTS_PER_MESSAGE + i).unwrap_or(u32::MAX);
                        b.nest(1, |b| {
                            b.nest(1, |b| b.attr(1, &key.to_ne_bytes()));
                            b.nest(2, |b| b.attr(1, value));
                        });
                    }
                });
            });
        }
        id
    }

    /// The transaction's bytes.
    pub fn into_bytes(mut self) -> Vec<u8> {
        if self.last > 0 {
            self.buffer.add_flags(self.last, ACK);
        }
        let m = self.buffer.message(BATCH_END, 0);
        self.buffer.raw(&[0, 0]);
        self.buffer.raw(&10u16.to_be_bytes());
        self.buffer.close_message(m);
        self.buffer.into_bytes()
    }

    /// Applies the transaction.
    ///
    /// # Errors
    /// The kernel's errno of the first message that it refused; nothing is changed then.
    pub fn apply(self, socket: &Socket, doing: &str) -> Result<(), NetlinkError> {
        socket.request(&self.into_bytes(), doing)
    }

    fn message(&mut self, kind: u16, flags: u16, body: impl FnOnce(&mut Buffer)) {
        self.last = self.buffer.len();
        let m = self.buffer.message(kind, flags);
        self.buffer.raw(&[self.family.number(), 0, 0, 0]);
        body(&mut self.buffer);
        self.buffer.close_message(m);
    }
}

/// The kernel replaces `%d` by a free number, as `nft` has it do.
const MAP_NAME: &str = "__map%d";

#[cfg(test)]
mod tests;
