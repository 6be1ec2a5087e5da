//! What is told to those who listen: that time went on, and what changed.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::Api;
use crate::plane::Plane;

/// How often proxies tell what they counted, and pages are told that they did.
const TICK: Duration = Duration::from_secs(5);
/// Something is written to connections at least this often, so that those of clients that are gone are found; in ticks.
const BREATH: u32 = 3;
/// The least time between two looks at what changed: a storm of changes is one event.
const PAUSE: Duration = Duration::from_millis(250);
/// Changes that are told one by one; of more only that there were some.
const MANY: usize = 50;

/// Tells for as long as it is polled.
pub async fn tick(api: Api, plane: Arc<dyn Plane>) {
    let events = Arc::clone(api.events());
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut version, mut told, mut count) = (plane.version(), now(), 0_u32);
    let mut standing = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                count = count.wrapping_add(1);
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
                let changes = plane.changes(told, MANY);
                if let Some(newest) = changes.first() {
                    // The next millisecond: what was told is not told again.
                    told = newest.version.time + 0.001;
                }
                for change in changes.iter().rev() {
                    events.tell("config", &json!(change));
                }
                events.tell("tick", &json!({
                    "time": now(), "version": version, "changed": ["configuration", "proxies"],
                }));
            }
        }
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
