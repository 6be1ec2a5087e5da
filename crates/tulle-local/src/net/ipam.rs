//! Addresses given out one by one.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::family::{Cidr, bits, from_bits};

/// Gives out the addresses of a range, each once, starting after the last one given: an address that was let go rests as
/// long as possible, so that nobody mistakes a new pod for the old one.
#[derive(Clone, Debug)]
pub struct Ipam {
    range: Cidr,
    taken: BTreeSet<u128>,
    last: u128,
}

impl Ipam {
    /// An allocator over `range`. The first and last address and all of `reserved` are never given out.
    pub fn new(range: Cidr, reserved: impl IntoIterator<Item = IpAddr>) -> Self {
        let (first, last) = range.bounds();
        let taken = reserved.into_iter().map(bits).chain([first, last]).collect();
        Self { range, taken, last: first }
    }

    /// The next free address; `None` when the range is used up.
    pub fn allocate(&mut self) -> Option<IpAddr> {
        let (first, last) = self.range.bounds();
        let found = (self.last + 1..=last).chain(first..=self.last).find(|a| !self.taken.contains(a))?;
        self.taken.insert(found);
        self.last = found;
        Some(from_bits(self.range.family(), found))
    }

    /// Takes a particular address. `false` if it is outside the range or taken.
    pub fn take(&mut self, address: IpAddr) -> bool {
        self.range.contains(address) && self.taken.insert(bits(address))
    }

    /// The range.
    pub fn range(&self) -> Cidr {
        self.range
    }

    /// Gives an address back.
    pub fn release(&mut self, address: IpAddr) {
        if self.range.contains(address) {
            self.taken.remove(&bits(address));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_once_and_the_old_ones_last() {
        for prefix in ["10.0.0.", "fd00::"] {
            let ip = |n: u8| format!("{prefix}{n}").parse::<IpAddr>().unwrap();
            let bits = if prefix.contains(':') { 125 } else { 29 };
            let mut a = Ipam::new(Cidr::new(ip(0), bits), [ip(1)]);
            assert_eq!((a.allocate(), a.allocate()), (Some(ip(2)), Some(ip(3))));
            a.release(ip(2));
            assert!(a.take(ip(5)) && !a.take(ip(5)) && !a.take(ip(9)) && !a.take("::9".parse().unwrap()));
            assert_eq!((a.allocate(), a.allocate(), a.allocate()), (Some(ip(4)), Some(ip(6)), Some(ip(2))));
            assert_eq!(a.allocate(), None);
        }
    }
}
