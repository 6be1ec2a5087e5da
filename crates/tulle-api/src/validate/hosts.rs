//! Sets of hosts with wildcards, in which finding what overlaps takes no longer for many hosts than for one.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;

use tulle_base::Host;

/// Hosts that were given before, each with what was written.
#[derive(Default)]
pub(super) struct Hosts {
    /// By name read backwards, so that the hosts of one domain stand together.
    backwards: BTreeMap<Box<[u8]>, String>,
    /// Wildcards without their `*`.
    suffixes: HashSet<Box<str>>,
}

impl Hosts {
    /// All of `hosts`.
    pub(super) fn of(hosts: &[String]) -> Self {
        let mut out = Self::default();
        hosts.iter().for_each(|h| out.insert(h));
        out
    }

    /// Adds a host.
    pub(super) fn insert(&mut self, written: &str) {
        let host = Host::new(written);
        if let Some(suffix) = host.as_str().strip_prefix('*') {
            self.suffixes.insert(suffix.into());
        }
        self.backwards.entry(reversed(host.as_str())).or_insert_with(|| written.to_owned());
    }

    /// Whether one of these stands for every name that `written` stands for.
    pub(super) fn cover(&self, written: &str) -> bool {
        let host = Host::new(written);
        self.backwards.contains_key(&reversed(host.as_str())) || self.covering(&host).is_some()
    }

    /// One of these that shares a name with `written`, as it was written.
    pub(super) fn overlapping(&self, written: &str) -> Option<&str> {
        let host = Host::new(written);
        let key = reversed(host.as_str());
        if let Some(same) = self.backwards.get(&key) {
            return Some(same);
        }
        if let Some(suffix) = self.covering(&host) {
            return self.backwards.get(&reversed(&format!("*{suffix}"))).map(String::as_str);
        }
        let below = reversed(host.as_str().strip_prefix('*')?);
        let (name, written) =
            self.backwards.range((Bound::Included(below.clone()), Bound::Unbounded)).next()?;
        name.starts_with(&below).then_some(written)
    }

    /// The wildcard that covers `host`; the longest one.
    fn covering<'h>(&self, host: &'h Host) -> Option<&'h str> {
        let name = host.as_str().strip_prefix('*').unwrap_or(host.as_str());
        name.char_indices()
            .map(|(at, _)| &name[at..])
            .chain([""])
            .take(MAX_STEPS)
            .find(|end| self.suffixes.contains(*end))
    }
}

/// Longest host that is compared; longer ones are refused anyway.
const MAX_STEPS: usize = 512;

fn reversed(name: &str) -> Box<[u8]> {
    name.bytes().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Agrees with comparing every pair.
    #[test]
    fn as_host_compares_them() {
        let names = [
            "*",
            "*.com",
            "a.com",
            "*.example.com",
            "b.example.com",
            "*-x.com",
            "a-x.com",
            "A.com.",
            "com",
            "*a.com",
        ];
        for (i, name) in names.iter().enumerate() {
            for mask in 0..1u32 << names.len() {
                let given: Vec<String> =
                    (0..names.len()).filter(|j| mask & 1 << j != 0).map(|j| names[j].to_owned()).collect();
                if mask.count_ones() > 3 || mask & 1 << i != 0 {
                    continue;
                }
                let (hosts, host) = (Hosts::of(&given), Host::new(name));
                let covers = given.iter().any(|g| Host::new(g).covers(&host));
                let overlaps: Vec<_> = given.iter().filter(|g| Host::new(g).overlaps(&host)).collect();
                assert_eq!(hosts.cover(name), covers, "{name} in {given:?}");
                match hosts.overlapping(name) {
                    Some(found) => {
                        assert!(overlaps.iter().any(|g| *g == found), "{name} in {given:?}: {found}")
                    }
                    None => assert!(overlaps.is_empty(), "{name} in {given:?}"),
                }
            }
        }
    }
}
