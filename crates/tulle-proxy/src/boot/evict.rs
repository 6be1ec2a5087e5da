//! Series of metrics that nobody adds to any more go after an hour.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::Main;

/// How often it is looked for them.
const EVERY: Duration = Duration::from_secs(300);
/// How long a series stays that nothing is added to, in seconds. Prometheus looks back five minutes for values, dashboards an hour.
const IDLE: u32 = 3600;

/// Forgets idle series for as long as the proxy runs.
pub(super) async fn evict(main: Rc<Main>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = u32::try_from(main.started.elapsed().as_secs()).unwrap_or(u32::MAX);
        let Some(before) = now.checked_sub(IDLE) else { continue };
        forget(&main, before).await;
    }
}

/// Forgets what nothing was added to since `before`, in seconds since the start.
async fn forget(main: &Main, before: u32) {
    let idle = main.remote.stats().await.idle(before);
    if idle.is_empty() && main.retired.borrow().is_empty() {
        return;
    }
    tracing::debug!(series = idle.len(), "idle series forgotten");
    let mut retired = main.remote.forget(idle).await;
    retired.merge(main.retired.take());
    // Whatever a worker counted in again in the meantime is still told as a whole.
    retired.keep_known(&main.remote.stats().await);
    main.retired.replace(retired);
}
