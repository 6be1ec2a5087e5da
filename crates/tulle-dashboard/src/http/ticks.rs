//! What is told to those who listen: that time went on, and what changed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::Api;
use crate::plane::{Change, Plane};

/// How often proxies tell what they counted, and pages are told that they did.
const TICK: Duration = Duration::from_secs(5);
/// Something is written to connections at least this often, so that those of clients that are gone are found; in ticks.
const BREATH: u32 = 3;
/// The least time between two looks at what changed: a storm of changes is one event.
const PAUSE: Duration = Duration::from_millis(250);
/// How far before the last look changes are looked for, in seconds.
const OVERLAP: f64 = 5.0;
/// Changes that are told one by one; of more only that there were some.
const MANY: usize = 50;

/// Tells pages when the store lets go of series before their time: what they hold of these is not to be had any more.
#[derive(Debug, Default)]
pub struct LettingGo {
    /// Series, chunks and samples that went.
    seen: [u64; 3],
}

impl LettingGo {
    /// Looks, and tells whoever listens if there is something new to tell.
    pub fn look(&mut self, api: &Api) {
        let losses = api.store.stats().losses;
        let now = [losses.evicted, losses.chunks, losses.cut];
        let before = std::mem::replace(&mut self.seen, now);
        if now != before {
            let [series, chunks, samples] = std::array::from_fn(|at| now[at].saturating_sub(before[at]));
            api.events().tell("reset", &json!({"series": series, "chunks": chunks, "samples": samples}));
        }
    }
}

/// Tells for as long as it is polled.
pub async fn tick(api: Api, plane: Arc<dyn Plane>) {
    let events = Arc::clone(api.events());
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut version, mut count) = (plane.version(), 0_u32);
    // Changes have the time of the store, which is whole seconds: what was seen at the last look is remembered by name.
    let mut looked = now();
    let mut seen = names(&plane.changes(looked - OVERLAP, MANY));
    let (mut standing, mut letting_go) = (None, LettingGo::default());
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                count = count.wrapping_add(1);
                letting_go.look(&api);
                if !events.is_heard() {
                    continue;
                }
                if count.is_multiple_of(BREATH) {
                    events.breathe();
                }
                let mut changed = vec!["traffic"];
                let all = plane.proxies().await.proxies;
                let count = |state: &str| all.iter().filter(|p| p.state == state).count();
                let now_standing = (all.len(), count("SYNCED"), count("STALE"), count("ERROR"));
                if standing != Some(now_standing) {
                    standing = Some(now_standing);
                    changed.push("proxies");
                    let (connected, synced, stale, rejecting) = now_standing;
                    events.tell("proxies", &json!({
                        "connected": connected, "synced": synced, "stale": stale, "rejecting": rejecting,
                    }));
                }
                events.tell("tick", &json!({"time": now(), "version": plane.version(), "changed": changed}));
            }
            after = plane.changed(version) => {
                version = after;
                tokio::time::sleep(PAUSE).await;
                let changes = plane.changes(looked.min(now()) - OVERLAP, MANY);
                looked = now();
                for change in changes.iter().rev().filter(|change| !seen.contains(&name(change))) {
                    events.tell("config", &json!(change));
                }
                seen = names(&changes);
                events.tell("tick", &json!({
                    "time": now(), "version": version, "changed": ["configuration", "proxies"],
                }));
            }
        }
    }
}

fn name(change: &Change) -> (String, u64) {
    (change.resource.id.clone(), change.version.version)
}

fn names(changes: &[Change]) -> HashSet<(String, u64)> {
    changes.iter().map(name).collect()
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
