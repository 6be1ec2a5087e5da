//! Keys that check tokens, fetched for all proxies: at once when something wants them, and again before they are stale.
//!
//! Sets that were fetched stay in force while fetching fails, over restarts too, a day at most; then, and before the first success,
//! they admit nobody.

pub(crate) mod fetch;
mod saved;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tulle_mesh::policy::{Fetched, KeySource, jwks};

use crate::metrics::{Metric, Metrics};
use crate::stop::Stop;
pub(crate) use fetch::Fetcher;
pub(crate) use saved::Saved;

/// Time between two fetches of a set, unless its server says another (`cache-control: max-age`): as Istio's.
const REFRESH: Duration = Duration::from_secs(20 * 60);
/// Shortest time between two fetches of a set.
const SOONEST: Duration = Duration::from_secs(1);
/// Time before what failed is tried again; doubles up to `LATEST_RETRY`.
const RETRY: Duration = Duration::from_secs(1);
/// Longest time before what failed is tried again.
const LATEST_RETRY: Duration = Duration::from_secs(60);
/// How long a set is used that cannot be fetched again.
const LAST_GOOD: Duration = Duration::from_secs(24 * 3600);
/// Sets, at most; more are not fetched.
const MAX_SETS: usize = 1024;
/// Fetches at a time, at most.
const MAX_AT_A_TIME: usize = 16;

/// What is wanted, and how long fetching each may take.
pub(crate) type Wanted = BTreeMap<KeySource, Duration>;

/// What is known of a set.
struct Set {
    due: Instant,
    running: bool,
    failures: u32,
    /// The last good set, and until when it is used.
    good: Option<(Instant, Arc<str>)>,
}

/// Fetches what `wanted` says, until told to stop.
pub(crate) async fn keep(
    fetcher: Fetcher,
    saved: Saved,
    metrics: Arc<Metrics>,
    mut wanted: watch::Receiver<Wanted>,
    told: mpsc::UnboundedSender<(KeySource, Fetched)>,
    mut stop: Stop,
) {
    let mut sets: BTreeMap<KeySource, Set> = BTreeMap::new();
    let mut running = JoinSet::new();
    let mut all = wanted.borrow_and_update().clone();
    adopt(&mut sets, &all, &saved, &told);
    loop {
        let now = Instant::now();
        for (source, set) in &mut sets {
            if running.len() < MAX_AT_A_TIME && !set.running && set.due <= now {
                set.running = true;
                let (fetcher, source) = (fetcher.clone(), source.clone());
                let limit = all.get(&source).copied().unwrap_or(SOONEST);
                running.spawn(async move {
                    let answer = tokio::time::timeout(limit, fetcher.fetch(&source)).await;
                    let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {limit:?}")));
                    (source, answer)
                });
            }
        }
        let free = running.len() < MAX_AT_A_TIME;
        let next = sets.values().filter(|s| !s.running).map(|s| s.due).min().filter(|_| free);
        let due = async {
            match next {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                all = wanted.borrow_and_update().clone();
                adopt(&mut sets, &all, &saved, &told);
            }
            Some(done) = running.join_next() => if let Ok((source, answer)) = done
                && let Some(set) = sets.get_mut(&source)
            {
                let fetched = set.take(answer, Instant::now());
                let ended = if fetched.problem.is_none() { Metric::KeysFetched } else { Metric::KeysFailed };
                metrics.add(ended, &[], 1.0);
                if let Fetched { keys: Some(keys), problem: None } = &fetched {
                    saved.write(&source, keys);
                }
                if let Some(problem) = &fetched.problem {
                    tracing::warn!(?source, %problem, "keys of tokens were not fetched");
                }
                // The mesh is gone when everything ends.
                let _ = told.send((source, fetched));
            },
            () = due => {}
            () = stop.said() => return,
        }
    }
}

/// Begins what is wanted and ends what is not any more.
fn adopt(
    sets: &mut BTreeMap<KeySource, Set>,
    wanted: &Wanted,
    saved: &Saved,
    told: &mpsc::UnboundedSender<(KeySource, Fetched)>,
) {
    sets.retain(|source, _| {
        let stays = wanted.contains_key(source);
        if !stays {
            saved.forget(source);
            let _ = told.send((source.clone(), Fetched::default()));
        }
        stays
    });
    for source in wanted.keys().filter(|s| !matches!(s, KeySource::Inline(_))) {
        if sets.len() < MAX_SETS || sets.contains_key(source) {
            sets.entry(source.clone()).or_insert_with(|| Set::new(source, saved, told));
        } else {
            let problem = format!("more than {MAX_SETS} sets of keys are wanted");
            let _ = told.send((source.clone(), Fetched { keys: None, problem: Some(problem.into()) }));
        }
    }
}

impl Set {
    /// A set that is to be fetched at once; until then one that was fetched before the control plane started holds.
    fn new(source: &KeySource, saved: &Saved, told: &mpsc::UnboundedSender<(KeySource, Fetched)>) -> Self {
        let now = Instant::now();
        let good = saved.read(source).map(|(age, keys)| (now + LAST_GOOD.saturating_sub(age), keys));
        if let Some((_, keys)) = &good {
            let _ = told.send((source.clone(), Fetched { keys: Some(Arc::clone(keys)), problem: None }));
        }
        Self { due: now, running: false, failures: 0, good }
    }

    /// What holds after an answer, and when the next is asked for.
    fn take(&mut self, answer: Result<fetch::Answer, String>, now: Instant) -> Fetched {
        self.running = false;
        let answer = answer.and_then(|a| Ok((jwks::usable(&a.text)?, a.max_age)));
        match answer {
            Ok((keys, max_age)) => {
                self.failures = 0;
                self.due = now + max_age.unwrap_or(REFRESH).clamp(SOONEST, REFRESH);
                let keys: Arc<str> = keys.into();
                self.good = Some((now + LAST_GOOD, Arc::clone(&keys)));
                Fetched { keys: Some(keys), problem: None }
            }
            Err(problem) => {
                self.due = now + RETRY.saturating_mul(1 << self.failures.min(6)).min(LATEST_RETRY);
                self.failures = self.failures.saturating_add(1);
                self.good.take_if(|(until, _)| now > *until);
                let keys = self.good.as_ref().map(|(_, keys)| Arc::clone(keys));
                Fetched { keys, problem: Some(problem.into()) }
            }
        }
    }
}

#[cfg(test)]
mod tests;
