//! Tells the control plane what was counted: everything once, and then every few seconds what changed, on the connection of xDS.
//!
//! A control plane that does not want it says so, and is asked again after a while. Nothing waits for it: what cannot be sent is not
//! sent, and what was counted meanwhile comes with the next tick.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tulle_proto::Message as _;
use tulle_proto::telemetry::{Change, Kind, LabelSet, PUSH, Push, Series};
use tulle_telemetry::metrics::histogram::BOUNDS;
use tulle_telemetry::metrics::{Delta, Described, Feed, SeriesKind};
use tulle_xds::client::Connection;

use super::main_thread::Main;
use crate::admin;
use crate::trace::kept::Observed;

/// How often what changed is told.
const EVERY: Duration = Duration::from_secs(5);
/// How often spans and records of requests are told.
const OFTEN: Duration = Duration::from_secs(1);
/// How long after a failed stream the next begins.
const PAUSE: Duration = Duration::from_secs(5);
/// How long a control plane is left alone that does not know the method.
const UNWANTED: Duration = Duration::from_secs(600);
/// Series that are told of at most.
const MAX_SERIES: u32 = 50_000;
/// Series, sets and values in one message, about.
const PART: usize = 2_000;
/// Spans or records in one message: each is at most a few KiB.
const FEW: usize = 100;

/// Begins to tell, for as long as the proxy runs.
pub(super) fn start(main: &Rc<Main>, connection: Connection) {
    tokio::task::spawn_local(run(Rc::clone(main), connection));
}

async fn run(main: Rc<Main>, mut connection: Connection) {
    loop {
        // Workers keep from the first question on. It comes before there is a stream to answer it on, so that the first requests of a
        // proxy are not missed.
        main.remote.observed().await;
        let (sender, messages) = Connection::queue();
        // Ends with the queue's other end.
        let telling = tokio::task::spawn_local(tell(Rc::clone(&main), sender));
        let Some(outcome) = connection.upload(PUSH, messages).await else { return };
        telling.abort();
        // Nobody takes them for now.
        main.remote.keep_nothing();
        let pause = match outcome {
            Err(status) if status.code() == tulle_xds::client::UNIMPLEMENTED => {
                tracing::debug!("the control plane takes no telemetry");
                UNWANTED
            }
            Err(status) => {
                tracing::debug!(%status, "telemetry not sent");
                PAUSE
            }
            Ok(()) => PAUSE,
        };
        tokio::time::sleep(pause).await;
    }
}

/// Sends ticks until nobody takes them.
async fn tell(main: Rc<Main>, sender: mpsc::Sender<bytes::Bytes>) {
    let (mut feed, mut endpoints) = (Feed::default(), admin::Told::new());
    let mut hello = Some((Arc::clone(&main.pod), Arc::clone(&main.app)));
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut quick = tokio::time::interval(OFTEN);
    quick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = ticks.tick() => {}
            _ = quick.tick() => {
                // The stream begins with a tick, which says who we are.
                if hello.is_none() && sender.capacity() == sender.max_capacity() && !told(&main, &sender).await {
                    return;
                }
                continue;
            }
        }
        // Whoever is behind gets the next tick, with everything since.
        if sender.capacity() < sender.max_capacity() {
            continue;
        }
        let mut snapshot = admin::snapshot(&main).await;
        admin::told(&main, &mut endpoints).await.into_iter().for_each(|extra| snapshot.push(extra));
        let delta = feed.delta(&snapshot, MAX_SERIES);
        for mut message in messages(delta) {
            if let Some((pod, app)) = hello.take() {
                (message.pod, message.app) = (pod.to_string(), app.to_string());
            }
            if sender.send(message.to_wire().into()).await.is_err() {
                return;
            }
        }
    }
}

/// Sends what workers kept of requests; whether somebody takes it.
async fn told(main: &Main, sender: &mpsc::Sender<bytes::Bytes>) -> bool {
    for message in parts(main.remote.observed().await) {
        if sender.send(message.to_wire().into()).await.is_err() {
            return false;
        }
    }
    true
}

/// Spans and records as messages of bearable size; none if there is nothing to tell. They belong to no tick.
fn parts(observed: Observed) -> Vec<Push> {
    let Observed { spans, records, lost_spans, lost_records } = observed;
    let mut all: Vec<Push> = Vec::new();
    for part in spans.chunks(FEW) {
        all.push(Push { spans: part.to_vec(), more: true, ..Push::default() });
    }
    for part in records.chunks(FEW) {
        all.push(Push { records: part.to_vec(), more: true, ..Push::default() });
    }
    if lost_spans + lost_records > 0 {
        all.push(Push { lost_spans, lost_records, more: true, ..Push::default() });
    }
    all
}

/// A tick as messages of bearable size; at least one.
fn messages(delta: Delta) -> Vec<Push> {
    let Delta { texts, sets, series, changes } = delta;
    let mut all = vec![Push { texts, ..Push::default() }];
    for part in sets.chunks(PART) {
        let sets = part.iter().map(|pairs| LabelSet { pairs: pairs.clone() }).collect();
        all.push(Push { sets, ..Push::default() });
    }
    let mut bounds = BOUNDS.to_vec();
    for part in series.chunks(PART) {
        let series = part.iter().map(|s| described(s, &mut bounds)).collect();
        all.push(Push { series, ..Push::default() });
    }
    for part in changes.chunks(PART) {
        let changes =
            part.iter().map(|c| Change { series: c.series, number: c.number, counts: c.counts.clone() });
        all.push(Push { changes: changes.collect(), ..Push::default() });
    }
    all.retain(|m| *m != Push::default());
    if all.is_empty() {
        all.push(Push::default());
    }
    let last = all.len() - 1;
    all.iter_mut().take(last).for_each(|m| m.more = true);
    all
}

/// A series; the first histogram of a tick says the bounds.
fn described(series: &Described, bounds: &mut Vec<f64>) -> Series {
    let Described { name, set, kind } = *series;
    let (kind, bounds) = match kind {
        SeriesKind::Counter => (Kind::Counter, Vec::new()),
        SeriesKind::Gauge => (Kind::Gauge, Vec::new()),
        SeriesKind::Histogram => (Kind::Histogram, std::mem::take(bounds)),
    };
    Series { name, set, kind: kind.into(), bounds }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tulle_telemetry::metrics::Told;

    #[test]
    fn a_large_tick_comes_in_parts_and_an_empty_one_comes() {
        let one = Described { name: 0, set: 0, kind: SeriesKind::Histogram };
        let told = |series| Told { series, number: 1.0, counts: vec![1; 20] };
        let delta = Delta {
            texts: vec!["a".to_owned()],
            sets: vec![vec![0, 0]],
            series: vec![one; 3_000],
            changes: (0..3_000).map(told).collect(),
        };
        let all = messages(delta);
        assert_eq!(all.len(), 6);
        assert!(all[..5].iter().all(|m| m.more) && !all[5].more);
        assert_eq!((all[2].series[0].bounds.len(), all[2].series[1].bounds.len()), (BOUNDS.len(), 0));
        assert!(all.iter().all(|m| m.to_wire().len() < 1 << 20));
        assert_eq!(messages(Delta::default()), [Push::default()]);
    }
}
