//! Functions of range vectors.

use promql_parser::parser::Call;

use super::QueryError;
use super::aggregate::quantile;
use super::eval::{Evaluator, Row, Steps};
use super::window::{Names, Windows};
use crate::store::STALE;

type Samples<'a> = &'a [(i64, f64)];

/// Evaluates a function of a range vector; `None` if it is none.
pub(super) fn eval(
    evaluator: &mut Evaluator<'_>,
    call: &Call,
    steps: Steps,
) -> Result<Option<Vec<Row>>, QueryError> {
    let name = call.func.name;
    let simple: fn(Samples<'_>) -> Option<f64> = match name {
        "rate" | "increase" | "delta" => return extrapolated(evaluator, call, steps).map(Some),
        "irate" | "idelta" => return last_two(evaluator, call, steps).map(Some),
        "quantile_over_time" | "predict_linear" => return with_number(evaluator, call, steps).map(Some),
        "sum_over_time" => |s| Some(sum(s.iter().map(|(_, v)| *v))),
        "avg_over_time" => |s| Some(sum(s.iter().map(|(_, v)| *v)) / count(s)),
        "count_over_time" => |s| Some(count(s)),
        "present_over_time" => |_| Some(1.0),
        "last_over_time" => |s| s.last().map(|(_, v)| *v),
        "first_over_time" => |s| s.first().map(|(_, v)| *v),
        "min_over_time" => {
            |s| s.iter().map(|(_, v)| *v).reduce(|a, b| if b < a || a.is_nan() { b } else { a })
        }
        "max_over_time" => {
            |s| s.iter().map(|(_, v)| *v).reduce(|a, b| if b > a || a.is_nan() { b } else { a })
        }
        "stddev_over_time" => |s| Some(variance(s).sqrt()),
        "stdvar_over_time" => |s| Some(variance(s)),
        "changes" => |s| Some(pairs(s, |a, b| a != b && !(a.is_nan() && b.is_nan()))),
        "resets" => |s| Some(pairs(s, |a, b| b < a)),
        "deriv" => |s| (s.len() > 1).then(|| regression(s, s[0].0).0),
        _ => return Ok(None),
    };
    let windows = Windows::eval(evaluator, evaluator.argument(call, 0)?, steps)?;
    let names = match name {
        "last_over_time" | "first_over_time" => Names::Kept,
        _ => Names::Dropped,
    };
    let rows = windows.map(evaluator, names, |series, step| {
        let samples = windows.of(series, step, windows.range);
        if samples.is_empty() { None } else { simple(samples) }
    })?;
    Ok(Some(rows))
}

/// `rate`, `increase`, `delta`: the change from the first to the last sample, extended to the ends of the window as far as samples
/// might have been there.
fn extrapolated(evaluator: &mut Evaluator<'_>, call: &Call, steps: Steps) -> Result<Vec<Row>, QueryError> {
    let windows = Windows::eval(evaluator, evaluator.argument(call, 0)?, steps)?;
    let counter = call.func.name != "delta";
    let per_second = call.func.name == "rate";
    windows.map(evaluator, Names::Dropped, |series, step| {
        let range = windows.stretched(series, step);
        let samples = windows.of(series, step, range);
        let end = windows.ends[step];
        let change = extrapolate(samples, end - range, end, counter)?;
        let asked = seconds(if per_second { 1_000 } else { windows.range });
        // Where the window is as long as asked for, nothing is lost to rounding.
        Some(if range == windows.range && !per_second { change } else { change / seconds(range) * asked })
    })
}

fn extrapolate(samples: Samples<'_>, start: i64, end: i64, counter: bool) -> Option<f64> {
    let [first, .., last] = samples else { return None };
    let mut change = last.1 - first.1;
    if counter {
        change += samples.windows(2).filter(|w| w[1].1 < w[0].1).map(|w| w[0].1).sum::<f64>();
    }
    let sampled = seconds(last.0 - first.0);
    let mut to_start = seconds(first.0 - start);
    let to_end = seconds(end - last.0);
    let average = sampled / (count(samples) - 1.0);
    if counter && change > 0.0 && first.1 >= 0.0 {
        // A counter cannot have been below zero.
        to_start = to_start.min(sampled * (first.1 / change));
    }
    let reach = |gap: f64| if gap < average * 1.1 { gap } else { average / 2.0 };
    Some(change * ((sampled + reach(to_start) + reach(to_end)) / sampled))
}

/// `irate`, `idelta`: the last two samples.
fn last_two(evaluator: &mut Evaluator<'_>, call: &Call, steps: Steps) -> Result<Vec<Row>, QueryError> {
    let windows = Windows::eval(evaluator, evaluator.argument(call, 0)?, steps)?;
    let rate = call.func.name == "irate";
    windows.map(evaluator, Names::Dropped, |series, step| {
        let samples = windows.of(series, step, windows.stretched(series, step));
        let [.., before, last] = samples else { return None };
        let change = if rate && last.1 < before.1 { last.1 } else { last.1 - before.1 };
        let apart = seconds(last.0 - before.0);
        Some(if rate { change / apart } else { change })
    })
}

/// Functions of a range vector and a number.
fn with_number(evaluator: &mut Evaluator<'_>, call: &Call, steps: Steps) -> Result<Vec<Row>, QueryError> {
    let is_quantile = call.func.name == "quantile_over_time";
    let (vector, number) = if is_quantile { (1, 0) } else { (0, 1) };
    let numbers = evaluator.scalar(evaluator.argument(call, number)?, steps)?;
    let windows = Windows::eval(evaluator, evaluator.argument(call, vector)?, steps)?;
    let times: Vec<i64> = steps.times().collect();
    windows.map(evaluator, Names::Dropped, |series, step| {
        let samples = windows.of(series, step, windows.range);
        if is_quantile {
            let mut values: Vec<f64> = samples.iter().map(|(_, v)| *v).collect();
            return (!values.is_empty()).then(|| quantile(numbers[step], &mut values));
        }
        if samples.len() < 2 {
            return None;
        }
        let (slope, intercept) = regression(samples, times[step]);
        Some(slope * numbers[step] + intercept)
    })
}

/// The absence of every window of a range vector: 1 at each step without any sample.
pub(super) fn absent(
    evaluator: &mut Evaluator<'_>,
    call: &Call,
    steps: Steps,
) -> Result<Vec<f64>, QueryError> {
    let windows = Windows::eval(evaluator, evaluator.argument(call, 0)?, steps)?;
    Ok((0..steps.count)
        .map(|step| {
            let any = windows.series.iter().any(|s| !windows.of(s, step, windows.range).is_empty());
            if any { STALE } else { 1.0 }
        })
        .collect())
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn count(samples: Samples<'_>) -> f64 {
    samples.len() as f64
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds of some years")]
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

/// A sum that does not lose small numbers among large ones (Neumaier).
pub(super) fn sum(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0.0_f64, 0.0_f64);
    for value in values {
        let next = sum + value;
        lost += if sum.abs() >= value.abs() { (sum - next) + value } else { (value - next) + sum };
        sum = next;
    }
    if sum.is_finite() { sum + lost } else { sum }
}

fn variance(samples: Samples<'_>) -> f64 {
    let n = count(samples);
    let mean = sum(samples.iter().map(|(_, v)| *v)) / n;
    sum(samples.iter().map(|(_, v)| (v - mean) * (v - mean))) / n
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn pairs(samples: Samples<'_>, fits: fn(f64, f64) -> bool) -> f64 {
    samples.windows(2).filter(|w| fits(w[0].1, w[1].1)).count() as f64
}

/// Slope per second and value at `origin` of the line that fits best.
fn regression(samples: Samples<'_>, origin: i64) -> (f64, f64) {
    let first = samples[0].1;
    if samples.iter().all(|(_, v)| *v == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let n = count(samples);
    let x = |t: i64| seconds(t - origin);
    let sum_x = sum(samples.iter().map(|(t, _)| x(*t)));
    let sum_y = sum(samples.iter().map(|(_, v)| *v));
    let sum_xy = sum(samples.iter().map(|(t, v)| x(*t) * v));
    let sum_x2 = sum(samples.iter().map(|(t, _)| x(*t) * x(*t)));
    let slope = (sum_xy - sum_x * sum_y / n) / (sum_x2 - sum_x * sum_x / n);
    (slope, sum_y / n - slope * sum_x / n)
}
