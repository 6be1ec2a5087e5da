//! What is known of the names that requests go to: when a name is looked up, how long the answer is good, when it is forgotten.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tulle_base::backoff::Backoff;
use tulle_http::uri::split_port;

use crate::runtime::forward_proxy::DnsCache;

/// Where a request goes: a name or an address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// A name in lower case without dot at its end, or an address without brackets.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
}

impl Target {
    /// The target that an authority names; without a port it is `default`. `None` where it names no host.
    pub fn of(authority: &str, default: u16) -> Option<Self> {
        let (host, port) = split_port(authority);
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let bare = bare.strip_suffix('.').unwrap_or(bare);
        let port = port.unwrap_or(default);
        (!bare.is_empty() && port != 0).then(|| Self { host: bare.to_ascii_lowercase().into(), port })
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// Its addresses.
    Known {
        /// At least one.
        addresses: Arc<[SocketAddr]>,
        /// Whether the caller shall look it up anew meanwhile, and tell what came of it.
        ask: bool,
    },
    /// It was looked up before long, in vain.
    Failed,
    /// Nothing yet, or nothing that is still good.
    Wait {
        /// Whether the caller shall look it up, and tell what came of it; otherwise somebody does.
        ask: bool,
    },
    /// There are too many names.
    Full,
}

#[derive(Debug)]
struct Entry {
    addresses: Arc<[SocketAddr]>,
    /// Until when the answer is good, or the failure counts.
    until: Duration,
    used: Duration,
    asking: bool,
    answered: bool,
    backoff: Backoff,
}

/// The names that are known. Times count from any moment, the same for all calls.
#[derive(Debug)]
pub struct Names {
    config: Arc<DnsCache>,
    entries: HashMap<Target, Entry>,
    swept: Duration,
}

impl Names {
    /// Knows nothing yet.
    pub fn new(config: Arc<DnsCache>) -> Self {
        Self { config, entries: HashMap::new(), swept: Duration::ZERO }
    }

    /// How they are remembered.
    pub fn config(&self) -> &Arc<DnsCache> {
        &self.config
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What is known of `target`.
    pub fn look(&mut self, target: &Target, now: Duration) -> Look {
        let refresh = self.config.refresh;
        if let Some(entry) = self.entries.get_mut(target) {
            entry.used = now;
            let good = now < entry.until;
            let ask = !good && !entry.asking;
            // An answer of yesterday serves while a new one is fetched, for as long again as it was good.
            let serves = !entry.addresses.is_empty() && now < entry.until.saturating_add(refresh);
            entry.asking |= ask;
            return match (serves, good && entry.answered) {
                (true, _) => Look::Known { addresses: Arc::clone(&entry.addresses), ask },
                (false, true) => Look::Failed,
                (false, false) => Look::Wait { ask },
            };
        }
        self.sweep(now);
        if self.entries.len() >= self.config.max_hosts as usize {
            return Look::Full;
        }
        let backoff = Backoff::new(self.config.failure_base, self.config.failure_max);
        let entry = Entry {
            addresses: Arc::default(),
            until: Duration::ZERO,
            used: now,
            asking: true,
            answered: false,
            backoff,
        };
        self.entries.insert(target.clone(), entry);
        Look::Wait { ask: true }
    }

    /// What came of looking `target` up: an empty list is a failure, after which older addresses stay. `random` is uniform in
    /// `0.0..1.0`.
    pub fn answered(&mut self, target: &Target, found: Vec<SocketAddr>, now: Duration, random: f64) {
        let Some(entry) = self.entries.get_mut(target) else { return };
        entry.asking = false;
        entry.answered = true;
        let wait = if found.is_empty() {
            entry.backoff.next(random)
        } else {
            entry.backoff.reset();
            // The same addresses stay the same list: whoever compares need not look inside.
            if *entry.addresses != *found {
                entry.addresses = found.into();
            }
            self.config.refresh
        };
        entry.until = now.saturating_add(wait);
    }

    /// What is known of `target` after it was looked up for the caller: nobody asks again for him. `None`: not yet.
    pub fn outcome(&self, target: &Target) -> Option<Option<Arc<[SocketAddr]>>> {
        match self.entries.get(target) {
            Some(entry) if entry.asking => None,
            Some(entry) => Some((!entry.addresses.is_empty()).then(|| Arc::clone(&entry.addresses))),
            None => Some(None),
        }
    }

    /// Forgets what nobody has asked for; at most once a second, or there would be nothing but sweeping where all are in use.
    fn sweep(&mut self, now: Duration) {
        let full = self.entries.len() >= self.config.max_hosts as usize;
        let pause = if full { Duration::from_secs(1) } else { self.config.unused };
        if now < self.swept.saturating_add(pause) {
            return;
        }
        self.swept = now;
        let unused = self.config.unused;
        self.entries.retain(|_, e| e.asking || now < e.used.saturating_add(unused));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::cluster::DnsFamily;
    use crate::runtime::forward_proxy::Refused;

    fn names(max_hosts: u32) -> Names {
        let seconds = Duration::from_secs;
        Names::new(Arc::new(DnsCache {
            name: "test".into(),
            family: DnsFamily::V4Only,
            refresh: seconds(60),
            failure_base: seconds(10),
            failure_max: seconds(10),
            unused: seconds(300),
            max_hosts,
            max_pending: 1,
            timeout: None,
            refused: Refused::Local,
        }))
    }

    fn target(host: &str) -> Target {
        Target::of(host, 80).unwrap()
    }

    fn at(address: &str) -> Vec<SocketAddr> {
        vec![address.parse().unwrap()]
    }

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn authorities() {
        let text = |a: &str| Target::of(a, 443).map(|t| t.to_string());
        assert_eq!(text("API.example.com").unwrap(), "api.example.com:443");
        assert_eq!(text("api.example.com.:8080").unwrap(), "api.example.com:8080");
        assert_eq!(text("[::1]:81").unwrap(), "[::1]:81");
        assert_eq!(text("10.0.0.1").unwrap(), "10.0.0.1:443");
        for nothing in ["", ":80", ".", "x:0"] {
            assert_eq!(text(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn one_asks_and_the_others_wait_and_all_know() {
        let (mut names, api) = (names(10), target("api"));
        assert_eq!(names.look(&api, s(0)), Look::Wait { ask: true });
        assert_eq!(names.look(&api, s(0)), Look::Wait { ask: false });
        assert_eq!(names.outcome(&api), None);
        names.answered(&api, at("10.0.0.1:80"), s(1), 0.0);
        let Look::Known { addresses, ask: false } = names.look(&api, s(60)) else { panic!("not known") };
        assert_eq!(addresses[..], at("10.0.0.1:80")[..]);
        assert_eq!(names.outcome(&api), Some(Some(addresses)));
    }

    #[test]
    fn an_old_answer_serves_while_a_new_one_is_fetched_and_no_longer() {
        let (mut names, api) = (names(10), target("api"));
        names.look(&api, s(0));
        names.answered(&api, at("10.0.0.1:80"), s(0), 0.0);
        assert!(matches!(names.look(&api, s(61)), Look::Known { ask: true, .. }));
        assert!(matches!(names.look(&api, s(62)), Look::Known { ask: false, .. }), "one asks");
        names.answered(&api, at("10.0.0.2:80"), s(62), 0.0);
        let Look::Known { addresses, ask: false } = names.look(&api, s(63)) else { panic!("not known") };
        assert_eq!(addresses[..], at("10.0.0.2:80")[..]);
        assert_eq!(names.look(&api, s(200)), Look::Wait { ask: true }, "too old to be served");
    }

    #[test]
    fn a_failure_counts_for_a_while_and_older_addresses_stay() {
        let (mut names, api) = (names(10), target("api"));
        names.look(&api, s(0));
        names.answered(&api, Vec::new(), s(0), 1.0);
        assert_eq!(names.look(&api, s(9)), Look::Failed);
        assert_eq!(names.outcome(&api), Some(None));
        assert_eq!(names.look(&api, s(11)), Look::Wait { ask: true });
        names.answered(&api, at("10.0.0.1:80"), s(11), 0.0);
        assert!(matches!(names.look(&api, s(72)), Look::Known { ask: true, .. }));
        names.answered(&api, Vec::new(), s(72), 1.0);
        assert!(matches!(names.look(&api, s(73)), Look::Known { ask: false, .. }), "kept");
    }

    #[test]
    fn there_are_never_too_many() {
        let mut names = names(2);
        for (host, second) in [("a", 0), ("b", 200)] {
            names.look(&target(host), s(second));
            names.answered(&target(host), at("10.0.0.1:80"), s(second), 0.0);
        }
        assert_eq!(names.look(&target("c"), s(250)), Look::Full);
        assert_eq!(names.look(&target("c"), s(301)), Look::Wait { ask: true }, "a has not been asked for");
        assert_eq!(names.len(), 2);
        assert_eq!(names.look(&target("a"), s(302)), Look::Full);
    }
}
