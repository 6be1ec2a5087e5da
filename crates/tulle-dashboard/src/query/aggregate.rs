//! `sum by (…)` and its kind.

use hashbrown::HashMap;
use promql_parser::parser::token::{
    T_AVG, T_BOTTOMK, T_COUNT, T_COUNT_VALUES, T_GROUP, T_MAX, T_MIN, T_QUANTILE, T_STDDEV, T_STDVAR, T_SUM,
    T_TOPK,
};
use promql_parser::parser::{AggregateExpr, LabelModifier};

use super::QueryError;
use super::eval::{Evaluator, Row, Steps};
use super::labels::{Which, with};
use super::over_time::sum;
use crate::store::{STALE, is_stale};

pub(super) fn eval(
    evaluator: &mut Evaluator<'_>,
    expr: &AggregateExpr,
    steps: Steps,
) -> Result<Vec<Row>, QueryError> {
    let op = expr.op.id();
    let which = match &expr.modifier {
        Some(LabelModifier::Include(labels)) => {
            Which::Only(labels.labels.iter().map(|l| evaluator.table.id(l)).collect())
        }
        Some(LabelModifier::Exclude(labels)) => {
            Which::Without(labels.labels.iter().map(|l| evaluator.table.id(l)).collect())
        }
        None => Which::Only(Vec::new()),
    };
    if op == T_COUNT_VALUES {
        let label = evaluator.text(expr.param.as_deref())?;
        let rows = evaluator.vector(&expr.expr, steps)?;
        return count_values(evaluator, &which, &label, &rows, steps);
    }
    let param = match &expr.param {
        Some(param) => evaluator.scalar(param, steps)?,
        None => Vec::new(),
    };
    let rows = evaluator.vector(&expr.expr, steps)?;
    evaluator.charge(rows.len() * steps.count)?;
    let groups = groups(&which, &rows);
    if op == T_TOPK || op == T_BOTTOMK {
        return Ok(extremes(groups, rows, &param, op == T_TOPK, steps));
    }
    let fold: fn(&mut [f64], f64) -> f64 = match op {
        T_SUM => |v, _| sum(v.iter().copied()),
        T_AVG => |v, _| sum(v.iter().copied()) / count(v),
        T_COUNT => |v, _| count(v),
        T_GROUP => |_, _| 1.0,
        T_MIN => |v, _| v.iter().copied().fold(f64::NAN, |a, b| if b < a || a.is_nan() { b } else { a }),
        T_MAX => |v, _| v.iter().copied().fold(f64::NAN, |a, b| if b > a || a.is_nan() { b } else { a }),
        T_STDVAR => |v, _| variance(v),
        T_STDDEV => |v, _| variance(v).sqrt(),
        T_QUANTILE => |v, q| quantile(q, v),
        _ => return Err(QueryError::Evaluate(format!("the aggregation {} is not supported", expr.op))),
    };
    let mut out = Vec::with_capacity(groups.len());
    let mut values = Vec::new();
    for (labels, members) in groups {
        evaluator.charge(steps.count)?;
        let folded = (0..steps.count).map(|step| {
            values.clear();
            values.extend(members.iter().map(|m| rows[*m].values[step]).filter(|v| !is_stale(*v)));
            if values.is_empty() { STALE } else { fold(&mut values, param.get(step).copied().unwrap_or(0.0)) }
        });
        out.push(Row { labels: labels.into(), values: folded.collect() });
    }
    Ok(out)
}

type Key = Vec<(u32, u32)>;

/// The rows of each group, in the order in which groups are met.
fn groups(which: &Which, rows: &[Row]) -> Vec<(Key, Vec<usize>)> {
    let mut at: HashMap<Key, usize> = HashMap::new();
    let mut groups: Vec<(Key, Vec<usize>)> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let key = which.of(&row.labels);
        let group = *at.entry(key).or_insert_with_key(|key| {
            groups.push((key.clone(), Vec::new()));
            groups.len() - 1
        });
        groups[group].1.push(index);
    }
    groups
}

/// `topk`, `bottomk`: at each step the largest or smallest rows of each group, NaN last. The rows come in that order by their last
/// step.
fn extremes(
    groups: Vec<(Key, Vec<usize>)>,
    rows: Vec<Row>,
    k: &[f64],
    largest: bool,
    steps: Steps,
) -> Vec<Row> {
    let mut kept: Vec<Vec<f64>> = rows.iter().map(|_| vec![STALE; steps.count]).collect();
    let mut order = Vec::new();
    for (_, members) in &groups {
        let mut last = Vec::new();
        for (step, k) in k.iter().enumerate().take(steps.count) {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts saturate")]
            let k = if *k >= 1.0 { *k as usize } else { 0 };
            let mut present: Vec<usize> =
                members.iter().copied().filter(|m| !is_stale(rows[*m].values[step])).collect();
            present.sort_by(|a, b| {
                let (a, b) = (rows[*a].values[step], rows[*b].values[step]);
                let by_value = if largest { b.partial_cmp(&a) } else { a.partial_cmp(&b) };
                by_value.unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
            });
            present.truncate(k);
            for member in &present {
                kept[*member][step] = rows[*member].values[step];
            }
            last = present;
        }
        order.extend(last.iter().copied());
        order.extend(members.iter().copied().filter(|m| !last.contains(m)));
    }
    let mut all: Vec<Option<Row>> =
        rows.into_iter().zip(kept).map(|(row, values)| Some(Row { values, ..row })).collect();
    let picked = order.into_iter().filter_map(|index| all[index].take());
    picked.filter(|r| r.values.iter().any(|v| !is_stale(*v))).collect()
}

/// `count_values`: how many rows have each value.
fn count_values(
    evaluator: &mut Evaluator<'_>,
    which: &Which,
    label: &str,
    rows: &[Row],
    steps: Steps,
) -> Result<Vec<Row>, QueryError> {
    if label.is_empty() || !label.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(QueryError::Evaluate(format!("invalid label name {label:?}")));
    }
    let label = evaluator.table.id(label);
    let mut at: HashMap<super::labels::Labels, usize> = HashMap::new();
    let mut out: Vec<Row> = Vec::new();
    for row in rows {
        evaluator.charge(steps.count)?;
        let key = which.of(&row.labels);
        for (step, value) in row.values.iter().enumerate().filter(|(_, v)| !is_stale(**v)) {
            let value = evaluator.table.id(&super::number_text(*value));
            let labels = with(&key, label, Some(value));
            let index = match at.get(&labels) {
                Some(index) => *index,
                None => {
                    evaluator.charge(steps.count)?;
                    out.push(Row { labels: labels.clone(), values: vec![STALE; steps.count] });
                    at.insert(labels, out.len() - 1);
                    out.len() - 1
                }
            };
            let count = &mut out[index].values[step];
            *count = if is_stale(*count) { 1.0 } else { *count + 1.0 };
        }
    }
    Ok(out)
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn count(values: &[f64]) -> f64 {
    values.len() as f64
}

fn variance(values: &[f64]) -> f64 {
    // Of one value 0, even if that is no number: as Prometheus 2.
    if values.len() == 1 {
        return 0.0;
    }
    let mean = sum(values.iter().copied()) / count(values);
    sum(values.iter().map(|v| (v - mean) * (v - mean))) / count(values)
}

/// The quantile of values, between the two nearest; sorts them.
pub(super) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    // NaN counts as smallest.
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan())));
    let rank = q * (count(values) - 1.0);
    let lower = rank.floor().max(0.0);
    let weight = rank - lower;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and their number")]
    let lower = lower as usize;
    let upper = (lower + 1).min(values.len() - 1);
    values[lower] * (1.0 - weight) + values[upper] * weight
}
