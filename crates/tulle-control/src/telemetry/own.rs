//! What the control plane counts itself, into the store.

use std::sync::Arc;
use std::time::Duration;

use tulle_dashboard::store::{Buckets, Description, Kind, Store, Tick, Value};

use super::Clock;
use crate::stop::Stop;

const EVERY: Duration = Duration::from_secs(5);

/// One metric with its value.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) kind: Kind,
    /// Upper bounds of buckets, of histograms.
    pub(crate) bounds: &'static [f64],
    pub(crate) value: Value,
}

/// Puts what `read` gives into the store every few seconds, with the labels `own`.
pub(crate) async fn keep(
    store: Arc<Store>,
    clock: Arc<Clock>,
    own: Vec<(&'static str, String)>,
    read: impl Fn() -> Vec<Sample> + Send + 'static,
    mut stop: Stop,
) {
    let source = store.source("control plane");
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.said() => return,
        }
        let mut changed = Vec::new();
        for Sample { name, labels, kind, bounds, value } in read() {
            let own = own.iter().map(|(n, v)| (*n, v.as_str()));
            let labels: Vec<(&str, &str)> =
                own.chain(labels.iter().map(|(n, v)| (n.as_str(), v.as_str()))).collect();
            let described = Description { name, kind, labels: &labels, bounds };
            match store.define(source, &described) {
                Ok(series) => changed.push((series, value)),
                Err(error) => tracing::debug!(name, %error, "series not taken"),
            }
        }
        let up = Description { name: "up", kind: Kind::Gauge, labels: &[], bounds: &[] };
        let labels: Vec<(&str, &str)> = own.iter().map(|(n, v)| (*n, v.as_str())).collect();
        if let Ok(series) = store.define(source, &Description { labels: &labels, ..up }) {
            changed.push((series, Value::Number(1.0)));
        }
        let tick = Tick { time: clock.now(), changed: &changed };
        if let Err(error) = store.tick(source, &tick) {
            tracing::debug!(%error, "own telemetry not taken");
        }
    }
}

/// A histogram's value from the counts of its buckets.
pub(crate) fn histogram(counts: &[u64], sum: f64) -> Value {
    Value::Histogram(Buckets { counts: counts.into(), sum })
}
