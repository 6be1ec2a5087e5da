//! What proxies counted, on its way into the telemetry store, and the port on which the store is asked.
//!
//! A proxy pushes on the connection of its xDS stream (`tulle.telemetry.v1`): everything once, then every 5 s what changed. It must
//! show a certificate; its samples get the labels `namespace` (that of the certificate), `pod`, `instance` and `app`, as scraping would
//! give them. What the control plane counts itself goes the same way every 5 s, with `app="istiod"`.

mod own;
mod receive;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tulle_dashboard::http::access::{Access, Key, Rules};
use tulle_dashboard::http::{Api, Hosts, serve, tick};
use tulle_dashboard::query::QueryLimits;
use tulle_dashboard::store::{Limits, Store};
use tulle_dashboard::traces::Traces;

use crate::console::Console;
use crate::stop::Stop;

pub(crate) use own::{Sample, histogram, keep};
pub(crate) use receive::TelemetryService;

/// How often the store looks for what is old, silent or too much.
const SWEEP: Duration = Duration::from_secs(5);
/// A step of the clock below this is taken for the work of whoever keeps it right; milliseconds.
const STEP: i64 = 2_000;

/// The store with what serves it.
pub(crate) struct Telemetry {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) traces: Arc<Traces>,
    listener: TcpListener,
    access: Arc<Access>,
    pub(crate) address: SocketAddr,
}

impl Telemetry {
    /// Opens the store in the state directory and the port at `address`, for those whom `rules` let in.
    pub(crate) async fn open(
        state_dir: &Path,
        address: SocketAddr,
        rules: Rules,
    ) -> Result<Self, std::io::Error> {
        let access = Arc::new(Access::new(Key::open(state_dir)?, rules));
        let folder = state_dir.join("telemetry");
        let listener = TcpListener::bind(address).await?;
        let clock = Arc::new(Clock::new());
        let now = clock.now();
        let opened = tokio::task::spawn_blocking(move || Store::open(Limits::default(), folder, now)).await;
        let (store, messages) = opened.map_err(std::io::Error::other)??;
        for message in messages {
            tracing::warn!(message, "telemetry of an earlier life is damaged");
        }
        let address = listener.local_addr()?;
        Ok(Self { store: Arc::new(store), clock, traces: Arc::default(), listener, access, address })
    }

    /// Starts serving and sweeping.
    pub(crate) fn start(self, tasks: &mut JoinSet<()>, plane: Arc<Console>, stop: &Stop) {
        let Self { store, clock, traces, listener, access, address } = self;
        tracing::info!(%address, "telemetry is served");
        let api = Api::new(store.clone(), QueryLimits::default(), Hosts::Local)
            .with_plane(plane.clone())
            .with_access(access)
            .with_traces(traces);
        let (ticking, mut over) = (api.clone(), stop.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = tick(ticking, plane) => {}
                () = over.said() => {}
            }
        });
        let mut said = stop.clone();
        tasks.spawn(async move { serve(listener, api, said.said()).await });
        let mut stop = stop.clone();
        tasks.spawn(async move {
            let mut ticks = tokio::time::interval(SWEEP);
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    () = stop.said() => return store.flush(),
                }
                let (store, now) = (store.clone(), clock.now());
                // It may delete files, and walks over everything.
                let _ = tokio::task::spawn_blocking(move || store.sweep(now)).await;
            }
        });
    }
}

/// The time of samples: the system's, but for small steps, which would bend rates.
#[derive(Debug)]
pub(crate) struct Clock(Mutex<(i64, Instant)>);

impl Clock {
    fn new() -> Self {
        Self(Mutex::new((system(), Instant::now())))
    }

    /// Milliseconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        let mut anchor = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        smooth(&mut anchor, system(), Instant::now())
    }
}

/// The anchor's time and what passed since; where the system's is far from that, the system is right.
fn smooth(anchor: &mut (i64, Instant), system: i64, now: Instant) -> i64 {
    let passed = i64::try_from(now.saturating_duration_since(anchor.1).as_millis()).unwrap_or(i64::MAX);
    let time = anchor.0.saturating_add(passed);
    if (time - system).abs() < STEP {
        return time;
    }
    *anchor = (system, now);
    system
}

fn system() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_steps_of_the_clock_are_smoothed_and_large_ones_followed() {
        let begin = Instant::now();
        let mut anchor = (1_000_000, begin);
        let mut at = |seconds: u64, system| smooth(&mut anchor, system, begin + Duration::from_secs(seconds));
        assert_eq!(at(5, 1_005_300), 1_005_000);
        assert_eq!(at(10, 1_009_000), 1_010_000);
        assert_eq!(at(15, 900_000), 900_000);
        assert_eq!(at(20, 905_000), 905_000);
    }
}
