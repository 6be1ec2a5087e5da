//! Local rate limits: which bucket a request asks, and what that says.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::descriptor::{Descriptor, Descriptors, Entry, RateLimitInput, describe};
use super::token_bucket::TokenBucket;
use crate::runtime::rate_limit::{
    Buckets, DescriptorBucket, LocalRateLimit, RateLimitRule, VirtualHostRules,
};

/// The buckets of one local rate limit.
#[derive(Debug)]
pub struct Limiter {
    default: Option<Arc<TokenBucket>>,
    always_ask_default: bool,
    fixed: HashMap<Box<[u8]>, Arc<TokenBucket>, RandomState>,
    open: Vec<OpenDescriptor>,
}

/// A bucket with the descriptor that asks it.
type Matched<'l, 'd, 'e> = (Cow<'l, Arc<TokenBucket>>, &'d Descriptor<'e>);

/// What the buckets say to a request.
#[derive(Clone, Debug)]
pub struct Answer<'l> {
    /// Whether it is within the limit.
    pub allowed: bool,
    /// The bucket that decided: what `x-ratelimit-*` headers tell of.
    pub bucket: Option<Cow<'l, Arc<TokenBucket>>>,
    /// Whether its descriptor wants such headers; `None` leaves that to the filter.
    pub headers: Option<bool>,
}

impl Limiter {
    /// Full buckets.
    pub fn new(buckets: &Buckets) -> Self {
        let Buckets { default, always_ask_default, descriptors, max_dynamic } = buckets;
        let is_open = |d: &&DescriptorBucket| d.entries.iter().any(|(_, value)| value.is_empty());
        Self {
            default: default.map(|shape| Arc::new(TokenBucket::new(shape, false))),
            always_ask_default: *always_ask_default,
            fixed: descriptors
                .iter()
                .filter(|d| !is_open(d))
                .map(|d| {
                    let pairs = d.entries.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes()));
                    (key_of(pairs).as_slice().into(), Arc::new(TokenBucket::new(d.shape, d.shadow)))
                })
                .collect(),
            open: descriptors
                .iter()
                .filter(is_open)
                .map(|config| OpenDescriptor {
                    config: config.clone(),
                    buckets: Mutex::new(Recent::new(*max_dynamic as usize)),
                })
                .collect(),
        }
    }

    /// Whether descriptors matter at all.
    pub fn reads_descriptors(&self) -> bool {
        !self.fixed.is_empty() || !self.open.is_empty()
    }

    /// Asks the buckets of the descriptors, the slowest first, until one refuses; then the default one, if no descriptor has a bucket
    /// or if it is always asked.
    pub fn ask(&self, descriptors: &[Descriptor<'_>], now: Duration) -> Answer<'_> {
        let mut matched: SmallVec<[Matched<'_, '_, '_>; 4]> =
            descriptors.iter().filter_map(|d| Some((self.bucket_of(&d.entries)?, d))).collect();
        matched.sort_by(|(a, _), (b, _)| a.rate().total_cmp(&b.rate()));
        for (bucket, descriptor) in &matched {
            match descriptor.hits {
                Some(hits) if descriptor.refills => bucket.give(hits, now),
                hits if bucket.take(hits.unwrap_or(1), now) => {}
                _ => {
                    let (bucket, headers) = (Some(bucket.clone()), descriptor.headers);
                    return Answer { allowed: false, bucket, headers };
                }
            }
        }
        let first = matched.into_iter().next();
        let asks_default = first.is_none() || self.always_ask_default;
        if let Some(default) = self.default.as_ref().filter(|_| asks_default)
            && !default.take(1, now)
        {
            // A bucket of size zero is no bucket: Envoy tells nothing of it.
            let bucket = (default.max() > 0).then_some(Cow::Borrowed(default));
            return Answer { allowed: false, bucket, headers: None };
        }
        match first {
            Some((bucket, d)) => Answer { allowed: true, bucket: Some(bucket), headers: d.headers },
            None => Answer { allowed: true, bucket: self.default.as_ref().map(Cow::Borrowed), headers: None },
        }
    }

    fn bucket_of(&self, entries: &[Entry<'_>]) -> Option<Cow<'_, Arc<TokenBucket>>> {
        let key = key_of(entries.iter().map(|e| (e.key.as_bytes(), &*e.value)));
        if let Some(bucket) = self.fixed.get(key.as_slice()) {
            return Some(Cow::Borrowed(bucket));
        }
        let open = self.open.iter().find(|open| open.takes(entries))?;
        let mut buckets = open.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.get(&key, || TokenBucket::new(open.config.shape, open.config.shadow));
        Some(Cow::Owned(bucket))
    }
}

/// The descriptors of a request for a filter: its own rules, otherwise the route's and the virtual host's. A route that does not
/// forward has no rules: `None` for it.
pub fn descriptors<'a>(
    limit: &'a LocalRateLimit,
    route: Option<RouteRules<'a>>,
    input: &RateLimitInput<'a>,
) -> Descriptors<'a> {
    if !limit.rules.is_empty() {
        let own = limit.rules.iter().filter(|rule| !rule.on_stream_done);
        return own.filter_map(|rule| describe(rule, input)).collect();
    }
    let Some(route) = route else { return Descriptors::new() };
    let applies = |rule: &&RateLimitRule| rule.stage == limit.stage && !rule.has_disable_key;
    let rules = of_route(route, limit.virtual_host_rules);
    rules.filter(applies).filter_map(|rule| describe(rule, input)).collect()
}

/// The rules of a route, and those of its virtual host where they count.
pub(super) fn of_route(
    rules: RouteRules<'_>,
    option: VirtualHostRules,
) -> impl Iterator<Item = &RateLimitRule> {
    let RouteRules { route, virtual_host, include_virtual_host } = rules;
    let outer = match option {
        _ if include_virtual_host => virtual_host,
        VirtualHostRules::Include => virtual_host,
        VirtualHostRules::Override if route.is_empty() => virtual_host,
        VirtualHostRules::Override | VirtualHostRules::Ignore => &[],
    };
    route.iter().chain(outer)
}

/// The rate limit rules of a route that forwards, and those of its virtual host.
#[derive(Clone, Copy, Debug)]
pub struct RouteRules<'a> {
    /// The route's.
    pub route: &'a [RateLimitRule],
    /// The virtual host's.
    pub virtual_host: &'a [RateLimitRule],
    /// Whether the route wants the virtual host's beside its own.
    pub include_virtual_host: bool,
}

/// Entries as bytes that are the same only for the same entries.
fn key_of<'e>(pairs: impl Iterator<Item = (&'e [u8], &'e [u8])>) -> SmallVec<[u8; 128]> {
    let mut key = SmallVec::new();
    for (name, value) in pairs {
        for part in [name, value] {
            key.extend_from_slice(&(part.len() as u64).to_le_bytes());
            key.extend_from_slice(part);
        }
    }
    key
}

/// A descriptor with open values: each value that comes has a bucket.
#[derive(Debug)]
struct OpenDescriptor {
    config: DescriptorBucket,
    /// Held for one lookup, never while anything waits.
    buckets: Mutex<Recent>,
}

impl OpenDescriptor {
    fn takes(&self, entries: &[Entry<'_>]) -> bool {
        let same = |((key, value), entry): (&(Arc<str>, Arc<str>), &Entry<'_>)| {
            **key == *entry.key && (value.is_empty() || value.as_bytes() == &*entry.value)
        };
        self.config.entries.len() == entries.len() && self.config.entries.iter().zip(entries).all(same)
    }
}

/// The buckets that were used last, up to a number: a list in the order of use, in slots that are linked to each other.
#[derive(Debug)]
struct Recent {
    most: usize,
    by_key: HashMap<Box<[u8]>, usize, RandomState>,
    slots: Vec<Slot>,
    newest: usize,
    oldest: usize,
}

#[derive(Debug)]
struct Slot {
    key: Box<[u8]>,
    bucket: Arc<TokenBucket>,
    newer: usize,
    older: usize,
}

/// No slot.
const NONE: usize = usize::MAX;

impl Recent {
    fn new(most: usize) -> Self {
        Self { most: most.max(1), by_key: HashMap::default(), slots: Vec::new(), newest: NONE, oldest: NONE }
    }

    /// The bucket of that key, made if it is not there; the one that was used longest ago makes room.
    fn get(&mut self, key: &[u8], make: impl FnOnce() -> TokenBucket) -> Arc<TokenBucket> {
        let at = match self.by_key.get(key) {
            Some(at) if *at == self.newest => return Arc::clone(&self.slots[*at].bucket),
            Some(at) => {
                let at = *at;
                self.unlink(at);
                at
            }
            None => self.insert(key.into(), Arc::new(make())),
        };
        self.link(at);
        Arc::clone(&self.slots[at].bucket)
    }

    fn insert(&mut self, key: Box<[u8]>, bucket: Arc<TokenBucket>) -> usize {
        let slot = Slot { key: key.clone(), bucket, newer: NONE, older: NONE };
        let at = if self.slots.len() < self.most {
            self.slots.push(slot);
            self.slots.len() - 1
        } else {
            let at = self.oldest;
            self.unlink(at);
            let gone = std::mem::replace(&mut self.slots[at], slot);
            self.by_key.remove(&gone.key);
            at
        };
        self.by_key.insert(key, at);
        at
    }

    fn unlink(&mut self, at: usize) {
        let (newer, older) = (self.slots[at].newer, self.slots[at].older);
        match self.slots.get_mut(newer) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
        match self.slots.get_mut(older) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link(&mut self, at: usize) {
        self.slots[at].newer = NONE;
        self.slots[at].older = self.newest;
        match self.slots.get_mut(self.newest) {
            Some(slot) => slot.newer = at,
            None => self.oldest = at,
        }
        self.newest = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::rate_limit::BucketShape;

    const NOW: Duration = Duration::from_secs(100);

    fn shape(max_tokens: u32, seconds: u64) -> BucketShape {
        BucketShape { max_tokens, tokens_per_fill: 1, fill_interval: Duration::from_secs(seconds) }
    }

    fn of(key: &str, value: &str, shape: BucketShape) -> DescriptorBucket {
        DescriptorBucket { entries: vec![(key.into(), value.into())], shape, shadow: false }
    }

    fn asked<'a>(key: &'a str, value: &'a str) -> Descriptor<'a> {
        let entry = Entry { key, value: value.as_bytes().into() };
        Descriptor { entries: [entry].into_iter().collect(), ..Descriptor::default() }
    }

    fn limiter(default: Option<BucketShape>, always: bool, descriptors: Vec<DescriptorBucket>) -> Limiter {
        Limiter::new(&Buckets { default, always_ask_default: always, descriptors, max_dynamic: 2 })
    }

    /// Whether it is allowed, and the size and rest of the bucket told of.
    fn ask(limiter: &Limiter, descriptors: &[Descriptor<'_>]) -> (bool, Option<(u64, u64)>) {
        let answer = limiter.ask(descriptors, NOW);
        (answer.allowed, answer.bucket.map(|b| (b.max(), b.remaining(NOW))))
    }

    #[test]
    fn the_descriptor_decides_first_and_the_default_bucket_after_it() {
        // What a stock Envoy 1.40 answers to the same requests.
        let tiers = vec![of("t", "gold", shape(1, 10)), of("t", "", shape(2, 3))];
        let limiter = limiter(Some(shape(3, 60)), true, tiers);
        for (tier, want) in [
            ("gold", (true, Some((1, 0)))),
            ("gold", (false, Some((1, 0)))),
            ("silver", (true, Some((2, 1)))),
            ("silver", (true, Some((2, 0)))),
            ("silver", (false, Some((2, 0)))),
            ("bronze", (false, Some((3, 0)))),
        ] {
            assert_eq!(ask(&limiter, &[asked("t", tier)]), want, "{tier}");
        }
        assert_eq!(ask(&limiter, &[]), (false, Some((3, 0))));
    }

    #[test]
    fn the_default_bucket_may_be_left_to_the_rest() {
        let limiter = limiter(Some(shape(1, 60)), false, vec![of("t", "gold", shape(2, 10))]);
        assert_eq!(ask(&limiter, &[asked("t", "gold")]), (true, Some((2, 1))));
        assert_eq!(ask(&limiter, &[asked("t", "gold")]), (true, Some((2, 0))));
        assert_eq!(ask(&limiter, &[asked("t", "other")]), (true, Some((1, 0))));
        assert_eq!(ask(&limiter, &[]), (false, Some((1, 0))));
    }

    #[test]
    fn the_slowest_bucket_is_asked_first_and_spares_the_others() {
        let limiter = limiter(None, true, vec![of("a", "1", shape(9, 1)), of("b", "1", shape(1, 60))]);
        let both = [asked("a", "1"), asked("b", "1")];
        assert_eq!(ask(&limiter, &both), (true, Some((1, 0))));
        assert_eq!(ask(&limiter, &both), (false, Some((1, 0))));
        assert_eq!(ask(&limiter, &both[..1]), (true, Some((9, 7))), "the refused request took nothing of it");
    }

    #[test]
    fn values_that_were_not_used_for_long_lose_their_bucket() {
        let limiter = limiter(None, true, vec![of("u", "", shape(1, 60))]);
        assert!(ask(&limiter, &[asked("u", "a")]).0);
        assert!(ask(&limiter, &[asked("u", "b")]).0);
        assert!(!ask(&limiter, &[asked("u", "a")]).0);
        assert!(ask(&limiter, &[asked("u", "c")]).0, "c takes the place of b, which was used before a");
        assert!(!ask(&limiter, &[asked("u", "a")]).0);
        assert!(ask(&limiter, &[asked("u", "b")]).0, "b begins anew");
        for number in 0..1000 {
            assert!(ask(&limiter, &[asked("u", &number.to_string())]).0);
        }
        let kept = limiter.open[0].buckets.lock().unwrap();
        assert_eq!((kept.slots.len(), kept.by_key.len()), (2, 2));
    }

    #[test]
    fn keys_and_numbers_of_entries_must_agree() {
        let pair = DescriptorBucket {
            entries: vec![("a".into(), "1".into()), ("b".into(), "".into())],
            shape: shape(1, 60),
            shadow: false,
        };
        let limiter = limiter(None, true, vec![pair]);
        let entry = |key: &'static str, value: &'static str| Entry { key, value: value.as_bytes().into() };
        let of =
            |entries: Vec<Entry<'static>>| [Descriptor { entries: entries.into(), ..Descriptor::default() }];
        assert_eq!(ask(&limiter, &of(vec![entry("a", "1")])), (true, None));
        assert_eq!(ask(&limiter, &of(vec![entry("b", "x"), entry("a", "1")])), (true, None));
        assert_eq!(ask(&limiter, &of(vec![entry("a", "1"), entry("b", "x")])), (true, Some((1, 0))));
        assert_eq!(ask(&limiter, &of(vec![entry("a", "1"), entry("b", "x")])), (false, Some((1, 0))));
        assert_eq!(ask(&limiter, &of(vec![entry("a", "1"), entry("b", "")])), (true, Some((1, 0))));
    }

    #[test]
    fn hits_count_for_several_and_may_be_given_back() {
        let limiter = limiter(None, true, vec![of("a", "1", shape(5, 60))]);
        let with = |hits, refills| [Descriptor { hits: Some(hits), refills, ..asked("a", "1") }];
        assert_eq!(ask(&limiter, &with(3, false)), (true, Some((5, 2))));
        assert_eq!(ask(&limiter, &with(3, false)), (false, Some((5, 2))));
        assert_eq!(ask(&limiter, &with(2, true)), (true, Some((5, 4))));
        assert_eq!(ask(&limiter, &with(9, true)), (true, Some((5, 5))));
    }

    #[test]
    fn a_default_bucket_of_size_zero_refuses_and_is_not_told_of() {
        let limiter = limiter(Some(shape(0, 60)), true, vec![]);
        assert_eq!(ask(&limiter, &[]), (false, None));
    }
}
