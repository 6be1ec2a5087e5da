//! Addresses given out one by one.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::redirect::Cidr;

/// Gives out the addresses of a range, each once, starting after the last one given: an address that was let go rests as
/// long as possible, so that nobody mistakes a new pod for the old one.
#[derive(Clone, Debug)]
pub struct Ipam {
    range: Cidr,
    taken: BTreeSet<u32>,
    last: u32,
}

impl Ipam {
    /// An allocator over `range`. The first and last address and all of `reserved` are never given out.
    pub fn new(range: Cidr, reserved: impl IntoIterator<Item = Ipv4Addr>) -> Self {
        let first = u32::from(range.network());
        let last_of_range = first | !range.mask();
        let taken = reserved.into_iter().map(u32::from).chain([first, last_of_range]).collect();
        Self { range, taken, last: first }
    }

    /// The next free address; `None` when the range is used up.
    pub fn allocate(&mut self) -> Option<Ipv4Addr> {
        let first = u32::from(self.range.network());
        let last = first | !self.range.mask();
        let found = (self.last..=last).chain(first..self.last).find(|a| !self.taken.contains(a))?;
        self.taken.insert(found);
        self.last = found;
        Some(found.into())
    }

    /// Takes a particular address. `false` if it is outside the range or taken.
    pub fn take(&mut self, address: Ipv4Addr) -> bool {
        self.range.contains(address) && self.taken.insert(address.into())
    }

    /// Whether the range holds `address`.
    pub fn covers(&self, address: Ipv4Addr) -> bool {
        self.range.contains(address)
    }

    /// Gives an address back.
    pub fn release(&mut self, address: Ipv4Addr) {
        self.taken.remove(&address.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, last)
    }

    #[test]
    fn each_once_and_the_old_ones_last() {
        let mut a = Ipam::new(Cidr::new(ip(0), 29), [ip(1)]);
        assert_eq!((a.allocate(), a.allocate()), (Some(ip(2)), Some(ip(3))));
        a.release(ip(2));
        assert!(a.take(ip(5)) && !a.take(ip(5)) && !a.take(Ipv4Addr::new(10, 1, 0, 1)));
        assert_eq!((a.allocate(), a.allocate(), a.allocate()), (Some(ip(4)), Some(ip(6)), Some(ip(2))));
        assert_eq!(a.allocate(), None);
    }
}
