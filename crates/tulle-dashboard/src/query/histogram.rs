//! `histogram_quantile` over buckets with the label `le`.

use hashbrown::HashMap;

use super::eval::{Row, Steps};
use super::labels::{LE_SYMBOL, Table, Which, get};
use crate::store::{STALE, is_stale};

/// What buckets of one histogram share.
type Key = Vec<(u32, u32)>;
/// A bound and the row of its counts.
type Bucket = (f64, usize);

/// The quantile of each histogram among `rows`.
pub(super) fn quantiles(table: &Table, rows: &[Row], q: &[f64], steps: Steps) -> Vec<Row> {
    let which = Which::Without(vec![LE_SYMBOL]);
    let mut all: HashMap<Key, Vec<Bucket>> = HashMap::new();
    for (index, row) in rows.iter().enumerate() {
        let le = get(&row.labels, LE_SYMBOL).and_then(|le| bound(table.text(le)));
        if let Some(le) = le {
            all.entry(which.of(&row.labels)).or_default().push((le, index));
        }
    }
    let mut out = Vec::with_capacity(all.len());
    for (labels, mut buckets) in all {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut found = Vec::with_capacity(buckets.len());
        let values = (0..steps.count).map(|step| {
            found.clear();
            found.extend(
                buckets
                    .iter()
                    .map(|(le, row)| (*le, rows[*row].values[step]))
                    .filter(|(_, count)| !is_stale(*count)),
            );
            if found.is_empty() { STALE } else { quantile(q[step], &mut found) }
        });
        out.push(Row { labels: labels.into(), values: values.collect() });
    }
    out
}

fn bound(text: &str) -> Option<f64> {
    match text {
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        text => text.parse().ok(),
    }
}

/// The quantile of one histogram: bounds ascending, counts cumulative. Within a bucket values are taken to be spread evenly.
pub fn quantile(q: f64, buckets: &mut Vec<(f64, f64)>) -> f64 {
    if q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    if buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
        return f64::NAN;
    }
    // The same bound written in two ways is one bucket.
    buckets.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            earlier.1 += later.1;
        }
        same
    });
    // Rates of a moment at which some buckets were counted and others not yet.
    let mut highest = 0.0_f64;
    for (_, count) in buckets.iter_mut() {
        highest = if *count > highest { *count } else { highest };
        *count = highest;
    }
    let total = buckets.last().map_or(0.0, |(_, count)| *count);
    if buckets.len() < 2 || total == 0.0 || total.is_nan() {
        return f64::NAN;
    }
    let mut rank = q * total;
    let last = buckets.len() - 1;
    let at = buckets[..last].partition_point(|(_, count)| *count < rank);
    if at == last {
        return buckets[last - 1].0;
    }
    let (end, mut count) = buckets[at];
    if at == 0 && end <= 0.0 {
        return end;
    }
    let mut start = 0.0;
    if at > 0 {
        let (bound, before) = buckets[at - 1];
        start = bound;
        count -= before;
        rank -= before;
    }
    start + (end - start) * (rank / count)
}
